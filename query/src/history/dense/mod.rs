//! Grouping by tags and buckets of time with dense ids: a row's group is an index computed from its series and its
//! time, so no key is hashed and no string looked at until the groups are shown.

mod cells;
mod shape;
mod states;

use super::context::{QueryContext, storage};
use super::exec::{Emit, Leaf, LeafExec};
use super::pushdown::push;
use crate::bind::windowed::WindowedAggregate;
use crate::stream::agg::float_from_order;
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringBuilder, TimestampNanosecondArray};
use arrow::datatypes::{DataType as Arrow, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cells::Cells;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use shape::{Key, Kind, Shape, shape};
use states::{State, States, residual};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tsdb::{Scan, ScanSpec, Stream};

/// The group rows of a query, by dense ids.
pub struct DenseTable {
    context: Arc<QueryContext>,
    stream: Arc<Stream>,
    query: Arc<WindowedAggregate>,
    shape: Shape,
}

impl std::fmt::Debug for DenseTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenseTable")
            .field("source", &self.query.source.name)
            .finish()
    }
}

impl DenseTable {
    /// The table, if the query has the shape: keys that are tags or one bucket of time, plain numeric aggregates, and
    /// a condition of times, tags and comparisons of fields.
    #[must_use]
    pub fn new(
        context: Arc<QueryContext>,
        stream: Arc<Stream>,
        query: Arc<WindowedAggregate>,
    ) -> Option<Self> {
        let shape = shape(&query, &stream)?;
        Some(Self {
            context,
            stream,
            query,
            shape,
        })
    }
}

#[async_trait]
impl TableProvider for DenseTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.query.output)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pushed = push(self.query.filter.as_ref(), &self.query.source, &self.stream)?;
        let snapshot = self.context.snapshot()?;
        let Some(cells) = Cells::new(
            &self.shape,
            &pushed,
            snapshot.time_bounds(self.stream.id),
            &self.stream,
        ) else {
            let general = super::OperatorTable::new(
                Arc::clone(&self.context),
                Arc::clone(&self.stream),
                Arc::clone(&self.query),
            );
            return general.scan(state, projection, filters, limit).await;
        };
        let spec = ScanSpec {
            time: pushed.time,
            series: pushed.series,
            columns: self.shape.columns.clone(),
            prune: pushed.zones,
        };
        let scan = snapshot.scan(&self.stream, spec).map_err(storage)?;
        self.context.watch(&self.query.source.name, scan.stats());
        let schema = match projection {
            Some(p) => Arc::new(self.query.output.project(p)?),
            None => Arc::clone(&self.query.output),
        };
        let threads = state.config().target_partitions().min(scan.parts()).max(1);
        let leaf = DenseLeaf {
            scan,
            cells,
            shape: self.shape.clone(),
            query: Arc::clone(&self.query),
            projection: projection.cloned(),
            threads,
        };
        Ok(Arc::new(LeafExec::new(
            "DenseGroups",
            Arc::new(leaf),
            schema,
            1,
            None,
        )))
    }
}

struct DenseLeaf {
    scan: Scan,
    cells: Cells,
    shape: Shape,
    query: Arc<WindowedAggregate>,
    projection: Option<Vec<usize>>,
    threads: usize,
}

