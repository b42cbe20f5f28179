//! The code itself: which bytes have words of which length, and the table that decodes them.

use super::{MAX_BITS, lengths};
use crate::error::{CodecError, Result};
use crate::wire::Reader;

/// A canonical code: words are given out by length, then symbol.
pub(super) struct Code {
    /// Bits of the longest word; 0 if there is only one symbol, which takes no bits.
    bits: u32,
    /// Bits of each symbol's word; 0 for symbols that do not occur.
    lengths: [u8; 256],
    only: u8,
}

impl Code {
    /// The code for symbols that occur so often. It may be a little longer than the best one if
    /// the decoder's table becomes smaller by it.
    pub(super) fn for_counts(counts: &[u32; 256]) -> Code {
        let mut used: Vec<(u32, u8)> = (0..=255u8)
            .filter(|&s| counts[usize::from(s)] > 0)
            .map(|s| (counts[usize::from(s)], s))
            .collect();
        let mut code = Code {
            bits: 0,
            lengths: [0; 256],
            only: used.first().map_or(0, |u| u.1),
        };
        if used.len() < 2 {
            return code;
        }
        used.sort_unstable();
        let sorted: Vec<u32> = used.iter().map(|u| u.0).collect();
        let cost = |lengths: &[u8]| -> u64 {
            let words = sorted.iter().zip(lengths);
            words.map(|(&c, &l)| u64::from(c) * u64::from(l)).sum()
        };
        let mut chosen = lengths::limited(&sorted, MAX_BITS);
        let best = cost(&chosen);
        let fewest = (usize::BITS - (used.len() - 1).leading_zeros()).max(1);
        for limit in (fewest.max(8)..MAX_BITS).rev() {
            let shorter = lengths::limited(&sorted, limit);
            if cost(&shorter) > best + best / 256 {
                break;
            }
            chosen = shorter;
        }
        for (&(_, symbol), &length) in used.iter().zip(&chosen) {
            code.lengths[usize::from(symbol)] = length;
            code.bits = code.bits.max(u32::from(length));
        }
        code
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    pub(super) fn only_symbol(&self) -> u8 {
        self.only
    }

    /// Each symbol's word, its first bit lowest, and its length.
    pub(super) fn words(&self) -> [(u16, u8); 256] {
        let mut words = [(0, 0); 256];
        let mut next = 0u16;
        for length in 1..=self.bits as u8 {
            for (word, &l) in words.iter_mut().zip(&self.lengths) {
                if l == length {
                    *word = (next.reverse_bits() >> (16 - length), length);
                    next += 1;
                }
            }
            next <<= 1;
        }
        words
    }

    /// Appends the longest length, the last symbol, which symbols occur, and their lengths in
    /// four bits each; or 0 and the only symbol.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.bits as u8);
        if self.bits == 0 {
            out.push(self.only);
            return;
        }
        let last = self.lengths.iter().rposition(|&l| l > 0).unwrap_or(0);
        out.push(last as u8);
        let present = self.lengths[..=last].chunks(8).map(|eight| {
            let bit = |(i, &l): (usize, &u8)| u8::from(l > 0) << i;
            eight.iter().enumerate().map(bit).fold(0, |a, b| a | b)
        });
        out.extend(present);
        let used: Vec<u8> = self.lengths.iter().copied().filter(|&l| l > 0).collect();
        out.extend(
            used.chunks(2)
                .map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4),
        );
    }

    /// Reads what [`Code::write`] wrote. The code must be complete, so that every string of bits
    /// has a meaning.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Code> {
        let mut code = Code {
            bits: u32::from(reader.u8("longest code word")?),
            lengths: [0; 256],
            only: 0,
        };
        let field = |what, got: u32, allowed: u32| CodecError::Field {
            what,
            got: u64::from(got),
            allowed: u64::from(allowed),
        };
        if code.bits > MAX_BITS {
            return Err(field("longest code word", code.bits, MAX_BITS));
        }
        let last = reader.u8("last symbol")?;
        if code.bits == 0 {
            code.only = last;
            return Ok(code);
        }
        let last = usize::from(last);
        let present = reader.bytes(last / 8 + 1, "symbols in use")?;
        let used: Vec<usize> = (0..=last)
            .filter(|s| present[s / 8] >> (s % 8) & 1 == 1)
            .collect();
        let packed = reader.bytes(used.len().div_ceil(2), "code lengths")?;
        let (mut space, mut longest) = (0u32, 0u32);
        for (i, &symbol) in used.iter().enumerate() {
            let length = packed[i / 2] >> (i % 2 * 4) & 15;
            if length == 0 || u32::from(length) > code.bits {
                return Err(field("code length", u32::from(length), code.bits));
            }
            code.lengths[symbol] = length;
            space += 1 << (code.bits - u32::from(length));
            longest = longest.max(u32::from(length));
        }
        if space != 1 << code.bits || longest != code.bits {
            return Err(field("code space in use", space, 1 << code.bits));
        }
        Ok(code)
    }
}

