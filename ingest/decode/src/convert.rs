//! Values as formats have them, to values of a column's type.

use super::Precision;
use super::number::{DecimalError, parse_decimal, parse_f64, parse_i64};
use super::row::{Cell, RowReason};
use super::time_text::parse_time;
use super::typed;
use std::borrow::Cow;
use tsdb::types::{ColumnBuilder, ColumnDef, DataType};

/// A value of a column's type.
pub(super) enum Value<'a> {
    /// An integer, boolean, time, or the bits of an unsigned integer.
    Int(i64),
    /// A decimal's unscaled value.
    Decimal(i128),
    Float(f64),
    Str(Cow<'a, str>),
}

impl Value<'_> {
    /// Appends it to a column of the type it was made for; false when the column is full.
    pub fn push(&self, column: &mut ColumnBuilder) -> bool {
        match self {
            Value::Int(v) => column.push_i64(*v),
            Value::Decimal(v) => return column.push_i128(*v),
            Value::Float(v) => column.push_f64(*v),
            Value::Str(v) => return column.push_str(v),
        }
        true
    }
}

/// The type of a column made for this value.
pub(super) fn natural(cell: &Cell<'_>) -> DataType {
    match cell {
        Cell::Bool(_) | Cell::Untyped("true" | "false") => DataType::Bool,
        Cell::Number(_) | Cell::Float(_) => DataType::Float64,
        Cell::Untyped(text) if parse_f64(text.as_bytes()).is_some() => DataType::Float64,
        Cell::Null | Cell::Str(_) | Cell::Array(_) | Cell::Untyped(_) => DataType::Utf8,
        Cell::Int(_) => DataType::Int64,
        Cell::UInt(_) => DataType::UInt64,
        Cell::Decimal {
            precision, scale, ..
        } => DataType::Decimal {
            precision: *precision,
            scale: *scale,
        },
        Cell::Time(_) => DataType::Timestamp,
        Cell::NullOf(data_type) => *data_type,
    }
}

/// The value for a column; `None` for null.
pub(super) fn convert<'a>(
    def: &ColumnDef,
    cell: &'a Cell<'_>,
    unit: Option<Precision>,
) -> Result<Option<Value<'a>>, RowReason> {
    let wrong = |got: String| RowReason::Type {
        column: def.name.clone(),
        have: def.data_type.to_string(),
        got,
    };
    let number = |text: &str, precision, scale, exact| {
        parse_decimal(text.as_bytes(), precision, scale, exact)
            .map_err(|e: DecimalError| wrong(format!("{} {e}", brief(text))))
    };
    // Numbers may come as strings: many writers do so for 64-bit integers and decimals.
    let (text, is_number, is_text) = match cell {
        Cell::Null | Cell::NullOf(_) | Cell::Untyped("") => return Ok(None),
        Cell::Int(_) | Cell::UInt(_) | Cell::Float(_) | Cell::Decimal { .. } | Cell::Time(_) => {
            let value = typed::value(def.data_type, cell, unit).map_err(wrong)?;
            return Ok(Some(value));
        }
        Cell::Bool(v) if def.data_type == DataType::Bool => {
            return Ok(Some(Value::Int(i64::from(*v))));
        }
        Cell::Bool(_) => return Err(wrong("the value is a boolean".into())),
        Cell::Array(text) if def.data_type == DataType::Utf8 => {
            return Ok(Some(Value::Str(Cow::Borrowed(text))));
        }
        Cell::Array(_) => return Err(wrong("the value is a list or a map".into())),
        Cell::Number(text) => (*text, true, false),
        Cell::Str(text) => (text.as_ref(), false, true),
        Cell::Untyped(text) => (*text, true, true),
    };
    Ok(Some(match def.data_type {
        DataType::Bool => match text {
            "true" | "TRUE" | "True" | "t" if matches!(cell, Cell::Untyped(_)) => Value::Int(1),
            "false" | "FALSE" | "False" | "f" if matches!(cell, Cell::Untyped(_)) => Value::Int(0),
            _ => return Err(wrong(format!("{} is no boolean", brief(text)))),
        },
        DataType::Int64 => {
            let v = number(text, 38, 0, true)?;
            Value::Int(
                i64::try_from(v).map_err(|_| wrong(format!("{} is out of range", brief(text))))?,
            )
        }
        DataType::UInt64 => {
            let v = number(text, 38, 0, true)?;
            let v =
                u64::try_from(v).map_err(|_| wrong(format!("{} is out of range", brief(text))))?;
            Value::Int(v as i64)
        }
        DataType::Float64 if is_number => Value::Float(
            parse_f64(text.as_bytes())
                .ok_or_else(|| wrong(format!("{} is no finite number", brief(text))))?,
        ),
        DataType::Float64 => return Err(wrong("the value is a string".into())),
        DataType::Decimal { precision, scale } => {
            Value::Decimal(number(text, precision, scale, false)?)
        }
        DataType::Utf8 if is_text => Value::Str(Cow::Borrowed(text)),
        DataType::Utf8 => return Err(wrong("the value is a number".into())),
        DataType::Timestamp => Value::Int(
            instant(text, unit)
                .ok_or_else(|| wrong(format!("{} is no time in range", brief(text))))?,
        ),
    }))
}

/// A time: an integer or fraction in the unit given or of its size, or text.
pub(super) fn instant(text: &str, unit: Option<Precision>) -> Option<i64> {
    let bytes = text.as_bytes();
    if let Some(v) = parse_i64(bytes) {
        return v.checked_mul(unit.unwrap_or_else(|| Precision::by_size(v)).nanos());
    }
    if let Some(t) = parse_time(bytes) {
        return Some(t);
    }
    let billionths = parse_decimal(bytes, 38, 9, false).ok()?;
    let whole = i64::try_from(billionths / 1_000_000_000).ok()?;
    let unit = unit.unwrap_or_else(|| Precision::by_size(whole)).nanos();
    i64::try_from(billionths.checked_mul(i128::from(unit))? / 1_000_000_000).ok()
}

/// The beginning of a value, for an error.
fn brief(text: &str) -> String {
    let mut cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("'{cut}'")
}
