//! The order of rows in a segment.

use std::sync::Arc;
use tsdb_types::Batch;

/// Event times and series of rows in log order, and the places of those rows in segment order.
pub(crate) struct Sorted {
    pub time: Vec<i64>,
    pub series: Vec<u32>,
    /// Row numbers (in log order) by (partition, series, time, log order).
    pub order: Vec<u32>,
    /// Where in `order` each partition begins.
    pub partitions: Vec<usize>,
}

/// Above this many (partition, series) pairs a comparison sort takes over from counting.
const COUNTING_LIMIT: usize = 1 << 22;

/// Sorts rows of one stream; at most `u32::MAX` of them.
pub(crate) fn sort(batches: &[Arc<Batch>], partition_ns: i64) -> Sorted {
    let rows = batches.iter().map(|b| b.rows).sum();
    let (mut time, mut wide) = (Vec::with_capacity(rows), Vec::new());
    let mut series: Vec<u32> = Vec::with_capacity(rows);
    for batch in batches {
        batch.time.extend_i64(batch.rows, &mut time);
        wide.clear();
        batch.series.extend_i64(batch.rows, &mut wide);
        series.extend(wide.iter().map(|s| *s as u32));
    }
    let first = time.iter().min().map_or(0, |t| t.div_euclid(partition_ns));
    let last = time.iter().max().map_or(0, |t| t.div_euclid(partition_ns));
    let width = series.iter().max().map_or(1, |s| *s as usize + 1);
    let slots = usize::try_from(last.saturating_sub(first))
        .ok()
        .and_then(|p| p.checked_add(1)?.checked_mul(width));
    let order = match slots {
        Some(slots) if slots <= COUNTING_LIMIT => {
            counted(&time, &series, first, partition_ns, width, slots)
        }
        _ => {
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.sort_by_key(|r| {
                let (t, s) = (time[*r as usize], series[*r as usize]);
                (t.div_euclid(partition_ns), s, t)
            });
            order
        }
    };
    let mut partitions = Vec::new();
    if first == last {
        partitions.push(0);
    } else {
        let mut previous = None;
        for (i, r) in order.iter().enumerate() {
            let partition = time[*r as usize].div_euclid(partition_ns);
            if previous.replace(partition) != Some(partition) {
                partitions.push(i);
            }
        }
    }
    Sorted {
        time,
        series,
        order,
        partitions,
    }
}

/// A stable counting sort by (partition, series); rows of one slot are then in log order, and are sorted by time where
/// they did not come in order of time.
fn counted(
    time: &[i64],
    series: &[u32],
    first: i64,
    partition_ns: i64,
    width: usize,
    slots: usize,
) -> Vec<u32> {
    let slot = |r: usize| {
        let partition = if slots == width {
            0
        } else {
            (time[r].div_euclid(partition_ns) - first) as usize
        };
        partition * width + series[r] as usize
    };
    let mut starts = vec![0u32; slots + 1];
    for r in 0..time.len() {
        starts[slot(r) + 1] += 1;
    }
    for i in 0..slots {
        starts[i + 1] += starts[i];
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; time.len()];
    for r in 0..time.len() {
        let place = &mut next[slot(r)];
        order[*place as usize] = r as u32;
        *place += 1;
    }
    for w in starts.windows(2) {
        let run = &mut order[w[0] as usize..w[1] as usize];
        if !run.is_sorted_by_key(|r| time[*r as usize]) {
            run.sort_by_key(|r| time[*r as usize]);
        }
    }
    order
}
