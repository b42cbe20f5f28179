use super::json::{JsonFormat, MAX_DEPTH};
use super::*;
use crate::admission::Rejection;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tsdb::types::{Batch, DataType, Role, SeriesId};
use tsdb::{Catalog, Rows, Stream, StreamDef};

const NOW: i64 = 1_700_000_000_000_000_000;

fn stream(columns: &[(&str, DataType, Role)]) -> Arc<Stream> {
    let columns = columns
        .iter()
        .map(|(n, t, r)| ((*n).to_owned(), *t, *r))
        .collect();
    Catalog::default()
        .create_stream(
            "default",
            "s",
            &StreamDef {
                columns,
                ..Default::default()
            },
        )
        .unwrap()
}

/// The users' own stream, with every other type added.
fn purchases() -> Arc<Stream> {
    stream(&[
        ("user_id", DataType::Int64, Role::Field),
        (
            "amount",
            DataType::Decimal {
                precision: 10,
                scale: 2,
            },
            Role::Field,
        ),
        ("city", DataType::Utf8, Role::Tag),
        ("timestamp", DataType::Timestamp, Role::Time),
        ("big", DataType::UInt64, Role::Field),
        ("score", DataType::Float64, Role::Field),
        ("ok", DataType::Bool, Role::Field),
        ("seen", DataType::Timestamp, Role::Field),
        ("note", DataType::Utf8, Role::Field),
    ])
}

fn batches(rows: Vec<Rows>) -> Vec<Batch> {
    let finish = |r| match r {
        Rows::Sealed(b) => b,
        Rows::Small(b) => b.finish().unwrap(),
    };
    rows.into_iter().map(finish).collect()
}

/// A refused row, kept.
#[derive(Debug, PartialEq)]
struct Refused {
    row: usize,
    reason: RowReason,
    payload: String,
}

/// What a body held, with its refused rows.
struct Held {
    rows: Vec<Rows>,
    accepted: usize,
    errors: Vec<Refused>,
}

