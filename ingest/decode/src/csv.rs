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

/// The column names of a header line.
pub fn header_line(line: &[u8], delimiter: u8) -> Result<Vec<String>, RowReason> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .from_reader(line);
    header(&mut reader)
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
pub fn receive(body: &[u8], names: &[Vec<String>], delimiter: u8, rows: &mut Receiver<'_, '_>) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if memchr::memchr(b'"', body).is_none() {
        plain(body, names, delimiter, rows);
    } else {
        quoted(body, names, delimiter, rows);
    }
}

/// Lines without quotes: making a reader takes longer than a short message.
fn plain(body: &[u8], names: &[Vec<String>], delimiter: u8, rows: &mut Receiver<'_, '_>) {
    let mut values = Vec::new();
    for line in body.split(|b| matches!(b, b'\n' | b'\r')) {
        if line.is_empty() {
            continue;
        }
        values.clear();
        values.extend(line.split(|b| *b == delimiter));
        let cells = row(columns(names, values.len()), values.iter().copied());
        if !rows.take(cells.as_deref().map_err(Clone::clone), line.trim_ascii()) {
            return;
        }
    }
}

fn quoted(body: &[u8], names: &[Vec<String>], delimiter: u8, rows: &mut Receiver<'_, '_>) {
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
                let cells = row(columns(names, record.len()), record.iter());
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

/// The list of names that has as many, else the first.
fn columns(names: &[Vec<String>], values: usize) -> &[String] {
    let fits = names.iter().find(|n| n.len() == values);
    fits.or(names.first()).map_or(&[][..], Vec::as_slice)
}

fn row<'a>(
    names: &'a [String],
    values: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<Vec<(Cow<'a, str>, Cell<'a>)>, RowReason> {
    if values.len() != names.len() {
        return Err(RowReason::Width {
            expected: names.len(),
            got: values.len(),
        });
    }
    let cell = |(name, value): (&'a String, &'a [u8])| {
        let value = std::str::from_utf8(value).map_err(|_| RowReason::NotUtf8)?;
        Ok((Cow::Borrowed(name.as_str()), Cell::Untyped(value)))
    };
    names.iter().zip(values).map(cell).collect()
}

/// The stream that a body's header suggests; see [`super::json::infer_stream`].
#[must_use]
pub fn infer_stream(body: &[u8]) -> StreamDef {
    let names = header(&mut reader(body)).unwrap_or_default();
    stream_with_time(names.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RefusedRow;
    use crate::writer::Writer;
    use proptest::prelude::*;
    use tsdb::types::{DataType, Role};
    use tsdb::{Catalog, Rows};

    type Way = fn(&[u8], &[Vec<String>], u8, &mut Receiver<'_, '_>);

    /// Batches, refused rows, and how many were not.
    type Told = (Vec<Vec<u8>>, Vec<(RowReason, Vec<u8>)>, usize);

    fn told(way: Way, body: &[u8]) -> Told {
        let mut def = stream_with_time(["t"].into_iter());
        def.columns.push(("a".into(), DataType::Int64, Role::Field));
        let stream = Catalog::default()
            .create_stream("default", "s", &def)
            .unwrap();
        let mut writer = Writer::new(stream, None);
        writer.begin(1, Some(1));
        let mut refused = Vec::new();
        let mut on_refused = |r: RefusedRow<'_>| refused.push((r.reason, r.payload.to_vec()));
        let mut rows = Receiver::new(&mut writer, &[], &mut on_refused);
        let names = ["a b c", "a b"].map(|n| n.split(' ').map(str::to_owned).collect());
        way(body, &names, b',', &mut rows);
        let accepted = rows.accepted;
        let encode = |rows| {
            let mut out = Vec::new();
            match rows {
                Rows::Sealed(batch) => batch.encode(&mut out),
                Rows::Small(rows) => rows.finish().unwrap().encode(&mut out),
            }
            out
        };
        let batches = writer.take().into_iter().map(encode).collect();
        (batches, refused, accepted)
    }

    proptest! {
        #[test]
        fn both_ways_read_lines_without_quotes_alike(
            rows in proptest::collection::vec("[0-9]{0,3}(,[a-z0-9 ]{0,3}){0,3}(\r\n|\n|\r|\n\n)?", 0..9),
            spoil in proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let mut body = rows.concat().into_bytes();
            if let Some((at, byte)) = spoil && byte != b'"' && !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
            prop_assert_eq!(told(plain, &body), told(quoted, &body));
        }
    }
}
