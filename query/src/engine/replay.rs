//! `REPLAY DEAD LETTERS`: what was refused is tried anew.
//!
//! A letter that succeeds leaves a mark in the stream `dead_letters_replayed`, in the commit that has its rows: so it is
//! never replayed twice, and never lost between. A mark is a hash of the letter. Letters that are equal in everything, their
//! time too, share it: as many of them are done as there are marks.

use super::ddl::engine_error;
use super::run::Asked;
use super::sources::{EngineSources, Named};
use super::{Output, QueryEngine, Session};
use crate::error::{BindError, QueryError};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as Arrow, Int64Type};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use query_lang::ast::{BinaryOp, Expr, ExprKind, Ident, Literal, ObjectName, Query, SetExpr, Span};
use std::sync::Arc;
use tsdb::types::{BatchBuilder, ColumnId, DataType, Fnv, Role};
use tsdb::{Error, Lsn, Request, Rows, StreamDef};

/// The stream of letters.
const LETTERS: &str = "dead_letters";
/// The stream of marks.
const MARKS: &str = "dead_letters_replayed";
/// Letters that are tried in one commit.
const AT_ONCE: usize = 1000;
/// Reasons that a reply tells of.
const MAX_TOLD: usize = 20;

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The stream that it was for.
    pub stream: String,
    /// Where it came from: `http`, `kafka`, ..
    pub source: String,
    /// Its place there.
    pub position: String,
    /// Why it was refused.
    pub reason: String,
    /// What it was, as far as it is text.
    pub payload: String,
    /// What came with it, when it was a message.
    pub message: Message,
}

/// What a message of a source had besides its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its key, as text.
    pub key: Option<String>,
    /// Its time, in nanoseconds since the epoch.
    pub time_ns: Option<i64>,
    /// Its headers, a JSON object.
    pub headers: Option<String>,
    /// Its value in hex, when that is no text.
    pub value_hex: Option<String>,
}

/// The columns of letters of messages, which the stream has once there was one.
const MESSAGE: [&str; 4] = ["message_time", "key", "headers", "payload_hex"];

/// Makes rows of letters. Called on query threads.
pub trait LetterDecoder: Send + Sync {
    /// The rows that letters for streams of a database become, one answer for each: the rows of one letter, which may be of
    /// several streams, or why it is refused again. Nothing is written.
    fn decode(&self, db: &str, letters: &[Letter]) -> Vec<Result<Vec<Rows>, String>>;
}

type Counts = HashMap<i64, u64, ahash::RandomState>;

/// What has become of letters so far.
#[derive(Default)]
struct Outcome {
    replayed: usize,
    refused: usize,
    told: Vec<String>,
    lsn: Lsn,
}

impl Outcome {
    fn refuse(&mut self, letter: &Letter, why: &str) {
        self.refused += 1;
        if self.told.len() < MAX_TOLD {
            let Letter {
                stream, position, ..
            } = letter;
            self.told.push(format!(
                "{position} for \"{stream}\" is refused again: {why}"
            ));
        }
    }
}

/// A letter with the hash that marks it.
type Marked = (Letter, i64);

impl QueryEngine {
    pub(super) async fn replay_letters(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        stream: Option<&ObjectName>,
        predicate: Option<&Expr>,
    ) -> Result<Output, QueryError> {
        let decoder = self.letter_decoder().ok_or_else(|| {
            let span = stream.map_or(Span::default(), ObjectName::span);
            BindError::not_yet(span, "REPLAY DEAD LETTERS on this server").locate(sql)
        })?;
        // Letters for a stream that was dropped since, or for a sink, are there all the same.
        let mut unknown = None;
        let (db, name) = match stream {
            None => (session.db.clone(), None),
            Some(name) => {
                let (db, asked) = self.place(session, sql, name)?;
                let name = match EngineSources::new(self, session).named(name) {
                    Ok(Named::Stream(stream)) => stream.name.clone(),
                    Ok(Named::Table(table)) => table.stream.name.clone(),
                    Ok(Named::View(_)) => asked,
                    Err(e) => {
                        unknown = Some(e);
                        asked
                    }
                };
                (db, Some(name))
            }
        };
        // One at a time: what another one marks meanwhile would not be seen.
        let _alone = self.replays.lock().await;
        // One that was given up with a commit under way has that in the log by now; behind ours it can be seen.
        let marked = self.engine().commit_async(Request::default()).await;
        marked.map_err(engine_error)?;
        let catalog = self.engine().catalog();
        let mut seen = false;
        let mut outcome = Outcome {
            lsn: self.engine().published(),
            ..Outcome::default()
        };
        if catalog.stream(&db, LETTERS).is_some() {
            let condition = condition(name.as_deref(), predicate);
            let session = Session {
                db: db.clone(),
                ..session.clone()
            };
            let mut done = self.marks(&session).await?;
            let mut rows = self.letters(&session, sql, condition).await?;
            let mut batch: Vec<Marked> = Vec::new();
            while let Some(letters) = rows.next().await {
                for (letter, hash) in decoded(&letters?)? {
                    seen = true;
                    if let Some(left) = done.get_mut(&hash).filter(|n| **n > 0) {
                        *left -= 1;
                        continue;
                    }
                    batch.push((letter, hash));
                    if batch.len() == AT_ONCE {
                        self.redeliver(&decoder, &db, &batch, &mut outcome).await?;
                        batch.clear();
                    }
                }
            }
            self.redeliver(&decoder, &db, &batch, &mut outcome).await?;
        }
        let is_sink = || {
            let sinks = self.sinks().map_or_else(Vec::new, |s| s.list());
            let mut of_db = sinks.iter().filter(|s| s.db == db);
            of_db.any(|s| Some(&s.name) == name.as_ref())
        };
        if let Some(unknown) = unknown
            && !seen
            && predicate.is_none()
            && !is_sink()
        {
            return Err(unknown.locate(sql));
        }
        let Outcome {
            replayed,
            refused,
            told,
            lsn,
        } = outcome;
        let message = format!("{replayed} letters replayed, {refused} refused again");
        Ok(self.done(message, lsn, told))
    }

