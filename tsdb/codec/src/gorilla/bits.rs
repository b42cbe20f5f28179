//! Strings of bits, highest first.

use crate::error::{CodecError, Result};

/// The error of a field that no encoder writes.
pub(super) fn wrong(what: &'static str, got: u32, allowed: u32) -> CodecError {
    CodecError::Field {
        what,
        got: u64::from(got),
        allowed: u64::from(allowed),
    }
}

/// Writes fields of up to 64 bits.
#[derive(Default)]
pub(super) struct BitWriter {
    out: Vec<u8>,
    /// Bits not written yet, the last one lowest.
    acc: u128,
    /// How many; below 64 between calls.
    filled: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits of `field`, which has no others.
    #[inline]
    pub(super) fn put(&mut self, field: u64, count: u32) {
        self.acc = self.acc << count | u128::from(field);
        self.filled += count;
        if self.filled >= 64 {
            self.filled -= 64;
            let word = (self.acc >> self.filled) as u64;
            self.out.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// The string, its last byte filled up with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let word = (self.acc << (64 - self.filled)) as u64;
        let bytes = self.filled.div_ceil(8) as usize;
        self.out.extend_from_slice(&word.to_be_bytes()[..bytes]);
        self.out
    }
}

/// Reads fields of up to 64 bits.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at: 0 }
    }

    fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// That many bits must be left.
    pub(super) fn check(&self, bits: usize) -> Result<()> {
        if bits > self.left() {
            return Err(CodecError::Truncated {
                what: "bit string",
                needed: bits.div_ceil(8),
                left: self.left() / 8,
            });
        }
        Ok(())
    }

    /// The next `count` bits, 1 to 64, as the lowest ones of a number.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<u64> {
        self.check(count as usize)?;
        let rest = &self.bytes[self.at / 8..];
        let offset = (self.at % 8) as u32;
        self.at += count as usize;
        if let Some(eight) = rest.first_chunk::<8>()
            && offset + count <= 64
        {
            return Ok(u64::from_be_bytes(*eight) << offset >> (64 - count));
        }
        let mut window = [0u8; 16];
        let n = rest.len().min(16);
        window[..n].copy_from_slice(&rest[..n]);
        Ok((u128::from_be_bytes(window) << offset >> (128 - count)) as u64)
    }

    /// Less than a byte may be left.
    pub(super) fn finish(&self) -> Result<()> {
        match self.left() / 8 {
            0 => Ok(()),
            left => Err(CodecError::Trailing { left }),
        }
    }
}
