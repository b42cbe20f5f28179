//! Tests of the whole layer over an engine in a temporary directory.

mod incoming;
mod oracle;
mod slt;
mod tables;
mod users;

use crate::view::ViewRuntime;
use crate::{Output, QueryConfig, QueryEngine, QueryError, Session};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;
use tsdb::{Engine, EngineConfig};

/// A query engine over an empty database, and what keeps both alive.
pub(crate) struct Db {
    pub query: Arc<QueryEngine>,
    pub session: Session,
    views: Arc<ViewRuntime>,
    runtime: tokio::runtime::Runtime,
    _dir: Option<tempfile::TempDir>,
}

impl Db {
    pub fn new() -> Db {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Db::open(dir.path());
        db._dir = Some(dir);
        db
    }

    /// Over a database that may have been closed before.
    pub fn open(dir: &std::path::Path) -> Db {
        let engine = Engine::open(&EngineConfig::new(dir)).unwrap();
        let config = QueryConfig {
            threads: 2,
            ..QueryConfig::default()
        };
        let query = QueryEngine::new(engine, config).unwrap();
        Db {
            views: ViewRuntime::open(&query).unwrap(),
            query,
            session: Session::default(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            _dir: None,
        }
    }

    /// The outputs of a text's statements.
    pub fn run(&self, sql: &str) -> Result<Vec<Output>, QueryError> {
        self.runtime
            .block_on(self.query.execute(&self.session, sql))
            .map_err(|(_, e)| e)
    }

    /// Column names, rows as text, and notices of a text's last statement.
    pub fn table(&self, sql: &str) -> Result<(Vec<String>, Vec<Vec<String>>), QueryError> {
        match self.run(sql)?.pop() {
            Some(Output::Rows { schema, rows, .. }) => {
                let names = schema.fields().iter().map(|f| f.name().clone()).collect();
                let batches = self.runtime.block_on(rows.collect())?;
                Ok((names, batches.iter().flat_map(text_rows).collect()))
            }
            Some(Output::Done { message, .. }) => {
                Ok((vec!["done".to_owned()], vec![vec![message]]))
            }
            Some(Output::Continuous { query, .. }) => {
                let names = query
                    .output()
                    .fields()
                    .iter()
                    .map(|f| f.name().clone())
                    .collect();
                Ok((names, Vec::new()))
            }
            None => Ok((Vec::new(), Vec::new())),
        }
    }

    /// The rows of a query.
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.table(sql).unwrap_or_else(|e| panic!("{sql}\n{e}")).1
    }

    /// The rows of a query, each as one text, sorted.
    pub fn lines(&self, sql: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.rows(sql).iter().map(|r| r.join("|")).collect();
        lines.sort();
        lines
    }

    /// Why a statement can't be run.
    pub fn fails(&self, sql: &str) -> String {
        match self.table(sql) {
            Err(e) => e.to_string(),
            Ok(_) => panic!("it runs: {sql}"),
        }
    }

    pub fn flush(&self) {
        self.query.engine().flush().unwrap();
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.views.close();
        self.query.engine().close();
    }
}

fn text_rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|r| columns.iter().map(|c| c.value(r).to_string()).collect())
        .collect()
}
