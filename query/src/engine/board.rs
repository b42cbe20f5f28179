//! What queries know of sources: they run outside of this crate.

use super::sources::{EngineSources, Named};
use super::{Output, QueryEngine, Session, show};
use crate::error::{BindError, QueryError};
use arrow::array::{Int64Array, StringArray};
use query_lang::ast::ObjectName;
use std::sync::Arc;

/// How far a source's partition is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourcePartition {
    /// Its name: `topic/3`.
    pub name: String,
    /// The first place that is not durable here.
    pub position: u64,
    /// The place after its last message, as last heard.
    pub end: Option<u64>,
    /// Messages that are there and not taken.
    pub lag: Option<u64>,
    /// Why it stands still, if it does.
    pub error: Option<String>,
}

/// A source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// The database of the stream that it feeds.
    pub db: String,
    /// That stream.
    pub stream: String,
    /// `kafka`, `nats`, ..
    pub kind: String,
    /// What it reads.
    pub endpoint: String,
    /// What it is doing: `running`, `waiting`, ..
    pub state: String,
    /// Its trouble, if it has one.
    pub error: Option<String>,
    /// Messages since the start of the server.
    pub messages: u64,
    /// Rows made of them.
    pub rows: u64,
    /// Rows that became dead letters.
    pub rejected: u64,
    /// The partitions that are read here.
    pub partitions: Vec<SourcePartition>,
}

/// Knows the sources.
pub trait SourceBoard: Send + Sync {
    /// All of them.
    fn sources(&self) -> Vec<SourceInfo>;

    /// Has a stream's source pause or go on; false when it has none. The catalog keeps it; a commit makes it durable.
    fn pause(&self, stream: &tsdb::Stream, paused: bool) -> bool;

    /// Adds the columns that the source of a new stream brings; a commit makes them durable. The next statement may name them.
    fn declare(&self, stream: &tsdb::Stream);

    /// Why the source that a stream declares can't be read as things are; `None` when it can, or there is none.
    fn obstacle(&self, stream: &tsdb::Stream) -> Option<String>;
}

impl QueryEngine {
    /// Tells of a stream that has just been made. Gives what its maker should know of its source.
    pub(super) fn declare_source(&self, db: &str, name: &str) -> Option<String> {
        let board = self.board()?;
        let stream = self.engine().catalog().stream(db, name)?;
        board.declare(&stream);
        let why = board.obstacle(&stream)?;
        Some(format!("its source can't be read: {why}"))
    }

    /// `SHOW SOURCES`: a row for each partition, one for a source that has none.
    pub(super) fn show_sources(
        &self,
        session: &Session,
        named: &dyn Fn(&str) -> bool,
        lsn: u64,
    ) -> Result<Output, QueryError> {
        let known = self.board().map_or_else(Vec::new, |b| b.sources());
        let mut all: Vec<SourceInfo> = known
            .into_iter()
            .filter(|s| s.db == session.db && named(&s.stream))
            .collect();
        // A stream whose topic nobody can read yet has a source too, in waiting.
        for stream in self.engine().catalog().streams() {
            if let Some((kind, from)) = show::declared_source(&stream)
                && stream.db == session.db
                && named(&stream.name)
                && all.iter().all(|s| s.stream != stream.name)
            {
                all.push(SourceInfo {
                    db: stream.db.clone(),
                    stream: stream.name.clone(),
                    kind: kind.into(),
                    endpoint: from.into(),
                    state: "not running".into(),
                    error: self.board().and_then(|b| b.obstacle(&stream)),
                    ..SourceInfo::default()
                });
            }
        }
        all.sort_by(|a, b| a.stream.cmp(&b.stream));
        let rows: Vec<(&SourceInfo, Option<&SourcePartition>)> = all
            .iter()
            .flat_map(|s| {
                let none = s.partitions.is_empty().then_some((s, None));
                s.partitions.iter().map(move |p| (s, Some(p))).chain(none)
            })
            .collect();
        let number = |f: &dyn Fn(&SourcePartition) -> Option<u64>| -> Arc<Int64Array> {
            let of = |p: &Option<&SourcePartition>| p.and_then(f).map(|v| v.cast_signed());
            Arc::new(rows.iter().map(|(_, p)| of(p)).collect())
        };
        let words = |f: &dyn Fn(&SourceInfo, Option<&SourcePartition>) -> Option<String>| {
            let all: StringArray = rows.iter().map(|(s, p)| f(s, *p)).collect();
            Arc::new(all)
        };
        let count = |f: &dyn Fn(&SourceInfo) -> u64| -> Arc<Int64Array> {
            Arc::new(rows.iter().map(|(s, _)| Some(f(s).cast_signed())).collect())
        };
        show::table(
            vec![
                ("stream", words(&|s, _| Some(s.stream.clone()))),
                ("kind", words(&|s, _| Some(s.kind.clone()))),
                ("source", words(&|s, _| Some(s.endpoint.clone()))),
                ("state", words(&|s, _| Some(s.state.clone()))),
                ("partition", words(&|_, p| p.map(|p| p.name.clone()))),
                ("position", number(&|p| Some(p.position))),
                ("end", number(&|p| p.end)),
                ("lag", number(&|p| p.lag)),
                ("messages", count(&|s| s.messages)),
                ("rows", count(&|s| s.rows)),
                ("rejected", count(&|s| s.rejected)),
                (
                    "error",
                    words(&|s, p| p.and_then(|p| p.error.clone()).or_else(|| s.error.clone())),
                ),
            ],
            lsn,
        )
    }

    /// `PAUSE SOURCE` and `RESUME SOURCE`.
    pub(super) async fn pause_source(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        name: &ObjectName,
        paused: bool,
    ) -> Result<Output, QueryError> {
        let found = EngineSources::new(self, session).named(name);
        let none = |what: String| Err(BindError::not_found(name.span(), what).locate(sql));
        let stream = match found.map_err(|e| e.locate(sql))? {
            Named::Stream(stream) => stream,
            _ => return none("a view has no source".into()),
        };
        if !self.board().is_some_and(|b| b.pause(&stream, paused)) {
            return none(format!("stream \"{}\" has no source", stream.name));
        }
        let did = if paused { "paused" } else { "resumed" };
        let message = format!("source of {} {did}", stream.name);
        self.logged(session, message, Vec::new()).await
    }
}
