//! Reading a snapshot: pruning, then decoding only what is asked for.

mod last;
mod memory;
mod spread;
mod vector;

pub use last::LastSpec;
pub(crate) use last::last_rows;
pub(crate) use memory::scan_batch;
pub(crate) use spread::spread;
pub(crate) use vector::joined;
pub use vector::{Vector, VectorValues};

use crate::Error;
use crate::catalog::{SeriesSet, Stream};
use crate::io::is_damaged;
use crate::segment::Segment;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_types::{Batch, ColumnId, DataType, Schema, TimeRange};

/// A comparison that zone maps can answer "no row here" to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneOp {
    /// Equal.
    Eq,
    /// Less.
    Lt,
    /// Less or equal.
    LtEq,
    /// Greater.
    Gt,
    /// Greater or equal.
    GtEq,
}

/// A constant to compare with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ZoneValue {
    /// For integers, timestamps and booleans.
    Int(i64),
    /// For floats.
    Float(f64),
}

/// `column op value`, known to hold for every row that matters. Rows it does not hold for may still be handed out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZonePredicate {
    /// The field column.
    pub column: ColumnId,
    /// The comparison.
    pub op: ZoneOp,
    /// The constant.
    pub value: ZoneValue,
}

impl ZonePredicate {
    /// Whether any value in `[min, max]` can satisfy the predicate.
    fn may_hold<T: PartialOrd>(op: ZoneOp, min: T, max: T, value: T) -> bool {
        match op {
            ZoneOp::Eq => min <= value && value <= max,
            ZoneOp::Lt => min < value,
            ZoneOp::LtEq => min <= value,
            ZoneOp::Gt => max > value,
            ZoneOp::GtEq => max >= value,
        }
    }

    pub(crate) fn may_hold_int(&self, min: i64, max: i64) -> bool {
        match self.value {
            ZoneValue::Int(v) => Self::may_hold(self.op, min, max, v),
            // Rounding to f64 is monotone, so a range that held the exact value still holds the rounded one, except
            // that a strict bound may round to equality: hence the check on the closed comparison.
            ZoneValue::Float(v) => {
                let op = match self.op {
                    ZoneOp::Lt => ZoneOp::LtEq,
                    ZoneOp::Gt => ZoneOp::GtEq,
                    op => op,
                };
                Self::may_hold(op, min as f64, max as f64, v)
            }
        }
    }

    pub(crate) fn may_hold_float(&self, min: f64, max: f64) -> bool {
        match self.value {
            ZoneValue::Float(v) => Self::may_hold(self.op, min, max, v),
            ZoneValue::Int(_) => true,
        }
    }
}

/// What to read of a stream.
#[derive(Clone, Debug, Default)]
pub struct ScanSpec {
    /// Rows with event times in here; all when `None`.
    pub time: Option<TimeRange>,
    /// Rows of these series; all when `None`.
    pub series: Option<Arc<SeriesSet>>,
    /// Field columns to decode, in the order in which they are wanted.
    pub columns: Vec<ColumnId>,
    /// What lets chunks be skipped.
    pub prune: Vec<ZonePredicate>,
}

/// Rows handed out by a scan, already filtered by time and series.
#[derive(Clone, Debug)]
pub struct ScanBatch {
    /// How many.
    pub rows: usize,
    /// Event times.
    pub time: Vec<i64>,
    /// Series ids.
    pub series: Vec<u32>,
    /// One per column of the spec; `None` where all rows are null.
    pub columns: Vec<Option<Vector>>,
}

/// What a scan did, for `EXPLAIN ANALYZE` and tests. A chunk is one column's run of rows in a segment.
#[derive(Debug, Default)]
pub struct ScanStats {
    /// Chunks of the wanted columns (event time and series counted) in the segments of the stream.
    pub chunks_total: AtomicU64,
    /// Those never read, by time, series or zone map.
    pub chunks_pruned: AtomicU64,
    /// Those decoded.
    pub chunks_decoded: AtomicU64,
    /// Rows handed out.
    pub rows: AtomicU64,
}

