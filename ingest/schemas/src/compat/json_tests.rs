//! What is told, and that what is called compatible is.

use super::json::read;
use crate::json_schema::JsonSchemaDecoder;
use crate::{SchemaKind, SchemaSource};
use proptest::prelude::*;
use serde_json::{Value, json};

fn source(schema: &Value) -> SchemaSource {
    SchemaSource::new(SchemaKind::Json, schema.to_string())
}

fn problems(reader: &Value, writer: &Value) -> Vec<&'static str> {
    let found = read(&source(reader), &source(writer)).unwrap();
    found.into_iter().map(|p| p.kind).collect()
}

fn object(properties: Value, more: Value) -> Value {
    let mut schema = json!({"type": "object", "properties": properties});
    for (k, v) in more.as_object().unwrap() {
        schema[k] = v.clone();
    }
    schema
}

#[test]
fn what_can_not_be_read_is_told() {
    let closed = json!({"additionalProperties": false});
    let a = json!({"a": {"type": "integer"}});
    let ab = json!({"a": {"type": "integer"}, "b": {"type": "string"}});
    for (reader, writer, expected) in [
        (json!({}), json!({"type": "string"}), None),
        (json!({"type": "string"}), json!({}), Some("TYPE_NARROWED")),
        (json!({"type": "number"}), json!({"type": "integer"}), None),
        (
            json!({"type": "integer"}),
            json!({"type": "number"}),
            Some("TYPE_CHANGED"),
        ),
        (
            json!({"type": "integer"}),
            json!({"type": ["integer", "null"]}),
            Some("TYPE_NARROWED"),
        ),
        (
            object(ab.clone(), json!({})),
            object(a.clone(), json!({})),
            Some("PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"),
        ),
        (
            object(ab.clone(), closed.clone()),
            object(a.clone(), closed.clone()),
            None,
        ),
        (
            object(a.clone(), closed.clone()),
            object(ab.clone(), closed.clone()),
            Some("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
        ),
        (
            object(a.clone(), json!({})),
            object(ab.clone(), json!({})),
            None,
        ),
        (
            object(a.clone(), closed.clone()),
            object(a.clone(), json!({})),
            Some("ADDITIONAL_PROPERTIES_NARROWED"),
        ),
        (
            object(a.clone(), json!({"required": ["a"]})),
            object(a.clone(), json!({})),
            Some("REQUIRED_ATTRIBUTE_ADDED"),
        ),
        (
            object(a.clone(), json!({})),
            object(a.clone(), json!({"required": ["a"]})),
            None,
        ),
        (
            json!({"type": "string", "maxLength": 5}),
            json!({"type": "string", "maxLength": 4}),
            None,
        ),
        (
            json!({"type": "string", "maxLength": 4}),
            json!({"type": "string", "maxLength": 5}),
            Some("RESTRICTION_ADDED"),
        ),
        (
            json!({"type": "string", "pattern": "a"}),
            json!({"type": "string"}),
            Some("RESTRICTION_ADDED"),
        ),
        (json!({"enum": [1, 2, 3]}), json!({"enum": [1, 2]}), None),
        (
            json!({"enum": [1]}),
            json!({"enum": [1, 2]}),
            Some("ENUM_ARRAY_NARROWED"),
        ),
        (json!({"type": "integer"}), json!({"const": 4}), None),
        (
            json!({"anyOf": [{"type": "null"}, {"type": "integer"}]}),
            json!({"type": "integer"}),
            None,
        ),
        (
            json!({"type": "integer"}),
            json!({"oneOf": [{"type": "null"}, {"type": "integer"}]}),
            Some("TYPE_CHANGED"),
        ),
        (
            json!({"oneOf": [{"type": "null"}, {"type": "number"}]}),
            json!({"oneOf": [{"type": "null"}, {"type": "integer"}]}),
            None,
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}}),
            json!({"type": "array"}),
            Some("TYPE_NARROWED"),
        ),
        (
            json!({"not": {"type": "null"}}),
            json!({}),
            Some("RESTRICTION_ADDED"),
        ),
        (
            json!({"type": "string", "title": "new"}),
            json!({"type": "string"}),
            None,
        ),
        (json!(false), json!({}), Some("TYPE_NARROWED")),
        (json!({"$ref": "#/gone"}), json!({}), Some("REFERENCE")),
        (
            json!({"$ref": "#/definitions/n", "definitions": {"n": {"type": "object", "properties": {"next": {"$ref": "#/definitions/n"}, "v": {"type": "number"}}}}}),
            json!({"$ref": "#/definitions/n", "definitions": {"n": {"type": "object", "properties": {"next": {"$ref": "#/definitions/n"}, "v": {"type": "integer"}}}}}),
            None,
        ),
        (
            json!({"$ref": "#"}),
            json!({"type": "null"}),
            Some("REFERENCE"),
        ),
    ] {
        assert_eq!(
            problems(&reader, &writer).first().copied(),
            expected,
            "{reader} {writer}"
        );
    }
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!({"type": "integer"})),
        Just(json!({"type": "number", "minimum": 1})),
        Just(json!({"type": ["string", "null"]})),
        Just(json!({"type": "string", "maxLength": 1})),
        Just(json!({"enum": [1, "a", null]})),
        Just(json!({"const": 1})),
    ];
    leaf.prop_recursive(2, 10, 3, |inner| {
        let properties = prop::collection::btree_map("[ab]", inner.clone(), 0..3);
        prop_oneof![
            (
                properties,
                prop::collection::btree_set("[ab]", 0..2),
                prop::option::of(inner.clone())
            )
                .prop_map(|(properties, required, rest)| {
                    let mut s =
                        json!({"type": "object", "properties": properties, "required": required});
                    if let Some(rest) = rest {
                        s["additionalProperties"] = rest;
                    }
                    s
                }),
            inner
                .clone()
                .prop_map(|i| json!({"type": "array", "items": i})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|b| json!({"anyOf": b})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|b| json!({"oneOf": b})),
            prop::collection::vec(inner, 1..3).prop_map(|b| json!({"allOf": b})),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(1.5)),
        Just(json!("a")),
        Just(json!("ab")),
        Just(json!(null)),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[abc]", inner.clone(), 0..3).prop_map(|m| json!(m)),
            prop::collection::vec(inner, 0..2).prop_map(|v| json!(v)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn what_is_called_compatible_is(reader in schema(), writer in schema(), values in prop::collection::vec(value(), 1..20)) {
        prop_assert_eq!(problems(&reader, &reader), Vec::<&str>::new());
        if problems(&reader, &writer).is_empty() {
            let (r, w) = (jsonschema::validator_for(&reader).unwrap(), jsonschema::validator_for(&writer).unwrap());
            for value in &values {
                prop_assert!(!w.is_valid(value) || r.is_valid(value), "{} {} {}", reader, writer, value);
            }
            JsonSchemaDecoder::new(&source(&reader)).unwrap();
        }
    }
}
