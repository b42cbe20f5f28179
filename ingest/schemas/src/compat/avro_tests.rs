//! What is told, and agreement with the Avro project's own crate.

use super::avro::read;
use crate::{SchemaKind, SchemaSource};
use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use proptest::prelude::*;
use serde_json::{Value, json};

fn problems(reader: &str, writer: &str) -> Vec<&'static str> {
    let source = |t: &str| SchemaSource::new(SchemaKind::Avro, t);
    let found = read(&source(reader), &source(writer)).unwrap();
    found.into_iter().map(|p| p.kind).collect()
}

#[test]
fn what_can_not_be_read_is_told() {
    let enumeration = |symbols: &str, more: &str| {
        format!(r#"{{"type":"enum","name":"E","symbols":{symbols}{more}}}"#)
    };
    let node = |more: &str| {
        format!(
            r#"{{"type":"record","name":"N","fields":[{{"name":"next","type":["null","N"]}}{more}]}}"#
        )
    };
    for (reader, writer, expected) in [
        (r#""long""#.to_owned(), r#""int""#.to_owned(), None),
        (r#""int""#.into(), r#""long""#.into(), Some("TYPE_MISMATCH")),
        (r#""bytes""#.into(), r#""string""#.into(), None),
        (r#"["null","int"]"#.into(), r#""int""#.into(), None),
        (
            r#""int""#.into(),
            r#"["null","int"]"#.into(),
            Some("MISSING_UNION_BRANCH"),
        ),
        (
            r#"["null","string"]"#.into(),
            r#""int""#.into(),
            Some("MISSING_UNION_BRANCH"),
        ),
        (
            enumeration(r#"["A"]"#, ""),
            enumeration(r#"["A","B"]"#, ""),
            Some("MISSING_ENUM_SYMBOLS"),
        ),
        (
            enumeration(r#"["A"]"#, r#","default":"A""#),
            enumeration(r#"["A","B"]"#, ""),
            None,
        ),
        (
            r#"{"type":"fixed","name":"F","size":4}"#.into(),
            r#"{"type":"fixed","name":"F","size":5}"#.into(),
            Some("FIXED_SIZE_MISMATCH"),
        ),
        (
            r#"{"type":"fixed","name":"F","size":4}"#.into(),
            r#"{"type":"fixed","name":"G","size":4}"#.into(),
            Some("NAME_MISMATCH"),
        ),
        (
            r#"{"type":"fixed","name":"F","size":4,"aliases":["G"]}"#.into(),
            r#"{"type":"fixed","name":"G","size":4}"#.into(),
            None,
        ),
        (
            r#"{"type":"enum","name":"n.E","symbols":["A"],"aliases":["Old"]}"#.into(),
            r#"{"type":"enum","name":"n.Old","symbols":["A"]}"#.into(),
            None,
        ),
        (
            r#"{"type":"record","name":"R","fields":[],"aliases":["a.Old"]}"#.into(),
            r#"{"type":"record","name":"a.Old","fields":[]}"#.into(),
            None,
        ),
        (
            r#"{"type":"record","name":"R","fields":[],"aliases":["a.Old"]}"#.into(),
            r#"{"type":"record","name":"b.Old","fields":[]}"#.into(),
            Some("NAME_MISMATCH"),
        ),
        (node(""), node(""), None),
        (
            node(r#",{"name":"x","type":"int"}"#),
            node(""),
            Some("READER_FIELD_MISSING_DEFAULT_VALUE"),
        ),
        (
            node(r#",{"name":"x","type":"int","default":1}"#),
            node(""),
            None,
        ),
        (
            node(r#",{"name":"y","type":"int","aliases":["x"]}"#),
            node(r#",{"name":"x","type":"int"}"#),
            None,
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#.into(),
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":1}"#.into(),
            Some("TYPE_MISMATCH"),
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-millis"}"#.into(),
            r#""long""#.into(),
            None,
        ),
        (
            r#"{"type":"array","items":"int"}"#.into(),
            r#"{"type":"map","values":"int"}"#.into(),
            Some("TYPE_MISMATCH"),
        ),
    ] {
        assert_eq!(
            problems(&reader, &writer).first().copied(),
            expected,
            "{reader} {writer}"
        );
    }
    // A type that holds itself, wrong within.
    let found = problems(
        &node(r#",{"name":"x","type":"int"}"#),
        &node(r#",{"name":"x","type":"string"}"#),
    );
    assert!(!found.is_empty());
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!("null")),
        Just(json!("boolean")),
        Just(json!("int")),
        Just(json!("long")),
        Just(json!("float")),
        Just(json!("double")),
        Just(json!("string")),
        Just(json!("bytes")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let field = (inner.clone(), any::<bool>());
        prop_oneof![
            inner.clone().prop_map(|i| json!({"type": "array", "items": i})),
            inner.clone().prop_map(|i| json!({"type": "map", "values": i})),
            prop::collection::vec(field, 0..3).prop_map(|fields| {
                let field = |(i, (t, _)): (usize, &(Value, bool))| json!({"name": format!("f{i}"), "type": t});
                let fields: Vec<Value> = fields.iter().enumerate().map(field).collect();
                json!({"type": "record", "name": "X", "fields": fields})
            }),
        ]
    })
}

/// Gives each record a name by its place, so that equal places have equal names.
fn name(schema: &mut Value, path: &str) {
    if let Some(fields) = schema.get_mut("fields").and_then(Value::as_array_mut) {
        for (i, field) in fields.iter_mut().enumerate() {
            name(&mut field["type"], &format!("{path}_{i}"));
        }
        schema["name"] = json!(format!("X{path}"));
    }
    for key in ["items", "values"] {
        if let Some(inner) = schema.get_mut(key) {
            name(inner, path);
        }
    }
}

proptest! {
    #[test]
    fn without_unions_it_agrees_with_the_crate(a in schema(), b in schema()) {
        let (mut a, mut b) = (a, b);
        name(&mut a, "");
        name(&mut b, "");
        for (reader, writer) in [(&a, &b), (&b, &a), (&a, &a)] {
            let parse = |s: &Value| Schema::parse_str(&s.to_string()).unwrap();
            let theirs = SchemaCompatibility::can_read(&parse(writer), &parse(reader));
            let ours = problems(&reader.to_string(), &writer.to_string());
            prop_assert_eq!(ours.is_empty(), matches!(theirs, Ok(Compatibility::Full)), "{} {}: {:?}", reader, writer, ours);
        }
    }
}
