//! JSON: one object per line, one object, several in a row, or an array of them.
//!
//! Objects within objects become dotted columns (`properties.page`), arrays keep their JSON text in a STRING column.
//! Of a key given twice the last one wins. Numbers are read from their text, decimals never by way of a double.

mod fast;
#[cfg(test)]
mod fast_tests;
mod fields;
mod scan;

pub(super) use fields::Fields;

use super::receiver::Receiver;
use super::row::{Cell, DecodedRows, OnRefused, RowContext, RowReason, decode_rows};
use crate::admission::Rejection;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use tsdb::types::{DataType, Role};
use tsdb::{StreamDef, StreamOptions};

/// Objects within objects at most.
pub const MAX_DEPTH: usize = 32;
/// Members of a row at most, those of its inner objects among them: no stream has more columns.
const MAX_MEMBERS: usize = 65_536;

/// Bytes of a body from which on its rows' names are learnt.
const MIN_LEARNT: usize = 1 << 10;

/// How a body holds its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFormat {
    /// `application/x-ndjson`: one object per line; a bad line spoils no other.
    Lines,
    /// `application/json`: an array of objects, or objects one after the other; what follows a syntax error is lost.
    Document,
}

/// The named cells of a row.
pub type Cells<'a> = Vec<(Cow<'a, str>, Cell<'a>)>;

/// Decodes a body. Bad rows are reported to `on_refused` and leave nothing behind; good ones are kept.
///
/// # Errors
/// 413 when the rows would take more than [`super::MAX_REQUEST_BYTES`] in columns; then none is kept.
pub fn decode(
    body: &[u8],
    format: JsonFormat,
    ctx: &RowContext,
    on_refused: &mut OnRefused<'_>,
) -> Result<DecodedRows, Rejection> {
    decode_rows(ctx, on_refused, &mut |rows| {
        // What names mean is learnt for each body anew, which a short one does not repay.
        rows.fast = body.len() >= MIN_LEARNT;
        receive(body, format, rows);
    })
}

/// Hands the rows of a body on.
pub fn receive(body: &[u8], format: JsonFormat, rows: &mut Receiver<'_, '_>) {
    let body = strip_bom(body);
    let text = match (format, std::str::from_utf8(body)) {
        (JsonFormat::Document, Ok(text)) if !is_array(text) => text,
        _ => {
            each_text(body, format, &mut |text, bytes| match text {
                Ok(text) => take(rows, text),
                Err(reason) => rows.refuse(reason, bytes),
            });
            return;
        }
    };
    // Objects one after the other; from the first that is not plain on, the parser says where each ends.
    let (mut at, mut taken) = (0, 0);
    while let Some(len) = object(rows, &text[at..], false) {
        if !rows.appended() {
            return;
        }
        (at, taken) = (at + len, taken + 1);
    }
    if scan::skip(text.as_bytes(), at) == text.len() {
        return;
    }
    let mut tried = true;
    sequence(text, taken, &mut |text, bytes| match text {
        // The first was tried above.
        Ok(text) if std::mem::take(&mut tried) => slowly(rows, text),
        Ok(text) => take(rows, text),
        Err(reason) => rows.refuse(reason, bytes),
    });
}

/// Appends the object that text starts with, or `whole`ly is, if it is plain, and gives where it ends.
fn object(rows: &mut Receiver<'_, '_>, text: &str, whole: bool) -> Option<usize> {
    if !rows.fast {
        return None;
    }
    let (writer, more) = rows.writer();
    fast::object(writer, text, more, whole)
}

/// Takes the row that is all of `text`.
#[inline]
fn take(rows: &mut Receiver<'_, '_>, text: &str) -> bool {
    match object(rows, text, true) {
        Some(_) => rows.appended(),
        None => slowly(rows, text),
    }
}

/// Takes a row by the way that knows all of JSON, and learns its names for the other.
fn slowly(rows: &mut Receiver<'_, '_>, text: &str) -> bool {
    let cells = row(text);
    let before = rows.accepted;
    let go_on = rows.take(cells.as_deref().map_err(Clone::clone), text.as_bytes());
    if let Ok(cells) = &cells
        && rows.accepted > before
        && rows.fast
        && rows.writer().0.fields.learns()
    {
        rows.writer().0.learn(cells);
    }
    go_on
}

/// The cells of text that is one object, dotted below `prefix` if there is one; `None` when it is none.
pub fn members<'a>(text: &'a str, prefix: Option<&str>) -> Option<Cells<'a>> {
    let mut cells = Vec::new();
    let object = text.trim_start().starts_with('{');
    (object && flatten(text, prefix, 1, &mut cells).is_ok()).then_some(cells)
}

/// The stream that a body's first row suggests: its event time is the first of `timestamp`, `ts` and `time` that the
/// row has, else `time`, filled with the commit's time. The other columns come with the rows.
#[must_use]
pub fn infer_stream(body: &[u8], format: JsonFormat) -> StreamDef {
    let mut names: Vec<String> = Vec::new();
    each_text(
        strip_bom(body),
        format,
        &mut |text, _| match text.and_then(row) {
            Ok(cells) => {
                names = cells.iter().map(|c| c.0.to_string()).collect();
                false
            }
            Err(_) => true,
        },
    );
    stream_with_time(names.iter().map(String::as_str))
}

