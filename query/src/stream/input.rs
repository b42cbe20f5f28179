//! Typed vectors: the values of one expression over a block of rows.

use super::StreamError;
use super::agg::Value;
use super::block::Tags;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, UInt64Type};
use std::sync::Arc;
use tsdb::types::{Column, ColumnId, Values};

/// What the values of a vector mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Signed integers.
    Int,
    /// Unsigned integers, as the same 64 bits.
    UInt,
    /// Floats.
    Float,
    /// Decimals with that scale.
    Decimal(i8),
    /// Text.
    Str,
    /// Booleans, dates and times: integers that are not summed.
    Other,
}

impl Kind {
    /// The kind that values of an Arrow type become; `None` for nested and other types.
    pub fn of(data_type: &DataType) -> Option<Kind> {
        use DataType as D;
        Some(match data_type {
            D::Int8 | D::Int16 | D::Int32 | D::Int64 => Kind::Int,
            D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => Kind::UInt,
            D::Float16 | D::Float32 | D::Float64 => Kind::Float,
            D::Decimal128(_, scale) => Kind::Decimal(*scale),
            D::Utf8 | D::LargeUtf8 | D::Utf8View => Kind::Str,
            D::Dictionary(_, value) => return Kind::of(value).filter(|k| *k == Kind::Str),
            D::Boolean
            | D::Timestamp(..)
            | D::Date32
            | D::Date64
            | D::Time32(_)
            | D::Time64(_)
            | D::Duration(_) => Kind::Other,
            _ => return None,
        })
    }
}

/// Values; what stands in the place of a null means nothing.
#[derive(Debug)]
pub(crate) enum Vector {
    /// All null.
    Null,
    Int(Vec<i64>),
    Wide(Vec<i128>),
    Float(Vec<f64>),
    /// Text: row `i` ends at `ends[i]`, where row `i + 1` begins.
    Str {
        ends: Vec<u32>,
        data: Vec<u8>,
    },
}

/// Values and which of them there are.
#[derive(Debug)]
pub(crate) struct Input {
    pub values: Vector,
    pub valid: Option<Vec<bool>>,
}

impl Vector {
    /// Row `i`.
    pub fn value(&self, i: usize) -> Value {
        match self {
            Vector::Null => Value::Int(0),
            Vector::Int(v) => Value::Int(v[i]),
            Vector::Wide(v) => Value::Wide(v[i]),
            Vector::Float(v) => Value::float(v[i]),
            Vector::Str { .. } => Value::Str(self.text(i).into()),
        }
    }

    /// Row `i` of text; empty for any other kind.
    pub fn text(&self, i: usize) -> &[u8] {
        match self {
            Vector::Str { ends, data } => {
                let start = if i == 0 { 0 } else { ends[i - 1] as usize };
                &data[start..ends[i] as usize]
            }
            _ => &[],
        }
    }

    /// Rows as floats.
    pub fn floats(&self, kind: Kind) -> Box<dyn Fn(usize) -> f64 + '_> {
        match self {
            Vector::Int(v) if kind == Kind::UInt => Box::new(|i| v[i] as u64 as f64),
            Vector::Int(v) => Box::new(|i| v[i] as f64),
            Vector::Float(v) => Box::new(|i| v[i]),
            Vector::Wide(v) => {
                let unit = match kind {
                    Kind::Decimal(scale) => 10f64.powi(i32::from(scale)),
                    _ => 1.0,
                };
                Box::new(move |i| v[i] as f64 / unit)
            }
            _ => Box::new(|_| f64::NAN),
        }
    }
}

impl Input {
    /// All null.
    pub fn null() -> Input {
        Input {
            values: Vector::Null,
            valid: None,
        }
    }

    /// Event times.
    pub fn from_times(time: &[i64]) -> Input {
        Input {
            values: Vector::Int(time.to_vec()),
            valid: None,
        }
    }

    /// Whether row `i` has a value.
    #[inline]
    pub fn is_valid(&self, i: usize) -> bool {
        !matches!(self.values, Vector::Null) && self.valid.as_ref().is_none_or(|v| v[i])
    }

    /// Whether row `i` of a condition is true: neither false nor unknown.
    #[inline]
    pub fn is_true(&self, i: usize) -> bool {
        matches!(&self.values, Vector::Int(v) if v[i] != 0)
            && self.valid.as_ref().is_none_or(|v| v[i])
    }

