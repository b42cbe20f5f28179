//! Rows that were decoded, and that a filter, a table or a derived stream can't take: they become dead letters, and the
//! others of their request are kept.

use super::App;
use super::ingest::{MAX_TOLD, RowRefused};
use crate::encode::rfc3339;
use ingest::dead_letter::{self, Letters, MAX_LETTERS, MAX_PAYLOAD, Origin};
use ingest::decode::typed::decimal_text;
use serde_json::{Map, Value};
use std::sync::Arc;
use tsdb::types::{Batch, DataType, SeriesId};
use tsdb::{Rows, Stream};

/// Bytes of rows that are kept as letters; of what goes beyond, the number is.
const MAX_PAYLOADS: usize = 16 << 20;

/// What was left out of a request.
#[derive(Default)]
pub(super) struct LeftOut {
    /// How many rows.
    pub(super) rows: usize,
    /// The first of them, and why.
    pub(super) told: Vec<RowRefused>,
    /// Why their letters are not kept, if so.
    pub(super) lost: Option<String>,
}

/// Rows of one stream.
struct Refused {
    stream: Arc<Stream>,
    rows: Vec<(usize, String, String)>,
    /// More of them, which are counted alone.
    more: usize,
}

/// What the search for such a row costs, in bytes that are decoded in that time.
const SEARCH: usize = 4 << 10;

/// Takes such rows out of a request, and puts their letters in.
pub(super) async fn leave_out(app: &App, rows: Vec<Rows>) -> (Vec<Rows>, LeftOut) {
    let work = rows.iter().map(Rows::count).sum::<usize>();
    let search = || search(app, rows);
    app.heavy.run(work.saturating_mul(SEARCH), search).await
}

fn search(app: &App, rows: Vec<Rows>) -> (Vec<Rows>, LeftOut) {
    let (mut all, mut bytes, mut letters): (Vec<Refused>, usize, usize) = (Vec::new(), 0, 0);
    let mut left = LeftOut::default();
    let catalog = app.engine.catalog();
    let mut refuse = |row: &Batch, number: usize, why: &str| {
        let at = all.iter().position(|r| r.stream.id == row.stream);
        let at = at.or_else(|| {
            let stream = catalog.stream_by_id(row.stream)?;
            all.push(Refused {
                stream,
                rows: Vec::new(),
                more: 0,
            });
            Some(all.len() - 1)
        });
        let Some(of) = at.and_then(|at| all.get_mut(at)) else {
            return;
        };
        // A letter of a letter would tell nothing.
        if of.stream.name == dead_letter::STREAM {
            return;
        }
        left.rows += 1;
        if left.told.len() < MAX_TOLD {
            left.told.push(RowRefused {
                row: Some(number),
                reason: why.to_owned(),
            });
        }
        if letters >= MAX_LETTERS || bytes >= MAX_PAYLOADS {
            of.more += 1;
            return;
        }
        let text = json_row(&of.stream, row);
        letters += 1;
        bytes += text.len() + why.len();
        of.rows.push((number, why.to_owned(), text));
    };
    let mut kept = app.engine.sift(rows, &mut refuse).rows;
    for of in &all {
        let mut letters = Letters::new(Origin {
            catalog,
            db: &of.stream.db,
            stream: &of.stream.name,
            source: "http",
            now_ns: app.engine.clock().wall_ns(),
        });
        for (number, why, text) in &of.rows {
            let text = text.as_bytes();
            letters.add(
                &format_args!("row {number}"),
                why,
                &text[..text.len().min(MAX_PAYLOAD)],
            );
        }
        if of.more > 0 {
            letters.leave_out(of.more);
        }
        match letters.finish() {
            // Something may be computed from letters, too: one that it can't take is not worth the rows.
            Ok(letters) => {
                let letters = letters.into_iter().collect();
                kept.extend(app.engine.sift(letters, &mut |_, _, _| {}).rows);
            }
            Err(error) => left.lost = Some(error.to_string()),
        }
    }
    (kept, left)
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
            DataType::Utf8 => String::from_utf8_lossy(values.str_at(0)).into(),
            DataType::Bool => (values.i64_at(0) != 0).into(),
            DataType::Int64 => values.i64_at(0).into(),
            DataType::UInt64 => values.i64_at(0).cast_unsigned().into(),
            DataType::Timestamp => time(values.i64_at(0)),
        };
        object.insert(column.name.clone(), value);
    }
    Value::Object(object).to_string()
}
