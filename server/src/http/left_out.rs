//! Rows that were decoded, and that a filter, a table or a derived stream can't take: they become dead letters, and the
//! others of their request are kept.

use super::App;
use super::ingest::{MAX_TOLD, RowRefused};
use crate::encode::rfc3339;
use ingest::dead_letter::{
    self, Letters, MAX_LETTERS, MAX_PAYLOAD, MAX_PAYLOADS, MAX_REASON, Origin, cut,
};
use ingest::decode::typed::decimal_text;
use serde_json::{Map, Value};
use std::sync::Arc;
use tsdb::ledger::KeyedReply;
use tsdb::types::{Batch, DataType, Lsn, SeriesId};
use tsdb::{Rows, Stream};

/// How often rows are searched for what can't be taken: while one search goes on, a table's rows or what is derived may become
/// others.
const SEARCHES: usize = 3;
/// What the search for one row costs, in bytes that are decoded in that time.
const SEARCH: usize = 64 << 10;

/// What was left out of a request.
#[derive(Default)]
pub(super) struct LeftOut {
    /// How many rows.
    pub(super) rows: usize,
    /// The first of them, by their numbers among the rows of their stream, and why.
    pub(super) told: Vec<RowRefused>,
    /// Why letters are not kept, if so.
    pub(super) lost: Option<String>,
}

/// Rows to be committed, those that can't be taken left out.
pub(super) struct Attempt<C> {
    /// The first commit, under way; `None` when there is nothing to be committed.
    pub(super) commit: Option<C>,
    /// Its rows once more, if some may be left out.
    pub(super) spare: Option<Vec<Rows>>,
    /// Whether rows have the numbers that they had in the body.
    pub(super) numbered: bool,
}

impl<C: Future<Output = Result<Lsn, tsdb::Error>>> Attempt<C> {
    /// Waits for the commit, and commits what is left when rows are refused. `reply` takes note of these, and gives what is
    /// to be kept under the request's key.
    pub(super) async fn finish<E: From<tsdb::Error>>(
        self,
        app: &App,
        mut reply: impl FnMut(LeftOut) -> Result<Option<KeyedReply>, E>,
    ) -> Result<Option<Lsn>, E> {
        let Some(commit) = self.commit else {
            return Ok(None);
        };
        let (mut outcome, mut spare) = (commit.await, self.spare);
        for search in 1..=SEARCHES {
            let (Err(tsdb::Error::Refused(_)), Some(rows)) = (&outcome, spare.take()) else {
                break;
            };
            let work = work(app, &rows);
            // After the first search rows are missing, and the numbers are no longer those of the body.
            let numbered = self.numbered && search == 1;
            let search_all = || leave_out(app, rows, numbered);
            let (rows, left) = app.heavy.run(work, search_all).await?;
            let keyed = reply(left)?;
            spare = (search < SEARCHES).then(|| rows.clone());
            match commit_rows(app, rows, keyed) {
                None => return Ok(None),
                Some(again) => outcome = again.await,
            }
        }
        Ok(Some(outcome?))
    }
}

/// Hands rows and a reply to the log, if there is either.
pub(super) fn commit_rows(
    app: &App,
    rows: Vec<Rows>,
    keyed: Option<KeyedReply>,
) -> Option<impl Future<Output = Result<Lsn, tsdb::Error>> + Send + use<>> {
    (!rows.is_empty() || keyed.is_some()).then(|| {
        let mut request = tsdb::Request::of(rows);
        request.keyed = keyed;
        app.engine.commit_async(request)
    })
}

/// What it may cost to look at these rows, in bytes that are decoded in that time.
pub(super) fn work(app: &App, rows: &[Rows]) -> usize {
    match app.engine.concerns(rows) {
        true => rows.iter().map(Rows::count).sum::<usize>() * SEARCH,
        false => 0,
    }
}

/// Something may be derived from letters, too: those that it can't take are not worth the rows. Says why one can't be.
pub(super) fn letters_that_can_be_taken(
    app: &App,
    letters: Vec<Rows>,
) -> (Vec<Rows>, Option<String>) {
    match app.engine.sift(letters, &mut |_, _, _| {}) {
        Ok(sifted) => (sifted.rows, sifted.why),
        Err(error) => (Vec::new(), Some(error.to_string())),
    }
}

/// Rows of one stream that are left out.
struct Refused {
    stream: Arc<Stream>,
    /// Number, reason, and the row as text.
    rows: Vec<(usize, String, String)>,
    /// More of them, which are counted alone.
    more: usize,
}

