//! Floats as the XOR with the value before, after Pelkonen et al., "Gorilla: A Fast, Scalable,
//! In-Memory Time Series Database" (VLDB 2015), section 4.1.2.
//!
//! Bits are written highest first. The first value takes 64. Of each later one, the XOR with the
//! value before: `0` if it is zero; `10` and the meaningful bits if they lie within those of the
//! last window written; else `11`, the count of leading zeros in 5 bits (31 at most), the count of
//! meaningful bits in 6 (64 as 0), and these bits.

mod bits;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::wire::{Reader, put_varint};
use bits::{BitReader, BitWriter};

/// Leading zeros beyond this are stored among the meaningful bits.
const MAX_LEADING: u32 = 31;

/// The bits of the last XOR that was written with its bounds.
#[derive(Clone, Copy)]
struct Window {
    leading: u32,
    meaningful: u32,
}

impl Window {
    fn trailing(self) -> u32 {
        64 - self.leading - self.meaningful
    }
}

/// Appends the length of the bit string and the string.
pub(crate) fn encode(values: &[u64], out: &mut Vec<u8>) {
    let mut bits = BitWriter::default();
    let mut window: Option<Window> = None;
    let mut before = None;
    for &value in values {
        let Some(last) = before.replace(value) else {
            bits.put(value, 64);
            continue;
        };
        let xor = value ^ last;
        if xor == 0 {
            bits.put(0, 1);
            continue;
        }
        let leading = xor.leading_zeros().min(MAX_LEADING);
        match window {
            Some(w) if w.leading <= leading && w.trailing() <= xor.trailing_zeros() => {
                bits.put(0b10, 2);
                bits.put(xor >> w.trailing(), w.meaningful);
            }
            _ => {
                let meaningful = 64 - leading - xor.trailing_zeros();
                let w = Window {
                    leading,
                    meaningful,
                };
                bits.put(0b11, 2);
                bits.put(u64::from(leading), 5);
                bits.put(u64::from(meaningful & 63), 6);
                bits.put(xor >> w.trailing(), meaningful);
                window = Some(w);
            }
        }
    }
    let packed = bits.finish();
    put_varint(out, packed.len() as u64);
    out.extend_from_slice(&packed);
}

/// The bytes that [`encode`] would write, but for the length in front.
pub(crate) fn estimate(values: &[u64]) -> usize {
    let mut total = 64u64;
    let mut window: Option<Window> = None;
    for pair in values.windows(2) {
        let xor = pair[0] ^ pair[1];
        if xor == 0 {
            total += 1;
            continue;
        }
        let leading = xor.leading_zeros().min(MAX_LEADING);
        total += match window {
            Some(w) if w.leading <= leading && w.trailing() <= xor.trailing_zeros() => {
                2 + u64::from(w.meaningful)
            }
            _ => {
                let meaningful = 64 - leading - xor.trailing_zeros();
                window = Some(Window {
                    leading,
                    meaningful,
                });
                13 + u64::from(meaningful)
            }
        };
    }
    total.div_ceil(8) as usize
}

/// Appends the bits of `rows` floats to `out`.
pub(crate) fn decode(reader: &mut Reader<'_>, rows: usize, out: &mut Vec<u64>) -> Result<()> {
    let length = reader.count(reader.left(), "length of a bit string")?;
    let mut bits = BitReader::new(reader.bytes(length, "bit string")?);
    if rows > 0 {
        // Each row takes one bit at least, so a short payload cannot ask for much.
        bits.check(63 + rows)?;
        out.reserve(rows);
        let mut value = bits.take(64)?;
        out.push(value);
        let mut window = None;
        for _ in 1..rows {
            if bits.take(1)? == 1 {
                value ^= read_xor(&mut bits, &mut window)?;
            }
            out.push(value);
        }
    }
    bits.finish()
}

fn read_xor(bits: &mut BitReader<'_>, window: &mut Option<Window>) -> Result<u64> {
    let fresh = bits.take(1)? == 1;
    let w = match *window {
        Some(w) if !fresh => w,
        _ if fresh => {
            let leading = bits.take(5)? as u32;
            let meaningful = match bits.take(6)? as u32 {
                0 => 64,
                n => n,
            };
            if leading + meaningful > 64 {
                return Err(bits::wrong("meaningful bits", meaningful, 64 - leading));
            }
            Window {
                leading,
                meaningful,
            }
        }
        _ => return Err(bits::wrong("bits within no window", 0, 1)),
    };
    *window = Some(w);
    Ok(bits.take(w.meaningful)? << w.trailing())
}
