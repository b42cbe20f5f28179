//! Single values, where a column is of no use: in sets, in lists, as first and last.

use crate::stream::StreamError;
use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, StringBuilder, UInt64Array,
};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// A value of any type that an aggregate takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Value {
    /// Integers, booleans, times, and the bits of unsigned integers.
    Int(i64),
    /// Decimals.
    Wide(i128),
    /// The bits of a float; NaN has one form.
    Float(u64),
    /// UTF-8.
    Str(Box<[u8]>),
}

impl Value {
    /// A float; every NaN becomes the same one.
    pub fn float(v: f64) -> Value {
        Value::Float(if v.is_nan() { f64::NAN } else { v }.to_bits())
    }

    fn as_i128(&self) -> Option<i128> {
        match self {
            Value::Int(v) => Some(i128::from(*v)),
            Value::Wide(v) => Some(*v),
            _ => None,
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(v) => Some(*v),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(bits) => Some(f64::from_bits(*bits)),
            _ => None,
        }
    }

    /// Bytes beyond its own size.
    pub fn heap(&self) -> usize {
        match self {
            Value::Str(s) => s.len(),
            _ => 0,
        }
    }
}

/// An array of `target` type. Integers narrower than 64 bits, dates, booleans and times come by a cast.
pub(crate) fn build_array<'a>(
    values: impl Iterator<Item = Option<&'a Value>>,
    target: &DataType,
) -> Result<ArrayRef, StreamError> {
    let array: ArrayRef = match target {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            let mut out = StringBuilder::new();
            for v in values {
                match v {
                    Some(Value::Str(s)) => {
                        // The offsets of a column of text are 31 bits.
                        if out.values_slice().len() + s.len() > i32::MAX as usize {
                            return Err(StreamError::Unsupported(
                                "a row's text is longer than 2 GiB".to_string(),
                            ));
                        }
                        // Text enters as UTF-8 and is not cut; a damaged checkpoint is refused when it is read.
                        out.append_value(String::from_utf8_lossy(s));
                    }
                    _ => out.append_null(),
                }
            }
            Arc::new(out.finish())
        }
        DataType::Decimal128(precision, scale) => Arc::new(
            values
                .map(|v| v.and_then(Value::as_i128))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(*precision, *scale)?,
        ),
        DataType::Float64 | DataType::Float32 | DataType::Float16 => Arc::new(
            values
                .map(|v| v.and_then(Value::as_f64))
                .collect::<Float64Array>(),
        ),
        DataType::UInt64 => Arc::new(
            values
                .map(|v| v.and_then(Value::as_i64).map(|v| v as u64))
                .collect::<UInt64Array>(),
        ),
        _ => Arc::new(
            values
                .map(|v| v.and_then(Value::as_i64))
                .collect::<Int64Array>(),
        ),
    };
    if array.data_type() == target {
        return Ok(array);
    }
    Ok(arrow::compute::cast(&array, target)?)
}
