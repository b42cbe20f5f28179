//! The fast path: a line whose key and field names were seen before, without escapes outside of strings. It takes a
//! line whole or not at all; whatever it does not take is decoded by the grammar, which also words the errors.

use super::LineContext;
use super::cache::{Cache, Fields, NONE};
use crate::number::{SAFE_DIGITS, digits, parse_f64, short_float};
use tsdb::types::{BatchBuilder, ColumnBuilder, DataType};

/// Decodes the line at `at`; gives the stream and where the next line starts.
#[inline]
pub(super) fn line(
    cache: &mut Cache,
    body: &[u8],
    at: usize,
    ctx: &LineContext<'_>,
) -> Option<(u32, usize)> {
    let (index, blank) = cache.find(body, at)?;
    let entry = &cache.entries[index as usize];
    let (stream, series) = (entry.stream, entry.series);
    let target = &mut cache.targets[stream as usize];
    target.rows.begin_row(ctx.now_ns, series);
    if let Some(extra) = &entry.extra {
        for (column, value) in extra {
            if !target
                .rows
                .column(*column, DataType::Utf8)
                .is_some_and(|c| c.push_str(value))
            {
                target.rows.abort_row();
                return None;
            }
        }
    }
    let oldest = target.oldest;
    match rest(
        &mut target.fields,
        &mut target.rows,
        body,
        blank + 1,
        ctx,
        oldest,
    ) {
        Some(next) => {
            cache.last = index;
            Some((stream, next))
        }
        None => {
            target.rows.abort_row();
            None
        }
    }
}

/// Fields, time and the line's end.
#[inline(always)]
fn rest(
    fields: &mut Fields,
    rows: &mut BatchBuilder,
    body: &[u8],
    start: usize,
    ctx: &LineContext<'_>,
    oldest: i64,
) -> Option<usize> {
    let (mut at, mut last) = (start, NONE);
    loop {
        let (index, value_at) = fields.find(body, at, last)?;
        last = index;
        let field = &fields.list[index as usize];
        // A second value for the column, which must win, is left to the grammar.
        let column = rows.column(field.column, field.data_type)?;
        at = value(column, field.data_type, body, value_at)?;
        match body.get(at)? {
            b',' => at += 1,
            b' ' => break,
            _ => return line_end(body, at),
        }
    }
    at += 1;
    let negative = body.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let (magnitude, end) = digits(body, start);
    if end == start || end - start > SAFE_DIGITS {
        return None;
    }
    let time = i64::try_from(magnitude)
        .ok()?
        .checked_mul(ctx.precision.nanos())?;
    let time = if negative { -time } else { time };
    if time < oldest {
        // The grammar's way says why.
        return None;
    }
    rows.set_time(time);
    line_end(body, end)
}

/// Behind the newline (or CR LF) at `at`, or the end of the body.
#[inline(always)]
fn line_end(body: &[u8], at: usize) -> Option<usize> {
    match body.get(at) {
        Some(b'\n') => Some(at + 1),
        Some(b'\r') if body.get(at + 1) == Some(&b'\n') => Some(at + 2),
        None => Some(at),
        _ => None,
    }
}

/// Appends the value at `at` and gives where it ends; `None` unless it plainly has the column's type.
#[inline(always)]
fn value(column: &mut ColumnBuilder, data_type: DataType, body: &[u8], at: usize) -> Option<usize> {
    match data_type {
        DataType::Int64 => {
            let negative = body.get(at) == Some(&b'-');
            let start = at + usize::from(negative);
            let (magnitude, end) = digits(body, start);
            if body.get(end) != Some(&b'i') || end == start || end - start > SAFE_DIGITS {
                return None;
            }
            let v = i64::try_from(magnitude).ok()?;
            column.push_i64(if negative { -v } else { v });
            Some(end + 1)
        }
        DataType::Float64 => float(column, body, at),
        DataType::UInt64 => {
            let (v, end) = digits(body, at);
            if body.get(end) != Some(&b'u') || end == at || end - at > SAFE_DIGITS {
                return None;
            }
            column.push_i64(v as i64);
            Some(end + 1)
        }
        DataType::Bool => {
            let len = memchr::memchr3(
                b',',
                b' ',
                b'\n',
                body.get(at..at + 6).unwrap_or(&body[at..]),
            )?;
            let v = match &body[at..at + len] {
                b"t" | b"T" | b"true" | b"True" | b"TRUE" => 1,
                b"f" | b"F" | b"false" | b"False" | b"FALSE" => 0,
                _ => return None,
            };
            column.push_i64(v);
            Some(at + len)
        }
        DataType::Utf8 => string(column, body, at),
        DataType::Timestamp => {
            let (v, end) = digits(body, at);
            if end == at || end - at > SAFE_DIGITS {
                return None;
            }
            let unit = match body.get(end)? {
                b't' => 1_000,
                b'n' => 1,
                _ => return None,
            };
            column.push_i64(i64::try_from(v).ok()?.checked_mul(unit)?);
            Some(end + 1)
        }
        DataType::Decimal { .. } => None,
    }
}

#[inline]
fn float(column: &mut ColumnBuilder, body: &[u8], at: usize) -> Option<usize> {
    let (v, end) = match short_float(body, at) {
        Some(short) => short,
        None => {
            let rest = &body[at..];
            let plain = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
            let len = rest.iter().position(|b| !plain(b)).unwrap_or(rest.len());
            (parse_f64(&rest[..len])?, at + len)
        }
    };
    if !matches!(body.get(end), Some(b',' | b' ' | b'\n' | b'\r') | None) {
        return None;
    }
    column.push_f64(v);
    Some(end)
}

#[inline]
fn string(column: &mut ColumnBuilder, body: &[u8], at: usize) -> Option<usize> {
    if body.get(at) != Some(&b'"') {
        return None;
    }
    let text = &body[at + 1..];
    let len = memchr::memchr2(b'"', b'\\', text)?;
    if text[len] != b'"' {
        return None;
    }
    let text = std::str::from_utf8(&text[..len]).ok()?;
    column.push_str(text).then_some(at + len + 2)
}
