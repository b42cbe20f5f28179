//! An immutable column: the form shared by the write-ahead log, the head and scans.
//!
//! Values lie in [`Bytes`], little-endian, so that a column can be a slice of a log record or of a memory map.

use crate::BatchError;
use bytes::Bytes;

/// The values of a column; a null row has a slot whose content means nothing.
#[derive(Clone, Debug)]
pub enum Values {
    /// Integers at minimal width: row `i` is `base` plus the `width` bytes at `i * width`, read unsigned, wrapping.
    /// Booleans (0, 1), timestamps, unsigned integers (their 64 bits) and decimals that fit 64 bits too.
    Int {
        /// The least value.
        base: i64,
        /// 0 (all rows equal `base`), 1, 2, 4 or 8 bytes.
        width: u8,
        /// `rows * width` bytes.
        data: Bytes,
    },
    /// 128-bit integers: decimals of which one does not fit 64 bits. `rows * 16` bytes.
    Int128(Bytes),
    /// IEEE 754 binary64. `rows * 8` bytes.
    Float(Bytes),
    /// UTF-8 strings: `rows + 1` offsets of four bytes, the first 0, into `data`.
    Str {
        /// `(rows + 1) * 4` bytes.
        offsets: Bytes,
        /// The strings, one after the other.
        data: Bytes,
    },
}

/// Values and which of them are null.
#[derive(Clone, Debug)]
pub struct Column {
    /// The values.
    pub values: Values,
    /// One bit a row, least significant first, 1 = present; `None` when no row is null.
    pub validity: Option<Bytes>,
}

fn u32_at(data: &[u8], i: usize) -> u32 {
    let mut b = [0; 4];
    b.copy_from_slice(&data[i * 4..i * 4 + 4]);
    u32::from_le_bytes(b)
}

impl Column {
    /// Narrows integers to their least width.
    #[must_use]
    pub fn from_i64(values: &[i64], validity: Option<Bytes>) -> Column {
        Column {
            values: narrow(values),
            validity,
        }
    }

    /// A column of floats.
    #[must_use]
    pub fn from_f64(values: &[f64], validity: Option<Bytes>) -> Column {
        let mut data = Vec::with_capacity(values.len() * 8);
        for v in values {
            data.extend_from_slice(&v.to_le_bytes());
        }
        Column {
            values: Values::Float(data.into()),
            validity,
        }
    }

    /// Whether row `i` has a value.
    #[inline]
    #[must_use]
    pub fn is_valid(&self, i: usize) -> bool {
        self.validity
            .as_ref()
            .is_none_or(|v| v[i / 8] >> (i % 8) & 1 == 1)
    }

    /// Row `i` of an integer column; 0 for any other kind.
    #[inline]
    #[must_use]
    pub fn i64_at(&self, i: usize) -> i64 {
        match &self.values {
            Values::Int { base, width, data } => base.wrapping_add(match width {
                0 => 0,
                1 => i64::from(data[i]),
                2 => i64::from(u16::from_le_bytes([data[i * 2], data[i * 2 + 1]])),
                4 => i64::from(u32_at(data, i)),
                _ => {
                    let mut b = [0; 8];
                    b.copy_from_slice(&data[i * 8..i * 8 + 8]);
                    i64::from_le_bytes(b)
                }
            }),
            _ => 0,
        }
    }

    /// Row `i` of a decimal column (either width).
    #[inline]
    #[must_use]
    pub fn i128_at(&self, i: usize) -> i128 {
        match &self.values {
            Values::Int128(data) => {
                let mut b = [0; 16];
                b.copy_from_slice(&data[i * 16..i * 16 + 16]);
                i128::from_le_bytes(b)
            }
            _ => i128::from(self.i64_at(i)),
        }
    }

    /// Row `i` of a float column; NaN for any other kind.
    #[inline]
    #[must_use]
    pub fn f64_at(&self, i: usize) -> f64 {
        match &self.values {
            Values::Float(data) => {
                let mut b = [0; 8];
                b.copy_from_slice(&data[i * 8..i * 8 + 8]);
                f64::from_le_bytes(b)
            }
            _ => f64::NAN,
        }
    }

    /// Row `i` of a string column; empty for any other kind.
    #[inline]
    #[must_use]
    pub fn str_at(&self, i: usize) -> &[u8] {
        match &self.values {
            Values::Str { offsets, data } => {
                &data[u32_at(offsets, i) as usize..u32_at(offsets, i + 1) as usize]
            }
            _ => &[],
        }
    }

