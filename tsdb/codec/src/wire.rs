//! Little-endian fields, variable-length integers, and a reader that checks every length.

use crate::error::{CodecError, Result};

/// Reads fields from the front of a payload; nothing is read past its end.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, n: usize, what: &'static str) -> Result<&'a [u8]> {
        let Some((head, rest)) = self.rest.split_at_checked(n) else {
            return Err(CodecError::Truncated {
                what,
                needed: n,
                left: self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N, what)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    /// LEB128, at most ten bytes, the tenth at most 1.
    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8(what)?;
            if shift == 63 && byte > 1 {
                return Err(CodecError::Field {
                    what,
                    got: u64::from(byte),
                    allowed: 1,
                });
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    pub(crate) fn signed(&mut self, what: &'static str) -> Result<i64> {
        self.varint(what).map(unzigzag)
    }

    /// A count or length that must not pass `limit`.
    pub(crate) fn count(&mut self, limit: usize, what: &'static str) -> Result<usize> {
        let got = self.varint(what)?;
        match usize::try_from(got) {
            Ok(n) if n <= limit => Ok(n),
            _ => Err(CodecError::Field {
                what,
                got,
                allowed: limit as u64,
            }),
        }
    }

    /// The payload must be used up.
    pub(crate) fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(CodecError::Trailing { left }),
        }
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Bytes that [`put_varint`] writes.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            put_signed(&mut out, signed);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint("v"), Ok(value));
            prop_assert_eq!(reader.signed("s"), Ok(signed));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn endless_and_oversize_varints_are_refused() {
        for bytes in [
            vec![0x80; 9],
            vec![0xff; 20],
            [vec![0x80; 9], vec![2]].concat(),
        ] {
            assert!(Reader::new(&bytes).varint("v").is_err());
        }
        assert!(Reader::new(&[11]).count(10, "n").is_err());
        assert_eq!(Reader::new(&[10]).count(10, "n"), Ok(10));
    }
}
