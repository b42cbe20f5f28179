//! A topic whose schema grows, into a stream.

use crate::{
    Missing, Registries, Resolver, SchemaId, SchemaKind, SchemaSource, value_format, wire,
};
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use ingest_decode::{Receiver, RefusedRow, Writer};
use std::sync::Arc;
use tsdb::types::{DataType, Role};
use tsdb::{Catalog, Rows, StreamDef, StreamOptions};

const VERSIONS: [&str; 4] = [
    r#"{"type":"record","name":"R","fields":[{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"n","type":"int"}]}"#,
    r#"{"type":"record","name":"R","fields":[{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"n","type":"long"},
        {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}],"default":null},
        {"name":"seen","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
        {"name":"place","type":["null",{"type":"record","name":"Place","fields":[{"name":"ok","type":"boolean"}]}],"default":null}]}"#,
    r#"{"type":"record","name":"R","fields":[{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"n","type":"double"}]}"#,
    r#"{"type":"record","name":"R","fields":[{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"x","type":"double"}]}"#,
];

struct Fixed;

impl Resolver for Fixed {
    fn schema(&self, id: &SchemaId) -> Result<Arc<SchemaSource>, Missing> {
        match id {
            SchemaId::Id(id) if (*id as usize) < VERSIONS.len() => Ok(Arc::new(SchemaSource::new(
                SchemaKind::Avro,
                VERSIONS[*id as usize],
            ))),
            _ => Err(Missing::Unknown("no such schema".into())),
        }
    }
}

fn message(version: u32, fields: &[(&str, Value)]) -> Vec<u8> {
    let schema = Schema::parse_str(VERSIONS[version as usize]).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let mut value: Vec<(String, Value)> = vec![("at".into(), Value::TimestampMillis(5))];
    value.extend(fields.iter().map(|(n, v)| ((*n).to_owned(), v.clone())));
    let bytes = writer.write_value_to_vec(Value::Record(value)).unwrap();
    wire::join(SchemaId::Id(version), &bytes)
}

#[test]
fn new_fields_become_columns_of_their_types_and_types_only_widen() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let options = [("value_format".to_owned(), "avro".to_owned())];
    let registries = Registries {
        runtime: runtime.handle().clone(),
        builtin: Some(Arc::new(Fixed)),
    };
    let mut format = value_format(&options, &registries).unwrap();
    let catalog = Catalog::default();
    let define = StreamDef {
        columns: vec![
            ("at".into(), DataType::Timestamp, Role::Time),
            ("x".into(), DataType::Int64, Role::Field),
        ],
        options: StreamOptions::default(),
    };
    let stream = catalog.create_stream("default", "s", &define).unwrap();
    let null = || Value::Union(0, Box::new(Value::Null));
    let all = [
        message(0, &[("n", Value::Int(1))]),
        // Nothing but null in the new fields: they are columns all the same.
        message(
            1,
            &[
                ("n", Value::Long(1 << 40)),
                ("price", null()),
                ("seen", null()),
                ("place", null()),
            ],
        ),
        message(2, &[("n", Value::Double(1.5))]),
        message(3, &[("x", Value::Double(2.0))]),
        wire::join(SchemaId::Id(9), &[]),
        message(0, &[("n", Value::Int(-3))]),
    ];
    let mut refused = Vec::new();
    let mut on_refused = |row: RefusedRow<'_>| refused.push((row.row, row.reason.to_string()));
    let mut writer = Writer::new(stream.clone(), None);
    writer.begin(1, None);
    let mut rows = Receiver::new(&mut writer, &[], &mut on_refused);
    for message in &all {
        let told = format.decode(message, &mut |cells| {
            rows.take(cells, message);
        });
        assert_eq!(told, Ok(()));
    }
    assert_eq!((rows.accepted, rows.rejected), (3, 3));
    let decoded = writer.take();
    let types: Vec<(String, DataType)> = stream
        .schema()
        .columns
        .iter()
        .map(|c| (c.name.clone(), c.data_type))
        .collect();
    let expected = [
        ("at", DataType::Timestamp),
        ("x", DataType::Int64),
        ("n", DataType::Int64),
        (
            "price",
            DataType::Decimal {
                precision: 9,
                scale: 2,
            },
        ),
        ("seen", DataType::Timestamp),
        ("place.ok", DataType::Bool),
    ];
    assert_eq!(types, expected.map(|(n, t)| (n.to_owned(), t)));
    assert_eq!(
        refused,
        [
            (
                3,
                "column \"n\" is BIGINT; the value is a DOUBLE".to_owned()
            ),
            (
                4,
                "column \"x\" is BIGINT; the value is a DOUBLE".to_owned()
            ),
            (5, "no such schema".to_owned()),
        ]
    );
    let Some(Rows::Small(rows)) = decoded.into_iter().next() else {
        panic!("no rows")
    };
    let batch = rows.finish().unwrap();
    let n = stream.schema().column("n").unwrap().id;
    let values: Vec<i64> = (0..3).map(|i| batch.column(n).unwrap().i64_at(i)).collect();
    assert_eq!(values, [1, 1 << 40, -3]);
}
