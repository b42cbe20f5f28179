//! Growing columns that decoders append to.

use crate::{Batch, Column, ColumnId, DataType, SeriesId, StreamId, Values};
use bytes::Bytes;

#[derive(Clone, Debug)]
enum Data {
    Int(Vec<i64>),
    Int128(Vec<i128>),
    Float(Vec<f64>),
    Str { offsets: Vec<u32>, data: Vec<u8> },
}

/// A column under construction. Rows that are skipped become nulls, so absent fields cost nothing until one is present.
#[derive(Clone, Debug)]
pub struct ColumnBuilder {
    data: Data,
    len: usize,
    /// One bit a row; empty while no row is null.
    validity: Vec<u8>,
    present: usize,
}

impl ColumnBuilder {
    /// An empty column for values of `data_type`.
    #[must_use]
    pub fn new(data_type: DataType) -> ColumnBuilder {
        let data = match data_type {
            DataType::Float64 => Data::Float(Vec::new()),
            DataType::Utf8 => Data::Str {
                offsets: vec![0],
                data: Vec::new(),
            },
            DataType::Decimal { precision, .. } if precision > 18 => Data::Int128(Vec::new()),
            _ => Data::Int(Vec::new()),
        };
        ColumnBuilder {
            data,
            len: 0,
            validity: Vec::new(),
            present: 0,
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[cold]
    fn begin_validity(&mut self) {
        self.validity = vec![0xff; self.len / 8];
        if !self.len.is_multiple_of(8) {
            self.validity.push((1 << (self.len % 8)) - 1);
        }
    }

    #[inline]
    fn mark(&mut self, valid: bool) {
        if !valid && self.validity.is_empty() {
            self.begin_validity();
            if self.len == 0 {
                // An empty bitmap means "no null so far", so the first null of an empty column starts it here.
                self.validity.push(0);
                self.len = 1;
                return;
            }
        }
        if !self.validity.is_empty() {
            if self.len.is_multiple_of(8) {
                self.validity.push(0);
            }
            if valid {
                let last = self.validity.len() - 1;
                self.validity[last] |= 1 << (self.len % 8);
            }
        }
        self.present += usize::from(valid);
        self.len += 1;
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        match &mut self.data {
            Data::Int(v) => v.push(v.last().copied().unwrap_or(0)),
            Data::Int128(v) => v.push(0),
            Data::Float(v) => v.push(0.0),
            Data::Str { offsets, data } => offsets.push(data.len() as u32),
        }
        self.mark(false);
    }

    /// Appends nulls until there are `rows` rows.
    pub fn pad(&mut self, rows: usize) {
        while self.len < rows {
            self.push_null();
        }
    }

    /// Appends an integer, boolean (0 or 1), timestamp, the bits of an unsigned integer, or a small decimal.
    /// In a float column the integer's value, in a wide decimal column the decimal.
    #[inline]
    pub fn push_i64(&mut self, value: i64) {
        match &mut self.data {
            Data::Int(v) => v.push(value),
            Data::Int128(v) => v.push(i128::from(value)),
            Data::Float(v) => v.push(value as f64),
            Data::Str { offsets, data } => offsets.push(data.len() as u32),
        }
        self.mark(true);
    }

    /// Appends a decimal's unscaled value; false (and nothing appended) when a narrow column can't hold it.
    #[inline]
    pub fn push_i128(&mut self, value: i128) -> bool {
        match &mut self.data {
            Data::Int128(v) => {
                v.push(value);
                self.mark(true);
                true
            }
            _ => i64::try_from(value).is_ok_and(|v| {
                self.push_i64(v);
                true
            }),
        }
    }

    /// Appends a float. Only for float columns.
    #[inline]
    pub fn push_f64(&mut self, value: f64) {
        debug_assert!(matches!(self.data, Data::Float(_)));
        if let Data::Float(v) = &mut self.data {
            v.push(value);
            self.mark(true);
        }
    }

    /// Appends a string; false (and nothing appended) when the column would pass 4 GiB. Only for string columns.
    #[inline]
    pub fn push_str(&mut self, value: &str) -> bool {
        let Data::Str { offsets, data } = &mut self.data else {
            return false;
        };
        let Ok(end) = u32::try_from(data.len() + value.len()) else {
            return false;
        };
        data.extend_from_slice(value.as_bytes());
        offsets.push(end);
        self.mark(true);
        true
    }

    /// Drops all rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        if rows >= self.len {
            return;
        }
        let valid = |v: &[u8], i: usize| v.is_empty() || v[i / 8] >> (i % 8) & 1 == 1;
        self.present -= (rows..self.len)
            .filter(|i| valid(&self.validity, *i))
            .count();
        match &mut self.data {
            Data::Int(v) => v.truncate(rows),
            Data::Int128(v) => v.truncate(rows),
            Data::Float(v) => v.truncate(rows),
            Data::Str { offsets, data } => {
                offsets.truncate(rows + 1);
                data.truncate(offsets[rows] as usize);
            }
        }
        if !self.validity.is_empty() {
            self.validity.truncate(rows.div_ceil(8));
            if let Some(last) = self.validity.last_mut()
                && !rows.is_multiple_of(8)
            {
                *last &= (1 << (rows % 8)) - 1;
            }
        }
        self.len = rows;
    }

