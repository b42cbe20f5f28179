//! Byte-wide columns under a Huffman code.
//!
//! For gauges that move in small steps: the values lie within 256 of each other, so the value or
//! its wrapping difference from the one before is a byte, and few bytes are common. Differences
//! wrap within the byte, so the jump from one series to the next is just another byte. The code
//! words are at most [`MAX_BITS`] long, so that a table of all of them stays in the first cache and
//! one look-up yields up to six bytes; four streams are decoded at once to hide its latency.

mod lengths;
mod stream;
mod table;
#[cfg(test)]
mod tests;

use crate::error::{CodecError, Result};
use crate::for_bitpack::{min_max, width};
use crate::wire::{Reader, put_signed, put_varint};
use table::{Code, Table};

/// The longest code word.
pub(crate) const MAX_BITS: u32 = 11;
/// Streams of a column, each a quarter of the rows.
const STREAMS: usize = 4;
/// Columns with fewer rows do not earn back their table.
const MIN_ROWS: usize = 64;

/// What the bytes under the code are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// The distance from the smallest value.
    Value,
    /// The change of that distance, modulo 256.
    Delta,
}

/// Expected sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    pub(crate) by_value: f64,
    pub(crate) by_delta: f64,
}

/// The expected sizes of a column of `rows` values within `min..=max` of which `sample` is a part;
/// `None` if the codec cannot hold it or does not pay.
pub(crate) fn estimate(sample: &[i64], min: i64, max: i64, rows: usize) -> Option<Estimate> {
    if width(min, max) > 8 || rows < MIN_ROWS || sample.is_empty() {
        return None;
    }
    let size = |order| {
        let counts = stream::count(&to_bytes(sample, min, order));
        let total = sample.len() as f64;
        let used = counts.iter().filter(|&&c| c > 0);
        let bits: f64 = used
            .clone()
            .map(|&c| f64::from(c) * (total / f64::from(c)).log2())
            .sum();
        // A code word has one bit at least, and whole bits lose a little on the average.
        let bits_per_value = (bits / total + 0.03).max(1.0);
        let header = 16.0 + used.count() as f64 * 0.75;
        header + bits_per_value * rows as f64 / 8.0
    };
    Some(Estimate {
        by_value: size(Order::Value),
        by_delta: size(Order::Delta),
    })
}

/// The bytes that go under the code. Differences have their sign in the lowest bit, which keeps
/// the common ones together.
fn to_bytes(values: &[i64], base: i64, order: Order) -> Vec<u8> {
    let mut bytes: Vec<u8> = values.iter().map(|v| v.wrapping_sub(base) as u8).collect();
    if order == Order::Delta {
        let mut before = 0u8;
        for byte in &mut bytes {
            let step = byte.wrapping_sub(before) as i8;
            before = *byte;
            *byte = ((step << 1) ^ (step >> 7)) as u8;
        }
    }
    bytes
}

/// Appends the smallest value, the code, and the four streams.
pub(crate) fn encode(values: &[i64], order: Order, out: &mut Vec<u8>) -> Result<()> {
    let (min, max) = min_max(values);
    if width(min, max) > 8 {
        return Err(CodecError::NotApplicable {
            encoding: match order {
                Order::Value => crate::Encoding::Huffman,
                Order::Delta => crate::Encoding::HuffmanDelta,
            },
            why: "they lie more than 255 apart",
        });
    }
    let bytes = to_bytes(values, min, order);
    put_signed(out, min);
    let code = Code::for_counts(&stream::count(&bytes));
    code.write(out);
    if code.bits() == 0 {
        return Ok(());
    }
    let quarter = bytes.len() / STREAMS;
    let mut packed = Vec::new();
    let mut rest = &bytes[..];
    for i in 0..STREAMS {
        let (part, after) = rest.split_at(if i + 1 == STREAMS {
            rest.len()
        } else {
            quarter
        });
        rest = after;
        let from = packed.len();
        stream::write(part, &code, &mut packed);
        put_varint(out, (packed.len() - from) as u64);
    }
    out.extend_from_slice(&packed);
    Ok(())
}

/// Appends `rows` values to `out`.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    rows: usize,
    order: Order,
    out: &mut Vec<i64>,
) -> Result<()> {
    let base = reader.signed("smallest value")?;
    let code = Code::read(reader)?;
    let mut bytes = vec![0u8; rows];
    if code.bits() == 0 {
        bytes.fill(from_symbol(code.only_symbol(), order));
    } else {
        let table = Table::new(&code, |symbol| from_symbol(symbol, order));
        let mut sizes = [0; STREAMS];
        for size in &mut sizes {
            *size = reader.count(rows * MAX_BITS as usize / 8 + 1, "size of a stream")?;
        }
        let mut streams = [&[][..]; STREAMS];
        for (stream, size) in streams.iter_mut().zip(sizes) {
            *stream = reader.bytes(size, "stream of code words")?;
        }
        stream::read(streams, &table, &mut bytes)?;
    }
    match order {
        Order::Value => out.extend(bytes.iter().map(|&b| base.wrapping_add(i64::from(b)))),
        Order::Delta => {
            let mut distance = 0u8;
            out.extend(bytes.iter().map(|&step| {
                distance = distance.wrapping_add(step);
                base.wrapping_add(i64::from(distance))
            }));
        }
    }
    Ok(())
}

/// The byte that a symbol stands for; undoes the sign in the lowest bit.
fn from_symbol(symbol: u8, order: Order) -> u8 {
    match order {
        Order::Value => symbol,
        Order::Delta => (symbol >> 1) ^ (symbol & 1).wrapping_neg(),
    }
}
