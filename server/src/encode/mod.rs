//! Rows as text: JSON, NDJSON and CSV, and Arrow's own stream. Written cell by cell from the columns, without a value
//! in between.

mod cell;
mod time;
mod writer;

pub(crate) use cell::Cells;
pub(crate) use time::{Epoch, rfc3339};
pub(crate) use writer::{Tail, Writer};

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use query::types::type_name;

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Lines,
    /// Server-sent events: `columns`, a `row` for each, `end`.
    Events,
    Csv,
    Arrow,
}

impl Form {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Lines => "application/x-ndjson",
            Form::Events => "text/event-stream",
            Form::Csv => "text/csv; charset=utf-8; header=present",
            Form::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Appends a JSON string.
pub(crate) fn json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let short = match b {
            b'"' | b'\\' => b,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[done..i]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(&[
                b'0',
                b'0',
                HEX[usize::from(b >> 4)],
                HEX[usize::from(b & 15)],
            ]);
        }
        done = i + 1;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

/// Appends `[{"name":..,"type":..},..]`.
pub(crate) fn json_columns(schema: &Schema, out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        json_string(field.name(), out);
        out.extend_from_slice(b",\"type\":");
        json_string(&type_name(field.data_type()), out);
        out.push(b'}');
    }
    out.push(b']');
}

/// Appends the rows of a batch as JSON arrays, with commas between them; `first` says that none came before.
pub(crate) fn json_rows(
    batch: &RecordBatch,
    epoch: Option<Epoch>,
    first: &mut bool,
    out: &mut Vec<u8>,
) {
    let columns: Vec<Cells<'_>> = batch
        .columns()
        .iter()
        .map(|c| Cells::of(c, epoch))
        .collect();
    for row in 0..batch.num_rows() {
        if !std::mem::replace(first, false) {
            out.push(b',');
        }
        out.push(b'[');
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            column.json(row, out);
        }
        out.push(b']');
    }
}

/// The names of the columns as JSON object keys, comma and colon included.
fn json_keys(schema: &Schema) -> Vec<Vec<u8>> {
    let key = |(i, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
        let mut key = vec![if i == 0 { b'{' } else { b',' }];
        json_string(field.name(), &mut key);
        key.push(b':');
        key
    };
    schema.fields().iter().enumerate().map(key).collect()
}

/// Appends each row as a JSON object between `before` and `after`.
pub(crate) fn json_objects(
    batch: &RecordBatch,
    epoch: Option<Epoch>,
    before: &[u8],
    after: &[u8],
    out: &mut Vec<u8>,
) {
    let keys = json_keys(batch.schema_ref());
    let columns: Vec<Cells<'_>> = batch
        .columns()
        .iter()
        .map(|c| Cells::of(c, epoch))
        .collect();
    for row in 0..batch.num_rows() {
        out.extend_from_slice(before);
        for (key, column) in keys.iter().zip(&columns) {
            out.extend_from_slice(key);
            column.json(row, out);
        }
        if keys.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        out.extend_from_slice(after);
    }
}

/// Appends the header line.
pub(crate) fn csv_header(schema: &Schema, out: &mut Vec<u8>) {
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        cell::csv_text(field.name(), out);
    }
    out.push(b'\n');
}

/// Appends a line for each row. Null is nothing, an empty string is `""`.
pub(crate) fn csv_rows(batch: &RecordBatch, epoch: Option<Epoch>, out: &mut Vec<u8>) {
    let columns: Vec<Cells<'_>> = batch
        .columns()
        .iter()
        .map(|c| Cells::of(c, epoch))
        .collect();
    for row in 0..batch.num_rows() {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            column.csv(row, out);
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests;
