//! Intervals as text, both ways: `1 day 2 hours`, `90s`, `1 day 02:30:00`.

use std::fmt;
use std::str::FromStr;

use crate::ast::{Interval, NANOS_PER_DAY, NANOS_PER_SECOND};

/// Why a text is no interval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntervalError {
    /// A number with no unit behind it, or the other way round.
    #[error("an interval is made of numbers with units, such as '1 hour 30 minutes'")]
    Form,
    /// A unit that is none.
    #[error("`{0}` is no unit of time")]
    Unit(String),
    /// Part of a month.
    #[error("months and years must be whole")]
    FractionOfMonth,
    /// More than 292 years of nanoseconds, or more than an `i32` of months.
    #[error("the interval is too long")]
    TooLong,
}

/// A unit: so many months or so many nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Months(i64),
    Nanos(i64),
}

/// The unit a word means, in singular, plural or short form.
pub(crate) fn unit(word: &str) -> Option<Unit> {
    const MINUTE: i64 = 60 * NANOS_PER_SECOND;
    // The longest unit has 12 letters; longer words need no lowercase copy.
    if word.len() > 16 {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => Unit::Nanos(1),
        "us" | "microsecond" | "microseconds" => Unit::Nanos(1_000),
        "ms" | "millisecond" | "milliseconds" => Unit::Nanos(1_000_000),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Nanos(NANOS_PER_SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Nanos(MINUTE),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Nanos(60 * MINUTE),
        "d" | "day" | "days" => Unit::Nanos(NANOS_PER_DAY),
        "w" | "week" | "weeks" => Unit::Nanos(7 * NANOS_PER_DAY),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "quarter" | "quarters" => Unit::Months(3),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        _ => return None,
    })
}

/// A sum of parts that notices when it grows too long.
#[derive(Default)]
struct Sum {
    months: i64,
    nanos: i128,
}

impl Sum {
    fn add(&mut self, number: &Number, unit: Unit) -> Result<(), IntervalError> {
        match unit {
            Unit::Months(months) => {
                let whole = number.times(1).ok_or(IntervalError::FractionOfMonth)?;
                let whole = i64::try_from(whole).map_err(|_| IntervalError::TooLong)?;
                let added = whole
                    .checked_mul(months)
                    .and_then(|m| self.months.checked_add(m));
                self.months = added.ok_or(IntervalError::TooLong)?;
            }
            // `Number` holds less than 2^64 units of up to 2^50 ns each, so that sums of even
            // millions of them fit in an i128.
            Unit::Nanos(nanos) => self.nanos += number.scaled(nanos),
        }
        Ok(())
    }

    fn finish(self) -> Result<Interval, IntervalError> {
        Ok(Interval {
            months: i32::try_from(self.months).map_err(|_| IntervalError::TooLong)?,
            nanos: i64::try_from(self.nanos).map_err(|_| IntervalError::TooLong)?,
        })
    }
}

/// A decimal number of few digits.
struct Number {
    negative: bool,
    whole: u64,
    /// In units of 1e-18.
    fraction: u64,
}

impl Number {
    fn parse(text: &str) -> Result<Self, IntervalError> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return Err(IntervalError::Form);
        }
        let whole = if whole.is_empty() {
            Ok(0)
        } else {
            whole.parse()
        };
        // Digits beyond the 18th are below a nanosecond in every unit.
        let kept = &fraction[..fraction.len().min(18)];
        let fraction = kept
            .bytes()
            .fold(0u64, |sum, b| sum * 10 + u64::from(b - b'0'))
            * 10u64.pow(18 - kept.len() as u32);
        Ok(Number {
            negative: text.starts_with('-'),
            whole: whole.map_err(|_| IntervalError::TooLong)?,
            fraction,
        })
    }

    fn signed(&self, value: i128) -> i128 {
        if self.negative { -value } else { value }
    }

    /// The number times `unit`, if it is whole.
    fn times(&self, unit: i128) -> Option<i128> {
        (self.fraction == 0).then(|| self.signed(i128::from(self.whole) * unit))
    }

    /// The number times `unit`, cut to whole nanoseconds.
    fn scaled(&self, unit: i64) -> i128 {
        let unit = i128::from(unit);
        let fraction = i128::from(self.fraction) * unit / 1_000_000_000_000_000_000;
        self.signed(i128::from(self.whole) * unit + fraction)
    }
}

/// The interval of a number and a unit: `('1.5', hour)`.
pub(crate) fn of_number(number: &str, unit: Unit) -> Result<Interval, IntervalError> {
    let mut sum = Sum::default();
    sum.add(&Number::parse(number.trim())?, unit)?;
    sum.finish()
}

/// Whether the text is a number alone, so that its unit must follow elsewhere.
pub(crate) fn is_number(text: &str) -> bool {
    Number::parse(text.trim()).is_ok()
}

impl FromStr for Interval {
    type Err = IntervalError;