    /// These rows, in this order.
    pub fn select(&self, rows: &[u32]) -> Input {
        fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
            rows.iter().map(|i| values[*i as usize]).collect()
        }
        let values = match &self.values {
            Vector::Null => Vector::Null,
            Vector::Int(v) => Vector::Int(pick(v, rows)),
            Vector::Wide(v) => Vector::Wide(pick(v, rows)),
            Vector::Float(v) => Vector::Float(pick(v, rows)),
            text @ Vector::Str { .. } => {
                let (mut ends, mut data) = (Vec::with_capacity(rows.len()), Vec::new());
                for i in rows {
                    data.extend_from_slice(text.text(*i as usize));
                    ends.push(data.len() as u32);
                }
                Vector::Str { ends, data }
            }
        };
        Input {
            values,
            valid: self.valid.as_ref().map(|v| pick(v, rows)),
        }
    }

    /// The values of a tag for rows of these series.
    pub fn from_tag(tag: ColumnId, series: &[u32], tags: &dyn Tags) -> Input {
        let column = tags.column(tag);
        Input::from_texts(series.iter().map(|s| column.value(column.code(*s))))
    }

    /// A stored column.
    pub fn from_column(column: &Column, rows: usize, kind: Kind) -> Input {
        let values = match (&column.values, kind) {
            (Values::Int { .. }, Kind::Decimal(_)) => {
                Vector::Wide((0..rows).map(|i| i128::from(column.i64_at(i))).collect())
            }
            (Values::Int { .. }, _) => {
                let mut out = Vec::with_capacity(rows);
                column.extend_i64(rows, &mut out);
                Vector::Int(out)
            }
            (Values::Int128(_), _) => Vector::Wide((0..rows).map(|i| column.i128_at(i)).collect()),
            (Values::Float(_), _) => {
                let mut out = Vec::with_capacity(rows);
                column.extend_f64(rows, &mut out);
                Vector::Float(out)
            }
            (Values::Str { data, .. }, _) => {
                let mut end = 0;
                let ends = (0..rows)
                    .map(|i| {
                        end += column.str_at(i).len() as u32;
                        end
                    })
                    .collect();
                Vector::Str {
                    ends,
                    data: data.to_vec(),
                }
            }
        };
        let valid = column
            .validity
            .as_ref()
            .map(|_| (0..rows).map(|i| column.is_valid(i)).collect());
        Input { values, valid }
    }

    /// A decoded column.
    pub fn from_vector(vector: &tsdb::Vector, rows: usize) -> Input {
        use tsdb::VectorValues as V;
        let values = match &vector.values {
            V::Int(v) => Vector::Int(v.clone()),
            V::Int128(v) => Vector::Wide(v.clone()),
            V::Float(v) => Vector::Float(v.clone()),
            V::Str { offsets, data } => Vector::Str {
                // Offsets are never negative.
                ends: offsets.iter().skip(1).map(|o| *o as u32).collect(),
                data: data.clone(),
            },
        };
        let valid = vector
            .validity
            .as_ref()
            .map(|_| (0..rows).map(|i| vector.is_valid(i)).collect());
        Input { values, valid }
    }

    /// An Arrow array of a stored column's type.
    pub fn to_array(&self, rows: usize, target: &DataType) -> Result<ArrayRef, StreamError> {
        let nulls = self.valid.as_ref().map(|v| NullBuffer::from(v.clone()));
        let array: ArrayRef = match &self.values {
            Vector::Null => return Ok(new_null_array(target, rows)),
            Vector::Int(v) if *target == DataType::UInt64 => Arc::new(UInt64Array::new(
                v.iter().map(|v| *v as u64).collect(),
                nulls,
            )),
            Vector::Int(v) => match target {
                DataType::Timestamp(TimeUnit::Nanosecond, None) => {
                    Arc::new(TimestampNanosecondArray::new(v.clone().into(), nulls))
                }
                DataType::Boolean => Arc::new(BooleanArray::new(
                    v.iter().map(|v| *v != 0).collect(),
                    nulls,
                )),
                _ => Arc::new(Int64Array::new(v.clone().into(), nulls)),
            },
            Vector::Wide(v) => {
                let array = Decimal128Array::new(v.clone().into(), nulls);
                match target {
                    DataType::Decimal128(p, s) => Arc::new(array.with_precision_and_scale(*p, *s)?),
                    _ => Arc::new(array),
                }
            }
            Vector::Float(v) => Arc::new(Float64Array::new(v.clone().into(), nulls)),
            Vector::Str { ends, data } => {
                let offsets: Vec<i32> = std::iter::once(0)
                    .chain(ends.iter().map(|e| *e as i32))
                    .collect();
                let text = StringArray::try_new(
                    OffsetBuffer::new(offsets.into()),
                    data.clone().into(),
                    nulls,
                )?;
                Arc::new(text)
            }
        };
        if array.data_type() == target {
            return Ok(array);
        }
        Ok(arrow::compute::cast(&array, target)?)
    }

    /// Text, one optional value a row.
    pub fn from_texts<S: AsRef<str>>(texts: impl Iterator<Item = Option<S>>) -> Input {
        let (mut ends, mut data, mut valid) = (Vec::new(), Vec::new(), Vec::new());
        for text in texts {
            if let Some(text) = &text {
                data.extend_from_slice(text.as_ref().as_bytes());
            }
            valid.push(text.is_some());
            ends.push(data.len() as u32);
        }
        Input {
            values: Vector::Str { ends, data },
            valid: Some(valid),
        }
    }

    /// What an expression yielded.
    pub fn from_array(array: &ArrayRef, kind: Kind) -> Result<Input, StreamError> {
        let valid = array
            .logical_nulls()
            .filter(|n| n.null_count() > 0)
            .map(|n| n.iter().collect());
        let cast = |to: &DataType| -> Result<ArrayRef, StreamError> {
            if array.data_type() == to {
                return Ok(array.clone());
            }
            Ok(arrow::compute::cast(array, to)?)
        };
        let values = match kind {
            Kind::Int | Kind::Other => Vector::Int(
                cast(&DataType::Int64)?
                    .as_primitive::<Int64Type>()
                    .values()
                    .to_vec(),
            ),
            Kind::UInt => Vector::Int(
                cast(&DataType::UInt64)?
                    .as_primitive::<UInt64Type>()
                    .values()
                    .iter()
                    .map(|v| *v as i64)
                    .collect(),
            ),
            Kind::Float => Vector::Float(
                cast(&DataType::Float64)?
                    .as_primitive::<Float64Type>()
                    .values()
                    .to_vec(),
            ),
            Kind::Decimal(_) => Vector::Wide(
                array
                    .as_primitive_opt::<Decimal128Type>()
                    .ok_or_else(|| {
                        StreamError::Expression(format!(
                            "expected a decimal, got {}",
                            array.data_type()
                        ))
                    })?
                    .values()
                    .to_vec(),
            ),
            Kind::Str => {
                let text = cast(&DataType::Utf8)?;
                return Ok(Input::from_texts(text.as_string::<i32>().iter()));
            }
        };
        Ok(Input { values, valid })
    }
}
