//! The fast path: a flat object whose names were seen before, without escapes, with values that plainly are of their
//! columns' types. It takes a row whole or not at all; whatever it does not take goes the way of [`super::row`], which
//! also words the errors. That both give the same rows is what `fast_tests` and a fuzz target hold.

use super::fields::{Fields, Kind, NONE};
use super::scan::{goes_on, integer, number, skip, string, whole, word};
use crate::convert::{Value, convert, instant};
use crate::number::{POW10, digits, parse_decimal, parse_f64, parse_i64, parse_u64, short_float};
use crate::writer::{Cells, Writer, put_tag};
use crate::{Cell, Precision};
use tsdb::types::{BatchBuilder, ColumnBuilder, ColumnId, DataType, Role, SeriesId};

/// Nulls without a column in a row that is taken; the other way counts them.
const MAX_ABSENT: usize = 1_024;

/// Appends the object that `text` starts with, or that it is when it must be `whole`, and gives where it ends; `None`,
/// and nothing appended, when it must go the other way.
#[inline]
pub(super) fn object(
    w: &mut Writer,
    text: &str,
    more: Cells<'_, '_>,
    whole: bool,
) -> Option<usize> {
    if !w.fields.tries() {
        w.fields.misses = w.fields.misses.wrapping_add(1);
        return None;
    }
    let start = skip(text.as_bytes(), 0);
    if text.as_bytes().get(start) != Some(&b'{') {
        return None;
    }
    w.row += 1;
    w.key.clear();
    w.batch.begin_row(0, SeriesId(0));
    let end = row(w, text, start + 1, more, whole);
    if end.is_some() {
        w.fields.misses = 0;
    } else {
        w.batch.abort_row();
        w.fields.misses = w.fields.misses.wrapping_add(1);
    }
    end
}

#[inline(always)]
fn row(w: &mut Writer, text: &str, at: usize, more: Cells<'_, '_>, whole: bool) -> Option<usize> {
    let mut out = Out {
        batch: &mut w.batch,
        seen: &mut w.seen,
        key: &mut w.key,
        row: w.row,
        unit: w.unit,
        time: None,
        any: false,
    };
    let end = members(&mut w.fields, &mut out, text, at)?;
    if whole && skip(text.as_bytes(), end) != text.len() {
        return None;
    }
    let (time, any) = (out.time, out.any);
    let (time, any) = match more {
        [] => (time, any),
        _ => more_cells(w, more, time, any)?,
    };
    // Without any value, without time, too old: the other way says so.
    let time = time.or(w.fill)?;
    if !any || time < w.oldest {
        return None;
    }
    let series = w.series_of_key()?;
    w.batch.set_time(time);
    *w.batch.series.last_mut()? = series.0;
    Some(end)
}

/// Where the values of a row go.
struct Out<'w> {
    batch: &'w mut BatchBuilder,
    seen: &'w mut [usize],
    key: &'w mut Vec<u8>,
    row: usize,
    unit: Option<Precision>,
    time: Option<i64>,
    /// Whether there is any value.
    any: bool,
}

impl Out<'_> {
    /// Marks a column as met; `None` when it was met before: the last value must win.
    #[inline(always)]
    fn meet(&mut self, column: ColumnId) -> Option<()> {
        let seen = self.seen.get_mut(usize::from(column.0))?;
        (std::mem::replace(seen, self.row) != self.row).then_some(())
    }
}