    /// Appends all rows of `other`, a column of the same type.
    pub fn append(&mut self, other: &ColumnBuilder) {
        let nulls = !other.validity.is_empty();
        if !nulls && self.validity.is_empty() {
            match (&mut self.data, &other.data) {
                (Data::Int(a), Data::Int(b)) => a.extend_from_slice(b),
                (Data::Int128(a), Data::Int128(b)) => a.extend_from_slice(b),
                (Data::Float(a), Data::Float(b)) => a.extend_from_slice(b),
                (
                    Data::Str { offsets, data },
                    Data::Str {
                        offsets: o,
                        data: d,
                    },
                ) => {
                    let base = data.len() as u32;
                    data.extend_from_slice(d);
                    offsets.extend(o[1..].iter().map(|x| x + base));
                }
                _ => debug_assert!(false, "columns of one id have one type"),
            }
            self.len += other.len;
            self.present += other.len;
            return;
        }
        for i in 0..other.len {
            if nulls && other.validity[i / 8] >> (i % 8) & 1 == 0 {
                self.push_null();
                continue;
            }
            match &other.data {
                Data::Int(v) => self.push_i64(v[i]),
                Data::Int128(v) => {
                    self.push_i128(v[i]);
                }
                Data::Float(v) => self.push_f64(v[i]),
                Data::Str { offsets, data } => {
                    let text = &data[offsets[i] as usize..offsets[i + 1] as usize];
                    // Invariant: only whole `&str` values are ever appended to `data`.
                    self.push_str(std::str::from_utf8(text).unwrap_or_default());
                }
            }
        }
    }

    /// Whether any row has a value.
    #[must_use]
    pub fn any_present(&self) -> bool {
        self.present > 0
    }

    /// The immutable column, padded with nulls to `rows`.
    #[must_use]
    pub fn finish(mut self, rows: usize) -> Column {
        self.pad(rows);
        let validity =
            (self.present < rows).then(|| Bytes::from(std::mem::take(&mut self.validity)));
        match self.data {
            Data::Int(v) => Column::from_i64(&v, validity),
            Data::Int128(v) => {
                if v.iter().all(|x| i64::try_from(*x).is_ok()) {
                    let narrow: Vec<i64> = v.iter().map(|x| *x as i64).collect();
                    return Column::from_i64(&narrow, validity);
                }
                let data: Vec<u8> = v.iter().flat_map(|x| x.to_le_bytes()).collect();
                Column {
                    values: Values::Int128(data.into()),
                    validity,
                }
            }
            Data::Float(v) => Column::from_f64(&v, validity),
            Data::Str { offsets, data } => {
                let offsets: Vec<u8> = offsets.iter().flat_map(|x| x.to_le_bytes()).collect();
                Column {
                    values: Values::Str {
                        offsets: offsets.into(),
                        data: data.into(),
                    },
                    validity,
                }
            }
        }
    }
}

