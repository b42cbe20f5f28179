//! The last row of each key.
//!
//! Sources are batches of the head, segments whose series' last rows are kept, and row groups of other segments. They
//! are looked at in descending order of their greatest time, and no further once every key has a row that is later than
//! all that is left. Only then columns are read, and only for the rows that stand.

use super::{ScanBatch, ScanStats, Vector, spread};
use crate::Error;
use crate::catalog::{SeriesSet, Stream};
use crate::segment::{GroupBounds, Segment, SeriesEnds};
use std::cmp::{Ordering, Reverse};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tsdb_types::{Batch, ColumnId, DataType, TimeRange};

/// Whose last rows are asked for.
pub struct LastSpec<'a> {
    /// Rows with event times in here.
    pub time: TimeRange,
    /// Rows of these series; all when `None`.
    pub series: Option<Arc<SeriesSet>>,
    /// Field columns, in the order in which they are wanted.
    pub columns: Vec<ColumnId>,
    /// The key of each series, by its id; a series past the end has no key, and no row that matters.
    pub keys: &'a [u32],
    /// Keys are below this.
    pub key_count: usize,
    /// How many of the keys the series have; once so many are found, older rows are not read.
    pub wanted: usize,
    /// Of rows of one key and time but different series, those of the greatest stand: how two series compare. Of rows
    /// of one series and time the last in the log stands.
    pub order: &'a dyn Fn(u32, u32) -> Ordering,
    /// Threads to decode with.
    pub threads: usize,
}

