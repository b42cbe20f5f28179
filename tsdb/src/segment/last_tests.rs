//! Last rows against the naive way, over segments and batches of the head.

use super::tests::{Row, batch, build_as, catalog, open, row, show, type_of};
use super::{GROUP_ROWS, Segment};
use crate::catalog::{SeriesSet, Stream};
use crate::scan::{LastSpec, ScanStats, last_rows};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tsdb_types::{Batch, ColumnId, DataType, SegmentId, TimeRange};

const COLUMNS: std::ops::Range<u16> = 1..5;

fn types() -> Vec<DataType> {
    COLUMNS.map(|i| type_of(ColumnId(i))).collect()
}

/// Segments of the first parts, batches of the last.
fn store(
    stream: &Stream,
    parts: &[&[Row]],
    segments: usize,
) -> (Vec<Arc<Segment>>, Vec<Arc<Batch>>) {
    let segment = |(i, rows): (usize, &&[Row])| {
        // Two batches, so that log order runs through both.
        let (a, b) = rows.split_at(rows.len() / 2);
        let batches: Vec<_> = [a, b]
            .into_iter()
            .filter(|r| !r.is_empty())
            .map(|r| batch(stream.id, r))
            .collect();
        let (meta, bytes) = build_as(SegmentId(i as u64), &batches);
        open(meta, bytes)
    };
    (
        parts[..segments].iter().enumerate().map(segment).collect(),
        parts[segments..]
            .iter()
            .map(|r| batch(stream.id, r))
            .collect(),
    )
}

proptest! {
    #[test]
    fn last_rows_are_those_found_by_looking_at_all(
        rows in proptest::collection::vec(row(), 1..200),
        cuts in proptest::collection::vec(0usize..200, 0..6),
        segments in 0usize..6,
        keys in 1u32..7,
        known in 0u32..9,
        start in prop_oneof![Just(i64::MIN), 0i64..1000],
        end in prop_oneof![3 => Just(i64::MAX), 1 => 0i64..1100],
        set in proptest::option::of(proptest::collection::vec(0u32..6, 0..4)),
        threads in 1usize..3,
    ) {
        let (_catalog, stream) = catalog();
        // How many series the stream has decides whether their last rows are worth keeping.
        for s in 0..known {
            stream.series().resolve(&[(ColumnId(9), s.to_string().as_str())]);
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(rows.len())).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let parts: Vec<&[Row]> = cuts.windows(2).map(|w| &rows[w[0]..w[1]]).collect();
        let (segments, memory) = store(&stream, &parts, segments.min(parts.len()));
        let key_of: Vec<u32> = (0..6).map(|s| s % keys).collect();
        let range = TimeRange { start, end };
        let set = set.map(|s| Arc::new(SeriesSet::of(s)));
        let kept = |r: &&Row| range.contains(r.time) && set.as_ref().is_none_or(|s| s.contains(r.series));
        let mut expected: Vec<String> = (0..keys)
            .filter_map(|k| {
                let of_key = rows.iter().filter(kept).filter(|r| key_of[r.series as usize] == k);
                // The last of equals stands, as it is the last in the log.
                let last = of_key.max_by_key(|r| (r.time, std::cmp::Reverse(r.series)))?;
                Some(last.clone())
            })
            .flat_map(|r| {
                let spec = crate::scan::ScanSpec { columns: COLUMNS.map(ColumnId).collect(), ..Default::default() };
                show(&crate::scan::scan_batch(&batch(stream.id, &[r]), &spec, &types()).unwrap())
            })
            .collect();
        expected.sort();
        let wanted: std::collections::BTreeSet<u32> = (0..6)
            .filter(|s| set.as_ref().is_none_or(|set| set.contains(*s)))
            .map(|s| key_of[s as usize])
            .collect();
        let spec = LastSpec {
            time: range,
            series: set,
            columns: COLUMNS.map(ColumnId).collect(),
            keys: &key_of,
            key_count: keys as usize,
            wanted: wanted.len(),
            order: &|a, b| b.cmp(&a),
            threads,
        };
        for again in 0..2 {
            let stats = ScanStats::default();
            let found = last_rows(&stream, &types(), &spec, &segments, memory.iter().cloned(), &stats, &|| false).unwrap();
            let mut found: Vec<String> = found.iter().flat_map(show).collect();
            found.sort();
            prop_assert_eq!(&found, &expected, "time {}", again);
            let n = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
            prop_assert_eq!(n(&stats.chunks_total), n(&stats.chunks_decoded) + n(&stats.chunks_pruned));
        }
    }
}

#[test]
fn kept_last_rows_decode_nothing_and_older_segments_are_not_looked_at() {
    let (_catalog, stream) = catalog();
    let rows = |from: i64| -> Vec<Row> {
        (0..16 * GROUP_ROWS as i64)
            .map(|i| Row {
                time: from + i,
                series: (i % 10) as u32,
                int: Some(i),
                float: None,
                text: (i % 2 == 0).then(|| i.to_string()),
                decimal: None,
            })
            .collect()
    };
    let (old, new) = (rows(0), rows(1_000_000));
    let (segments, _) = store(&stream, &[&old, &new], 2);
    let ask = |end: i64, series: Option<u32>| {
        let stats = ScanStats::default();
        let spec = LastSpec {
            time: TimeRange {
                start: i64::MIN,
                end,
            },
            series: series.map(|s| Arc::new(SeriesSet::of([s]))),
            columns: COLUMNS.map(ColumnId).collect(),
            keys: &(0..10).collect::<Vec<u32>>(),
            key_count: 10,
            wanted: if series.is_some() { 1 } else { 10 },
            order: &|a, b| a.cmp(&b),
            threads: 2,
        };
        let memory = std::iter::empty();
        let found = last_rows(&stream, &types(), &spec, &segments, memory, &stats, &|| {
            false
        });
        let rows: usize = found.unwrap().iter().map(|b| b.rows).sum();
        (rows, stats.chunks_decoded.load(Ordering::Relaxed))
    };
    // One series of many groups: only the group that it ends in is read.
    assert_eq!(ask(i64::MAX, Some(9)), (1, 2));
    // All groups say where series end; the columns are read where one does. The older segment is not opened.
    let (rows, decoded) = ask(i64::MAX, None);
    assert!(rows == 10 && decoded > 10, "{decoded}");
    assert_eq!(ask(i64::MAX, None), (10, 0));
    assert_eq!(ask(i64::MAX, Some(1)), (1, 0));
    // The newest rows are out of the range: the others are looked for among all.
    let (rows, decoded) = ask(1_000_100, None);
    assert!(rows == 10 && decoded > 0);
}
