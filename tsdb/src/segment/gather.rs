//! One column of all rows of a flush, in log order, out of which row groups take theirs.
//!
//! Rows of a group lie far apart in log order, so taking them misses the cache once per line. Integers therefore stay
//! as narrow as the batches have them, and the buffers are used for one column after the other: fresh ones of this
//! size would be pages that the kernel clears first.

use crate::scan::{Vector, VectorValues};
use std::sync::Arc;
use tsdb_types::{Batch, Column, ColumnId, DataType, Values};

/// A column of all rows; filled anew for each column.
#[derive(Default)]
pub(super) struct Gathered {
    kind: Kind,
    /// Integers, less `base`, of the width that `kind` says.
    base: i64,
    bytes: Vec<u8>,
    shorts: Vec<u16>,
    words: Vec<u32>,
    ints: Vec<i64>,
    /// Everything but integers.
    other: Option<VectorValues>,
    validity: Validity,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Bytes,
    Shorts,
    Words,
    Ints,
    Other,
}

impl Gathered {
    /// Takes in a column of `rows` rows of all batches.
    pub fn fill(&mut self, batches: &[Arc<Batch>], id: ColumnId, data_type: DataType, rows: usize) {
        self.validity.clear();
        for batch in batches {
            match batch.column(id) {
                None => self.validity.push_run(batch.rows, false),
                Some(c) if c.validity.is_none() => self.validity.push_run(batch.rows, true),
                Some(c) => (0..batch.rows).for_each(|i| self.validity.push_run(1, c.is_valid(i))),
            }
        }
        let mut columns = batches.iter().map(|b| (b.column(id), b.rows));
        match data_type {
            DataType::Float64 => {
                let mut out = Vec::with_capacity(rows);
                columns.for_each(|(c, n)| match c {
                    Some(c) => c.extend_f64(n, &mut out),
                    None => out.resize(out.len() + n, 0.0),
                });
                self.set_other(VectorValues::Float(out));
            }
            DataType::Decimal { .. } => {
                let mut out: Vec<i128> = Vec::with_capacity(rows);
                columns.for_each(|(c, n)| match c {
                    Some(c) => out.extend((0..n).map(|i| c.i128_at(i))),
                    None => out.resize(out.len() + n, 0),
                });
                self.set_other(VectorValues::Int128(out));
            }
            DataType::Utf8 => {
                let (mut offsets, mut data) = (vec![0i32], Vec::new());
                columns.for_each(|(c, n)| {
                    let c = c.filter(|c| matches!(c.values, Values::Str { .. }));
                    for i in 0..n {
                        if let Some(c) = c {
                            data.extend_from_slice(c.str_at(i));
                        }
                        // Flushes take less than 2 GiB of head at a time.
                        offsets.push(data.len() as i32);
                    }
                });
                self.set_other(VectorValues::Str { offsets, data });
            }
            _ => {
                let (base, kind) = range(columns.by_ref());
                (self.base, self.kind, self.other) = (base, kind, None);
                self.bytes.clear();
                self.shorts.clear();
                self.words.clear();
                self.ints.clear();
                for batch in batches {
                    self.push_ints(batch.column(id), batch.rows);
                }
            }
        }
    }

    fn set_other(&mut self, values: VectorValues) {
        (self.kind, self.other) = (Kind::Other, Some(values));
    }

    fn push_ints(&mut self, column: Option<&Column>, rows: usize) {
        let base = self.base;
        match self.kind {
            Kind::Bytes => narrowed(column, rows, base, &mut self.bytes, |v| v as u8),
            Kind::Shorts => narrowed(column, rows, base, &mut self.shorts, |v| v as u16),
            Kind::Words => narrowed(column, rows, base, &mut self.words, |v| v as u32),
            Kind::Ints => match column {
                Some(c) => c.extend_i64(rows, &mut self.ints),
                None => self.ints.resize(self.ints.len() + rows, 0),
            },
            // Integers are never of that kind.
            Kind::Other => {}
        }
    }

    /// The chosen rows, widened, in that order.
    pub fn select(&self, rows: &[u32]) -> Vector {
        let at = rows.iter().map(|r| *r as usize);
        let base = self.base;
        let ints = match self.kind {
            Kind::Bytes => at
                .map(|i| base.wrapping_add(i64::from(self.bytes[i])))
                .collect(),
            Kind::Shorts => at
                .map(|i| base.wrapping_add(i64::from(self.shorts[i])))
                .collect(),
            Kind::Words => at
                .map(|i| base.wrapping_add(i64::from(self.words[i])))
                .collect(),
            Kind::Ints => at.map(|i| self.ints[i]).collect(),
            Kind::Other => Vec::new(),
        };
        let values = match &self.other {
            None => VectorValues::Int(ints),
            Some(VectorValues::Int(_)) => VectorValues::Int(Vec::new()),
            Some(VectorValues::Float(v)) => {
                VectorValues::Float(rows.iter().map(|r| v[*r as usize]).collect())
            }
            Some(VectorValues::Int128(v)) => {
                VectorValues::Int128(rows.iter().map(|r| v[*r as usize]).collect())
            }
            Some(VectorValues::Str { offsets, data }) => {
                let (mut to, mut text) = (vec![0], Vec::new());
                for r in rows {
                    let (from, end) = (offsets[*r as usize], offsets[*r as usize + 1]);
                    text.extend_from_slice(&data[from as usize..end as usize]);
                    to.push(text.len() as i32);
                }
                VectorValues::Str {
                    offsets: to,
                    data: text,
                }
            }
        };
        Vector {
            values,
            validity: self.validity.select(rows),
        }
    }
}