/// Those of a request.
#[derive(Default)]
struct AllRefused {
    streams: Vec<Refused>,
    letters: usize,
    bytes: usize,
}

impl AllRefused {
    fn of(&mut self, stream: &Arc<Stream>) -> &mut Refused {
        let at = self.streams.iter().position(|r| r.stream.id == stream.id);
        let at = at.unwrap_or_else(|| {
            self.streams.push(Refused {
                stream: Arc::clone(stream),
                rows: Vec::new(),
                more: 0,
            });
            self.streams.len() - 1
        });
        &mut self.streams[at]
    }

    fn add(&mut self, stream: &Arc<Stream>, row: &Batch, number: usize, why: &str) {
        if self.letters >= MAX_LETTERS || self.bytes >= MAX_PAYLOADS {
            self.of(stream).more += 1;
            return;
        }
        let mut text = json_row(stream, row);
        text.truncate(text.floor_char_boundary(MAX_PAYLOAD));
        self.letters += 1;
        self.bytes += text.len() + why.len();
        self.of(stream).rows.push((number, why.to_owned(), text));
    }
}

/// Takes rows that can't be taken out of a request, and puts their letters in.
fn leave_out(
    app: &App,
    rows: Vec<Rows>,
    numbered: bool,
) -> Result<(Vec<Rows>, LeftOut), tsdb::Error> {
    let (mut all, mut left) = (AllRefused::default(), LeftOut::default());
    let catalog = app.engine.catalog();
    let mut refuse = |row: &Batch, number: usize, why: &str| {
        let why = cut(why, MAX_REASON);
        let stream = catalog.stream_by_id(row.stream);
        // A letter of a letter would tell nothing, and what it is of was counted when it was refused.
        let Some(stream) = stream.filter(|s| s.name != dead_letter::STREAM) else {
            left.lost = Some(why.to_owned());
            return;
        };
        left.rows += 1;
        if left.told.len() < MAX_TOLD {
            left.told.push(RowRefused {
                row: numbered.then_some(number),
                reason: why.to_owned(),
            });
        }
        all.add(&stream, row, number, why);
    };
    let mut kept = app.engine.sift(rows, &mut refuse)?.rows;
    let behind = if numbered {
        ""
    } else {
        " of those that could be read"
    };
    for of in &all.streams {
        let mut letters = Letters::new(Origin {
            catalog,
            db: &of.stream.db,
            stream: &of.stream.name,
            source: "http",
            now_ns: app.engine.clock().wall_ns(),
        });
        for (number, why, text) in &of.rows {
            let place = format_args!("row {number}{behind}");
            letters.add(&place, why, text.as_bytes());
        }
        if of.more > 0 {
            letters.leave_out(of.more);
        }
        match letters.finish() {
            Ok(letters) => {
                let letters = letters.into_iter().collect();
                let (letters, lost) = letters_that_can_be_taken(app, letters);
                kept.extend(letters);
                left.lost = lost.or(left.lost);
            }
            Err(error) => left.lost = Some(error.to_string()),
        }
    }
    Ok((kept, left))
}

/// The first row of a batch as a row of JSON, from which it is made again.
fn json_row(stream: &Stream, row: &Batch) -> String {
    let schema = stream.schema();
    let time = |ns| {
        let mut text = Vec::new();
        rfc3339(ns, &mut text);
        Value::from(String::from_utf8_lossy(&text))
    };
    let mut object = Map::new();
    object.insert(schema.time().name.clone(), time(row.time.i64_at(0)));
    let series = SeriesId(row.series.i64_at(0) as u32);
    for column in schema.tags() {
        if let Some(value) = stream.series().tag_value(series, column.id) {
            object.insert(column.name.clone(), value.to_string().into());
        }
    }
    for column in &schema.columns {
        let Some(values) = row.column(column.id).filter(|v| v.is_valid(0)) else {
            continue;
        };
        let value = match column.data_type {
            DataType::Float64 => values.f64_at(0).into(),
            DataType::Decimal { scale, .. } => decimal_text(values.i128_at(0), scale).into(),
            // What goes beyond would be cut off anyway.
            DataType::Utf8 => cut(&String::from_utf8_lossy(values.str_at(0)), MAX_PAYLOAD).into(),
            DataType::Bool => (values.i64_at(0) != 0).into(),
            DataType::Int64 => values.i64_at(0).into(),
            DataType::UInt64 => values.i64_at(0).cast_unsigned().into(),
            DataType::Timestamp => time(values.i64_at(0)),
        };
        object.insert(column.name.clone(), value);
    }
    Value::Object(object).to_string()
}
