//! Strings of which few are distinct: each distinct one once, and an index for each row.

use crate::Encoding;
use crate::error::{CodecError, Result};
use crate::int::{self, Nest};
use crate::text;
use crate::wire::{Reader, put_varint};
use std::collections::HashMap;

/// More distinct strings than this are not looked for.
const MAX_DISTINCT: usize = 1 << 16;

/// Distinct strings in the order of their first rows, and the rows.
pub(crate) struct Dictionary {
    offsets: Vec<u32>,
    data: Vec<u8>,
    indexes: Vec<i64>,
}

impl Dictionary {
    /// The dictionary of a column, if each string occurs twice or more on the average.
    pub(crate) fn of(offsets: &[u32], data: &[u8]) -> Option<Dictionary> {
        let rows = offsets.len().saturating_sub(1);
        let most = (rows / 2).min(MAX_DISTINCT);
        let mut seen: HashMap<&[u8], i64> = HashMap::new();
        let mut dictionary = Dictionary {
            offsets: vec![0],
            data: Vec::new(),
            indexes: Vec::with_capacity(rows),
        };
        let mut before: Option<(&[u8], i64)> = None;
        for ends in offsets.windows(2) {
            let string = &data[ends[0] as usize..ends[1] as usize];
            // Rows sorted by series repeat the string before.
            if let Some((_, index)) = before.filter(|(last, _)| *last == string) {
                dictionary.indexes.push(index);
                continue;
            }
            let next = seen.len() as i64;
            let index = *seen.entry(string).or_insert(next);
            if index == next {
                if seen.len() > most {
                    return None;
                }
                dictionary.data.extend_from_slice(string);
                // No longer than the column itself, the ends of which fit in 32 bits.
                dictionary.offsets.push(dictionary.data.len() as u32);
            }
            dictionary.indexes.push(index);
            before = Some((string, index));
        }
        (rows > 0).then_some(dictionary)
    }

    /// Appends the count of distinct strings, these as a column, and the indexes as another.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.offsets.len() as u64 - 1);
        text::encode_strings(&self.offsets, &self.data, out);
        int::encode_nested(&self.indexes, Nest::Leaf, out);
    }
}

/// The strings of a dictionary and which of them each row has.
struct Parts {
    offsets: Vec<u32>,
    data: Vec<u8>,
    indexes: Vec<i64>,
}

/// Reads the parts; every index is checked to be within the strings.
fn read(reader: &mut Reader<'_>, rows: usize, limit: usize) -> Result<Parts> {
    let distinct = reader.count(rows, "count of distinct strings")?;
    let tag = reader.u8("codec tag")?;
    let encoding = Encoding::from_tag(tag).ok_or(CodecError::Tag {
        tag,
        place: "distinct strings",
    })?;
    let mut parts = Parts {
        offsets: vec![0],
        data: Vec::new(),
        indexes: Vec::new(),
    };
    text::decode_strings(
        encoding,
        reader,
        distinct,
        limit,
        &mut parts.offsets,
        &mut parts.data,
    )?;
    int::decode_nested(reader, rows, Nest::Leaf, &mut parts.indexes)?;
    // As unsigned, a negative index is beyond any count.
    let largest = parts.indexes.iter().map(|&i| i as u64).max();
    match largest {
        Some(got) if got >= distinct as u64 => Err(CodecError::Field {
            what: "index of a string",
            got,
            allowed: (distinct as u64).saturating_sub(1),
        }),
        _ => Ok(parts),
    }
}

/// Appends `rows` strings, `limit` bytes at most, as [`crate::decode_bytes`] does.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    rows: usize,
    limit: usize,
    offsets: &mut Vec<u32>,
    data: &mut Vec<u8>,
) -> Result<()> {
    let parts = read(reader, rows, limit)?;
    let bounds = |index: i64| {
        let i = index as usize;
        parts.offsets[i] as usize..parts.offsets[i + 1] as usize
    };
    // Few bytes can ask for many: the sum is known before anything is written.
    let total = parts.indexes.iter().map(|&i| bounds(i).len() as u64).sum();
    if total > limit as u64 {
        return Err(CodecError::TooLarge {
            got: total,
            limit: limit as u64,
        });
    }
    data.reserve(total as usize);
    offsets.reserve(rows);
    for &index in &parts.indexes {
        data.extend_from_slice(&parts.data[bounds(index)]);
        offsets.push(text::to_offset(data.len())?);
    }
    Ok(())
}

/// A decoded column that still has its dictionary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DictionaryColumn {
    /// Ends of the distinct strings in `data`, after a leading 0.
    pub offsets: Vec<u32>,
    /// The distinct strings.
    pub data: Vec<u8>,
    /// Which of them each row has; all are within `offsets.len() - 1`.
    pub indexes: Vec<u32>,
}

/// Decodes a column of strings without spreading its dictionary over the rows; `None` if it was
/// encoded without one. `max_bytes` bounds the distinct strings together.
///
/// # Errors
/// If the payload is not exactly one column of `rows` strings.
pub fn decode_dictionary(
    bytes: &[u8],
    rows: usize,
    max_bytes: usize,
) -> Result<Option<DictionaryColumn>> {
    let mut reader = Reader::new(bytes);
    if reader.u8("codec tag")? != Encoding::Dictionary.tag() {
        return Ok(None);
    }
    let parts = read(&mut reader, rows, max_bytes.min(u32::MAX as usize))?;
    reader.finish()?;
    let indexes: Result<Vec<u32>> = parts
        .indexes
        .iter()
        .map(|&i| text::to_offset(i as usize))
        .collect();
    Ok(Some(DictionaryColumn {
        offsets: parts.offsets,
        data: parts.data,
        indexes: indexes?,
    }))
}