/// Decodes up to six symbols at a look-up.
pub(super) struct Table {
    mask: u64,
    /// Six decoded bytes from the lowest up, then their count, then the bits they take.
    entries: [u64; 1 << MAX_BITS],
    /// Bits of the word of each decoded byte.
    lengths: [u8; 256],
    bits: u32,
}

/// Symbols of an entry at most: the other two bytes are the count and the bits.
const PER_ENTRY: u64 = 6;

impl Table {
    /// `decoded` is the byte that a symbol stands for, a different one for each.
    pub(super) fn new(code: &Code, decoded: impl Fn(u8) -> u8) -> Table {
        let mut table = Table {
            mask: (1 << code.bits) - 1,
            entries: [0; 1 << MAX_BITS],
            lengths: [0; 256],
            bits: code.bits,
        };
        let size = 1usize << code.bits;
        for (symbol, &(word, length)) in (0..=255u8).zip(&code.words()) {
            if length > 0 {
                let byte = decoded(symbol);
                table.lengths[usize::from(byte)] = length;
                for i in (usize::from(word)..size).step_by(1 << length) {
                    table.entries[i] = entry(u64::from(byte), 1, u64::from(length));
                }
            }
        }
        // What follows a first word is a smaller index, already complete: its symbols are taken
        // over as far as their bits are within the index and not the zeros shifted in.
        for i in 0..size {
            let first = table.entries[i];
            let length = first >> 56;
            let (tail, room) = match i {
                0 => (0, 0),
                _ => (table.entries[i >> length], u64::from(code.bits) - length),
            };
            table.entries[i] = join(first, table.cut(tail, room));
        }
        // Index 0 is followed by itself; it was set to its first word above and is filled last.
        let first = table.entries[0];
        let length = first >> 56;
        let times = (u64::from(code.bits) / length).min(PER_ENTRY);
        let bytes = (0..times).fold(0, |bytes, _| bytes << 8 | first & 0xff);
        table.entries[0] = entry(bytes, times, times * length);
        table
    }

    /// Drops symbols from the end of an entry until it takes no more than `room` bits and
    /// leaves place for another symbol.
    fn cut(&self, mut tail: u64, room: u64) -> u64 {
        loop {
            let (count, bits) = (tail >> 48 & 0xff, tail >> 56);
            if count == 0 || (bits <= room && count < PER_ENTRY) {
                return tail;
            }
            let symbol = tail >> (8 * (count - 1)) & 0xff;
            let bytes = tail & ((1 << (8 * (count - 1))) - 1);
            tail = entry(
                bytes,
                count - 1,
                bits - u64::from(self.lengths[symbol as usize]),
            );
        }
    }

    /// The entry for the next bits.
    #[inline(always)]
    pub(super) fn look_up(&self, bits: u64) -> Entry {
        Entry(self.entries[(bits & self.mask) as usize & ((1 << MAX_BITS) - 1)])
    }

    /// The longest word.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Bits of the word of a decoded byte.
    pub(super) fn length(&self, byte: u8) -> u32 {
        u32::from(self.lengths[usize::from(byte)])
    }
}

fn entry(bytes: u64, count: u64, bits: u64) -> u64 {
    bytes | count << 48 | bits << 56
}

fn join(first: u64, tail: u64) -> u64 {
    let bytes = first & 0xff | (tail << 8 & 0xffff_ffff_ffff);
    entry(bytes, 1 + (tail >> 48 & 0xff), (first >> 56) + (tail >> 56))
}

/// The symbols that the next bits hold whole.
#[derive(Clone, Copy)]
pub(super) struct Entry(u64);

impl Entry {
    /// Decoded bytes, of which the first [`Entry::count`] count.
    #[inline(always)]
    pub(super) fn bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// How many symbols; 1 at least.
    #[inline(always)]
    pub(super) fn count(self) -> usize {
        (self.0 >> 48 & 0xff) as usize
    }

    /// Bits that they take.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        (self.0 >> 56) as u32
    }
}