    /// Appends all integers, widened, to `out`. Nulls append whatever their slot holds.
    pub fn extend_i64(&self, rows: usize, out: &mut Vec<i64>) {
        match &self.values {
            Values::Int { base, width: 0, .. } => out.extend(std::iter::repeat_n(*base, rows)),
            Values::Int {
                base,
                width: 1,
                data,
            } => {
                out.extend(
                    data[..rows]
                        .iter()
                        .map(|v| base.wrapping_add(i64::from(*v))),
                );
            }
            Values::Int {
                base,
                width: 2,
                data,
            } => out.extend(
                data[..rows * 2]
                    .chunks_exact(2)
                    .map(|b| base.wrapping_add(i64::from(u16::from_le_bytes([b[0], b[1]])))),
            ),
            Values::Int {
                base,
                width: 4,
                data,
            } => out.extend(data[..rows * 4].chunks_exact(4).map(|b| {
                base.wrapping_add(i64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            })),
            _ => out.extend((0..rows).map(|i| self.i64_at(i))),
        }
    }

    /// Appends all floats to `out`.
    pub fn extend_f64(&self, rows: usize, out: &mut Vec<f64>) {
        match &self.values {
            Values::Float(data) => out.extend(
                data[..rows * 8]
                    .chunks_exact(8)
                    .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])),
            ),
            _ => out.extend((0..rows).map(|i| self.f64_at(i))),
        }
    }

    /// The bytes that it lies in.
    pub fn buffers(&self) -> impl Iterator<Item = &Bytes> {
        let (first, second) = match &self.values {
            Values::Int { data, .. } | Values::Int128(data) | Values::Float(data) => (data, None),
            Values::Str { offsets, data } => (offsets, Some(data)),
        };
        [Some(first), second, self.validity.as_ref()]
            .into_iter()
            .flatten()
    }

    /// Bytes that the values and the validity take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.validity.as_ref().map_or(0, Bytes::len)
            + match &self.values {
                Values::Int { data, .. } | Values::Int128(data) | Values::Float(data) => data.len(),
                Values::Str { offsets, data } => offsets.len() + data.len(),
            }
    }

    /// Appends the wire form: kind, width, has-validity, zero, base (8), string bytes (4), then the buffers.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, width, base, text) = match &self.values {
            Values::Int { base, width, .. } => (0u8, *width, *base, 0u32),
            Values::Int128(_) => (1, 16, 0, 0),
            Values::Float(_) => (2, 8, 0, 0),
            // Builders cap string data at u32::MAX bytes.
            Values::Str { data, .. } => (3, 4, 0, data.len() as u32),
        };
        out.extend_from_slice(&[kind, width, u8::from(self.validity.is_some()), 0]);
        out.extend_from_slice(&base.to_le_bytes());
        out.extend_from_slice(&text.to_le_bytes());
        if let Some(v) = &self.validity {
            out.extend_from_slice(v);
        }
        match &self.values {
            Values::Int { data, .. } | Values::Int128(data) | Values::Float(data) => {
                out.extend_from_slice(data)
            }
            Values::Str { offsets, data } => {
                out.extend_from_slice(offsets);
                out.extend_from_slice(data);
            }
        }
    }

    /// Reads the wire form from `bytes` at `*pos`, without copying, and moves `*pos` behind it.
    pub(crate) fn decode(
        bytes: &Bytes,
        pos: &mut usize,
        rows: usize,
    ) -> Result<Column, BatchError> {
        let mut take = |n: usize| -> Result<Bytes, BatchError> {
            let end = pos
                .checked_add(n)
                .filter(|e| *e <= bytes.len())
                .ok_or(BatchError::Truncated)?;
            let b = bytes.slice(*pos..end);
            *pos = end;
            Ok(b)
        };
        let head = take(16)?;
        let (kind, width, has_validity) = (head[0], head[1], head[2]);
        let mut base = [0; 8];
        base.copy_from_slice(&head[4..12]);
        let text = u32_at(&head[12..16], 0) as usize;
        let validity = match has_validity {
            0 => None,
            1 => Some(take(rows.div_ceil(8))?),
            _ => return Err(BatchError::Invalid("validity flag")),
        };
        let values = match (kind, width) {
            (0, 0 | 1 | 2 | 4 | 8) => Values::Int {
                base: i64::from_le_bytes(base),
                width,
                data: take(rows * usize::from(width))?,
            },
            (1, 16) => Values::Int128(take(rows * 16)?),
            (2, 8) => Values::Float(take(rows * 8)?),
            (3, 4) => {
                let offsets = take((rows + 1) * 4)?;
                let data = take(text)?;
                let mut last = 0;
                for i in 0..=rows {
                    let o = u32_at(&offsets, i);
                    if o < last || o as usize > text || (i == 0 && o != 0) {
                        return Err(BatchError::Invalid("string offsets"));
                    }
                    last = o;
                }
                Values::Str { offsets, data }
            }
            _ => return Err(BatchError::Invalid("column kind")),
        };
        Ok(Column { values, validity })
    }
}

/// Integers at the least of the widths 0, 1, 2, 4, 8 that holds their range.
fn narrow(values: &[i64]) -> Values {
    let (mut min, mut max) = (i64::MAX, i64::MIN);
    for v in values {
        min = min.min(*v);
        max = max.max(*v);
    }
    if values.is_empty() || min == max {
        return Values::Int {
            base: if values.is_empty() { 0 } else { min },
            width: 0,
            data: Bytes::new(),
        };
    }
    let range = (max as u64).wrapping_sub(min as u64);
    let sub = |v: &i64| (*v as u64).wrapping_sub(min as u64);
    let (width, data): (u8, Vec<u8>) = if range <= 0xff {
        (1, values.iter().map(|v| sub(v) as u8).collect())
    } else if range <= 0xffff {
        (
            2,
            values
                .iter()
                .flat_map(|v| (sub(v) as u16).to_le_bytes())
                .collect(),
        )
    } else if range <= 0xffff_ffff {
        (
            4,
            values
                .iter()
                .flat_map(|v| (sub(v) as u32).to_le_bytes())
                .collect(),
        )
    } else {
        (
            8,
            values.iter().flat_map(|v| sub(v).to_le_bytes()).collect(),
        )
    };
    Values::Int {
        base: min,
        width,
        data: data.into(),
    }
}