/// Where rows come from. Those of one series and time are in log order, within a source and from source to source.
enum Source<'a> {
    Group(&'a Segment, GroupBounds),
    Ends(&'a Segment),
    Memory(Arc<Batch>),
}

/// Where a key's last row so far stands.
#[derive(Clone, Copy)]
struct Best {
    time: i64,
    series: u32,
    source: u32,
    row: u32,
}

/// Segments and batches come in log order. Returns early, with no rows, when `gone` says that nobody waits any more.
pub(crate) fn last_rows(
    stream: &Stream,
    types: &[DataType],
    spec: &LastSpec<'_>,
    segments: &[Arc<Segment>],
    memory: impl Iterator<Item = Arc<Batch>>,
    stats: &ScanStats,
    gone: &dyn Fn() -> bool,
) -> Result<Vec<ScanBatch>, Error> {
    let mut search = Search {
        spec,
        stream,
        stats,
        sources: Vec::new(),
        ends: Vec::new(),
        best: vec![None; spec.key_count],
        found: 0,
        least: i64::MIN,
        seen: 0,
    };
    for segment in segments {
        search.add_segment(segment)?;
    }
    for batch in memory.filter(|b| b.overlaps(&spec.time)) {
        search.sources.push((batch.max_time, Source::Memory(batch)));
    }
    let mut order: Vec<usize> = (0..search.sources.len()).collect();
    order.sort_by_key(|i| Reverse((search.sources[*i].0, *i)));
    for i in order {
        if search.is_done(search.sources[i].0) {
            break;
        }
        if gone() {
            return Ok(Vec::new());
        }
        search.look(i)?;
    }
    let rows = search.rows(types, gone)?;
    let count = |n: &AtomicU64| n.load(Relaxed) as usize;
    let unread = count(&stats.chunks_total).saturating_sub(count(&stats.chunks_decoded));
    ScanStats::add(&stats.chunks_pruned, unread);
    Ok(rows)
}

struct Search<'a> {
    spec: &'a LastSpec<'a>,
    stream: &'a Stream,
    stats: &'a ScanStats,
    /// With the greatest time of each, in log order.
    sources: Vec<(i64, Source<'a>)>,
    /// What [`Source::Ends`] were found to hold, by source.
    ends: Vec<(u32, Arc<SeriesEnds>)>,
    best: Vec<Option<Best>>,
    found: usize,
    /// No key's best time is below it; only of use once all are found.
    least: i64,
    /// Rows looked at since `least` was computed.
    seen: usize,
}

impl<'a> Search<'a> {
    fn add_segment(&mut self, segment: &'a Arc<Segment>) -> Result<(), Error> {
        let (stream, range) = (self.stream.id, self.spec.time);
        let Some(rows) = segment.meta.streams.iter().find(|s| s.stream == stream) else {
            return Ok(());
        };
        if !range.overlaps(rows.min_time, rows.max_time) {
            return Ok(());
        }
        // What is kept are the last rows of all time, so they must all lie before the range's end.
        let whole = range.contains(rows.max_time);
        let few_series = u64::from(self.stream.series().len()) * 8 <= rows.rows;
        if whole && few_series && self.spec.series.is_none() {
            self.sources.push((rows.max_time, Source::Ends(segment)));
            return Ok(());
        }
        let mut groups = segment.bounds(stream)?;
        let all = groups.len();
        groups.retain(|g| {
            let set = self.spec.series.as_ref();
            range.overlaps(g.min_time, g.max_time)
                && set.is_none_or(|s| s.intersects(g.series.0, g.series.1))
        });
        // A few groups are sooner read than the ends of all series found, unless those are at hand.
        if whole && few_series && (groups.len() * 4 >= all || segment.ends_are_kept(stream)) {
            self.sources.push((rows.max_time, Source::Ends(segment)));
            return Ok(());
        }
        for g in groups {
            self.sources.push((g.max_time, Source::Group(segment, g)));
        }
        Ok(())
    }

    /// Whether no source whose greatest time is `next` can have a row that stands.
    fn is_done(&mut self, next: i64) -> bool {
        if self.found < self.spec.wanted || self.spec.wanted == 0 {
            return self.spec.wanted == 0;
        }
        // Finding the least costs a look at every key, so it is not done more often than rows are looked at.
        if next >= self.least && self.seen >= self.best.len() {
            self.seen = 0;
            let times = self.best.iter().flatten().map(|b| b.time);
            self.least = times.min().unwrap_or(i64::MIN);
        }
        next < self.least
    }

    fn look(&mut self, i: usize) -> Result<(), Error> {
        let source = i as u32;
        match &self.sources[i].1 {
            Source::Memory(batch) => {
                let batch = batch.clone();
                let (mut time, mut wide) = (Vec::new(), Vec::new());
                batch.time.extend_i64(batch.rows, &mut time);
                batch.series.extend_i64(batch.rows, &mut wide);
                let covered = self.spec.time.covers(batch.min_time, batch.max_time);
                let series = wide.into_iter().map(|s| s as u32);
                self.offer(source, &time, series, covered);
            }
            Source::Ends(segment) => {
                let chunks = segment.chunks(self.stream.id, &self.spec.columns)?;
                ScanStats::add(&self.stats.chunks_total, chunks);
                let ends = segment.ends(self.stream.id, self.stats)?;
                let series = ends.series.iter().copied();
                self.offer(source, &ends.time, series, false);
                self.ends.push((source, ends));
            }
            Source::Group(segment, bounds) => {
                if self.is_behind(bounds) {
                    return Ok(());
                }
                let covered = self.spec.time.covers(bounds.min_time, bounds.max_time);
                let (time, series) =
                    segment.group_keys(bounds.group, &self.spec.columns, self.stats)?;
                self.offer(source, &time, series.into_iter(), covered);
            }
        }
        Ok(())
    }

    /// Whether every series that a group may hold has a later row already.
    fn is_behind(&self, bounds: &GroupBounds) -> bool {
        let (min, max) = bounds.series;
        let wanted = |s: &u32| self.spec.series.as_ref().is_none_or(|set| set.contains(*s));
        let later = |s: u32| match self.spec.keys.get(s as usize) {
            Some(key) => self.best[*key as usize].is_some_and(|b| b.time > bounds.max_time),
            None => true,
        };
        // A group has no more series than rows; a wider range is one of few series far apart.
        max - min < crate::segment::GROUP_ROWS as u32 && (min..=max).filter(wanted).all(later)
    }

    /// Rows of one source, those of one series and time in log order.
    fn offer(
        &mut self,
        source: u32,
        time: &[i64],
        series: impl Iterator<Item = u32>,
        covered: bool,
    ) {
        self.seen += time.len();
        for (row, (t, s)) in time.iter().zip(series).enumerate() {
            if !covered && !self.spec.time.contains(*t) {
                continue;
            }
            if self
                .spec
                .series
                .as_ref()
                .is_some_and(|set| !set.contains(s))
            {
                continue;
            }
            let Some(key) = self.spec.keys.get(s as usize) else {
                continue;
            };
            let slot = &mut self.best[*key as usize];
            let better = match slot {
                None => {
                    self.found += 1;
                    true
                }
                Some(b) if b.time != *t => *t > b.time,
                Some(b) if b.series == s => source >= b.source,
                Some(b) => (self.spec.order)(s, b.series).is_gt(),
            };
            if better {
                *slot = Some(Best {
                    time: *t,
                    series: s,
                    source,
                    // A source has at most 16 Mi rows.
                    row: row as u32,
                });
            }
        }
    }

    /// The rows that stand, source by source.
    fn rows(&self, types: &[DataType], gone: &dyn Fn() -> bool) -> Result<Vec<ScanBatch>, Error> {
        let mut standing: Vec<Best> = self.best.iter().flatten().copied().collect();
        standing.sort_unstable_by_key(|b| (b.source, b.row));
        let of_source: Vec<&[Best]> = standing.chunk_by(|a, b| a.source == b.source).collect();
        let columns: Vec<(ColumnId, DataType)> = self
            .spec
            .columns
            .iter()
            .copied()
            .zip(types.iter().copied())
            .collect();
        // The ends of a segment are read by many threads, its groups by one each.
        let mut out = Vec::with_capacity(of_source.len());
        let mut groups = Vec::new();
        for best in of_source {
            let rows: Vec<u32> = best.iter().map(|b| b.row).collect();
            match &self.sources[best[0].source as usize].1 {
                Source::Memory(batch) => out.push(gathered(
                    best,
                    columns
                        .iter()
                        .map(|(id, t)| Some(Vector::from_rows(batch.column(*id)?, &rows, *t)))
                        .collect(),
                )),
                Source::Ends(segment) => {
                    if gone() {
                        return Ok(Vec::new());
                    }
                    let Some((_, ends)) = self.ends.iter().find(|e| e.0 == best[0].source) else {
                        continue;
                    };
                    let all = segment.end_columns(
                        self.stream.id,
                        ends,
                        &columns,
                        self.spec.threads,
                        self.stats,
                    )?;
                    let columns = all.iter().map(|c| Some(c.as_ref()?.select(&rows)));
                    out.push(gathered(best, columns.collect()));
                }
                Source::Group(segment, bounds) => groups.push((*segment, bounds.group, best, rows)),
            }
        }
        if gone() {
            return Ok(Vec::new());
        }
        out.extend(spread(groups.len(), self.spec.threads, |i| {
            let (segment, group, best, rows) = &groups[i];
            let columns = segment.group_columns(*group, &columns, rows, self.stats)?;
            Ok(gathered(best, columns))
        })?);
        ScanStats::add(&self.stats.rows, standing.len());
        Ok(out)
    }
}

fn gathered(best: &[Best], columns: Vec<Option<Vector>>) -> ScanBatch {
    ScanBatch {
        rows: best.len(),
        time: best.iter().map(|b| b.time).collect(),
        series: best.iter().map(|b| b.series).collect(),
        columns,
    }
}
