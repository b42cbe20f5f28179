use super::*;
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type};
use std::sync::Arc;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

fn all_kinds() -> RecordBatch {
    let tags: DictionaryArray<Int32Type> = vec![Some("Oslo"), None, Some("Rome, \"Italy\"")]
        .into_iter()
        .collect();
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None]);
    lists.append_null();
    lists.append_value(Vec::<Option<&str>>::new());
    batch(vec![
        ("city", Arc::new(tags)),
        (
            "n",
            Arc::new(Int64Array::from(vec![Some(-3), None, Some(i64::MAX)])),
        ),
        ("u", Arc::new(UInt64Array::from(vec![0, 7, u64::MAX]))),
        (
            "x",
            Arc::new(Float64Array::from(vec![1.5, f64::NAN, f64::NEG_INFINITY])),
        ),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![Some(1050), Some(-5), None])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        (
            "t",
            Arc::new(TimestampNanosecondArray::from(vec![
                1_700_000_000_123_456_789,
                0,
                -1,
            ])),
        ),
        (
            "b",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "s",
            Arc::new(StringArray::from(vec!["", "a\"\\\n\u{1}é", "x"])),
        ),
        ("l", Arc::new(lists.finish())),
        ("day", Arc::new(Date32Array::from(vec![0, -1, 19_723]))),
    ])
}

fn text(f: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    f(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn json_holds_every_type_exactly() {
    let rows = text(|out| {
        out.push(b'[');
        json_rows(&all_kinds(), None, &mut true, out);
        out.push(b']');
    });
    let parsed: serde_json::Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(
        parsed,
        serde_json::json!([
            [
                "Oslo",
                -3,
                0,
                1.5,
                10.5,
                "2023-11-14T22:13:20.123456789Z",
                true,
                "",
                ["a", null],
                "1970-01-01"
            ],
            [
                null,
                null,
                7,
                null,
                -0.05,
                "1970-01-01T00:00:00Z",
                false,
                "a\"\\\n\u{1}é",
                null,
                "1969-12-31"
            ],
            [
                "Rome, \"Italy\"",
                i64::MAX,
                u64::MAX,
                null,
                null,
                "1969-12-31T23:59:59.999999999Z",
                null,
                "x",
                [],
                "2024-01-01"
            ]
        ])
    );
    assert!(
        rows.contains(",10.50,") && rows.contains(",-0.05,"),
        "a decimal keeps its scale: {rows}"
    );
}

#[test]
fn times_become_integers_when_asked_for() {
    let b = batch(vec![(
        "t",
        Arc::new(TimestampNanosecondArray::from(vec![
            1_700_000_000_123_456_789,
            -1,
        ])),
    )]);
    for (unit, expected) in [
        ("ns", "[1700000000123456789],[-1]"),
        ("ms", "[1700000000123],[-1]"),
        ("s", "[1700000000],[-1]"),
    ] {
        assert_eq!(
            text(|out| json_rows(&b, Epoch::of(unit), &mut true, out)),
            expected
        );
    }
}

#[test]
fn lines_are_objects_and_csv_is_quoted_where_it_must_be() {
    let b = batch(vec![
        (
            "a\"b",
            Arc::new(StringArray::from(vec![
                Some("x,y"),
                Some(""),
                None,
                Some("q\"q"),
            ])),
        ),
        ("n", Arc::new(Int32Array::from(vec![1, 2, 3, 4]))),
    ]);
    let csv = text(|out| {
        csv_header(b.schema_ref(), out);
        csv_rows(&b, None, out);
    });
    assert_eq!(csv, "\"a\"\"b\",n\n\"x,y\",1\n\"\",2\n,3\n\"q\"\"q\",4\n");
    let lines = text(|out| json_objects(&b, None, b"", b"\n", out));
    for (line, n) in lines.lines().zip(1..) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["n"], n);
    }
    assert_eq!(lines.lines().count(), 4);
}

#[test]
fn dates_are_the_calendars() {
    use chrono::{DateTime, Datelike};
    for days in (-800_000..800_000)
        .step_by(37)
        .chain([0, 59, 60, -1, 11_016, 19_782])
    {
        let date = DateTime::from_timestamp(days * 86_400, 0)
            .unwrap()
            .date_naive();
        assert_eq!(
            time::civil(days),
            (i64::from(date.year()), date.month() as u8, date.day() as u8),
            "{days}"
        );
    }
    for (ns, expected) in [
        (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
    ] {
        assert_eq!(text(|out| rfc3339(ns, out)), expected);
    }
}

#[test]
fn columns_are_named_with_their_types() {
    let schema = Schema::new(vec![
        Field::new("a\n", DataType::Decimal128(38, 2), true),
        Field::new("b", DataType::Utf8, true),
    ]);
    assert_eq!(
        text(|out| json_columns(&schema, out)),
        "[{\"name\":\"a\\n\",\"type\":\"DECIMAL(38,2)\"},{\"name\":\"b\",\"type\":\"STRING\"}]"
    );
}
