//! OTLP's JSON, written anew as protobuf while it is read.

use super::base64;
use super::schema::{Field, REQUEST, Type};
use crate::admission::Rejection;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Bytes of the protobuf: a list of short numbers grows by a few times.
const MAX_BYTES: usize = 256 << 20;

/// The same request as protobuf. Unknown members are passed over, as OTLP wants.
///
/// # Errors
/// 400 for what is no such request, 413 when it becomes more than 256 MiB.
pub(super) fn to_protobuf(body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut out = Vec::with_capacity(body.len() / 2);
    let mut parser = serde_json::Deserializer::from_slice(body);
    let message = Message {
        fields: REQUEST,
        out: &mut out,
    };
    let read = message.deserialize(&mut parser).and_then(|()| parser.end());
    if out.len() > MAX_BYTES {
        let message = "the request is too large; send fewer points at once".to_owned();
        return Err(Rejection::new(413, "decoded_too_large", message));
    }
    read.map_err(|e| {
        let message = format!("the body is no OTLP request in JSON: {e}");
        Rejection::new(400, "bad_request", message)
    })?;
    Ok(out)
}

/// Writes an object as a message's fields.
struct Message<'o> {
    fields: &'static [Field],
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

/// Whether a member's name is a field's: in camel case, or in the schema's snake case.
fn is_named(field: &Field, name: &str) -> bool {
    if field.name == name {
        return true;
    }
    let mut rest = name.bytes();
    for b in field.name.bytes() {
        if b.is_ascii_uppercase() && (rest.next() != Some(b'_')) {
            return false;
        }
        if rest.next() != Some(b.to_ascii_lowercase()) {
            return false;
        }
    }
    rest.next().is_none()
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            match self.fields.iter().find(|f| is_named(f, &name)) {
                Some(field) => map.next_value_seed(Member {
                    field,
                    out: self.out,
                })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A string, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Name<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(v.to_owned())))
            }
        }
        d.deserialize_str(V)
    }
}

/// Writes a member's value as a field, each of a list.
struct Member<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        if self.out.len() > MAX_BYTES {
            return Err(de::Error::custom("too large"));
        }
        if self.field.repeated {
            return d.deserialize_option(List(self));
        }
        item(self.field, self.out, d)
    }
}

/// `null` is as good as nothing.
struct List<'o>(Member<'o>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a list for {}", self.0.field.name)
    }
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Member { field, out } = self.0;
        while seq.next_element_seed(Item { field, out })?.is_some() {}
        Ok(())
    }
}

struct Item<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        if self.out.len() > MAX_BYTES {
            return Err(de::Error::custom("too large"));
        }
        item(self.field, self.out, d)
    }
}

/// Bytes of a length that is written once it is known.
const LENGTH: usize = 5;

fn item<'de, D: Deserializer<'de>>(
    field: &'static Field,
    out: &mut Vec<u8>,
    d: D,
) -> Result<(), D::Error> {
    let Type::Message(fields) = field.of else {
        return match scalar(field, Plain::deserialize(d)?, out) {
            Some(()) => Ok(()),
            None => Err(de::Error::custom(format!(
                "{} has a value that it can't have",
                field.name
            ))),
        };
    };
    encode_key(field.number, WireType::LengthDelimited, out);
    let at = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    d.deserialize_option(Nested(Message { fields, out }))?;
    // A varint may be longer than it need be.
    let length = (out.len() - at - LENGTH) as u64;
    for (i, byte) in out[at..at + LENGTH].iter_mut().enumerate() {
        let more = if i + 1 < LENGTH { 0x80 } else { 0 };
        *byte = (length >> (7 * i)) as u8 & 0x7f | more;
    }
    Ok(())
}

struct Nested<'o>(Message<'o>);

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        self.0.deserialize(d)
    }
}

/// A value without parts. Numbers are read from their text, so that none is rounded twice.
enum Plain<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
}

impl<'de> Deserialize<'de> for Plain<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(d)?.get();
        match raw.as_bytes().first() {
            Some(b'n') => Ok(Plain::Null),
            Some(b't') => Ok(Plain::Bool(true)),
            Some(b'f') => Ok(Plain::Bool(false)),
            Some(b'"') => match serde_json::from_str(raw) {
                Ok(Name(text)) => Ok(Plain::Text(text)),
                Err(e) => Err(de::Error::custom(e)),
            },
            Some(b'{' | b'[') | None => Err(de::Error::custom(
                "a number, a string or a boolean is wanted",
            )),
            Some(_) => Ok(Plain::Number(raw)),
        }
    }
}

impl Plain<'_> {
    /// Numbers may come as strings.
    fn text(&self) -> Option<&str> {
        match self {
            Plain::Number(text) => Some(text),
            Plain::Text(text) => Some(text),
            _ => None,
        }
    }

    fn i64(&self) -> Option<i64> {
        let text = self.text()?;
        text.parse().ok().or_else(|| {
            // `1e3` and `5.0` are integers, too.
            let v: f64 = text.parse().ok()?;
            whole(v).filter(|v| v.abs() < 9e15).map(|v| v as i64)
        })
    }

    fn u64(&self) -> Option<u64> {
        let text = self.text()?;
        text.parse()
            .ok()
            .or_else(|| u64::try_from(self.i64()?).ok())
    }

    fn f64(&self) -> Option<f64> {
        // Rust also reads the words that protobuf has for what is no number.
        self.text()?.parse().ok()
    }
}

fn whole(v: f64) -> Option<f64> {
    (v.fract() == 0.0).then_some(v)
}

/// Writes a field without parts; `None` when it can't have that value.
fn scalar(field: &Field, value: Plain<'_>, out: &mut Vec<u8>) -> Option<()> {
    if matches!(value, Plain::Null) {
        return Some(());
    }
    let varint = |v: u64, out: &mut Vec<u8>| {
        encode_key(field.number, WireType::Varint, out);
        encode_varint(v, out);
    };
    let fixed = |v: u64, out: &mut Vec<u8>| {
        encode_key(field.number, WireType::SixtyFourBit, out);
        out.extend_from_slice(&v.to_le_bytes());
    };
    let bytes = |v: &[u8], out: &mut Vec<u8>| {
        encode_key(field.number, WireType::LengthDelimited, out);
        encode_varint(v.len() as u64, out);
        out.extend_from_slice(v);
    };
    let text = match &value {
        Plain::Text(text) => Some(text.as_ref()),
        _ => None,
    };
    match &field.of {
        Type::Message(_) => return None,
        Type::Text => bytes(text?.as_bytes(), out),
        Type::Bytes => bytes(&base64::decode(text?)?, out),
        Type::Hex => bytes(&base64::from_hex(text?)?, out),
        Type::Double => fixed(value.f64()?.to_bits(), out),
        Type::Bool => match value {
            Plain::Bool(v) => varint(v.into(), out),
            _ => return None,
        },
        Type::Fixed64 => fixed(value.u64()?, out),
        Type::SFixed64 => fixed(value.i64()? as u64, out),
        Type::Int64 => varint(value.i64()? as u64, out),
        Type::UInt64 => varint(value.u64()?, out),
        Type::UInt32 => varint(u32::try_from(value.u64()?).ok()?.into(), out),
        Type::SInt32 => {
            let v = i32::try_from(value.i64()?).ok()?;
            varint(((v << 1) ^ (v >> 31)) as u32 as u64, out);
        }
        Type::Enum(names) => match text {
            Some(text) => varint(names.iter().position(|n| *n == text)? as u64, out),
            None => varint(value.u64()?, out),
        },
    }
    Some(())
}
