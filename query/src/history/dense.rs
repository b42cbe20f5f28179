//! Grouping by tags and buckets of time with dense ids: a row's group is an index computed from its series and its
//! time, so no key is hashed and no string looked at until the groups are shown.

use super::context::{QueryContext, storage};
use super::exec::{Emit, Leaf, LeafExec};
use super::pushdown::{Pushed, push};
use crate::bind::windowed::{AggFunc, WindowSpec, WindowedAggregate};
use arrow::array::{
    ArrayRef, BooleanBufferBuilder, Float64Array, Int64Array, StringBuilder, TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType as Arrow, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tsdb::types::{ColumnId, DataType, Role, TimeRange};
use tsdb::{Scan, ScanBatch, ScanSpec, Stream, TagColumn, Vector, VectorValues, ZoneOp, ZoneValue};

/// Most groups held at once, per thread; beyond, hashing only the groups there are takes less memory.
const MAX_CELLS: usize = 4 << 20;

/// How one key column comes from a row.
#[derive(Clone, Debug)]
enum Key {
    Tag(ColumnId),
    Bucket { width: i64, origin: i64 },
}

/// One aggregate over a numeric field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Rows,
    Count,
    SumInt,
    SumFloat,
    Avg,
    MinInt,
    MaxInt,
    MinFloat,
    MaxFloat,
}

#[derive(Clone, Debug)]
struct Agg {
    kind: Kind,
    /// Index into the scanned columns; unused for [`Kind::Rows`].
    column: usize,
}

/// A grouped query that dense ids can answer.
#[derive(Clone, Debug)]
struct Shape {
    keys: Vec<Key>,
    aggs: Vec<Agg>,
    /// Fields to scan; those of `residual` come last.
    columns: Vec<ColumnId>,
    /// Comparisons that rows must still pass: column index, operator, constant.
    residual: Vec<(usize, ZoneOp, ZoneValue)>,
}

/// The group rows of a query, by dense ids.
pub struct DenseTable {
    context: Arc<QueryContext>,
    stream: Arc<Stream>,
    query: Arc<WindowedAggregate>,
    shape: Shape,
}

impl std::fmt::Debug for DenseTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenseTable").field("source", &self.query.source.name).finish()
    }
}

impl DenseTable {
    /// The table, if the query has the shape: keys that are tags or one bucket of time, plain numeric aggregates, and
    /// a condition of times, tags and comparisons of fields.
    #[must_use]
    pub fn new(context: Arc<QueryContext>, stream: Arc<Stream>, query: Arc<WindowedAggregate>) -> Option<Self> {
        let shape = shape(&query, &stream)?;
        Some(Self { context, stream, query, shape })
    }
}

fn shape(query: &WindowedAggregate, stream: &Stream) -> Option<Shape> {
    if query.window != WindowSpec::None {
        return None;
    }
    let columns_of = &query.source.schema.columns;
    let find = |e: &Expr| match e {
        Expr::Column(c) => columns_of.iter().find(|d| d.name == c.name),
        _ => None,
    };
    let mut keys = Vec::with_capacity(query.keys.len());
    for key in &query.keys {
        keys.push(match find(&key.expr) {
            Some(d) if d.role == Role::Tag => Key::Tag(d.id),
            Some(_) => return None,
            None => bucket(&key.expr, &query.source.schema.time().name)?,
        });
    }
    if keys.iter().filter(|k| matches!(k, Key::Bucket { .. })).count() > 1 {
        return None;
    }
    let mut columns: Vec<ColumnId> = Vec::new();
    let place = |columns: &mut Vec<ColumnId>, id: ColumnId| {
        columns.iter().position(|c| *c == id).unwrap_or_else(|| {
            columns.push(id);
            columns.len() - 1
        })
    };
    let mut aggs = Vec::with_capacity(query.aggregates.len());
    for call in &query.aggregates {
        if call.filter.is_some() {
            return None;
        }
        if call.func == AggFunc::CountRows {
            aggs.push(Agg { kind: Kind::Rows, column: 0 });
            continue;
        }
        let def = find(call.arg.as_ref()?).filter(|d| d.role == Role::Field)?;
        let int = match def.data_type {
            DataType::Int64 => true,
            DataType::Float64 => false,
            _ => return None,
        };
        let kind = match (call.func, int) {
            (AggFunc::Count, _) => Kind::Count,
            (AggFunc::Sum, true) => Kind::SumInt,
            (AggFunc::Sum, false) => Kind::SumFloat,
            (AggFunc::Avg, _) => Kind::Avg,
            (AggFunc::Min, true) => Kind::MinInt,
            (AggFunc::Max, true) => Kind::MaxInt,
            (AggFunc::Min, false) => Kind::MinFloat,
            (AggFunc::Max, false) => Kind::MaxFloat,
            _ => return None,
        };
        aggs.push(Agg { kind, column: place(&mut columns, def.id) });
    }
    let pushed = push(query.filter.as_ref(), &query.source, stream).ok()?;
    if pushed.other {
        return None;
    }
    if keys.is_empty() && columns.is_empty() && query.filter.is_none() {
        // All rows are counted without reading any, by the general plan.
        return None;
    }
    let mut place = |id: ColumnId| place(&mut columns, id);
    let residual = pushed.zones.iter().map(|z| (place(z.column), z.op, z.value)).collect();
    Some(Shape { keys, aggs, columns, residual })
}

