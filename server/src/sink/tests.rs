//! Sinks over a real engine and a topic in memory that keeps transactions as Kafka does, and fails at any step.

use super::out::{Connected, Out};
use super::{Sinks, SinksConfig};
use crate::encode::json_objects;
use ingest::sink::kafka::{KafkaSinkSpec, Progress, Trouble};
use parking_lot::Mutex;
use query::view::ViewRuntime;
use query::{Output, QueryConfig, QueryEngine, Session, SinkBoard, SinkInfo};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::types::Lsn;
use tsdb::{Engine, EngineConfig};

const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a value that the topic takes.
const MAX_RECORD: usize = 1000;

type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

#[derive(Default)]
struct Topic {
    /// What a read_committed reader sees: the LSN of each transaction, and its records.
    seen: Vec<(u64, Vec<Pair>)>,
    progress: HashMap<String, Progress>,
    /// The newest producer by name.
    newest: HashMap<String, u64>,
    links: u64,
    down: bool,
    /// One in so many connections, beginnings and commits fails, and one in 200 times as many records; none when 0.
    fails: u64,
    seed: u64,
}

impl Topic {
    /// Whether an operation is to fail, which is so many times as safe as others.
    fn trips(&mut self, safe: u64) -> bool {
        // xorshift64
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.fails > 0 && self.seed.is_multiple_of(self.fails * safe)
    }
}

#[derive(Clone, Default)]
struct Broker(Arc<Mutex<Topic>>);

struct Link {
    broker: Broker,
    id: u64,
    name: String,
    group: String,
    exactly_once: bool,
    pending: Vec<Pair>,
}

fn retry(why: &str) -> Trouble {
    Trouble::Retry(why.into())
}

impl Broker {
    fn connect(&self, spec: &KafkaSinkSpec) -> Result<Connected, Trouble> {
        let mut topic = self.0.lock();
        if topic.down || topic.trips(1) {
            return Err(retry("no broker"));
        }
        topic.links += 1;
        let id = topic.links;
        topic.newest.insert(spec.transactional_id.clone(), id);
        let link = Link {
            broker: self.clone(),
            id,
            name: spec.transactional_id.clone(),
            group: spec.group.clone(),
            exactly_once: spec.exactly_once,
            pending: Vec::new(),
        };
        Ok((Box::new(link), topic.progress.get(&spec.group).copied()))
    }

    fn fold(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut folded = BTreeMap::new();
        for (_, records) in &self.0.lock().seen {
            fold(&mut folded, records);
        }
        folded
    }
}

fn fold(into: &mut BTreeMap<Vec<u8>, Vec<u8>>, records: &[Pair]) {
    for (key, value) in records {
        let key = key.clone().unwrap();
        match value {
            Some(value) => drop(into.insert(key, value.clone())),
            None => drop(into.remove(&key)),
        }
    }
}

impl Link {
    fn check(&self, topic: &mut Topic, safe: u64) -> Result<(), Trouble> {
        if topic.newest[&self.name] != self.id {
            return Err(Trouble::Fenced("another producer".into()));
        }
        if topic.down || topic.trips(safe) {
            return Err(retry("the broker is gone"));
        }
        Ok(())
    }
}

impl Out for Link {
    fn begin(&mut self) -> Result<(), Trouble> {
        self.pending.clear();
        self.check(&mut self.broker.0.clone().lock(), 1)
    }

