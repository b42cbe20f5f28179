//! The last row of each key of tags: the newest slice of time is read first, and more only while a key is missing.

use super::context::{QueryContext, storage};
use super::exec::{Emit, Leaf, LeafExec};
use super::pushdown::{Pushed, push};
use super::table::RowReader;
use crate::bind::Latest;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tsdb::types::TimeRange;
use tsdb::{Scan, ScanSpec, Snapshot, Stream};

/// The slice of time read first: a minute holds a row of most series that are alive.
const FIRST_SLICE: i64 = 60_000_000_000;
/// Each further slice is so many times longer.
const GROWTH: i64 = 16;

/// The last row of each key of a stream.
pub struct LatestTable {
    context: Arc<QueryContext>,
    stream: Arc<Stream>,
    latest: Latest,
}

impl std::fmt::Debug for LatestTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LatestTable")
            .field("source", &self.latest.source.name)
            .finish()
    }
}

impl LatestTable {
    /// The table, unless the condition asks for more than times and tags.
    #[must_use]
    pub fn new(context: Arc<QueryContext>, stream: Arc<Stream>, latest: Latest) -> Option<Self> {
        let pushed = push(latest.filter.as_ref(), &latest.source, &stream).ok()?;
        (!pushed.other && pushed.zones.is_empty()).then_some(Self {
            context,
            stream,
            latest,
        })
    }
}

#[async_trait]
impl TableProvider for LatestTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.latest.source.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = &self.latest.source;
        let all: Vec<usize> = (0..source.schema.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(source.arrow.project(projection)?);
        let pushed = push(self.latest.filter.as_ref(), source, &self.stream)?;
        let leaf = LatestLeaf {
            reader: RowReader::new(&self.stream, source, projection, Arc::clone(&schema)),
            keys: series_keys(&self.stream, &self.latest),
            snapshot: self.context.snapshot()?.clone(),
            context: Arc::clone(&self.context),
            stream: Arc::clone(&self.stream),
            pushed,
            schema: Arc::clone(&schema),
            threads: state.config().target_partitions(),
        };
        Ok(Arc::new(LeafExec::new(
            "LastRows",
            Arc::new(leaf),
            schema,
            1,
            None,
        )))
    }
}

/// Dense ids of the keys, per series.
struct Keys {
    of_series: Vec<u32>,
    count: usize,
}

fn series_keys(stream: &Stream, latest: &Latest) -> Keys {
    let columns: Vec<_> = latest
        .keys
        .iter()
        .map(|i| {
            stream
                .series()
                .tag_codes(latest.source.schema.columns[*i].id)
        })
        .collect();
    let mut ids: HashMap<Vec<u32>, u32, ahash::RandomState> = HashMap::default();
    let of_series = (0..stream.series().len())
        .map(|s| {
            let codes: Vec<u32> = columns.iter().map(|c| c.code(s)).collect();
            // Ids are bounded by the number of series, which is a u32.
            let next = ids.len() as u32;
            *ids.entry(codes).or_insert(next)
        })
        .collect();
    Keys {
        of_series,
        count: ids.len(),
    }
}

struct LatestLeaf {
    reader: RowReader,
    keys: Keys,
    snapshot: Snapshot,
    context: Arc<QueryContext>,
    stream: Arc<Stream>,
    pushed: Pushed,
    schema: SchemaRef,
    threads: usize,
}

/// Where a key's last row so far stands.
#[derive(Clone, Copy)]
struct Best {
    time: i64,
    part: usize,
    batch: usize,
    row: usize,
}

/// Batches read, and where in them each key's last row stands.
struct Found {
    batches: Vec<RecordBatch>,
    best: Vec<Option<Best>>,
}

