//! The flights that the demo replays: two weeks of real ones, part of the binary.

use anyhow::Context;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use std::io::Read;
use std::ops::Range;

/// See `tools/demo-data/README.md`.
const DATA: &[u8] = include_bytes!("../../demo-data/flights-2001-01.csv.gz");

/// The flights in order of time, those of one time together.
pub(super) struct Flights {
    text: Bytes,
    header: Range<usize>,
    moments: Vec<Moment>,
}

/// All flights of one time.
struct Moment {
    /// Seconds since the epoch.
    time: i64,
    /// Where its lines stand.
    lines: Range<usize>,
    /// How many they are.
    flights: u64,
}

impl Flights {
    /// Unpacks the flights.
    ///
    /// # Errors
    /// When the data is not what it should be: an unordered time would break the replay's promise.
    pub(super) fn load() -> anyhow::Result<Flights> {
        let mut text = String::new();
        GzDecoder::new(DATA)
            .read_to_string(&mut text)
            .context("the flights can't be unpacked")?;
        Flights::parse(text)
    }

    fn parse(text: String) -> anyhow::Result<Flights> {
        let header = 0..text.find('\n').context("the flights have no header")? + 1;
        let mut moments: Vec<Moment> = Vec::new();
        let mut at = header.end;
        for line in text[header.end..].split_inclusive('\n') {
            let time = line.split(',').next().unwrap_or_default();
            let time = chrono::DateTime::parse_from_rfc3339(time)
                .with_context(|| format!("{line:?} does not begin with a time"))?
                .timestamp();
            let end = at + line.len();
            match moments.last_mut() {
                Some(last) if last.time == time => {
                    last.lines.end = end;
                    last.flights += 1;
                }
                Some(last) if last.time > time => anyhow::bail!("{line:?} comes too late"),
                _ => moments.push(Moment {
                    time,
                    lines: at..end,
                    flights: 1,
                }),
            }
            at = end;
        }
        Ok(Flights {
            text: text.into(),
            header,
            moments,
        })
    }

    /// How many flights there are.
    pub(super) fn count(&self) -> u64 {
        self.moments.iter().map(|m| m.flights).sum()
    }

    /// The place of the first moment after a time; of the very first without one.
    pub(super) fn after(&self, time: Option<i64>) -> usize {
        time.map_or(0, |time| self.moments.partition_point(|m| m.time <= time))
    }

    /// The time of a moment; `None` past the last.
    pub(super) fn time(&self, at: usize) -> Option<i64> {
        self.moments.get(at).map(|m| m.time)
    }

    /// Whole moments from `at` on, up to the event time `until` and about `most` flights, as CSV: the body, its
    /// flights, and the place behind them.
    ///
    /// A moment is never cut: a request is committed whole or not at all, and so the greatest time in the database
    /// tells exactly which flights are there.
    pub(super) fn batch(&self, at: usize, until: i64, most: u64) -> (Bytes, u64, usize) {
        let (mut end, mut flights) = (at, 0);
        while let Some(moment) = self.moments.get(end) {
            if moment.time > until || (flights > 0 && flights + moment.flights > most) {
                break;
            }
            flights += moment.flights;
            end += 1;
        }
        if end == at {
            return (Bytes::new(), 0, at);
        }
        // The moments' lines stand one behind the other.
        let lines = self.moments[at].lines.start..self.moments[end - 1].lines.end;
        let mut body = BytesMut::with_capacity(self.header.len() + lines.len());
        body.put_slice(&self.text[self.header.clone()]);
        body.put_slice(&self.text[lines]);
        (body.freeze(), flights, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flights_are_what_their_note_says() {
        let flights = Flights::load().unwrap();
        assert_eq!(flights.count(), 228_738);
        assert_eq!(
            &flights.text[flights.header.clone()],
            b"time,origin,destination,delay,distance\n"
        );
        assert_eq!(flights.time(0), Some(978_307_260)); // 2001-01-01T00:01:00Z
        let last = flights.time(flights.moments.len() - 1).unwrap();
        assert!(
            (979_430_400..979_516_800).contains(&last),
            "{last} is not on 14 January 2001"
        );
    }

    #[test]
    fn batches_hold_each_flight_once_whatever_their_size() {
        let flights = Flights::load().unwrap();
        for most in [1, 500, u64::MAX] {
            let (mut at, mut lines, mut told) =
                (0, flights.text[flights.header.clone()].to_vec(), 0);
            while flights.time(at).is_some() {
                let (body, count, next) = flights.batch(at, i64::MAX, most);
                assert!(next > at);
                lines.extend_from_slice(&body[flights.header.len()..]);
                told += count;
                at = next;
            }
            assert_eq!(told, flights.count());
            assert!(lines == flights.text, "batches of {most} do not add up");
        }
    }

    #[test]
    fn going_on_after_a_time_skips_that_time_and_no_more() {
        let text =
            "time,x\n2001-01-01T00:00:00Z,a\n2001-01-01T00:00:00Z,b\n2001-01-01T00:01:00Z,c\n";
        let flights = Flights::parse(text.to_owned()).unwrap();
        assert_eq!(flights.after(None), 0);
        assert_eq!(flights.after(flights.time(0)), 1);
        assert_eq!(flights.after(flights.time(1)), 2);
        let (body, count, next) = flights.batch(0, flights.time(0).unwrap(), 100);
        assert_eq!(
            (&body[..], count, next),
            (
                &b"time,x\n2001-01-01T00:00:00Z,a\n2001-01-01T00:00:00Z,b\n"[..],
                2,
                1
            )
        );
        assert_eq!(flights.batch(2, i64::MAX, 100).1, 0);
    }

    #[test]
    fn disorder_is_refused() {
        let text = "time,x\n2001-01-01T00:01:00Z,a\n2001-01-01T00:00:00Z,b\n";
        assert!(Flights::parse(text.to_owned()).is_err());
    }
}
