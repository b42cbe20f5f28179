//! The head: the newest rows, in memory, in log order.
//!
//! A snapshot shares heads by reference; a commit that finds its head shared copies the list of references, never rows.

use std::sync::Arc;
use tsdb_types::{Batch, BatchBuilder, ColumnId, DataType};

/// Batches of one stream in log order.
#[derive(Clone, Default)]
pub(crate) struct Head {
    /// Full runs of [`RUN`] batches, shared with snapshots run by run.
    runs: Vec<Arc<Vec<Arc<Batch>>>>,
    tail: Vec<Arc<Batch>>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Batches in a run, and of one size class that are merged into one.
const RUN: usize = 64;
/// A batch of as many rows is not merged any more.
const LARGE: usize = 4096;

/// Batches of like size share a class: merging a run of one class makes one batch of the next.
fn class(batch: &Batch) -> u32 {
    (batch.rows.min(LARGE).ilog2()) / RUN.ilog2()
}

impl Head {
    /// Appends a batch; runs of small ones become one, so that a million one-row commits leave few batches.
    pub(crate) fn push(&mut self, batch: Arc<Batch>, type_of: &dyn Fn(ColumnId) -> DataType) {
        self.rows += batch.rows as u64;
        self.bytes += batch.byte_len() as u64;
        self.tail.push(batch);
        while let Some(from) = self.mergeable() {
            let mut merged = BatchBuilder::new(self.tail[from].stream);
            for batch in &self.tail[from..] {
                self.bytes -= batch.byte_len() as u64;
                append(&mut merged, batch, type_of);
            }
            self.tail.truncate(from);
            if let Some(batch) = merged.finish() {
                self.bytes += batch.byte_len() as u64;
                self.tail.push(Arc::new(batch));
            }
        }
        if self.tail.len() >= 4 * RUN {
            let run = self.tail.drain(..RUN).collect();
            self.runs.push(Arc::new(run));
        }
    }

    /// Where a run of small batches of one class that reaches the end begins, once it is long enough.
    fn mergeable(&self) -> Option<usize> {
        let last = self.tail.last().filter(|b| b.rows < LARGE)?;
        let from = self.tail.len().checked_sub(RUN)?;
        self.tail[from..]
            .iter()
            .all(|b| b.rows < LARGE && class(b) == class(last))
            .then_some(from)
    }

    /// All batches, in log order.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Arc<Batch>> + '_ {
        self.runs
            .iter()
            .flat_map(|r| r.iter())
            .chain(&self.tail)
            .cloned()
    }
}

/// Appends a finished batch's rows to a builder.
fn append(out: &mut BatchBuilder, batch: &Batch, type_of: &dyn Fn(ColumnId) -> DataType) {
    for i in 0..batch.rows {
        out.begin_row(
            batch.time.i64_at(i),
            tsdb_types::SeriesId(batch.series.i64_at(i) as u32),
        );
        for (id, column) in batch.columns.iter().filter(|(_, c)| c.is_valid(i)) {
            let data_type = type_of(*id);
            // A row has each column once, so there is room for the value.
            let Some(to) = out.column(*id, data_type) else {
                continue;
            };
            match data_type {
                DataType::Float64 => to.push_f64(column.f64_at(i)),
                DataType::Decimal { .. } => {
                    to.push_i128(column.i128_at(i));
                }
                DataType::Utf8 => {
                    to.push_str(std::str::from_utf8(column.str_at(i)).unwrap_or_default());
                }
                _ => to.push_i64(column.i64_at(i)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_types::{SeriesId, StreamId};

    #[test]
    fn one_row_batches_keep_their_order_and_become_few() {
        let mut head = Head::default();
        for i in 0..20_000i64 {
            let mut b = BatchBuilder::new(StreamId(1));
            b.begin_row(i, SeriesId(0));
            if i % 3 != 0 {
                b.column(ColumnId(1), DataType::Int64).unwrap().push_i64(-i);
            }
            head.push(Arc::new(b.finish().unwrap()), &|_| DataType::Int64);
        }
        let batches: Vec<_> = head.batches().collect();
        assert!(batches.len() < 200, "{} batches", batches.len());
        assert_eq!(head.rows, 20_000);
        assert_eq!(
            head.bytes,
            batches.iter().map(|b| b.byte_len() as u64).sum::<u64>()
        );
        let mut i = 0i64;
        for b in batches {
            for r in 0..b.rows {
                assert_eq!(b.time.i64_at(r), i);
                let v = b
                    .column(ColumnId(1))
                    .filter(|c| c.is_valid(r))
                    .map(|c| c.i64_at(r));
                assert_eq!(v, (i % 3 != 0).then_some(-i));
                i += 1;
            }
        }
    }
}
