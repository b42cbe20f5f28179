//! How a message names its schema, as Confluent's serialisers write it: a byte 0 and a 32-bit id, or a byte 1 and a
//! GUID; behind it, with Protobuf, which message of the file it is; then the message itself.
//!
//! ```text
//! 00 iiiiiiii            payload      id, big-endian
//! 01 16 bytes            payload      GUID
//! .. n i1 .. in          payload      Protobuf: zigzag varints; n = 0 stands for the first message
//! ```

use crate::text::uuid;
use ingest_decode::RowReason;
use std::fmt;

/// Messages within messages that an index may lead through.
const MAX_INDEXES: usize = 32;

/// What names a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// The id that a registry gave it.
    Id(u32),
    /// Its GUID.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaId::Id(id) => write!(f, "{id}"),
            SchemaId::Guid(guid) => f.write_str(&uuid(guid)),
        }
    }
}

fn bad(what: String) -> RowReason {
    RowReason::Syntax(what)
}

/// Takes the schema's name off a message.
///
/// # Errors
/// When the message does not begin with one.
pub fn split(message: &[u8]) -> Result<(SchemaId, &[u8]), RowReason> {
    let short = || bad("the message ends within its schema's id".into());
    match message {
        [] => Err(bad("an empty message".into())),
        [0, rest @ ..] => {
            let (id, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            Ok((SchemaId::Id(u32::from_be_bytes(*id)), rest))
        }
        [1, rest @ ..] => {
            let (guid, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            Ok((SchemaId::Guid(*guid), rest))
        }
        [other, ..] => Err(bad(format!(
            "the message begins with byte {other} and not with a schema's id (0 or 1)"
        ))),
    }
}

/// A zigzag varint of up to 32 bits.
fn varint(rest: &mut &[u8]) -> Result<i32, RowReason> {
    let mut value = 0u32;
    for shift in (0..32).step_by(7) {
        let (byte, tail) = rest
            .split_first()
            .ok_or_else(|| bad("the message ends within its message index".into()))?;
        *rest = tail;
        let bits = u32::from(byte & 0x7f);
        if shift == 28 && bits > 0xf {
            break;
        }
        value |= bits << shift;
        if *byte < 0x80 {
            return Ok((value >> 1) as i32 ^ -((value & 1) as i32));
        }
    }
    Err(bad("a message index of more than 32 bits".into()))
}

/// Takes Protobuf's message indexes off what stands behind the id.
///
/// # Errors
/// When they are none.
pub fn split_indexes(payload: &[u8]) -> Result<(Vec<u32>, &[u8]), RowReason> {
    let mut rest = payload;
    let count = varint(&mut rest)?;
    if count == 0 {
        return Ok((vec![0], rest));
    }
    let count = usize::try_from(count).ok().filter(|n| *n <= MAX_INDEXES);
    let count = count.ok_or_else(|| bad("the number of message indexes is not 0 to 32".into()))?;
    let mut indexes = Vec::with_capacity(count);
    for _ in 0..count {
        let index = varint(&mut rest)?;
        let index = u32::try_from(index);
        indexes.push(index.map_err(|_| bad("a negative message index".into()))?);
    }
    Ok((indexes, rest))
}

/// A GUID as text, with hyphens.
#[must_use]
pub fn guid_text(guid: &[u8; 16]) -> String {
    uuid(guid)
}

/// A GUID from its text; `None` when it is none.
#[must_use]
pub fn parse_guid(text: &str) -> Option<[u8; 16]> {
    let hyphens = [8, 13, 18, 23];
    let right = |(i, b): (usize, u8)| {
        if hyphens.contains(&i) {
            b == b'-'
        } else {
            b.is_ascii_hexdigit()
        }
    };
    if text.len() != 36 || !text.bytes().enumerate().all(right) {
        return None;
    }
    let value = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
    Some(value.to_be_bytes())
}

/// Puts a schema's name before a payload, the inverse of [`split`].
#[must_use]
pub fn join(id: SchemaId, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(17 + payload.len());
    match id {
        SchemaId::Id(id) => {
            out.push(0);
            out.extend(id.to_be_bytes());
        }
        SchemaId::Guid(guid) => {
            out.push(1);
            out.extend(guid);
        }
    }
    out.extend_from_slice(payload);
    out
}

/// Puts message indexes before a payload, the inverse of [`split_indexes`].
#[must_use]
pub fn join_indexes(indexes: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + payload.len());
    let mut put = |v: u64| {
        let mut v = v << 1;
        while v >= 0x80 {
            out.push(v as u8 | 0x80);
            v >>= 7;
        }
        out.push(v as u8);
    };
    if indexes == [0] {
        put(0);
    } else {
        put(indexes.len() as u64);
        indexes.iter().for_each(|i| put(u64::from(*i)));
    }
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_come_back(id in any::<u32>(), guid in any::<[u8; 16]>(), indexes in prop::collection::vec(0u32..1 << 30, 1..=MAX_INDEXES), payload in prop::collection::vec(any::<u8>(), 0..20)) {
            prop_assert_eq!(parse_guid(&guid_text(&guid)), Some(guid));
            for id in [SchemaId::Id(id), SchemaId::Guid(guid)] {
                let inner = join_indexes(&indexes, &payload);
                let message = join(id, &inner);
                let (read, rest) = split(&message).unwrap();
                prop_assert_eq!((read, rest), (id, inner.as_slice()));
                prop_assert_eq!(split_indexes(rest).unwrap(), (indexes.clone(), payload.as_slice()));
                let head = message.len() - inner.len();
                for cut in 0..head {
                    prop_assert!(split(&message[..cut]).is_err());
                }
                for cut in 0..inner.len() - payload.len() {
                    prop_assert!(split_indexes(&inner[..cut]).is_err());
                }
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((_, rest)) = split(&bytes) {
                let _ = split_indexes(rest);
            }
            let _ = split_indexes(&bytes);
        }
    }

    #[test]
    fn known_bytes() {
        assert_eq!(
            split(&[0, 0, 0, 1, 2, 9]),
            Ok((SchemaId::Id(258), &[9][..]))
        );
        assert_eq!(split_indexes(&[0, 7]), Ok((vec![0], &[7][..])));
        assert_eq!(split_indexes(&[4, 2, 0, 7]), Ok((vec![1, 0], &[7][..])));
        for bad in [
            &[1][..],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 1],
            &[66],
            &[2, 1],
            &[2],
            &[],
        ] {
            assert!(split_indexes(bad).is_err(), "{bad:?}");
        }
        assert!(split(&[2, 0, 0, 0, 0, 0]).is_err());
        for text in [
            "",
            "0",
            "00000000-0000-0000-0000-00000000000g",
            "+0000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(parse_guid(text), None);
        }
    }
}
