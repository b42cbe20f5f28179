//! Differences between neighbours, once (`Delta`) or twice (`DeltaOfDelta`), all wrapping.
//!
//! What the differences are then stored with is chosen for themselves: a counter's steps are
//! constant or bit packed, a gauge's small steps come under a Huffman code.

pub(crate) mod runs;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::int::{self, Nest};
use crate::wire::{Reader, put_signed};

/// Appends the first value and the differences; `values` must not be empty.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) {
    put_signed(out, values[0]);
    int::encode_nested(&differences(values), Nest::Leaf, out);
}

/// Appends the first value, the first difference, and the differences of differences;
/// `values` must be two at least.
pub(crate) fn encode_twice(values: &[i64], out: &mut Vec<u8>) {
    let once = differences(values);
    put_signed(out, values[0]);
    put_signed(out, once[0]);
    int::encode_nested(&differences(&once), Nest::Leaf, out);
}

/// The wrapping difference of each value but the first from the one before.
pub(crate) fn differences(values: &[i64]) -> Vec<i64> {
    values
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect()
}

/// Appends `rows` values to `out`; `rows` must not be 0.
pub(crate) fn decode(reader: &mut Reader<'_>, rows: usize, out: &mut Vec<i64>) -> Result<()> {
    let start = out.len();
    out.push(reader.signed("first value")?);
    int::decode_nested(reader, rows - 1, Nest::Leaf, out)?;
    add_up(&mut out[start..]);
    Ok(())
}

/// Appends `rows` values to `out`; `rows` must be 2 at least.
pub(crate) fn decode_twice(reader: &mut Reader<'_>, rows: usize, out: &mut Vec<i64>) -> Result<()> {
    let start = out.len();
    out.push(reader.signed("first value")?);
    out.push(reader.signed("first difference")?);
    int::decode_nested(reader, rows - 2, Nest::Leaf, out)?;
    let mut value = out[start];
    let mut step = 0i64;
    for slot in &mut out[start + 1..] {
        step = step.wrapping_add(*slot);
        value = value.wrapping_add(step);
        *slot = value;
    }
    Ok(())
}

fn add_up(values: &mut [i64]) {
    let mut sum = 0i64;
    for value in values {
        sum = sum.wrapping_add(*value);
        *value = sum;
    }
}
