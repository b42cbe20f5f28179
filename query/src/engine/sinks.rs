//! Sinks, as statements see them: whoever runs them stands behind a [`SinkBoard`].

use super::sources::{EngineSources, Named};
use super::{Output, QueryEngine, Session, ViewInfo};
use crate::bind::options::sink_options;
use crate::error::{BindError, QueryError};
use query_lang::ast::{CreateSink, Ident, ObjectName, SinkSource};
use std::sync::Arc;
use tsdb::Stream;

/// What a sink sends.
#[derive(Clone)]
pub enum SinkFrom {
    /// The rows of a stream.
    Stream(Arc<Stream>),
    /// The changes of a view.
    View(ViewInfo),
    /// The changes of a continuous query.
    Query {
        /// The database in which its names mean what they do.
        db: String,
        /// Its text.
        sql: String,
    },
}

/// A sink to be made.
#[derive(Clone)]
pub struct NewSink {
    /// Its database.
    pub db: String,
    /// Its name.
    pub name: String,
    /// What it sends.
    pub from: SinkFrom,
    /// Its options, each known and of the right form: names in small letters, and texts.
    pub options: Vec<(String, String)>,
}

/// How a sink is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkInfo {
    /// Its database.
    pub db: String,
    /// Its name.
    pub name: String,
    /// The stream, the view or the query that it sends.
    pub from: String,
    /// Database and name of the stream or view that must not go while the sink is there.
    pub reads: (String, String),
    /// Where it sends it.
    pub topic: String,
    /// `starting`, `running`, `waiting` for something that it tries again, or `failed`.
    pub state: &'static str,
    /// All commits up to this one are in the topic.
    pub lsn: u64,
    /// Commits after that.
    pub lag: u64,
    /// Records sent since the server was started.
    pub rows: u64,
    /// The last trouble.
    pub error: Option<String>,
}

/// Keeps sinks. Implemented by the server.
pub trait SinkBoard: Send + Sync {
    /// Makes a sink and starts it; durable with the next commit. Gives what its maker should know.
    ///
    /// # Errors
    /// What it can't be.
    fn create(&self, sink: NewSink) -> Result<Vec<String>, QueryError>;

    /// Ends a sink and forgets how far it was; false when there is none of that name. Blocks until it has ended.
    ///
    /// # Errors
    /// When it cannot be dropped now.
    fn drop_sink(&self, db: &str, name: &str) -> Result<bool, QueryError>;

    /// All sinks, by database and name.
    fn list(&self) -> Vec<SinkInfo>;
}

impl QueryEngine {
    fn sink_board(&self, sql: &str, name: &ObjectName) -> Result<Arc<dyn SinkBoard>, QueryError> {
        self.sinks()
            .ok_or_else(|| BindError::not_yet(name.span(), "a sink on this server").locate(sql))
    }

    pub(super) async fn create_sink(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        create: &CreateSink,
    ) -> Result<Output, QueryError> {
        let board = self.sink_board(sql, &create.name)?;
        let (db, name) = self.place(session, sql, &create.name)?;
        let known = board.list();
        if known.iter().any(|s| s.db == db && s.name == name) {
            let notice = format!("sink {name} exists already");
            if create.if_not_exists {
                return Ok(self.done("nothing to do", self.engine().published(), vec![notice]));
            }
            return Err(QueryError::Conflict(notice));
        }
        let options = sink_options(&create.options).map_err(|e| e.locate(sql))?;
        if !options.iter().any(|(n, _)| n == "kafka_topic") {
            let error = BindError::new(create.name.span(), "a sink needs the option kafka_topic");
            let hint = "write WITH (kafka_topic = '..')".to_owned();
            return Err(error.hint(Some(hint)).locate(sql));
        }
        let (from, mut notices) = match &create.source {
            SinkSource::Named(of) => {
                let sources = EngineSources::new(self, session);
                let from = match sources.named(of).map_err(|e| e.locate(sql))? {
                    Named::Stream(stream) => SinkFrom::Stream(stream),
                    Named::View(view) => SinkFrom::View(view),
                    Named::Table(_) => {
                        let message = "a sink reads a stream or a view, not a table";
                        return Err(BindError::new(of.span(), message).locate(sql));
                    }
                };
                (from, Vec::new())
            }
            SinkSource::Query(query) => {
                let (_, notices) = self.bind_continuous(session, sql, query)?;
                let from = SinkFrom::Query {
                    db: session.db.clone(),
                    sql: query.to_string(),
                };
                (from, notices)
            }
        };
        let sink = NewSink {
            db,
            name: name.clone(),
            from,
            options,
        };
        let made = tokio::task::spawn_blocking(move || board.create(sink)).await;
        notices.extend(made.map_err(|e| QueryError::Internal(format!("create a sink: {e}")))??);
        self.logged(session, format!("sink {name} created"), notices)
            .await
    }

    pub(super) async fn drop_sink(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        name: &ObjectName,
        if_exists: bool,
    ) -> Result<Output, QueryError> {
        let board = self.sink_board(sql, name)?;
        let (db, wanted) = self.place(session, sql, name)?;
        let known = board.list();
        let in_db = || known.iter().filter(|s| s.db == db);
        let is = |ident: Option<&Ident>, name: &str| ident.is_some_and(|i| i.matches(name));
        let exact = in_db().find(|s| s.name == wanted);
        let found = exact.or_else(|| {
            let mut alike = in_db().filter(|s| is(name.parts.last(), &s.name));
            alike.next().filter(|_| alike.next().is_none())
        });
        let Some(found) = found.map(|s| s.name.clone()) else {
            let message = format!("there is no sink \"{wanted}\"");
            if if_exists {
                return Ok(self.done("nothing to do", self.engine().published(), vec![message]));
            }
            return Err(BindError::not_found(name.span(), message).locate(sql));
        };
        let message = format!("sink {found} dropped");
        let dropped = tokio::task::spawn_blocking(move || board.drop_sink(&db, &found)).await;
        dropped.map_err(|e| QueryError::Internal(format!("drop a sink: {e}")))??;
        self.logged(session, message, Vec::new()).await
    }

    /// Refuses when a sink sends what is to be dropped.
    pub(super) fn unread(&self, db: &str, name: &str) -> Result<(), QueryError> {
        let all = self.sinks().map_or_else(Vec::new, |s| s.list());
        let reads = |s: &&SinkInfo| s.reads.0 == db && s.reads.1 == name;
        match all.iter().find(reads) {
            Some(sink) => Err(QueryError::Conflict(format!(
                "sink \"{}\" sends \"{name}\": drop it first",
                sink.name
            ))),
            None => Ok(()),
        }
    }
}
