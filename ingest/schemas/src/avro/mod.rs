//! Avro's binary encoding, by the schema that it was written with.
//!
//! A record's fields become columns, dotted for records within records. A union with null is a column that may be null.
//! Lists, maps, records within themselves and unions of several types are JSON text in a STRING column. Of a union of
//! records at the top each record has its columns.

mod json;
mod plan;
mod read;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use tree::{Node, NodeId, Tree, TypeName};

use crate::SchemaSource;
use crate::text::{bad, base64, big_decimal, clock, integer, uuid, widen};
use ingest_decode::json::Cells;
use ingest_decode::{Cell, RowReason};
use plan::Step;
use read::Input;
use std::borrow::Cow;
use tsdb::types::DataType;

/// Decodes messages of one schema.
#[derive(Debug)]
pub struct AvroDecoder {
    tree: Tree,
    step: Step,
    columns: Vec<(String, DataType)>,
}

impl AvroDecoder {
    /// For messages that were written with this schema.
    ///
    /// # Errors
    /// What is wrong with the schema, in words.
    pub fn new(source: &SchemaSource) -> Result<AvroDecoder, String> {
        let tree = Tree::parse(source)?;
        let (step, columns) = plan::plan(&tree)?;
        Ok(AvroDecoder {
            tree,
            step,
            columns,
        })
    }

    /// The columns that the schema's rows have, in its order.
    #[must_use]
    pub fn columns(&self) -> &[(String, DataType)] {
        &self.columns
    }

    /// The cells of a message.
    ///
    /// # Errors
    /// What is wrong with it; never a panic, and memory in proportion to the message.
    pub fn decode<'a>(&'a self, message: &'a [u8]) -> Result<Cells<'a>, RowReason> {
        let mut row = Row {
            decoder: self,
            input: Input::new(message),
            cells: Vec::with_capacity(self.columns.len()),
            text: 0,
        };
        row.take(&self.step, 0)?;
        match row.input.left() {
            0 => Ok(row.cells),
            n => Err(bad(format!("{n} bytes are left behind the value"))),
        }
    }
}

struct Row<'a> {
    decoder: &'a AvroDecoder,
    input: Input<'a>,
    cells: Cells<'a>,
    /// Bytes of JSON so far.
    text: usize,
}

impl<'a> Row<'a> {
    fn push(&mut self, column: usize, cell: Cell<'a>) {
        // The plan counts columns from 0 without a gap.
        let name = Cow::Borrowed(self.decoder.columns[column].0.as_str());
        self.cells.push((name, cell));
    }

    fn nulls(&mut self, from: usize, to: usize) {
        for column in from..to {
            let data_type = self.decoder.columns[column].1;
            self.push(column, Cell::NullOf(data_type));
        }
    }

    /// Reads what a step says, whose first column is that.
    fn take(&mut self, step: &Step, column: usize) -> Result<(), RowReason> {
        self.input.step()?;
        match step {
            Step::Nothing => {}
            Step::Leaf(id) => {
                let cell = self.leaf(*id)?;
                self.push(column, cell);
            }
            Step::Scalars(variants) => {
                let i = self.input.index(variants.len(), "branch")?;
                let cell = match self.decoder.tree.node(variants[i]) {
                    Node::Null => Cell::NullOf(self.decoder.columns[column].1),
                    _ => self.leaf(variants[i])?,
                };
                self.push(column, cell);
            }
            Step::Json(id) => {
                let mut out = String::new();
                json::write(&self.decoder.tree, &mut self.input, *id, 0, &mut out)?;
                self.text += out.len();
                if self.text > crate::text::MAX_TEXT {
                    return Err(bad("too much JSON in one message"));
                }
                let cell = match out.as_str() {
                    "null" => Cell::NullOf(DataType::Utf8),
                    _ => Cell::Array(Cow::Owned(out)),
                };
                self.push(column, cell);
            }
            Step::Nullable {
                null,
                branches,
                inner,
                width,
            } => {
                if self.input.index(*branches, "branch")? == *null {
                    self.nulls(column, column + width);
                } else {
                    self.take(inner, column)?;
                }
            }
            Step::Record(steps) => {
                let mut at = column;
                for step in steps {
                    self.take(step, at)?;
                    at += step.width();
                }
            }
            Step::Choice(steps) => {
                let chosen = self.input.index(steps.len(), "branch")?;
                let before: usize = steps[..chosen].iter().map(Step::width).sum();
                self.take(&steps[chosen], column + before)?;
            }
        }
        Ok(())
    }

