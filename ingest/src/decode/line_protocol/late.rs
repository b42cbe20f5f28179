//! Lines whose rows are too old for their streams, as dead letters.

use super::LineContext;
use crate::dead_letter::{Letters, Origin};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use tsdb::{Rows, TooOld};

/// The letters for lines of `body` that were refused for their age, a batch per measurement. Where the database's
/// `dead_letters` takes none, they are lost, as the reply to the request says anyway.
#[must_use]
pub fn late_lines(
    body: &[u8],
    too_old: &[(Range<usize>, TooOld)],
    ctx: &LineContext<'_>,
) -> Vec<Rows> {
    let mut by_measurement: BTreeMap<Cow<'_, str>, Vec<&(Range<usize>, TooOld)>> = BTreeMap::new();
    for refused in too_old {
        let line = &body[refused.0.clone()];
        let end = line.iter().position(|b| matches!(b, b',' | b' '));
        let measurement = String::from_utf8_lossy(&line[..end.unwrap_or(line.len())]);
        by_measurement.entry(measurement).or_default().push(refused);
    }
    let letters = by_measurement.iter().map(|(measurement, refused)| {
        let mut letters = Letters::new(Origin {
            catalog: ctx.catalog,
            db: ctx.db,
            stream: measurement,
            source: "http",
            now_ns: ctx.now_ns,
        });
        for (range, why) in refused {
            let line = body[range.clone()].trim_ascii_end();
            letters.add(&format_args!("byte {}", range.start), why, line);
        }
        letters.finish()
    });
    letters.filter_map(|rows| rows.ok().flatten()).collect()
}
