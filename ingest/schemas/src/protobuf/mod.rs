//! Protocol Buffers, by the descriptor of a message.
//!
//! A message's fields become columns, dotted for messages within messages. Repeated fields, maps and messages within
//! themselves are JSON text in a STRING column. A field without presence has its default when it is absent, one with
//! presence (`optional`, a member of a oneof, a message) is null. Well-known types: Timestamp is a TIMESTAMP, Duration
//! a BIGINT of nanoseconds, a wrapper a column that may be null, Struct and the like JSON. Bytes are base64, enums
//! their names.

mod json;
mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod wire;

pub use schema::ProtobufSchema;

use crate::text::{bad, base64, widen};
use ingest_decode::json::Cells;
use ingest_decode::{Cell, RowReason};
use prost_reflect::MessageDescriptor;
use shape::{Field, Holds, Known, Message, Plan, Shape, Target, Times};
use std::borrow::Cow;
use tsdb::types::DataType;
use wire::{Got, Raw, Steps, gather};

/// Decodes messages of one type.
#[derive(Debug)]
pub struct ProtobufDecoder {
    plan: Plan,
}

impl ProtobufDecoder {
    /// For messages of this type.
    ///
    /// # Errors
    /// When it has more columns than a stream can have, in words.
    pub fn new(message: &MessageDescriptor) -> Result<ProtobufDecoder, String> {
        Plan::new(message).map(|plan| ProtobufDecoder { plan })
    }

    /// The columns that the type's rows have, in the order of its fields.
    #[must_use]
    pub fn columns(&self) -> &[(String, DataType)] {
        &self.plan.columns
    }

    /// The cells of a message.
    ///
    /// # Errors
    /// What is wrong with it; never a panic, and memory in proportion to the message.
    pub fn decode<'a>(&'a self, message: &'a [u8]) -> Result<Cells<'a>, RowReason> {
        let mut row = Row {
            plan: &self.plan,
            steps: Steps::new(message.len()),
            cells: Vec::with_capacity(self.plan.columns.len()),
        };
        row.message(&self.plan.shape, message)?;
        Ok(row.cells)
    }
}

struct Row<'a> {
    plan: &'a Plan,
    steps: Steps,
    cells: Cells<'a>,
}

impl<'a> Row<'a> {
    fn push(&mut self, column: usize, cell: Cell<'a>) {
        // The plan counts columns from 0 without a gap.
        let name = Cow::Borrowed(self.plan.columns[column].0.as_str());
        self.cells.push((name, cell));
    }

    fn nulls(&mut self, from: usize, to: usize) {
        for column in from..to {
            let data_type = self.plan.columns[column].1;
            self.push(column, Cell::NullOf(data_type));
        }
    }

    fn message(&mut self, shape: &'a Shape, bytes: &'a [u8]) -> Result<(), RowReason> {
        let message = &self.plan.messages[shape.message];
        let got = gather(message, bytes, &mut self.steps)?;
        for ((field, target), got) in message.fields.iter().zip(&shape.targets).zip(got) {
            match target {
                Target::Leaf { column } => {
                    let cell = match got {
                        Some(got) => self.leaf(field, got)?,
                        None if field.times == Times::Optional => {
                            Cell::NullOf(self.plan.columns[*column].1)
                        }
                        None => default(&field.holds),
                    };
                    self.push(*column, cell);
                }
                Target::Json { column } => {
                    let cell = match got {
                        None if field.times == Times::Optional => Cell::NullOf(DataType::Utf8),
                        got => self.json(field, got)?,
                    };
                    self.push(*column, cell);
                }
                Target::Nested { shape, end } => match got {
                    Some(Got::Joined(Cow::Borrowed(bytes))) => self.message(shape, bytes)?,
                    // Sent in several parts: what borrows from them must become its own.
                    Some(Got::Joined(Cow::Owned(bytes))) => self.owned(shape, &bytes)?,
                    _ => self.nulls(shape.start, *end),
                },
            }
        }
        Ok(())
    }

    /// A message whose bytes are put together here: its cells can't borrow from them.
    fn owned(&mut self, shape: &'a Shape, bytes: &[u8]) -> Result<(), RowReason> {
        let mut row = Row {
            plan: self.plan,
            steps: std::mem::replace(&mut self.steps, Steps::new(0)),
            cells: Vec::new(),
        };
        row.message(shape, bytes)?;
        self.steps = row.steps;
        let own = |(name, cell): (Cow<'_, str>, Cell<'_>)| {
            (Cow::Owned(name.into_owned()), cell.into_owned())
        };
        self.cells.extend(row.cells.into_iter().map(own));
        Ok(())
    }

