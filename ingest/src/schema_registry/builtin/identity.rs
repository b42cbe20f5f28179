//! When two texts are the same schema.

use super::state::Reference;
use crate::decode::avro::AvroDecoder;
use crate::decode::base64;
use crate::decode::json_schema::JsonSchemaDecoder;
use crate::decode::protobuf::ProtobufSchema;
use crate::schema_registry::{SchemaKind, SchemaSource};
use serde_json::Value;
use std::collections::BTreeMap;

/// The text by which a valid schema is told from others: JSON without blanks (with `normalize` its members in order, too),
/// a compiled Protobuf file.
///
/// # Errors
/// What is wrong with the schema, in words.
pub(super) fn key_of(source: &SchemaSource, normalize: bool) -> Result<String, String> {
    match source.kind {
        SchemaKind::Protobuf => {
            // Comments and layout are no part of it.
            ProtobufSchema::new(source).map(|schema| base64(&schema.descriptor()))
        }
        kind => {
            if kind == SchemaKind::Avro {
                AvroDecoder::new(source)?;
            } else {
                JsonSchemaDecoder::new(source)?;
            }
            let value: Value = serde_json::from_str(&source.text).map_err(|e| e.to_string())?;
            let value = if normalize { sorted(value) } else { value };
            Ok(value.to_string())
        }
    }
}

/// Members of objects in the order of their names.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        value => value,
    }
}

/// A schema's GUID: FNV-1a of 128 bits over what it is, so that it is the same in every registry that computes it so.
pub(super) fn guid_of(kind: SchemaKind, key: &str, references: &[Reference]) -> [u8; 16] {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut put = |text: &str| {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    };
    put(&kind.to_string());
    put(key);
    for reference in references {
        put(&reference.name);
        put(&reference.subject);
        put(&reference.version.to_string());
    }
    hash.to_be_bytes()
}
