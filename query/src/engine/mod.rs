//! Statements in, answers out: what the server and the tools call.

mod board;
mod config;
mod ddl;
mod direct;
mod explain;
mod incoming;
mod insert;
mod output;
mod replay;
mod run;
mod session;
mod show;
mod sinks;
mod sources;
mod tables;
mod views;

pub use board::{SourceBoard, SourceInfo, SourcePartition};
pub use config::{Keyed, QueryConfig, Session};
pub use incoming::Clauses;
pub use output::{Output, RowStream};
pub use replay::{Letter, LetterDecoder, Message};
pub use sinks::{NewSink, SinkBoard, SinkFrom, SinkInfo};
pub(crate) use sources::source_of;
pub use views::{ViewAnswer, ViewInfo, ViewRead, ViewReader, ViewSlice, Views};

use crate::bind::{Binder, Functions};
use crate::error::QueryError;
use crate::table::Tables;
use crate::transform::Transforms;
use parking_lot::RwLock;
use query_lang::ast::{InsertSource, Statement, StatementKind};
use sources::EngineSources;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tsdb::Engine;

/// Runs statements over an engine, on threads of its own, so that no query delays an acknowledgement.
pub struct QueryEngine {
    engine: Engine,
    config: QueryConfig,
    functions: Functions,
    views: RwLock<Option<Arc<dyn Views>>>,
    board: RwLock<Option<Arc<dyn SourceBoard>>>,
    sinks: RwLock<Option<Arc<dyn SinkBoard>>>,
    letter_decoder: RwLock<Option<Arc<dyn LetterDecoder>>>,
    /// Held while dead letters are replayed.
    replays: tokio::sync::Mutex<()>,
    tables: Arc<Tables>,
    transforms: Arc<Transforms>,
    pool: Option<Runtime>,
    queries: AtomicU64,
    /// One for each query that may run at a time.
    permits: Arc<Semaphore>,
}

impl std::fmt::Debug for QueryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryEngine")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Drop for QueryEngine {
    fn drop(&mut self) {
        // A runtime must not be waited for on another runtime's thread.
        if let Some(pool) = self.pool.take() {
            pool.shutdown_background();
        }
    }
}