    fn json(&mut self, field: &Field, got: Option<Got<'_>>) -> Result<Cell<'a>, RowReason> {
        let mut out = String::new();
        let plan = self.plan;
        let mut writer = json::Writer {
            messages: &plan.messages,
            steps: &mut self.steps,
        };
        writer.field(field, got, 1, &mut out)?;
        Ok(Cell::Array(Cow::Owned(out)))
    }

    fn leaf(&mut self, field: &'a Field, got: Got<'a>) -> Result<Cell<'a>, RowReason> {
        let plan = self.plan;
        match (&field.holds, got) {
            (Holds::Message(id), Got::Joined(bytes)) => {
                let message = &plan.messages[*id];
                match known(message, &bytes, &mut self.steps)? {
                    Some(Special::Time(ns)) => Ok(Cell::Time(ns)),
                    Some(Special::Span(ns)) => Ok(Cell::Int(ns)),
                    None => {
                        // A wrapper: its value, or that type's default.
                        let Some(inner) = message.fields.first() else {
                            return Ok(Cell::Null);
                        };
                        let mut all = gather(message, &bytes, &mut self.steps)?;
                        match all.first_mut().and_then(Option::take) {
                            Some(Got::One(raw)) => Ok(scalar(&inner.holds, raw)?.into_owned()),
                            _ => Ok(default(&inner.holds)),
                        }
                    }
                }
            }
            (holds, Got::One(raw)) => scalar(holds, raw),
            _ => Err(bad(format!("field {} has parts", field.name))),
        }
    }
}

/// What a well-known message means.
enum Special {
    /// Nanoseconds since the epoch.
    Time(i64),
    /// Nanoseconds.
    Span(i64),
}

/// The meaning of a Timestamp or Duration; `None` for any other message.
fn known(message: &Message, bytes: &[u8], steps: &mut Steps) -> Result<Option<Special>, RowReason> {
    if !matches!(message.known, Known::Timestamp | Known::Duration) {
        return Ok(None);
    }
    let got = gather(message, bytes, steps)?;
    let part = |number: u32| match message.numbers.get(&number).map(|i| &got[*i]) {
        Some(Some(Got::One(Raw::Varint(v)))) => *v as i64,
        _ => 0,
    };
    let (seconds, nanos) = (i128::from(part(1)), i128::from(part(2) as i32));
    let (what, allowed) = match message.known {
        Known::Timestamp => ("a time", 0..1_000_000_000),
        _ => ("a duration", -999_999_999..1_000_000_000),
    };
    if !allowed.contains(&nanos)
        || (nanos < 0 && seconds > 0)
        || (nanos > 0 && seconds < 0 && what == "a duration")
    {
        return Err(bad(format!("{what} with {nanos} nanoseconds")));
    }
    let ns = i64::try_from(seconds * 1_000_000_000 + nanos);
    let ns = ns.map_err(|_| bad(format!("{what} of more than 64 bits of nanoseconds")))?;
    Ok(Some(match message.known {
        Known::Timestamp => Special::Time(ns),
        _ => Special::Span(ns),
    }))
}

fn zigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// A value without parts. Integers of 32 bits keep the low ones, as every implementation does.
fn scalar<'a>(holds: &'a Holds, raw: Raw<'a>) -> Result<Cell<'a>, RowReason> {
    Ok(match (holds, raw) {
        (Holds::Double, Raw::Eight(v)) => Cell::Float(f64::from_bits(v)),
        (Holds::Float, Raw::Four(v)) => Cell::Float(widen(f32::from_bits(v))),
        (Holds::Int32, Raw::Varint(v)) => Cell::Int(i64::from(v as i32)),
        (Holds::Int64, Raw::Varint(v)) => Cell::Int(v as i64),
        (Holds::Uint32, Raw::Varint(v)) => Cell::Int(i64::from(v as u32)),
        (Holds::Uint64, Raw::Varint(v)) => Cell::UInt(v),
        (Holds::Sint32, Raw::Varint(v)) => Cell::Int(zigzag(u64::from(v as u32))),
        (Holds::Sint64, Raw::Varint(v)) => Cell::Int(zigzag(v)),
        (Holds::Fixed32, Raw::Four(v)) => Cell::Int(i64::from(v)),
        (Holds::Sfixed32, Raw::Four(v)) => Cell::Int(i64::from(v as i32)),
        (Holds::Fixed64, Raw::Eight(v)) => Cell::UInt(v),
        (Holds::Sfixed64, Raw::Eight(v)) => Cell::Int(v as i64),
        (Holds::Bool, Raw::Varint(v)) => Cell::Bool(v != 0),
        (Holds::Enum(names), Raw::Varint(v)) => Cell::Str(match names.get(&(v as i32)) {
            Some(name) => Cow::Borrowed(name.as_str()),
            None => Cow::Owned((v as i32).to_string()),
        }),
        (Holds::Text, Raw::Bytes(v)) => {
            let text = std::str::from_utf8(v).map_err(|_| RowReason::NotUtf8)?;
            Cell::Str(Cow::Borrowed(text))
        }
        (Holds::Bytes, Raw::Bytes(v)) => Cell::Str(Cow::Owned(base64(v))),
        _ => return Err(bad("a value of another wire type")),
    })
}

/// What an absent field without presence has.
fn default(holds: &Holds) -> Cell<'_> {
    match holds {
        Holds::Double | Holds::Float => Cell::Float(0.0),
        Holds::Bool => Cell::Bool(false),
        Holds::Text | Holds::Bytes => Cell::Str(Cow::Borrowed("")),
        Holds::Enum(names) => Cell::Str(match names.get(&0) {
            Some(name) => Cow::Borrowed(name.as_str()),
            None => Cow::Borrowed("0"),
        }),
        Holds::Uint64 | Holds::Fixed64 => Cell::UInt(0),
        Holds::Message(_) => Cell::Null,
        _ => Cell::Int(0),
    }
}
