//! Reading batches of the head.

use super::{ScanBatch, ScanSpec, Vector};
use crate::catalog::SeriesSet;
use tsdb_types::{Batch, Column, DataType, TimeRange, Values};

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
    let rows: Vec<u32> = match &spec.series {
        None if covered => return None,
        // A batch has at most 16 Mi rows.
        None => (0..batch.rows as u32).filter(in_range).collect(),
        Some(set) => {
            let mut rows = rows_of(&batch.series, batch.rows, set);
            rows.retain(in_range);
            rows
        }
    };
    (rows.len() < batch.rows).then_some(rows)
}

/// The rows of these series, found on the column's bytes as they are.
fn rows_of(series: &Column, rows: usize, set: &SeriesSet) -> Vec<u32> {
    let Values::Int { base, width, data } = &series.values else {
        return Vec::new();
    };
    // Series ids are 32 bits, and so is what stands over the least of them.
    let id = |over: u32| (*base as u32).wrapping_add(over);
    let widest = match width {
        0 => 0,
        1 => u32::from(u8::MAX),
        2 => u32::from(u16::MAX),
        _ => u32::MAX,
    };
    if !set.may_intersect(*base as u32, (*base as u32).saturating_add(widest)) {
        return Vec::new();
    }
    match width {
        0 if set.contains(id(0)) => (0..rows as u32).collect(),
        0 => Vec::new(),
        1 => pick(set, data[..rows].chunks(BLOCK), |v| id(u32::from(*v))),
        2 => pick(set, data.as_chunks().0[..rows].chunks(BLOCK), |b| {
            id(u32::from(u16::from_le_bytes(*b)))
        }),
        4 => pick(set, data.as_chunks().0[..rows].chunks(BLOCK), |b| {
            id(u32::from_le_bytes(*b))
        }),
        _ => pick(set, data.as_chunks().0[..rows].chunks(BLOCK), |b| {
            id(u64::from_le_bytes(*b) as u32)
        }),
    }
}

/// Rows that are tested together, since mostly none of them is wanted.
const BLOCK: usize = 16;

#[inline]
fn pick<'a, T: 'a>(
    set: &SeriesSet,
    blocks: impl Iterator<Item = &'a [T]>,
    id: impl Fn(&T) -> u32,
) -> Vec<u32> {
    let mut rows = Vec::new();
    for (b, block) in blocks.enumerate() {
        if !block.iter().fold(false, |any, v| any | set.contains(id(v))) {
            continue;
        }
        let first = (b * BLOCK) as u32;
        let wanted = block
            .iter()
            .zip(first..)
            .filter(|(v, _)| set.contains(id(v)));
        rows.extend(wanted.map(|(_, row)| row));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_series_are_found_at_every_width() {
        for (step, width) in [(0, 0), (1, 1), (300, 2), (70_000, 4)] {
            for base in [0i64, 7, 20_000_000] {
                let ids: Vec<i64> = (0..100).map(|i| base + (i * 37 % 100) * step).collect();
                let column = Column::from_i64(&ids, None);
                let Values::Int { width: found, .. } = column.values else {
                    panic!("not integers");
                };
                assert_eq!(found, width);
                for wanted in [
                    vec![],
                    vec![ids[3]],
                    vec![ids[0], ids[50], ids[99]],
                    vec![ids[3] + 1],
                ] {
                    let set = SeriesSet::of(wanted.iter().map(|s| *s as u32));
                    let expected: Vec<u32> = (0..100)
                        .filter(|r| set.contains(ids[*r as usize] as u32))
                        .collect();
                    assert_eq!(rows_of(&column, 100, &set), expected, "{width} {base}");
                }
            }
        }
    }
}
