//! Times from text and from bare integers, in nanoseconds since the epoch, UTC.

use super::number::digits;

/// The unit of a bare integer time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds.
    #[default]
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Precision {
    /// Nanoseconds in one unit.
    #[must_use]
    pub fn nanos(self) -> i64 {
        match self {
            Precision::Nanos => 1,
            Precision::Micros => 1_000,
            Precision::Millis => 1_000_000,
            Precision::Seconds => 1_000_000_000,
            Precision::Minutes => 60_000_000_000,
            Precision::Hours => 3_600_000_000_000,
        }
    }

    /// The unit of that name: `ns`, `us`, `ms` or `s`, and the short `n` and `u`.
    #[must_use]
    pub fn of(name: &str) -> Option<Precision> {
        Some(match name {
            "n" | "ns" => Precision::Nanos,
            "u" | "us" | "µ" | "µs" => Precision::Micros,
            "ms" => Precision::Millis,
            "s" => Precision::Seconds,
            _ => return None,
        })
    }

    /// The unit that a `precision` parameter of the Influx routes names, v1 and v2 alike: minutes and hours, too.
    #[must_use]
    pub fn of_influx(name: &str) -> Option<Precision> {
        match name {
            "m" => Some(Precision::Minutes),
            "h" => Some(Precision::Hours),
            _ => Precision::of(name),
        }
    }

    /// The unit that an undeclared integer time most likely has, by its size: each unit covers a thousandfold range,
    /// seconds up to the year 5138.
    #[must_use]
    pub fn by_size(value: i64) -> Precision {
        match value.unsigned_abs() {
            0..100_000_000_000 => Precision::Seconds,
            100_000_000_000..100_000_000_000_000 => Precision::Millis,
            100_000_000_000_000..100_000_000_000_000_000 => Precision::Micros,
            _ => Precision::Nanos,
        }
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (years run from March, so that the leap day is
/// the last one; eras of 400 years).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// Exactly `n` digits whose value is within the bounds.
    fn number(&mut self, n: usize, min: i64, max: i64) -> Option<i64> {
        let field = self.text.get(self.at..self.at + n)?;
        let (value, end) = digits(field, 0);
        let value = value as i64;
        if end != n || value < min || value > max {
            return None;
        }
        self.at += n;
        Some(value)
    }

    fn take(&mut self, one_of: &[u8]) -> Option<u8> {
        let b = *self.text.get(self.at)?;
        one_of.contains(&b).then(|| {
            self.at += 1;
            b
        })
    }

    /// The digits behind the point, as nanoseconds; further ones are cut.
    fn fraction(&mut self) -> Option<i64> {
        let (mut nanos, mut unit, start) = (0, 100_000_000, self.at);
        while let Some(d) = self.text.get(self.at).filter(|d| d.is_ascii_digit()) {
            nanos += i64::from(d - b'0') * unit;
            unit /= 10;
            self.at += 1;
        }
        (self.at > start).then_some(nanos)
    }

    /// `Z` or `±hh[:]mm` or `±hh`, in seconds; UTC when nothing follows.
    fn offset(&mut self) -> Option<i64> {
        if self.text[self.at..] == *b" UTC" {
            self.at = self.text.len();
            return Some(0);
        }
        if self.take(b"Zz").is_some() {
            return Some(0);
        }
        let Some(sign) = self.take(b"+-") else {
            return Some(0);
        };
        let hours = self.number(2, 0, 23)?;
        let colon = self.take(b":").is_some();
        let minutes = if colon || self.at < self.text.len() {
            self.number(2, 0, 59)?
        } else {
            0
        };
        let seconds = hours * 3600 + minutes * 60;
        Some(if sign == b'-' { -seconds } else { seconds })
    }
}

/// RFC 3339 (`T` may be a blank, the zone may lack: UTC) or `YYYY-MM-DD[ hh:mm[:ss[.fraction]]]`. `None` when it is
/// not that, or lies outside the years 1677 to 2262 that nanoseconds reach.
#[must_use]
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let mut c = Cursor { text, at: 0 };
    let year = c.number(4, 0, 9999)?;
    c.take(b"-")?;
    let month = c.number(2, 1, 12)?;
    c.take(b"-")?;
    let day = c.number(2, 1, days_in(year, month))?;
    let mut seconds = days_from_civil(year, month, day) * 86_400;
    let mut nanos = 0;
    if c.take(b"Tt ").is_some() {
        let hour = c.number(2, 0, 23)?;
        c.take(b":")?;
        let minute = c.number(2, 0, 59)?;
        seconds += hour * 3600 + minute * 60;
        if c.take(b":").is_some() {
            seconds += c.number(2, 0, 59)?;
            if c.take(b".,").is_some() {
                nanos = c.fraction()?;
            }
        }
        seconds -= c.offset()?;
    }
    if c.at != text.len() {
        return None;
    }
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    i64::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_by_name() {
        for (name, unit) in [
            ("n", Precision::Nanos),
            ("us", Precision::Micros),
            ("ms", Precision::Millis),
            ("s", Precision::Seconds),
        ] {
            assert_eq!(Precision::of(name), Some(unit));
            assert_eq!(Precision::of_influx(name), Some(unit));
        }
        assert_eq!(Precision::of("m"), None, "minutes are InfluxDB's alone");
        assert_eq!(Precision::of_influx("m"), Some(Precision::Minutes));
        assert_eq!(Precision::of_influx("fortnight"), None);
    }

    #[test]
    fn known_instants() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1970-01-01T00:00:01Z", Some(1_000_000_000)),
            ("1969-12-31 23:59:59.5", Some(-500_000_000)),
            ("2000-02-29T12:00:00+01:00", Some(951_822_000_000_000_000)),
            ("2024-05-06 07:08", Some(1_714_979_280_000_000_000)),
            (
                "2024-05-06T07:08:09.123456789Z",
                Some(1_714_979_289_123_456_789),
            ),
            (
                "2024-05-06T07:08:09.1234567899Z",
                Some(1_714_979_289_123_456_789),
            ),
            ("2024-05-06T00:08:09-0700", Some(1_714_979_289_000_000_000)),
            ("2024-05-06 07:08:09 UTC", Some(1_714_979_289_000_000_000)),
            ("2262-04-11T23:47:16.854775807Z", Some(i64::MAX)),
            ("1677-09-21T00:12:43.145224192Z", Some(i64::MIN)),
            ("2262-04-11T23:47:16.854775808Z", None),
            ("2023-02-29", None),
            ("1900-02-29", None),
            ("2024-13-01", None),
            ("2024-05-06T24:00:00Z", None),
            ("2024-05-06T07:08:09.Z", None),
            ("2024-05-06T07:08:09Zz", None),
            ("2024-05-06T07:08:09ZUTC", None),
            ("2024-05-06 07:08:09 ", None),
            ("2024-5-6", None),
            ("20240506", None),
            ("", None),
            ("2024-05-06T", None),
        ] {
            assert_eq!(parse_time(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_follow_one_another(days in -100_000i64..100_000) {
            // An independent walk: month lengths alone, from 1970 on.
            let (mut year, mut left) = (1970i64, days);
            let length = |y: i64| (1..=12).map(|m| days_in(y, m)).sum::<i64>();
            while left < 0 { year -= 1; left += length(year); }
            while left >= length(year) { left -= length(year); year += 1; }
            let mut month = 1;
            while left >= days_in(year, month) { left -= days_in(year, month); month += 1; }
            prop_assert_eq!(days_from_civil(year, month, left + 1), days);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}", like in "[0-9]{0,5}-[0-9]{0,3}-[0-9]{0,3}[T ]?[0-9:.Z+-]{0,20}") {
            let _ = parse_time(text.as_bytes());
            let _ = parse_time(like.as_bytes());
        }
    }
}