    /// Reads a value that is neither a record, a list, a map nor a union.
    fn leaf(&mut self, id: NodeId) -> Result<Cell<'a>, RowReason> {
        let decoder = self.decoder;
        Ok(match scalar(decoder.tree.node(id), &mut self.input)? {
            Scalar::Bool(v) => Cell::Bool(v),
            Scalar::Int(v) => Cell::Int(v),
            Scalar::Float(v) => Cell::Float(v),
            Scalar::Text(v) => Cell::Str(v),
            Scalar::Time(v) => Cell::Time(v),
            Scalar::Decimal {
                unscaled,
                precision,
                scale,
            } => Cell::Decimal {
                unscaled,
                precision,
                scale,
            },
            Scalar::Digits(v) => Cell::Str(Cow::Owned(v)),
            Scalar::Null => Cell::Null,
        })
    }
}

/// A value without parts.
enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// Nanoseconds since the epoch.
    Time(i64),
    Decimal {
        unscaled: i128,
        precision: u8,
        scale: u8,
    },
    /// A decimal that no column type holds.
    Digits(String),
}

fn instant(value: i64, unit: i64) -> Result<Scalar<'static>, RowReason> {
    let ns = value.checked_mul(unit);
    ns.map(Scalar::Time)
        .ok_or_else(|| bad("a time outside the years 1677 to 2262"))
}

/// Reads a value without parts.
fn scalar<'a>(node: &'a Node, input: &mut Input<'a>) -> Result<Scalar<'a>, RowReason> {
    let owned = |text: String| Scalar::Text(Cow::Owned(text));
    Ok(match node {
        Node::Null => Scalar::Null,
        Node::Bool => match input.array()? {
            [0] => Scalar::Bool(false),
            [1] => Scalar::Bool(true),
            [b] => return Err(bad(format!("{b} is no boolean"))),
        },
        Node::Int => Scalar::Int(i64::from(input.int()?)),
        Node::Long => Scalar::Int(input.long()?),
        Node::Float => Scalar::Float(widen(f32::from_le_bytes(input.array()?))),
        Node::Double => Scalar::Float(f64::from_le_bytes(input.array()?)),
        Node::Bytes => owned(base64(input.bytes()?)),
        Node::Fixed { size, .. } => owned(base64(input.take(*size)?)),
        Node::Text | Node::UuidText => Scalar::Text(Cow::Borrowed(input.text()?)),
        Node::Date => instant(i64::from(input.int()?), 86_400_000_000_000)?,
        Node::Stamp(unit) => instant(input.long()?, *unit)?,
        Node::TimeMillis => {
            let v = i64::from(input.int()?);
            owned(of_day(v, 1_000)?)
        }
        Node::TimeMicros => owned(of_day(input.long()?, 1_000_000)?),
        Node::Decimal {
            precision,
            scale,
            size,
        } => {
            let bytes = match size {
                Some(n) => input.take(*n)?,
                None => input.bytes()?,
            };
            if *precision > 38 {
                return big_decimal(bytes, *scale).map(Scalar::Digits);
            }
            let limit = 10u128.pow(*precision as u32);
            match integer(bytes).filter(|v| v.unsigned_abs() < limit) {
                Some(unscaled) => Scalar::Decimal {
                    unscaled,
                    precision: *precision as u8,
                    scale: *scale as u8,
                },
                None => {
                    return Err(bad(format!(
                        "a decimal of more than the {precision} digits of its schema"
                    )));
                }
            }
        }
        Node::BigDecimal => {
            let mut inner = Input::new(input.bytes()?);
            let unscaled = inner.bytes()?;
            let scale = inner.long()?;
            let scale = usize::try_from(scale).ok().filter(|s| *s <= 1_000);
            let scale = scale.ok_or_else(|| bad("a decimal's scale is not 0 to 1000"))?;
            Scalar::Digits(big_decimal(unscaled, scale)?)
        }
        Node::UuidBytes { fixed } => {
            let bytes = if *fixed {
                input.take(16)?
            } else {
                input.bytes()?
            };
            let bytes = bytes.try_into();
            owned(uuid(bytes.map_err(|_| bad("a UUID has 16 bytes"))?))
        }
        Node::Duration => {
            let [months, days, millis] =
                [input.array()?, input.array()?, input.array()?].map(u32::from_le_bytes);
            let (seconds, rest) = (millis / 1_000, millis % 1_000);
            owned(format!("P{months}M{days}DT{seconds}.{rest:03}S"))
        }
        Node::Enum { symbols, .. } => {
            let i = input.index(symbols.len(), "symbol")?;
            Scalar::Text(Cow::Borrowed(&symbols[i]))
        }
        Node::List(_) | Node::Map(_) | Node::Union(_) | Node::Record { .. } => {
            return Err(bad("a value with parts where there can be none"));
        }
    })
}

/// The time of a day, which is counted in so many a second.
fn of_day(v: i64, per_second: i64) -> Result<String, RowReason> {
    if !(0..86_400 * per_second).contains(&v) {
        return Err(bad(format!("{v} is no time of a day")));
    }
    let nanos = v % per_second * (1_000_000_000 / per_second);
    Ok(clock(v / per_second, nanos as u32))
}
