//! Against the encoder of the Avro project's own crate, and against bytes of any kind.

use super::*;
use crate::SchemaKind;
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::json;

fn decoder(text: &str) -> AvroDecoder {
    AvroDecoder::new(&SchemaSource::new(SchemaKind::Avro, text)).unwrap()
}

fn encode(text: &str, value: Value) -> Vec<u8> {
    let schema = Schema::parse_str(text).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let mut out = Vec::new();
    writer.write_value(&mut out, value).unwrap();
    out
}

/// A value with its type.
#[derive(Debug, Clone)]
enum Shape {
    Bool(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Stamp(i64),
    Date(i32),
    Decimal(i64),
    Enum(usize),
    /// A union with null, null first or not; null itself when the flag says so.
    Nullable(Box<Shape>, bool, bool),
    /// So many of the same.
    List(Box<Shape>, usize),
    Map(Box<Shape>, Vec<String>),
    Record(Vec<Shape>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Shape::Bool),
        any::<i32>().prop_map(Shape::Int),
        any::<i64>().prop_map(Shape::Long),
        (-1e30f32..1e30).prop_map(Shape::Float),
        (-1e300f64..1e300).prop_map(Shape::Double),
        any::<String>().prop_map(Shape::Text),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Shape::Bytes),
        (-9_000_000_000_000i64..9_000_000_000_000).prop_map(Shape::Stamp),
        (-100_000i32..100_000).prop_map(Shape::Date),
        (-99_999i64..=99_999).prop_map(Shape::Decimal),
        (0usize..3).prop_map(Shape::Enum),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            (inner.clone(), any::<bool>(), any::<bool>())
                .prop_filter("unions do not nest", |(s, _, _)| !matches!(
                    s,
                    Shape::Nullable(..)
                ))
                .prop_map(|(s, first, null)| Shape::Nullable(Box::new(s), first, null)),
            (inner.clone(), 0usize..4).prop_map(|(s, n)| Shape::List(Box::new(s), n)),
            (
                inner.clone(),
                prop::collection::hash_set("[a-z\"é]{0,3}", 0..3)
            )
                .prop_map(|(s, keys)| Shape::Map(Box::new(s), keys.into_iter().collect())),
            prop::collection::vec(inner, 1..5).prop_map(Shape::Record),
        ]
    })
}

impl Shape {
    /// The schema; each name is used once.
    fn schema(&self, next: &mut usize) -> serde_json::Value {
        let mut name = || {
            *next += 1;
            format!("n{next}")
        };
        match self {
            Shape::Bool(_) => json!("boolean"),
            Shape::Int(_) => json!("int"),
            Shape::Long(_) => json!("long"),
            Shape::Float(_) => json!("float"),
            Shape::Double(_) => json!("double"),
            Shape::Text(_) => json!("string"),
            Shape::Bytes(_) => json!("bytes"),
            Shape::Stamp(_) => json!({"type": "long", "logicalType": "timestamp-millis"}),
            Shape::Date(_) => json!({"type": "int", "logicalType": "date"}),
            Shape::Decimal(_) => {
                json!({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2})
            }
            Shape::Enum(_) => {
                json!({"type": "enum", "name": name(), "symbols": ["A", "B", "C"]})
            }
            Shape::Nullable(inner, true, _) => json!(["null", inner.schema(next)]),
            Shape::Nullable(inner, false, _) => json!([inner.schema(next), "null"]),
            Shape::List(inner, _) => json!({"type": "array", "items": inner.schema(next)}),
            Shape::Map(inner, _) => json!({"type": "map", "values": inner.schema(next)}),
            Shape::Record(fields) => {
                let name = name();
                let field = |(i, f): (usize, &Shape)| json!({"name": format!("f{i}"), "type": f.schema(next)});
                let fields: Vec<_> = fields.iter().enumerate().map(field).collect();
                json!({"type": "record", "name": name, "fields": fields})
            }
        }
    }

    /// The value for the crate's encoder.
    fn value(&self) -> Value {
        match self {
            Shape::Bool(v) => Value::Boolean(*v),
            Shape::Int(v) => Value::Int(*v),
            Shape::Long(v) => Value::Long(*v),
            Shape::Float(v) => Value::Float(*v),
            Shape::Double(v) => Value::Double(*v),
            Shape::Text(v) => Value::String(v.clone()),
            Shape::Bytes(v) => Value::Bytes(v.clone()),
            Shape::Stamp(v) => Value::TimestampMillis(*v),
            Shape::Date(v) => Value::Date(*v),
            Shape::Decimal(v) => Value::Decimal(v.to_be_bytes().into()),
            Shape::Enum(i) => Value::Enum(*i as u32, ["A", "B", "C"][*i].into()),
            Shape::Nullable(inner, first, null) => {
                let branch = u32::from(*first != *null);
                let value = if *null { Value::Null } else { inner.value() };
                Value::Union(branch, Box::new(value))
            }
            Shape::List(inner, n) => Value::Array(vec![inner.value(); *n]),
            Shape::Map(inner, keys) => {
                Value::Map(keys.iter().map(|k| (k.clone(), inner.value())).collect())
            }
            Shape::Record(fields) => {
                let field = |(i, f): (usize, &Shape)| (format!("f{i}"), f.value());
                Value::Record(fields.iter().enumerate().map(field).collect())
            }
        }
    }

