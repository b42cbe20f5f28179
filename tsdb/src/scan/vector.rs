//! Decoded columns: what scans hand out.

use tsdb_types::{Column, DataType, Values};

/// Decoded values; a null row has a slot whose content means nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum VectorValues {
    /// Integers, booleans (0, 1), timestamps, the bits of unsigned integers.
    Int(Vec<i64>),
    /// Decimals, unscaled.
    Int128(Vec<i128>),
    /// Floats.
    Float(Vec<f64>),
    /// Strings: `rows + 1` offsets into the UTF-8 bytes.
    Str {
        /// Offsets, the first 0.
        offsets: Vec<i32>,
        /// The strings, one after the other.
        data: Vec<u8>,
    },
}

/// A decoded column.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// The values.
    pub values: VectorValues,
    /// One bit a row, least significant first, 1 = present; `None` when no row is null.
    pub validity: Option<Vec<u8>>,
}

impl Vector {
    /// Widens a column of `rows` rows; decimals always become 128 bits wide.
    #[must_use]
    pub fn from_column(column: &Column, rows: usize, data_type: DataType) -> Vector {
        let values = match (&column.values, data_type) {
            (_, DataType::Decimal { .. }) => {
                VectorValues::Int128((0..rows).map(|i| column.i128_at(i)).collect())
            }
            (Values::Float(_), _) => {
                let mut out = Vec::with_capacity(rows);
                column.extend_f64(rows, &mut out);
                VectorValues::Float(out)
            }
            (Values::Str { offsets, data }, _) => VectorValues::Str {
                offsets: offsets
                    .chunks_exact(4)
                    .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
                data: data.to_vec(),
            },
            _ => {
                let mut out = Vec::with_capacity(rows);
                column.extend_i64(rows, &mut out);
                VectorValues::Int(out)
            }
        };
        Vector {
            values,
            validity: column.validity.as_ref().map(|v| v.to_vec()),
        }
    }

    /// Widens the chosen rows of a column, in that order.
    #[must_use]
    pub fn from_rows(column: &Column, rows: &[u32], data_type: DataType) -> Vector {
        let at = rows.iter().map(|r| *r as usize);
        let values = match (&column.values, data_type) {
            (_, DataType::Decimal { .. }) => {
                VectorValues::Int128(at.map(|i| column.i128_at(i)).collect())
            }
            (Values::Float(_), _) => VectorValues::Float(at.map(|i| column.f64_at(i)).collect()),
            (Values::Str { .. }, _) => {
                let (mut offsets, mut data) = (vec![0], Vec::new());
                for i in at {
                    data.extend_from_slice(column.str_at(i));
                    // Rows are chosen once each, so they take no more than the column, whose offsets fit.
                    offsets.push(data.len() as i32);
                }
                VectorValues::Str { offsets, data }
            }
            _ => VectorValues::Int(at.map(|i| column.i64_at(i)).collect()),
        };
        let validity = column.validity.is_some().then(|| {
            let mut bits = vec![0u8; rows.len().div_ceil(8)];
            for (i, r) in rows.iter().enumerate() {
                bits[i / 8] |= u8::from(column.is_valid(*r as usize)) << (i % 8);
            }
            bits
        });
        Vector { values, validity }
    }

    /// Whether row `i` has a value.
    #[inline]
    #[must_use]
    pub fn is_valid(&self, i: usize) -> bool {
        self.validity
            .as_ref()
            .is_none_or(|v| v[i / 8] >> (i % 8) & 1 == 1)
    }

    /// Row `i` of an integer vector; 0 for any other kind.
    #[inline]
    #[must_use]
    pub fn i64_at(&self, i: usize) -> i64 {
        match &self.values {
            VectorValues::Int(v) => v[i],
            _ => 0,
        }
    }

    /// Row `i` of a float vector; NaN for any other kind.
    #[inline]
    #[must_use]
    pub fn f64_at(&self, i: usize) -> f64 {
        match &self.values {
            VectorValues::Float(v) => v[i],
            _ => f64::NAN,
        }
    }

    /// Row `i` of a decimal vector; 0 for any other kind.
    #[inline]
    #[must_use]
    pub fn i128_at(&self, i: usize) -> i128 {
        match &self.values {
            VectorValues::Int128(v) => v[i],
            _ => 0,
        }
    }

    /// Row `i` of a string vector; empty for any other kind.
    #[inline]
    #[must_use]
    pub fn str_at(&self, i: usize) -> &[u8] {
        match &self.values {
            VectorValues::Str { offsets, data } => {
                &data[offsets[i] as usize..offsets[i + 1] as usize]
            }
            _ => &[],
        }
    }

