//! `tidemill load` against a server that fails in the midst of it.

use crate::shell::process::TIDEMILL;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const WORDS: &str = "the log is poisoned by an earlier failure";

/// Takes so many requests, and refuses all others with [`WORDS`]; gives the address.
fn failing_after(good: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let seen = seen.clone();
            // The client closes the connection when it has seen enough.
            std::thread::spawn(move || answer(socket.unwrap(), good, &seen));
        }
    });
    format!("http://{address}")
}

fn answer(mut socket: TcpStream, good: u64, seen: &AtomicU64) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        let reply = if seen.fetch_add(1, Ordering::Relaxed) < good {
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
        } else {
            let length = WORDS.len();
            format!("HTTP/1.1 500 Internal Server Error\r\nContent-Length: {length}\r\n\r\n{WORDS}")
        };
        socket.write_all(reply.as_bytes())?;
    }
}

fn load(workload: &str, url: &str, more: &[&str]) -> Output {
    Command::new(TIDEMILL)
        .args([
            "load", workload, "--url", url, "--hosts", "10", "--rows", "1000",
        ])
        .args(more)
        .output()
        .expect("the command starts")
}

#[test]
fn a_load_that_fails_tells_what_it_had_written_and_why_it_ended() {
    for (workload, more, rows) in [
        ("tsbs", ["--batch", "100", "--connections", "1"], 300),
        ("one-row", ["--connections", "1", "--seed", "2"], 3),
    ] {
        let out = load(
            workload,
            &failing_after(3),
            &[&more[..], &["--json"]].concat(),
        );
        assert_eq!(out.status.code(), Some(1));
        let summary: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(summary["rows"], rows, "{summary}");
        assert_eq!(summary["requests"], 3, "{summary}");
        let error = summary["error"].as_str().unwrap();
        assert!(
            error.starts_with("500: ") && error.contains(WORDS),
            "{error}"
        );
        assert!(summary["sums"]["usage_user"].as_u64() > Some(0));

        let out = load(workload, &failing_after(3), &more);
        let (text, said) = (
            String::from_utf8(out.stdout).unwrap(),
            String::from_utf8(out.stderr).unwrap(),
        );
        assert!(text.starts_with(&format!("{rows} rows in ")), "{text}");
        assert!(
            said.contains("ended early") && said.contains(WORDS),
            "{said}"
        );
    }
}

#[test]
fn one_failure_among_many_connections_ends_them_all_with_one_summary() {
    let more = ["--connections", "8", "--json", "--seed", "3"];
    let out = load("one-row", &failing_after(100), &more);
    assert_eq!(out.status.code(), Some(1));
    let summary: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(summary["rows"], 100, "{summary}");
    assert!(summary["error"].is_string());
}
