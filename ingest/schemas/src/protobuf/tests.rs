//! Against messages that prost-reflect encodes, and against bytes of any kind.

use super::*;
use crate::{SchemaKind, SchemaSource};
use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

const ALL: &str = r#"
syntax = "proto3";
package p;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
message All {
  enum Color { NONE = 0; RED = 1; BLUE = 5; }
  message Inner { string a = 1; optional int32 b = 2; repeated Inner more = 3; Deep deep = 4; }
  message Deep { fixed64 x = 1; }
  double d = 1; float f = 2; int32 i32 = 3; int64 i64 = 4; uint32 u32 = 5; uint64 u64 = 6;
  sint32 s32 = 7; sint64 s64 = 8; fixed32 f32 = 9; fixed64 f64 = 10; sfixed32 sf32 = 11; sfixed64 sf64 = 12;
  bool b = 13; string s = 14; bytes y = 15; Color color = 16;
  optional int64 maybe = 17; Inner inner = 18; All self = 19;
  repeated int32 packed = 20; repeated int32 unpacked = 21 [packed = false]; repeated string names = 22;
  repeated Inner inners = 23; map<string, int64> counts = 24; map<int32, Inner> by_id = 25;
  oneof one { string left = 26; int32 right = 27; Inner middle = 28; }
  google.protobuf.Timestamp at = 30; google.protobuf.Duration took = 31;
  google.protobuf.Int64Value wrapped = 32; google.protobuf.StringValue named = 33; google.protobuf.Struct free = 34;
  repeated double doubles = 1000;
}"#;

fn schema(text: &str) -> ProtobufSchema {
    ProtobufSchema::new(&SchemaSource::new(SchemaKind::Protobuf, text)).unwrap()
}