impl LatestLeaf {
    /// The last row of each key in a range of time.
    fn read(&self, range: TimeRange, gone: &dyn Fn() -> bool) -> Result<Found> {
        let spec = ScanSpec {
            time: Some(range),
            series: self.pushed.series.clone(),
            columns: self.reader.fields.iter().map(|(_, c)| c.id).collect(),
            prune: Vec::new(),
        };
        let scan = self.snapshot.scan(&self.stream, spec).map_err(storage)?;
        self.context.watch(&self.stream.name, scan.stats());
        let next = AtomicUsize::new(0);
        let others: Mutex<Vec<Result<Found>>> = Mutex::new(Vec::new());
        let mine = std::thread::scope(|scope| {
            for _ in 1..self.threads.min(scan.parts()) {
                scope.spawn(|| {
                    let found = self.read_parts(&scan, &next, &|| false);
                    others.lock().push(found);
                });
            }
            self.read_parts(&scan, &next, gone)
        });
        let mut all = mine?;
        for other in others.into_inner() {
            let other = other?;
            let moved = all.batches.len();
            all.batches.extend(other.batches);
            for (mine, theirs) in all.best.iter_mut().zip(other.best) {
                let theirs = theirs.map(|b| Best {
                    batch: b.batch + moved,
                    ..b
                });
                *mine = match (*mine, theirs) {
                    (Some(a), Some(b)) => Some(if (b.time, b.part) > (a.time, a.part) {
                        b
                    } else {
                        a
                    }),
                    (a, b) => a.or(b),
                };
            }
        }
        Ok(all)
    }

    /// Reads parts, in ascending order, until none is left.
    fn read_parts(
        &self,
        scan: &Scan,
        next: &AtomicUsize,
        gone: &dyn Fn() -> bool,
    ) -> Result<Found> {
        let mut found = Found {
            batches: Vec::new(),
            best: vec![None; self.keys.count],
        };
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= scan.parts() || gone() {
                return Ok(found);
            }
            let mut failed = None;
            scan.read(part, &mut |rows| {
                let mut wanted = false;
                for (row, (time, series)) in rows.time.iter().zip(&rows.series).enumerate() {
                    // Series that came after the snapshot have no row in it.
                    let Some(key) = self.keys.of_series.get(*series as usize) else {
                        continue;
                    };
                    let slot = &mut found.best[*key as usize];
                    // Of rows with one time the one later in the log stands: parts and rows come in its order.
                    if slot.is_none_or(|b| b.time <= *time) {
                        *slot = Some(Best {
                            time: *time,
                            part,
                            batch: found.batches.len(),
                            row,
                        });
                        wanted = true;
                    }
                }
                if wanted {
                    match self.reader.read(rows) {
                        Ok(batch) => found.batches.push(batch),
                        Err(e) => {
                            failed = Some(e);
                            return ControlFlow::Break(());
                        }
                    }
                }
                if gone() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .map_err(storage)?;
            if let Some(e) = failed {
                return Err(e);
            }
        }
    }
}

impl Leaf for LatestLeaf {
    fn describe(&self) -> String {
        format!("{}, {} keys", self.stream.name, self.keys.count)
    }

    fn run(&self, _: usize, emit: Emit<'_>, gone: &dyn Fn() -> bool) -> Result<()> {
        let Some((first, last)) = self.snapshot.time_bounds(self.stream.id) else {
            return Ok(());
        };
        let asked = self.pushed.time.unwrap_or(TimeRange::ALL);
        // Rows that claim to be of the far future would make the first slice useless, never wrong.
        let newest = if asked.end == i64::MAX {
            last
        } else {
            last.min(asked.end - 1)
        };
        let oldest = first.max(asked.start);
        let wanted = match &self.pushed.series {
            None => self.keys.count,
            Some(set) => {
                let mut keys: Vec<u32> = set
                    .iter()
                    .filter_map(|s| self.keys.of_series.get(s as usize).copied())
                    .collect();
                keys.sort_unstable();
                keys.dedup();
                keys.len()
            }
        };
        let mut slice = FIRST_SLICE;
        loop {
            let start = newest.saturating_sub(slice).max(oldest);
            let range = TimeRange {
                start,
                end: asked.end,
            };
            let Found { batches, best } = self.read(range, gone)?;
            if gone() {
                return Ok(());
            }
            let found: Vec<(usize, usize)> =
                best.iter().flatten().map(|b| (b.batch, b.row)).collect();
            if found.len() >= wanted || start <= oldest {
                if !found.is_empty() {
                    let refs: Vec<&RecordBatch> = batches.iter().collect();
                    let rows = match self.schema.fields().is_empty() {
                        true => batches[0].slice(0, 0),
                        false => interleave_record_batch(&refs, &found)?,
                    };
                    // What the consumer does with the rows afterwards is its own affair.
                    let _ = emit(rows);
                }
                return Ok(());
            }
            slice = slice.saturating_mul(GROWTH);
        }
    }
}
