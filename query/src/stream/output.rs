//! From groups to rows.

use super::StreamError;
use super::agg::NONE;
use super::groups::FRESH;
use super::operator::{Operator, RowRef};
use super::window::Window;
use crate::bind::windowed::WindowSpec;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampNanosecondArray};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Operator {
    /// All rows, `HAVING` and the projection applied, by window and then in order of first sight.
    ///
    /// # Errors
    /// When an expression fails, or a sum does not fit its type.
    pub fn rows(&self) -> Result<RecordBatch, StreamError> {
        let mut rows = self.all_rows();
        rows.sort_by_key(|r| (r.window, r.key));
        self.output_of(&rows)
    }

    /// What `HAVING` and the projection make of these rows.
    pub(crate) fn output_of(&self, rows: &[RowRef]) -> Result<RecordBatch, StreamError> {
        self.plan.output(self.group_rows(rows)?)
    }

    /// Every row there is.
    pub(crate) fn all_rows(&self) -> Vec<RowRef> {
        if self.plan.windows.is_shared() {
            return self.shared_rows(&mut self.panes.starts.iter().copied(), &|_| true);
        }
        self.groups.live_ids().map(|g| self.row_of(g)).collect()
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

    /// Group rows: keys, aggregates, window bounds. Rows that are merged from panes must have at least one.
    pub(crate) fn group_rows(&self, rows: &[RowRef]) -> Result<RecordBatch, StreamError> {
        let query = self.plan.query();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (i, key) in query.keys.iter().enumerate() {
            columns.push(
                self.keys
                    .column(rows.iter().map(|r| r.key), i, &key.data_type)?,
            );
        }
        if self.plan.windows.is_shared() {
            let slots: Vec<u32> = (0..rows.len() as u32).collect();
            let panes: Vec<Vec<u32>> = rows.iter().map(|r| self.panes_of(r)).collect();
            for accumulator in &self.accumulators {
                let mut merged = accumulator.empty();
                merged.grow(rows.len());
                for (slot, panes) in slots.iter().zip(&panes) {
                    for group in panes {
                        merged.merge(*slot, accumulator, *group, &self.order);
                    }
                }
                columns.push(merged.finish(&slots)?);
            }
        } else {
            let groups: Vec<u32> = rows.iter().map(|r| r.group).collect();
            for accumulator in &self.accumulators {
                columns.push(accumulator.finish(&groups)?);
            }
        }
        if query.window != WindowSpec::None {
            let times = |f: &dyn Fn(Window) -> i64| -> ArrayRef {
                Arc::new(TimestampNanosecondArray::from_iter_values(
                    rows.iter().map(|r| f(r.window)),
                ))
            };
            columns.push(times(&|w| w.start));
            columns.push(times(&|w| w.end));
        }
        let schema = self.plan.group_schema();
        for (column, field) in columns.iter_mut().zip(schema.fields()) {
            if column.data_type() != field.data_type() {
                *column = arrow::compute::cast(column, field.data_type())?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(
            schema.clone(),
            columns,
            &options,
        )?)
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
