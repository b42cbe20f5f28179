//! Columns of 64-bit integers: the choice among the codecs, and the way back by their tags.

mod choose;
mod sample;
#[cfg(test)]
mod tests;

pub use choose::{Candidate, choose};

use crate::delta::runs::{self, Order};
use crate::error::{CodecError, Result};
use crate::wire::{Reader, put_signed};
use crate::{Encoding, delta, for_bitpack, huffman, pcodec, rle};
use sample::Sample;

/// How deep a payload stands inside another. A codec may only hold ones of a lower level, so
/// that a hostile payload cannot nest without end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Nest {
    /// Holds no other payload.
    Flat,
    /// Holds flat ones.
    Leaf,
    /// Holds leaves.
    Whole,
}

impl Nest {
    /// The lowest level at which the codec may stand; `None` if it is not one for integers.
    fn of(encoding: Encoding) -> Option<Nest> {
        match encoding {
            Encoding::Raw | Encoding::Constant | Encoding::ForBitPack => Some(Nest::Flat),
            Encoding::RunLength | Encoding::Huffman | Encoding::HuffmanDelta | Encoding::Pco => {
                Some(Nest::Leaf)
            }
            Encoding::Delta
            | Encoding::DeltaOfDelta
            | Encoding::RunDelta
            | Encoding::RunDeltaOfDelta => Some(Nest::Whole),
            _ => None,
        }
    }
}

/// Appends a column to `out` with the codec that looks smallest on a sample of it, among those
/// that decode fast, and tells which it took.
pub fn encode_i64(values: &[i64], out: &mut Vec<u8>) -> Encoding {
    encode_chosen(values, &[], Nest::Whole, out)
}

/// As [`encode_i64`], for a column whose rows are runs of series: differences may start afresh at
/// each of `run_starts`, which are ascending row numbers that begin with 0.
///
/// The runs are part of the payload: [`decode_i64`] reads it. They are a hint; if they are not as
/// said above, the column is encoded without them.
pub fn encode_i64_runs(values: &[i64], run_starts: &[u32], out: &mut Vec<u8>) -> Encoding {
    let lengths = runs::lengths(run_starts, values.len()).unwrap_or_default();
    encode_chosen(values, &lengths, Nest::Whole, out)
}

/// As [`encode_i64_runs`], for data that is written once and seldom read: pcodec is tried as well
/// and kept if it is smaller. Several times slower to encode.
pub fn encode_i64_small(values: &[i64], run_starts: &[u32], out: &mut Vec<u8>) -> Encoding {
    let start = out.len();
    let fast = encode_i64_runs(values, run_starts, out);
    let mut packed = vec![Encoding::Pco.tag()];
    if pcodec::encode(values, &mut packed).is_ok() && packed.len() < out.len() - start {
        out.truncate(start);
        out.append(&mut packed);
        return Encoding::Pco;
    }
    fast
}

