//! What is visible: one immutable version at a time, shared with whoever reads.

use crate::catalog::{Catalog, Stream};
use crate::head::Head;
use crate::ledger::{DatedKey, Entries};
use crate::scan::{LastSpec, Scan, ScanBatch, ScanSpec, ScanStats, last_rows};
use crate::segment::Segment;
use crate::{CommitObserver, Error};
use hashbrown::HashMap;
use std::sync::Arc;
use tsdb_types::{ColumnId, DataType, Lsn, StreamId, TimeRange};

pub(crate) type Heads = HashMap<StreamId, Arc<Head>, ahash::RandomState>;

/// Everything a reader needs. Cloning is a handful of reference counts; a commit copies the map of heads only while
/// a snapshot holds it.
#[derive(Clone, Default)]
pub(crate) struct Version {
    pub(crate) lsn: Lsn,
    /// The wall time of that commit; what is expired by it is not shown.
    pub(crate) wall_ns: i64,
    /// Rows not being flushed.
    pub(crate) heads: Arc<Heads>,
    /// Rows being flushed; older than those in `heads`, newer than those in segments.
    pub(crate) frozen: Arc<Heads>,
    /// In order of their flushes.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
}

/// The current version and who is told of the next; one lock guards both, so that a barrier falls exactly between two
/// commits for all followers.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) version: Version,
    pub(crate) observers: Vec<Arc<dyn CommitObserver>>,
    /// Catalog entries that are in the log but in no catalog file yet.
    pub(crate) catalog_log: Vec<u8>,
    /// Keys of requests that are in the log but in no ledger file yet.
    pub(crate) new_keys: Vec<DatedKey>,
    /// Whether a source's position is in the log but in no ledger file yet.
    pub(crate) moved: bool,
}

impl Published {
    /// Notes what the next flush must save of sources and keys.
    pub(crate) fn note_taken(&mut self, taken: &Entries, commit: &crate::Commit) {
        self.moved |= !taken.advances.is_empty();
        let keys = taken.keys.iter();
        self.new_keys
            .extend(keys.map(|k| (commit.lsn, commit.wall_ns, k.clone())));
    }

    /// Puts a commit's rows into the head, and gives the bytes by which the head has grown (it shrinks when small
    /// batches are merged).
    pub(crate) fn add(&mut self, catalog: &Catalog, commit: &crate::Commit) -> i64 {
        let mut grown = 0;
        let heads = Arc::make_mut(&mut self.version.heads);
        for batch in &commit.batches {
            // Rows of a stream that was dropped after they were accepted are gone with it.
            let Some(stream) = catalog.stream_by_id(batch.stream) else {
                continue;
            };
            let schema = stream.schema();
            let type_of = |id: tsdb_types::ColumnId| {
                schema
                    .columns
                    .get(usize::from(id.0))
                    .map_or(DataType::Int64, |c| c.data_type)
            };
            stream.note_rows(batch.max_time, commit.wall_ns, |bound| {
                let times = (0..batch.rows).map(|i| batch.time.i64_at(i));
                times.filter(|t| *t <= bound).max()
            });
            let head = Arc::make_mut(heads.entry(batch.stream).or_default());
            let before = head.bytes;
            head.push(batch.clone(), &type_of);
            grown += head.bytes as i64 - before as i64;
        }
        self.version.lsn = commit.lsn;
        self.version.wall_ns = self.version.wall_ns.max(commit.wall_ns);
        grown
    }
}

/// The database as of one LSN: rows committed later are not in it, whatever happens meanwhile.
#[derive(Clone)]
pub struct Snapshot {
    version: Version,
    catalog: Arc<Catalog>,
}

impl Snapshot {
    pub(crate) fn new(version: Version, catalog: Arc<Catalog>) -> Snapshot {
        Snapshot { version, catalog }
    }

    /// The last commit that is in it.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.version.lsn
    }

    /// The catalog; it is not versioned, and may know streams and columns that came later.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    fn memory(&self, stream: StreamId) -> impl Iterator<Item = &Arc<Head>> {
        [&self.version.frozen, &self.version.heads]
            .into_iter()
            .filter_map(move |h| h.get(&stream))
    }

    /// Rows of a stream.
    #[must_use]
    pub fn row_count(&self, stream: StreamId) -> u64 {
        let stored = self
            .version
            .segments
            .iter()
            .flat_map(|s| &s.meta.streams)
            .filter(|s| s.stream == stream);
        stored.map(|s| s.rows).sum::<u64>() + self.memory(stream).map(|h| h.rows).sum::<u64>()
    }

    /// Least and greatest event time of a stream; `None` when it has no row.
    #[must_use]
    pub fn time_bounds(&self, stream: StreamId) -> Option<(i64, i64)> {
        let stored = self
            .version
            .segments
            .iter()
            .flat_map(|s| &s.meta.streams)
            .filter(|s| s.stream == stream);
        let stored = stored.map(|s| (s.min_time, s.max_time));
        let memory = self.memory(stream).flat_map(|h| {
            h.batches()
                .map(|b| (b.min_time, b.max_time))
                .collect::<Vec<_>>()
        });
        stored
            .chain(memory)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// The part of a range of time whose rows the stream's retention keeps.
    fn kept(&self, stream: &Stream, time: TimeRange) -> TimeRange {
        let start = stream.expired_before(self.version.wall_ns).max(time.start);
        TimeRange {
            start: start.min(time.end),
            ..time
        }
    }

    /// Prepares to read a stream. Rows that its retention no longer keeps are not among them, whether their segments are
    /// still there or not.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when a segment's index can't be read.
    pub fn scan(&self, stream: &Stream, spec: ScanSpec) -> Result<Scan, Error> {
        types_of(stream, &spec.columns)?;
        let spec = ScanSpec {
            time: match (spec.time, stream.options.retention_ns) {
                (time, None) => time,
                (time, Some(_)) => Some(self.kept(stream, time.unwrap_or(TimeRange::ALL))),
            },
            ..spec
        };
        let memory = self.memory(stream.id).flat_map(|h| h.batches());
        Scan::new(
            stream,
            &stream.schema(),
            spec,
            &self.version.segments,
            memory,
        )
    }

    /// The last row of each key of a stream, in no order. `gone` tells whether nobody waits for them any more; then
    /// there are none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when a part of a segment that is needed can't be read.
    pub fn last_rows(
        &self,
        stream: &Stream,
        spec: &LastSpec<'_>,
        stats: &ScanStats,
        gone: &dyn Fn() -> bool,
    ) -> Result<Vec<ScanBatch>, Error> {
        let types = types_of(stream, &spec.columns)?;
        let spec = &LastSpec {
            time: self.kept(stream, spec.time),
            series: spec.series.clone(),
            columns: spec.columns.clone(),
            ..*spec
        };
        let memory = self.memory(stream.id).flat_map(|h| h.batches());
        let segments = &self.version.segments;
        last_rows(stream, &types, spec, segments, memory, stats, gone)
    }
}

/// The types of field columns.
fn types_of(stream: &Stream, columns: &[ColumnId]) -> Result<Vec<DataType>, Error> {
    let schema = stream.schema();
    columns
        .iter()
        .map(|c| match schema.columns.get(usize::from(c.0)) {
            Some(def) => Ok(def.data_type),
            None => Err(Error::InvalidDefinition(format!(
                "stream \"{}\" has no such column",
                stream.name
            ))),
        })
        .collect()
}
