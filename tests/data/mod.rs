//! `tidemill inspect` and `tidemill verify` on what a real server leaves behind.

use crate::shell::process::{Listening, TIDEMILL};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

fn run(command: &str, data: &Path, more: &[&str]) -> Output {
    Command::new(TIDEMILL)
        .args([command, "--data-dir"])
        .arg(data)
        .args(more)
        .output()
        .expect("the command starts")
}

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)))
}

/// Streams, two views, segments and rows in the log alone; ended in order or killed.
fn database(data: &Path, signal: &str) -> Listening {
    let server = Listening::start("serve", data, &["--log", "error"]);
    let lines: String = (0i64..2000)
        .map(|i| {
            format!(
                "cpu,host=h{} usage={}.5,n={i}i {}\n",
                i % 7,
                i % 100,
                i * 1_000_000_000
            )
        })
        .collect();
    server.post("/write?db=default", &lines);
    for statement in [
        "CREATE STREAM buys (user_id BIGINT, amount DECIMAL(10,2), city STRING, timestamp TIMESTAMP)",
        "CREATE MATERIALIZED VIEW per_host AS SELECT host, COUNT(*) AS n FROM cpu \
         WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY host",
        "CREATE MATERIALIZED VIEW oslo AS SELECT user_id, amount FROM buys WHERE city = 'Oslo'",
        "INSERT INTO buys (user_id, amount, city, timestamp) VALUES \
         (1, 12.50, 'Oslo', TIMESTAMP '2026-01-01 12:00:00'), (2, 7, NULL, TIMESTAMP '2026-01-02 12:00:00')",
    ] {
        let out = server.sql(statement);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    server.post("/api/v1/admin/flush", "");
    let lines: String = (2000i64..2500)
        .map(|i| {
            format!(
                "cpu,host=h{} usage=1.5,n={i}i {}\n",
                i % 7,
                i * 1_000_000_000
            )
        })
        .collect();
    server.post("/write?db=default", &lines);
    if signal == "KILL" {
        return server;
    }
    let (said, status) = server.end(signal);
    assert!(status.success(), "{said}");
    Listening::start("serve", data, &["--log", "error"])
}

/// The files of a data directory with their bytes and the times of their last change.
fn tree(data: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![data.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let changed = path.metadata().unwrap().modified().unwrap();
                all.insert(path.clone(), (fs::read(&path).unwrap(), changed));
            }
        }
    }
    all
}

