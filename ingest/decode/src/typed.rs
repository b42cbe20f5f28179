//! Values that a schema has typed already, into columns: exact, or refused.
//!
//! A type only widens: an integer goes into a DOUBLE or DECIMAL column where that holds it exactly, never a DOUBLE into
//! an integer column.

use super::Precision;
use super::number::{parse_decimal, parse_f64};
use super::row::{Cell, Value, instant};
use tsdb::types::DataType;

/// The value of a typed cell for a column of that type, or what is wrong with it.
pub(super) fn value(
    column: DataType,
    cell: &Cell<'_>,
    unit: Option<Precision>,
) -> Result<Value<'static>, String> {
    let time = |text: &str| {
        instant(text, unit)
            .map(Value::Int)
            .ok_or_else(|| format!("{text} is no time in range"))
    };
    match (column, cell) {
        (DataType::Int64 | DataType::UInt64, Cell::Int(_) | Cell::UInt(_)) => {
            let v = whole(cell);
            if column == DataType::Int64 {
                i64::try_from(v).map(Value::Int).map_err(|_| range(v))
            } else {
                let v = u64::try_from(v).map_err(|_| range(v))?;
                // The column keeps the same 64 bits.
                Ok(Value::Int(v as i64))
            }
        }
        (DataType::Float64, Cell::Float(v)) if v.is_finite() => Ok(Value::Float(*v)),
        (DataType::Float64, Cell::Float(v)) => Err(format!("{v} is no finite number")),
        (DataType::Float64, Cell::Int(_) | Cell::UInt(_)) => {
            let v = whole(cell);
            let double = v as f64;
            // Both casts saturate or round; only an exact one comes back.
            if double as i128 == v {
                Ok(Value::Float(double))
            } else {
                Err(format!("{v} has more digits than a DOUBLE keeps"))
            }
        }
        (
            DataType::Float64,
            Cell::Decimal {
                unscaled, scale, ..
            },
        ) => {
            let text = decimal_text(*unscaled, *scale);
            let v = parse_f64(text.as_bytes());
            v.map(Value::Float)
                .ok_or_else(|| format!("{text} is no finite number"))
        }
        (DataType::Decimal { precision, scale }, Cell::Int(_) | Cell::UInt(_)) => {
            rescale(whole(cell), 0, precision, scale)
        }
        (
            DataType::Decimal { precision, scale },
            Cell::Decimal {
                unscaled,
                scale: has,
                ..
            },
        ) => rescale(*unscaled, *has, precision, scale),
        (DataType::Decimal { precision, scale }, Cell::Float(v)) if v.is_finite() => {
            // As with JSON: the shortest text of the double, rounded to the column's digits.
            let text = v.to_string();
            parse_decimal(text.as_bytes(), precision, scale, false)
                .map(Value::Decimal)
                .map_err(|e| format!("{text} {e}"))
        }
        (DataType::Timestamp, Cell::Time(t)) => Ok(Value::Int(*t)),
        (DataType::Timestamp, Cell::Int(_) | Cell::UInt(_)) => time(&whole(cell).to_string()),
        (DataType::Timestamp, Cell::Float(v)) => time(&v.to_string()),
        (
            DataType::Timestamp,
            Cell::Decimal {
                unscaled, scale, ..
            },
        ) => time(&decimal_text(*unscaled, *scale)),
        (_, cell) => Err(format!("the value is {}", kind(cell))),
    }
}

fn range(v: i128) -> String {
    format!("{v} is out of range")
}

fn whole(cell: &Cell<'_>) -> i128 {
    match cell {
        Cell::Int(v) => i128::from(*v),
        Cell::UInt(v) => i128::from(*v),
        _ => 0,
    }
}