impl QueryEngine {
    /// A query engine over `engine`. Restores tables, and what is done with rows as they come in: to be called right after
    /// the engine was opened, before any commit.
    ///
    /// # Errors
    /// When its threads cannot be started.
    pub fn new(engine: Engine, config: QueryConfig) -> Result<Arc<Self>, QueryError> {
        let pool = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads)
            // A scan that waits for its reader keeps its thread, so there must be enough for all scans of all queries
            // that run at a time: with too few, one side of a join could keep the other from starting.
            .max_blocking_threads(config.concurrent * 32)
            .thread_stack_size(8 << 20)
            .thread_name("query")
            .enable_time()
            .build()
            .map_err(|e| QueryError::Internal(format!("start the query threads: {e}")))?;
        let permits = Arc::new(Semaphore::new(config.concurrent));
        let functions = Functions::new(session::base_state(&config)?);
        let queries = Arc::new(Self {
            engine,
            config,
            functions,
            views: RwLock::new(None),
            board: RwLock::new(None),
            sinks: RwLock::new(None),
            letter_decoder: RwLock::new(None),
            replays: tokio::sync::Mutex::new(()),
            tables: Arc::default(),
            transforms: Arc::default(),
            pool: Some(pool),
            queries: AtomicU64::new(0),
            permits,
        });
        queries.restore_tables();
        queries.restore_transforms();
        Ok(queries)
    }

    /// Lets queries read, create and drop views.
    pub fn set_views(&self, views: Arc<dyn Views>) {
        *self.views.write() = Some(views);
    }

    /// Lets queries show and pause sources.
    pub fn set_sources(&self, board: Arc<dyn SourceBoard>) {
        *self.board.write() = Some(board);
    }

    pub(crate) fn board(&self) -> Option<Arc<dyn SourceBoard>> {
        self.board.read().clone()
    }

    /// Lets dead letters be replayed.
    pub fn set_letters(&self, decoder: Arc<dyn LetterDecoder>) {
        *self.letter_decoder.write() = Some(decoder);
    }

    pub(crate) fn letter_decoder(&self) -> Option<Arc<dyn LetterDecoder>> {
        self.letter_decoder.read().clone()
    }

    /// Lets statements create, drop and show sinks; `None` lets go of them.
    pub fn set_sinks(&self, sinks: Option<Arc<dyn SinkBoard>>) {
        *self.sinks.write() = sinks;
    }

    pub(crate) fn sinks(&self) -> Option<Arc<dyn SinkBoard>> {
        self.sinks.read().clone()
    }

    /// The engine underneath.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The tables.
    #[must_use]
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// What is done with rows as they come in.
    #[must_use]
    pub fn transforms(&self) -> &Arc<Transforms> {
        &self.transforms
    }

    /// Queries run so far.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    pub(crate) fn views(&self) -> Option<Arc<dyn Views>> {
        self.views.read().clone()
    }

    /// Runs the statements of one text in order, each seeing what the one before did, and gives their outputs. Only the
    /// last one's rows are kept.
    ///
    /// # Errors
    /// The index of the statement that failed, or that is none, and why. Those before it stay done.
    pub async fn execute(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
    ) -> Result<Vec<Output>, (usize, QueryError)> {
        let (statements, wrong) = query_lang::parse_each(sql);
        let mut session = session.clone();
        let mut outputs = Vec::with_capacity(statements.len());
        for (i, statement) in statements.iter().enumerate() {
            let mut output = self
                .execute_stmt(&session, sql, statement)
                .await
                .map_err(|e| (i, e))?;
            if let Output::Rows { rows, .. } = &mut output
                && i + 1 < statements.len()
            {
                // A query that nobody reads would run on, and keep others from running.
                rows.drain().await.map_err(|e| (i, e))?;
            }
            if let StatementKind::Use { database } = &statement.kind {
                session.db = self.database_named(database, sql).map_err(|e| (i, e))?;
            }
            outputs.push(output);
        }
        match wrong {
            Some(e) => Err((statements.len(), QueryError::from(e))),
            None => Ok(outputs),
        }
    }

    /// Runs one statement of `sql`.
    ///
    /// # Errors
    /// Why it has no answer.
    pub async fn execute_stmt(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        statement: &Statement,
    ) -> Result<Output, QueryError> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        match &statement.kind {
            StatementKind::Query(query) if query.emit.is_some() => {
                let (query, notices) = self.bind_continuous(session, sql, query)?;
                let text = statement.span.text(sql).unwrap_or(sql).to_owned();
                Ok(Output::Continuous {
                    query: Box::new(query),
                    sql: text,
                    notices,
                })
            }
            StatementKind::Query(query) => self.run_query(session, sql, query).await,
            StatementKind::Insert(insert) => self.insert(session, sql, insert).await,
            StatementKind::Explain {
                analyze,
                verbose,
                statement,
            } => {
                let query = match &statement.kind {
                    StatementKind::Query(q) => q,
                    StatementKind::Insert(i) => match &i.source {
                        InsertSource::Query(q) if !*analyze => q,
                        _ => return Err(not_yet(sql, statement, "EXPLAIN of this statement")),
                    },
                    _ => return Err(not_yet(sql, statement, "EXPLAIN of this statement")),
                };
                self.explain(session, sql, query, *analyze, *verbose).await
            }
            StatementKind::Delete { table, predicate } => {
                self.delete(session, sql, table, predicate.as_ref()).await
            }
            StatementKind::ReplayDeadLetters { stream, predicate } => {
                let (stream, predicate) = (stream.as_ref(), predicate.as_ref());
                self.replay_letters(session, sql, stream, predicate).await
            }
            StatementKind::PauseSource { stream } => {
                self.pause_source(session, sql, stream, true).await
            }
            StatementKind::ResumeSource { stream } => {
                self.pause_source(session, sql, stream, false).await
            }
            StatementKind::Show { kind, like } => self.show(session, sql, kind, like.as_deref()),
            StatementKind::Describe { name } => self.describe(session, sql, name),
            StatementKind::Use { database } => {
                let db = self.database_named(database, sql)?;
                Ok(self.done(format!("using {db}"), self.engine.published(), Vec::new()))
            }
            StatementKind::Set { name, .. } => {
                Err(crate::error::BindError::not_yet(name.span(), "SET").locate(sql))
            }
            StatementKind::CreateDatabase { .. }
            | StatementKind::CreateStream(_)
            | StatementKind::CreateTable(_)
            | StatementKind::CreateView(_)
            | StatementKind::CreateSink(_)
            | StatementKind::Drop { .. } => self.ddl(session, sql, statement).await,
        }
    }

    /// Binds a query that is kept up to date: what `EMIT` and views run.
    ///
    /// # Errors
    /// What in it cannot be kept up to date, with its place in `sql`.
    pub fn bind_continuous(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        query: &query_lang::ast::Query,
    ) -> Result<(crate::bind::windowed::ContinuousQuery, Vec<String>), QueryError> {
        let sources = EngineSources::new(self, session);
        let binder = Binder::new(&sources, &self.functions, self.now());
        binder.continuous(query).map_err(|e| e.locate(sql))
    }

    /// Binds the text of one such query in a database, as it was kept by whoever bound it before.
    ///
    /// # Errors
    /// As [`QueryEngine::bind_continuous`].
    pub fn bind_kept(
        self: &Arc<Self>,
        db: &str,
        sql: &str,
    ) -> Result<crate::bind::windowed::ContinuousQuery, QueryError> {
        let statements = query_lang::parse_statements(sql)?;
        let Some(StatementKind::Query(query)) = statements.first().map(|s| &s.kind) else {
            return Err(QueryError::Storage("the kept text is no query".to_owned()));
        };
        let session = Session::of(db);
        Ok(self.bind_continuous(&session, sql, query)?.0)
    }

    fn now(&self) -> i64 {
        self.engine.clock().wall_ns()
    }

    fn done(&self, message: impl Into<String>, lsn: tsdb::Lsn, notices: Vec<String>) -> Output {
        Output::Done {
            message: message.into(),
            lsn: lsn.0,
            notices,
        }
    }
}

fn not_yet(sql: &str, statement: &Statement, what: &str) -> QueryError {
    crate::error::BindError::not_yet(statement.span, what).locate(sql)
}
