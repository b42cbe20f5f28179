//! CSV with a header line (RFC 4180: commas, quotes doubled within quotes).
//!
//! Empty cells are null. A name that the stream does not have becomes a column whose type the first value of it tells:
//! BOOLEAN for `true` and `false`, DOUBLE for a number, else STRING.

use super::json::stream_with_time;
use super::receiver::Receiver;
use super::row::{Cell, DecodedRows, OnRefused, RowContext, RowReason, decode_rows};
use crate::admission::Rejection;
use ahash::RandomState;
use csv::{ByteRecord, ReaderBuilder};
use hashbrown::HashSet;
use std::borrow::Cow;
use tsdb::StreamDef;

/// Columns of a header at most.
const MAX_HEADER: usize = 4_096;

fn reader(body: &[u8]) -> csv::Reader<&[u8]> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // The width is checked here, so that a short row is that row's error alone.
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(body)
}

/// The column names, or why there are none.
fn header(reader: &mut csv::Reader<&[u8]>) -> Result<Vec<String>, RowReason> {
    let mut record = ByteRecord::new();
    let any = reader
        .read_byte_record(&mut record)
        .map_err(|e| RowReason::Syntax(e.to_string()))?;
    if !any {
        return Err(RowReason::Syntax(
            "a CSV body starts with a header line".into(),
        ));
    }
    if record.len() > MAX_HEADER {
        return Err(RowReason::TooManyColumns(MAX_HEADER));
    }
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    let mut met: HashSet<&str, RandomState> = HashSet::default();
    for name in &record {
        let name = std::str::from_utf8(name)
            .map_err(|_| RowReason::NotUtf8)?
            .trim();
        if name.is_empty() {
            return Err(RowReason::Syntax(
                "the header has a column without a name".into(),
            ));
        }
        if !met.insert(name) {
            return Err(RowReason::Syntax(format!(
                "the header names \"{name}\" twice"
            )));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Decodes a body. Bad rows are reported to `on_refused` and leave nothing behind; good ones are kept.
///
/// # Errors
/// 400 for a header that can't be, 413 when the rows would take more than [`super::MAX_REQUEST_BYTES`] in columns;
/// then none is kept.
pub fn decode(
    body: &[u8],
    ctx: &RowContext,
    on_refused: &mut OnRefused<'_>,
) -> Result<DecodedRows, Rejection> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut reader = reader(body);
    let names = header(&mut reader).map_err(|reason| {
        Rejection::new(400, "bad_request", format!("the header line: {reason}"))
    })?;
    decode_rows(ctx, on_refused, &mut |rows| {
        records(&mut reader, body, std::slice::from_ref(&names), rows);
    })
}

/// Hands the rows of a message on that has no header line: its columns are those of the lists that has as many as a
/// row has values.
pub(crate) fn receive(
    body: &[u8],
    names: &[Vec<String>],
    delimiter: u8,
    rows: &mut Receiver<'_, '_>,
) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(body.len().clamp(64, 8 << 10))
        .from_reader(body);
    records(&mut reader, body, names, rows);
}

/// Hands records on, by the list of `names` that fits.
fn records(
    reader: &mut csv::Reader<&[u8]>,
    body: &[u8],
    names: &[Vec<String>],
    rows: &mut Receiver<'_, '_>,
) {
    let mut record = ByteRecord::new();
    loop {
        let start = reader.position().byte() as usize;
        match reader.read_byte_record(&mut record) {
            Ok(false) => return,
            Ok(true) => {
                let end = reader.position().byte() as usize;
                let text = body.get(start..end).unwrap_or_default().trim_ascii();
                let fits = names.iter().find(|n| n.len() == record.len());
                let columns = fits.or(names.first()).map_or(&[][..], Vec::as_slice);
                let cells = row(columns, &record);
                if !rows.take(cells.as_deref().map_err(Clone::clone), text) {
                    return;
                }
            }
            Err(e) => {
                rows.refuse(RowReason::Syntax(e.to_string()), &[]);
                return;
            }
        }
    }
}

fn row<'a>(
    names: &'a [String],
    record: &'a ByteRecord,
) -> Result<Vec<(Cow<'a, str>, Cell<'a>)>, RowReason> {
    if record.len() != names.len() {
        return Err(RowReason::Width {
            expected: names.len(),
            got: record.len(),
        });
    }
    let cell = |(name, value): (&'a String, &'a [u8])| {
        let value = std::str::from_utf8(value).map_err(|_| RowReason::NotUtf8)?;
        Ok((Cow::Borrowed(name.as_str()), Cell::Untyped(value)))
    };
    names.iter().zip(record).map(cell).collect()
}

/// The stream that a body's header suggests; see [`super::json::infer_stream`].
#[must_use]
pub fn infer_stream(body: &[u8]) -> StreamDef {
    let names = header(&mut reader(body)).unwrap_or_default();
    stream_with_time(names.iter().map(String::as_str))
}