/// Appends a column to `out` with the codec asked for.
///
/// # Errors
/// [`CodecError::NotApplicable`] if the codec cannot hold the values; `out` is as before then.
pub fn encode_i64_with(encoding: Encoding, values: &[i64], out: &mut Vec<u8>) -> Result<()> {
    let whole = [values.len() as i64];
    let lengths = if values.is_empty() { &[] } else { &whole[..] };
    let start = out.len();
    let result = encode_as(encoding, values, lengths, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends `rows` integers to `out`.
///
/// The caller bounds `rows`; no more is allocated than they take, whatever the payload says.
///
/// # Errors
/// If the payload is not exactly one column of `rows` integers; `out` is as before then.
pub fn decode_i64(bytes: &[u8], rows: usize, out: &mut Vec<i64>) -> Result<()> {
    let start = out.len();
    let mut reader = Reader::new(bytes);
    let result = decode_nested(&mut reader, rows, Nest::Whole, out).and_then(|()| reader.finish());
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends a column that stands inside another payload.
pub(crate) fn encode_nested(values: &[i64], nest: Nest, out: &mut Vec<u8>) -> Encoding {
    encode_chosen(values, &[], nest, out)
}

fn encode_chosen(values: &[i64], lengths: &[i64], nest: Nest, out: &mut Vec<u8>) -> Encoding {
    let sample = Sample::take(values, lengths, nest);
    let encoding = choose(&sample.candidates());
    let start = out.len();
    if encode_as(encoding, values, lengths, out).is_ok() {
        return encoding;
    }
    // A sample may promise what the whole column does not keep; packing holds anything.
    out.truncate(start);
    out.push(Encoding::ForBitPack.tag());
    for_bitpack::encode(values, out);
    Encoding::ForBitPack
}

fn encode_as(encoding: Encoding, values: &[i64], lengths: &[i64], out: &mut Vec<u8>) -> Result<()> {
    let refuse = |why| Err(CodecError::NotApplicable { encoding, why });
    out.push(encoding.tag());
    match encoding {
        Encoding::Raw => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Encoding::Constant => match values {
            [first, rest @ ..] if rest.iter().all(|v| v == first) => put_signed(out, *first),
            _ => return refuse("they are not one value repeated"),
        },
        Encoding::ForBitPack => for_bitpack::encode(values, out),
        Encoding::RunLength => rle::encode(values, out),
        Encoding::Huffman => return huffman::encode(values, huffman::Order::Value, out),
        Encoding::HuffmanDelta => return huffman::encode(values, huffman::Order::Delta, out),
        Encoding::Pco => return pcodec::encode(values, out),
        Encoding::Delta if !values.is_empty() => delta::encode(values, out),
        Encoding::DeltaOfDelta if values.len() > 1 => delta::encode_twice(values, out),
        Encoding::Delta | Encoding::DeltaOfDelta => return refuse("they are too few"),
        Encoding::RunDelta => runs::encode(values, lengths, Order::Once, out),
        Encoding::RunDeltaOfDelta => runs::encode(values, lengths, Order::Twice, out),
        _ => return refuse("it is not a codec for integers"),
    }
    Ok(())
}

/// Reads one column from the front of `reader` and appends its `rows` values to `out`. What `out`
/// holds after an error is not defined beyond the values it held before.
pub(crate) fn decode_nested(
    reader: &mut Reader<'_>,
    rows: usize,
    nest: Nest,
    out: &mut Vec<i64>,
) -> Result<()> {
    let tag = reader.u8("codec tag")?;
    let refuse = Err(CodecError::Tag {
        tag,
        place: "integers",
    });
    let Some(encoding) = Encoding::from_tag(tag) else {
        return refuse;
    };
    if Nest::of(encoding).is_none_or(|lowest| lowest > nest) {
        return refuse;
    }
    match encoding {
        Encoding::Raw => {
            let bytes = reader.bytes(rows.saturating_mul(8), "integers")?;
            let (words, _) = bytes.as_chunks::<8>();
            out.extend(words.iter().map(|word| i64::from_le_bytes(*word)));
            Ok(())
        }
        Encoding::Constant => {
            let value = reader.signed("constant")?;
            out.resize(out.len() + rows, value);
            Ok(())
        }
        Encoding::ForBitPack => for_bitpack::decode(reader, rows, out),
        Encoding::RunLength => rle::decode(reader, rows, out),
        Encoding::Huffman => huffman::decode(reader, rows, huffman::Order::Value, out),
        Encoding::HuffmanDelta => huffman::decode(reader, rows, huffman::Order::Delta, out),
        Encoding::Pco => pcodec::decode(reader, rows, out),
        Encoding::Delta if rows > 0 => delta::decode(reader, rows, out),
        Encoding::DeltaOfDelta if rows > 1 => delta::decode_twice(reader, rows, out),
        Encoding::RunDelta => runs::decode(reader, rows, Order::Once, out),
        Encoding::RunDeltaOfDelta => runs::decode(reader, rows, Order::Twice, out),
        _ => refuse,
    }
}
