//! Times as text: RFC 3339 in UTC with the digits they have, or integers of a unit.

/// The unit of times that are asked for as integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epoch {
    Nanos,
    Micros,
    Millis,
    Seconds,
}

impl Epoch {
    pub(crate) fn of(name: &str) -> Option<Epoch> {
        Some(match name {
            "ns" => Epoch::Nanos,
            "us" => Epoch::Micros,
            "ms" => Epoch::Millis,
            "s" => Epoch::Seconds,
            _ => return None,
        })
    }

    /// Nanoseconds in this unit, rounded towards the past.
    pub(crate) fn count_of(self, ns: i64) -> i64 {
        ns.div_euclid(match self {
            Epoch::Nanos => 1,
            Epoch::Micros => 1_000,
            Epoch::Millis => 1_000_000,
            Epoch::Seconds => 1_000_000_000,
        })
    }
}

/// Year, month and day of a day since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400 years
/// that begin in March (Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
pub(super) fn civil(days: i64) -> (i64, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

/// Appends `n` with at least two digits.
fn two(n: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + n / 10, b'0' + n % 10]);
}

/// Appends `YYYY-MM-DD`.
pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        two((year / 100) as u8, out);
        two((year % 100) as u8, out);
    } else {
        out.extend_from_slice(format!("{year:+05}").as_bytes());
    }
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
}

/// Appends `hh:mm:ss` and the digits of the second that are there.
pub(super) fn clock(ns_of_day: i64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (ns_of_day / 1_000_000_000, ns_of_day % 1_000_000_000);
    two((seconds / 3600) as u8, out);
    out.push(b':');
    two((seconds / 60 % 60) as u8, out);
    out.push(b':');
    two((seconds % 60) as u8, out);
    if fraction > 0 {
        let mut digits = *b".000000000";
        let mut rest = fraction;
        for digit in digits[1..].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        let len = digits.iter().rposition(|d| *d != b'0').map_or(0, |i| i + 1);
        out.extend_from_slice(&digits[..len]);
    }
}

/// Nanoseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000_000;

/// Appends a time in UTC.
pub(crate) fn rfc3339(ns: i64, out: &mut Vec<u8>) {
    date(ns.div_euclid(DAY), out);
    out.push(b'T');
    clock(ns.rem_euclid(DAY), out);
    out.push(b'Z');
}