#[test]
fn a_sound_directory_is_shown_verified_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = database(&data, "TERM");

    // While a server runs, neither looks.
    for (command, status) in [("inspect", 1), ("verify", 2)] {
        let refused = run(command, &data, &[]);
        assert_eq!(refused.status.code(), Some(status), "{command}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let process = format!("process {}", server.id());
        assert!(
            said.contains("another process uses it") && said.contains(&process),
            "{said}"
        );
    }
    assert!(server.end("TERM").1.success());

    let before = tree(&data);
    let told = json(&run("inspect", &data, &["--json", "--zones", "--records"]));
    let cpu = &told["streams"][0];
    assert_eq!(
        (cpu["name"].as_str(), cpu["rows"].as_u64()),
        (Some("cpu"), Some(2500))
    );
    assert_eq!(
        (cpu["series"].as_u64(), cpu["max_time"].as_i64()),
        (Some(7), Some(2_499_000_000_000))
    );
    let columns = told["segments"][0]["columns"].as_array().unwrap();
    let usage = columns.iter().find(|c| c["column"] == "usage").unwrap();
    assert!(usage["bytes_per_value"].as_f64().unwrap() < 8.0, "{usage}");
    assert!(told["segments"][0]["groups"][0]["chunks"][0]["min"].is_number());
    assert!(told["wal"]["last_lsn"].as_u64() >= told["wal"]["flushed_lsn"].as_u64());
    assert_eq!(told["wal"]["damage"], Value::Array(vec![]));
    assert!(
        !told["manifest"]["files"][0]["entries"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(
        told["catalog"]["files"][0]["entries"]["series"].as_u64() == Some(8),
        "{}",
        told["catalog"]
    );
    let mut views: Vec<&str> = told["checkpoints"]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            assert_eq!(c["present_definition"], true, "{c}");
            c["view"].as_str().unwrap()
        })
        .collect();
    views.sort_unstable();
    assert_eq!(views, ["default.oslo", "default.per_host"]);

    let shown = run("inspect", &data, &[]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success());
    for part in [
        "default.cpu",
        "usage",
        "segments/00000000.seg",
        "wal/",
        "MANIFEST-",
        "default.per_host",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let streams = run("inspect", &data, &["streams"]);
    assert!(
        !String::from_utf8(streams.stdout)
            .unwrap()
            .contains("Log files")
    );

    let verified = run("verify", &data, &["--json"]);
    let findings = json(&verified);
    assert_eq!(verified.status.code(), Some(0), "{findings}");
    let checked = &findings["checked"];
    assert_eq!(checked["segment_rows"].as_u64(), Some(2002), "{checked}");
    assert_eq!(checked["checkpoints"].as_u64(), Some(2), "{checked}");
    assert!(run("verify", &data, &[]).status.success());
    assert_eq!(tree(&data), before, "not a byte has changed");
}

#[test]
fn what_a_killed_server_leaves_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = database(dir.path(), "KILL");
    server.kill();
    let verified = run("verify", dir.path(), &[]);
    let said = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(0), "{said}");
    // And the lock has gone with the process.
    let server = Listening::start("serve", dir.path(), &["--log", "error"]);
    assert_eq!(server.number("SELECT COUNT(*) FROM cpu"), 2500);
}

#[test]
fn damage_in_each_kind_of_file_is_found_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = database(&data, "TERM");
    assert!(server.end("TERM").1.success());
    let mut kinds = BTreeMap::new();
    for (path, (bytes, _)) in tree(&data) {
        let name = path
            .strip_prefix(&data)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let kind = name.split('/').next().unwrap().to_owned();
        // A log file without a record has nothing to lose.
        let ready = kind == "wal" && bytes[4096..].iter().all(|b| *b == 0);
        if kind == "LOCK" || ready {
            continue;
        }
        // Behind headers, and ahead of the zeros that end a block.
        let in_body = match kind.as_str() {
            "wal" => 4096 + 60,
            "manifest" => bytes.len().min(120) / 2,
            _ => bytes.len() / 2,
        };
        for at in [9, in_body] {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            fs::write(&path, bad).unwrap();
            let verified = run("verify", &data, &["--json"]);
            assert_eq!(verified.status.code(), Some(1), "{name}, byte {at}");
            let found = json(&verified);
            let damage = found["damage"].as_array().unwrap();
            let here = damage.iter().find(|d| d["file"] == name.as_str());
            let here = here.unwrap_or_else(|| panic!("{name}, byte {at}: {found}"));
            assert!(here["what"].as_str().is_some_and(|w| !w.is_empty()));
            let text = String::from_utf8(run("verify", &data, &[]).stdout).unwrap();
            assert!(text.contains(&format!("damage: {name}: ")), "{text}");
            // What is damaged is still shown, as far as it goes.
            let shown = run("inspect", &data, &["--zones", "--records"]);
            assert!(
                shown.status.success(),
                "{}",
                String::from_utf8_lossy(&shown.stderr)
            );
        }
        *kinds.entry(kind).or_insert(0) += 1;
        fs::write(&path, bytes).unwrap();
    }
    let kinds: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        ["catalog", "checkpoints", "manifest", "segments", "wal"]
    );
    assert!(run("verify", &data, &[]).status.success());
}

#[test]
fn without_a_database_nothing_can_be_told() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("nowhere")] {
        assert_eq!(run("verify", &path, &[]).status.code(), Some(2));
        assert_eq!(run("inspect", &path, &[]).status.code(), Some(1));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
