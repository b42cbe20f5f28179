use super::*;
use crate::dead_letter::STREAM;
use crate::decode::{Cell, OnCells, RowReason, ValueFormat, Wait};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tsdb::types::{Batch, DataType, Role, SeriesId};
use tsdb::{Catalog, Rows, Stream, StreamDef, StreamOptions};

pub(super) const NOW: i64 = 1_700_000_000_000_000_000;

pub(super) fn make(catalog: &Catalog, columns: &[(&str, DataType, Role)]) -> Arc<Stream> {
    let columns = columns
        .iter()
        .map(|(n, t, r)| ((*n).to_owned(), *t, *r))
        .collect();
    let def = StreamDef {
        columns,
        options: StreamOptions::default(),
    };
    catalog.create_stream("default", "s", &def).unwrap()
}

fn timed(catalog: &Catalog) -> Arc<Stream> {
    make(catalog, &[("time", DataType::Timestamp, Role::Time)])
}

pub(super) fn batch(rows: Rows) -> Batch {
    match rows {
        Rows::Sealed(b) => b,
        Rows::Small(b) => b.finish().unwrap(),
    }
}

/// The rows of a stream among others, as JSON objects: times as integers.
pub(super) fn read(stream: &Stream, rows: &[Batch]) -> Vec<Value> {
    let schema = stream.schema();
    let mut out = Vec::new();
    for b in rows.iter().filter(|b| b.stream == stream.id) {
        for i in 0..b.rows {
            let mut row = Map::new();
            for c in &schema.columns {
                let series = SeriesId(b.series.i64_at(i) as u32);
                let text = |t: &[u8]| json!(std::str::from_utf8(t).unwrap());
                let value = match c.role {
                    Role::Time => Some(json!(b.time.i64_at(i))),
                    Role::Tag => stream
                        .series()
                        .tag_value(series, c.id)
                        .map(|v| json!(v.as_ref())),
                    Role::Field => {
                        let column = b.column(c.id).filter(|v| v.is_valid(i));
                        column.map(|v| match c.data_type {
                            DataType::Utf8 => text(v.str_at(i)),
                            DataType::Float64 => json!(v.f64_at(i)),
                            DataType::Bool => json!(v.i64_at(i) == 1),
                            _ => json!(v.i64_at(i)),
                        })
                    }
                };
                row.extend(value.map(|v| (c.name.clone(), v)));
            }
            out.push(Value::Object(row));
        }
    }
    out
}

pub(super) struct Read {
    pub rows: Vec<Value>,
    pub letters: Vec<Value>,
    pub counts: (usize, usize, usize),
    pub last_error: Option<String>,
}

pub(super) fn take(catalog: &Catalog, stream: &Stream, intake: &mut Intake) -> Read {
    let waiting = intake.rows();
    let taken = intake.take();
    let batches: Vec<Batch> = taken.rows.into_iter().map(batch).collect();
    assert_eq!(waiting, batches.iter().map(|b| b.rows).sum::<usize>());
    assert!(intake.is_empty() && intake.bytes() == 0);
    let letters = catalog.stream("default", STREAM);
    Read {
        rows: read(stream, &batches),
        letters: letters.map_or(Vec::new(), |l| read(&l, &batches)),
        counts: (taken.accepted, taken.rejected, taken.skipped),
        last_error: taken.last_error,
    }
}

pub(super) fn value(value: &[u8]) -> Record<'_> {
    Record {
        value: Some(value),
        topic: "t",
        partition: 3,
        offset: 99,
        ..Record::default()
    }
}

/// What messages of values alone come to.
fn messages(columns: &[(&str, DataType, Role)], format: Format, values: &[&[u8]]) -> Read {
    let catalog = Arc::new(Catalog::default());
    let stream = make(&catalog, columns);
    let none = Include::default();
    let mut intake = Intake::new(catalog.clone(), stream.clone(), format, none, "kafka");
    for v in values {
        intake.push(&value(v), NOW).unwrap();
    }
    take(&catalog, &stream, &mut intake)
}

const TIMED: &[(&str, DataType, Role)] = &[("time", DataType::Timestamp, Role::Time)];

