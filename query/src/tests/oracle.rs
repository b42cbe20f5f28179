//! Grouped answers against a model of a few lines that imports nothing of this crate.

use super::Db;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A row of the model: seconds, host, region, integer, float.
type Row = (i64, Option<u8>, Option<u8>, Option<i64>, Option<f64>);

/// Which rows a condition keeps.
type Keep = fn(&Row) -> bool;

fn generate(rng: &mut SmallRng, n: usize) -> Vec<Row> {
    (0..n)
        .map(|_| {
            let maybe = |rng: &mut SmallRng| !rng.random_bool(0.1);
            (
                rng.random_range(-200..2_000),
                maybe(rng).then(|| rng.random_range(0..5)),
                maybe(rng).then(|| rng.random_range(0..2)),
                maybe(rng).then(|| rng.random_range(-50..50)),
                maybe(rng).then(|| f64::from(rng.random_range(-1000..1000)) / 8.0),
            )
        })
        .collect()
}

fn insert(db: &Db, rows: &[Row]) {
    let text = |o: Option<String>| o.unwrap_or_else(|| "NULL".to_owned());
    for chunk in rows.chunks(97) {
        let mut sql = "INSERT INTO m (ts, host, region, i, f) VALUES ".to_owned();
        for (k, (t, h, r, i, f)) in chunk.iter().enumerate() {
            let comma = if k == 0 { "" } else { ", " };
            write!(
                sql,
                "{comma}(CAST({} AS TIMESTAMP), {}, {}, {}, {})",
                t * 1_000_000_000,
                text(h.map(|h| format!("'h{h}'"))),
                text(r.map(|r| format!("'r{r}'"))),
                text(i.map(|i| i.to_string())),
                text(f.map(|f| format!("{f:?}"))),
            )
            .unwrap();
        }
        db.run(&sql).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// count(*), count(i), sum(i), min(f), max(f), avg(i) of a group.
fn aggregates(rows: &[&Row]) -> String {
    let ints: Vec<i64> = rows.iter().filter_map(|r| r.3).collect();
    let floats: Vec<f64> = rows.iter().filter_map(|r| r.4).collect();
    let null = || "NULL".to_owned();
    let sum = if ints.is_empty() {
        null()
    } else {
        ints.iter().sum::<i64>().to_string()
    };
    let avg = if ints.is_empty() {
        null()
    } else {
        format!("{:?}", ints.iter().sum::<i64>() as f64 / ints.len() as f64)
    };
    let fold = |f: fn(f64, f64) -> f64| {
        floats
            .iter()
            .copied()
            .reduce(f)
            .map_or_else(null, |v| format!("{v:?}"))
    };
    format!(
        "{} {} {sum} {} {} {avg}",
        rows.len(),
        ints.len(),
        fold(f64::min),
        fold(f64::max)
    )
}

const AGGREGATES: &str = "count(*), count(i), sum(i), min(f), max(f), avg(i)";

fn grouped(rows: &[Row], key: impl Fn(&Row) -> Vec<String>) -> Vec<String> {
    let mut groups: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    let mut out: Vec<String> = groups
        .iter()
        .map(|(k, g)| format!("{} {}", k.join(" "), aggregates(g)))
        .collect();
    out.sort();
    out
}

fn asked(db: &Db, sql: &str) -> Vec<String> {
    let mut rows: Vec<String> = db.rows(sql).iter().map(|r| r.join(" ")).collect();
    rows.sort();
    rows
}

fn tag(prefix: &str, v: Option<u8>) -> String {
    v.map_or("NULL".to_owned(), |v| format!("{prefix}{v}"))
}

#[test]
fn groups_by_tags_buckets_and_conditions_agree_with_the_model() {
    for seed in 0..4 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let rows = generate(&mut rng, 600);
        let db = Db::new();
        db.run("CREATE STREAM m (ts TIMESTAMP, host STRING TAG, region STRING TAG, i BIGINT, f DOUBLE)").unwrap();
        insert(&db, &rows[..300]);
        db.flush();
        insert(&db, &rows[300..]);
        let filters: [(&str, Keep); 5] = [
            ("", |_| true),
            ("WHERE host = 'h1'", |r| r.1 == Some(1)),
            (
                "WHERE ts >= '1970-01-01 00:05:00' AND ts < '1970-01-01 00:20:00'",
                |r| (300..1200).contains(&r.0),
            ),
            ("WHERE i > 10 AND region IN ('r0', 'x')", |r| {
                r.3.is_some_and(|i| i > 10) && r.2 == Some(0)
            }),
            // Not a shape of the dense path: the general plan must say the same.
            ("WHERE abs(i) < 20 OR host LIKE 'h_'", |r| {
                r.3.is_some_and(|i| i.abs() < 20) || r.1.is_some()
            }),
        ];
        for (clause, keep) in filters {
            let kept: Vec<Row> = rows.iter().copied().filter(keep).collect();
            let by_tags = grouped(&kept, |r| vec![tag("h", r.1), tag("r", r.2)]);
            let sql =
                format!("SELECT host, region, {AGGREGATES} FROM m {clause} GROUP BY host, region");
            assert_eq!(asked(&db, &sql), by_tags, "seed {seed}: {sql}");
            let by_time = grouped(&kept, |r| {
                vec![(r.0.div_euclid(60) * 60).to_string(), tag("h", r.1)]
            });
            let sql = format!(
                "SELECT CAST(time_bucket('1 minute', ts) AS BIGINT) / 1000000000, host, {AGGREGATES} FROM m {clause} \
                 GROUP BY time_bucket('1 minute', ts), host"
            );
            assert_eq!(asked(&db, &sql), by_time, "seed {seed}: {sql}");
            let windowed = format!(
                "SELECT CAST(window_start AS BIGINT) / 1000000000 AS s, host, {AGGREGATES} FROM m {clause} \
                 WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY host"
            );
            let sql = format!("SELECT * EXCEPT (window_start, window_end) FROM ({windowed})");
            assert_eq!(asked(&db, &sql), by_time, "seed {seed}: {sql}");
            let all = format!("SELECT {AGGREGATES} FROM m {clause}");
            assert_eq!(
                asked(&db, &all),
                [aggregates(&kept.iter().collect::<Vec<_>>())],
                "seed {seed}: {all}"
            );
        }
    }
}

#[test]
fn the_last_row_of_each_host_is_the_models() {
    for seed in 10..14 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let rows = generate(&mut rng, 400);
        let db = Db::new();
        db.run("CREATE STREAM m (ts TIMESTAMP, host STRING TAG, region STRING TAG, i BIGINT, f DOUBLE)").unwrap();
        insert(&db, &rows[..200]);
        db.flush();
        insert(&db, &rows[200..]);
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        for r in &rows {
            let t = newest.entry(tag("h", r.1)).or_insert(i64::MIN);
            *t = r.0.max(*t);
        }
        let mut expected: Vec<String> = newest.iter().map(|(h, t)| format!("{h} {t}")).collect();
        expected.sort();
        let columns = "host, CAST(ts AS BIGINT) / 1000000000";
        for sql in [
            format!("SELECT {columns} FROM m LATEST ON ts PARTITION BY host"),
            format!("SELECT DISTINCT ON (host) {columns} FROM m ORDER BY host, ts DESC"),
            format!(
                "SELECT DISTINCT ON (host) {columns} FROM m WHERE abs(1) = 1 ORDER BY host, ts DESC"
            ),
        ] {
            assert_eq!(asked(&db, &sql), expected, "seed {seed}: {sql}");
        }
    }
}