/// `date_bin(width, time [, origin])` and `date_trunc(unit, time)` with units of fixed length.
fn bucket(e: &Expr, time: &str) -> Option<Key> {
    const SECOND: i64 = 1_000_000_000;
    const MONDAY: i64 = 4 * 86_400 * SECOND;
    let Expr::ScalarFunction(f) = e else { return None };
    if !matches!(f.args.get(1), Some(Expr::Column(c)) if c.name == time) {
        return None;
    }
    let Some(Expr::Literal(first, _)) = f.args.first() else { return None };
    match (f.name(), first) {
        ("date_bin", ScalarValue::IntervalMonthDayNano(Some(w))) if w.months == 0 => {
            let width = i64::from(w.days).checked_mul(86_400 * SECOND)?.checked_add(w.nanoseconds)?;
            let origin = match f.args.get(2) {
                None => 0,
                Some(Expr::Literal(ScalarValue::TimestampNanosecond(Some(t), _), _)) => *t,
                Some(_) => return None,
            };
            (width > 0).then_some(Key::Bucket { width, origin: origin.rem_euclid(width) })
        }
        ("date_trunc", ScalarValue::Utf8(Some(unit))) if f.args.len() == 2 => {
            let (width, origin) = match unit.to_ascii_lowercase().as_str() {
                "second" => (SECOND, 0),
                "minute" => (60 * SECOND, 0),
                "hour" => (3_600 * SECOND, 0),
                "day" => (86_400 * SECOND, 0),
                "week" => (7 * 86_400 * SECOND, MONDAY),
                _ => return None,
            };
            Some(Key::Bucket { width, origin })
        }
        _ => None,
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
        let Some(cells) = Cells::new(&self.shape, &pushed, snapshot.time_bounds(self.stream.id), &self.stream) else {
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
        Ok(Arc::new(LeafExec::new("DenseGroups", Arc::new(leaf), schema, 1, None)))
    }
}

/// How rows find their cell: `key of series * buckets + bucket`.
struct Cells {
    key_of_series: Vec<u32>,
    /// Per distinct combination of tags the first series that has it.
    series_of_key: Vec<u32>,
    tags: Vec<(usize, Arc<TagColumn>)>,
    bucket: Option<(usize, i64, i64)>,
    first_bucket: i64,
    buckets: usize,
}

impl Cells {
    fn new(shape: &Shape, pushed: &Pushed, bounds: Option<(i64, i64)>, stream: &Stream) -> Option<Cells> {
        let tags: Vec<(usize, Arc<TagColumn>)> = shape
            .keys
            .iter()
            .enumerate()
            .filter_map(|(i, k)| match k {
                Key::Tag(id) => Some((i, stream.series().tag_codes(*id))),
                Key::Bucket { .. } => None,
            })
            .collect();
        let len = stream.series().len().max(1);
        let (mut key_of_series, mut series_of_key) = (Vec::with_capacity(len as usize), Vec::new());
        let mut ids: HashMap<Vec<u32>, u32, ahash::RandomState> = HashMap::default();
        for s in 0..len {
            let in_scan = pushed.series.as_ref().is_none_or(|set| set.contains(s));
            if tags.is_empty() || !in_scan {
                key_of_series.push(0);
                continue;
            }
            let codes: Vec<u32> = tags.iter().map(|(_, c)| c.code(s)).collect();
            let next = ids.len() as u32;
            key_of_series.push(*ids.entry(codes).or_insert_with(|| {
                series_of_key.push(s);
                next
            }));
        }
        if series_of_key.is_empty() {
            series_of_key.push(0);
        }
        let bucket = shape.keys.iter().enumerate().find_map(|(i, k)| match k {
            Key::Bucket { width, origin } => Some((i, *width, *origin)),
            Key::Tag(_) => None,
        });
        let (mut first_bucket, mut buckets) = (0, 1);
        if let Some((_, width, origin)) = bucket {
            let (min, max) = bounds.unwrap_or((0, 0));
            let asked = pushed.time.unwrap_or(TimeRange::ALL);
            let max = if asked.end == i64::MAX { max } else { max.min(asked.end.saturating_sub(1)) };
            let min = min.max(asked.start).min(max);
            first_bucket = bucket_of(min, width, origin);
            let count = bucket_of(max, width, origin) - first_bucket + 1;
            buckets = usize::try_from(count).ok()?;
        }
        let all = buckets.checked_mul(series_of_key.len())?;
        (all <= MAX_CELLS).then_some(Cells { key_of_series, series_of_key, tags, bucket, first_bucket, buckets })
    }

    fn len(&self) -> usize {
        self.series_of_key.len() * self.buckets
    }

    /// The cell of each row.
    fn locate(&self, batch: &ScanBatch, out: &mut Vec<u32>) {
        out.clear();
        let buckets = self.buckets as u32;
        let key = |s: u32| self.key_of_series.get(s as usize).copied().unwrap_or(0) * buckets;
        match self.bucket {
            None => out.extend(batch.series.iter().map(|s| key(*s))),
            Some((_, width, origin)) => {
                // Neighbouring rows are mostly of one bucket, and a division costs more than two comparisons.
                let (mut start, mut end, mut at) = (0, 0, 0);
                for (t, s) in batch.time.iter().zip(&batch.series) {
                    if *t < start || *t >= end {
                        let b = bucket_of(*t, width, origin);
                        start = (b.saturating_mul(width)).saturating_add(origin);
                        end = start.saturating_add(width);
                        at = (b - self.first_bucket) as u32;
                    }
                    out.push(key(*s) + at);
                }
            }
        }
    }
}

fn bucket_of(t: i64, width: i64, origin: i64) -> i64 {
    t.saturating_sub(origin).div_euclid(width)
}

/// The states of all cells for one thread.
struct States {
    rows: Vec<u64>,
    aggs: Vec<State>,
    overflow: bool,
}

enum State {
    Rows,
    Count(Vec<u64>),
    Int { value: Vec<i64>, seen: Vec<u64> },
    Float { value: Vec<f64>, seen: Vec<u64> },
}

impl States {
    fn new(shape: &Shape, cells: usize) -> States {
        let int = |v: i64| State::Int { value: vec![v; cells], seen: vec![0; cells] };
        let float = |v: f64| State::Float { value: vec![v; cells], seen: vec![0; cells] };
        let aggs = shape
            .aggs
            .iter()
            .map(|a| match a.kind {
                Kind::Rows => State::Rows,
                Kind::Count => State::Count(vec![0; cells]),
                Kind::SumInt => int(0),
                Kind::MinInt => int(i64::MAX),
                Kind::MaxInt => int(i64::MIN),
                Kind::SumFloat | Kind::Avg => float(0.0),
                Kind::MinFloat => float(f64::INFINITY),
                Kind::MaxFloat => float(f64::NEG_INFINITY),
            })
            .collect();
        States { rows: vec![0; cells], aggs, overflow: false }
    }

    fn update(&mut self, shape: &Shape, batch: &ScanBatch, located: &[u32], kept: Option<&[bool]>) {
        let keep = |i: usize| kept.is_none_or(|k| k[i]);
        for (i, c) in located.iter().enumerate() {
            self.rows[*c as usize] += u64::from(keep(i));
        }
        for (agg, state) in shape.aggs.iter().zip(&mut self.aggs) {
            if agg.kind == Kind::Rows {
                continue;
            }
            let Some(vector) = batch.columns[agg.column].as_ref() else { continue };
            let plain = vector.validity.is_none() && kept.is_none();
            let ok = |i: usize| plain || (keep(i) && vector.is_valid(i));
            match (state, &vector.values) {
                (State::Count(n), _) => {
                    for (i, c) in located.iter().enumerate() {
                        n[*c as usize] += u64::from(ok(i));
                    }
                }
                (State::Int { value, seen }, VectorValues::Int(v)) => {
                    let overflow = &mut self.overflow;
                    match agg.kind {
                        Kind::SumInt => fold(located, v, seen, value, ok, |a, x| {
                            let (sum, over) = a.overflowing_add(x);
                            *overflow |= over;
                            sum
                        }),
                        Kind::MinInt => fold(located, v, seen, value, ok, i64::min),
                        _ => fold(located, v, seen, value, ok, i64::max),
                    }
                }
                (State::Float { value, seen }, VectorValues::Int(v)) => {
                    fold(located, v, seen, value, ok, |a, x| a + x as f64);
                }
                (State::Float { value, seen }, VectorValues::Float(v)) => match agg.kind {
                    // NaN is the greatest value, as in every comparison of floats here.
                    Kind::MinFloat => fold(located, v, seen, value, ok, least),
                    Kind::MaxFloat => fold(located, v, seen, value, ok, greatest),
                    _ => fold(located, v, seen, value, ok, |a, x| a + x),
                },
                _ => {}
            }
        }
    }

    fn merge(&mut self, shape: &Shape, other: &States) {
        for (a, b) in self.rows.iter_mut().zip(&other.rows) {
            *a += b;
        }
        self.overflow |= other.overflow;
        for ((agg, mine), theirs) in shape.aggs.iter().zip(&mut self.aggs).zip(&other.aggs) {
            match (mine, theirs) {
                (State::Count(a), State::Count(b)) => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
                (State::Int { value, seen }, State::Int { value: v, seen: s }) => {
                    for (i, (a, b)) in value.iter_mut().zip(v).enumerate() {
                        *a = match agg.kind {
                            Kind::SumInt => {
                                let (sum, over) = a.overflowing_add(*b);
                                self.overflow |= over;
                                sum
                            }
                            Kind::MinInt => (*a).min(*b),
                            _ => (*a).max(*b),
                        };
                        seen[i] += s[i];
                    }
                }
                (State::Float { value, seen }, State::Float { value: v, seen: s }) => {
                    for (i, (a, b)) in value.iter_mut().zip(v).enumerate() {
                        *a = match agg.kind {
                            Kind::MinFloat => least(*a, *b),
                            Kind::MaxFloat => greatest(*a, *b),
                            _ => *a + *b,
                        };
                        seen[i] += s[i];
                    }
                }
                _ => {}
            }
        }
    }
}

fn least(a: f64, b: f64) -> f64 {
    if b.total_cmp(&a).is_lt() { b } else { a }
}

fn greatest(a: f64, b: f64) -> f64 {
    if b.total_cmp(&a).is_gt() { b } else { a }
}

#[inline]
fn fold<A: Copy, X: Copy>(
    located: &[u32],
    values: &[X],
    seen: &mut [u64],
    state: &mut [A],
    ok: impl Fn(usize) -> bool,
    mut f: impl FnMut(A, X) -> A,
) {
    for (i, (c, x)) in located.iter().zip(values).enumerate() {
        if ok(i) {
            let c = *c as usize;
            state[c] = f(state[c], *x);
            seen[c] += 1;
        }
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
                    if gone() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .map_err(storage)?;
        }
    }

    fn show(&self, states: &States) -> Result<RecordBatch> {
        let sole = self.shape.keys.is_empty();
        // With no keys there is always exactly one row, as SQL has it.
        let shown: Vec<usize> = (0..self.cells.len()).filter(|c| sole || states.rows[*c] > 0).collect();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.query.output.fields().len());
        for (i, key) in self.shape.keys.iter().enumerate() {
            columns.push(match key {
                Key::Bucket { width, origin } => {
                    let at = |c: &usize| {
                        let b = self.cells.first_bucket + (c % self.cells.buckets) as i64;
                        b.saturating_mul(*width).saturating_add(*origin)
                    };
                    Arc::new(TimestampNanosecondArray::from_iter_values(shown.iter().map(at)))
                }
                Key::Tag(_) => {
                    let mut text = StringBuilder::with_capacity(shown.len(), shown.len() * 8);
                    let column = self.cells.tags.iter().find(|(k, _)| *k == i).map(|(_, c)| c);
                    for c in &shown {
                        let series = self.cells.series_of_key[c / self.cells.buckets];
                        text.append_option(column.and_then(|t| t.value(t.code(series))));
                    }
                    Arc::new(text.finish())
                }
            });
        }
        for (i, (agg, state)) in self.shape.aggs.iter().zip(&states.aggs).enumerate() {
            let array = self.column(agg.kind, state, states, &shown);
            let wanted: &Arrow = &self.query.aggregates[i].data_type;
            columns.push(if array.data_type() == wanted { array } else { arrow::compute::cast(&array, wanted)? });
        }
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(shown.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.query.output), columns, &options)?;
        Ok(match &self.projection {
            Some(p) => batch.project(p)?,
            None => batch,
        })
    }

    fn column(&self, kind: Kind, state: &State, states: &States, shown: &[usize]) -> ArrayRef {
        let counts = |n: &[u64]| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(shown.iter().map(|c| n[*c] as i64)))
        };
        let nulls = |seen: &[u64]| {
            let mut bits = BooleanBufferBuilder::new(shown.len());
            shown.iter().for_each(|c| bits.append(seen[*c] > 0));
            Some(NullBuffer::new(bits.finish())).filter(|n| n.null_count() > 0)
        };
        match state {
            State::Rows => counts(&states.rows),
            State::Count(n) => counts(n),
            State::Int { value, seen } => {
                let values: ScalarBuffer<i64> = shown.iter().map(|c| value[*c]).collect();
                Arc::new(Int64Array::new(values, nulls(seen)))
            }
            State::Float { value, seen } => {
                let values: ScalarBuffer<f64> = shown
                    .iter()
                    .map(|c| if kind == Kind::Avg { value[*c] / seen[*c] as f64 } else { value[*c] })
                    .collect();
                Arc::new(Float64Array::new(values, nulls(seen)))
            }
        }
    }
}

