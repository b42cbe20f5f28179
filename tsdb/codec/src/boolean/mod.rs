//! Columns of booleans: one bit a row, or the lengths of alternating runs.

use crate::Encoding;
use crate::error::{CodecError, Result};
use crate::int::{self, Nest};
use crate::wire::{Reader, put_varint};

/// Appends a column to `out` as runs or as bits, whichever is smaller, and tells which.
pub fn encode_bool(values: &[bool], out: &mut Vec<u8>) -> Encoding {
    let lengths: Vec<i64> = values
        .chunk_by(|a, b| a == b)
        .map(|run| run.len() as i64)
        .collect();
    let mut runs = Vec::new();
    // More runs than this cannot be smaller than a bit a row.
    if lengths.len() <= values.len() / 8 + 1 {
        put_varint(&mut runs, lengths.len() as u64);
        runs.push(u8::from(values.first() == Some(&true)));
        int::encode_nested(&lengths, Nest::Leaf, &mut runs);
    }
    if !runs.is_empty() && runs.len() < values.len().div_ceil(8) {
        out.push(Encoding::BitRuns.tag());
        out.append(&mut runs);
        return Encoding::BitRuns;
    }
    out.push(Encoding::Bitmap.tag());
    out.extend(values.chunks(8).map(|eight| {
        let bits = eight.iter().enumerate();
        bits.fold(0u8, |byte, (i, &bit)| byte | u8::from(bit) << i)
    }));
    Encoding::Bitmap
}

/// Appends `rows` booleans to `out`.
///
/// # Errors
/// If the payload is not exactly one column of `rows` booleans; `out` is as before then.
pub fn decode_bool(bytes: &[u8], rows: usize, out: &mut Vec<bool>) -> Result<()> {
    let start = out.len();
    let result = decode(bytes, rows, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode(bytes: &[u8], rows: usize, out: &mut Vec<bool>) -> Result<()> {
    let mut reader = Reader::new(bytes);
    let tag = reader.u8("codec tag")?;
    match Encoding::from_tag(tag) {
        Some(Encoding::Bitmap) => {
            let bits = reader.bytes(rows.div_ceil(8), "bits")?;
            out.reserve(rows);
            let (whole, rest) = (rows / 8, rows % 8);
            for &byte in &bits[..whole] {
                out.extend((0..8).map(|i| byte >> i & 1 == 1));
            }
            out.extend((0..rest).map(|i| bits[whole] >> i & 1 == 1));
        }
        Some(Encoding::BitRuns) => decode_runs(&mut reader, rows, out)?,
        _ => {
            return Err(CodecError::Tag {
                tag,
                place: "booleans",
            });
        }
    }
    reader.finish()
}

fn decode_runs(reader: &mut Reader<'_>, rows: usize, out: &mut Vec<bool>) -> Result<()> {
    let runs = reader.count(rows, "count of runs")?;
    let first = reader.u8("first boolean")?;
    if first > 1 {
        return Err(CodecError::Field {
            what: "first boolean",
            got: u64::from(first),
            allowed: 1,
        });
    }
    let mut lengths = Vec::new();
    int::decode_nested(reader, runs, Nest::Leaf, &mut lengths)?;
    let (mut value, mut left) = (first == 1, rows);
    for length in lengths {
        // As unsigned, a negative length is beyond any count of rows.
        if length as u64 > left as u64 {
            return Err(CodecError::Field {
                what: "length of a run",
                got: length as u64,
                allowed: left as u64,
            });
        }
        out.resize(out.len() + length as usize, value);
        left -= length as usize;
        value = !value;
    }
    match left {
        0 => Ok(()),
        left => Err(CodecError::Field {
            what: "rows without a run",
            got: left as u64,
            allowed: 0,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;
    use crate::wire::varint_len;
    use proptest::prelude::*;

    fn check(values: &[bool]) -> (Encoding, usize) {
        let mut bytes = Vec::new();
        let encoding = encode_bool(values, &mut bytes);
        conformance::check(values, &bytes, decode_bool);
        (encoding, bytes.len())
    }

    #[test]
    fn the_smaller_form_is_taken() {
        assert_eq!(check(&[]).0, Encoding::Bitmap);
        assert_eq!(check(&[true; 9]).0, Encoding::Bitmap);
        let (encoding, size) = check(&[true; 10_000]);
        assert!(
            encoding == Encoding::BitRuns && size <= varint_len(10_000) * 2 + 3,
            "{size}"
        );
        let alternating: Vec<bool> = (0..1000).map(|i| i % 2 == 0).collect();
        assert_eq!(check(&alternating), (Encoding::Bitmap, 126));
    }

    proptest! {
        #[test]
        fn any_column(values in prop::collection::vec(any::<bool>(), 0..300), stretch in 1usize..30) {
            let values: Vec<bool> = values.iter().flat_map(|&v| vec![v; stretch]).collect();
            check(&values);
        }
    }
}
