//! Lines that were refused, as dead letters.

use super::{Decoded, LineContext};
use crate::dead_letter::{Letters, Origin};
use std::borrow::Cow;
use std::collections::BTreeMap;
use tsdb::Rows;

/// How the position of a line's letter begins; the number of the line's first byte in its body follows. Those of rows are `row n`.
pub const LINE_AT: &str = "byte ";

/// The letters for lines of `body` that were refused, a batch per stream. A line whose measurement is no stream is of none: what
/// stands there may be anything, and each name is a series. Where the database's `dead_letters` takes none, they are lost, as the
/// reply to the request says anyway.
#[must_use]
pub fn refused_lines(body: &[u8], decoded: &Decoded, ctx: &LineContext<'_>) -> Vec<Rows> {
    let of = |stream| {
        Letters::new(Origin {
            catalog: ctx.catalog,
            db: ctx.db,
            stream,
            source: "http",
            now_ns: ctx.now_ns,
        })
    };
    let mut by_stream: BTreeMap<Cow<'_, str>, Vec<_>> = BTreeMap::new();
    for refused in &decoded.refused {
        let line = &body[refused.0.clone()];
        let end = line.iter().position(|b| matches!(b, b',' | b' '));
        let mut name = String::from_utf8_lossy(&line[..end.unwrap_or(line.len())]);
        if ctx.catalog.stream(ctx.db, &name).is_none() {
            name = "".into();
        }
        by_stream.entry(name).or_default().push(refused);
    }
    let mut all = Vec::new();
    for (stream, refused) in &by_stream {
        let mut letters = of(stream);
        for (range, why) in refused {
            let line = body[range.clone()].trim_ascii_end();
            letters.add(&format_args!("{LINE_AT}{}", range.start), why, line);
        }
        all.push(letters.finish());
    }
    let more = decoded.rejected - decoded.refused.len();
    if more > 0 {
        let mut letters = of("");
        letters.leave_out(more);
        all.push(letters.finish());
    }
    all.into_iter()
        .filter_map(|rows| rows.ok().flatten())
        .collect()
}