fn random(field: &FieldDescriptor, kind: &Kind, rng: &mut SmallRng, depth: usize) -> Value {
    match kind {
        Kind::Double => Value::F64(rng.random_range(-1e9..1e9)),
        Kind::Float => Value::F32(rng.random_range(-1e9..1e9)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(rng.random()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(rng.random()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(rng.random()),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(rng.random()),
        Kind::Bool => Value::Bool(rng.random()),
        Kind::String => Value::String(["", "é\"\\\n", "text"][rng.random_range(0..3)].into()),
        Kind::Bytes => Value::Bytes(rng.random::<[u8; 5]>().to_vec().into()),
        Kind::Enum(_) => Value::EnumNumber([0, 1, 5, 7][rng.random_range(0..4)]),
        Kind::Message(m) => {
            let mut message = DynamicMessage::new(m.clone());
            match m.full_name() {
                "google.protobuf.Timestamp" => {
                    message.set_field_by_name(
                        "seconds",
                        Value::I64(rng.random_range(-9_000_000_000..9_000_000_000)),
                    );
                    message
                        .set_field_by_name("nanos", Value::I32(rng.random_range(0..1_000_000_000)));
                }
                "google.protobuf.Duration" => {
                    message.set_field_by_name(
                        "seconds",
                        Value::I64(rng.random_range(0..9_000_000_000)),
                    );
                    message
                        .set_field_by_name("nanos", Value::I32(rng.random_range(0..1_000_000_000)));
                }
                _ if depth == 0 || field.name() == "free" => {}
                _ => message = fill(m, rng, depth - 1),
            }
            Value::Message(message)
        }
    }
}

fn fill(descriptor: &MessageDescriptor, rng: &mut SmallRng, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if rng.random_bool(0.4) {
            continue;
        }
        let value = if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                unreachable!()
            };
            let kind = entry.map_entry_value_field().kind();
            let keys = 0..rng.random_range(0..3);
            Value::Map(
                keys.map(|i| {
                    let key = match entry.map_entry_key_field().kind() {
                        Kind::String => MapKey::String(format!("k{i}")),
                        _ => MapKey::I32(i - 1),
                    };
                    (key, random(&field, &kind, rng, depth))
                })
                .collect(),
            )
        } else if field.is_list() {
            let n = rng.random_range(0..4);
            Value::List(
                (0..n)
                    .map(|_| random(&field, &field.kind(), rng, depth))
                    .collect(),
            )
        } else {
            random(&field, &field.kind(), rng, depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn ns(message: &DynamicMessage) -> i64 {
    let part = |name| match message.get_field_by_name(name).unwrap().as_ref() {
        Value::I64(v) => *v,
        Value::I32(v) => i64::from(*v),
        _ => unreachable!(),
    };
    part("seconds") * 1_000_000_000 + part("nanos")
}

fn name_of(field: &FieldDescriptor, number: i32) -> String {
    let Kind::Enum(e) = field.kind() else {
        unreachable!()
    };
    e.get_value(number)
        .map_or(number.to_string(), |v| v.name().to_owned())
}

fn to_json(field: &FieldDescriptor, value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(v) => json!(v),
        Value::I32(v) => json!(v),
        Value::I64(v) => json!(v),
        Value::U32(v) => json!(v),
        Value::U64(v) => json!(v),
        Value::F32(v) => json!(v.to_string().parse::<f64>().unwrap()),
        Value::F64(v) => json!(v),
        Value::String(v) => json!(v),
        Value::Bytes(v) => json!(base64(v)),
        Value::EnumNumber(v) => json!(name_of(field, *v)),
        Value::List(all) => all.iter().map(|v| to_json(field, v)).collect(),
        Value::Map(all) => {
            let key = |k: &MapKey| match k {
                MapKey::String(k) => k.clone(),
                MapKey::I32(k) => k.to_string(),
                _ => unreachable!(),
            };
            all.iter()
                .map(|(k, v)| (key(k), to_json(field, v)))
                .collect()
        }
        Value::Message(m) => match m.descriptor().full_name() {
            "google.protobuf.Timestamp" => json!(crate::text::time(ns(m))),
            "google.protobuf.Duration" => json!(ns(m)),
            "google.protobuf.Struct" => json!({}),
            name if name.ends_with("Value") => {
                let field = m.descriptor().get_field(1).unwrap();
                to_json(&field, &m.get_field(&field))
            }
            _ => {
                let fields = m.descriptor().fields().collect::<Vec<_>>();
                let kept = fields
                    .iter()
                    .filter(|f| m.has_field(f) || !f.supports_presence());
                kept.map(|f| (f.name().to_owned(), to_json(f, &m.get_field(f))))
                    .collect()
            }
        },
    }
}

/// The cells as prost-reflect's own reading gives them.
fn expected(
    message: &DynamicMessage,
    prefix: &str,
    null: bool,
    out: &mut Vec<(String, Option<Cell<'static>>)>,
) {
    for field in message.descriptor().fields() {
        let name = format!("{prefix}{}", field.name());
        let value = message.get_field(&field);
        let null = null || (field.supports_presence() && !message.has_field(&field));
        if let (Value::Message(m), true) = (
            value.as_ref(),
            matches!(field.name(), "inner" | "middle" | "deep"),
        ) {
            expected(m, &format!("{name}."), null, out);
            continue;
        }
        let cell = match value.as_ref() {
            Value::Bool(v) => Cell::Bool(*v),
            Value::I32(v) => Cell::Int(i64::from(*v)),
            Value::I64(v) => Cell::Int(*v),
            Value::U32(v) => Cell::Int(i64::from(*v)),
            Value::U64(v) => Cell::UInt(*v),
            Value::F32(v) => Cell::Float(v.to_string().parse().unwrap()),
            Value::F64(v) => Cell::Float(*v),
            Value::String(v) => Cell::Str(v.clone().into()),
            Value::Bytes(v) => Cell::Str(base64(v).into()),
            Value::EnumNumber(v) => Cell::Str(name_of(&field, *v).into()),
            Value::Message(m) => match field.name() {
                "at" => Cell::Time(ns(m)),
                "took" => Cell::Int(ns(m)),
                "wrapped" | "named" => match m.get_field_by_name("value").unwrap().as_ref() {
                    Value::I64(v) => Cell::Int(*v),
                    Value::String(v) => Cell::Str(v.clone().into()),
                    _ => unreachable!(),
                },
                _ => Cell::Array(to_json(&field, &value).to_string().into()),
            },
            value => Cell::Array(to_json(&field, value).to_string().into()),
        };
        out.push((name, (!null).then_some(cell)));
    }
}

fn agrees(decoder: &ProtobufDecoder, bytes: &[u8], message: &DynamicMessage) {
    let mut wanted = Vec::new();
    expected(message, "", false, &mut wanted);
    let cells = decoder.decode(bytes).unwrap();
    assert_eq!(cells.len(), wanted.len());
    for ((name, cell), (expected_name, expected)) in cells.iter().zip(&wanted) {
        assert_eq!(name.as_ref(), expected_name);
        match (cell, expected) {
            (Cell::NullOf(_), None) => {}
            (Cell::Array(got), Some(Cell::Array(wanted))) => {
                let json = |t: &str| serde_json::from_str::<serde_json::Value>(t).unwrap();
                assert_eq!(json(got), json(wanted), "{name}");
            }
            (got, wanted) => assert_eq!(Some(got), wanted.as_ref(), "{name}"),
        }
    }
}

proptest! {
    #[test]
    fn what_the_crate_encodes_is_decoded(seed in any::<u64>(), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
        let schema = schema(ALL);
        let descriptor = schema.message(&[0]).unwrap();
        let decoder = ProtobufDecoder::new(&descriptor).unwrap();
        let mut rng = SmallRng::seed_from_u64(seed);
        let message = fill(&descriptor, &mut rng, 3);
        let bytes = message.encode_to_vec();
        agrees(&decoder, &bytes, &message);
        // A second message behind the first merges with it.
        let more = fill(&descriptor, &mut rng, 2);
        let mut both = bytes.clone();
        both.extend(more.encode_to_vec());
        let merged = DynamicMessage::decode(descriptor.clone(), both.as_slice()).unwrap();
        agrees(&decoder, &both, &merged);
        if !bytes.is_empty() {
            let _ = decoder.decode(&bytes[..cut.index(bytes.len())]);
            let mut bad = bytes.clone();
            let bit = flip.index(bytes.len() * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = decoder.decode(&bad);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let decoder = ProtobufDecoder::new(&schema(ALL).message(&[0]).unwrap()).unwrap();
        let _ = decoder.decode(&bytes);
    }
}

#[test]
fn poison_is_refused_in_words() {
    let decoder = ProtobufDecoder::new(&schema(ALL).message(&[0]).unwrap()).unwrap();
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let with = |head: &[u8], tail: &[u8]| [head, tail].concat();
    let mut deep = Vec::new();
    for _ in 0..40 {
        // field 19, a message of all that follows.
        let mut outer = vec![0x9a, 0x01];
        prost_reflect::prost::encoding::encode_varint(deep.len() as u64, &mut outer);
        outer.extend(&deep);
        deep = outer;
    }
    for (bytes, part) in [
        (vec![0x08, 1], "wire type 0"),
        (vec![0x09, 1], "ends within"),
        (with(&[0x72], &huge), "ends within"),
        (with(&[0x18], &[0xff; 11]), "more than 64 bits"),
        (vec![0x00, 0x00], "out of range"),
        (huge.to_vec(), "out of range"),
        (vec![0x72, 1, 0xff], "not UTF-8"),
        (vec![0x0c], "has not begun"),
        (vec![0xf6, 0x3f], "wire type 6"),
        (vec![0xf3, 0x3f, 0xfc, 0x3f], "has not begun"),
        ([0xf3, 0x3f].repeat(101), "100 levels"),
        ([0xf3, 0x3f].repeat(9), "ends within"),
        // A timestamp with a negative nanosecond, and one far away.
        (
            vec![
                0xf2, 0x01, 11, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            "nanoseconds",
        ),
        (
            vec![0xf2, 0x01, 7, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            "64 bits of nanoseconds",
        ),
        (deep, "32 levels"),
    ] {
        match decoder.decode(&bytes) {
            Err(e) => assert!(e.to_string().contains(part), "{bytes:x?}: {e}"),
            Ok(_) => panic!("{bytes:x?} is decoded"),
        }
    }
}

#[test]
fn few_bytes_do_not_become_a_flood() {
    let fields: String = (1..2000).map(|i| format!("int64 f{i} = {i}; ")).collect();
    let text = format!(
        "syntax = \"proto3\"; message A {{ repeated B b = 1; map<string, B> m = 2; }} message B {{ {fields} }}"
    );
    let decoder = ProtobufDecoder::new(&schema(&text).message(&[0]).unwrap()).unwrap();
    for tag in [0x0a, 0x12] {
        let bytes = [tag, 0].repeat(500_000);
        assert!(decoder.decode(&bytes).is_err());
    }
}

#[test]
fn absent_fields_are_defaults_or_null() {
    let decoder = ProtobufDecoder::new(&schema(ALL).message(&[0]).unwrap()).unwrap();
    let cells = decoder.decode(&[]).unwrap();
    let of = |name: &str| cells.iter().find(|c| c.0 == name).unwrap().1.clone();
    assert_eq!(of("i64"), Cell::Int(0));
    assert_eq!(of("color"), Cell::Str("NONE".into()));
    assert_eq!(of("maybe"), Cell::NullOf(DataType::Int64));
    assert_eq!(of("inner.deep.x"), Cell::NullOf(DataType::UInt64));
    assert_eq!(of("left"), Cell::NullOf(DataType::Utf8));
    assert_eq!(of("names"), Cell::Array("[]".into()));
    assert_eq!(of("counts"), Cell::Array("{}".into()));
    assert_eq!(of("at"), Cell::NullOf(DataType::Timestamp));
    assert_eq!(of("wrapped"), Cell::NullOf(DataType::Int64));
}

#[test]
fn structs_are_json() {
    let schema = schema(ALL);
    let descriptor = schema.message(&[0]).unwrap();
    let text = r#"{"free": {"a": [1.5, "x", null, true], "b": {"c": {}}}}"#;
    let message = DynamicMessage::deserialize(
        descriptor.clone(),
        &mut serde_json::Deserializer::from_str(text),
    );
    let bytes = message.unwrap().encode_to_vec();
    let decoder = ProtobufDecoder::new(&descriptor).unwrap();
    let cells = decoder.decode(&bytes).unwrap();
    let free = &cells.iter().find(|c| c.0 == "free").unwrap().1;
    let Cell::Array(got) = free else {
        panic!("{free:?}")
    };
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(got).unwrap(),
        serde_json::from_str::<serde_json::Value>(text).unwrap()["free"]
    );
}

#[test]
fn groups_and_wide_schemas_of_proto2() {
    let schema = schema(
        "syntax = \"proto2\"; message A { optional group G = 1 { optional int32 x = 2; } required int32 y = 3; \
         optional int32 d = 4 [default = 9]; }",
    );
    let decoder = ProtobufDecoder::new(&schema.message(&[0]).unwrap()).unwrap();
    let cells = decoder.decode(&[0x0b, 0x10, 7, 0x0c, 0x18, 1]).unwrap();
    let values: Vec<_> = cells.iter().map(|c| (c.0.as_ref(), c.1.clone())).collect();
    assert_eq!(
        values,
        [
            ("g.x", Cell::Int(7)),
            ("y", Cell::Int(1)),
            ("d", Cell::NullOf(DataType::Int64)),
        ]
    );
}

#[test]
fn a_schema_that_explodes_is_refused() {
    let mut text = "syntax = \"proto3\"; message T31 {}".to_owned();
    for i in 0..31 {
        text.push_str(&format!(
            " message T{i} {{ T{0} a = 1; T{0} b = 2; }}",
            i + 1
        ));
    }
    let schema = schema(&text);
    let first = schema.message(&[1]).unwrap();
    assert_eq!(first.full_name(), "T0");
    let refused = ProtobufDecoder::new(&first).unwrap_err();
    assert!(refused.contains("65536 parts"), "{refused}");
}

/// Anybody may declare a type of a known one's name.
#[test]
fn a_wrapper_of_itself_is_a_message() {
    let text = "syntax = \"proto3\"; package google.protobuf; message A { Int32Value w = 1; } \
                message Int32Value { Int32Value value = 1; int32 n = 2; }";
    let decoder = ProtobufDecoder::new(&schema(text).message(&[0]).unwrap()).unwrap();
    let names: Vec<&str> = decoder.columns().iter().map(|c| c.0.as_str()).collect();
    assert_eq!(names, ["w.value", "w.n"]);
    decoder.decode(&[0x0a, 2, 0x10, 7]).unwrap();
}