#[test]
fn explain_analyze_tells_what_was_not_read() {
    let db = Db::new();
    db.run(
        "CREATE STREAM m (ts TIMESTAMP, host STRING TAG, region STRING TAG, i BIGINT, f DOUBLE)",
    )
    .unwrap();
    let mut rng = SmallRng::seed_from_u64(7);
    insert(&db, &generate(&mut rng, 500));
    db.flush();
    let counts = |sql: &str| -> (u64, u64, u64, u64) {
        let lines = db.rows(&format!("EXPLAIN ANALYZE {sql}"));
        let line = lines
            .iter()
            .map(|r| r[0].clone())
            .find(|l| l.starts_with("scan m: "))
            .expect("a scan line");
        let n: Vec<u64> = line
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|w| w.parse().ok())
            .collect();
        (n[0], n[1], n[2], n[3])
    };
    let (chunks, pruned, decoded, rows) = counts("SELECT ts, host, i FROM m");
    assert!(chunks > 0);
    assert_eq!((pruned, decoded, rows), (0, chunks, 500));
    let (chunks, pruned, decoded, rows) = counts("SELECT ts, i FROM m WHERE ts > '2001-01-01'");
    assert_eq!((pruned, decoded, rows), (chunks, 0, 0));
    let (chunks, pruned, decoded, _) = counts("SELECT ts, i FROM m WHERE i > 1000");
    assert_eq!(
        (pruned, decoded),
        (chunks, 0),
        "no value is above 1000: zone maps say so"
    );
}
