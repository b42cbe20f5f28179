//! Attributes as tags.

use super::base64;
use crate::metric::text::{push_number, push_string};
use crate::metric::{Fault, MetricReason, Tag};
use crate::wire::{Reader, Value};
use std::borrow::Cow;
use std::fmt::Write;

/// Lists within lists at most.
const MAX_DEPTH: usize = 32;

/// A `KeyValue`.
pub(super) fn pair(mut message: Reader<'_>) -> Result<Tag<'_>, Fault> {
    let (mut key, mut text) = ("", Cow::Borrowed(""));
    while let Some((number, value)) = message.next()? {
        match number {
            1 => key = value.text()?,
            2 => text = any(value.message()?)?,
            _ => {}
        }
    }
    Ok((Cow::Borrowed(key), text))
}

/// An `AnyValue` as a tag's text.
fn any(message: Reader<'_>) -> Result<Cow<'_, str>, Fault> {
    let mut last = None;
    let mut fields = message;
    while let Some(field) = fields.next()? {
        last = Some(field);
    }
    match last {
        None => Ok(Cow::Borrowed("")),
        Some((1, value)) => Ok(Cow::Borrowed(value.text()?)),
        Some((7, value)) => Ok(Cow::Owned(base64::encode(value.bytes()?))),
        Some((number, value)) => {
            let mut out = String::new();
            push_value(number, value, 0, &mut out)?;
            Ok(Cow::Owned(out))
        }
    }
}

/// An `AnyValue` as JSON.
fn push_any(message: Reader<'_>, depth: usize, out: &mut String) -> Result<(), Fault> {
    let (mut fields, mut last) = (message, None);
    while let Some(field) = fields.next()? {
        last = Some(field);
    }
    match last {
        None => {
            out.push_str("null");
            Ok(())
        }
        Some((number, value)) => push_value(number, value, depth, out),
    }
}

fn push_value(number: u32, value: Value<'_>, depth: usize, out: &mut String) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(MetricReason::Invalid("an attribute is nested too deep").into());
    }
    match number {
        1 => push_string(value.text()?, out),
        2 => out.push_str(if value.u64()? != 0 { "true" } else { "false" }),
        3 => {
            // Writing to a String can't fail.
            let _ = write!(out, "{}", value.i64()?);
        }
        4 => push_number(value.f64()?, out),
        5 => {
            let (mut list, mut first) = (value.message()?, true);
            out.push('[');
            while let Some((number, item)) = list.next()? {
                if number == 1 {
                    comma(&mut first, out);
                    push_any(item.message()?, depth + 1, out)?;
                }
            }
            out.push(']');
        }
        6 => {
            let (mut list, mut first) = (value.message()?, true);
            out.push('{');
            while let Some((number, item)) = list.next()? {
                if number == 1 {
                    comma(&mut first, out);
                    push_member(item.message()?, depth + 1, out)?;
                }
            }
            out.push('}');
        }
        7 => push_string(&base64::encode(value.bytes()?), out),
        _ => out.push_str("null"),
    }
    Ok(())
}

fn push_member(message: Reader<'_>, depth: usize, out: &mut String) -> Result<(), Fault> {
    let (mut key, mut of) = ("", Reader::new(&[]));
    let mut fields = message;
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => key = value.text()?,
            2 => of = value.message()?,
            _ => {}
        }
    }
    push_string(key, out);
    out.push(':');
    push_any(of, depth, out)
}

fn comma(first: &mut bool, out: &mut String) {
    if !std::mem::replace(first, false) {
        out.push(',');
    }
}

/// One tag a name, the last one given; those without value are left out.
pub(super) fn last_wins(mut tags: Vec<Tag<'_>>) -> Vec<Tag<'_>> {
    // Stable, so that of a name the last one stays last.
    tags.sort_by(|a, b| a.0.cmp(&b.0));
    tags.reverse();
    tags.dedup_by(|a, b| a.0 == b.0);
    tags.retain(|t| !t.1.is_empty());
    tags
}
