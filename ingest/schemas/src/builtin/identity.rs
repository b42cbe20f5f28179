//! When two texts are the same schema.

use super::state::Reference;
use crate::avro::AvroDecoder;
use crate::json_schema::JsonSchemaDecoder;
use crate::protobuf::ProtobufSchema;
use crate::text::base64;
use crate::{SchemaKind, SchemaSource};
use serde_json::Value;
use std::collections::BTreeMap;

/// The text by which a valid schema is told from others: of Avro what it means, whatever the order of its members and where
/// namespaces are written, as Confluent has it; of JSON Schema the JSON without blanks (with `normalize` its members in
/// order, too); of Protobuf the compiled file.
///
/// # Errors
/// What is wrong with the schema, in words.
pub(super) fn key_of(source: &SchemaSource, normalize: bool) -> Result<String, String> {
    match source.kind {
        SchemaKind::Protobuf => {
            // Comments and layout are no part of it.
            ProtobufSchema::new(source).map(|schema| base64(&schema.descriptor()))
        }
        SchemaKind::Avro => {
            AvroDecoder::new(source)?;
            Ok(sorted(avro(&json(source)?, "")).to_string())
        }
        SchemaKind::Json => {
            JsonSchemaDecoder::new(source)?;
            let value = json(source)?;
            Ok(if normalize { sorted(value) } else { value }.to_string())
        }
    }
}

fn json(source: &SchemaSource) -> Result<Value, String> {
    serde_json::from_str(&source.text).map_err(|e| e.to_string())
}

const NAMED: [&str; 4] = ["record", "error", "enum", "fixed"];
const PRIMITIVE: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// A valid Avro schema within a namespace, with all names in full and no namespace besides, and types in their shortest form.
/// Docs, aliases, defaults and properties of others stay. It recurses as deep as the schema, which the decoder bounds.
fn avro(schema: &Value, namespace: &str) -> Value {
    let members = match schema {
        Value::String(name) => return full(name, namespace).into(),
        Value::Array(branches) => return branches.iter().map(|b| avro(b, namespace)).collect(),
        Value::Object(members) => members,
        other => return other.clone(),
    };
    let kind = members.get("type").unwrap_or(&Value::Null);
    if members.len() == 1 && !kind.is_null() {
        return avro(kind, namespace);
    }
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let named = kind
        .as_str()
        .filter(|k| NAMED.contains(k))
        .and(text("name"));
    let own = named.map(|name| full(name, text("namespace").unwrap_or(namespace)));
    let namespace = match &own {
        Some(name) => name.rsplit_once('.').map_or("", |(namespace, _)| namespace),
        None => namespace,
    };
    let mut out = serde_json::Map::new();
    for (name, value) in members {
        let value = match (name.as_str(), &own) {
            ("namespace", Some(_)) => continue,
            ("name", Some(own)) => own.as_str().into(),
            ("aliases", Some(_)) => avro(value, namespace),
            ("fields", Some(_)) => match value {
                Value::Array(fields) => fields.iter().map(|f| field(f, namespace)).collect(),
                other => other.clone(),
            },
            ("type", Some(_)) => value.clone(),
            ("type" | "items" | "values", None) => avro(value, namespace),
            _ => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

fn field(field: &Value, namespace: &str) -> Value {
    let mut out = field.clone();
    if let Some(kind) = out.get_mut("type") {
        *kind = avro(kind, namespace);
    }
    out
}

/// A type's full name.
fn full(name: &str, namespace: &str) -> String {
    let alone = PRIMITIVE.contains(&name) || name.contains('.') || namespace.is_empty();
    // A leading dot says that there is no namespace.
    let name = name.strip_prefix('.').unwrap_or(name);
    match alone {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        key_of(&SchemaSource::new(SchemaKind::Avro, text), false).unwrap()
    }

    #[test]
    fn an_avro_schema_is_what_it_means() {
        let one = r#"{"type":"record","name":"R","namespace":"a.b","doc":"d","fields":[
            {"name":"x","type":["null",{"type":"enum","name":"E","symbols":["A"]}],"default":null},
            {"name":"y","type":{"type":"array","items":"E"}},
            {"name":"z","type":{"type":"fixed","name":"c.F","size":4,"aliases":["G"]}},
            {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
        let same = r#"{"fields":[
            {"default":null,"type":[{"type":"null"},{"name":"a.b.E","type":"enum","symbols":["A"]}],"name":"x"},
            {"name":"y","type":{"items":"a.b.E","type":"array"}},
            {"name":"z","type":{"type":"fixed","namespace":"c","name":"F","size":4,"aliases":["c.G"]}},
            {"name":"t","type":{"logicalType":"timestamp-millis","type":"long"}}],"doc":"d","name":"a.b.R","type":"record"}"#;
        assert_eq!(key(one), key(same));
        for (from, to) in [
            ("\"d\"", "\"e\""),
            ("a.b", "a.c"),
            ("[\"A\"]", "[\"B\"]"),
            ("\"G\"", "\"H\""),
            ("timestamp-millis", "timestamp-micros"),
            ("\"null\",{", "{\"type\":\"int\"},{"),
        ] {
            let other = one.replace(from, to).replace(r#","default":null"#, "");
            assert_ne!(
                key(&one.replace(r#","default":null"#, "")),
                key(&other),
                "{from}"
            );
        }
        assert_ne!(key(one), key(&one.replace(r#","default":null"#, "")));
        assert_eq!(key(r#"{"type":"string"}"#), key(r#""string""#));
    }
}