/// Rows of one stream under construction. A row is begun with [`BatchBuilder::begin_row`], its fields are appended to
/// [`BatchBuilder::column`], and fields that are not appended are null.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// The stream.
    pub stream: StreamId,
    /// Event times of the rows so far, in nanoseconds.
    pub times: Vec<i64>,
    /// Series of the rows so far.
    pub series: Vec<u32>,
    columns: Vec<Option<ColumnBuilder>>,
}

impl BatchBuilder {
    /// No rows yet.
    #[must_use]
    pub fn new(stream: StreamId) -> BatchBuilder {
        BatchBuilder {
            stream,
            times: Vec::new(),
            series: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// Starts a row; the fields appended next belong to it.
    #[inline]
    pub fn begin_row(&mut self, time: i64, series: SeriesId) {
        self.times.push(time);
        self.series.push(series.0);
    }

    /// Sets the time of the row begun last, for formats that carry it behind the fields.
    #[inline]
    pub fn set_time(&mut self, time: i64) {
        if let Some(t) = self.times.last_mut() {
            *t = time;
        }
    }

    /// The column for a field of the row begun last, padded with nulls up to it. The caller appends exactly one value;
    /// `None` when the row has a value there already.
    #[inline]
    pub fn column(&mut self, id: ColumnId, data_type: DataType) -> Option<&mut ColumnBuilder> {
        let (i, before) = (usize::from(id.0), self.times.len() - 1);
        if i >= self.columns.len() {
            self.columns.resize_with(i + 1, || None);
        }
        let column = self.columns[i].get_or_insert_with(|| ColumnBuilder::new(data_type));
        if column.len < before {
            column.pad(before);
        }
        (column.len == before).then_some(column)
    }

    /// Takes the row begun last back, with all its fields.
    pub fn abort_row(&mut self) {
        self.truncate(self.times.len().saturating_sub(1));
    }

    /// Drops all rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.times.truncate(rows);
        self.series.truncate(rows);
        for column in self.columns.iter_mut().flatten() {
            column.truncate(rows);
        }
    }

    /// Appends all rows of another builder of the same stream.
    pub fn append(&mut self, other: &BatchBuilder) {
        debug_assert_eq!(self.stream, other.stream);
        let before = self.times.len();
        self.times.extend_from_slice(&other.times);
        self.series.extend_from_slice(&other.series);
        if self.columns.len() < other.columns.len() {
            self.columns.resize_with(other.columns.len(), || None);
        }
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            let Some(theirs) = theirs else { continue };
            let mine = mine.get_or_insert_with(|| {
                let mut empty = theirs.clone();
                empty.truncate(0);
                empty
            });
            mine.pad(before);
            mine.append(theirs);
        }
    }

    /// Bytes held, near enough for accounting.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        let columns = self.columns.iter().flatten().map(|c| match &c.data {
            Data::Int(v) => v.len() * 8,
            Data::Int128(v) => v.len() * 16,
            Data::Float(v) => v.len() * 8,
            Data::Str { offsets, data } => offsets.len() * 4 + data.len(),
        });
        self.times.len() * 12 + columns.sum::<usize>()
    }

    /// The immutable batch; `None` when there is no row.
    #[must_use]
    pub fn finish(self) -> Option<Batch> {
        let rows = self.times.len();
        let (min_time, max_time) = (*self.times.iter().min()?, *self.times.iter().max()?);
        let series: Vec<i64> = self.series.iter().map(|s| i64::from(*s)).collect();
        let columns = self.columns.into_iter().enumerate().filter_map(|(i, c)| {
            let c = c.filter(ColumnBuilder::any_present)?;
            Some((ColumnId(i as u16), c.finish(rows)))
        });
        Some(Batch {
            stream: self.stream,
            rows,
            columns: columns.collect(),
            time: Column::from_i64(&self.times, None),
            series: Column::from_i64(&series, None),
            min_time,
            max_time,
        })
    }
}

#[cfg(test)]
mod tests;
