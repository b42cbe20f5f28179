//! The last row of each series in a segment, found once and kept.
//!
//! Row groups lie in order of series, so each spans all of its partition's time: without this, the last rows of a
//! thousand series mean decoding every chunk. What is kept never changes, as the segment does not; columns are added
//! when they are first wanted. A bound on the bytes of all of it holds for the whole process.

use super::index::{Group, SERIES, TIME};
use super::read::{Opened, Segment, wanted_chunks};
use crate::Error;
use crate::scan::{ScanStats, Vector, joined, spread};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::sync::{Arc, LazyLock};
use tsdb_types::{ColumnId, DataType, StreamId};

/// Bytes that the last rows of all segments may take together.
const BUDGET: usize = 64 << 20;

/// The last row of each series of one stream in one segment, in order of their places.
#[derive(Debug, Default)]
pub(crate) struct SeriesEnds {
    /// The series; each is here once.
    pub series: Vec<u32>,
    /// Their event times.
    pub time: Vec<i64>,
    /// Their places: row groups, and rows in them.
    groups: Vec<(usize, Vec<u32>)>,
    columns: Mutex<HashMap<ColumnId, Option<Arc<Vector>>>>,
}

/// Where a row group lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupBounds {
    /// Its place in the index.
    pub group: usize,
    pub min_time: i64,
    pub max_time: i64,
    /// Least and greatest series.
    pub series: (u32, u32),
}

impl SeriesEnds {
    fn bytes(&self) -> usize {
        self.series.len() * 16 + self.groups.len() * 48 + 128
    }
}

impl Segment {
    /// Whether a stream's last rows are at hand.
    pub(crate) fn ends_are_kept(&self, stream: StreamId) -> bool {
        CACHE.get(self.uid, stream).is_some()
    }

    /// Where each row group of a stream lies in time and among the series.
    pub(crate) fn bounds(&self, stream: StreamId) -> Result<Vec<GroupBounds>, Error> {
        let groups = self.groups(stream)?;
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let all = &self.open()?.groups;
        Ok(groups
            .map(|g| GroupBounds {
                group: g,
                max_time: all[g].max_time,
                min_time: all[g].min_time,
                series: (all[g].min_series, all[g].max_series),
            })
            .collect())
    }

    /// Event times and series of a row group.
    pub(crate) fn group_keys(
        &self,
        group: usize,
        columns: &[ColumnId],
        stats: &ScanStats,
    ) -> Result<(Vec<i64>, Vec<u32>), Error> {
        let opened = self.open()?;
        let group = &opened.groups[group];
        ScanStats::add(&stats.chunks_total, wanted_chunks(group, columns));
        self.read_keys(opened, group, stats)
    }

    /// Field columns of some rows of a row group; `None` where all rows of the group are null.
    pub(crate) fn group_columns(
        &self,
        group: usize,
        columns: &[(ColumnId, DataType)],
        rows: &[u32],
        stats: &ScanStats,
    ) -> Result<Vec<Option<Vector>>, Error> {
        let opened = self.open()?;
        let columns = columns.iter().copied();
        self.read_columns(opened, &opened.groups[group], columns, Some(rows), stats)
    }

    /// How many chunks of a stream hold the columns, event times and series.
    pub(crate) fn chunks(&self, stream: StreamId, columns: &[ColumnId]) -> Result<usize, Error> {
        let groups = self.groups(stream)?;
        let all = &self.open()?.groups;
        Ok(all[groups].iter().map(|g| wanted_chunks(g, columns)).sum())
    }

    /// The last row of each series of a stream.
    pub(crate) fn ends(
        &self,
        stream: StreamId,
        stats: &ScanStats,
    ) -> Result<Arc<SeriesEnds>, Error> {
        if let Some(kept) = CACHE.get(self.uid, stream) {
            return Ok(kept);
        }
        let _one_at_a_time = self.finding_ends.lock();
        if let Some(kept) = CACHE.get(self.uid, stream) {
            return Ok(kept);
        }
        let found = Arc::new(self.find_ends(stream, stats)?);
        CACHE.put(self.uid, stream, &found, found.bytes());
        Ok(found)
    }

    /// Reads groups from the last to the first: what a later one has of a series hides what an earlier one has, since
    /// groups are in order of partition, then series, then time.
    fn find_ends(&self, stream: StreamId, stats: &ScanStats) -> Result<SeriesEnds, Error> {
        let opened = self.open()?;
        let mut seen: HashSet<u32, ahash::RandomState> = HashSet::default();
        let mut ends = Vec::new();
        for g in self.groups(stream)?.rev() {
            let group = &opened.groups[g];
            let width = group.max_series.saturating_sub(group.min_series);
            if width < group.rows
                && (group.min_series..=group.max_series).all(|s| seen.contains(&s))
            {
                continue;
            }
            let mut rows = self.run_ends(opened, group, stats)?;
            rows.retain(|(series, _)| seen.insert(*series));
            if rows.is_empty() {
                continue;
            }
            let times = match rows.as_slice() {
                // The rows of the group's only series are in order of time.
                [_] if width == 0 => vec![group.max_time],
                _ => {
                    let all = self.key_column(opened, group, TIME, stats)?;
                    rows.iter().map(|(_, r)| all[*r as usize]).collect()
                }
            };
            ends.push((g, rows, times));
        }
        let mut out = SeriesEnds::default();
        for (g, rows, times) in ends.into_iter().rev() {
            out.series.extend(rows.iter().map(|(s, _)| *s));
            out.time.extend(times);
            out.groups
                .push((g, rows.into_iter().map(|(_, r)| r).collect()));
        }
        Ok(out)
    }

