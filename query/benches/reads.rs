//! How many reads of a view by its key go through a second: 100,000 keys, one row a read, from statement to row.
//!
//! `cargo bench -p query --bench reads`; with `--test` it runs once over little, as a check that it still works.

use query::view::ViewRuntime;
use query::{Output, QueryConfig, QueryEngine, Session};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::{Engine, EngineConfig};

async fn rows(query: &Arc<QueryEngine>, sql: &str) -> usize {
    let outputs = query.execute(&Session::default(), sql).await;
    let mut outputs = outputs.unwrap_or_else(|(_, e)| panic!("{sql}: {e}"));
    match outputs.pop() {
        Some(Output::Rows { rows, .. }) => {
            let batches = rows
                .collect()
                .await
                .unwrap_or_else(|e| panic!("{sql}: {e}"));
            batches.iter().map(|b| b.num_rows()).sum()
        }
        _ => 0,
    }
}

async fn fill(query: &Arc<QueryEngine>, keys: usize) {
    rows(
        query,
        "CREATE STREAM t (id BIGINT, v BIGINT, timestamp TIMESTAMP)",
    )
    .await;
    rows(
        query,
        "CREATE MATERIALIZED VIEW v AS SELECT id, COUNT(*) AS n, SUM(v) AS total FROM t GROUP BY id",
    )
    .await;
    for from in (0..keys).step_by(1_000) {
        let mut sql = "INSERT INTO t VALUES ".to_owned();
        for id in from..keys.min(from + 1_000) {
            let comma = if id == from { "" } else { ", " };
            // Writing to a String can't fail.
            let _ = write!(sql, "{comma}({id}, {id}, TIMESTAMP '2026-01-01 00:00:00')");
        }
        rows(query, &sql).await;
    }
}

/// Reads for a while from so many tasks; prints reads a second and how long one takes.
async fn measure(
    query: &Arc<QueryEngine>,
    name: &str,
    sql: fn(usize) -> String,
    tasks: usize,
    time: Duration,
) {
    let started = Instant::now();
    let readers = (0..tasks).map(|task| {
        let query = Arc::clone(query);
        tokio::spawn(async move {
            let mut times = Vec::new();
            let mut key = task * 7_919;
            while started.elapsed() < time {
                key = (key * 31 + 17) % 1_000;
                let begun = Instant::now();
                assert_eq!(rows(&query, &sql(key)).await, 1);
                times.push(begun.elapsed());
            }
            times
        })
    });
    let mut times: Vec<Duration> = Vec::new();
    for reader in readers.collect::<Vec<_>>() {
        times.extend(reader.await.expect("no panic"));
    }
    times.sort_unstable();
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    println!(
        "{name}, {tasks} at a time: {rate:.0} reads a second, p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

fn main() {
    let test = std::env::args().any(|a| a == "--test");
    let (keys, time) = match test {
        true => (1_000, Duration::from_millis(50)),
        false => (100_000, Duration::from_secs(3)),
    };
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(&EngineConfig::new(dir.path())).expect("an engine");
    let query = QueryEngine::new(engine.clone(), QueryConfig::default()).expect("a query engine");
    let views = ViewRuntime::open(&query).expect("views");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        fill(&query, keys).await;
        let by_key = |key| format!("SELECT n, total FROM v WHERE id = {key}");
        let general = |key| format!("SELECT n, total FROM v WHERE id = {key} ORDER BY n");
        for tasks in [1, 16] {
            measure(&query, "by key", by_key, tasks, time).await;
            measure(&query, "by key, sorted", general, tasks, time).await;
        }
    });
    views.close();
    engine.close();
}
