//! Windows of whole days in a time zone: their days have 23 to 25 hours where clocks change, and fewer or more where a
//! place has moved across the date line. The rules are those inside the binary.

use super::window::Window;
use chrono::{DateTime, Days, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Seconds by which a clock was never set at once.
const LONGEST_CHANGE: i64 = 36 * 3600;

/// The window that `t` lies in, of windows that begin every `days` days, counted from `offset` days after 1970-01-01,
/// at the first instant of their first day.
pub(super) fn window_of(t: i64, days: i64, offset: i64, zone: Tz) -> Window {
    let at = |k: i64| starts(k.saturating_mul(days).saturating_add(offset), zone);
    let mut k = (local_day(t, zone) - offset).div_euclid(days);
    // A clock set back over midnight shows a date twice; the window is the one whose instants hold `t`.
    while t < at(k) {
        k -= 1;
    }
    while t >= at(k + 1) && at(k + 1) < i64::MAX {
        k += 1;
    }
    Window {
        start: at(k),
        end: at(k + 1),
    }
}

/// No window of that many days is longer.
pub(super) fn longest(days: i64) -> i64 {
    days.saturating_add(2).saturating_mul(DAY)
}

/// Days since 1970-01-01 of the date that clocks in the zone show.
fn local_day(t: i64, zone: Tz) -> i64 {
    let seconds = t.div_euclid(SECOND);
    (seconds + utc_offset(seconds, zone)).div_euclid(DAY / SECOND)
}

/// Seconds that clocks in the zone are ahead of UTC.
fn utc_offset(seconds: i64, zone: Tz) -> i64 {
    // Times in 64-bit nanoseconds lie well within the years that chrono knows.
    let utc = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let offset = zone.offset_from_utc_datetime(&utc.naive_utc());
    i64::from(offset.fix().local_minus_utc())
}

/// The first instant of a day, clamped to the range of `i64`.
fn starts(day: i64, zone: Tz) -> i64 {
    let epoch = NaiveDate::default();
    let date = match u64::try_from(day) {
        Ok(day) => epoch.checked_add_days(Days::new(day)),
        Err(_) => epoch.checked_sub_days(Days::new(day.unsigned_abs())),
    };
    let Some(midnight) = date.and_then(|d| d.and_hms_opt(0, 0, 0)) else {
        return if day < 0 { i64::MIN } else { i64::MAX };
    };
    let seconds = match zone.from_local_datetime(&midnight).earliest() {
        Some(first) => first.timestamp(),
        None => change_over(midnight.and_utc().timestamp(), zone),
    };
    i128::from(seconds)
        .saturating_mul(i128::from(SECOND))
        .clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// The instant at which clocks are set forward over a local time that they never show.
fn change_over(local: i64, zone: Tz) -> i64 {
    let (mut before, mut after) = (local - LONGEST_CHANGE, local + LONGEST_CHANGE);
    // Invariant: clocks show less than `local` before `before`, and more at `after`.
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if middle + utc_offset(middle, zone) < local {
            before = middle;
        } else {
            after = middle;
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        let time: DateTime<chrono::Utc> = text.parse().expect("a time");
        time.timestamp_nanos_opt().expect("a time in range")
    }

    fn window(t: &str, days: i64, zone: Tz) -> (String, String) {
        let w = window_of(at(t), days, 0, zone);
        let text = |t: i64| DateTime::from_timestamp_nanos(t).to_rfc3339();
        (text(w.start), text(w.end))
    }

    fn hours(t: &str, zone: Tz) -> i64 {
        let w = window_of(at(t), 1, 0, zone);
        (w.end - w.start) / (3600 * SECOND)
    }

    #[test]
    fn days_begin_at_local_midnight_and_have_the_hours_they_have() {
        let oslo = Tz::Europe__Oslo;
        assert_eq!(
            window("2026-01-01T22:59:59Z", 1, oslo),
            (
                "2025-12-31T23:00:00+00:00".to_owned(),
                "2026-01-01T23:00:00+00:00".to_owned()
            )
        );
        assert_eq!(hours("2026-03-29T12:00:00Z", oslo), 23);
        assert_eq!(hours("2026-10-25T12:00:00Z", oslo), 25);
        assert_eq!(hours("2026-06-01T12:00:00Z", oslo), 24);
        // Midnight itself is skipped, and is passed twice.
        assert_eq!(hours("2017-10-15T12:00:00Z", Tz::America__Sao_Paulo), 23);
        assert_eq!(hours("2018-02-18T01:30:00Z", Tz::America__Sao_Paulo), 25);
        // Samoa left out the 30th of December 2011.
        let samoa = window("2011-12-30T10:00:00Z", 1, Tz::Pacific__Apia);
        assert_eq!(samoa.0, "2011-12-30T10:00:00+00:00");
        let before = window("2011-12-30T09:59:59Z", 1, Tz::Pacific__Apia);
        assert_eq!(before.1, samoa.0);
    }

    #[test]
    fn windows_follow_each_other_without_gap_or_overlap() {
        let zones = [
            Tz::Europe__Oslo,
            Tz::America__Sao_Paulo,
            Tz::Pacific__Apia,
            Tz::Australia__Lord_Howe,
            Tz::Asia__Kathmandu,
            Tz::America__St_Johns,
            Tz::Africa__Casablanca,
            Tz::Asia__Manila,
        ];
        for zone in zones {
            for (days, offset) in [(1, 0), (7, 4), (30, -3)] {
                for (from, n) in [
                    (at("1844-12-20T00:00:00Z"), 400),
                    (at("2005-01-01T00:00:00Z"), 9000),
                ] {
                    let mut next = window_of(from, days, offset, zone);
                    for _ in 0..n / days {
                        let end = next.end;
                        for t in [next.start, end - 1, next.start + (end - next.start) / 2] {
                            assert_eq!(window_of(t, days, offset, zone), next, "{zone} {t}");
                        }
                        assert!(end > next.start && end - next.start <= longest(days));
                        next = window_of(end, days, offset, zone);
                        assert_eq!(next.start, end, "{zone}");
                    }
                }
            }
        }
        for t in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            let w = window_of(t, 7, 0, Tz::Europe__Oslo);
            assert!(w.start <= t && (t < w.end || w.end == i64::MAX), "{w:?}");
        }
    }
}
