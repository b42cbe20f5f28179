//! From groups to rows.

use super::StreamError;
use super::agg::NONE;
use super::groups::FRESH;
use super::operator::{Operator, RowRef};
use super::read::Read;
use super::shape::Shape;
use super::window::Window;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampNanosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

impl Operator {
    /// All rows, `HAVING` and the projection applied, by window and then in order of first sight.
    ///
    /// # Errors
    /// When an expression fails, a sum does not fit its type, or the rows do not fit one batch.
    pub fn rows(&self) -> Result<RecordBatch, StreamError> {
        let mut slices = Vec::new();
        self.read(&Read::all(&self.plan), &mut |slice| {
            slices.push(slice);
            ControlFlow::Continue(())
        })?;
        one_batch(&self.plan.query().output, &slices)
    }

    /// What `HAVING` and the projection make of these rows.
    pub(crate) fn output_of(&self, rows: &[RowRef]) -> Result<RecordBatch, StreamError> {
        self.shaped(rows, self.plan.shape())
    }

    /// What a shape makes of these rows.
    pub(crate) fn shaped(
        &self,
        rows: &[RowRef],
        shape: &Shape,
    ) -> Result<RecordBatch, StreamError> {
        shape.apply(self.group_rows(rows, shape)?)
    }

    /// The rows of windows that these panes are part of and that `wanted` admits.
    pub(crate) fn shared_rows(
        &self,
        panes: &mut dyn Iterator<Item = i64>,
        wanted: &dyn Fn(Window) -> bool,
    ) -> Vec<RowRef> {
        let mut seen = BTreeSet::new();
        for start in panes {
            let Some(pane) = self.panes.get(start) else {
                continue;
            };
            self.plan.windows.windows_of(start, &mut |window| {
                if wanted(window) {
                    seen.extend(
                        pane.groups
                            .iter()
                            .map(|g| (window, self.groups.key[*g as usize])),
                    );
                }
            });
        }
        seen.into_iter()
            .map(|(window, key)| RowRef {
                key,
                window,
                group: NONE,
            })
            .collect()
    }

    /// The columns of group rows (keys, aggregates, window bounds) that a shape needs. Rows that are merged from panes
    /// must have at least one.
    pub(super) fn group_rows(
        &self,
        rows: &[RowRef],
        shape: &Shape,
    ) -> Result<RecordBatch, StreamError> {
        let query = self.plan.query();
        let (keys, aggregates) = (query.keys.len(), query.aggregates.len());
        let slots: Vec<u32> = (0..rows.len() as u32).collect();
        let merge = rows.iter().any(|r| r.group == NONE);
        let panes: Vec<Vec<u32>> = match merge && shape.needed().iter().any(|i| *i >= keys) {
            true => rows.iter().map(|r| self.groups_of(r)).collect(),
            false => Vec::new(),
        };
        let groups: Vec<u32> = rows.iter().map(|r| r.group).collect();
        let fields = shape.needed().iter().zip(shape.groups().fields());
        let columns = fields.map(|(i, field)| {
            let column = match *i {
                i if i < keys => {
                    let ids = rows.iter().map(|r| r.key);
                    self.keys.column(ids, i, &query.keys[i].data_type)?
                }
                i if i < keys + aggregates => {
                    let accumulator = &self.accumulators[i - keys];
                    match merge {
                        true => accumulator.merged(&panes, &self.order).finish(&slots)?,
                        false => accumulator.finish(&groups)?,
                    }
                }
                i => {
                    let start = i == keys + aggregates;
                    let bound = |w: Window| if start { w.start } else { w.end };
                    let times = rows.iter().map(|r| bound(r.window));
                    Arc::new(TimestampNanosecondArray::from_iter_values(times))
                }
            };
            if column.data_type() != field.data_type() {
                return Ok(arrow::compute::cast(&column, field.data_type())?);
            }
            Ok(column)
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, StreamError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let schema = shape.groups().clone();
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    /// The groups that a row is made of.
    pub(super) fn groups_of(&self, row: &RowRef) -> Vec<u32> {
        match row.group {
            NONE => self.panes_of(row),
            group => vec![group],
        }
    }

    /// The groups that a merged row is made of. Those of the block being applied have no state yet.
    pub(crate) fn panes_of(&self, row: &RowRef) -> Vec<u32> {
        self.plan
            .windows
            .panes_of(row.window)
            .filter_map(|start| self.panes.get(start)?.get(row.key))
            .filter(|g| !self.groups.is(*g, FRESH))
            .collect()
    }
}

/// Batches as one. Offsets of text and lists are 31 bits, so that there is a bound to it.
pub(crate) fn one_batch(
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<RecordBatch, StreamError> {
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    if bytes > i32::MAX as usize && batches.len() > 1 {
        return Err(StreamError::Unsupported(
            "these are more than 2 GiB of rows at once: ask for fewer".to_string(),
        ));
    }
    Ok(concat_batches(schema, batches)?)
}