    /// The value within a list or map.
    fn json(&self) -> serde_json::Value {
        match self {
            Shape::Bool(v) => json!(v),
            Shape::Int(v) => json!(v),
            Shape::Long(v) => json!(v),
            Shape::Float(v) => json!(v.to_string().parse::<f64>().unwrap()),
            Shape::Double(v) => json!(v),
            Shape::Text(v) => json!(v),
            Shape::Bytes(v) => json!(base64(v)),
            Shape::Stamp(v) => json!(crate::text::time(v * 1_000_000)),
            Shape::Date(v) => {
                json!(crate::text::time(i64::from(*v) * 86_400_000_000_000))
            }
            Shape::Decimal(v) => {
                serde_json::from_str(&ingest_decode::typed::decimal_text(i128::from(*v), 2))
                    .unwrap()
            }
            Shape::Enum(i) => json!(["A", "B", "C"][*i]),
            Shape::Nullable(_, _, true) => json!(null),
            Shape::Nullable(inner, _, false) => inner.json(),
            Shape::List(inner, n) => json!(vec![inner.json(); *n]),
            Shape::Map(inner, keys) => keys.iter().map(|k| (k.clone(), inner.json())).collect(),
            Shape::Record(fields) => {
                let field = |(i, f): (usize, &Shape)| (format!("f{i}"), f.json());
                fields.iter().enumerate().map(field).collect()
            }
        }
    }

    /// The cells that a row should have, and whether each is null.
    fn cells(&self, name: &str, null: bool, out: &mut Vec<(String, Option<Cell<'static>>)>) {
        let cell = match self {
            Shape::Record(fields) => {
                for (i, field) in fields.iter().enumerate() {
                    let dotted = if name.is_empty() {
                        format!("f{i}")
                    } else {
                        format!("{name}.f{i}")
                    };
                    field.cells(&dotted, null, out);
                }
                return;
            }
            Shape::Nullable(inner, _, is_null) => return inner.cells(name, null || *is_null, out),
            Shape::Bool(v) => Cell::Bool(*v),
            Shape::Int(v) => Cell::Int(i64::from(*v)),
            Shape::Long(v) => Cell::Int(*v),
            Shape::Float(v) => Cell::Float(v.to_string().parse().unwrap()),
            Shape::Double(v) => Cell::Float(*v),
            Shape::Text(v) => Cell::Str(v.clone().into()),
            Shape::Bytes(v) => Cell::Str(base64(v).into()),
            Shape::Stamp(v) => Cell::Time(v * 1_000_000),
            Shape::Date(v) => Cell::Time(i64::from(*v) * 86_400_000_000_000),
            Shape::Decimal(v) => Cell::Decimal {
                unscaled: i128::from(*v),
                precision: 5,
                scale: 2,
            },
            Shape::Enum(i) => Cell::Str(["A", "B", "C"][*i].into()),
            Shape::List(..) | Shape::Map(..) => Cell::Array(self.json().to_string().into()),
        };
        out.push((name.to_owned(), (!null).then_some(cell)));
    }
}

proptest! {
    #[test]
    fn what_the_crate_encodes_is_decoded(fields in prop::collection::vec(shape(), 1..6), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
        let record = Shape::Record(fields);
        let text = record.schema(&mut 0).to_string();
        let bytes = encode(&text, record.value());
        let decoder = decoder(&text);
        let mut expected = Vec::new();
        record.cells("", false, &mut expected);
        let cells = decoder.decode(&bytes).unwrap();
        let names: Vec<&str> = decoder.columns().iter().map(|c| c.0.as_str()).collect();
        prop_assert_eq!(names, expected.iter().map(|e| e.0.as_str()).collect::<Vec<_>>());
        prop_assert_eq!(cells.len(), expected.len());
        for ((name, cell), (expected_name, expected)) in cells.iter().zip(&expected) {
            prop_assert_eq!(name.as_ref(), expected_name);
            match (cell, expected) {
                (Cell::NullOf(_), None) => {}
                (Cell::Array(got), Some(Cell::Array(wanted))) => {
                    let json = |t: &str| serde_json::from_str::<serde_json::Value>(t).unwrap();
                    prop_assert_eq!(json(got), json(wanted));
                }
                (got, wanted) => prop_assert_eq!(Some(got), wanted.as_ref()),
            }
        }
        // A cut message is short of something; one with a flipped bit is whatever it is, without a panic.
        if !bytes.is_empty() {
            prop_assert!(decoder.decode(&bytes[..cut.index(bytes.len())]).is_err());
            let mut bad = bytes.clone();
            let bit = flip.index(bytes.len() * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = decoder.decode(&bad);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let decoder = decoder(POISONED);
        let _ = decoder.decode(&bytes);
    }
}

/// A schema with every type that has lengths.
const POISONED: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"list","type":{"type":"array","items":["null","R",{"type":"array","items":"null"}]}},
    {"name":"map","type":{"type":"map","values":{"type":"map","values":"bytes"}}},
    {"name":"big","type":{"type":"bytes","logicalType":"big-decimal"}},
    {"name":"next","type":["null","R"]},
    {"name":"text","type":"string"},
    {"name":"time","type":{"type":"long","logicalType":"time-micros"}},
    {"name":"wide","type":{"type":"bytes","logicalType":"decimal","precision":77,"scale":3}}]}"#;

