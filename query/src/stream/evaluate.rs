//! From a block to the rows that `WHERE` keeps, with the values of a plan's expressions for each of them.
//!
//! The order matters: nothing but the condition itself is evaluated on a row that it removes, so that
//! `WHERE b <> 0` guards `a / b`, and likewise the `FILTER` of an aggregate its argument.

use super::StreamError;
use super::block::{RowBlock, Tags};
use super::input::{Input, Kind};
use super::plan::Plan;
use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use std::borrow::Cow;
use std::sync::Arc;
use tsdb::types::{ColumnId, Role};

/// Where the values of an expression come from.
#[derive(Debug)]
pub(super) enum Source {
    Time,
    Tag(ColumnId),
    Field(ColumnId, Kind),
    Computed {
        expr: Arc<dyn PhysicalExpr>,
        kind: Kind,
        /// The place of the condition that rows must meet for it to be evaluated on them.
        under: Option<usize>,
    },
}

/// The rows of a block that are kept.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    pub time: Cow<'a, [i64]>,
    pub series: Cow<'a, [u32]>,
    /// By place in the plan's sources.
    pub inputs: Vec<Input>,
}

impl Rows<'_> {
    pub fn len(&self) -> usize {
        self.time.len()
    }
}

impl Plan {
    /// Evaluates all expressions over the rows of a block that are kept. Key columns that follow from the series are
    /// left out.
    pub(crate) fn evaluate<'a>(
        &self,
        block: &'a RowBlock<'_>,
        tags: &dyn Tags,
    ) -> Result<Rows<'a>, StreamError> {
        let computed = |s: &Source| matches!(s, Source::Computed { .. });
        let mut batch = match self.sources.iter().any(computed) {
            true => Some(self.record_batch(block, tags)?),
            false => None,
        };
        let mut rows = Rows {
            time: block.time().into(),
            series: block.series().into(),
            inputs: Vec::with_capacity(self.sources.len()),
        };
        let mut condition = None;
        let mut kept = None;
        if let Some(at) = self.filter {
            let input = self.source(at, block, tags, batch.as_ref(), &rows)?;
            kept = where_true(&input, rows.len());
            condition = Some(input);
        }
        if let Some(kept) = &kept {
            rows.time = kept.iter().map(|i| rows.time[*i as usize]).collect();
            rows.series = kept.iter().map(|i| rows.series[*i as usize]).collect();
            if let Some(all) = &mut batch {
                *all = take_record_batch(all, &UInt32Array::from(kept.clone()))?;
            }
        }
        for i in 0..self.sources.len() {
            let input = match (&kept, &self.sources[i]) {
                _ if !self.is_used(i) || rows.len() == 0 => Input::null(),
                _ if self.filter == Some(i) => {
                    let all = condition.take().unwrap_or(Input::null());
                    match &kept {
                        Some(kept) => all.select(kept),
                        None => all,
                    }
                }
                (Some(kept), Source::Field(id, kind)) => block.field(*id, *kind).select(kept),
                _ => self.source(i, block, tags, batch.as_ref(), &rows)?,
            };
            rows.inputs.push(input);
        }
        Ok(rows)
    }

    fn is_used(&self, i: usize) -> bool {
        self.tag_keys.is_none() && self.keys.contains(&i)
            || self.args.contains(&Some(i))
            || self.arg_filters.contains(&Some(i))
    }

    /// The values of one source over `rows`, which `batch` holds too; of a field over all rows of the block.
    fn source(
        &self,
        i: usize,
        block: &RowBlock<'_>,
        tags: &dyn Tags,
        batch: Option<&RecordBatch>,
        rows: &Rows<'_>,
    ) -> Result<Input, StreamError> {
        Ok(match (&self.sources[i], batch) {
            (Source::Time, _) => Input::from_times(&rows.time),
            (Source::Tag(id), _) => Input::from_tag(*id, &rows.series, tags),
            (Source::Field(id, kind), _) => block.field(*id, *kind),
            (Source::Computed { expr, kind, under }, Some(batch)) => {
                let value = match under {
                    None => expr.evaluate(batch)?,
                    Some(at) => {
                        let condition = &rows.inputs[*at];
                        let holds = |i| condition.is_true(i);
                        let selection: BooleanArray =
                            (0..rows.len()).map(|i| Some(holds(i))).collect();
                        expr.evaluate_selection(batch, &selection)?
                    }
                };
                match value {
                    ColumnarValue::Scalar(ScalarValue::Null) => Input::null(),
                    value => Input::from_array(&value.into_array(rows.len())?, *kind)?,
                }
            }
            // `batch` is there whenever one source is computed.
            (Source::Computed { .. }, None) => Input::null(),
        })
    }

    fn record_batch(
        &self,
        block: &RowBlock<'_>,
        tags: &dyn Tags,
    ) -> Result<RecordBatch, StreamError> {
        let schema = &self.query().source.schema;
        read_columns(schema, &self.reads, &self.read_schema, block, tags)
    }
}

/// The rows on which a condition is true; `None` when it is on all.
fn where_true(condition: &Input, rows: usize) -> Option<Vec<u32>> {
    // Blocks are far smaller than 2^32 rows.
    let kept: Vec<u32> = (0..rows as u32)
        .filter(|i| condition.is_true(*i as usize))
        .collect();
    (kept.len() < rows).then_some(kept)
}

/// Takes the rows on which a condition is false or unknown out of `ids`.
pub(super) fn drop_where(ids: &mut [u32], condition: &Input) {
    for (i, id) in ids.iter_mut().enumerate() {
        if !condition.is_true(i) {
            *id = super::agg::NONE;
        }
    }
}

/// Columns of a block, by their places in the stream's schema, as Arrow has them.
pub(crate) fn read_columns(
    schema: &tsdb::types::Schema,
    places: &[usize],
    arrow: &SchemaRef,
    block: &RowBlock<'_>,
    tags: &dyn Tags,
) -> Result<RecordBatch, StreamError> {
    let columns = places
        .iter()
        .zip(arrow.fields())
        .map(|(i, field)| {
            let column = &schema.columns[*i];
            let kind = Kind::of(field.data_type()).unwrap_or(Kind::Other);
            let input = match column.role {
                Role::Time => Input::from_times(block.time()),
                Role::Tag => Input::from_tag(column.id, block.series(), tags),
                Role::Field => block.field(column.id, kind),
            };
            input.to_array(block.rows(), field.data_type())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(block.rows()));
    Ok(RecordBatch::try_new_with_options(
        arrow.clone(),
        columns,
        &options,
    )?)
}