/// Which rows pass the comparisons of fields; `None` means all of them.
fn residual<'k>(tests: &[(usize, ZoneOp, ZoneValue)], batch: &ScanBatch, kept: &'k mut Vec<bool>) -> Option<&'k [bool]> {
    if tests.is_empty() {
        return None;
    }
    kept.clear();
    kept.resize(batch.rows, true);
    for (column, op, constant) in tests {
        let Some(vector) = &batch.columns[*column] else {
            kept.fill(false);
            break;
        };
        match (&vector.values, constant) {
            (VectorValues::Int(v), ZoneValue::Int(k)) => test(kept, vector, v, |x| holds(*op, x.cmp(k))),
            (VectorValues::Float(v), ZoneValue::Float(k)) => test(kept, vector, v, |x| holds(*op, x.total_cmp(k))),
            _ => kept.fill(false),
        }
    }
    Some(kept)
}

fn test<X>(kept: &mut [bool], vector: &Vector, values: &[X], holds: impl Fn(&X) -> bool) {
    for (i, x) in values.iter().enumerate() {
        kept[i] &= vector.is_valid(i) && holds(x);
    }
}

fn holds(op: ZoneOp, order: std::cmp::Ordering) -> bool {
    match op {
        ZoneOp::Eq => order.is_eq(),
        ZoneOp::Lt => order.is_lt(),
        ZoneOp::LtEq => order.is_le(),
        ZoneOp::Gt => order.is_gt(),
        ZoneOp::GtEq => order.is_ge(),
    }
}

impl Leaf for DenseLeaf {
    fn describe(&self) -> String {
        format!("{}, {} cells, {} aggregates", self.query.source.name, self.cells.len(), self.shape.aggs.len())
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
        if states.overflow {
            return Err(DataFusionError::Execution("a SUM does not fit a BIGINT".to_owned()));
        }
        // What the consumer does with the rows afterwards is its own affair.
        let _ = emit(self.show(&states)?);
        Ok(())
    }
}