    fn put(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Trouble> {
        let broker = self.broker.clone();
        let mut topic = broker.0.lock();
        self.check(&mut topic, 200)?;
        if value.is_some_and(|v| v.len() > MAX_RECORD) {
            return Err(Trouble::TooLarge("too large".into()));
        }
        let pair = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        if self.exactly_once {
            self.pending.push(pair);
        } else {
            topic.seen.push((0, vec![pair]));
        }
        Ok(())
    }

    fn commit(&mut self, progress: Progress) -> Result<(), Trouble> {
        let broker = self.broker.clone();
        let mut topic = broker.0.lock();
        self.check(&mut topic, 1)?;
        topic.progress.insert(self.group.clone(), progress);
        topic
            .seen
            .push((progress.lsn, std::mem::take(&mut self.pending)));
        // It took effect, and the answer is lost.
        if topic.trips(1) {
            return Err(retry("no answer"));
        }
        Ok(())
    }
}

struct Tester {
    dir: tempfile::TempDir,
    broker: Broker,
    runtime: tokio::runtime::Runtime,
    open: Option<Opened>,
}

struct Opened {
    engine: Engine,
    query: Arc<QueryEngine>,
    views: Arc<ViewRuntime>,
    sinks: Arc<Sinks>,
}

impl Tester {
    fn new(fails: u64, seed: u64) -> Tester {
        let broker = Broker::default();
        (broker.0.lock().fails, broker.0.lock().seed) = (fails, seed);
        let mut tester = Tester {
            dir: tempfile::tempdir().unwrap(),
            broker,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            open: None,
        };
        tester.start();
        tester
    }

    fn start(&mut self) {
        let engine = Engine::open(&EngineConfig {
            wal_file_bytes: 256 << 10,
            held: vec![("opening".into(), Lsn(0))],
            ..EngineConfig::new(self.dir.path())
        })
        .unwrap();
        let query = QueryEngine::new(engine.clone(), QueryConfig::default()).unwrap();
        let views = ViewRuntime::open(&query).unwrap();
        let config = SinksConfig {
            kafka_brokers: Some("memory".into()),
            backoff: (Duration::from_millis(1), Duration::from_millis(20)),
            ..SinksConfig::default()
        };
        let broker = self.broker.clone();
        let connect =
            Box::new(move |spec: &KafkaSinkSpec, _: &dyn Fn() -> bool| broker.connect(spec));
        let sinks = Sinks::open_with(&query, &views, config, connect).unwrap();
        engine.hold_wal("opening", None);
        self.open = Some(Opened {
            engine,
            query,
            views,
            sinks,
        });
    }

    /// Ends everything; what was under way with the broker is cut off, as by a kill.
    fn stop(&mut self, kill: bool) {
        let opened = self.open.take().unwrap();
        let was = std::mem::replace(&mut self.broker.0.lock().down, kill);
        opened.sinks.close();
        opened.views.close();
        opened.engine.close();
        self.broker.0.lock().down = was;
    }

    fn sql(&self, text: &str) -> Vec<Output> {
        let opened = self.open.as_ref().unwrap();
        let session = Session::of("default");
        let run = opened.query.execute(&session, text);
        self.runtime
            .block_on(run)
            .unwrap_or_else(|(_, e)| panic!("{text}: {e}"))
    }

    fn refused(&self, text: &str) -> String {
        let opened = self.open.as_ref().unwrap();
        let session = Session::of("default");
        let run = opened.query.execute(&session, text);
        self.runtime
            .block_on(run)
            .map(|_| ())
            .unwrap_err()
            .1
            .to_string()
    }

    fn lsn(&self, text: &str) -> u64 {
        match self.sql(text).pop() {
            Some(Output::Done { lsn, .. }) => lsn,
            _ => panic!("{text} has no LSN"),
        }
    }