/// A new stream for rows of these names.
pub(super) fn stream_with_time<'a>(names: impl Iterator<Item = &'a str> + Clone) -> StreamDef {
    let of = |wanted: &str| names.clone().find(|n| n.eq_ignore_ascii_case(wanted));
    let time = ["timestamp", "ts", "time"]
        .into_iter()
        .find_map(of)
        .unwrap_or("time");
    StreamDef {
        columns: vec![(time.into(), DataType::Timestamp, Role::Time)],
        options: StreamOptions::default(),
    }
}

fn strip_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Calls `f` with the cells of each object of a message, or why one is none.
pub fn each(body: &[u8], f: &mut dyn FnMut(Result<Cells<'_>, RowReason>)) {
    each_text(strip_bom(body), JsonFormat::Document, &mut |text, _| {
        f(text.and_then(row));
        true
    });
}

fn is_array(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

/// Told of each row's text, or why there is none, and its bytes; false ends it.
type OnText<'f> = dyn FnMut(Result<&str, RowReason>, &[u8]) -> bool + 'f;

/// Calls `f` with each row's text until it returns false.
fn each_text(body: &[u8], format: JsonFormat, f: &mut OnText<'_>) {
    match format {
        JsonFormat::Lines => {
            let mut at = 0;
            while at < body.len() {
                let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |i| at + i);
                let line = body[at..end].trim_ascii();
                at = end + 1;
                if line.is_empty() {
                    continue;
                }
                let text = std::str::from_utf8(line).map_err(|_| RowReason::NotUtf8);
                if !f(text, line) {
                    return;
                }
            }
        }
        JsonFormat::Document => match std::str::from_utf8(body) {
            Err(_) => {
                f(Err(RowReason::NotUtf8), body);
            }
            Ok(text) if is_array(text) => array(text, f),
            Ok(text) => sequence(text, 0, f),
        },
    }
}

/// Values one after the other, without the first `known`.
fn sequence(text: &str, known: usize, f: &mut OnText<'_>) {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    for _ in 0..known {
        values.next();
    }
    loop {
        let at = values.byte_offset();
        match values.next() {
            None => return,
            Some(Ok(raw)) => {
                if !f(Ok(raw.get()), raw.get().as_bytes()) {
                    return;
                }
            }
            Some(Err(e)) => {
                f(Err(syntax(&e)), text[at..].trim().as_bytes());
                return;
            }
        }
    }
}

/// The rows of an array, and an error in place of the first that can't be told apart.
fn array(text: &str, f: &mut OnText<'_>) {
    struct Rows<'f, 'g>(&'f mut OnText<'g>, &'f mut bool);
    impl<'de> Visitor<'de> for Rows<'_, '_> {
        type Value = ();
        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an array of rows")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while let Some(raw) = seq.next_element::<&RawValue>()? {
                if !(self.0)(Ok(raw.get()), raw.get().as_bytes()) {
                    *self.1 = true;
                    return Err(de::Error::custom("enough"));
                }
            }
            Ok(())
        }
    }
    let mut enough = false;
    let mut parser = serde_json::Deserializer::from_str(text);
    let read = parser
        .deserialize_seq(Rows(f, &mut enough))
        .and_then(|()| parser.end());
    if let (Err(e), false) = (read, enough) {
        let head = text.trim().as_bytes();
        f(Err(syntax(&e)), &head[..head.len().min(256)]);
    }
}

fn syntax(error: &serde_json::Error) -> RowReason {
    RowReason::Syntax(error.to_string())
}

/// The cells of one object.
fn row(text: &str) -> Result<Cells<'_>, RowReason> {
    if !text.trim_start().starts_with('{') {
        // Words the syntax error, if it is one, rather than the shape.
        serde_json::from_str::<&RawValue>(text).map_err(|e| syntax(&e))?;
        return Err(RowReason::NotAnObject);
    }
    let mut cells = Vec::new();
    flatten(text, None, 1, &mut cells)?;
    Ok(cells)
}

/// Appends an object's cells, dotted below `prefix`.
fn flatten<'a>(
    text: &'a str,
    prefix: Option<&str>,
    depth: usize,
    cells: &mut Cells<'a>,
) -> Result<(), RowReason> {
    if depth > MAX_DEPTH {
        return Err(RowReason::TooDeep(MAX_DEPTH));
    }
    let Members(members) = serde_json::from_str(text).map_err(|e| syntax(&e))?;
    if cells.len() + members.len() > MAX_MEMBERS {
        return Err(RowReason::TooManyColumns(MAX_MEMBERS));
    }
    for (Text(name), raw) in members {
        let name = match prefix {
            Some(prefix) => Cow::Owned(format!("{prefix}.{name}")),
            None => name,
        };
        let raw = raw.get();
        let cell = match raw.as_bytes().first() {
            Some(b'{') => {
                flatten(raw, Some(&name), depth + 1, cells)?;
                continue;
            }
            Some(b'[') => Cell::Array(Cow::Borrowed(raw)),
            Some(b'"') => Cell::Str(
                serde_json::from_str::<Text<'_>>(raw)
                    .map_err(|e| syntax(&e))?
                    .0,
            ),
            Some(b't') => Cell::Bool(true),
            Some(b'f') => Cell::Bool(false),
            Some(b'n') | None => Cell::Null,
            Some(_) => Cell::Number(raw),
        };
        cells.push((name, cell));
    }
    Ok(())
}

/// Text that is borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        d.deserialize_str(V)
    }
}

/// An object's members in order, duplicates and all; past [`MAX_MEMBERS`] one more and no others.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Members<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                    if members.len() > MAX_MEMBERS {
                        // Read on, for the syntax alone.
                        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    }
                }
                Ok(Members(members))
            }
        }
        d.deserialize_map(V)
    }
}
