//! Reading batches of the head.

use super::{ScanBatch, ScanSpec, Vector, selection};
use tsdb_types::{Batch, DataType, TimeRange};

/// The rows of a batch that the spec admits; `None` when there is none.
pub(crate) fn scan_batch(batch: &Batch, spec: &ScanSpec, types: &[DataType]) -> Option<ScanBatch> {
    let range = spec.time.unwrap_or(TimeRange::ALL);
    let (mut time, mut wide) = (
        Vec::with_capacity(batch.rows),
        Vec::with_capacity(batch.rows),
    );
    batch.time.extend_i64(batch.rows, &mut time);
    batch.series.extend_i64(batch.rows, &mut wide);
    let series: Vec<u32> = wide.iter().map(|s| *s as u32).collect();
    let covered = range.covers(batch.min_time, batch.max_time);
    let rows = selection(&time, &series, spec, covered);
    if rows.as_ref().is_some_and(Vec::is_empty) {
        return None;
    }
    let columns = spec.columns.iter().zip(types).map(|(id, data_type)| {
        let vector = Vector::from_column(batch.column(*id)?, batch.rows, *data_type);
        Some(match &rows {
            Some(rows) => vector.select(rows),
            None => vector,
        })
    });
    let columns = columns.collect();
    Some(match rows {
        None => ScanBatch {
            rows: batch.rows,
            time,
            series,
            columns,
        },
        Some(rows) => ScanBatch {
            rows: rows.len(),
            time: rows.iter().map(|r| time[*r as usize]).collect(),
            series: rows.iter().map(|r| series[*r as usize]).collect(),
            columns,
        },
    })
}
