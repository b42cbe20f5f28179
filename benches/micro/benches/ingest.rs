//! Line protocol to durable, visible rows inside one process: decoding, group commit, fsync and flushes, without HTTP.
//!
//! `cargo bench -p micro --bench ingest -- [seconds] [std|uring]`; the data directory is made under `target`, which
//! should be a real disk.

use ingest::decode::Precision;
use ingest::decode::line_protocol::{LineContext, LineDecoder};
use micro::Tsbs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::io::IoKind;
use tsdb::{Engine, EngineConfig, Request};

const BATCH: usize = 5000;
const WRITERS: usize = 2;
/// Bodies that each writer renders before the clock runs; more would not fit the cache any worse.
const BODIES: usize = 400;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let seconds = arguments
        .iter()
        .find_map(|a| a.parse().ok())
        .unwrap_or(2u64);
    let io = if arguments.iter().any(|a| a == "std") {
        IoKind::Std
    } else {
        IoKind::Auto
    };
    let target = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::fs::create_dir_all(&target).expect("the target directory can be made");
    let dir = tempfile::tempdir_in(target).expect("a directory can be made");
    let engine = Engine::open(&EngineConfig {
        io,
        ..EngineConfig::new(dir.path())
    })
    .expect("a new database opens");
    let decoder = Arc::new(LineDecoder::new());
    let bodies: Vec<Vec<Vec<u8>>> = (0..WRITERS)
        .map(|w| {
            let mut load = Tsbs::new(w * 2000, 2000);
            (0..BODIES).map(|_| load.render(BATCH)).collect()
        })
        .collect();
    let bytes = bodies[0].iter().map(Vec::len).sum::<usize>() / BODIES;
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let writers: Vec<_> = bodies
        .into_iter()
        .map(|bodies| {
            let (engine, decoder) = (engine.clone(), decoder.clone());
            std::thread::spawn(move || {
                let (mut latencies, mut decoding) = (Vec::new(), Duration::ZERO);
                for body in &bodies {
                    if Instant::now() > end {
                        break;
                    }
                    let begun = Instant::now();
                    let now_ns = engine.clock().wall_ns();
                    let ctx = LineContext {
                        catalog: engine.catalog(),
                        db: "bench",
                        precision: Precision::Nanos,
                        now_ns,
                    };
                    let decoded = decoder.decode(body, &ctx).expect("the rows are few");
                    decoding += begun.elapsed();
                    assert_eq!(decoded.accepted, BATCH, "{:?}", decoded.errors);
                    engine
                        .commit(Request {
                            rows: decoded.rows,
                            ..Request::default()
                        })
                        .expect("a batch commits");
                    latencies.push(begun.elapsed());
                }
                (latencies, decoding)
            })
        })
        .collect();
    let results: Vec<_> = writers
        .into_iter()
        .map(|w| w.join().expect("a writer ends"))
        .collect();
    let elapsed = started.elapsed();
    let mut latencies: Vec<Duration> = results.iter().flat_map(|r| r.0.clone()).collect();
    latencies.sort_unstable();
    let rows = latencies.len() * BATCH;
    let decoding: Duration = results.iter().map(|r| r.1).sum();
    println!(
        "{}: {rows} rows in {:.2} s: {:.0} rows/s, {:.0} ns of decoding a row ({:.2} GB/s), commit p50 {:.2} ms, p99 {:.2} ms",
        engine.disk().kind(),
        elapsed.as_secs_f64(),
        rows as f64 / elapsed.as_secs_f64(),
        decoding.as_nanos() as f64 / rows as f64,
        bytes as f64 * latencies.len() as f64 / decoding.as_nanos() as f64,
        latencies[latencies.len() / 2].as_secs_f64() * 1e3,
        latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e3,
    );
    let begun = Instant::now();
    engine.flush().expect("a flush succeeds");
    let s = engine.storage();
    println!(
        "last flush {:.2} s; {} segments, {:.3} bytes a value all-in ({} segment, {} index bytes)",
        begun.elapsed().as_secs_f64(),
        s.segments,
        (s.segment_bytes + s.index_bytes) as f64 / (rows * 10) as f64,
        s.segment_bytes,
        s.index_bytes
    );
    assert_eq!(s.streams.iter().map(|s| s.rows).sum::<u64>(), rows as u64);
}
