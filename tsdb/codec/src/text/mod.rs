//! Columns of byte strings: a dictionary when few are distinct, else their lengths and their
//! bytes, under zstd when that pays.

#[cfg(test)]
mod tests;

use crate::Encoding;
use crate::dictionary;
use crate::error::{CodecError, Result};
use crate::int::{self, Nest};
use crate::wire::{Reader, put_varint};

/// Above this the gain is small and the time is not.
const LEVEL: i32 = 1;
/// Fewer bytes than this are not worth a zstd frame.
const WORTH_ZSTD: usize = 64;

/// Appends a column to `out` and tells how. String `i` is `data[offsets[i]..offsets[i + 1]]`:
/// there is one offset more than there are rows; no offsets at all mean no rows.
///
/// # Panics
/// If the offsets descend or lie outside of `data`.
pub fn encode_bytes(offsets: &[u32], data: &[u8], out: &mut Vec<u8>) -> Encoding {
    if let Some(dictionary) = dictionary::Dictionary::of(offsets, data) {
        out.push(Encoding::Dictionary.tag());
        dictionary.encode(out);
        return Encoding::Dictionary;
    }
    encode_strings(offsets, data, out)
}

/// Appends a column without a dictionary.
pub(crate) fn encode_strings(offsets: &[u32], data: &[u8], out: &mut Vec<u8>) -> Encoding {
    let (from, to) = match (offsets.first(), offsets.last()) {
        (Some(&from), Some(&to)) => (from as usize, to as usize),
        _ => (0, 0),
    };
    let data = &data[from..to];
    let lengths: Vec<i64> = offsets.windows(2).map(|w| i64::from(w[1] - w[0])).collect();
    let packed = match data.len() {
        0..WORTH_ZSTD => None,
        _ => zstd::bulk::compress(data, LEVEL).ok(),
    };
    // A twentieth less is the least that is worth the time to decode.
    match packed.filter(|p| p.len() < data.len() - data.len() / 20) {
        Some(packed) => {
            out.push(Encoding::Zstd.tag());
            int::encode_nested(&lengths, Nest::Leaf, out);
            put_varint(out, packed.len() as u64);
            out.extend_from_slice(&packed);
            Encoding::Zstd
        }
        None => {
            out.push(Encoding::Plain.tag());
            int::encode_nested(&lengths, Nest::Leaf, out);
            out.extend_from_slice(data);
            Encoding::Plain
        }
    }
}

/// Appends `rows` strings: their bytes to `data`, their ends to `offsets`, which first gets the
/// length of `data` if it is empty. So a column decoded into empty vectors has `rows + 1` offsets
/// that begin with 0.
///
/// # Errors
/// If the payload is not exactly one column of `rows` strings, if they take more than `max_bytes`,
/// or if `data` would outgrow its 32-bit offsets; both vectors are as before then.
pub fn decode_bytes(
    bytes: &[u8],
    rows: usize,
    max_bytes: usize,
    offsets: &mut Vec<u32>,
    data: &mut Vec<u8>,
) -> Result<()> {
    let (start, data_start) = (offsets.len(), data.len());
    let mut reader = Reader::new(bytes);
    let result =
        decode_any(&mut reader, rows, max_bytes, offsets, data).and_then(|()| reader.finish());
    if result.is_err() {
        offsets.truncate(start);
        data.truncate(data_start);
    }
    result
}

fn decode_any(
    reader: &mut Reader<'_>,
    rows: usize,
    max_bytes: usize,
    offsets: &mut Vec<u32>,
    data: &mut Vec<u8>,
) -> Result<()> {
    let room = (u32::MAX as usize).saturating_sub(data.len());
    let limit = max_bytes.min(room);
    if offsets.is_empty() {
        offsets.push(to_offset(data.len())?);
    }
    let tag = reader.u8("codec tag")?;
    match Encoding::from_tag(tag) {
        Some(Encoding::Dictionary) => dictionary::decode(reader, rows, limit, offsets, data),
        Some(encoding) => decode_strings(encoding, reader, rows, limit, offsets, data),
        None => Err(unknown(tag)),
    }
}

fn unknown(tag: u8) -> CodecError {
    CodecError::Tag {
        tag,
        place: "strings",
    }
}

pub(crate) fn to_offset(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| CodecError::TooLarge {
        got: length as u64,
        limit: u64::from(u32::MAX),
    })
}

/// Reads a column without a dictionary, its tag excluded.
pub(crate) fn decode_strings(
    encoding: Encoding,
    reader: &mut Reader<'_>,
    rows: usize,
    limit: usize,
    offsets: &mut Vec<u32>,
    data: &mut Vec<u8>,
) -> Result<()> {
    if !matches!(encoding, Encoding::Plain | Encoding::Zstd) {
        return Err(unknown(encoding.tag()));
    }
    let mut lengths = Vec::new();
    int::decode_nested(reader, rows, Nest::Leaf, &mut lengths)?;
    let mut total = 0u64;
    for &length in &lengths {
        // As unsigned, a negative length is beyond any limit.
        total = total.saturating_add(length as u64);
    }
    if total > limit as u64 {
        return Err(CodecError::TooLarge {
            got: total,
            limit: limit as u64,
        });
    }
    let total = total as usize;
    if encoding == Encoding::Plain {
        data.extend_from_slice(reader.bytes(total, "strings")?);
    } else {
        let length = reader.count(reader.left(), "length of zstd data")?;
        unpack(reader.bytes(length, "zstd data")?, total, data)?;
    }
    let mut end = data.len() - total;
    offsets.reserve(rows);
    for length in lengths {
        end += length as usize;
        offsets.push(to_offset(end)?);
    }
    Ok(())
}

/// Appends the `total` bytes that a zstd frame holds, and refuses one that holds more or less.
fn unpack(packed: &[u8], total: usize, data: &mut Vec<u8>) -> Result<()> {
    let start = data.len();
    data.resize(start + total, 0);
    let written = zstd::bulk::decompress_to_buffer(packed, &mut data[start..]).map_err(|e| {
        CodecError::Compressor {
            library: "zstd",
            reason: e.to_string(),
        }
    })?;
    if written != total {
        return Err(CodecError::Field {
            what: "bytes of zstd data",
            got: written as u64,
            allowed: total as u64,
        });
    }
    Ok(())
}