    /// Parses numbers with units (`1 hour 30 minutes`, `1h30m`, `-2 days`), and `[-]h:mm[:ss[.f]]`
    /// behind or instead of them.
    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let mut sum = Sum::default();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(IntervalError::Form);
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | ':' | '+' | '-'));
            let (number, behind) = rest.split_at(end.unwrap_or(rest.len()));
            if number.contains(':') {
                add_clock(&mut sum, number)?;
                rest = behind.trim_start();
                continue;
            }
            let number = Number::parse(number)?;
            let behind = behind.trim_start();
            let end = behind
                .find(|c: char| !c.is_alphabetic())
                .unwrap_or(behind.len());
            let (word, behind) = behind.split_at(end);
            if word.is_empty() {
                return Err(IntervalError::Form);
            }
            let unit =
                unit(word).ok_or_else(|| IntervalError::Unit(word.chars().take(20).collect()))?;
            sum.add(&number, unit)?;
            rest = behind.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        }
        sum.finish()
    }
}

/// `h:mm`, `h:mm:ss`, `h:mm:ss.fff`, the sign in front counting for all of it.
fn add_clock(sum: &mut Sum, text: &str) -> Result<(), IntervalError> {
    let sign = if text.starts_with('-') { "-" } else { "" };
    let parts: Vec<&str> = text
        .strip_prefix(['-', '+'])
        .unwrap_or(text)
        .split(':')
        .collect();
    if !(2..=3).contains(&parts.len())
        || parts
            .iter()
            .any(|part| !part.starts_with(|c: char| c.is_ascii_digit()))
    {
        return Err(IntervalError::Form);
    }
    for (part, seconds) in parts.iter().zip([3600, 60, 1]) {
        let number = Number::parse(&format!("{sign}{part}"))?;
        sum.add(&number, Unit::Nanos(seconds * NANOS_PER_SECOND))?;
    }
    Ok(())
}

/// The canonical form, which parses back to the same interval: `1 month 2 days 3 hours`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        let mut part = |number: String, one: bool, unit: &str| {
            let plural = if one { "" } else { "s" };
            let written = write!(f, "{blank}{number} {unit}{plural}");
            blank = " ";
            written
        };
        for (months, unit) in [(self.months / 12, "year"), (self.months % 12, "month")] {
            if months != 0 {
                part(months.to_string(), months.abs() == 1, unit)?;
            }
        }
        let sign = if self.nanos < 0 { "-" } else { "" };
        let mut nanos = self.nanos.unsigned_abs();
        for (unit, name) in [(86_400u64, "day"), (3_600, "hour"), (60, "minute")] {
            let unit = unit * NANOS_PER_SECOND as u64;
            let whole = nanos / unit;
            nanos %= unit;
            if whole != 0 {
                part(format!("{sign}{whole}"), whole == 1, name)?;
            }
        }
        let (seconds, fraction) = (
            nanos / NANOS_PER_SECOND as u64,
            nanos % NANOS_PER_SECOND as u64,
        );
        if fraction != 0 {
            let digits = format!("{fraction:09}");
            let digits = digits.trim_end_matches('0');
            part(format!("{sign}{seconds}.{digits}"), false, "second")?;
        } else if seconds != 0 || (self.months == 0 && self.nanos == 0) {
            part(format!("{sign}{seconds}"), seconds == 1, "second")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> i64 {
        let interval: Interval = text.parse().unwrap();
        assert_eq!(interval.months, 0, "{text}");
        interval.nanos
    }

    #[test]
    fn spellings() {
        const S: i64 = NANOS_PER_SECOND;
        assert_eq!(nanos("1 minute 30 seconds"), 90 * S);
        assert_eq!(nanos("1h30m"), 5400 * S);
        assert_eq!(nanos(" 1 day, 2 hours "), 93_600 * S);
        assert_eq!(nanos("1 day 02:30:00.5"), 95_400 * S + S / 2);
        assert_eq!(nanos("-0:30"), -1800 * S);
        assert_eq!(nanos("-1.5 s"), -3 * S / 2);
        assert_eq!(nanos(".000000001 s"), 1);
        assert_eq!(nanos("2 weeks"), 14 * NANOS_PER_DAY);
        let year: Interval = "1 year 2 months -1 day".parse().unwrap();
        assert_eq!(
            year,
            Interval {
                months: 14,
                nanos: -NANOS_PER_DAY
            }
        );
    }

    #[test]
    fn refusals() {
        for (text, error) in [
            ("", IntervalError::Form),
            ("5", IntervalError::Form),
            ("minutes", IntervalError::Form),
            ("1 2 minutes", IntervalError::Form),
            ("1::2", IntervalError::Form),
            ("1:2:3:4", IntervalError::Form),
            ("5 parsecs", IntervalError::Unit("parsecs".to_owned())),
            ("1.5 months", IntervalError::FractionOfMonth),
            ("300 years 107000 days", IntervalError::TooLong),
            ("99999999999999999999 s", IntervalError::TooLong),
            ("18446744073709551615 years", IntervalError::TooLong),
            ("3000000000 months", IntervalError::TooLong),
        ] {
            assert_eq!(text.parse::<Interval>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_back(months in any::<i32>(), nanos in any::<i64>()) {
            for nanos in [nanos, nanos % 1_000_000, i64::MIN, i64::MAX, 0] {
                let interval = Interval { months, nanos };
                prop_assert_eq!(interval.to_string().parse(), Ok(interval));
            }
        }

        #[test]
        fn never_panics(text in "[-+.:0-9a-z ,µ]{0,40}") {
            let _ = text.parse::<Interval>();
        }
    }
}