    /// Each series of a group with its last row.
    fn run_ends(
        &self,
        opened: &Opened,
        group: &Group,
        stats: &ScanStats,
    ) -> Result<Vec<(u32, u32)>, Error> {
        let last = group.rows - 1;
        if group.min_series == group.max_series {
            return Ok(vec![(group.min_series, last)]);
        }
        let series = self.key_column(opened, group, SERIES, stats)?;
        Ok((0..group.rows)
            .filter(|r| *r == last || series[*r as usize] != series[*r as usize + 1])
            .map(|r| (series[r as usize] as u32, r))
            .collect())
    }

    /// Field columns of the last rows; `None` where all are null.
    pub(crate) fn end_columns(
        &self,
        stream: StreamId,
        ends: &SeriesEnds,
        columns: &[(ColumnId, DataType)],
        threads: usize,
        stats: &ScanStats,
    ) -> Result<Vec<Option<Arc<Vector>>>, Error> {
        let mut kept = ends.columns.lock();
        let missing: Vec<(ColumnId, DataType)> = columns
            .iter()
            .filter(|(id, _)| !kept.contains_key(id))
            .copied()
            .collect();
        if !missing.is_empty() {
            let opened = self.open()?;
            let parts = spread(ends.groups.len(), threads, |i| {
                let (g, rows) = &ends.groups[i];
                let wanted = missing.iter().copied();
                self.read_columns(opened, &opened.groups[*g], wanted, Some(rows), stats)
            })?;
            let mut bytes = 0;
            let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
            for (id, _) in &missing {
                let of_groups = parts
                    .iter_mut()
                    .zip(&ends.groups)
                    .map(|(columns, (_, rows))| (rows.len(), columns.next().flatten()));
                let column = joined(of_groups).map(Arc::new);
                bytes += column.as_ref().map_or(0, |c| c.byte_len());
                kept.insert(*id, column);
            }
            CACHE.grow(self.uid, stream, bytes);
        }
        Ok(columns
            .iter()
            .map(|(id, _)| kept.get(id).cloned().flatten())
            .collect())
    }

    /// Lets go of what is kept of the segment.
    pub(super) fn forget_ends(&self) {
        CACHE.forget(self.uid, &self.meta.streams);
    }
}

static CACHE: LazyLock<Cache> = LazyLock::new(|| Cache::new(BUDGET));

/// What is kept, least recently used first to go.
struct Cache {
    budget: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<(u64, StreamId), Entry, ahash::RandomState>,
    bytes: usize,
    uses: u64,
}

struct Entry {
    ends: Arc<SeriesEnds>,
    bytes: usize,
    used: u64,
}

impl Cache {
    fn new(budget: usize) -> Cache {
        Cache {
            budget,
            kept: Mutex::default(),
        }
    }

    fn get(&self, segment: u64, stream: StreamId) -> Option<Arc<SeriesEnds>> {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let now = kept.uses;
        let entry = kept.entries.get_mut(&(segment, stream))?;
        entry.used = now;
        Some(entry.ends.clone())
    }

    fn put(&self, segment: u64, stream: StreamId, ends: &Arc<SeriesEnds>, bytes: usize) {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let entry = Entry {
            ends: ends.clone(),
            bytes,
            used: kept.uses,
        };
        kept.bytes += bytes;
        if let Some(old) = kept.entries.insert((segment, stream), entry) {
            kept.bytes -= old.bytes;
        }
        self.shrink(&mut kept);
    }

    /// Counts columns that an entry has been given.
    fn grow(&self, segment: u64, stream: StreamId, bytes: usize) {
        let mut kept = self.kept.lock();
        let Some(entry) = kept.entries.get_mut(&(segment, stream)) else {
            return;
        };
        entry.bytes += bytes;
        kept.bytes += bytes;
        self.shrink(&mut kept);
    }

    fn forget(&self, segment: u64, streams: &[super::StreamRows]) {
        let mut kept = self.kept.lock();
        for s in streams {
            if let Some(old) = kept.entries.remove(&(segment, s.stream)) {
                kept.bytes -= old.bytes;
            }
        }
    }

    fn shrink(&self, kept: &mut Kept) {
        while kept.bytes > self.budget {
            let oldest = kept.entries.iter().min_by_key(|(_, e)| e.used);
            let Some(key) = oldest.map(|(key, _)| *key) else {
                return;
            };
            if let Some(old) = kept.entries.remove(&key) {
                kept.bytes -= old.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_keeps_to_its_budget_and_drops_what_was_used_longest_ago() {
        let cache = Cache::new(100);
        let ends = Arc::new(SeriesEnds::default());
        let at = StreamId(1);
        cache.put(1, at, &ends, 40);
        cache.put(2, at, &ends, 40);
        assert!(cache.get(1, at).is_some());
        cache.put(3, at, &ends, 40);
        assert!(cache.get(2, at).is_none() && cache.get(1, at).is_some());
        // Columns count too, and what outgrows the budget alone is not kept at all.
        cache.grow(3, at, 25);
        assert!(cache.get(1, at).is_some() && cache.get(3, at).is_none());
        cache.grow(3, at, 1000);
        cache.grow(1, at, 61);
        assert!(cache.get(1, at).is_none());
        assert_eq!(cache.kept.lock().bytes, 0);
        cache.put(4, at, &ends, 10);
        let rows = super::super::StreamRows {
            stream: at,
            rows: 1,
            min_time: 0,
            max_time: 0,
            bytes: 1,
        };
        cache.forget(4, &[rows]);
        assert_eq!(cache.kept.lock().bytes, 0);
    }
}