fn kind(cell: &Cell<'_>) -> &'static str {
    match cell {
        Cell::Int(_) => "a BIGINT",
        Cell::UInt(_) => "a UBIGINT",
        Cell::Float(_) => "a DOUBLE",
        Cell::Decimal { .. } => "a DECIMAL",
        Cell::Time(_) => "a TIMESTAMP",
        _ => "of another type",
    }
}

fn rescale(unscaled: i128, has: u8, precision: u8, scale: u8) -> Result<Value<'static>, String> {
    let text = || decimal_text(unscaled, has);
    let units = if scale >= has {
        10i128
            .checked_pow(u32::from(scale - has))
            .and_then(|f| unscaled.checked_mul(f))
    } else {
        let factor = 10i128.checked_pow(u32::from(has - scale));
        let fits = factor.filter(|f| unscaled % f == 0);
        match fits {
            Some(f) => Some(unscaled / f),
            None => return Err(format!("{} has digits that the column would lose", text())),
        }
    };
    let limit = 10u128.pow(u32::from(precision.min(38)));
    match units.filter(|u| u.unsigned_abs() < limit) {
        Some(units) => Ok(Value::Decimal(units)),
        None => Err(format!("{} has too many digits", text())),
    }
}

/// A decimal's digits, with the point `scale` digits from the right.
pub fn decimal_text(unscaled: i128, scale: u8) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    with_point(unscaled < 0, &digits, usize::from(scale))
}

/// Digits with a sign, and a point `scale` digits from the right.
pub fn with_point(negative: bool, digits: &str, scale: usize) -> String {
    let sign = if negative { "-" } else { "" };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn money(cell: &Cell<'_>) -> Result<i128, String> {
        let column = DataType::Decimal {
            precision: 10,
            scale: 2,
        };
        value(column, cell, None).map(|v| match v {
            Value::Decimal(v) => v,
            _ => panic!("no decimal"),
        })
    }

    fn decimal(unscaled: i128, scale: u8) -> Cell<'static> {
        Cell::Decimal {
            unscaled,
            precision: 38,
            scale,
        }
    }

    #[test]
    fn types_widen_where_nothing_is_lost() {
        let double = |cell: Cell<'_>| match value(DataType::Float64, &cell, None) {
            Ok(Value::Float(v)) => Ok(v),
            Ok(_) => panic!("no double"),
            Err(e) => Err(e),
        };
        assert_eq!(double(Cell::Int(-(1 << 53))), Ok(-9_007_199_254_740_992.0));
        assert!(double(Cell::Int((1 << 53) + 1)).is_err());
        assert!(double(Cell::Int(i64::MAX)).is_err());
        assert!(double(Cell::UInt(u64::MAX)).is_err());
        assert_eq!(double(Cell::Int(i64::MIN)), Ok(-(2f64.powi(63))));
        assert!(double(Cell::Float(f64::NAN)).is_err());
        assert_eq!(double(decimal(15, 1)), Ok(1.5));
        for (column, cell) in [
            (DataType::Int64, Cell::Float(3.0)),
            (DataType::Int64, Cell::UInt(1 << 63)),
            (DataType::UInt64, Cell::Int(-1)),
            (DataType::Utf8, Cell::Int(1)),
            (DataType::Int64, Cell::Time(1)),
            (DataType::Bool, Cell::Int(1)),
        ] {
            assert!(value(column, &cell, None).is_err(), "{column} {cell:?}");
        }
        assert_eq!(money(&Cell::Int(7)), Ok(700));
        assert_eq!(money(&Cell::Float(12.345)), Ok(1235));
        assert_eq!(money(&decimal(12_340, 3)), Ok(1234));
        assert!(money(&decimal(12_345, 3)).is_err(), "a digit would be lost");
        assert!(money(&decimal(1, 38)).is_err());
        assert!(money(&Cell::Int(1_000_000_000)).is_err());
        assert!(money(&Cell::Float(f64::INFINITY)).is_err());
    }

    proptest! {
        #[test]
        fn the_text_of_a_decimal_is_the_decimal(v in any::<i128>(), shift in 0u32..127, scale in 0u8..=38) {
            let v = (v >> shift) % 10i128.pow(38);
            let text = decimal_text(v, scale);
            prop_assert_eq!(parse_decimal(text.as_bytes(), 38, scale, true), Ok(v), "{}", text);
        }
    }
}
