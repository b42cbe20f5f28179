//! Decoding TSBS cpu-only lines: GB/s and ns per row on one core, in the order of arrival, shuffled fields, dropped
//! fields, and one row per request. `--test` (what `cargo test` passes) runs each once.

use ingest_decode::Precision;
use ingest_decode::line_protocol::{LineContext, LineDecoder};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::fmt::Write;
use std::time::Instant;
use tsdb::Catalog;

const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

fn lines(hosts: usize, rows: usize, shuffle: bool, drop: f64) -> Vec<String> {
    let mut rng = SmallRng::seed_from_u64(1);
    let row = |i: usize| {
        let host = i % hosts;
        let mut line = format!(
            "cpu,hostname=host_{host},region=eu-central-1,datacenter=eu-central-1a,rack={},os=Ubuntu15.10,arch=x86,\
             team=SF,service={},service_version=0,service_environment=production",
            host % 100,
            host % 20
        );
        let mut fields = FIELDS.to_vec();
        if shuffle {
            fields.shuffle(&mut rng);
        }
        if drop > 0.0 && rng.random_bool(drop) {
            fields.truncate(7);
        }
        for (n, f) in fields.iter().enumerate() {
            let _ = write!(
                line,
                "{}{f}={}i",
                if n == 0 { ' ' } else { ',' },
                rng.random_range(0..=100)
            );
        }
        let _ = writeln!(
            line,
            " {}",
            1_451_606_400_000_000_000u64 + (i / hosts) as u64 * 10_000_000_000
        );
        line
    };
    (0..rows).map(row).collect()
}

/// Nanoseconds that this thread has had a core, so that a busy machine does not spoil the figure; the wall clock where
/// the system does not tell.
fn on_core(since: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|s| s.split(' ').next()?.parse::<f64>().ok());
    nanos.unwrap_or(since.elapsed().as_nanos() as f64)
}

fn run(name: &str, bodies: &[String], rows: usize, rounds: usize) {
    let catalog = Catalog::default();
    let decoder = LineDecoder::new();
    let ctx = LineContext {
        catalog: &catalog,
        db: "default",
        precision: Precision::Nanos,
        now_ns: 0,
    };
    let bytes: usize = bodies.iter().map(String::len).sum();
    let epoch = Instant::now();
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let begun = on_core(epoch);
        let accepted: usize = bodies
            .iter()
            .map(|b| decoder.decode(b.as_bytes(), &ctx).map_or(0, |d| d.accepted))
            .sum();
        assert_eq!(accepted, rows);
        best = best.min((on_core(epoch) - begun) / 1e9);
    }
    println!(
        "{name:<28} {:>6.2} GB/s {:>7.0} ns/row {:>6.0} bytes/row",
        bytes as f64 / best / 1e9,
        best * 1e9 / rows as f64,
        bytes as f64 / rows as f64
    );
}

fn batches(lines: &[String], size: usize) -> Vec<String> {
    lines.chunks(size).map(<[String]>::concat).collect()
}

fn main() {
    let test = std::env::args().any(|a| a == "--test");
    let (rows, rounds) = if test { (8_000, 1) } else { (200_000, 7) };
    let plain = lines(4_000, rows, false, 0.0);
    run(
        "tsbs, 5,000 rows a request",
        &batches(&plain, 5_000),
        rows,
        rounds,
    );
    run(
        "tsbs, fields shuffled",
        &batches(&lines(4_000, rows, true, 0.0), 5_000),
        rows,
        rounds,
    );
    run(
        "tsbs, fields dropped in 5 %",
        &batches(&lines(4_000, rows, false, 0.05), 5_000),
        rows,
        rounds,
    );
    let mut mixed = plain.clone();
    mixed.shuffle(&mut SmallRng::seed_from_u64(2));
    run(
        "tsbs, hosts in random order",
        &batches(&mixed, 5_000),
        rows,
        rounds,
    );
    run("tsbs, one row a request", &plain, rows, rounds);
}
