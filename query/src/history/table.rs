//! A stream of a snapshot as a table.

use super::context::{QueryContext, storage};
use super::convert::{TagReader, field, times};
use super::exec::{Emit, Leaf, LeafExec};
use super::pushdown::{Conjunct, classify, conjuncts, push};
use crate::bind::windowed::SourceRef;
use arrow::array::ArrayRef;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::ops::ControlFlow;
use std::sync::Arc;
use tsdb::types::{ColumnDef, Role};
use tsdb::{Scan, ScanBatch, ScanSpec, Stream};

/// A stream of the statement's snapshot, with the columns it had when the statement was bound.
#[derive(Clone)]
pub struct StreamTable {
    context: Arc<QueryContext>,
    stream: Arc<Stream>,
    source: SourceRef,
}

impl std::fmt::Debug for StreamTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamTable")
            .field("name", &self.source.name)
            .finish()
    }
}

impl StreamTable {
    /// The table of `stream` as `source` describes it.
    #[must_use]
    pub fn new(context: Arc<QueryContext>, stream: Arc<Stream>, source: SourceRef) -> Self {
        Self {
            context,
            stream,
            source,
        }
    }

    /// Counts and bounds known without reading, when every row is wanted.
    fn statistics(&self, projection: &[usize], schema: &SchemaRef) -> Result<Statistics> {
        let snapshot = self.context.snapshot()?;
        let mut statistics = Statistics::new_unknown(schema);
        if self.stream.options.retention_ns.is_some() {
            // Some of the rows may have expired: only reading them tells how many are left.
            return Ok(statistics);
        }
        let rows = snapshot.row_count(self.stream.id);
        statistics.num_rows = usize::try_from(rows).map_or(Precision::Absent, Precision::Exact);
        let time = projection
            .iter()
            .position(|i| self.source.schema.columns[*i].role == Role::Time);
        if let (Some(at), Some((min, max))) = (time, snapshot.time_bounds(self.stream.id)) {
            let value = |t| Precision::Exact(ScalarValue::TimestampNanosecond(Some(t), None));
            statistics.column_statistics[at] = ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: value(min),
                max_value: value(max),
                ..ColumnStatistics::new_unknown()
            };
        }
        Ok(statistics)
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.source.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|f| {
                let kinds: Vec<Conjunct> = conjuncts(f)
                    .into_iter()
                    .map(|e| classify(e, &self.source))
                    .collect();
                if kinds
                    .iter()
                    .all(|k| matches!(k, Conjunct::Time(_) | Conjunct::Tag(_)))
                {
                    TableProviderFilterPushDown::Exact
                } else if kinds.iter().all(|k| matches!(k, Conjunct::Other)) {
                    TableProviderFilterPushDown::Unsupported
                } else {
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize>;
        let projection = match projection {
            Some(p) => p,
            None => {
                all = (0..self.source.schema.columns.len()).collect();
                &all
            }
        };
        let schema = Arc::new(self.source.arrow.project(projection)?);
        let pushed = push(filters, &self.source, &self.stream)?;
        let reader = RowReader::new(&self.stream, &self.source, projection, Arc::clone(&schema));
        let whole = pushed.time.is_none()
            && pushed.series.is_none()
            && pushed.zones.is_empty()
            && limit.is_none();
        let statistics = if whole {
            Some(self.statistics(projection, &schema)?)
        } else {
            None
        };
        let spec = ScanSpec {
            time: pushed.time,
            series: pushed.series,
            columns: reader.fields.iter().map(|(_, c)| c.id).collect(),
            prune: pushed.zones,
        };
        let description = describe(&self.source.name, &schema, &spec, limit);
        let scan = self
            .context
            .snapshot()?
            .scan(&self.stream, spec)
            .map_err(storage)?;
        self.context.watch(&self.source.name, scan.stats());
        let config = state.config();
        let partitions = match limit {
            // A few rows are sooner found by one reader than shared out.
            Some(n) if n <= config.batch_size() => 1,
            _ => config.target_partitions().min(scan.parts()).max(1),
        };
        let leaf = ScanLeaf {
            scan,
            reader,
            partitions,
            limit,
            batch_rows: config.batch_size(),
            description,
        };
        Ok(Arc::new(LeafExec::new(
            "StreamScan",
            Arc::new(leaf),
            schema,
            partitions,
            statistics,
        )))
    }
}

fn describe(name: &str, schema: &SchemaRef, spec: &ScanSpec, limit: Option<usize>) -> String {
    let mut text = format!(
        "{name} [{}]",
        schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    if let Some(t) = &spec.time {
        text.push_str(&format!(", time [{}, {})", t.start, t.end));
    }
    if let Some(s) = &spec.series {
        text.push_str(&format!(", {} series", s.len()));
    }
    if !spec.prune.is_empty() {
        text.push_str(&format!(", {} zone predicates", spec.prune.len()));
    }
    if let Some(n) = limit {
        text.push_str(&format!(", limit {n}"));
    }
    text
}

/// Makes record batches of scanned rows.
pub(super) struct RowReader {
    /// Wanted field columns: place in the projection, definition.
    pub fields: Vec<(usize, ColumnDef)>,
    tags: Vec<(usize, TagReader)>,
    times: Vec<usize>,
    schema: SchemaRef,
}

impl RowReader {
    pub fn new(
        stream: &Stream,
        source: &SourceRef,
        projection: &[usize],
        schema: SchemaRef,
    ) -> Self {
        let mut reader = Self {
            fields: Vec::new(),
            tags: Vec::new(),
            times: Vec::new(),
            schema,
        };
        for (place, i) in projection.iter().enumerate() {
            let def = &source.schema.columns[*i];
            match def.role {
                Role::Time => reader.times.push(place),
                Role::Tag => reader
                    .tags
                    .push((place, TagReader::new(stream.series().tag_codes(def.id)))),
                Role::Field => reader.fields.push((place, def.clone())),
            }
        }
        reader
    }

    /// The columns of its batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows as a record batch.
    pub fn read(&self, batch: ScanBatch) -> Result<RecordBatch> {
        let ScanBatch {
            rows,
            time,
            series,
            columns,
        } = batch;
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        for (place, tag) in &self.tags {
            arrays[*place] = Some(tag.read(&series)?);
        }
        for ((place, def), column) in self.fields.iter().zip(columns) {
            arrays[*place] = Some(field(column, def.data_type, rows)?);
        }
        if !self.times.is_empty() {
            let time = times(time);
            for place in &self.times {
                arrays[*place] = Some(Arc::clone(&time));
            }
        }
        // Invariant: every place of the projection is a time, a tag or a field, so each has its array.
        let arrays: Vec<ArrayRef> = arrays.into_iter().flatten().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?)
    }
}

struct ScanLeaf {
    scan: Scan,
    reader: RowReader,
    partitions: usize,
    limit: Option<usize>,
    batch_rows: usize,
    description: String,
}

impl Leaf for ScanLeaf {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn run(&self, partition: usize, emit: Emit<'_>, gone: &dyn Fn() -> bool) -> Result<()> {
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut small: Vec<RecordBatch> = Vec::new();
        let mut small_rows = 0;
        let mut failed = None;
        for part in (partition..self.scan.parts()).step_by(self.partitions) {
            let mut stop = false;
            let read = self.scan.read(part, &mut |rows| {
                let batch = match self.reader.read(rows) {
                    Ok(batch) => batch,
                    Err(e) => {
                        failed = Some(e);
                        stop = true;
                        return ControlFlow::Break(());
                    }
                };
                let batch = if batch.num_rows() > left {
                    batch.slice(0, left)
                } else {
                    batch
                };
                left -= batch.num_rows();
                small_rows += batch.num_rows();
                small.push(batch);
                if small_rows >= self.batch_rows || left == 0 {
                    small_rows = 0;
                    stop = match flush(&self.reader.schema, &mut small, self.batch_rows, emit) {
                        Ok(flow) => flow.is_break(),
                        Err(e) => {
                            failed = Some(e);
                            true
                        }
                    };
                }
                stop |= left == 0 || gone();
                if stop {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if let Some(e) = failed.take() {
                return Err(e);
            }
            read.map_err(storage)?;
            if stop {
                return Ok(());
            }
        }
        flush(&self.reader.schema, &mut small, self.batch_rows, emit).map(|_| ())
    }
}

/// Hands out what was gathered in batches of about `rows` rows.
pub(super) fn flush(
    schema: &SchemaRef,
    gathered: &mut Vec<RecordBatch>,
    rows: usize,
    emit: Emit<'_>,
) -> Result<ControlFlow<()>> {
    let whole = match gathered.len() {
        0 => return Ok(ControlFlow::Continue(())),
        1 => gathered.remove(0),
        _ => {
            let one = concat_batches(schema, gathered.iter())?;
            gathered.clear();
            one
        }
    };
    let mut from = 0;
    while from < whole.num_rows() {
        let n = rows.min(whole.num_rows() - from);
        if emit(whole.slice(from, n)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        from += n;
    }
    Ok(ControlFlow::Continue(()))
}