impl ScanStats {
    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// One independently readable part of a scan.
enum Part {
    /// A run of row groups of a segment, by their places in its index.
    Segment(Arc<Segment>, std::ops::Range<usize>),
    /// Batches of the head, in log order.
    Memory(Vec<Arc<Batch>>),
}

/// A scan, ready to be read part by part, in any order and by any thread. Parts are in log order of their flushes.
pub struct Scan {
    spec: ScanSpec,
    types: Vec<DataType>,
    parts: Vec<Part>,
    stats: Arc<ScanStats>,
}

/// Rows of the head that one part covers at most, so that threads share the work.
const MEMORY_PART_ROWS: usize = 256 * 1024;
/// Row groups of a segment that one part covers at most.
const SEGMENT_PART_GROUPS: usize = 16;

impl Scan {
    pub(crate) fn new(
        stream: &Stream,
        schema: &Schema,
        spec: ScanSpec,
        segments: &[Arc<Segment>],
        memory: impl Iterator<Item = Arc<Batch>>,
    ) -> Result<Scan, Error> {
        let types = spec
            .columns
            .iter()
            .map(|c| schema.columns[usize::from(c.0)].data_type)
            .collect();
        let stats = Arc::new(ScanStats::default());
        let mut parts = Vec::new();
        for segment in segments {
            let groups = segment.groups(stream.id)?;
            let mut from = groups.start;
            while from < groups.end {
                let to = groups.end.min(from + SEGMENT_PART_GROUPS);
                parts.push(Part::Segment(segment.clone(), from..to));
                from = to;
            }
        }
        let range = spec.time.unwrap_or(TimeRange::ALL);
        let (mut batches, mut rows) = (Vec::new(), 0);
        for batch in memory.filter(|b| b.overlaps(&range)) {
            rows += batch.rows;
            batches.push(batch);
            if rows >= MEMORY_PART_ROWS {
                parts.push(Part::Memory(std::mem::take(&mut batches)));
                rows = 0;
            }
        }
        if !batches.is_empty() {
            parts.push(Part::Memory(batches));
        }
        Ok(Scan {
            spec,
            types,
            parts,
            stats,
        })
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// What has been done so far.
    #[must_use]
    pub fn stats(&self) -> &Arc<ScanStats> {
        &self.stats
    }

    /// Reads one part, handing its rows to `sink` until it breaks.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a chunk whose bytes are not what was written, after the rows before it were handed out.
    pub fn read(
        &self,
        part: usize,
        sink: &mut dyn FnMut(ScanBatch) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let Some(part) = self.parts.get(part) else {
            return Ok(());
        };
        let mut counted = |batch: ScanBatch| {
            ScanStats::add(&self.stats.rows, batch.rows);
            sink(batch)
        };
        match part {
            Part::Segment(segment, groups) => segment.scan(
                groups.clone(),
                &self.spec,
                &self.types,
                &self.stats,
                &mut counted,
            ),
            Part::Memory(batches) => {
                for batch in batches {
                    let rows = scan_batch(batch, &self.spec, &self.types);
                    if batch.buffers().any(|b| is_damaged(b)) {
                        return Err(Error::Corrupt {
                            file: "the log, mapped".into(),
                            what: "rows that are in no segment yet",
                            offset: 0,
                        });
                    }
                    if rows.is_some_and(|rows| counted(rows).is_break()) {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Reads all parts on this thread.
    ///
    /// # Errors
    /// As [`Scan::read`].
    pub fn read_all(
        &self,
        sink: &mut dyn FnMut(ScanBatch) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut stopped = false;
        for part in 0..self.parts() {
            self.read(part, &mut |batch| {
                let flow = sink(batch);
                stopped |= flow.is_break();
                flow
            })?;
            if stopped {
                break;
            }
        }
        Ok(())
    }
}

/// The rows that the spec admits: `None` means all of them.
pub(crate) fn selection(
    time: &[i64],
    series: &[u32],
    spec: &ScanSpec,
    covered: bool,
) -> Option<Vec<u32>> {
    if covered && spec.series.is_none() {
        return None;
    }
    let range = spec.time.unwrap_or(TimeRange::ALL);
    let rows: Vec<u32> = match &spec.series {
        None => (0..time.len() as u32)
            .filter(|i| range.contains(time[*i as usize]))
            .collect(),
        Some(set) => (0..time.len() as u32)
            .filter(|i| set.contains(series[*i as usize]) && range.contains(time[*i as usize]))
            .collect(),
    };
    (rows.len() < time.len()).then_some(rows)
}