impl DenseLeaf {
    fn read(&self, next: &AtomicUsize, gone: &dyn Fn() -> bool) -> Result<States> {
        let mut states = States::new(&self.shape, self.cells.len());
        let (mut located, mut kept) = (Vec::new(), Vec::new());
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= self.scan.parts() || gone() {
                return Ok(states);
            }
            self.scan
                .read(part, &mut |batch| {
                    self.cells.locate(&batch, &mut located);
                    let mask = residual(&self.shape.residual, &batch, &mut kept);
                    states.update(&self.shape, &batch, &located, mask);
                    if gone() {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .map_err(storage)?;
        }
    }

    fn show(&self, states: &States) -> Result<RecordBatch> {
        let sole = self.shape.keys.is_empty();
        // With no keys there is always exactly one row, as SQL has it.
        let shown: Vec<usize> = (0..self.cells.len())
            .filter(|c| sole || states.rows[*c] > 0)
            .collect();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.query.output.fields().len());
        for (i, key) in self.shape.keys.iter().enumerate() {
            columns.push(match key {
                Key::Bucket { width, origin } => {
                    let at = |c: &usize| {
                        let b = self.cells.first_bucket + (c % self.cells.buckets) as i64;
                        b.saturating_mul(*width).saturating_add(*origin)
                    };
                    Arc::new(TimestampNanosecondArray::from_iter_values(
                        shown.iter().map(at),
                    ))
                }
                Key::Tag(_) => {
                    let mut text = StringBuilder::with_capacity(shown.len(), shown.len() * 8);
                    let column = self
                        .cells
                        .tags
                        .iter()
                        .find(|(k, _)| *k == i)
                        .map(|(_, c)| c);
                    for c in &shown {
                        let series = self.cells.series_of_key[c / self.cells.buckets];
                        text.append_option(column.and_then(|t| t.value(t.code(series))));
                    }
                    Arc::new(text.finish())
                }
            });
        }
        for (i, (agg, state)) in self.shape.aggs.iter().zip(&states.aggs).enumerate() {
            let array = self.column(agg.kind, state, states, &shown)?;
            let wanted: &Arrow = &self.query.aggregates[i].data_type;
            columns.push(if array.data_type() == wanted {
                array
            } else {
                arrow::compute::cast(&array, wanted)?
            });
        }
        let options =
            arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(shown.len()));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&self.query.output), columns, &options)?;
        Ok(match &self.projection {
            Some(p) => batch.project(p)?,
            None => batch,
        })
    }

    fn column(
        &self,
        kind: Kind,
        state: &State,
        states: &States,
        shown: &[usize],
    ) -> Result<ArrayRef> {
        let counts = |n: &[u64]| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(
                shown.iter().map(|c| n[*c] as i64),
            ))
        };
        let floats = |f: &dyn Fn(usize) -> Option<f64>| -> ArrayRef {
            Arc::new(shown.iter().map(|c| f(*c)).collect::<Float64Array>())
        };
        Ok(match state {
            State::Rows => counts(&states.rows),
            State::Count(n) => counts(n),
            State::Ints(s) if kind == Kind::AvgInt => floats(&|c| {
                let (sum, count) = s.get(c);
                (count > 0).then(|| sum as f64 / count as f64)
            }),
            State::Ints(s) => {
                let sum = |c: &usize| {
                    let (sum, count) = s.get(*c);
                    match i64::try_from(sum) {
                        Ok(sum) => Ok((count > 0).then_some(sum)),
                        Err(_) => Err(DataFusionError::Execution(
                            "a SUM does not fit a BIGINT".to_owned(),
                        )),
                    }
                };
                Arc::new(shown.iter().map(sum).collect::<Result<Int64Array>>()?)
            }
            State::Floats(s) => floats(&|c| {
                let n = if kind == Kind::AvgFloat {
                    s[c].count()
                } else {
                    1
                };
                (s[c].count() > 0).then(|| s[c].total() / n as f64)
            }),
            State::Extremes(s) if matches!(kind, Kind::MinFloat | Kind::MaxFloat) => {
                floats(&|c| s[c].seen.then(|| float_from_order(s[c].value)))
            }
            State::Extremes(s) => {
                let value = |c: &usize| s[*c].seen.then_some(s[*c].value);
                Arc::new(shown.iter().map(value).collect::<Int64Array>())
            }
        })
    }
}

impl Leaf for DenseLeaf {
    fn describe(&self) -> String {
        format!(
            "{}, {} cells, {} aggregates",
            self.query.source.name,
            self.cells.len(),
            self.shape.aggs.len()
        )
    }

    fn run(&self, _: usize, emit: Emit<'_>, gone: &dyn Fn() -> bool) -> Result<()> {
        let next = AtomicUsize::new(0);
        // The caller's check stays on this thread; helpers stop when it has said so.
        let left = std::sync::atomic::AtomicBool::new(false);
        let others: Mutex<Vec<Result<States>>> = Mutex::new(Vec::new());
        let mine = std::thread::scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(|| {
                    let states = self.read(&next, &|| left.load(Ordering::Relaxed));
                    others.lock().push(states);
                });
            }
            let mine = self.read(&next, gone);
            if gone() {
                left.store(true, Ordering::Relaxed);
            }
            mine
        });
        let mut states = mine?;
        for other in others.into_inner() {
            states.merge(&self.shape, &other?);
        }
        if gone() {
            return Ok(());
        }
        // What the consumer does with the rows afterwards is its own affair.
        let _ = emit(self.show(&states)?);
        Ok(())
    }
}
