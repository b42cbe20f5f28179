//! Values with parts as JSON: objects with the fields' own names, 64-bit integers as numbers.

use super::shape::{Field, Holds, Known, Message, MessageId, Times};
use super::wire::{Got, Raw, Steps, each, gather};
use super::{Special, default, known, scalar};
use crate::text::{bad, check, push_double, push_string, time};
use ingest_decode::json::MAX_DEPTH;
use ingest_decode::{Cell, RowReason};
use std::collections::BTreeMap;
use std::fmt::Write;

pub(super) struct Writer<'w> {
    pub messages: &'w [Message],
    pub steps: &'w mut Steps,
}

impl Writer<'_> {
    /// Appends all that was sent of a field.
    pub fn field(
        &mut self,
        field: &Field,
        got: Option<Got<'_>>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), RowReason> {
        match (field.times, got) {
            (Times::Map, Some(Got::Many(entries))) => self.map(field, &entries, depth, out),
            (Times::Map, _) => {
                out.push_str("{}");
                Ok(())
            }
            (Times::Many, got) => {
                out.push('[');
                if let Some(Got::Many(all)) = got {
                    let mut first = true;
                    let messages = self.messages;
                    each(&field.holds, &all, self.steps, &mut |raw, steps| {
                        if !std::mem::take(&mut first) {
                            out.push(',');
                        }
                        let mut writer = Writer { messages, steps };
                        writer.value(&field.holds, raw, depth, out)
                    })?;
                }
                out.push(']');
                Ok(())
            }
            (_, Some(Got::One(raw))) => self.value(&field.holds, raw, depth, out),
            (_, Some(Got::Joined(bytes))) => {
                self.value(&field.holds, Raw::Bytes(&bytes), depth, out)
            }
            (_, _) => {
                push(&default(&field.holds), out);
                Ok(())
            }
        }
    }

    /// A map's entries; of a key that comes twice the last one counts.
    fn map(
        &mut self,
        field: &Field,
        entries: &[Raw<'_>],
        depth: usize,
        out: &mut String,
    ) -> Result<(), RowReason> {
        let Holds::Message(entry) = &field.holds else {
            return Err(bad("a map without entries"));
        };
        let entry = &self.messages[*entry];
        let [key, value] = entry.fields.as_slice() else {
            return Err(bad("a map's entry has a key and a value"));
        };
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        let mut size = out.len();
        for raw in entries {
            let Raw::Bytes(bytes) = raw else { continue };
            let mut got = gather(entry, bytes, self.steps)?.into_iter();
            let (key_got, value_got) = (got.next().flatten(), got.next().flatten());
            let name = match key_got {
                Some(Got::One(raw)) => match scalar(&key.holds, raw)? {
                    Cell::Str(text) => text.into_owned(),
                    cell => plain(&cell),
                },
                _ => match default(&key.holds) {
                    Cell::Str(text) => text.into_owned(),
                    cell => plain(&cell),
                },
            };
            let mut text = String::new();
            match value_got {
                // A message that an entry leaves out is an empty one.
                None if matches!(value.holds, Holds::Message(_)) => {
                    self.value(&value.holds, Raw::Bytes(&[]), depth, &mut text)?;
                }
                got => self.field(value, got, depth, &mut text)?,
            }
            size += name.len() + text.len();
            if size > crate::text::MAX_TEXT {
                return Err(bad("too much JSON in one message"));
            }
            all.insert(name, text);
        }
        out.push('{');
        for (i, (name, text)) in all.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            push_string(out, name);
            out.push(':');
            out.push_str(text);
        }
        out.push('}');
        check(out)
    }

    fn value(
        &mut self,
        holds: &Holds,
        raw: Raw<'_>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), RowReason> {
        check(out)?;
        match (holds, raw) {
            (Holds::Message(id), Raw::Bytes(bytes)) => self.message(*id, bytes, depth, out),
            _ => {
                push(&scalar(holds, raw)?, out);
                Ok(())
            }
        }
    }

    fn message(
        &mut self,
        id: MessageId,
        bytes: &[u8],
        depth: usize,
        out: &mut String,
    ) -> Result<(), RowReason> {
        if depth > MAX_DEPTH {
            return Err(RowReason::TooDeep(MAX_DEPTH));
        }
        let messages = self.messages;
        let message = &messages[id];
        match known(message, bytes, self.steps)? {
            Some(Special::Time(ns)) => {
                push_string(out, &time(ns));
                return Ok(());
            }
            Some(Special::Span(ns)) => {
                // Writing to a String can't fail.
                let _ = write!(out, "{ns}");
                return Ok(());
            }
            None => {}
        }
        let got = gather(message, bytes, self.steps)?;
        if message.known != Known::No {
            // A wrapper, Struct, Value or ListValue is what is in its one field.
            for (field, got) in message.fields.iter().zip(got) {
                if got.is_some() || message.known != Known::Value {
                    return match (&field.holds, got) {
                        (Holds::Enum(_), Some(_)) if message.known == Known::Value => {
                            out.push_str("null");
                            Ok(())
                        }
                        (_, got) => self.field(field, got, depth + 1, out),
                    };
                }
            }
            out.push_str("null");
            return Ok(());
        }
        out.push('{');
        let mut first = true;
        for (field, got) in message.fields.iter().zip(got) {
            if got.is_none() && field.times == Times::Optional {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            push_string(out, &field.name);
            out.push(':');
            self.field(field, got, depth + 1, out)?;
        }
        out.push('}');
        Ok(())
    }
}

/// A key that is no text.
fn plain(cell: &Cell<'_>) -> String {
    let mut out = String::new();
    push(cell, &mut out);
    out
}

fn push(cell: &Cell<'_>, out: &mut String) {
    // Writing to a String can't fail.
    let _ = match cell {
        Cell::Bool(v) => write!(out, "{v}"),
        Cell::Int(v) => write!(out, "{v}"),
        Cell::UInt(v) => write!(out, "{v}"),
        Cell::Float(v) => {
            push_double(out, *v);
            Ok(())
        }
        Cell::Str(v) => {
            push_string(out, v);
            Ok(())
        }
        _ => write!(out, "null"),
    };
}
