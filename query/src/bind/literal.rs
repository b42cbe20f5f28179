//! Constants.

use crate::error::{BindError, BindResult};
use crate::types::TIMESTAMP;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use query_lang::ast::{Interval, Literal, Span};

/// The constant that `literal` means.
pub fn literal(literal: &Literal, span: Span) -> BindResult<ScalarValue> {
    Ok(match literal {
        Literal::Null => ScalarValue::Null,
        Literal::Boolean(b) => ScalarValue::Boolean(Some(*b)),
        Literal::Integer(v) => integer(*v, span)?,
        Literal::Decimal(text) => decimal(text).map_or_else(|| float(text, span), Ok)?,
        Literal::Float(text) => float(text, span)?,
        Literal::String(s) => ScalarValue::Utf8(Some(s.clone())),
        Literal::Bytes(b) => ScalarValue::Binary(Some(b.clone())),
        Literal::Timestamp(text) => timestamp(text, span)?,
        Literal::Date(text) => cast(text, &DataType::Date32, "DATE", span)?,
        Literal::Time(text) => cast(
            text,
            &DataType::Time64(arrow::datatypes::TimeUnit::Nanosecond),
            "TIME",
            span,
        )?,
        Literal::Interval(i) => interval(*i),
    })
}

fn integer(v: i128, span: Span) -> BindResult<ScalarValue> {
    if let Ok(v) = i64::try_from(v) {
        return Ok(ScalarValue::Int64(Some(v)));
    }
    if let Ok(v) = u64::try_from(v) {
        return Ok(ScalarValue::UInt64(Some(v)));
    }
    const LIMIT: i128 = 10_i128.pow(38);
    if v > -LIMIT && v < LIMIT {
        return Ok(ScalarValue::Decimal128(Some(v), 38, 0));
    }
    Err(BindError::new(span, "the number has more than 38 digits"))
}

/// `10.50` as a decimal of just its digits; `None` when it has more than 38.
fn decimal(text: &str) -> Option<ScalarValue> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut unscaled: i128 = 0;
    for b in whole.bytes().chain(fraction.bytes()) {
        let digit = i128::from(b.checked_sub(b'0').filter(|d| *d < 10)?);
        unscaled = unscaled.checked_mul(10)?.checked_add(digit)?;
    }
    let significant = whole.trim_start_matches('0').len() + fraction.len();
    let precision = u8::try_from(significant.max(1)).ok().filter(|p| *p <= 38)?;
    let scale = i8::try_from(fraction.len()).ok()?;
    Some(ScalarValue::Decimal128(
        Some(if negative { -unscaled } else { unscaled }),
        precision,
        scale,
    ))
}

fn float(text: &str, span: Span) -> BindResult<ScalarValue> {
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(ScalarValue::Float64(Some(v))),
        _ => Err(BindError::new(
            span,
            "the number is out of a DOUBLE's range",
        )),
    }
}

fn cast(text: &str, to: &DataType, name: &str, span: Span) -> BindResult<ScalarValue> {
    ScalarValue::Utf8(Some(text.to_owned()))
        .cast_to(to)
        .map_err(|_| BindError::new(span, format!("'{text}' is no {name}")))
}

/// A time from RFC 3339 or `YYYY-MM-DD[ hh:mm:ss[.fraction]]`, UTC where no zone is said.
pub fn timestamp(text: &str, span: Span) -> BindResult<ScalarValue> {
    match string_to_timestamp_nanos(text.trim()) {
        Ok(ns) => Ok(ScalarValue::TimestampNanosecond(Some(ns), None)),
        Err(_) => Err(
            BindError::new(span, format!("'{text}' is no time")).hint(Some(
                "write times like '2026-01-31 12:30:00' or '2026-01-31T12:30:00Z'".to_owned(),
            )),
        ),
    }
}

/// The nanoseconds that an integer means as a time: ns, us, ms or s, by its size (each unit is taken from 1973 on).
#[must_use]
pub fn integer_time(v: i64) -> i64 {
    let factor = match v.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    v.saturating_mul(factor)
}

/// The interval as Arrow has it.
#[must_use]
pub fn interval(i: Interval) -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(i.months, 0, i.nanos)))
}

/// `expr` as a constant of the type that the other side of a comparison has, where that makes it exact or cheap:
/// text and integers as times, decimals as floats or integers. Anything else stays as it is.
pub fn toward(expr: Expr, other: &DataType, span: Span) -> BindResult<Expr> {
    let Expr::Literal(value, _) = &expr else {
        return Ok(expr);
    };
    let adapted = match (value, other) {
        (ScalarValue::Utf8(Some(text)), DataType::Timestamp(..)) => Some(timestamp(text, span)?),
        (ScalarValue::Int64(Some(v)), DataType::Timestamp(..)) => Some(
            ScalarValue::TimestampNanosecond(Some(integer_time(*v)), None),
        ),
        (ScalarValue::Null, DataType::Timestamp(..)) => {
            Some(ScalarValue::TimestampNanosecond(None, None))
        }
        (ScalarValue::Int64(Some(_)), DataType::Float64) => value.cast_to(other).ok(),
        (ScalarValue::Decimal128(Some(_), ..), DataType::Float64) => value.cast_to(other).ok(),
        (ScalarValue::Decimal128(Some(v), _, s), DataType::Int64) => {
            let unit = 10_i128.pow(u32::from(s.unsigned_abs()));
            let whole = (*s >= 0 && v % unit == 0)
                .then(|| i64::try_from(v / unit).ok())
                .flatten();
            whole.map(|v| ScalarValue::Int64(Some(v)))
        }
        _ => None,
    };
    Ok(adapted.map_or(expr, lit))
}

/// Whether `t` is a time that constants are adapted to.
#[must_use]
pub fn is_time(t: &DataType) -> bool {
    *t == TIMESTAMP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        assert_eq!(
            decimal("10.50"),
            Some(ScalarValue::Decimal128(Some(1050), 4, 2))
        );
        assert_eq!(
            decimal("0.001"),
            Some(ScalarValue::Decimal128(Some(1), 3, 3))
        );
        assert_eq!(
            decimal("-.5"),
            Some(ScalarValue::Decimal128(Some(-5), 1, 1))
        );
        assert_eq!(decimal(&"9".repeat(39)), None);
    }

    #[test]
    fn integers_are_times_by_their_size() {
        let second = 1_700_000_000_i64;
        for factor in [1, 1_000, 1_000_000, 1_000_000_000] {
            assert_eq!(integer_time(second * factor), second * 1_000_000_000);
        }
        assert_eq!(integer_time(0), 0);
        assert_eq!(integer_time(i64::MAX), i64::MAX);
        assert_eq!(integer_time(-second), -second * 1_000_000_000);
    }

    #[test]
    fn constants_take_the_type_they_are_compared_with() {
        let span = Span::default();
        let time = toward(lit("2026-01-01"), &TIMESTAMP, span).unwrap();
        assert_eq!(
            time,
            lit(ScalarValue::TimestampNanosecond(
                Some(1_767_225_600_000_000_000),
                None
            ))
        );
        assert!(toward(lit("yesterday-ish"), &TIMESTAMP, span).is_err());
        let whole = toward(
            lit(ScalarValue::Decimal128(Some(900), 3, 1)),
            &DataType::Int64,
            span,
        )
        .unwrap();
        assert_eq!(whole, lit(90_i64));
    }
}
