//! The real server, killed while it is written to: what it acknowledged is there, once, and its views are right.

use crate::shell::process::Listening;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

const WRITERS: u64 = 4;
/// Rows in a request; they take effect together or not at all.
const ROWS: u64 = 25;

/// Posts line protocol on one connection until it breaks; each acknowledged request's number is sent on.
fn write_until_broken(
    address: &str,
    next: &AtomicU64,
    tried: &mpsc::Sender<u64>,
    acked: &mpsc::Sender<u64>,
) -> std::io::Result<()> {
    let mut out = TcpStream::connect(address)?;
    let mut replies = BufReader::new(out.try_clone()?);
    loop {
        let request = next.fetch_add(1, Ordering::Relaxed);
        let mut body = String::new();
        for row in 0..ROWS {
            let (host, id) = (row % 5, request * ROWS + row);
            // Every third request brings a series of its own: the catalog is at stake as well.
            let own = if request.is_multiple_of(3) {
                request
            } else {
                0
            };
            let time = 1_700_000_000_000_000_000 + id as i64 * 1_000_000;
            body += &format!("crash,host=h{host},own=o{own} id={id}i,request={request}i {time}\n");
        }
        // The receiver lives as long as the test.
        let _ = tried.send(request);
        let head = format!(
            "POST /write?db=default&precision=ns HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        out.write_all(head.as_bytes())?;
        out.write_all(body.as_bytes())?;
        let mut status = String::new();
        replies.read_line(&mut status)?;
        if !status.starts_with("HTTP/1.1 204") {
            let mut rest = String::new();
            replies.read_to_string(&mut rest)?;
            return match status.is_empty() {
                true => Ok(()),
                false => Err(std::io::Error::other(format!("{status}{rest}"))),
            };
        }
        loop {
            let mut line = String::new();
            if replies.read_line(&mut line)? <= 2 {
                break;
            }
        }
        let _ = acked.send(request);
    }
}

#[test]
fn a_killed_server_has_every_acknowledged_row_once_and_right_views() {
    let dir = tempfile::tempdir().unwrap();
    let next = AtomicU64::new(0);
    let (mut tried, mut acked) = (BTreeSet::new(), BTreeSet::new());
    let mut server = Listening::start("serve", dir.path(), &["--log", "error"]);
    for round in 0..4 {
        let (try_in, try_out) = mpsc::channel();
        let (ack_in, ack_out) = mpsc::channel();
        std::thread::scope(|scope| {
            let address = server.url.strip_prefix("http://").unwrap().to_owned();
            for _ in 0..WRITERS {
                let (address, next) = (address.clone(), &next);
                let (try_in, ack_in) = (try_in.clone(), ack_in.clone());
                scope.spawn(move || {
                    // A connection that breaks is what the test is about; a refusal ends the writer, and is told.
                    if let Err(error) = write_until_broken(&address, next, &try_in, &ack_in) {
                        eprintln!("a writer ended: {error}");
                    }
                });
            }
            // So that waiting for an acknowledgement ends when no writer is left.
            drop((try_in, ack_in));
            for _ in 0..400 {
                acked.insert(
                    ack_out
                        .recv()
                        .expect("writers go on while the server lives"),
                );
            }
            if round == 0 {
                let view = "CREATE MATERIALIZED VIEW per_host AS SELECT host, COUNT(*) AS n, SUM(id) AS ids, \
                            MAX(id) AS last FROM crash WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY host";
                let out = server.sql(view);
                assert!(
                    out.status.success(),
                    "{}",
                    String::from_utf8_lossy(&out.stderr)
                );
            }
            if round == 2 {
                // A flush in the midst of writes, so that recovery meets segments and a cut log.
                server.post("/api/v1/admin/flush", "");
            }
            server.kill();
        });
        tried.extend(try_out);
        acked.extend(ack_out);

        server = Listening::start("serve", dir.path(), &["--log", "error"]);
        let found =
            server.rows("SELECT request, COUNT(*), COUNT(DISTINCT id) FROM crash GROUP BY request");
        let mut present = BTreeSet::new();
        for line in found {
            let numbers: Vec<u64> = line.split(',').map(|n| n.parse().unwrap()).collect();
            assert_eq!(
                numbers[1..],
                [ROWS, ROWS],
                "request {} in round {round}",
                numbers[0]
            );
            present.insert(numbers[0]);
        }
        let lost: Vec<_> = acked.difference(&present).collect();
        assert!(
            lost.is_empty(),
            "round {round}: acknowledged and gone: {lost:?}"
        );
        assert!(
            present.is_subset(&tried),
            "round {round}: rows that nobody wrote"
        );
        let columns = "host, n, ids, last, window_start";
        let view = server.rows(&format!(
            "SELECT {columns} FROM per_host ORDER BY host, window_start"
        ));
        let batch = server.rows(&format!(
            "SELECT {columns} FROM (SELECT host, COUNT(*) AS n, SUM(id) AS ids, MAX(id) AS last FROM crash \
             WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY host) ORDER BY host, window_start"
        ));
        assert!(view.len() > 5);
        assert_eq!(view, batch, "round {round}");
    }
}
