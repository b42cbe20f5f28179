//! Views over an engine: created, read, subscribed to, restarted.

mod basics;
mod checkpoints;
mod databases;
mod failures;
mod property;
mod reads;
mod subscribers;
mod time;

use super::{Frame, Subscription, ViewConfig, ViewRuntime};
use crate::{Output, QueryConfig, QueryEngine, Session};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tsdb::{Engine, EngineConfig};

struct Db {
    engine: Engine,
    query: Arc<QueryEngine>,
    views: Arc<ViewRuntime>,
    runtime: tokio::runtime::Runtime,
}

impl Db {
    fn open(dir: &Path) -> Db {
        Db::open_with(dir, ViewConfig::default())
    }

    fn open_with(dir: &Path, config: ViewConfig) -> Db {
        Db::over(Engine::open(&EngineConfig::new(dir)).unwrap(), config)
    }

    fn over(engine: Engine, views: ViewConfig) -> Db {
        let config = QueryConfig {
            threads: 2,
            ..QueryConfig::default()
        };
        let query = QueryEngine::new(engine.clone(), config).unwrap();
        let views = ViewRuntime::open_with(&query, views).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Db {
            engine,
            query,
            views,
            runtime,
        }
    }

    fn run(&self, sql: &str) -> Option<Output> {
        let result = self
            .runtime
            .block_on(self.query.execute(&Session::default(), sql));
        result.unwrap_or_else(|(_, e)| panic!("{sql}: {e}")).pop()
    }

    /// Why a statement can't be run.
    fn fail(&self, sql: &str) -> String {
        let result = self
            .runtime
            .block_on(self.query.execute(&Session::default(), sql));
        match result {
            Err((_, e)) => e.to_string(),
            Ok(_) => panic!("{sql}: it runs"),
        }
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        match self.run(sql) {
            Some(Output::Rows { rows, .. }) => {
                let batches = self.runtime.block_on(rows.collect()).unwrap();
                let mut out: Vec<String> = batches.iter().flat_map(lines).collect();
                out.sort();
                out
            }
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn subscribe(&self, sql: &str) -> Subscription {
        match self.run(sql) {
            Some(Output::Continuous { query, sql, .. }) => {
                self.views.subscribe_query(*query, &sql).unwrap()
            }
            other => panic!("{sql}: {other:?}"),
        }
    }

    /// Takes frames until the subscriber has reached what is published, and applies them to `rows`.
    fn follow(
        &self,
        subscription: &mut Subscription,
        rows: &mut BTreeMap<String, i64>,
        until: &dyn Fn(&BTreeMap<String, i64>) -> bool,
    ) {
        let mut last = None;
        while !until(rows) {
            let frame = self
                .runtime
                .block_on(subscription.next())
                .expect("an open subscription");
            match frame.as_ref() {
                Frame::Snapshot { seq, rows: all } => {
                    rows.clear();
                    add(rows, all, 1);
                    last = Some(*seq);
                }
                Frame::Changes {
                    prev,
                    seq,
                    insert,
                    retract,
                } => {
                    assert!(last.is_none_or(|l| l == *prev), "a gap without a gap frame");
                    add(rows, retract, -1);
                    add(rows, insert, 1);
                    assert!(rows.values().all(|n| *n >= 0), "an absent row is retracted");
                    rows.retain(|_, n| *n != 0);
                    last = Some(*seq);
                }
                Frame::Gap { .. } => last = None,
                Frame::Closed { reason } => panic!("closed: {reason}"),
            }
        }
    }

    /// Looks again and again until it is so.
    fn wait_for(&self, mut is: impl FnMut(&Db) -> bool) {
        let started = std::time::Instant::now();
        while !is(self) {
            assert!(started.elapsed().as_secs() < 60, "it never comes to that");
            std::thread::yield_now();
        }
    }

    /// What another process would find if this one died now: the views are not closed, so that no state is saved. Their
    /// threads live on here and hold the directory, so that it is a copy.
    fn crash(self, dir: &Path) -> tempfile::TempDir {
        self.engine.close();
        let copy = tempfile::tempdir().unwrap();
        let folders = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path());
        for folder in folders.filter(|f| f.is_dir()) {
            let to = copy.path().join(folder.file_name().unwrap());
            std::fs::create_dir(&to).unwrap();
            for file in std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap()) {
                match std::fs::copy(file.path(), to.join(file.file_name())) {
                    // A checkpoint that has just given way to a newer one.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    copied => {
                        copied.unwrap();
                    }
                }
            }
        }
        copy
    }

    fn close(self) {
        self.views.close();
        self.engine.close();
    }
}

fn add(rows: &mut BTreeMap<String, i64>, batch: &RecordBatch, n: i64) {
    for line in lines(batch) {
        *rows.entry(line).or_default() += n;
    }
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    (0..batch.num_rows())
        .map(|r| {
            let cells: Vec<String> = batch
                .columns()
                .iter()
                .map(|c| {
                    ArrayFormatter::try_new(c, &options)
                        .unwrap()
                        .value(r)
                        .to_string()
                })
                .collect();
            cells.join("|")
        })
        .collect()
}

const PURCHASES: &str = "CREATE STREAM purchases (user_id BIGINT, amount DECIMAL(10,2), city STRING, timestamp TIMESTAMP) WITH (kafka_topic = 'purchases', value_format = 'JSON');";

fn insert(db: &Db, rows: &[(i64, &str, &str, &str)]) {
    let values: Vec<String> = rows
        .iter()
        .map(|(user, amount, city, at)| {
            format!("({user}, {amount}, '{city}', TIMESTAMP '2026-01-01 {at}')")
        })
        .collect();
    db.run(&format!(
        "INSERT INTO purchases (user_id, amount, city, timestamp) VALUES {}",
        values.join(", ")
    ));
}

const BY_CITY: &str = "SELECT city, COUNT(*) as purchase_count, SUM(amount) as total_revenue, AVG(amount) as avg_order_value FROM purchases WINDOW TUMBLING GROUP BY city";
