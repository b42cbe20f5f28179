//! Writes what a letter keeps.

use crate::dead_letter::{self, MAX_PAYLOAD};
use crate::metric::text::push_string;
use crate::metric::{Cell, Column};
use std::borrow::Cow;
use std::fmt::Write;

/// The NaN that is written without its bits.
pub(super) const USUAL_NAN: u64 = 0x7ff8_0000_0000_0000;
/// Characters of a metric's name that a letter's stream has.
const MAX_SHORT: usize = 255;
/// Bytes that are kept of each part of what is too long. Half of what there is room for: quotes in it take two bytes.
const MAX_PART: usize = MAX_PAYLOAD / 4;

/// What a point was, apart from its labels.
pub(crate) enum Kept<'a> {
    /// A row's time and values.
    Row(i64, &'a [(Column, Cell<'a>)]),
    /// An exemplar: its labels as JSON, its time and value.
    Exemplar(&'a str, i64, f64),
    /// What a metric is, and since when.
    Metadata(i64, &'a [(Column, Cell<'a>)]),
    /// What could not be a row, in words.
    Shown(Cow<'a, str>),
}

/// The payload of a point's letter; its labels are as [`labels`] has them, `None` when they can't be read.
pub(crate) fn payload(metric: &str, labels: Option<&str>, kept: &Kept<'_>) -> String {
    let mut rest = String::new();
    push_kept(kept, &mut rest);
    let mut out = String::from("{");
    if short(metric).len() < metric.len() {
        out.push_str("\"metric\":");
        push_text(metric, &mut out);
        out.push(',');
    }
    let whole = out.len() + labels.map_or(0, |l| "\"labels\":,".len() + l.len()) + rest.len() + 1;
    if whole > MAX_PAYLOAD {
        return cut(labels.unwrap_or_default(), &rest);
    }
    if let Some(labels) = labels {
        out.push_str("\"labels\":");
        out.push_str(labels);
        out.push(',');
    }
    out.push_str(&rest);
    out.push('}');
    out
}

/// What is too long: the beginnings of its labels and of the rest.
fn cut(labels: &str, rest: &str) -> String {
    let mut out = String::from("{\"cut\":[");
    push_string(dead_letter::cut(labels, MAX_PART), &mut out);
    out.push(',');
    push_string(dead_letter::cut(rest, MAX_PART), &mut out);
    out.push_str("]}");
    out
}

/// A metric's name as a letter's stream has it, and any name as a reason has it.
pub(crate) fn short(name: &str) -> &str {
    match name.char_indices().nth(MAX_SHORT) {
        Some((end, _)) => &name[..end],
        None => name,
    }
}

/// Labels as a JSON object, in their order. Where they are more than a letter keeps, so is this.
pub(crate) fn labels<N: AsRef<str>, V: AsRef<str>>(
    pairs: impl IntoIterator<Item = (N, V)>,
) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.into_iter().enumerate() {
        // A series may have any number of bytes, and each of its points has a letter.
        if out.len() > MAX_PAYLOAD {
            break;
        }
        if i > 0 {
            out.push(',');
        }
        push_text(name.as_ref(), &mut out);
        out.push(':');
        push_text(value.as_ref(), &mut out);
    }
    out.push('}');
    out
}

fn push_kept(kept: &Kept<'_>, out: &mut String) {
    // Writing to a String can't fail.
    match kept {
        Kept::Row(time, values) => {
            let _ = write!(out, "\"time\":{time},\"values\":");
            push_values(values, out);
        }
        Kept::Exemplar(labels, time, value) => {
            let _ = write!(out, "\"time\":{time},\"exemplar\":{{\"labels\":");
            out.push_str(labels);
            out.push_str(",\"value\":");
            push_double(*value, out);
            out.push('}');
        }
        Kept::Metadata(time, values) => {
            let _ = write!(out, "\"time\":{time},\"metadata\":");
            push_values(values, out);
        }
        Kept::Shown(words) => {
            out.push_str("\"shown\":");
            push_text(words, out);
        }
    }
}

fn push_values(values: &[(Column, Cell<'_>)], out: &mut String) {
    out.push('{');
    for (i, (column, cell)) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(column.name(), out);
        out.push(':');
        match cell {
            Cell::F64(v) => push_double(*v, out),
            Cell::I64(v) => {
                let _ = write!(out, "{v}");
            }
            Cell::Text(text) => push_text(text, out),
        }
    }
    out.push('}');
}

/// A text, or so much of it that the payload is too long.
fn push_text(text: &str, out: &mut String) {
    push_string(dead_letter::cut(text, MAX_PAYLOAD + 4), out);
}

/// A double in words.
pub(crate) fn shown(v: f64) -> String {
    let mut out = String::new();
    push_double(v, &mut out);
    out
}

/// A double, bit for bit.
pub(super) fn push_double(v: f64, out: &mut String) {
    let _ = if v.is_nan() {
        match v.to_bits() {
            USUAL_NAN => write!(out, "\"NaN\""),
            bits => write!(out, "\"NaN:{bits:016x}\""),
        }
    } else if v.is_infinite() {
        write!(out, "\"{}Inf\"", if v > 0.0 { '+' } else { '-' })
    } else {
        // Shortest, and whole ones with a point.
        write!(out, "{v:?}")
    };
}
