//! Strings of code words, first bit lowest, and their counts.

use super::STREAMS;
use super::table::{Code, Table};
use crate::error::{CodecError, Result};

/// How often each byte occurs. Four counters of each, so that equal neighbours do not wait for
/// one another.
pub(super) fn count(bytes: &[u8]) -> [u32; 256] {
    let mut counts = [[0u32; 256]; 4];
    let (fours, rest) = bytes.as_chunks::<4>();
    for four in fours {
        for (table, &byte) in counts.iter_mut().zip(four) {
            table[usize::from(byte)] += 1;
        }
    }
    for &byte in rest {
        counts[0][usize::from(byte)] += 1;
    }
    let [mut sum, others @ ..] = counts;
    for other in others {
        for (sum, count) in sum.iter_mut().zip(other) {
            *sum += count;
        }
    }
    sum
}

/// Appends the words of `bytes`, the last byte filled up with zeros.
pub(super) fn write(bytes: &[u8], code: &Code, out: &mut Vec<u8>) {
    let words = code.words();
    let mut at = out.len();
    out.resize(at + bytes.len() * code.bits() as usize / 8 + 9, 0);
    let (mut acc, mut filled) = (0u64, 0u32);
    // Five words of 11 bits and the 7 bits left over before fit in 64.
    for group in bytes.chunks(5) {
        for &byte in group {
            let (word, length) = words[usize::from(byte)];
            acc |= u64::from(word) << filled;
            filled += u32::from(length);
        }
        out[at..at + 8].copy_from_slice(&acc.to_le_bytes());
        let whole = filled / 8;
        at += whole as usize;
        // 62 bits at most are filled, so the shift is below 64.
        acc >>= whole * 8;
        filled -= whole * 8;
    }
    out.truncate(at + usize::from(filled > 0));
}

/// One stream while it is read: bits from the lowest up, those above `filled` not counted yet.
struct Bits<'a> {
    source: &'a [u8],
    at: usize,
    acc: u64,
    filled: u32,
}

impl<'a> Bits<'a> {
    fn new(source: &'a [u8]) -> Self {
        Bits {
            source,
            at: 0,
            acc: 0,
            filled: 0,
        }
    }

    /// Fills up to 56 bits or more; false, with nothing done, near the end of the stream.
    #[inline(always)]
    fn refill(&mut self) -> bool {
        let Some(eight) = self.source.get(self.at..self.at + 8) else {
            return false;
        };
        let mut word = [0; 8];
        word.copy_from_slice(eight);
        self.acc |= u64::from_le_bytes(word) << self.filled;
        self.at += ((63 - self.filled) >> 3) as usize;
        self.filled |= 56;
        true
    }

    /// The same byte by byte, as far as the stream goes.
    fn refill_slowly(&mut self) {
        while self.filled < 56 && self.at < self.source.len() {
            self.acc |= u64::from(self.source[self.at]) << self.filled;
            self.at += 1;
            self.filled += 8;
        }
    }

    #[inline(always)]
    fn consume(&mut self, bits: u32) {
        self.acc >>= bits;
        self.filled -= bits;
    }
}

/// Look-ups between refills: 5 of 11 bits are within 56.
const LOOKUPS: usize = 5;
/// Room that a group of look-ups may write to: six bytes each, and the last writes eight.
const ROOM: usize = LOOKUPS * 6 + 2;

/// Fills `bytes` from the four streams, a quarter of it from each.
pub(super) fn read(streams: [&[u8]; STREAMS], table: &Table, bytes: &mut [u8]) -> Result<()> {
    let quarter = bytes.len() / STREAMS;
    let (a, rest) = bytes.split_at_mut(quarter);
    let (b, rest) = rest.split_at_mut(quarter);
    let (c, d) = rest.split_at_mut(quarter);
    let [mut sa, mut sb, mut sc, mut sd] = streams.map(Bits::new);
    let (mut na, mut nb, mut nc, mut nd) = (0, 0, 0, 0);
    while na + ROOM <= a.len()
        && nb + ROOM <= b.len()
        && nc + ROOM <= c.len()
        && nd + ROOM <= d.len()
    {
        if !(sa.refill() && sb.refill() && sc.refill() && sd.refill()) {
            break;
        }
        for _ in 0..LOOKUPS {
            na += step(&mut sa, table, &mut a[na..]);
            nb += step(&mut sb, table, &mut b[nb..]);
            nc += step(&mut sc, table, &mut c[nc..]);
            nd += step(&mut sd, table, &mut d[nd..]);
        }
    }
    finish(sa, table, &mut a[na..])?;
    finish(sb, table, &mut b[nb..])?;
    finish(sc, table, &mut c[nc..])?;
    finish(sd, table, &mut d[nd..])
}

/// One look-up: writes eight bytes to `out` and tells how many of them count.
#[inline(always)]
fn step(bits: &mut Bits<'_>, table: &Table, out: &mut [u8]) -> usize {
    let entry = table.look_up(bits.acc);
    out[..8].copy_from_slice(&entry.bytes());
    bits.consume(entry.bits());
    entry.count()
}

/// The rest of one stream, which must end with its last symbol.
fn finish(mut bits: Bits<'_>, table: &Table, out: &mut [u8]) -> Result<()> {
    let mut at = 0;
    while at + ROOM <= out.len() && bits.refill() {
        for _ in 0..LOOKUPS {
            at += step(&mut bits, table, &mut out[at..]);
        }
    }
    for byte in &mut out[at..] {
        if bits.filled < table.bits() {
            bits.refill_slowly();
        }
        let symbol = table.look_up(bits.acc).bytes()[0];
        let length = table.length(symbol);
        if length > bits.filled {
            return Err(CodecError::Truncated {
                what: "stream of code words",
                needed: length.div_ceil(8) as usize,
                left: bits.filled as usize / 8,
            });
        }
        *byte = symbol;
        bits.consume(length);
    }
    match bits.source.len() - bits.at + bits.filled as usize / 8 {
        0 => Ok(()),
        left => Err(CodecError::Trailing { left }),
    }
}
