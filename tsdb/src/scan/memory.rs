//! Reading batches of the head.

use super::{ScanBatch, ScanSpec, Vector};
use tsdb_types::{Batch, DataType, TimeRange};

/// The rows of a batch that the spec admits; `None` when there is none. Rows are chosen on the narrow columns, and only
/// those that are left are widened.
pub(crate) fn scan_batch(batch: &Batch, spec: &ScanSpec, types: &[DataType]) -> Option<ScanBatch> {
    let wanted = spec.columns.iter().zip(types);
    let Some(rows) = chosen(batch, spec) else {
        let (mut time, mut wide) = (
            Vec::with_capacity(batch.rows),
            Vec::with_capacity(batch.rows),
        );
        batch.time.extend_i64(batch.rows, &mut time);
        batch.series.extend_i64(batch.rows, &mut wide);
        let columns = wanted
            .map(|(id, t)| Some(Vector::from_column(batch.column(*id)?, batch.rows, *t)))
            .collect();
        return Some(ScanBatch {
            rows: batch.rows,
            time,
            series: wide.iter().map(|s| *s as u32).collect(),
            columns,
        });
    };
    if rows.is_empty() {
        return None;
    }
    let columns = wanted
        .map(|(id, t)| Some(Vector::from_rows(batch.column(*id)?, &rows, *t)))
        .collect();
    let at = |r: &u32| *r as usize;
    Some(ScanBatch {
        rows: rows.len(),
        time: rows.iter().map(|r| batch.time.i64_at(at(r))).collect(),
        series: rows
            .iter()
            .map(|r| batch.series.i64_at(at(r)) as u32)
            .collect(),
        columns,
    })
}

/// The rows that the spec admits; `None` means all of them.
fn chosen(batch: &Batch, spec: &ScanSpec) -> Option<Vec<u32>> {
    let range = spec.time.unwrap_or(TimeRange::ALL);
    let covered = range.covers(batch.min_time, batch.max_time);
    let in_range = |i: &u32| covered || range.contains(batch.time.i64_at(*i as usize));
    // A batch has at most 16 Mi rows.
    let all = 0..batch.rows as u32;
    let rows: Vec<u32> = match &spec.series {
        None if covered => return None,
        None => all.filter(in_range).collect(),
        Some(set) => all
            .filter(|i| set.contains(batch.series.i64_at(*i as usize) as u32))
            .filter(in_range)
            .collect(),
    };
    (rows.len() < batch.rows).then_some(rows)
}
