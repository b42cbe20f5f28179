//! The packing kernels.
//!
//! A block of 1,024 values is 64 rows of 16 lanes: value `i` is row `i / 16` of lane `i % 16`.
//! Each lane is a string of 64 numbers of `width` bits in `width` words of 64 bits, lowest bits
//! first; word `w` of all lanes lies together. So all lanes of a row take the same shifts, and a
//! compiler turns the inner loops into vector code without being told the machine. The layout by
//! lanes follows the idea of Afroozeh and Boncz, "The FastLanes Compression Layout" (VLDB 2023),
//! without its reordering of rows.

/// Values in a block.
pub(crate) const BLOCK: usize = 1024;
const LANES: usize = 16;
const ROWS: usize = BLOCK / LANES;

fn mask(width: u32) -> u64 {
    match width {
        0 => 0,
        w => u64::MAX >> (64 - w),
    }
}

/// Appends `width * 128` bytes. Every value must be within `width` bits above `base`.
pub(crate) fn pack(block: &[i64; BLOCK], base: i64, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let (rows, _) = block.as_chunks::<LANES>();
    let mut word = [0u64; LANES];
    let mut filled = 0;
    for row in rows {
        for (w, &v) in word.iter_mut().zip(row) {
            *w |= (v.wrapping_sub(base) as u64) << filled;
        }
        filled += width;
        if filled >= 64 {
            for w in word {
                out.extend_from_slice(&w.to_le_bytes());
            }
            filled -= 64;
            // What did not fit opens the next word; the double shift keeps the count below 64
            // when nothing is left over.
            let used = width - filled;
            for (w, &v) in word.iter_mut().zip(row) {
                *w = (v.wrapping_sub(base) as u64) >> (used - 1) >> 1;
            }
        }
    }
}

/// The reverse of [`pack`]; `packed` must be `width * 128` bytes.
pub(crate) fn unpack(packed: &[u8], base: i64, width: u32, block: &mut [i64; BLOCK]) {
    if width == 0 {
        block.fill(base);
        return;
    }
    let (words, _) = packed.as_chunks::<{ LANES * 8 }>();
    assert_eq!(words.len(), width as usize);
    let mask = mask(width);
    let (rows, _) = block.as_chunks_mut::<LANES>();
    debug_assert_eq!(rows.len(), ROWS);
    for (r, row) in rows.iter_mut().enumerate() {
        let bit = r * width as usize;
        let (w, shift) = (bit / 64, (bit % 64) as u32);
        let low = &words[w];
        // The last row ends with its word; any word will do then, since the mask drops it.
        let high = &words[(w + 1).min(words.len() - 1)];
        unpack_row(low, high, shift, mask, base, row);
    }
}

#[inline(always)]
fn unpack_row(
    low: &[u8; LANES * 8],
    high: &[u8; LANES * 8],
    shift: u32,
    mask: u64,
    base: i64,
    row: &mut [i64; LANES],
) {
    let (low, _) = low.as_chunks::<8>();
    let (high, _) = high.as_chunks::<8>();
    for ((value, low), high) in row.iter_mut().zip(low).zip(high) {
        let low = u64::from_le_bytes(*low) >> shift;
        let high = u64::from_le_bytes(*high) << 1 << (63 - shift);
        *value = (((low | high) & mask) as i64).wrapping_add(base);
    }
}

/// Appends `ceil(len * width / 8)` bytes: one string of bits, lowest first.
pub(crate) fn pack_tail(tail: &[i64], base: i64, width: u32, out: &mut Vec<u8>) {
    let mut word = 0u128;
    let mut filled = 0;
    for &v in tail {
        word |= u128::from(v.wrapping_sub(base) as u64) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&(word as u64).to_le_bytes()[..filled.div_ceil(8) as usize]);
}

/// The reverse of [`pack_tail`]; `packed` must be `ceil(len * width / 8)` bytes.
pub(crate) fn unpack_tail(packed: &[u8], base: i64, width: u32, tail: &mut [i64]) {
    let mask = u128::from(mask(width));
    for (i, value) in tail.iter_mut().enumerate() {
        let bit = i * width as usize;
        let rest = &packed[(bit / 8).min(packed.len())..];
        // 16 bytes hold any number of 64 bits at any of the 8 bit offsets.
        let mut window = [0u8; 16];
        match rest.first_chunk::<16>() {
            Some(whole) => window = *whole,
            None => window[..rest.len()].copy_from_slice(rest),
        }
        let number = (u128::from_le_bytes(window) >> (bit % 8)) & mask;
        *value = (number as i64).wrapping_add(base);
    }
}
