//! Types by the schema, and what is refused.

use super::{JsonSchemaDecoder, MAX_NESTING, MAX_WORDS};
use crate::{Dependency, SchemaKind, SchemaSource};
use ingest_decode::Cell;
use proptest::prelude::*;
use serde_json::{Value, json};
use tsdb::types::DataType;

fn decoder(schema: &Value) -> JsonSchemaDecoder {
    JsonSchemaDecoder::new(&SchemaSource::new(SchemaKind::Json, schema.to_string())).unwrap()
}

fn rows(
    decoder: &JsonSchemaDecoder,
    text: &str,
) -> Vec<Result<Vec<(String, Cell<'static>)>, String>> {
    let mut out = Vec::new();
    decoder.decode(text.as_bytes(), &mut |row| {
        let own = |(n, c): (std::borrow::Cow<'_, str>, Cell<'_>)| (n.into_owned(), c.into_owned());
        out.push(
            row.map(|cells| cells.into_iter().map(own).collect())
                .map_err(|e| e.to_string()),
        );
    });
    out
}

#[test]
fn the_schema_types_what_json_leaves_open() {
    let decoder = decoder(&json!({
        "type": "object",
        "definitions": {"place": {"type": "object", "properties": {"lat": {"type": "number"}}}},
        "required": ["n"],
        "properties": {
            "n": {"type": "integer"},
            "maybe": {"oneOf": [{"type": "null"}, {"type": "integer"}]},
            "at": {"type": ["string", "null"], "format": "date-time"},
            "where": {"$ref": "#/definitions/place"},
            "list": {"type": "array"},
        }
    }));
    let named: Vec<(&str, DataType)> = decoder
        .columns()
        .iter()
        .map(|c| (c.0.as_str(), c.1))
        .collect();
    assert_eq!(
        named,
        [
            ("n", DataType::Int64),
            ("maybe", DataType::Int64),
            ("at", DataType::Timestamp),
            ("where.lat", DataType::Float64),
            ("list", DataType::Utf8),
        ]
    );
    let text = r#"{"n": 9007199254740993, "maybe": null, "at": "1970-01-01T00:00:01Z", "where": {"lat": 1}, "list": [1], "more": 1.5}"#;
    let row = rows(&decoder, text).remove(0).unwrap();
    assert_eq!(
        row,
        [
            ("n".into(), Cell::Int(9_007_199_254_740_993)),
            ("maybe".into(), Cell::NullOf(DataType::Int64)),
            ("at".into(), Cell::Time(1_000_000_000)),
            ("where.lat".into(), Cell::Number("1").into_owned()),
            ("list".into(), Cell::Array("[1]".into())),
            ("more".into(), Cell::Number("1.5").into_owned()),
        ]
    );
    assert_eq!(
        rows(&decoder, r#"{"n": 1e3}"#)[0].clone().unwrap()[0].1,
        Cell::Int(1000)
    );
    for (text, part) in [
        ("{}", "\"n\" is a required property"),
        (r#"{"n": "x"}"#, "/n"),
        (r#"{"n": 1"#, "EOF"),
        ("", "EOF"),
        ("\u{0}", "expected"),
        (r#"{"n": 1} {"n": 2}"#, "trailing"),
    ] {
        let all = rows(&decoder, text);
        assert_eq!(all.len(), 1, "{text}");
        let error = all[0].clone().unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    let long = format!(r#"{{"n": "{}"}}"#, "x".repeat(100_000));
    assert!(rows(&decoder, &long)[0].clone().unwrap_err().len() < 4 * MAX_WORDS);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(rows(&decoder, &deep)[0].is_err());
}

#[test]
fn references_come_with_the_schema_or_not_at_all() {
    let mut source = SchemaSource::new(
        SchemaKind::Json,
        json!({"type": "object", "properties": {"a": {"$ref": "other.json"}}}).to_string(),
    );
    for url in [
        "http://127.0.0.1:1/x.json",
        "file:///etc/passwd",
        "gone.json",
    ] {
        let text = source.text.replace("other.json", url);
        let error = JsonSchemaDecoder::new(&SchemaSource::new(SchemaKind::Json, text)).unwrap_err();
        assert!(error.contains("references"), "{error}");
    }
    source.dependencies.push(Dependency {
        name: "other.json".into(),
        text: json!({"type": "integer"}).to_string(),
    });
    let named = source
        .text
        .replacen('{', r#"{"$id":"http://example.com/v1/a.json","#, 1);
    for text in [source.text.clone(), named] {
        let source = SchemaSource {
            text,
            ..source.clone()
        };
        let decoder = JsonSchemaDecoder::new(&source).unwrap();
        assert!(rows(&decoder, r#"{"a": "x"}"#)[0].is_err());
        assert!(rows(&decoder, r#"{"a": 1}"#)[0].is_ok());
    }
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"type": "object"}]}),
        json!({"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}}}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}}}),
        json!({"not": {"$ref": "#"}}),
    ] {
        let source = SchemaSource::new(SchemaKind::Json, schema.to_string());
        if let Ok(decoder) = JsonSchemaDecoder::new(&source) {
            rows(&decoder, r#"{"a": {"a": {}}}"#);
        }
    }
}

/// A tree of two branches has two to the 32nd nodes down to the depth that is gone to.
#[test]
fn a_schema_within_itself_is_described_once() {
    let tree = json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}, "v": {"type": "integer"}}});
    assert_eq!(
        decoder(&tree).columns(),
        [("v".to_owned(), DataType::Int64)]
    );
    let empty = json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
    assert_eq!(decoder(&empty).columns(), []);
    // Definitions that are used twice each, without any being within itself.
    let mut all = serde_json::Map::new();
    for i in 0..31 {
        let next = json!({"$ref": format!("#/$defs/t{}", i + 1)});
        all.insert(
            format!("t{i}"),
            json!({"type": "object", "properties": {"a": next, "b": next}}),
        );
    }
    all.insert("t31".into(), json!({"type": "object"}));
    let wide = json!({"$ref": "#/$defs/t0", "$defs": all});
    let source = SchemaSource::new(SchemaKind::Json, wide.to_string());
    assert!(
        JsonSchemaDecoder::new(&source)
            .unwrap_err()
            .contains("65536 parts")
    );
}

#[test]
fn deep_schemas_and_deep_values_fit_a_small_stack() {
    let small = || {
        let mut all = serde_json::Map::new();
        for i in 0..30 {
            let next = json!({"$ref": format!("#/definitions/d{}", i + 1)});
            all.insert(format!("d{i}"), next);
        }
        all.insert(
            "d30".into(),
            json!({"properties": {"a": {"$ref": "#"}}, "items": {"$ref": "#"}}),
        );
        let schema = json!({"$ref": "#/definitions/d0", "definitions": all});
        let deepest = decoder(&schema);
        let text = format!("{}1{}", "[".repeat(MAX_NESTING), "]".repeat(MAX_NESTING));
        rows(&deepest, &text);
        let text = format!(
            "{}1{}",
            r#"{"a":"#.repeat(MAX_NESTING),
            "}".repeat(MAX_NESTING)
        );
        rows(&deepest, &text);
        let mut all = serde_json::Map::new();
        for i in 0..1_900 {
            let next = json!({"properties": {"a": {"$ref": format!("#/definitions/d{}", i + 1)}}});
            all.insert(format!("d{i}"), next);
        }
        all.insert("d1900".into(), json!({"type": "object"}));
        let schema = json!({"$ref": "#/definitions/d0", "definitions": all});
        drop(decoder(&schema));
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(small);
    thread.unwrap().join().unwrap();
}

/// Each level of these messages doubles what there is to check, if nothing remembers it.
#[test]
fn work_that_doubles_with_each_level_ends() {
    let twice = |next: &str, own: Value| {
        let part = json!({"properties": {"x": {"$ref": next}}});
        let mut schema = json!({"allOf": [part, part]});
        schema
            .as_object_mut()
            .unwrap()
            .extend(own.as_object().unwrap().clone());
        schema
    };
    let nested = |leaf: &str| format!("{}{leaf}{}", r#"{"x":"#.repeat(30), "}".repeat(30));
    // One that contains itself is remembered by the validator.
    let within_itself = decoder(&twice("#", json!({"not": {"required": ["bad"]}})));
    assert!(matches!(
        rows(&within_itself, &nested(r#"{"ok":1}"#))[..],
        [Ok(_)]
    ));
    let refused = rows(&within_itself, &nested(r#"{"bad":1}"#)).remove(0);
    assert!(refused.unwrap_err().contains("not of its schema"));
    // Sixty that contain the next are not.
    let mut all = serde_json::Map::new();
    for i in 0..60 {
        all.insert(
            format!("d{i}"),
            twice(&format!("#/$defs/d{}", i + 1), json!({})),
        );
    }
    all.insert("d60".into(), json!({}));
    let chain = decoder(&json!({"$ref": "#/$defs/d0", "$defs": all}));
    assert!(rows(&chain, r#"{"x": {"x": {"x": 1}}}"#)[0].is_ok());
    let refused = rows(&chain, &nested("1")).remove(0);
    assert!(refused.unwrap_err().contains("steps"));
    // Why a value is refused is not sought for ever.
    let either = json!({"anyOf": [
        {"properties": {"x": {"$ref": "#"}}, "required": ["never"]},
        {"properties": {"x": {"$ref": "#"}}},
    ], "not": {"required": ["bad"]}});
    let refused = rows(&decoder(&either), &nested(r#"{"bad":1}"#)).remove(0);
    assert!(refused.unwrap_err().ends_with("not of its schema"));
}

#[test]
fn a_pattern_does_not_run_for_ever() {
    let decoder = decoder(&json!({"properties": {"a": {"pattern": "^(a+)+\\1$"}}}));
    let text = json!({"a": format!("{}!", "a".repeat(60))}).to_string();
    rows(&decoder, &text);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let decoder = decoder(&json!({"type": "object"}));
        decoder.decode(&bytes, &mut |_| ());
    }
}