#[test]
fn good_rows_stay_and_bad_ones_are_letters_with_what_a_replay_needs() {
    let catalog = Arc::new(Catalog::default());
    let stream = make(
        &catalog,
        &[
            ("ts", DataType::Timestamp, Role::Time),
            ("v", DataType::Int64, Role::Field),
        ],
    );
    let mut intake = Intake::new(
        catalog.clone(),
        stream.clone(),
        Format::Json,
        Include::default(),
        "kafka",
    );
    assert!(intake.is_empty());
    let headers = [("h", Some(&b"1"[..]))];
    let bad = Record {
        key: Some(b"k\xff"),
        headers: &headers,
        time_ns: Some(5),
        topic: "a/b",
        ..value(br#"{"ts":1,"v":"x"}"#)
    };
    intake.push(&value(br#"{"ts":1,"v":1}"#), NOW).unwrap();
    intake.push(&bad, NOW).unwrap();
    intake.push(&value(b"\xff{"), NOW).unwrap();
    intake
        .push(&value(br#"[{"ts":2,"v":2},{"v":3},{"ts":4,"v":4}]"#), NOW)
        .unwrap();
    assert!(!intake.is_empty() && intake.bytes() > 0);
    let read = take(&catalog, &stream, &mut intake);
    let second = 1_000_000_000i64;
    assert_eq!(
        read.rows,
        [1, 2, 4].map(|i| json!({"ts": i * second, "v": i}))
    );
    assert_eq!(read.counts, (3, 3, 0));
    assert_eq!(read.last_error.unwrap(), "no event time: \"ts\" is missing");
    let letter = |position: &str, reason: &str, payload: &str| json!({"time": NOW, "stream": "s", "source": "kafka", "position": position, "reason": reason, "payload": payload});
    let mut first = letter(
        "a/b/3@99",
        "column \"v\" is BIGINT; 'x' is not a number",
        r#"{"ts":1,"v":"x"}"#,
    );
    let more = json!({"key": "6bff", "message_time": 5, "headers": "{\"h\":\"1\"}"});
    first
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let mut second = letter("t/3@99", "not UTF-8", "\u{fffd}{");
    second["payload_hex"] = json!("ff7b");
    let third = letter("t/3@99", "no event time: \"ts\" is missing", r#"{"v":3}"#);
    assert_eq!(read.letters, [first, second, third]);
    assert!(take(&catalog, &stream, &mut intake).rows.is_empty());
}

#[test]
fn the_messages_time_is_the_event_time_where_none_is_declared() {
    let catalog = Arc::new(Catalog::default());
    let stream = timed(&catalog);
    let mut intake = Intake::new(
        catalog.clone(),
        stream.clone(),
        Format::Json,
        Include::default(),
        "kafka",
    );
    let day = 86_400_000_000_000i64;
    let times = [
        (None, NOW),
        (Some(-1), NOW),
        (Some(0), NOW),
        (Some(7), 7),
        (Some(NOW + day), NOW + day),
        (Some(NOW + day + 1), NOW),
        (Some(i64::MAX), NOW),
    ];
    for (time_ns, _) in times {
        let record = Record {
            time_ns,
            ..value(br#"{"v":1}"#)
        };
        intake.push(&record, NOW).unwrap();
    }
    intake
        .push(&value(br#"{"v":1,"time":1700000000}"#), 9)
        .unwrap();
    let read = take(&catalog, &stream, &mut intake);
    let mut expected = times.map(|t| json!({"time": t.1, "v": 1.0})).to_vec();
    expected.push(json!({"time": NOW, "v": 1.0}));
    assert_eq!(read.rows, expected);
}

#[test]
fn parts_of_messages_become_columns() {
    let catalog = Arc::new(Catalog::default());
    let stream = make(
        &catalog,
        &[
            ("time", DataType::Timestamp, Role::Time),
            ("user_id", DataType::Int64, Role::Field),
            ("partition", DataType::Utf8, Role::Tag),
        ],
    );
    let include = "KEY as user_id, timestamp as kafka_time, headers, header:trace as trace, topic, partition, offset";
    let mut intake = Intake::new(
        catalog.clone(),
        stream.clone(),
        Format::Json,
        Include::parse(include).unwrap(),
        "kafka",
    );
    let headers = [("trace", Some(&b"x"[..])), ("trace", Some(&b"y"[..]))];
    let record = Record {
        key: Some(b"17"),
        headers: &headers,
        time_ns: Some(NOW - 5),
        ..value(br#"{"v":1,"offset":"theirs"}"#)
    };
    intake.push(&record, NOW).unwrap();
    intake
        .push(
            &Record {
                key: Some(b"no number"),
                ..record
            },
            NOW,
        )
        .unwrap();
    // A tombstone says that the key went; without a key it says nothing.
    let tombstone = Record {
        value: None,
        headers: &[],
        time_ns: Some(NOW - 9),
        ..record
    };
    intake.push(&tombstone, NOW).unwrap();
    intake
        .push(
            &Record {
                key: None,
                ..tombstone
            },
            NOW,
        )
        .unwrap();
    let read = take(&catalog, &stream, &mut intake);
    assert_eq!(
        read.rows,
        [
            json!({"time": NOW - 5, "user_id": 17, "partition": "3", "kafka_time": NOW - 5, "headers": "{\"trace\":[\"x\",\"y\"]}", "trace": "y", "topic": "t", "offset": 99, "v": 1.0}),
            json!({"time": NOW - 9, "user_id": 17, "partition": "3", "kafka_time": NOW - 9, "topic": "t", "offset": 99}),
        ]
    );
    assert_eq!(read.counts, (2, 1, 1));
    let type_of = |name: &str| stream.schema().column(name).unwrap().data_type;
    assert_eq!(type_of("kafka_time"), DataType::Timestamp);
    assert_eq!(type_of("offset"), DataType::Int64);
}

#[test]
fn keys_that_are_objects_are_taken_apart() {
    let catalog = Arc::new(Catalog::default());
    let stream = timed(&catalog);
    let include = Include::parse("key as k").unwrap();
    let include = include.key_format("json").unwrap();
    let mut intake = Intake::new(
        catalog.clone(),
        stream.clone(),
        Format::Text,
        include,
        "kafka",
    );
    for key in [
        &br#"{"id":7,"in":{"n":"x"}}"#[..],
        b"plain",
        b"{broken",
        b"\xff",
    ] {
        let record = Record {
            key: Some(key),
            ..value(b"hi")
        };
        intake.push(&record, NOW).unwrap();
    }
    let read = take(&catalog, &stream, &mut intake);
    assert_eq!(
        read.rows,
        [
            json!({"time": NOW, "value": "hi", "k.id": 7.0, "k.in.n": "x"}),
            json!({"time": NOW, "value": "hi", "k": "plain"}),
            json!({"time": NOW, "value": "hi", "k": "{broken"}),
            json!({"time": NOW, "value": "hi", "k": "ff"}),
        ]
    );
}

#[test]
fn formats_by_name() {
    for (name, csv) in [
        ("JSON", None),
        ("text", None),
        ("influx", None),
        ("line_protocol", None),
        ("raw", None),
        ("csv", Some(b',')),
        ("tsv", Some(b'\t')),
    ] {
        match (Format::parse(name), csv) {
            (Some(Format::Csv { delimiter, .. }), Some(d)) => assert_eq!(delimiter, d),
            (Some(_), None) => {}
            _ => panic!("{name}"),
        }
    }
    assert!(Format::parse("avro").is_none() && Format::parse("").is_none());
}

#[test]
fn csv_goes_by_the_columns_told_or_declared() {
    let columns = [
        ("a", DataType::Int64, Role::Field),
        ("b", DataType::Utf8, Role::Tag),
        ("time", DataType::Timestamp, Role::Time),
    ];
    let csv = || Format::parse("csv").unwrap();
    let read = messages(
        &columns,
        csv(),
        &[b"1,x\n2,\"y\n,\"\"\"\r\n3", b"4,z,1700000000", b"\n"],
    );
    assert_eq!(
        read.rows,
        [
            json!({"a": 1, "b": "x", "time": NOW}),
            json!({"a": 2, "b": "y\n,\"", "time": NOW}),
            json!({"a": 4, "b": "z", "time": NOW}),
        ]
    );
    assert_eq!(read.counts, (3, 2, 0));
    assert_eq!(read.letters[0]["payload"], "3");
    assert_eq!(
        read.letters[0]["reason"],
        "1 values where the header names 2"
    );
    let read = messages(&columns, csv().csv_columns(" b, a, new "), &[b"x,1,2.5"]);
    assert_eq!(
        read.rows,
        [json!({"a": 1, "b": "x", "new": 2.5, "time": NOW})]
    );
}

#[test]
fn lines_go_where_their_measurements_say() {
    let catalog = Arc::new(Catalog::default());
    let stream = timed(&catalog);
    let format = Format::parse("influx").unwrap();
    let none = Include::default();
    let mut intake = Intake::new(catalog.clone(), stream.clone(), format, none, "mqtt");
    for _ in 0..2 {
        intake
            .push(&value(b"m,h=a v=1 5\nbroken\nn v=2i\n"), NOW)
            .unwrap();
    }
    let record = Record {
        time_ns: Some(NOW - 1),
        ..value(b"n v=3i")
    };
    intake.push(&record, NOW).unwrap();
    intake.push(&value(b"# nothing"), NOW).unwrap();
    assert_eq!(intake.rows(), 7);
    let taken = intake.take();
    assert_eq!((taken.accepted, taken.rejected), (5, 2));
    let batches: Vec<Batch> = taken.rows.into_iter().map(batch).collect();
    let of = |name: &str| read(&catalog.stream("default", name).unwrap(), &batches);
    assert_eq!(of("m"), vec![json!({"time": 5, "h": "a", "v": 1.0}); 2]);
    assert_eq!(
        of("n"),
        [(NOW, 2), (NOW, 2), (NOW - 1, 3)].map(|(t, v)| json!({"time": t, "v": v}))
    );
    let letters = of(STREAM);
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[1]["payload"], "broken");
    assert_eq!(letters[1]["source"], "mqtt");
    intake.push(&value(b"m,h=a v=4 6"), NOW).unwrap();
    assert_eq!(intake.take().accepted, 1);
}

#[test]
fn a_tombstone_takes_a_tables_row_out() {
    let columns = [
        ("city", DataType::Utf8, Role::Field),
        ("sku", DataType::Int64, Role::Field),
        ("price", DataType::Float64, Role::Field),
        ("_time", DataType::Timestamp, Role::Time),
        ("_deleted", DataType::Bool, Role::Field),
    ];
    // By the places of the key's columns and what is included: keys, and what they take out.
    type Case<'a> = (&'a str, &'a str, &'a [u8], Option<Value>);
    let cases: [Case<'_>; 8] = [
        ("1", "", b"7", Some(json!({"sku": 7}))),
        ("1", "", br#"{"sku":7,"more":1}"#, Some(json!({"sku": 7}))),
        ("1", "", b"x", None),
        ("1", "", b"\xff", None),
        ("0", "", b"{\"a\":1}", Some(json!({"city": "{\"a\":1}"}))),
        ("0", "key as city", b"Oslo", Some(json!({"city": "Oslo"}))),
        (
            "0,1",
            "",
            br#"{"sku":7,"city":"Oslo"}"#,
            Some(json!({"city": "Oslo", "sku": 7})),
        ),
        ("0,1", "", b"Oslo", None),
    ];
    for (key, include, of_message, expected) in cases {
        let catalog = Arc::new(Catalog::default());
        let def = StreamDef {
            columns: columns.map(|(n, t, r)| (n.to_owned(), t, r)).to_vec(),
            options: StreamOptions {
                extra: vec![("table_key".into(), key.into())],
                ..StreamOptions::default()
            },
        };
        let table = catalog.create_stream("default", "t", &def).unwrap();
        let include = Include::parse(include).unwrap();
        let mut intake = Intake::new(
            catalog.clone(),
            table.clone(),
            Format::Json,
            include,
            "kafka",
        );
        let row = br#"{"city":"Oslo","sku":7,"price":1.5}"#;
        intake.push(&value(row), NOW).unwrap();
        let tombstone = Record {
            key: Some(of_message),
            value: None,
            ..value(b"")
        };
        intake.push(&tombstone, NOW).unwrap();
        let read = take(&catalog, &table, &mut intake);
        let Some(mut expected) = expected else {
            assert_eq!((read.counts, read.letters.len()), ((1, 1, 0), 1), "{key}");
            continue;
        };
        expected["_time"] = json!(NOW);
        expected["_deleted"] = json!(true);
        assert_eq!(
            (read.counts, &read.rows[1]),
            ((2, 0, 0), &expected),
            "{key}"
        );
    }
}

#[test]
fn text_and_bytes() {
    let read = messages(TIMED, Format::Text, &[b"hi", b"\xff", b""]);
    assert_eq!(read.rows.len(), 2);
    assert_eq!(
        (read.counts, &read.rows[1]["value"]),
        ((2, 1, 0), &json!(""))
    );
    let read = messages(TIMED, Format::Raw, &[b"hi", b"\xff"]);
    assert_eq!(read.rows[1]["value"], "ff");
}

/// One row of the value's bytes, or none yet.
struct Odd;

impl ValueFormat for Odd {
    fn decode(&mut self, value: &[u8], rows: &mut OnCells<'_>) -> Result<(), Wait> {
        for b in value {
            match b {
                b'w' => {
                    return Err(Wait {
                        reason: "no schema".into(),
                        after: Duration::from_secs(1),
                    });
                }
                b'x' => rows(Err(RowReason::NotUtf8)),
                b => rows(Ok(&[(Cow::Borrowed("b"), Cell::Int(i64::from(*b)))])),
            }
        }
        Ok(())
    }
}

#[test]
fn other_formats_give_rows_refuse_them_or_ask_to_wait() {
    let catalog = Arc::new(Catalog::default());
    let stream = timed(&catalog);
    let format = Format::Custom(Box::new(Odd));
    let none = Include::default();
    let mut intake = Intake::new(catalog.clone(), stream.clone(), format, none, "kafka");
    intake.push(&value(b"\x01x\x02"), NOW).unwrap();
    assert_eq!(
        intake.push(&value(b"w"), NOW).unwrap_err().reason,
        "no schema"
    );
    let read = take(&catalog, &stream, &mut intake);
    assert_eq!(read.rows, [1, 2].map(|b| json!({"time": NOW, "b": b})));
    assert_eq!(read.counts, (2, 1, 0));
    assert_eq!(read.letters.len(), 1);
}

#[test]
fn a_long_message_is_a_letter_that_is_cut() {
    let catalog = Arc::new(Catalog::default());
    let stream = timed(&catalog);
    let none = Include::default();
    let intake = Intake::new(catalog.clone(), stream.clone(), Format::Json, none, "kafka");
    let mut intake = intake.max_message_bytes(40);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(33));
    intake.push(&value(long.as_bytes()), NOW).unwrap();
    let fits = &long.replace("xxx", "xx")[..];
    intake.push(&value(fits.as_bytes()), NOW).unwrap();
    let read = take(&catalog, &stream, &mut intake);
    assert_eq!(read.counts, (1, 1, 0));
    assert_eq!(
        read.letters[0]["reason"],
        "a message of 41 bytes; the source takes 40"
    );
    let huge = vec![b' '; MAX_MESSAGE_BYTES + 1];
    let read = messages(TIMED, Format::Json, &[&huge]);
    assert_eq!(
        read.letters[0]["payload"].as_str().map(str::len),
        Some(crate::dead_letter::MAX_PAYLOAD)
    );
}

#[test]
fn no_letter_is_left_out() {
    let catalog = Arc::new(Catalog::default());
    let stream = timed(&catalog);
    let none = Include::default();
    let mut intake = Intake::new(catalog.clone(), stream.clone(), Format::Json, none, "kafka");
    let many = crate::dead_letter::MAX_LETTERS * 2 + 1;
    for _ in 0..many {
        intake.push(&value(b"{"), NOW).unwrap();
    }
    let read = take(&catalog, &stream, &mut intake);
    assert_eq!(read.letters.len(), many);
    assert!(read.letters.iter().all(|l| l["payload"] == "{"));
}

#[test]
fn letters_that_are_not_taken_are_told_of() {
    let catalog = Arc::new(Catalog::default());
    let stream = timed(&catalog);
    let def = StreamDef {
        columns: vec![
            ("time".into(), DataType::Timestamp, Role::Time),
            ("reason".into(), DataType::Int64, Role::Field),
        ],
        options: StreamOptions::default(),
    };
    catalog.create_stream("default", STREAM, &def).unwrap();
    let none = Include::default();
    let mut intake = Intake::new(catalog.clone(), stream, Format::Json, none, "kafka");
    intake.push(&value(b"{"), NOW).unwrap();
    let taken = intake.take();
    assert_eq!((taken.rows.len(), taken.rejected), (0, 1));
    assert!(taken.last_error.unwrap().contains("are not kept"));
}

#[test]
fn what_waits_is_counted_and_a_message_of_too_many_cells_ends_in_a_letter() {
    let catalog = Arc::new(Catalog::default());
    let stream = timed(&catalog);
    let none = Include::default();
    let mut intake = Intake::new(catalog.clone(), stream.clone(), Format::Json, none, "kafka");
    // Each row has a name of its own, so that a short text is a large table.
    let rows = |from: usize, n: usize| -> String {
        (from..from + n)
            .map(|i| format!("{{\"a{}\":1.5}}\n", i % 4_000))
            .collect()
    };
    intake.push(&value(rows(0, 6_000).as_bytes()), NOW).unwrap();
    let (held, many) = (intake.bytes(), rows(0, 200_000));
    assert!((1 << 20..100 << 20).contains(&held), "{held}");
    intake.push(&value(many.as_bytes()), NOW).unwrap();
    assert!(intake.bytes() < 600 << 20, "{}", intake.bytes());
    // What others took does not count against a message.
    intake.push(&value(rows(0, 1_000).as_bytes()), NOW).unwrap();
    let taken = intake.take();
    assert_eq!(taken.rejected, 1);
    assert!(taken.accepted > 20_000 && taken.accepted < 207_000);
    assert!(taken.last_error.unwrap().contains("too much memory"));
}
