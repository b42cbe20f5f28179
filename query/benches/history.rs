//! The TSBS cpu-only queries over an engine in this process: no HTTP, answers read to their end.
//!
//! `ROWS` (default 200,000; 2,000,000 for the published comparison) are of 4,000 hosts, one each 10 s. Queries run once
//! over rows in memory and once over segments; printed are the median and the 95th percentile of `RUNS` runs each.

use query::{Output, QueryConfig, QueryEngine, Session};
use std::time::{Duration, Instant};
use tsdb::types::{BatchBuilder, ColumnId, DataType, Role};
use tsdb::{Engine, EngineConfig, Request, Rows, StreamDef};

const HOSTS: u32 = 4_000;
const START: i64 = 1_767_225_600_000_000_000;
const STEP: i64 = 10_000_000_000;
const TAGS: [&str; 10] = [
    "hostname",
    "region",
    "datacenter",
    "rack",
    "os",
    "arch",
    "team",
    "service",
    "service_version",
    "service_environment",
];
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

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

fn load(engine: &Engine, rows: usize) {
    let time = ("time".to_owned(), DataType::Timestamp, Role::Time);
    let tags = TAGS
        .iter()
        .map(|t| ((*t).to_owned(), DataType::Utf8, Role::Tag));
    let fields = FIELDS
        .iter()
        .map(|f| ((*f).to_owned(), DataType::Int64, Role::Field));
    let def = StreamDef {
        columns: std::iter::once(time).chain(tags).chain(fields).collect(),
        ..StreamDef::default()
    };
    let stream = engine
        .catalog()
        .create_stream("default", "cpu", &def)
        .expect("a new stream");
    let series: Vec<_> = (0..HOSTS)
        .map(|h| {
            let values: Vec<String> = TAGS
                .iter()
                .enumerate()
                .map(|(i, t)| {
                    if i == 0 {
                        format!("host_{h}")
                    } else {
                        format!("{t}_{}", h as usize % (3 + i))
                    }
                })
                .collect();
            let tags: Vec<(ColumnId, &str)> = values
                .iter()
                .enumerate()
                .map(|(i, v)| (ColumnId(1 + i as u16), v.as_str()))
                .collect();
            stream.series().resolve(&tags)
        })
        .collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % 101) as i64
    };
    let mut at = 0;
    while at < rows {
        let mut batch = BatchBuilder::new(stream.id);
        for i in at..(at + 5_000).min(rows) {
            batch.begin_row(
                START + (i as u32 / HOSTS) as i64 * STEP,
                series[i % HOSTS as usize],
            );
            for f in 0..FIELDS.len() as u16 {
                if let Some(column) = batch.column(ColumnId(11 + f), DataType::Int64) {
                    column.push_i64(next());
                }
            }
        }
        at += 5_000;
        let rows = Rows::from_builder(batch).into_iter().collect();
        engine
            .commit(Request {
                rows,
                ..Request::default()
            })
            .expect("a commit");
    }
}

fn queries(rows: usize) -> Vec<(&'static str, String)> {
    let end = START + (rows as i64 / i64::from(HOSTS)) * STEP;
    let hour = 3_600_000_000_000;
    let from = (end - hour).max(START);
    let range = |from: i64| format!("time >= {from} AND time < {end}");
    let hosts: Vec<String> = (0..8).map(|i| format!("'host_{}'", i * 411 + 7)).collect();
    let hosts = format!("hostname IN ({})", hosts.join(", "));
    let max = |n: usize| {
        FIELDS[..n]
            .iter()
            .map(|f| format!("max({f})"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let avg = |n: usize| {
        FIELDS[..n]
            .iter()
            .map(|f| format!("avg({f})"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let minute = "time_bucket('1 minute', time) AS minute";
    let hourly = "time_bucket('1 hour', time) AS hour";
    vec![
        (
            "single-groupby-1-1-1",
            format!(
                "SELECT {minute}, {} FROM cpu WHERE hostname = 'host_249' AND {} GROUP BY minute ORDER BY minute",
                max(1),
                range(from)
            ),
        ),
        (
            "single-groupby-1-8-1",
            format!(
                "SELECT {minute}, {} FROM cpu WHERE {hosts} AND {} GROUP BY minute ORDER BY minute",
                max(1),
                range(from)
            ),
        ),
        (
            "single-groupby-5-8-1",
            format!(
                "SELECT {minute}, {} FROM cpu WHERE {hosts} AND {} GROUP BY minute ORDER BY minute",
                max(5),
                range(from)
            ),
        ),
        (
            "cpu-max-all-8",
            format!(
                "SELECT {hourly}, {} FROM cpu WHERE {hosts} AND {} GROUP BY hour ORDER BY hour",
                max(10),
                range(end - 8 * hour)
            ),
        ),
        (
            "double-groupby-1",
            format!(
                "SELECT {hourly}, hostname, {} FROM cpu WHERE {} GROUP BY hour, hostname ORDER BY hour",
                avg(1),
                range(end - 12 * hour)
            ),
        ),
        (
            "double-groupby-all",
            format!(
                "SELECT {hourly}, hostname, {} FROM cpu WHERE {} GROUP BY hour, hostname ORDER BY hour",
                avg(10),
                range(end - 12 * hour)
            ),
        ),
        (
            "high-cpu-all",
            format!(
                "SELECT * FROM cpu WHERE usage_user > 90.0 AND {}",
                range(end - 12 * hour)
            ),
        ),
        (
            "lastpoint",
            "SELECT * FROM cpu LATEST ON time PARTITION BY hostname".to_owned(),
        ),
        (
            "groupby-orderby-limit",
            format!(
                "SELECT {minute}, max(usage_user) FROM cpu WHERE time < {end} GROUP BY minute ORDER BY minute DESC LIMIT 5"
            ),
        ),
        ("count", "SELECT count(*) FROM cpu".to_owned()),
    ]
}

fn main() {
    let (rows, runs) = (number("ROWS", 200_000), number("RUNS", 20));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let engine = Engine::open(&EngineConfig::new(dir.path())).expect("an engine");
    load(&engine, rows);
    let query = QueryEngine::new(engine.clone(), QueryConfig::default()).expect("a query engine");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for place in ["memory", "segments"] {
        if place == "segments" {
            engine.flush().expect("a flush");
        }
        println!("{rows} rows, {place}: ms p50, p95, rows");
        for (name, sql) in queries(rows) {
            let mut times = Vec::with_capacity(runs);
            let mut count = 0;
            for _ in 0..runs {
                let started = Instant::now();
                count = runtime.block_on(async {
                    let mut outputs = query
                        .execute(&Session::default(), &sql)
                        .await
                        .map_err(|(_, e)| e)
                        .expect(name);
                    let Some(Output::Rows { rows, .. }) = outputs.pop() else {
                        return 0;
                    };
                    rows.collect()
                        .await
                        .expect(name)
                        .iter()
                        .map(|b| b.num_rows())
                        .sum()
                });
                times.push(started.elapsed());
            }
            times.sort();
            let ms = |t: Duration| t.as_secs_f64() * 1e3;
            println!(
                "{name:24} {:9.3} {:9.3} {count:9}",
                ms(times[runs / 2]),
                ms(times[runs * 95 / 100])
            );
        }
    }
    engine.close();
}