/// The members behind the brace that opened, up to behind the one that closes.
#[inline(always)]
fn members(fields: &mut Fields, out: &mut Out<'_>, text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut last, mut absent) = (skip(bytes, at), NONE, 0);
    loop {
        let (index, value_at) = fields.find(bytes, at, last)?;
        last = index;
        let field = fields.get(index)?;
        let value_at = skip(bytes, value_at);
        if field.kind == Kind::Absent {
            absent += 1;
            if absent > MAX_ABSENT {
                return None;
            }
        } else {
            out.meet(field.column)?;
        }
        at = if bytes.get(value_at) == Some(&b'n') {
            word(bytes, value_at, b"null")?
        } else {
            out.any = true;
            match field.kind {
                Kind::Absent => return None,
                Kind::Time => {
                    let (t, end) = time(text, value_at, out.unit)?;
                    out.time = Some(t);
                    end
                }
                Kind::Tag => {
                    let (value, end) = string(text, value_at)?;
                    put_tag(out.key, field.column, value);
                    end
                }
                Kind::Field => {
                    let column = out.batch.column(field.column, field.data_type)?;
                    value(column, field.data_type, text, value_at, out.unit)?
                }
            }
        };
        at = skip(bytes, at);
        match bytes.get(at)? {
            b',' => at = skip(bytes, at + 1),
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Appends cells that come besides the object's own.
#[inline(never)]
fn more_cells(
    w: &mut Writer,
    more: Cells<'_, '_>,
    mut time: Option<i64>,
    mut any: bool,
) -> Option<(Option<i64>, bool)> {
    for (name, cell) in more {
        let Some(i) = w.names.column(&w.schema, name) else {
            match cell {
                Cell::Null | Cell::Untyped("") => continue,
                _ => return None,
            }
        };
        if std::mem::replace(&mut w.seen[i], w.row) == w.row {
            return None;
        }
        let def = &w.schema.columns[i];
        let Some(value) = convert(def, cell, w.unit).ok()? else {
            continue;
        };
        any = true;
        match (def.role, &value) {
            (Role::Time, Value::Int(t)) => time = Some(*t),
            (Role::Tag, Value::Str(v)) => put_tag(&mut w.key, def.id, v),
            (Role::Field, value) => {
                let column = w.batch.column(def.id, def.data_type)?;
                value.push(column).then_some(())?;
            }
            _ => return None,
        }
    }
    Some((time, any))
}

/// A time and where it ends.
#[inline(always)]
fn time(text: &str, at: usize, unit: Option<Precision>) -> Option<(i64, usize)> {
    let bytes = text.as_bytes();
    if bytes.get(at) == Some(&b'"') {
        let (text, end) = string(text, at)?;
        return Some((instant(text, unit)?, end));
    }
    match integer(bytes, at) {
        Some((v, end)) if !goes_on(bytes, end) => {
            let unit = unit.unwrap_or_else(|| Precision::by_size(v));
            Some((v.checked_mul(unit.nanos())?, end))
        }
        _ => {
            let (number, end) = number(text, at)?;
            Some((instant(number, unit)?, end))
        }
    }
}

/// A double and where it ends.
#[inline(always)]
fn float(text: &str, at: usize) -> Option<(f64, usize)> {
    let bytes = text.as_bytes();
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let first = *bytes.get(start)?;
    let led = first == b'0' && matches!(bytes.get(start + 1), Some(b'0'..=b'9'));
    if first.is_ascii_digit()
        && !led
        && let Some((v, end)) = short_float(bytes, at)
        && bytes[end - 1] != b'.'
    {
        return Some((v, end));
    }
    let (number, end) = number(text, at)?;
    Some((parse_f64(number.as_bytes())?, end))
}

/// A decimal's unscaled value and where it ends.
#[inline(always)]
fn decimal(text: &str, at: usize, precision: u8, scale: u8) -> Option<(i128, usize)> {
    let bytes = text.as_bytes();
    let negative = bytes.get(at) == Some(&b'-');
    if let Some((units, whole_end)) = whole(bytes, at + usize::from(negative)) {
        let (fraction, end) = match bytes.get(whole_end) {
            Some(b'.') => digits(bytes, whole_end + 1),
            _ => (0, whole_end),
        };
        let places = end.saturating_sub(whole_end + 1);
        let scale = usize::from(scale);
        // So many digits in all that nothing overflows, and none is lost.
        let plain = end != whole_end + 1
            && places <= scale
            && whole_end - at + scale <= 18
            && !goes_on(bytes, end);
        if plain {
            let v = units * POW10[scale] + fraction * POW10[scale - places];
            if i128::from(v) >= 10i128.pow(u32::from(precision.min(38))) {
                return None;
            }
            let v = i128::from(v);
            return Some((if negative { -v } else { v }, end));
        }
    }
    let (number, end) = number(text, at)?;
    let v = parse_decimal(number.as_bytes(), precision, scale, false).ok()?;
    Some((v, end))
}

/// Appends the value at `at` and gives where it ends; `None` unless it plainly is of the column's type.
#[inline(always)]
fn value(
    column: &mut ColumnBuilder,
    data_type: DataType,
    text: &str,
    at: usize,
    unit: Option<Precision>,
) -> Option<usize> {
    let bytes = text.as_bytes();
    let quoted = bytes.get(at) == Some(&b'"');
    match data_type {
        DataType::Utf8 => {
            let (value, end) = string(text, at)?;
            column.push_str(value).then_some(end)
        }
        DataType::Float64 => {
            let (v, end) = float(text, at)?;
            column.push_f64(v);
            Some(end)
        }
        DataType::Int64 => {
            let (v, end) = if quoted {
                let (text, end) = string(text, at)?;
                (parse_i64(text.as_bytes())?, end)
            } else {
                integer(bytes, at)?
            };
            column.push_i64(v);
            Some(end)
        }
        DataType::UInt64 => {
            let (v, end) = if quoted {
                let (text, end) = string(text, at)?;
                (parse_u64(text.as_bytes())?, end)
            } else {
                whole(bytes, at)?
            };
            column.push_i64(v as i64);
            Some(end)
        }
        DataType::Timestamp => {
            let (v, end) = time(text, at, unit)?;
            column.push_i64(v);
            Some(end)
        }
        DataType::Decimal { precision, scale } => {
            let (v, end) = if quoted {
                let (text, end) = string(text, at)?;
                (
                    parse_decimal(text.as_bytes(), precision, scale, false).ok()?,
                    end,
                )
            } else {
                decimal(text, at, precision, scale)?
            };
            column.push_i128(v).then_some(end)
        }
        DataType::Bool => {
            let (v, end) = match bytes.get(at)? {
                b't' => (1, word(bytes, at, b"true")?),
                b'f' => (0, word(bytes, at, b"false")?),
                _ => return None,
            };
            column.push_i64(v);
            Some(end)
        }
    }
}