    /// The letters that fulfil a condition, in their order, as of one commit.
    async fn letters(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        condition: Option<Expr>,
    ) -> Result<super::RowStream, QueryError> {
        let catalog = self.engine().catalog();
        let schema = catalog.stream(&session.db, LETTERS).map(|s| s.schema());
        let known = |c: &str| schema.as_ref().is_some_and(|s| s.column(c).is_some());
        let columns = ["time", "stream", "source", "position", "reason", "payload"];
        let columns = columns.map(|c| format!("\"{c}\""));
        let more = MESSAGE.map(|c| match known(c) {
            true => format!("\"{c}\""),
            false => format!("NULL AS \"{c}\""),
        });
        let columns = [columns.join(", "), more.join(", ")].join(", ");
        let mut query = parsed(&format!(
            "SELECT {columns} FROM \"{LETTERS}\" ORDER BY 1, 4"
        ))?;
        if let SetExpr::Select(select) = &mut query.body {
            select.selection = condition;
        }
        match self.run(session, sql, Asked::Query(query)).await? {
            Output::Rows { rows, .. } => Ok(rows),
            _ => Err(QueryError::Internal("a query yielded no rows".to_owned())),
        }
    }

    /// How many letters of each hash are done.
    async fn marks(self: &Arc<Self>, session: &Session) -> Result<Counts, QueryError> {
        let mut counts = Counts::default();
        if self.engine().catalog().stream(&session.db, MARKS).is_none() {
            return Ok(counts);
        }
        let query = parsed(&format!(
            "SELECT letter, COUNT(*) FROM \"{MARKS}\" GROUP BY letter"
        ))?;
        let Output::Rows { mut rows, .. } = self.run(session, MARKS, Asked::Query(query)).await?
        else {
            return Ok(counts);
        };
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let (letters, n) = (
                batch.column(0).as_primitive::<Int64Type>(),
                batch.column(1).as_primitive::<Int64Type>(),
            );
            for i in 0..batch.num_rows() {
                if letters.is_valid(i) {
                    counts.insert(letters.value(i), n.value(i).unsigned_abs());
                }
            }
        }
        Ok(counts)
    }

    /// Tries letters: those that can be rows now are committed with their marks.
    async fn redeliver(
        &self,
        decoder: &Arc<dyn LetterDecoder>,
        db: &str,
        letters: &[Marked],
        outcome: &mut Outcome,
    ) -> Result<(), QueryError> {
        if letters.is_empty() {
            return Ok(());
        }
        if self.transforms.is_shedding() {
            return Err(QueryError::Busy(
                "rows are being left out under the present load, and replayed ones would be; what is replayed is marked: try \
                 again later"
                    .to_owned(),
            ));
        }
        let plain: Vec<Letter> = letters.iter().map(|(letter, _)| letter.clone()).collect();
        let answers = decoder.decode(db, &plain);
        let mut good: Vec<&Marked> = Vec::new();
        let mut rows: Vec<Rows> = Vec::new();
        for (marked, answer) in letters.iter().zip(answers) {
            match answer {
                Ok(more) => {
                    rows.extend(more);
                    good.push(marked);
                }
                Err(why) => outcome.refuse(&marked.0, &why),
            }
        }
        if good.is_empty() {
            return Ok(());
        }
        match self.deliver(db, rows, &good).await {
            Ok(lsn) => {
                outcome.replayed += good.len();
                outcome.lsn = lsn;
                Ok(())
            }
            // One of them is at fault, or they are too much for one commit: each by itself then.
            Err(Error::Refused(_) | Error::TooLarge { .. }) if good.len() > 1 => {
                for marked in good {
                    let one = std::slice::from_ref(marked);
                    Box::pin(self.redeliver(decoder, db, one, outcome)).await?;
                }
                Ok(())
            }
            Err(e @ (Error::Refused(_) | Error::TooLarge { .. })) => {
                outcome.refuse(&good[0].0, &e.to_string());
                Ok(())
            }
            Err(e) => Err(engine_error(e)),
        }
    }

    async fn deliver(
        &self,
        db: &str,
        mut rows: Vec<Rows>,
        letters: &[&Marked],
    ) -> Result<Lsn, Error> {
        let define = || StreamDef {
            columns: vec![("time".to_owned(), DataType::Timestamp, Role::Time)],
            ..StreamDef::default()
        };
        let marks = self.engine().catalog().ensure_stream(db, MARKS, define)?;
        let wanted = [
            ("letter", DataType::Int64, Role::Field),
            ("stream", DataType::Utf8, Role::Field),
        ];
        let schema = marks.ensure_columns(&wanted)?;
        let id = |name: &str| -> Result<ColumnId, Error> {
            let column = schema.column(name).map(|c| c.id);
            column.ok_or_else(|| Error::InvalidDefinition(format!("{MARKS} has no column {name}")))
        };
        let (letter_id, stream_id) = (id("letter")?, id("stream")?);
        let mut builder = BatchBuilder::new(marks.id);
        let (now, plain) = (self.now(), marks.series().resolve(&[]));
        for (letter, hash) in letters {
            builder.begin_row(now, plain);
            if let Some(column) = builder.column(letter_id, DataType::Int64) {
                column.push_i64(*hash);
            }
            if let Some(column) = builder.column(stream_id, DataType::Utf8) {
                column.push_str(&letter.stream);
            }
        }
        rows.extend(Rows::from_builder(builder));
        let request = Request {
            rows,
            ..Request::default()
        };
        self.engine().commit_async(request).await
    }
}