#[test]
fn poison_is_refused_in_words() {
    let list = |items: &str| {
        format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{{"type":"array","items":{items}}}}}]}}"#
        )
    };
    let field = |kind: &str| {
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{kind}}}]}}"#)
    };
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for (schema, bytes, part) in [
        (list(r#""null""#), huge.to_vec(), "more values than"),
        (list(r#""long""#), huge.to_vec(), "ends within"),
        (field(r#""string""#), huge.to_vec(), "ends within"),
        (field(r#""string""#), vec![1], "negative length"),
        (field(r#""string""#), vec![2, 0xff], "not UTF-8"),
        (field(r#""long""#), vec![0xff; 11], "more than 64 bits"),
        (field(r#""int""#), huge.to_vec(), "no 32-bit integer"),
        (field(r#""boolean""#), vec![2], "no boolean"),
        (field(r#"["null","int"]"#), vec![4], "branch 2 of 2"),
        (field(r#""int""#), vec![2, 2], "1 bytes are left"),
        (field(r#""int""#), vec![], "ends within"),
        (
            field(r#"{"type":"enum","name":"E","symbols":["A"]}"#),
            vec![1],
            "symbol -1 of 1",
        ),
        (
            field(r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":0}"#),
            vec![4, 0, 100],
            "more than the 2 digits",
        ),
        (
            field(r#"{"type":"long","logicalType":"timestamp-millis"}"#),
            huge.to_vec(),
            "1677 to 2262",
        ),
        (
            field(r#"{"type":"int","logicalType":"time-millis"}"#),
            vec![1],
            "no time of a day",
        ),
    ] {
        let error = decoder(&schema).decode(&bytes).unwrap_err().to_string();
        assert!(error.contains(part), "{schema} {bytes:?}: {error}");
    }
    // A list within a list within a list, and so on.
    let deep = decoder(
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"R"}}]}"#,
    );
    let error = deep.decode(&[2; 100_000]).unwrap_err();
    assert_eq!(error, RowReason::TooDeep(ingest_decode::json::MAX_DEPTH));
}

#[test]
fn columns_come_from_the_schema() {
    let decoder = decoder(
        r#"{"type":"record","name":"R","fields":[
        {"name":"id","type":{"type":"string","logicalType":"uuid"}},
        {"name":"n","type":["null","int","long"]},
        {"name":"x","type":["double","int"]},
        {"name":"mixed","type":["string","int"]},
        {"name":"nothing","type":"null"},
        {"name":"in","type":["null",{"type":"record","name":"In","fields":[
            {"name":"at","type":{"type":"long","logicalType":"timestamp-nanos"}},
            {"name":"self","type":["null","R"]}]}]},
        {"name":"tall","type":{"type":"bytes","logicalType":"decimal","precision":60,"scale":1}}]}"#,
    );
    let columns = decoder.columns().iter();
    let columns: Vec<(&str, DataType)> = columns.map(|c| (c.0.as_str(), c.1)).collect();
    assert_eq!(
        columns,
        [
            ("id", DataType::Utf8),
            ("n", DataType::Int64),
            ("x", DataType::Float64),
            ("mixed", DataType::Utf8),
            ("in.at", DataType::Timestamp),
            ("in.self", DataType::Utf8),
            ("tall", DataType::Utf8),
        ]
    );
    let mut message = vec![2, b'u', 2, 14, 2, 4, 2, 6, 2, 8];
    message.extend([0]);
    message.extend([2, 0xfb]);
    let cells = decoder.decode(&message).unwrap();
    let values: Vec<&Cell<'_>> = cells.iter().map(|c| &c.1).collect();
    assert_eq!(
        values,
        [
            &Cell::Str("u".into()),
            &Cell::Int(7),
            &Cell::Int(2),
            &Cell::Array("3".into()),
            &Cell::Time(4),
            &Cell::NullOf(DataType::Utf8),
            &Cell::Str("-0.5".into()),
        ]
    );
}

#[test]
fn schemas_that_are_none_or_explode_are_refused() {
    let refused =
        |text: &str| AvroDecoder::new(&SchemaSource::new(SchemaKind::Avro, text)).unwrap_err();
    refused("");
    refused("{}");
    refused(r#""R""#);
    refused(&"[".repeat(100_000));
    let twice = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":{"type":"record","name":"B","fields":[{"name":"x","type":"int"}]}},
        {"name":"b","type":{"type":"record","name":"B","fields":[{"name":"x","type":"string"}]}}]}"#;
    assert!(refused(twice).contains('B'));
    // Each record holds the one before twice: two to the 20th columns.
    let mut fields = r#"{"name":"a","type":"int"}"#.to_owned();
    for i in 0..20 {
        fields = format!(
            r#"{{"name":"a","type":{{"type":"record","name":"T{i}","fields":[{fields}]}}}},{{"name":"b","type":"T{i}"}}"#
        );
    }
    let text = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    assert!(refused(&text).contains("4096 columns"));
    // The same without any column.
    let mut types = r#"{"type":"record","name":"T0","fields":[]}"#.to_owned();
    for i in 1..30 {
        types = format!(
            r#"{{"type":"record","name":"T{i}","fields":[{{"name":"a","type":{types}}},{{"name":"b","type":"T{}"}}]}}"#,
            i - 1
        );
    }
    assert!(refused(&types).contains("65536 parts"));
}

#[test]
fn each_record_of_a_union_has_its_columns() {
    let decoder = decoder(
        r#"["null",{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]},
            {"type":"record","name":"B","fields":[{"name":"y","type":"string"}]}]"#,
    );
    let cells = decoder.decode(&[4, 2, b'v']).unwrap();
    assert_eq!(cells, [(Cow::from("y"), Cell::Str("v".into()))]);
    assert_eq!(decoder.decode(&[0]).unwrap(), []);
}

#[test]
fn names_of_other_schemas_are_known() {
    let dependency = |name: &str, text: &str| crate::Dependency {
        name: name.into(),
        text: text.into(),
    };
    let source = SchemaSource {
        dependencies: vec![
            dependency(
                "o.B",
                r#"{"type":"record","name":"B","namespace":"o","fields":[{"name":"x","type":"int"}]}"#,
            ),
            dependency(
                "o.C",
                r#"{"type":"record","name":"C","namespace":"o","fields":[{"name":"b","type":"B"}]}"#,
            ),
        ],
        ..SchemaSource::new(
            SchemaKind::Avro,
            r#"{"type":"record","name":"A","namespace":"p","fields":[{"name":"c","type":"o.C"}]}"#,
        )
    };
    let decoder = AvroDecoder::new(&source).unwrap();
    assert_eq!(decoder.columns()[0].0, "c.b.x");
    assert_eq!(decoder.decode(&[8]).unwrap()[0].1, Cell::Int(4));
}

#[test]
fn schemas_that_refer_deeply_to_one_another_fit_the_stack() {
    let mut dependencies = Vec::new();
    // Each is deep, and holds the next at its deepest place.
    for i in 0..60 {
        let mut inner = if i == 59 {
            "\"int\"".to_owned()
        } else {
            format!("\"T{}\"", i + 1)
        };
        for j in 0..29 {
            inner = format!(
                r#"{{"type":"record","name":"T{i}_{j}","fields":[{{"name":"a","type":{inner}}}]}}"#
            );
        }
        dependencies.push(crate::Dependency {
            name: format!("T{i}"),
            text: format!(
                r#"{{"type":"record","name":"T{i}","fields":[{{"name":"a","type":{inner}}}]}}"#
            ),
        });
    }
    let main = r#"{"type":"record","name":"M","fields":[{"name":"a","type":"T0"}]}"#;
    let source = |n: usize| SchemaSource {
        dependencies: dependencies[60 - n..].to_vec(),
        ..SchemaSource::new(
            SchemaKind::Avro,
            main.replace("T0", &format!("T{}", 60 - n)),
        )
    };
    let error = AvroDecoder::new(&source(60)).unwrap_err();
    assert!(error.contains("nested deeper"), "{error}");
    let decoder = AvroDecoder::new(&source(40)).unwrap();
    // So deep that it is JSON, and deeper than JSON goes.
    assert!(decoder.decode(&[2]).is_err());
}
