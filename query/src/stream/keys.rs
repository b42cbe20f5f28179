//! Group keys and their dense ids.

use super::StreamError;
use super::agg::build_array;
use super::codec::{Reader, Writer};
use super::input::{Input, Vector};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use hashbrown::HashTable;

/// Every key met so far. A key is a tuple of nullable values in a byte form of its own; ids count up from 0.
#[derive(Debug)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    /// Where key `i` ends in `bytes`.
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: ahash::RandomState,
}

impl Keys {
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            table: HashTable::new(),
            hasher: ahash::RandomState::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes in memory.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.table.capacity() * 5
    }

    pub fn get(&self, id: u32) -> &[u8] {
        key_at(&self.bytes, &self.ends, id)
    }

    /// The id of a key that is known.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.table
            .find(hash, |id| key_at(&self.bytes, &self.ends, *id) == key)
            .copied()
    }

    /// The id of a key, new or known.
    #[inline]
    pub fn intern(&mut self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(id) = self.table.find(hash, |id| key_at(bytes, ends, *id) == key) {
            return *id;
        }
        let id = self.ends.len() as u32;
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.table
            .insert_unique(hash, id, |id| hasher.hash_one(key_at(bytes, ends, *id)));
        id
    }

    /// Column `column` of these keys.
    pub fn column(
        &self,
        ids: impl Iterator<Item = u32>,
        column: usize,
        target: &DataType,
    ) -> Result<ArrayRef, StreamError> {
        let values = ids
            .map(|id| {
                let mut r = Reader::new(self.get(id));
                for _ in 0..column {
                    r.option()?;
                }
                r.option()
            })
            .collect::<Result<Vec<_>, _>>()?;
        build_array(values.iter().map(Option::as_ref), target)
    }

    /// Writes keys from `from` to below `to`.
    pub fn encode(&self, from: u32, to: u32, out: &mut Writer) {
        for id in from..to {
            out.slice(self.get(id));
        }
    }

    /// Reads `n` keys of so many columns, and gives them the next ids.
    pub fn decode(
        &mut self,
        n: usize,
        columns: usize,
        r: &mut Reader<'_>,
    ) -> Result<(), StreamError> {
        for _ in 0..n {
            let key = r.slice()?;
            let mut parts = Reader::new(key);
            for _ in 0..columns {
                parts.option()?;
            }
            let id = self.len();
            if !parts.is_empty() || self.intern(key) as usize != id {
                return Err(StreamError::State("a key is malformed or stands twice"));
            }
        }
        Ok(())
    }
}

fn key_at<'a>(bytes: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    let i = id as usize;
    let start = if i == 0 { 0 } else { ends[i - 1] };
    &bytes[start..ends[i]]
}

/// Appends row `i` of the key columns to `out`, in the form that [`Reader::option`] reads.
#[inline]
pub(crate) fn encode_row(columns: &[&Input], i: usize, out: &mut Writer) {
    for column in columns {
        if !column.is_valid(i) {
            out.u8(0);
            continue;
        }
        match &column.values {
            Vector::Str { .. } => {
                out.u8(4);
                out.slice(column.values.text(i));
            }
            Vector::Int(v) => {
                out.u8(1);
                out.i64(v[i]);
            }
            other => out.value(&other.value(i)),
        }
    }
}

/// Appends one optional text, as [`encode_row`] would.
pub(crate) fn encode_text(text: Option<&str>, out: &mut Writer) {
    match text {
        None => out.u8(0),
        Some(text) => {
            out.u8(4);
            out.slice(text.as_bytes());
        }
    }
}