fn hold(
    decode: impl FnOnce(&mut dyn FnMut(RefusedRow<'_>)) -> Result<DecodedRows, Rejection>,
) -> Held {
    let mut errors = Vec::new();
    let decoded = decode(&mut |r| {
        errors.push(Refused {
            row: r.row,
            reason: r.reason,
            payload: String::from_utf8_lossy(r.payload).into_owned(),
        });
    });
    let decoded = decoded.unwrap();
    assert_eq!(decoded.rejected, errors.len());
    Held {
        rows: decoded.rows,
        accepted: decoded.accepted,
        errors,
    }
}

/// Rows as JSON objects again: times as integers, decimals as their unscaled values.
fn read(stream: &Stream, decoded: Held) -> Vec<Map<String, Value>> {
    let schema = stream.schema();
    let mut out = Vec::new();
    for b in batches(decoded.rows) {
        for i in 0..b.rows {
            let mut row = Map::new();
            for c in &schema.columns {
                let value = match c.role {
                    Role::Time => json!(b.time.i64_at(i)),
                    Role::Tag => match stream
                        .series()
                        .tag_value(SeriesId(b.series.i64_at(i) as u32), c.id)
                    {
                        Some(v) => json!(v.as_ref()),
                        None => continue,
                    },
                    Role::Field => {
                        let Some(v) = b.column(c.id).filter(|v| v.is_valid(i)) else {
                            continue;
                        };
                        match c.data_type {
                            DataType::Bool => json!(v.i64_at(i) == 1),
                            DataType::UInt64 => json!(v.i64_at(i) as u64),
                            DataType::Int64 | DataType::Timestamp => json!(v.i64_at(i)),
                            DataType::Decimal { .. } => json!(v.i128_at(i) as i64),
                            DataType::Float64 => json!(v.f64_at(i)),
                            DataType::Utf8 => {
                                json!(String::from_utf8(v.str_at(i).to_vec()).unwrap())
                            }
                        }
                    }
                };
                row.insert(c.name.clone(), value);
            }
            out.push(row);
        }
    }
    out
}

fn json_rows(stream: &Arc<Stream>, body: &[u8], format: JsonFormat) -> Held {
    let ctx = RowContext::new(stream.clone(), NOW);
    hold(|refused| json::decode(body, format, &ctx, refused))
}

fn lines(stream: &Arc<Stream>, body: &[u8]) -> Held {
    json_rows(stream, body, JsonFormat::Lines)
}

fn document(stream: &Arc<Stream>, body: &[u8]) -> Held {
    json_rows(stream, body, JsonFormat::Document)
}

fn one(body: &str) -> Map<String, Value> {
    let s = purchases();
    let d = lines(&s, body.as_bytes());
    assert_eq!(d.errors, [], "{body}");
    let mut rows = read(&s, d);
    assert_eq!(rows.len(), 1, "{body}");
    rows.remove(0)
}

fn reason(body: &str) -> RowReason {
    let s = purchases();
    let columns = s.schema().columns.len();
    let mut d = lines(&s, body.as_bytes());
    assert_eq!(
        (d.accepted, d.errors.len()),
        (0, 1),
        "{}",
        &body[..body.len().min(80)]
    );
    assert_eq!(
        s.schema().columns.len(),
        columns,
        "a refused row makes no column"
    );
    d.errors.remove(0).reason
}

#[test]
fn the_users_row() {
    let row =
        one(r#"{"user_id":7,"amount":12.50,"city":"Oslo","timestamp":"2026-01-02T03:04:05.5Z"}"#);
    assert_eq!(
        Value::Object(row),
        json!({"user_id": 7, "amount": 1250, "city": "Oslo", "timestamp": 1_767_323_045_500_000_000i64})
    );
}

#[test]
fn types_are_checked_and_decimals_are_exact() {
    let with = |field: &str| format!("{{\"timestamp\":1700000000,{field}}}");
    let get = |field: &str, name: &str| one(&with(field)).remove(name).unwrap();
    assert_eq!(get(r#""amount":0.1"#, "amount"), json!(10));
    assert_eq!(
        get(r#""amount":"99999999.99""#, "amount"),
        json!(9_999_999_999i64)
    );
    assert_eq!(get(r#""amount":1e2"#, "amount"), json!(10_000));
    assert_eq!(
        get(r#""user_id":9007199254740993"#, "user_id"),
        json!(9_007_199_254_740_993i64)
    );
    assert_eq!(get(r#""user_id":"-5""#, "user_id"), json!(-5));
    assert_eq!(get(r#""user_id":5.0"#, "user_id"), json!(5));
    assert_eq!(get(r#""big":18446744073709551615"#, "big"), json!(u64::MAX));
    assert_eq!(
        get(r#""note":[1, {"a":2}]"#, "note"),
        json!("[1, {\"a\":2}]")
    );
    assert_eq!(
        get(r#""seen":"2024-05-06""#, "seen"),
        json!(1_714_953_600_000_000_000i64)
    );
    assert_eq!(get(r#""USER_ID":3"#, "user_id"), json!(3));
    assert_eq!(get(r#""user_id":1,"user_id":2"#, "user_id"), json!(2));
    for (text, ns) in [
        ("1700000000", 1_700_000_000_000_000_000i64),
        ("1700000000123", 1_700_000_000_123_000_000),
        ("1700000000123456", 1_700_000_000_123_456_000),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("1700000000.25", 1_700_000_000_250_000_000),
        ("-1", -1_000_000_000),
    ] {
        assert_eq!(
            get(&format!("\"seen\":{text}"), "seen"),
            json!(ns),
            "{text}"
        );
    }
    for bad in [
        r#""amount":100000000"#,
        r#""amount":true"#,
        r#""amount":"x""#,
        r#""user_id":1.5"#,
        r#""user_id":1e99"#,
        r#""user_id":"""#,
        r#""big":-1"#,
        r#""score":1e999"#,
        r#""score":"1""#,
        r#""ok":1"#,
        r#""ok":"true""#,
        r#""note":1"#,
        r#""city":5"#,
        r#""seen":"soon""#,
        r#""seen":1e300"#,
        r#""seen":[1]"#,
        r#""user_id":{"a":1},"ok":3"#,
    ] {
        assert!(
            matches!(reason(&with(bad)), RowReason::Type { .. }),
            "{bad}"
        );
    }
    assert_eq!(
        reason(r#"{"user_id":1}"#),
        RowReason::NoTime("timestamp".into())
    );
    assert_eq!(
        reason(r#"{"timestamp":null,"user_id":1}"#),
        RowReason::NoTime("timestamp".into())
    );
    assert_eq!(reason("{}"), RowReason::Empty);
    assert_eq!(reason(r#"{"timestamp":1,"":1}"#), RowReason::BadName);
}

#[test]
fn unknown_names_become_columns() {
    let s = stream(&[("time", DataType::Timestamp, Role::Time)]);
    let body =
        br#"{"n":1,"s":"x","b":true,"p":{"page":"/","deep":{"x":2}},"l":[1,"a"],"nothing":null}
        {"n":2.5}
        {"n":"text","new":1}"#;
    let d = lines(&s, body);
    assert_eq!((d.accepted, d.errors.len()), (2, 1));
    assert_eq!(
        (d.errors[0].row, d.errors[0].payload.as_str()),
        (3, r#"{"n":"text","new":1}"#)
    );
    let rows = read(&s, d);
    let expected = json!({"time": NOW, "n": 1.0, "s": "x", "b": true, "p.page": "/", "p.deep.x": 2.0, "l": "[1,\"a\"]"});
    assert_eq!(Value::Object(rows[0].clone()), expected);
    assert!(s.schema().column("new").is_none() && s.schema().column("nothing").is_none());
    let many: String = (0..5000).map(|i| format!("\"c{i}\":1,")).collect();
    let d = lines(&s, format!("{{{many}\"z\":1}}").as_bytes());
    assert_eq!(d.errors[0].reason, RowReason::TooManyColumns(4096));
}

#[test]
fn documents_and_their_ends() {
    let s = purchases();
    let row = r#"{"timestamp":1700000000,"user_id":1}"#;
    let count = |body: &str| {
        let d = document(&s, body.as_bytes());
        (
            d.accepted,
            d.errors.iter().map(|e| e.row).collect::<Vec<_>>(),
        )
    };
    assert_eq!(count(row), (1, vec![]));
    assert_eq!(
        count(&format!("\u{feff} [{row},\n{row}, 5, {row}] ")),
        (3, vec![3])
    );
    assert_eq!(count(&format!("{row}\n{row}")), (2, vec![]));
    assert_eq!(count(&format!("[{row}] x")), (1, vec![2]));
    assert_eq!(count(&format!("[{row}, {{]")), (1, vec![2]));
    assert_eq!(count(&format!("[{row}")), (1, vec![2]));
    assert_eq!(count(&format!("{row} garbage")), (1, vec![2]));
    assert_eq!(count("[]"), (0, vec![]));
    assert_eq!(count(""), (0, vec![]));
    assert_eq!(count("17"), (0, vec![1]));
    let d = document(&s, b"[\"\xff\"]");
    assert_eq!(d.errors[0].reason, RowReason::NotUtf8);
    let d = lines(
        &s,
        format!("{row} x\n\n  \r\n{row}\r\n\"\n{row}").as_bytes(),
    );
    assert_eq!(
        (
            d.accepted,
            d.errors.iter().map(|e| e.row).collect::<Vec<_>>()
        ),
        (2, vec![1, 3])
    );
}

#[test]
fn hostile_json() {
    let deep = |n: usize| {
        format!(
            "{{\"timestamp\":1,{}\"b\":1{}}}",
            "\"a\":{".repeat(n),
            "}".repeat(n)
        )
    };
    assert_eq!(reason(&deep(MAX_DEPTH + 1)), RowReason::TooDeep(MAX_DEPTH));
    assert_eq!(reason(&deep(100_000)), RowReason::TooDeep(MAX_DEPTH));
    let nested = format!(
        "{{\"timestamp\":1,\"note\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(one(&nested)["note"].as_str().map(str::len), Some(200_000));
    for bad in [
        r#"{"timestamp":1,"note":"\ud800"}"#,
        r#"{"timestamp":1,"\udc00":1}"#,
        r#"{"timestamp":1,"note":"\ud800\u0041"}"#,
        "{",
        "[",
        "nul",
        r#"{"a":01}"#,
        r#"{"a":NaN}"#,
        "{\"a\":\"\t\"}",
    ] {
        assert!(matches!(reason(bad), RowReason::Syntax(_)), "{bad}");
    }
    assert_eq!(reason("[1]"), RowReason::NotAnObject);
    let digits = "9".repeat(10 << 20);
    for name in ["user_id", "amount", "score", "seen"] {
        assert!(matches!(
            reason(&format!("{{\"timestamp\":1,\"{name}\":{digits}}}")),
            RowReason::Type { .. }
        ));
    }
    let long = one(&format!("{{\"timestamp\":1,\"score\":0.{digits}}}"));
    assert_eq!(long["score"], json!(1.0));
}

#[test]
fn rows_of_many_names_cost_no_more_than_their_text() {
    let s = purchases();
    // Each name once more than a row may have, and names that a wide stream does not have, in many rows.
    let many: String = (0..70_000).map(|i| format!("\"c{i}\":1,")).collect();
    let d = lines(&s, format!("{{{many}\"z\":1}}").as_bytes());
    assert_eq!(d.errors[0].reason, RowReason::TooManyColumns(65_536));
    let nested = format!("{{{}\"p\":{{{many}\"z\":1}}}}", &many[..200_000 / 2 * 2]);
    let d = lines(&s, nested.replace(",\"p\"", ",\"q\"").as_bytes());
    assert_eq!(d.accepted, 0);
    let wide: Vec<_> = (0..4_000).map(|i| format!("w{i}")).collect();
    let mut columns: Vec<_> = wide
        .iter()
        .map(|n| (n.as_str(), DataType::Float64, Role::Field))
        .collect();
    columns.push(("time", DataType::Timestamp, Role::Time));
    let s = stream(&columns);
    let row: String = (0..4_000).map(|i| format!("\"n{i}\":1,")).collect();
    let body = format!("{{{row}\"W7\":1}}\n").repeat(200);
    let began = std::time::Instant::now();
    let d = lines(&s, body.as_bytes());
    assert_eq!(d.errors[199].reason, RowReason::TooManyColumns(4_096));
    // Comparing each name with each column would take minutes.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

/// One row for each of `names`, with that member alone.
fn one_name_a_row(names: usize, rows: usize) -> String {
    (0..rows)
        .map(|i| format!("{{\"a{}\":1}}\n", i % names))
        .collect()
}

#[test]
fn many_names_are_sealed_in_small_batches_and_refused_when_they_are_too_much() {
    let timed = || stream(&[("time", DataType::Timestamp, Role::Time)]);
    let (s, body) = (timed(), one_name_a_row(3_000, 6_000));
    let d = lines(&s, body.as_bytes());
    assert_eq!((d.accepted, d.errors.len()), (6_000, 0));
    let batches = batches(d.rows);
    assert_eq!(batches.iter().map(|b| b.rows).sum::<usize>(), 6_000);
    for b in &batches {
        assert!(b.byte_len() <= 40 << 20, "{} bytes", b.byte_len());
    }
    let ctx = RowContext::new(timed(), NOW);
    let body = one_name_a_row(4_000, 120_000);
    let refused = json::decode(body.as_bytes(), JsonFormat::Lines, &ctx, &mut |_| {});
    let error = refused.err().unwrap();
    assert_eq!((error.status, error.code), (413, "rows_too_large"));
}

#[test]
fn a_name_follows_the_columns_as_they_come() {
    for before in [1, 200] {
        let names: Vec<_> = (0..before).map(|i| format!("f{i}")).collect();
        let mut columns: Vec<_> = names
            .iter()
            .map(|n| (n.as_str(), DataType::Float64, Role::Field))
            .collect();
        columns.push(("time", DataType::Timestamp, Role::Time));
        columns.push(("Abc", DataType::Float64, Role::Field));
        let s = stream(&columns);
        let d = lines(&s, b"{\"abc\":1}\n{\"new\":1}\n{\"ABC\":2}");
        assert_eq!((d.accepted, s.schema().columns.len()), (3, before + 3));
        s.ensure_columns(&[("abc", DataType::Float64, Role::Field)])
            .unwrap();
        let d = lines(&s, b"{\"abc\":3}\n{\"ABC\":4}");
        let rows = read(&s, d);
        assert_eq!(rows[0]["abc"], json!(3.0));
        assert_eq!(
            rows[1]["ABC"],
            json!(4.0),
            "ambiguous, so a column of its own"
        );
    }
}

#[test]
fn a_new_stream_takes_its_time_from_the_first_row() {
    let time = |body: &str| {
        json::infer_stream(body.as_bytes(), JsonFormat::Lines).columns[0]
            .0
            .clone()
    };
    assert_eq!(time("x\n{\"time\":1,\"ts\":2,\"a\":3}"), "ts");
    assert_eq!(time("{\"Timestamp\":1,\"ts\":2}"), "Timestamp");
    assert_eq!(time("{\"a\":1}"), "time");
    assert_eq!(time(""), "time");
    assert_eq!(csv::infer_stream(b"a,time\n1,2").columns[0].0, "time");
}

#[test]
fn csv_by_its_header() {
    let s = purchases();
    let ctx = RowContext::new(s.clone(), NOW);
    let body = "\u{feff}timestamp,user_id,city,note,extra,flag\r\n\
        2026-01-02 03:04:05,7,Oslo,\"a \"\"q\"\", b\nc\",1.5,true\r\n\
        1700000000,,,,,\n\
        1700000000,x,,,,\n\
        1700000000,1\n\
        soon,1,,,,\n\
        ,1,,,,\n\
        1700000000,8,Oslo,9,abc,false\n\
        1700000000,9,Oslo,9,2,false\n";
    let csv = |body: &[u8]| hold(|refused| csv::decode(body, &ctx, refused));
    let d = csv(body.as_bytes());
    let bad: Vec<usize> = d.errors.iter().map(|e| e.row).collect();
    assert_eq!((d.accepted, bad), (3, vec![3, 4, 5, 6, 7]));
    assert_eq!(
        d.errors[1].reason,
        RowReason::Width {
            expected: 6,
            got: 2
        }
    );
    assert_eq!(d.errors[0].payload, "1700000000,x,,,,");
    let rows = read(&s, d);
    let first = json!({"user_id": 7, "city": "Oslo", "timestamp": 1_767_323_045_000_000_000i64, "note": "a \"q\", b\nc", "extra": 1.5, "flag": true});
    assert_eq!(Value::Object(rows[0].clone()), first);
    assert_eq!(rows[1].len(), 1, "empty cells are null");
    assert_eq!(rows[2]["note"], json!("9"));
    assert_eq!(csv(b"\"\0").accepted, 0);
    for bad in ["", "a,a\n1,2", "a,\n1,2"] {
        let refused = csv::decode(bad.as_bytes(), &ctx, &mut |_| {});
        let error = refused.err().unwrap();
        assert_eq!(error.status, 400, "{bad:?}");
        assert!(error.message.starts_with("the header line: "), "{error}");
    }
    let d = csv(b"timestamp,note\n1,\xff\n1,ok\n");
    assert_eq!(
        (d.accepted, d.errors[0].reason.clone()),
        (1, RowReason::NotUtf8)
    );
}

fn value() -> impl Strategy<Value = Map<String, Value>> {
    let int = prop_oneof![any::<i64>(), -9i64..9];
    (
        proptest::option::of(int),
        proptest::option::of(-9_999_999_999i64..9_999_999_999),
        proptest::option::of("\\PC{1,6}"),
        any::<i32>(),
        proptest::option::of(any::<f64>().prop_filter("finite", |v| v.is_finite())),
        proptest::option::of(any::<bool>()),
        proptest::option::of("\\PC{0,6}"),
    )
        .prop_map(|(user, cents, city, seconds, score, ok, note)| {
            let mut row = Map::new();
            row.extend(user.map(|v| ("user_id".into(), json!(v))));
            row.extend(cents.map(|v| ("amount".into(), json!(v))));
            row.extend(city.map(|v| ("city".into(), json!(v))));
            row.insert(
                "timestamp".into(),
                json!(i64::from(seconds) * 1_000_000_000),
            );
            row.extend(score.map(|v| ("score".into(), json!(v))));
            row.extend(ok.map(|v| ("ok".into(), json!(v))));
            row.extend(note.map(|v| ("note".into(), json!(v))));
            row
        })
}

/// The row as a client writes it: seconds, decimals with their point.
fn written(row: &Map<String, Value>) -> String {
    let mut row = row.clone();
    row["timestamp"] = json!(row["timestamp"].as_i64().unwrap() / 1_000_000_000);
    let cents = row.remove("amount").and_then(|v| v.as_i64());
    let mut text = Value::Object(row).to_string();
    if let Some(c) = cents {
        let sign = if c < 0 { "-" } else { "" };
        text.pop();
        text += &format!(
            ",\"amount\":{sign}{}.{:02}}}",
            c.unsigned_abs() / 100,
            c.unsigned_abs() % 100
        );
    }
    text
}

proptest! {
    #[test]
    fn rows_are_read_as_written(rows in proptest::collection::vec(value(), 1..30), cut in any::<proptest::sample::Index>()) {
        let texts: Vec<String> = rows.iter().map(written).collect();
        let s = purchases();
        let sorted = |rows: &[Map<String, Value>]| -> Vec<String> { rows.iter().map(|r| {
            let mut members: Vec<_> = r.iter().map(|(k, v)| format!("{k}={v}")).collect();
            members.sort();
            members.join(" ")
        }).collect() };
        let expected = sorted(&rows);
        let nd = lines(&s, texts.join("\n").as_bytes());
        prop_assert_eq!(&nd.errors, &[]);
        prop_assert_eq!(sorted(&read(&s, nd)), expected.clone());
        let array = document(&s, format!("[{}]", texts.join(",")).as_bytes());
        prop_assert_eq!(sorted(&read(&s, array)), expected.clone());
        // Any split at line ends gives the same rows.
        let at = cut.index(texts.len());
        let mut split = Vec::new();
        for part in [&texts[..at], &texts[at..]] {
            split.extend(read(&s, lines(&s, part.join("\n").as_bytes())));
        }
        prop_assert_eq!(sorted(&split), expected);
    }

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..120), like in "([{\\[\",:}\\]0-9a-c\\\\u.\n-]|\"timestamp\":1|\\PC){0,40}") {
        let s = stream(&[("time", DataType::Timestamp, Role::Time)]);
        let ctx = RowContext::new(s, NOW);
        for text in [body.as_slice(), like.as_bytes()] {
            for format in [JsonFormat::Lines, JsonFormat::Document] {
                let _ = json::decode(text, format, &ctx, &mut |_| {});
                let _ = json::infer_stream(text, format);
            }
            let _ = csv::decode(text, &ctx, &mut |_| {});
            let _ = csv::infer_stream(text);
        }
    }
}