    /// The rows of a query as JSON objects.
    fn rows(&self, text: &str) -> Vec<Value> {
        let Some(Output::Rows { mut rows, .. }) = self.sql(text).pop() else {
            panic!("{text} has no rows");
        };
        let mut out = Vec::new();
        self.runtime.block_on(async {
            while let Some(batch) = rows.next().await {
                json_objects(&batch.unwrap(), None, b"", b"\n", &mut out);
            }
        });
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    fn sink(&self, name: &str) -> SinkInfo {
        let all = self.open.as_ref().unwrap().sinks.list();
        all.into_iter().find(|s| s.name == name).unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            let sinks = self.open.as_ref().unwrap().sinks.list();
            assert!(begun.elapsed() < PATIENCE, "{what}: {sinks:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn caught_up(&self, name: &str, lsn: u64) {
        self.until("the sink does not catch up", || self.sink(name).lsn >= lsn);
    }
}

impl Drop for Tester {
    fn drop(&mut self) {
        if self.open.is_some() {
            self.stop(false);
        }
    }
}

const EVENTS: &str =
    "CREATE STREAM e (ts TIMESTAMP, k STRING TAG, id BIGINT, v BIGINT) WITH (event_time = 'ts')";

/// Groups whose sum is in a range: rows come, change and go.
const SUMS: &str =
    "CREATE VIEW sums AS SELECT k, COUNT(*) AS n, SUM(v) AS s FROM e GROUP BY k HAVING SUM(v) > 0";

fn random(seed: &mut u64, below: u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// Inserts rows; gives (LSN, key, id, value) of each.
fn insert(t: &Tester, seed: &mut u64, next: &mut u64) -> Vec<(u64, u64, u64, i64)> {
    let rows: Vec<(u64, u64, i64)> = (0..1 + random(seed, 12))
        .map(|_| {
            *next += 1;
            (random(seed, 9), *next, random(seed, 21) as i64 - 10)
        })
        .collect();
    let values: Vec<String> = rows
        .iter()
        .map(|(k, id, v)| format!("('2026-01-01 00:00:{:02}', 'k{k}', {id}, {v})", id % 60))
        .collect();
    let lsn = t.lsn(&format!(
        "INSERT INTO e (ts, k, id, v) VALUES {}",
        values.join(", ")
    ));
    rows.into_iter().map(|(k, id, v)| (lsn, k, id, v)).collect()
}

/// The view at an LSN, as the topic should have it.
fn sums_at(rows: &[(u64, u64, u64, i64)], lsn: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut sums: BTreeMap<u64, (u64, i64)> = BTreeMap::new();
    for (_, k, _, v) in rows.iter().filter(|r| r.0 <= lsn) {
        let sum = sums.entry(*k).or_default();
        (sum.0, sum.1) = (sum.0 + 1, sum.1 + v);
    }
    let shown = sums.into_iter().filter(|(_, (_, s))| *s > 0);
    let json = |(k, (n, s))| {
        let value = format!("{{\"k\":\"k{k}\",\"n\":{n},\"s\":{s}}}");
        (
            format!("{{\"k\":\"k{k}\"}}").into_bytes(),
            value.into_bytes(),
        )
    };
    shown.map(json).collect()
}

#[test]
fn a_views_topic_is_the_view_after_every_transaction_whatever_fails() {
    for seed in 1..=4u64 {
        let mut t = Tester::new(7, seed);
        t.sql(EVENTS);
        t.sql(SUMS);
        let (mut rng, mut next, mut rows) = (seed, 0, Vec::new());
        rows.extend(insert(&t, &mut rng, &mut next));
        t.sql("CREATE SINK out FROM sums WITH (kafka_topic = 'out')");
        for round in 0..60 {
            rows.extend(insert(&t, &mut rng, &mut next));
            match random(&mut rng, 12) {
                0 => {
                    t.stop(round % 2 == 0);
                    t.start();
                }
                1 => t.broker.0.lock().down = true,
                2..=4 => t.broker.0.lock().down = false,
                5 => drop(t.open.as_ref().unwrap().engine.flush()),
                6..=8 if !t.broker.0.lock().down => t.caught_up("out", rows.last().unwrap().0),
                _ => {}
            }
        }
        t.broker.0.lock().down = false;
        let last = rows.last().unwrap().0;
        t.caught_up("out", last);
        let mut folded = BTreeMap::new();
        let seen: Vec<_> = t.broker.0.lock().seen.clone();
        assert!(seen.len() > 10, "{}", seen.len());
        for (lsn, records) in &seen {
            fold(&mut folded, records);
            assert!(folded == sums_at(&rows, *lsn), "seed {seed}, LSN {lsn}");
        }
        assert!(folded == sums_at(&rows, last), "seed {seed}");
        assert_eq!(folded.len(), t.rows("SELECT * FROM sums").len());
    }
}

#[test]
fn a_stream_comes_once_and_in_order_whatever_fails() {
    for seed in 1..=4u64 {
        let mut t = Tester::new(9, seed);
        t.sql(EVENTS);
        let (mut rng, mut next, mut rows) = (seed, 0, Vec::new());
        let before = insert(&t, &mut rng, &mut next).len();
        t.sql("CREATE SINK out FROM e WITH (kafka_topic = 'out', key = 'K, id')");
        t.sql("CREATE SINK large AS SELECT id FROM e WHERE v > 5 WITH (kafka_topic = 'large', snapshot = false)");
        t.sql("CREATE SINK all_of FROM e WITH (kafka_topic = 'all', snapshot = true, value_format = 'csv')");
        for round in 0..60 {
            rows.extend(insert(&t, &mut rng, &mut next));
            match random(&mut rng, 12) {
                0 => {
                    t.stop(round % 2 == 0);
                    t.start();
                }
                1 => t.broker.0.lock().down = true,
                2..=4 => t.broker.0.lock().down = false,
                5 => drop(t.open.as_ref().unwrap().engine.flush()),
                6..=8 if !t.broker.0.lock().down => t.caught_up("out", rows.last().unwrap().0),
                _ => {}
            }
        }
        t.broker.0.lock().down = false;
        let last = rows.last().unwrap().0;
        for sink in ["out", "large", "all_of"] {
            t.caught_up(sink, last);
        }
        let (mut all, mut large, mut csv) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in t
            .broker
            .0
            .lock()
            .seen
            .iter()
            .flat_map(|(_, records)| records)
        {
            let value = value.as_ref().unwrap();
            match serde_json::from_slice::<Value>(value) {
                Ok(row) if row.get("k").is_some() => {
                    let key: Value = serde_json::from_slice(key.as_ref().unwrap()).unwrap();
                    assert_eq!((&key["k"], &key["id"]), (&row["k"], &row["id"]));
                    assert!(row["ts"].as_str().unwrap().starts_with("2026-01-01T00:00:"));
                    all.push(row["id"].as_u64().unwrap());
                }
                Ok(row) => large.push(row["id"].as_u64().unwrap()),
                Err(_) => csv.push(String::from_utf8(value.clone()).unwrap()),
            }
        }
        let ids = |rows: &mut dyn Iterator<Item = &(u64, u64, u64, i64)>| {
            rows.map(|r| r.2).collect::<Vec<_>>()
        };
        assert_eq!(all, ids(&mut rows.iter()), "seed {seed}");
        assert_eq!(
            large,
            ids(&mut rows.iter().filter(|r| r.3 > 5)),
            "seed {seed}"
        );
        csv.sort();
        csv.dedup();
        assert_eq!(csv.len(), before + rows.len(), "seed {seed}");
    }
}

/// A row that can't be computed, and one that the topic does not take, are dead letters, each once; the others go on.
#[test]
fn rows_that_can_not_be_sent_stop_nothing_whatever_fails() {
    for seed in 1..=3u64 {
        let mut t = Tester::new(7, seed);
        t.sql("CREATE STREAM w (ts TIMESTAMP, id BIGINT, v BIGINT, text STRING) WITH (event_time = 'ts')");
        t.sql("CREATE SINK shares AS SELECT id, 100 / v AS share, text FROM w WITH (kafka_topic = 'out', snapshot = false)");
        let (mut rng, mut id, mut good, mut bad) = (seed, 0, Vec::new(), 0);
        for round in 0..40 {
            let rows: Vec<String> = (0..1 + random(&mut rng, 6))
                .map(|_| {
                    id += 1;
                    let v = random(&mut rng, 5);
                    let long = random(&mut rng, 8) == 0;
                    match v == 0 || long {
                        true => bad += 1,
                        false => good.push(id),
                    }
                    let text = "x".repeat(if long { 2 * MAX_RECORD } else { 3 });
                    format!("('2026-01-01', {id}, {v}, '{text}')")
                })
                .collect();
            t.lsn(&format!(
                "INSERT INTO w (ts, id, v, text) VALUES {}",
                rows.join(", ")
            ));
            if round % 9 == 8 {
                t.stop(round % 2 == 0);
                t.start();
            }
        }
        let last = t.open.as_ref().unwrap().engine.published().0;
        t.caught_up("shares", last);
        let sent: Vec<u64> = {
            let topic = t.broker.0.lock();
            let records = topic.seen.iter().flat_map(|(_, records)| records);
            let id = |(_, value): &Pair| {
                let row: Value = serde_json::from_slice(value.as_ref().unwrap()).unwrap();
                row["id"].as_u64().unwrap()
            };
            records.map(id).collect()
        };
        assert_eq!(sent, good, "seed {seed}");
        let letters = t.rows("SELECT COUNT(*) AS n, COUNT(DISTINCT position) AS d FROM dead_letters WHERE source = 'sink'");
        assert_eq!(
            (&letters[0]["n"], &letters[0]["d"]),
            (&bad.into(), &bad.into()),
            "seed {seed}"
        );
    }
}

#[test]
fn what_can_come_twice_still_folds_to_the_view() {
    let mut t = Tester::new(5, 3);
    t.sql(EVENTS);
    t.sql(SUMS);
    let (mut rng, mut next, mut rows) = (5, 0, Vec::new());
    t.sql("CREATE SINK out FROM sums WITH (kafka_topic = 'out', exactly_once = false)");
    for round in 0..40 {
        rows.extend(insert(&t, &mut rng, &mut next));
        if round % 9 == 8 {
            t.stop(true);
            t.start();
        }
    }
    let last = rows.last().unwrap().0;
    t.caught_up("out", last);
    assert!(t.broker.fold() == sums_at(&rows, last));
}

#[test]
fn windows_of_a_final_view_come_once_when_they_close() {
    let mut t = Tester::new(6, 11);
    t.sql(EVENTS);
    t.sql(
        "CREATE VIEW w AS SELECT k, COUNT(*) AS n FROM e WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY k EMIT FINAL",
    );
    t.sql("CREATE SINK out FROM w WITH (kafka_topic = 'out', key = 'k')");
    let mut last = 0;
    for n in 0..40u64 {
        let time = format!("2026-01-01 00:{:02}:{:02}", n / 12, n % 12 * 5);
        last = t.lsn(&format!(
            "INSERT INTO e (ts, k, id, v) VALUES ('{time}', 'a', {n}, 1), ('{time}', 'b', {n}, 1)"
        ));
        if n % 13 == 12 {
            t.stop(n % 2 == 0);
            t.start();
        }
    }
    t.until("windows are missing", || {
        let seen = &t.broker.0.lock().seen;
        seen.iter().map(|(_, r)| r.len()).sum::<usize>() >= 2 * 18
    });
    t.caught_up("out", last);
    let seen = t.broker.0.lock().seen.clone();
    let mut all: Vec<String> = Vec::new();
    for (key, value) in seen.into_iter().flat_map(|(_, records)| records) {
        let value: Value = serde_json::from_slice(&value.unwrap()).unwrap();
        assert_eq!(value["n"], 2);
        let key: Value = serde_json::from_slice(&key.unwrap()).unwrap();
        assert_eq!(key, serde_json::json!({"k": value["k"]}));
        all.push(format!("{} {}", value["k"], value["window_start"]));
    }
    let records = all.len();
    all.sort();
    all.dedup();
    // The watermark is 5 s behind the last row, at 00:03:15: windows up to 00:03:10 have closed, and one more when nothing
    // came for so long that time has moved on by itself.
    assert!(
        records == all.len() && (records == 38 || records == 40),
        "{records}: {all:?}"
    );
}

#[test]
fn a_sink_that_holds_too_much_log_gives_in() {
    let t = Tester::new(0, 1);
    t.sql(EVENTS);
    t.broker.0.lock().down = true;
    t.sql("CREATE SINK out FROM e WITH (kafka_topic = 'out', log_limit = 600000)");
    t.sql("CREATE SINK patient FROM e WITH (kafka_topic = 'out')");
    let long = "x".repeat(20_000);
    let begun = Instant::now();
    while t.sink("out").state != "failed" {
        t.sql(&format!(
            "INSERT INTO e (ts, k, id, v) VALUES ('2026-01-01', '{long}', 1, 1)"
        ));
        assert!(begun.elapsed() < PATIENCE);
    }
    let error = t.sink("out").error.unwrap();
    assert!(
        error.contains("log_limit") && error.contains("no broker"),
        "{error}"
    );
    assert_eq!(t.sink("patient").state, "waiting");
    // It can go, and another one of its name sends what comes from then on.
    t.sql("DROP SINK OUT");
    t.broker.0.lock().down = false;
    t.sql("CREATE SINK out FROM e WITH (kafka_topic = 'out')");
    let lsn = t.lsn("INSERT INTO e (ts, k, id, v) VALUES ('2026-01-01', 'k', 77, 1)");
    t.caught_up("out", lsn);
    t.caught_up("patient", lsn);
}

#[test]
fn what_can_not_be_a_sink_is_refused_with_a_reason() {
    let t = Tester::new(0, 1);
    t.sql(EVENTS);
    t.sql(SUMS);
    t.sql("CREATE VIEW counts AS SELECT COUNT(*) AS n FROM e WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY k");
    t.sql("CREATE VIEW windows AS SELECT k, COUNT(*) AS n FROM e WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY k");
    let refused = [
        ("CREATE SINK x FROM e", "kafka_topic"),
        (
            "CREATE SINK x FROM nowhere WITH (kafka_topic = 'a')",
            "nowhere",
        ),
        (
            "CREATE SINK x FROM e WITH (kafka_topic = 'a', key = 'z')",
            "no column \"z\"",
        ),
        (
            "CREATE SINK x FROM counts WITH (kafka_topic = 'a')",
            "grouped by and not selected",
        ),
        (
            "CREATE SINK x FROM windows WITH (kafka_topic = 'a', key = 'k')",
            "window_start",
        ),
        (
            "CREATE SINK x FROM e WITH (kafka_topic = 'a', \"kafka.acks\" = 1)",
            "kafka.acks",
        ),
        (
            "CREATE SINK x FROM e WITH (kafka_topic = 'a', topik = 'b')",
            "topik",
        ),
        ("DROP SINK x", "no sink"),
    ];
    for (sql, word) in refused {
        let error = t.refused(sql);
        assert!(error.contains(word), "{sql}: {error}");
    }
    t.sql("DROP SINK IF EXISTS x");
    t.sql("CREATE SINK x FROM windows WITH (kafka_topic = 'a', key = 'K, window_start', key_format = 'csv')");
    t.sql("CREATE SINK y FROM e WITH (kafka_topic = 'b')");
    t.sql("CREATE SINK IF NOT EXISTS y FROM e WITH (kafka_topic = 'b')");
    assert!(
        t.refused("CREATE SINK y FROM e WITH (kafka_topic = 'b')")
            .contains("exists")
    );
    assert!(t.refused("DROP VIEW windows").contains("sink \"x\""));
    t.sql("DROP VIEW sums");
    t.sql("DROP VIEW counts");
    t.until("a sink does not run", || {
        t.sink("x").state == "running" && t.sink("y").state == "running"
    });
    let shown = t.rows("SHOW SINKS");
    assert_eq!(shown.len(), 2);
    assert_eq!(
        (&shown[1]["name"], &shown[1]["from"], &shown[1]["topic"]),
        (&"y".into(), &"e".into(), &"b".into())
    );
    assert_eq!(shown[1]["state"], "running");
    assert!(shown[1]["error"].is_null());
    t.sql("DROP SINK x");
    t.sql("DROP VIEW windows");
    assert!(t.refused("DROP STREAM e").contains("sink \"y\""));
    t.sql("DROP SINK y");
    t.sql("DROP STREAM e");
}
