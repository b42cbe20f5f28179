//! Opening a database: after a crash with a gigabyte of log that no flush has taken, and with a gigabyte of segments.
//!
//! `cargo bench -p micro --bench recovery -- [megabytes]`. Each opening runs in a process of its own, which prints its time and
//! its anonymous memory.

use ingest::decode::Precision;
use ingest::decode::line_protocol::{LineContext, LineDecoder};
use micro::Tsbs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tsdb::{Engine, EngineConfig, Request};

fn config(dir: &Path) -> EngineConfig {
    EngineConfig {
        head_bytes: 16 << 30,
        flush_bytes: 8 << 30,
        ..EngineConfig::new(dir)
    }
}

fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn open(dir: &Path) {
    let begun = Instant::now();
    let engine = Engine::open(&config(dir)).expect("the database opens");
    let opened = begun.elapsed();
    engine.recovery_done();
    let rows: u64 = engine.storage().streams.iter().map(|s| s.rows).sum();
    println!(
        "opened {rows} rows in {:.2} s, {} MiB of anonymous memory",
        opened.as_secs_f64(),
        anonymous_kib() >> 10
    );
    // The process ends as a crash would: nothing is closed in order.
    std::process::exit(0);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|a| a == "open") {
        return open(Path::new(&arguments[at + 1]));
    }
    let megabytes: u64 = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(32);
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::fs::create_dir_all(&target).expect("the target directory can be made");
    let dir = tempfile::tempdir_in(target).expect("a directory can be made");
    let child = |what: &str| {
        println!("{what}:");
        let this = std::env::current_exe().expect("the bench has a path");
        let status = Command::new(this).arg("open").arg(dir.path()).status();
        assert!(status.expect("the bench runs").success());
    };
    let engine = Engine::open(&config(dir.path())).expect("a new database opens");
    let (decoder, mut load) = (LineDecoder::new(), Tsbs::new(0, 4000));
    let mut rows = 0;
    while engine.storage().wal_bytes < megabytes << 20 {
        let body = load.render(20_000);
        let ctx = LineContext {
            catalog: engine.catalog(),
            db: "bench",
            precision: Precision::Nanos,
            now_ns: 0,
        };
        let decoded = decoder.decode(&body, &ctx).expect("the rows are few");
        rows += decoded.accepted;
        let request = Request {
            rows: decoded.rows,
            ..Request::default()
        };
        engine.commit(request).expect("a batch commits");
    }
    println!(
        "{rows} rows in {} MiB of log",
        engine.storage().wal_bytes >> 20
    );
    drop(engine);
    child("log only");
    let engine = Engine::open(&config(dir.path())).expect("the database opens");
    engine.flush().expect("a flush succeeds");
    println!("{} MiB of segments", engine.storage().segment_bytes >> 20);
    drop(engine);
    child("segments only");
}