/// A query of this file's own.
fn parsed(sql: &str) -> Result<Box<Query>, QueryError> {
    let statement = query_lang::parse_statements(sql)?.into_iter().next();
    match statement.map(|s| s.kind) {
        Some(query_lang::ast::StatementKind::Query(query)) => Ok(query),
        _ => Err(QueryError::Internal("not a query".to_owned())),
    }
}

/// Letters of this stream, for which this holds.
fn condition(stream: Option<&str>, predicate: Option<&Expr>) -> Option<Expr> {
    let at = |kind| Expr::new(kind, Span::default());
    let of_stream = stream.map(|name| {
        let column = ObjectName::single(Ident::quoted("stream"));
        let literal = Literal::String(name.to_owned());
        let literal = at(ExprKind::Literal(literal));
        at(ExprKind::Chain {
            first: Box::new(at(ExprKind::Column(column))),
            rest: vec![(BinaryOp::Eq, literal)],
        })
    });
    match (of_stream, predicate.cloned()) {
        (Some(a), Some(b)) => Some(at(ExprKind::Chain {
            first: Box::new(a),
            rest: vec![(BinaryOp::And, b)],
        })),
        (a, b) => a.or(b),
    }
}

/// The letters of a batch.
fn decoded(batch: &RecordBatch) -> Result<Vec<Marked>, QueryError> {
    let failed = |e: arrow::error::ArrowError| QueryError::Internal(e.to_string());
    let times = cast(batch.column(0), &Arrow::Int64).map_err(failed)?;
    let times = times.as_primitive::<Int64Type>();
    let texts = (1..6)
        .map(|i| cast(batch.column(i), &Arrow::Utf8).map_err(failed))
        .collect::<Result<Vec<_>, _>>()?;
    let text = |column: usize, row: usize| {
        let column = texts[column].as_string::<i32>();
        let value = if column.is_valid(row) {
            column.value(row)
        } else {
            ""
        };
        value.to_owned()
    };
    let message_times = cast(batch.column(6), &Arrow::Int64).map_err(failed)?;
    let message_times = message_times.as_primitive::<Int64Type>();
    let parts = (7..10)
        .map(|i| cast(batch.column(i), &Arrow::Utf8).map_err(failed))
        .collect::<Result<Vec<_>, _>>()?;
    let part = |column: usize, row: usize| {
        let column = parts[column].as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let letters = (0..batch.num_rows()).map(|row| {
        let letter = Letter {
            stream: text(0, row),
            source: text(1, row),
            position: text(2, row),
            reason: text(3, row),
            payload: text(4, row),
            message: Message {
                time_ns: message_times
                    .is_valid(row)
                    .then(|| message_times.value(row)),
                key: part(0, row),
                headers: part(1, row),
                value_hex: part(2, row),
            },
        };
        let hash = hash(times.value(row), &letter);
        (letter, hash)
    });
    Ok(letters.collect())
}

/// The hash of all of a letter. Pinned: marks are stored.
fn hash(time: i64, letter: &Letter) -> i64 {
    let Letter {
        stream,
        source,
        position,
        reason,
        payload,
        message: _,
    } = letter;
    let texts = [stream, source, position, reason, payload];
    let mut hash = Fnv::default();
    hash.write(&time.to_le_bytes());
    for text in texts {
        hash.write(&(text.len() as u64).to_le_bytes());
        hash.write(text.as_bytes());
    }
    hash.finish() as i64
}
