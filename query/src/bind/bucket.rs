//! Buckets of event time among the keys of a grouped query.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use query_lang::ast::{NANOS_PER_DAY, NANOS_PER_SECOND};

/// Width and shift from the epoch, in nanoseconds, of the buckets that `e` is the start of: `date_bin(width, time
/// [, origin])`, and `date_trunc(unit, time)` with units of fixed length. `time` is the event-time column.
#[must_use]
pub fn bucket(e: &Expr, time: &str) -> Option<(i64, i64)> {
    const MONDAY: i64 = 4 * NANOS_PER_DAY;
    let Expr::ScalarFunction(f) = e else {
        return None;
    };
    if !matches!(f.args.get(1), Some(Expr::Column(c)) if c.name == time) {
        return None;
    }
    let Some(Expr::Literal(first, _)) = f.args.first() else {
        return None;
    };
    match (f.name(), first) {
        ("date_bin", ScalarValue::IntervalMonthDayNano(Some(w))) if w.months == 0 => {
            let width = i64::from(w.days)
                .checked_mul(NANOS_PER_DAY)?
                .checked_add(w.nanoseconds)?;
            let origin = match f.args.get(2) {
                None => 0,
                Some(Expr::Literal(ScalarValue::TimestampNanosecond(Some(t), _), _)) => *t,
                Some(_) => return None,
            };
            (width > 0).then(|| (width, origin.rem_euclid(width)))
        }
        ("date_trunc", ScalarValue::Utf8(Some(unit))) if f.args.len() == 2 => {
            Some(match unit.to_ascii_lowercase().as_str() {
                "second" => (NANOS_PER_SECOND, 0),
                "minute" => (60 * NANOS_PER_SECOND, 0),
                "hour" => (3_600 * NANOS_PER_SECOND, 0),
                "day" => (NANOS_PER_DAY, 0),
                "week" => (7 * NANOS_PER_DAY, MONDAY),
                _ => return None,
            })
        }
        _ => None,
    }
}
