//! Columns of 64-bit floats, bit for bit: NaN payloads, signed zeros and infinities included.

#[cfg(test)]
mod tests;

use crate::error::{CodecError, Result};
use crate::int::{self, Candidate, Nest};
use crate::wire::Reader;
use crate::{Encoding, alp, gorilla, pcodec};
use alp::Scale;

/// Rows that estimates look at, in up to four places.
const SAMPLE: usize = 2048;

/// Appends a column to `out` with the codec that looks smallest on a sample of it, among those
/// that decode fast, and tells which it took.
pub fn encode_f64(values: &[f64], out: &mut Vec<u8>) -> Encoding {
    encode_f64_runs(values, &[], out)
}

/// As [`encode_f64`], for a column whose rows are runs of series, as in
/// [`encode_i64_runs`](crate::encode_i64_runs).
pub fn encode_f64_runs(values: &[f64], run_starts: &[u32], out: &mut Vec<u8>) -> Encoding {
    let (candidates, scale) = candidates(values, run_starts);
    let encoding = int::choose(&candidates);
    encode_as(encoding, values, run_starts, scale, out).map_or_else(
        |_| {
            out.push(Encoding::FloatRaw.tag());
            out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            Encoding::FloatRaw
        },
        |()| encoding,
    )
}

/// As [`encode_f64_runs`], for data that is written once and seldom read: pcodec is tried as well
/// and kept if it is smaller. Several times slower to encode.
pub fn encode_f64_small(values: &[f64], run_starts: &[u32], out: &mut Vec<u8>) -> Encoding {
    let start = out.len();
    let fast = encode_f64_runs(values, run_starts, out);
    let mut packed = Vec::new();
    let tried = encode_as(Encoding::FloatPco, values, &[], None, &mut packed);
    if tried.is_ok() && packed.len() < out.len() - start {
        out.truncate(start);
        out.append(&mut packed);
        return Encoding::FloatPco;
    }
    fast
}

/// Appends a column to `out` with the codec asked for.
///
/// # Errors
/// [`CodecError::NotApplicable`] if the codec is not one for floats, or cannot hold these; `out`
/// is as before then.
pub fn encode_f64_with(encoding: Encoding, values: &[f64], out: &mut Vec<u8>) -> Result<()> {
    let scale = alp::find_scale(&sample(values));
    encode_as(encoding, values, &[], scale, out)
}

fn encode_as(
    encoding: Encoding,
    values: &[f64],
    run_starts: &[u32],
    scale: Option<Scale>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    let refuse = |why| Err(CodecError::NotApplicable { encoding, why });
    out.push(encoding.tag());
    let result = match encoding {
        Encoding::FloatRaw => {
            out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            Ok(())
        }
        Encoding::FloatBits => {
            let bits: Vec<i64> = values.iter().map(|v| v.to_bits() as i64).collect();
            int::encode_nested(&bits, Nest::Whole, out);
            Ok(())
        }
        Encoding::Gorilla => {
            gorilla::encode(&to_bits(values), out);
            Ok(())
        }
        Encoding::Alp => match scale {
            Some(scale) => {
                alp::split(values, scale).encode(run_starts, out);
                Ok(())
            }
            None => refuse("most of them are no decimals"),
        },
        Encoding::FloatPco => pcodec::encode(values, out),
        _ => refuse("it is not a codec for floats"),
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn to_bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Up to [`SAMPLE`] rows, in four stretches.
fn sample(values: &[f64]) -> Vec<f64> {
    if values.len() <= SAMPLE {
        return values.to_vec();
    }
    let stretch = SAMPLE / 4;
    let step = (values.len() - stretch) / 3;
    (0..4)
        .flat_map(|i| &values[i * step..][..stretch])
        .copied()
        .collect()
}

/// All codecs that can hold the column, with their expected sizes, and its decimal scale if it has
/// one.
fn candidates(values: &[f64], run_starts: &[u32]) -> (Vec<Candidate>, Option<Scale>) {
    let mut list = Vec::new();
    let mut add = |encoding, bytes| {
        list.push(Candidate {
            encoding,
            inner: None,
            bytes,
        });
    };
    add(Encoding::FloatRaw, values.len() as f64 * 8.0);
    if values.is_empty() {
        return (list, None);
    }
    if values.iter().all(|v| v.to_bits() == values[0].to_bits()) {
        add(Encoding::FloatBits, 0.0);
        return (list, None);
    }
    let sample = sample(values);
    let scale = values.len() as f64 / sample.len() as f64;
    let bits = to_bits(&sample);
    let as_ints: Vec<i64> = bits.iter().map(|&b| b as i64).collect();
    let mut trial = Vec::new();
    int::encode_nested(&as_ints, Nest::Whole, &mut trial);
    add(Encoding::FloatBits, trial.len() as f64 * scale);
    add(Encoding::Gorilla, gorilla::estimate(&bits) as f64 * scale);
    let found = alp::find_scale(&sample);
    if let Some(found) = found {
        // What integers cost depends on their order and their runs, so they are tried in full
        // when the column is short, on the sample otherwise.
        let split = alp::split(&sample, found);
        trial.clear();
        let starts = if sample.len() == values.len() {
            run_starts
        } else {
            &[]
        };
        int::encode_i64_runs(&split.ints, starts, &mut trial);
        add(
            Encoding::Alp,
            (trial.len() + split.exception_bytes()) as f64 * scale,
        );
    }
    (list, found)
}

/// Appends `rows` floats to `out`.
///
/// The caller bounds `rows`; no more is allocated than they take, whatever the payload says.
///
/// # Errors
/// If the payload is not exactly one column of `rows` floats; `out` is as before then.
pub fn decode_f64(bytes: &[u8], rows: usize, out: &mut Vec<f64>) -> Result<()> {
    let start = out.len();
    let mut reader = Reader::new(bytes);
    let result = decode(&mut reader, rows, out).and_then(|()| reader.finish());
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode(reader: &mut Reader<'_>, rows: usize, out: &mut Vec<f64>) -> Result<()> {
    let tag = reader.u8("codec tag")?;
    match Encoding::from_tag(tag) {
        Some(Encoding::FloatRaw) => {
            let bytes = reader.bytes(rows.saturating_mul(8), "floats")?;
            out.extend(
                bytes
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .map(|b| f64::from_le_bytes(*b)),
            );
            Ok(())
        }
        Some(Encoding::FloatBits) => {
            let mut bits = Vec::new();
            int::decode_nested(reader, rows, Nest::Whole, &mut bits)?;
            out.extend(bits.iter().map(|&b| f64::from_bits(b as u64)));
            Ok(())
        }
        Some(Encoding::Gorilla) => {
            let mut bits = Vec::new();
            gorilla::decode(reader, rows, &mut bits)?;
            out.extend(bits.iter().map(|&b| f64::from_bits(b)));
            Ok(())
        }
        Some(Encoding::Alp) => alp::decode(reader, rows, out),
        Some(Encoding::FloatPco) => pcodec::decode(reader, rows, out),
        _ => Err(CodecError::Tag {
            tag,
            place: "floats",
        }),
    }
}
