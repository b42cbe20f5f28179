//! Protobuf's wire format, read in place: no message is built, so that a short body can't become a large one. Strict:
//! what is cut, overlong or of another wire type than its field is an error.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the protobuf message is damaged: {0}")]
pub struct Malformed(pub(crate) &'static str);

/// A field's value as its wire type has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// A varint.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A string, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
}

const WRONG_TYPE: Malformed = Malformed("a field has another wire type than its own");

impl<'a> Value<'a> {
    pub fn u64(self) -> Result<u64, Malformed> {
        match self {
            Value::Varint(v) => Ok(v),
            _ => Err(WRONG_TYPE),
        }
    }

    /// An `int32` or `int64`, or an enum.
    pub fn i64(self) -> Result<i64, Malformed> {
        self.u64().map(|v| v as i64)
    }

    /// A `uint32`: higher bits are dropped, as every reader does.
    pub fn u32(self) -> Result<u32, Malformed> {
        self.u64().map(|v| v as u32)
    }

    /// A `sint32`.
    pub fn sint32(self) -> Result<i32, Malformed> {
        let v = self.u32()?;
        Ok((v >> 1) as i32 ^ -((v & 1) as i32))
    }

    pub fn fixed64(self) -> Result<u64, Malformed> {
        match self {
            Value::Fixed64(v) => Ok(v),
            _ => Err(WRONG_TYPE),
        }
    }

    pub fn f64(self) -> Result<f64, Malformed> {
        self.fixed64().map(f64::from_bits)
    }

    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(b) => Ok(b),
            _ => Err(WRONG_TYPE),
        }
    }

    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a string is not UTF-8"))
    }

    /// The fields of a message within the message.
    pub fn message(self) -> Result<Reader<'a>, Malformed> {
        self.bytes().map(Reader::new)
    }
}

/// A `sint64` behind its varint.
pub(crate) fn zigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// Reads a message's fields in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Malformed> {
        if let [first @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for i in 0..10 {
            let Some((byte, rest)) = self.rest.split_first() else {
                return Err(Malformed("it ends within a varint"));
            };
            self.rest = rest;
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a varint is longer than 64 bits"))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let split = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len));
        let (head, rest) = split.ok_or(Malformed("a length is more than what follows"))?;
        self.rest = rest;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(Malformed("it ends within a number"))?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next field: its number and value; `None` at the end.
    #[inline]
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|n| *n > 0 && *n < 1 << 29)
            .ok_or(Malformed("a field's number is out of range"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(Malformed("a wire type that is not in use")),
        };
        Ok(Some((number, value)))
    }

    /// Calls `f` with each number of a repeated field's value, packed or not, of varints.
    pub fn varints(
        value: Value<'a>,
        mut f: impl FnMut(u64) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match value {
            Value::Varint(v) => f(v),
            Value::Bytes(bytes) => {
                let mut all = Reader::new(bytes);
                while !all.rest.is_empty() {
                    f(all.varint()?)?;
                }
                Ok(())
            }
            _ => Err(WRONG_TYPE),
        }
    }

    /// The same for numbers of eight bytes.
    pub fn fixed64s(
        value: Value<'a>,
        mut f: impl FnMut(u64) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match value {
            Value::Fixed64(v) => f(v),
            Value::Bytes(bytes) => {
                let (all, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(Malformed("it ends within a number"));
                }
                all.iter().try_for_each(|v| f(u64::from_le_bytes(*v)))
            }
            _ => Err(WRONG_TYPE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::encoding::{encode_varint, encoded_len_varint};

    proptest! {
        #[test]
        fn varints_are_read_as_they_are_written(v in any::<u64>(), shift in 0..64u32) {
            let v = v >> shift;
            let mut bytes = vec![0x08];
            encode_varint(v, &mut bytes);
            prop_assert_eq!(bytes.len(), encoded_len_varint(v) + 1);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.next(), Ok(Some((1, Value::Varint(v)))));
            prop_assert_eq!(reader.next(), Ok(None));
            for end in 1..bytes.len() {
                prop_assert!(Reader::new(&bytes[..end]).next().is_err());
            }
        }

        #[test]
        fn any_bytes_end_in_fields_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            let mut left = bytes.len() + 1;
            while let Ok(Some(_)) = reader.next() {
                prop_assert!(reader.rest().len() < left);
                left = reader.rest().len();
            }
        }
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        let bad: [&[u8]; 8] = [
            &[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
            ],
            &[
                0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01,
            ],
            &[0x00, 0x01],
            &[0x0b],
            &[0x0a, 0x05, 1, 2, 3, 4],
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            &[0x09, 1, 2, 3, 4, 5, 6, 7],
            &[0x0f, 0],
        ];
        for bytes in bad {
            assert!(Reader::new(bytes).next().is_err(), "{bytes:?}");
        }
        let mut all = Vec::new();
        assert!(
            Reader::varints(Value::Bytes(&[1, 0x80]), |v| {
                all.push(v);
                Ok(())
            })
            .is_err()
        );
        assert!(Reader::fixed64s(Value::Bytes(&[0; 9]), |_| Ok(())).is_err());
        assert_eq!(zigzag(u64::MAX), i64::MIN);
        assert_eq!(Value::Varint(3).sint32(), Ok(-2));
    }
}
