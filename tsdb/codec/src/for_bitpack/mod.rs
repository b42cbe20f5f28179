//! Frame of reference and bit packing: each block of 1,024 values as its smallest value and the
//! distances from it, in as many bits as the largest distance needs.
//!
//! A full block is packed in 16 lanes (see [`kernel`]), so that packing and unpacking are plain
//! vector arithmetic; the last, shorter block is one string of bits and costs no padding.

pub(crate) mod kernel;
#[cfg(test)]
mod tests;

use crate::error::{CodecError, Result};
use crate::wire::{Reader, put_signed, varint_len, zigzag};
use kernel::BLOCK;

/// The smallest value of a block and the bits that the distances from it take.
fn frame(block: &[i64]) -> (i64, u32) {
    let (min, max) = min_max(block);
    (min, width(min, max))
}

/// Smallest and largest; (0, 0) of nothing.
pub(crate) fn min_max(values: &[i64]) -> (i64, i64) {
    if values.is_empty() {
        return (0, 0);
    }
    values.iter().fold((i64::MAX, i64::MIN), |(min, max), &v| {
        (min.min(v), max.max(v))
    })
}

/// Bits that hold every distance within `min..=max`.
pub(crate) fn width(min: i64, max: i64) -> u32 {
    64 - (max.wrapping_sub(min) as u64).leading_zeros()
}

/// The bytes that [`encode`] would write for one block, or the shorter last one.
pub(crate) fn block_size(block: &[i64]) -> usize {
    let (base, width) = frame(block);
    1 + varint_len(zigzag(base)) + (block.len() * width as usize).div_ceil(8)
}

/// Appends the blocks of `values`.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let (blocks, tail) = values.as_chunks::<BLOCK>();
    for block in blocks {
        let (base, width) = frame(block);
        out.push(width as u8);
        put_signed(out, base);
        kernel::pack(block, base, width, out);
    }
    if !tail.is_empty() {
        let (base, width) = frame(tail);
        out.push(width as u8);
        put_signed(out, base);
        kernel::pack_tail(tail, base, width, out);
    }
}

/// Appends `rows` values to `out`.
pub(crate) fn decode(reader: &mut Reader<'_>, rows: usize, out: &mut Vec<i64>) -> Result<()> {
    let start = out.len();
    out.resize(start + rows, 0);
    let result = decode_into(reader, &mut out[start..]);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode_into(reader: &mut Reader<'_>, values: &mut [i64]) -> Result<()> {
    for block in values.chunks_mut(BLOCK) {
        let width = reader.u8("bit width")?;
        if width > 64 {
            return Err(CodecError::Field {
                what: "bit width",
                got: u64::from(width),
                allowed: 64,
            });
        }
        let base = reader.signed("frame of reference")?;
        let bits = block.len() * usize::from(width);
        let packed = reader.bytes(bits.div_ceil(8), "packed block")?;
        match <&mut [i64; BLOCK]>::try_from(&mut *block) {
            Ok(block) => kernel::unpack(packed, base, u32::from(width), block),
            Err(_) => kernel::unpack_tail(packed, base, u32::from(width), block),
        }
    }
    Ok(())
}