/// The least base and the narrowest width that hold the integers of all columns, told by their headers alone: a little
/// wider than need be at worst.
fn range<'a>(columns: impl Iterator<Item = (Option<&'a Column>, usize)>) -> (i64, Kind) {
    let mut bounds: Option<(i128, i128)> = None;
    for (column, _) in columns {
        let Some(Values::Int { base, width, .. }) = column.map(|c| &c.values) else {
            continue;
        };
        let least = i128::from(*base);
        let greatest = least + ((1i128 << (8 * u32::from(*width))) - 1);
        bounds = Some(bounds.map_or((least, greatest), |(a, b)| (a.min(least), b.max(greatest))));
    }
    let Some((least, greatest)) = bounds else {
        return (0, Kind::Bytes);
    };
    let kind = match greatest - least {
        0..=0xff => Kind::Bytes,
        0x100..=0xffff => Kind::Shorts,
        0x1_0000..=0xffff_ffff => Kind::Words,
        _ => Kind::Ints,
    };
    // The bases are 64 bits wide, so the least of them is.
    (least as i64, kind)
}

/// Appends a column's integers less `base`; a row without one counts as `base`.
fn narrowed<T: Copy + Default>(
    column: Option<&Column>,
    rows: usize,
    base: i64,
    out: &mut Vec<T>,
    cut: impl Fn(i64) -> T,
) {
    match column.map(|c| &c.values) {
        Some(Values::Int {
            base: own,
            width: 0,
            ..
        }) => {
            let value = cut(own.wrapping_sub(base));
            out.extend(std::iter::repeat_n(value, rows));
        }
        Some(Values::Int {
            base: own,
            width: 1,
            data,
        }) => {
            let shift = own.wrapping_sub(base);
            out.extend(data[..rows].iter().map(|v| cut(i64::from(*v) + shift)));
        }
        Some(Values::Int { .. }) => {
            // `Some` was matched: there is a column.
            let column = column.into_iter();
            out.extend(column.flat_map(|c| (0..rows).map(|i| cut(c.i64_at(i).wrapping_sub(base)))));
        }
        _ => out.resize(out.len() + rows, T::default()),
    }
}

/// A bitmap that stays empty while every row is present.
#[derive(Default)]
struct Validity {
    bits: Vec<u8>,
    len: usize,
    any_null: bool,
}

impl Validity {
    fn clear(&mut self) {
        self.bits.clear();
        (self.len, self.any_null) = (0, false);
    }

    fn push_run(&mut self, rows: usize, valid: bool) {
        if !valid && !self.any_null {
            self.any_null = true;
            self.bits.resize(self.len.div_ceil(8), 0);
            (0..self.len).for_each(|i| self.bits[i / 8] |= 1 << (i % 8));
        }
        if self.any_null {
            self.bits.resize((self.len + rows).div_ceil(8), 0);
            if valid {
                (self.len..self.len + rows).for_each(|i| self.bits[i / 8] |= 1 << (i % 8));
            }
        }
        self.len += rows;
    }

    fn select(&self, rows: &[u32]) -> Option<Vec<u8>> {
        self.any_null.then(|| {
            let mut bits = vec![0u8; rows.len().div_ceil(8)];
            for (i, r) in rows.iter().map(|r| *r as usize).enumerate() {
                bits[i / 8] |= (self.bits[r / 8] >> (r % 8) & 1) << (i % 8);
            }
            bits
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_types::{BatchBuilder, SeriesId, StreamId};

    fn batch(values: &[Option<i64>]) -> Arc<Batch> {
        let mut b = BatchBuilder::new(StreamId(1));
        for (i, v) in values.iter().enumerate() {
            b.begin_row(i as i64, SeriesId(0));
            if let Some(v) = v {
                b.column(ColumnId(1), DataType::Int64).unwrap().push_i64(*v);
            }
        }
        Arc::new(b.finish().unwrap())
    }

    #[test]
    fn integers_of_every_width_come_back_in_the_order_asked_for() {
        let sets: [&[&[Option<i64>]]; 6] = [
            &[&[Some(5), Some(5)], &[Some(7), None, Some(260)]],
            &[&[None, None], &[Some(-3)]],
            &[&[Some(1), Some(70_000)], &[Some(-70_000)], &[Some(2)]],
            &[&[Some(i64::MIN), Some(i64::MAX)], &[Some(0)]],
            &[&[Some(i64::MAX)], &[Some(i64::MAX - 300)], &[None]],
            &[&[Some(1 << 40)], &[Some(1)]],
        ];
        // One for all, as a flush has it: nothing of a column may show in the next.
        let mut gathered = Gathered::default();
        for set in sets {
            let batches: Vec<_> = set.iter().map(|values| batch(values)).collect();
            let all: Vec<Option<i64>> = set.concat();
            gathered.fill(&batches, ColumnId(1), DataType::Int64, all.len());
            let rows: Vec<u32> = (0..all.len() as u32).rev().collect();
            let vector = gathered.select(&rows);
            for (i, expected) in all.iter().rev().enumerate() {
                assert_eq!(
                    vector.is_valid(i).then(|| vector.i64_at(i)),
                    *expected,
                    "{all:?}"
                );
            }
        }
    }
}
