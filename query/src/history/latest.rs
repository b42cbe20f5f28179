//! The last row of each key of tags, as storage finds them.

use super::context::{QueryContext, storage};
use super::exec::{Emit, Leaf, LeafExec};
use super::pushdown::{Pushed, push};
use super::table::{RowReader, flush};
use crate::bind::Latest;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use hashbrown::HashMap;
use std::cmp::Ordering;
use std::sync::Arc;
use tsdb::types::{Role, TimeRange};
use tsdb::{LastSpec, ScanStats, SeriesSet, Snapshot, Stream, TagColumn};

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
            threads: state.config().target_partitions(),
            batch_rows: state.config().batch_size(),
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

impl Keys {
    /// How many keys the series of a set have; all series when there is none.
    fn wanted(&self, set: Option<&SeriesSet>) -> usize {
        let mut seen = vec![false; self.count];
        for (s, key) in self.of_series.iter().enumerate() {
            if set.is_none_or(|set| set.contains(s as u32)) {
                seen[*key as usize] = true;
            }
        }
        seen.iter().filter(|s| **s).count()
    }
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
    let series = 0..stream.series().len();
    if let [only] = columns.as_slice() {
        // Its codes are dense already.
        return Keys {
            of_series: series.map(|s| only.code(s)).collect(),
            count: only.values.len() + 1,
        };
    }
    let mut ids: HashMap<Vec<u32>, u32, ahash::RandomState> = HashMap::default();
    let of_series = series
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

/// The order of series by their keys: by names and values of their tags, whatever the order of their ids.
struct SeriesOrder {
    tags: Vec<(String, Arc<TagColumn>)>,
}

impl SeriesOrder {
    fn new(stream: &Stream) -> Self {
        let schema = stream.schema();
        let tags = schema.columns.iter().filter(|c| c.role == Role::Tag);
        let mut tags: Vec<_> = tags
            .map(|c| (c.name.clone(), stream.series().tag_codes(c.id)))
            .collect();
        tags.sort_by(|a, b| a.0.cmp(&b.0));
        Self { tags }
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let of = |series: u32| {
            self.tags
                .iter()
                .filter_map(move |(name, tag)| Some((name, tag.value(tag.code(series))?)))
        };
        of(a).cmp(of(b))
    }
}

struct LatestLeaf {
    reader: RowReader,
    keys: Keys,
    snapshot: Snapshot,
    context: Arc<QueryContext>,
    stream: Arc<Stream>,
    pushed: Pushed,
    threads: usize,
    batch_rows: usize,
}

impl Leaf for LatestLeaf {
    fn describe(&self) -> String {
        format!("{}, {} keys", self.stream.name, self.keys.count)
    }

    fn run(&self, _: usize, emit: Emit<'_>, gone: &dyn Fn() -> bool) -> Result<()> {
        let order = SeriesOrder::new(&self.stream);
        let spec = LastSpec {
            time: self.pushed.time.unwrap_or(TimeRange::ALL),
            series: self.pushed.series.clone(),
            columns: self.reader.fields.iter().map(|(_, c)| c.id).collect(),
            keys: &self.keys.of_series,
            key_count: self.keys.count,
            wanted: self.keys.wanted(self.pushed.series.as_deref()),
            order: &|a, b| order.compare(a, b),
            threads: self.threads,
        };
        let stats = Arc::new(ScanStats::default());
        self.context.watch(&self.stream.name, &stats);
        let found = self
            .snapshot
            .last_rows(&self.stream, &spec, &stats, gone)
            .map_err(storage)?;
        let mut rows = found
            .into_iter()
            .map(|rows| self.reader.read(rows))
            .collect::<Result<Vec<_>>>()?;
        // What the consumer does with the rows afterwards is its own affair.
        let _ = flush(self.reader.schema(), &mut rows, self.batch_rows, emit)?;
        Ok(())
    }
}
