//! Run length: each run of equal values as one value and its length.

use crate::error::{CodecError, Result};
use crate::int::{self, Nest};
use crate::wire::{Reader, put_varint};

/// Appends the count of runs, their values, and their lengths less one.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let mut heads = Vec::new();
    let mut lengths = Vec::new();
    for run in values.chunk_by(|a, b| a == b) {
        heads.push(run[0]);
        lengths.push(run.len() as i64 - 1);
    }
    put_varint(out, heads.len() as u64);
    int::encode_nested(&heads, Nest::Flat, out);
    int::encode_nested(&lengths, Nest::Flat, out);
}

/// Appends `rows` values to `out`.
pub(crate) fn decode(reader: &mut Reader<'_>, rows: usize, out: &mut Vec<i64>) -> Result<()> {
    let runs = reader.count(rows, "count of runs")?;
    let mut heads = Vec::new();
    int::decode_nested(reader, runs, Nest::Flat, &mut heads)?;
    let mut lengths = Vec::new();
    int::decode_nested(reader, runs, Nest::Flat, &mut lengths)?;
    let end = out.len() + rows;
    for (&value, &length) in heads.iter().zip(&lengths) {
        let left = end - out.len();
        // As unsigned, a negative length is beyond any count of rows.
        if length as u64 >= left as u64 {
            return Err(CodecError::Field {
                what: "length of a run",
                got: (length as u64).wrapping_add(1),
                allowed: left as u64,
            });
        }
        out.resize(out.len() + length as usize + 1, value);
    }
    match end - out.len() {
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

    #[test]
    fn runs_round_trip() {
        for values in [
            vec![],
            vec![9],
            vec![1, 1, 1],
            vec![i64::MIN, i64::MAX, i64::MAX, 0, 0],
        ] {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let mut out = Vec::new();
            decode(&mut Reader::new(&bytes), values.len(), &mut out).unwrap();
            assert_eq!(out, values);
        }
    }

    #[test]
    fn lengths_must_add_up() {
        let mut bytes = Vec::new();
        encode(&[5, 5, 5, 6, 6], &mut bytes);
        for rows in [0, 1, 2, 4, 6, 100] {
            let result = decode(&mut Reader::new(&bytes), rows, &mut Vec::new());
            assert!(result.is_err(), "{rows} rows");
        }
    }
}
