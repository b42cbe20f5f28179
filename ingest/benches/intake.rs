//! Messages of a source into rows: records per second on one core, for purchases in JSON as they come, with their
//! members shuffled, with white space, with tags, and with an escape in each row, which takes the slow path; CSV, line
//! protocol and plain text besides. `--test` (what `cargo test` passes) runs each once.

use ingest::source::{Format, Include, Intake, Record};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::sync::Arc;
use std::time::Instant;
use tsdb::types::{DataType, Role};
use tsdb::{Catalog, StreamDef, StreamOptions};

/// Records between two requests.
const GROUP: usize = 10_000;

/// A purchase's members.
fn purchases(records: usize) -> Vec<Vec<String>> {
    let mut rng = SmallRng::seed_from_u64(1);
    const CITIES: [&str; 6] = ["Oslo", "Berlin", "Lisbon", "New York", "Kyoto", "Lima"];
    (0..records)
        .map(|i| {
            vec![
                format!("\"user_id\":\"u{}\"", rng.random_range(0..10_000)),
                format!("\"product\":\"p{}\"", rng.random_range(0..200)),
                format!(
                    "\"price\":{}.{:02}",
                    rng.random_range(1..500),
                    rng.random_range(0..100)
                ),
                format!("\"quantity\":{}", rng.random_range(1..9)),
                format!("\"city\":\"{}\"", CITIES[rng.random_range(0..CITIES.len())]),
                format!("\"ts\":{}", 1_700_000_000_000u64 + i as u64),
            ]
        })
        .collect()
}

fn objects(rows: &[Vec<String>], between: &str) -> Vec<String> {
    rows.iter()
        .map(|m| format!("{{{}}}", m.join(between)))
        .collect()
}

/// Nanoseconds that this thread has had a core, so that a busy machine does not spoil the figure; the wall clock where
/// the system does not tell.
fn on_core(since: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|s| s.split(' ').next()?.parse::<f64>().ok());
    nanos.unwrap_or(since.elapsed().as_nanos() as f64)
}

fn run(name: &str, tags: &[&str], format: &str, include: &str, values: &[String], rounds: usize) {
    let role = |name: &str| match tags.contains(&name) {
        true => Role::Tag,
        false => Role::Field,
    };
    let columns = [
        ("user_id", DataType::Utf8),
        ("product", DataType::Utf8),
        ("price", DataType::Float64),
        ("quantity", DataType::Int64),
        ("city", DataType::Utf8),
    ];
    let mut columns: Vec<_> = columns
        .iter()
        .map(|(n, t)| ((*n).to_owned(), *t, role(n)))
        .collect();
    columns.push(("ts".into(), DataType::Timestamp, Role::Time));
    let def = StreamDef {
        columns,
        options: StreamOptions::default(),
    };
    let catalog = Arc::new(Catalog::default());
    let stream = catalog.create_stream("default", "purchases", &def).unwrap();
    let mut intake = Intake::new(
        catalog,
        stream,
        Format::parse(format).unwrap(),
        Include::parse(include).unwrap(),
        "kafka",
    );
    let bytes: usize = values.iter().map(String::len).sum();
    let epoch = Instant::now();
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let begun = on_core(epoch);
        let mut accepted = 0;
        for group in values.chunks(GROUP) {
            for (i, value) in group.iter().enumerate() {
                let record = Record {
                    key: Some(b"u123"),
                    value: Some(value.as_bytes()),
                    headers: &[],
                    time_ns: Some(1_700_000_000_000_000_000),
                    topic: "purchases",
                    partition: 0,
                    offset: i as u64,
                };
                intake.push(&record, 1_700_000_000_000_000_000).unwrap();
                std::hint::black_box(intake.bytes());
            }
            accepted += intake.take().accepted;
        }
        assert_eq!(accepted, values.len());
        best = best.min((on_core(epoch) - begun) / 1e9);
    }
    println!(
        "{name:<34} {:>6.2} M records/s {:>6.0} ns/record {:>5.0} bytes/record",
        values.len() as f64 / best / 1e6,
        best * 1e9 / values.len() as f64,
        bytes as f64 / values.len() as f64
    );
}

fn main() {
    let test = std::env::args().any(|a| a == "--test");
    let (records, rounds) = if test { (4_000, 1) } else { (300_000, 7) };
    let rows = purchases(records);
    let plain = objects(&rows, ",");
    run("JSON purchases", &[], "json", "", &plain, rounds);
    run("with one tag", &["city"], "json", "", &plain, rounds);
    run(
        "with two tags, 10,000 users",
        &["city", "user_id"],
        "json",
        "",
        &plain,
        rounds,
    );
    let parts = "key, timestamp, partition, offset";
    run(
        "with four parts of the message",
        &[],
        "json",
        parts,
        &plain,
        rounds,
    );
    let spaced: Vec<String> = objects(&rows, ", ")
        .iter()
        .map(|o| o.replace("\":", "\": "))
        .collect();
    run("with white space", &[], "json", "", &spaced, rounds);
    let mut shuffled = rows.clone();
    let mut rng = SmallRng::seed_from_u64(2);
    shuffled.iter_mut().for_each(|r| r.shuffle(&mut rng));
    run(
        "with members shuffled",
        &[],
        "json",
        "",
        &objects(&shuffled, ","),
        rounds,
    );
    let escaped: Vec<String> = plain
        .iter()
        .map(|o| o.replace("\"u", "\"\\u0075"))
        .collect();
    run(
        "with escapes (the slow path)",
        &[],
        "json",
        "",
        &escaped,
        rounds,
    );
    let value = |m: &str| {
        m.split_once(':')
            .map_or("", |m| m.1)
            .trim_matches('"')
            .to_owned()
    };
    let csv: Vec<String> = rows
        .iter()
        .map(|r| r.iter().map(|m| value(m)).collect::<Vec<_>>().join(","))
        .collect();
    run("CSV", &[], "csv", "", &csv, rounds);
    let lines: Vec<String> = rows
        .iter()
        .map(|r| {
            let [user, product, price, quantity, city, ts] = [0, 1, 2, 3, 4, 5].map(|i| value(&r[i]));
            let city = city.replace(' ', "\\ ");
            format!("m,city={city} user_id=\"{user}\",product=\"{product}\",price={price},quantity={quantity}i {ts}000000")
        })
        .collect();
    run("line protocol", &[], "line_protocol", "", &lines, rounds);
}