    /// No rows, of the same kind.
    fn empty_like(other: &Vector) -> Vector {
        let values = match &other.values {
            VectorValues::Int(_) => VectorValues::Int(Vec::new()),
            VectorValues::Int128(_) => VectorValues::Int128(Vec::new()),
            VectorValues::Float(_) => VectorValues::Float(Vec::new()),
            VectorValues::Str { .. } => VectorValues::Str {
                offsets: vec![0],
                data: Vec::new(),
            },
        };
        Vector {
            values,
            validity: None,
        }
    }

    /// Appends `n` rows of a vector of the same kind to the `rows` rows there are.
    fn append(&mut self, rows: usize, part: &Vector, n: usize) {
        match (&mut self.values, &part.values) {
            (VectorValues::Int(a), VectorValues::Int(b)) => a.extend_from_slice(b),
            (VectorValues::Int128(a), VectorValues::Int128(b)) => a.extend_from_slice(b),
            (VectorValues::Float(a), VectorValues::Float(b)) => a.extend_from_slice(b),
            (VectorValues::Str { offsets, data }, VectorValues::Str { .. }) => {
                for i in 0..n {
                    data.extend_from_slice(part.str_at(i));
                    // The parts are of one segment, whose strings of one column are below 2 GiB.
                    offsets.push(data.len() as i32);
                }
            }
            // Chunks of one column are of one kind, which decoding has checked.
            _ => return self.append_nulls(rows, n),
        }
        self.append_validity(rows, n, |i| part.is_valid(i));
    }

    fn append_nulls(&mut self, rows: usize, n: usize) {
        match &mut self.values {
            VectorValues::Int(v) => v.resize(rows + n, 0),
            VectorValues::Int128(v) => v.resize(rows + n, 0),
            VectorValues::Float(v) => v.resize(rows + n, 0.0),
            VectorValues::Str { offsets, data } => offsets.resize(rows + n + 1, data.len() as i32),
        }
        self.append_validity(rows, n, |_| false);
    }

    fn append_validity(&mut self, rows: usize, n: usize, valid: impl Fn(usize) -> bool) {
        if self.validity.is_none() {
            if (0..n).all(&valid) {
                return;
            }
            let mut bits = vec![0u8; rows.div_ceil(8)];
            (0..rows).for_each(|i| bits[i / 8] |= 1 << (i % 8));
            self.validity = Some(bits);
        }
        if let Some(bits) = &mut self.validity {
            bits.resize((rows + n).div_ceil(8), 0);
            (0..n).for_each(|i| bits[(rows + i) / 8] |= u8::from(valid(i)) << ((rows + i) % 8));
        }
    }

    /// Bytes that the values and the validity take.
    pub(crate) fn byte_len(&self) -> usize {
        self.validity.as_ref().map_or(0, Vec::len)
            + match &self.values {
                VectorValues::Int(v) => v.len() * 8,
                VectorValues::Int128(v) => v.len() * 16,
                VectorValues::Float(v) => v.len() * 8,
                VectorValues::Str { offsets, data } => offsets.len() * 4 + data.len(),
            }
    }

    /// The chosen rows, in that order.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Vector {
        let values = match &self.values {
            VectorValues::Int(v) => {
                VectorValues::Int(rows.iter().map(|r| v[*r as usize]).collect())
            }
            VectorValues::Int128(v) => {
                VectorValues::Int128(rows.iter().map(|r| v[*r as usize]).collect())
            }
            VectorValues::Float(v) => {
                VectorValues::Float(rows.iter().map(|r| v[*r as usize]).collect())
            }
            VectorValues::Str { .. } => {
                let (mut offsets, mut data) = (Vec::with_capacity(rows.len() + 1), Vec::new());
                offsets.push(0);
                for r in rows {
                    data.extend_from_slice(self.str_at(*r as usize));
                    // A selection never exceeds its source, whose offsets fit.
                    offsets.push(data.len() as i32);
                }
                VectorValues::Str { offsets, data }
            }
        };
        let validity = self.validity.as_ref().map(|v| {
            let mut bits = vec![0u8; rows.len().div_ceil(8)];
            for (i, r) in rows.iter().enumerate() {
                bits[i / 8] |= (v[*r as usize / 8] >> (r % 8) & 1) << (i % 8);
            }
            bits
        });
        Vector { values, validity }
    }
}

/// Vectors of one type, one behind the other, each with its number of rows; `None` stands for nulls. `None` when all
/// rows are.
pub(crate) fn joined(parts: impl Iterator<Item = (usize, Option<Vector>)>) -> Option<Vector> {
    let mut out: Option<Vector> = None;
    let mut rows = 0;
    for (n, part) in parts {
        match (&mut out, part) {
            (Some(out), Some(part)) => out.append(rows, &part, n),
            (Some(out), None) => out.append_nulls(rows, n),
            (None, Some(part)) => {
                let mut first = Vector::empty_like(&part);
                first.append_nulls(0, rows);
                first.append(rows, &part, n);
                out = Some(first);
            }
            (None, None) => {}
        }
        rows += n;
    }
    out
}
