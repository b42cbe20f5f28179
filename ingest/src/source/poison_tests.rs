//! Messages that nobody should send: none panics, each that is bad is a letter, and its neighbours stay whole.

use super::intake_tests::{NOW, batch, make, read, take, value};
use super::*;
use crate::dead_letter::STREAM;
use proptest::prelude::*;
use std::sync::Arc;
use tsdb::Catalog;
use tsdb::types::{DataType, Role};

const COLUMNS: [(&str, DataType, Role); 5] = [
    ("v", DataType::Int64, Role::Field),
    ("d", DataType::Float64, Role::Field),
    ("s", DataType::Utf8, Role::Field),
    ("tag", DataType::Utf8, Role::Tag),
    ("time", DataType::Timestamp, Role::Time),
];

/// A message, how many rows it is and how many letters.
type Poison = (&'static str, Vec<u8>, usize, usize);

fn text(name: &'static str, text: &str, rows: usize, letters: usize) -> Poison {
    (name, text.as_bytes().to_vec(), rows, letters)
}

fn json() -> Vec<Poison> {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let digits = "9".repeat(10 << 20);
    vec![
        text("empty", "", 0, 1),
        text("blank", " \r\n\t", 0, 1),
        text("deep objects", &deep("{\"a\":", "}"), 0, 1),
        text("deep arrays", &deep("[", "]"), 0, 1),
        text(
            "a deep array in a text column",
            &format!("{{\"s\":{}}}", deep("[", "]")),
            1,
            0,
        ),
        text("deep and unclosed", &"{\"a\":".repeat(100_000), 0, 1),
        text("too large for a double", r#"{"d":1e999}"#, 0, 1),
        text("too large for an integer", r#"{"v":1e999}"#, 0, 1),
        text(
            "an exponent beyond sense",
            r#"{"v":1e99999999999999999999}"#,
            0,
            1,
        ),
        text("10 MB of digits", &format!("{{\"v\":{digits}}}"), 0, 1),
        text(
            "10 MB of digits as text",
            &format!("{{\"v\":\"{digits}\"}}"),
            0,
            1,
        ),
        text(
            "10 MB behind the point",
            &format!("{{\"d\":0.{digits}}}"),
            1,
            0,
        ),
        text("a lone surrogate", r#"{"s":"\ud800"}"#, 0, 1),
        text("a lone surrogate in a name", r#"{"\udfff":1}"#, 0, 1),
        text(
            "surrogates the wrong way round",
            r#"{"s":"\udc00\ud800"}"#,
            0,
            1,
        ),
        text("a byte order mark", "\u{feff}{\"v\":1}", 1, 0),
        text("two byte order marks", "\u{feff}\u{feff}{\"v\":1}", 0, 1),
        text("UTF-16", "{\0\"\0v\0\"\0:\0\x31\0}\0", 0, 1),
        text("garbage behind", "{\"v\":1}x", 1, 1),
        text("a brace behind", "{\"v\":1}}", 1, 1),
        text("a comma behind the last member", "{\"v\":1,}", 0, 1),
        text("no comma", "{\"v\":1 \"d\":2}", 0, 1),
        text("NUL", "\0", 0, 1),
        text("NUL behind", "{\"v\":1}\0", 1, 1),
        text("NUL in a string", "{\"s\":\"a\0b\"}", 0, 1),
        text("NUL in a name", r#"{"a\u0000b":1}"#, 0, 1),
        text("NUL escaped in a string", r#"{"s":"a\u0000b"}"#, 1, 0),
        text("a newline in a string", "{\"s\":\"a\nb\"}", 0, 1),
        text("no object", "17", 0, 1),
        text("null", "null", 0, 1),
        text("no members", "{}", 0, 1),
        text("nulls alone", r#"{"v":null,"x":null}"#, 0, 1),
        text("no rows", "[]", 0, 0),
        text(
            "rows and others",
            r#"[{"v":1},2,{"v":3},null,"x",[]]"#,
            2,
            4,
        ),
        text("an array cut short", r#"[{"v":1},{"v":"#, 1, 1),
        text("an unclosed string", r#"{"s":"abc"#, 0, 1),
        text("an unclosed escape", "{\"s\":\"abc\\", 0, 1),
        text("the wrong type", r#"{"v":"x"}"#, 0, 1),
        text(
            "a time that can't be",
            r#"{"v":1,"time":"2024-02-30"}"#,
            0,
            1,
        ),
        text("a time beyond reach", r#"{"v":1,"time":1e30}"#, 0, 1),
        text("an empty name", r#"{"":1}"#, 0, 1),
        text(
            "a name of 64 KiB",
            &format!("{{\"{}\":1}}", "n".repeat(65_536)),
            0,
            1,
        ),
        text(
            "10,000 names",
            &format!(
                "{{{}\"v\":1}}",
                (0..10_000)
                    .map(|i| format!("\"n{i}\":1,"))
                    .collect::<String>()
            ),
            0,
            1,
        ),
        text("a name twice", r#"{"v":1,"v":2}"#, 1, 0),
        text("words that are no JSON", r#"{"v":NaN}"#, 0, 1),
        ("not UTF-8", b"{\"s\":\"\xff\"}".to_vec(), 0, 1),
        ("an overlong NUL", b"{\"s\":\"\xc0\x80\"}".to_vec(), 0, 1),
        ("cut in a character", b"{\"s\":\"\xe2\x82\"}".to_vec(), 0, 1),
        ("any bytes", (0..=255).collect(), 0, 1),
        ("oversize", vec![b'{'; MAX_MESSAGE_BYTES + 1], 0, 1),
    ]
}

fn csv() -> Vec<Poison> {
    vec![
        text("empty", "", 0, 1),
        text("line ends", "\r\n\n", 0, 1),
        text("too few", "1", 0, 1),
        text("too many", "1,2,3,4,5,6,7", 0, 1),
        text("one bad line of three", "1,,,\nx,,,\n2,,,", 2, 1),
        text("an unclosed quote", "1,,\"abc", 0, 1),
        text("a quote in the middle", "1,,a\"b,", 1, 0),
        text("NUL", "\0,,,", 0, 1),
        text("too large for a double", "1,1e999,,", 0, 1),
        text(
            "10 MB of digits",
            &format!("{},,,", "9".repeat(10 << 20)),
            0,
            1,
        ),
        text("nothing but commas", ",,,", 0, 1),
        text("a million commas", &",".repeat(1_000_000), 0, 1),
        text("a byte order mark", "\u{feff}1,,,", 1, 0),
        ("not UTF-8", b"1,,\xff,".to_vec(), 0, 1),
        ("oversize", vec![b','; MAX_MESSAGE_BYTES + 1], 0, 1),
    ]
}

fn lines() -> Vec<Poison> {
    vec![
        text("empty", "", 0, 1),
        text("line ends", "\r\n\n", 0, 1),
        text("no fields", "m", 0, 1),
        text("NUL", "m\0 v=1i", 0, 1),
        text("an unclosed string", "m v=\"abc", 0, 1),
        text("a backslash at the end", "m\\", 0, 1),
        text("a tag twice", "m,a=1,a=2 v=1i", 0, 1),
        text("a field twice", "m v=1i,v=2i", 1, 0),
        text("not a number", "m v=NaN", 0, 1),
        text("too large for an integer", "m v=9223372036854775808i", 0, 1),
        text("too large for a double", "m d=1e999", 0, 1),
        text("a time out of range", "m v=1i 99999999999999999999", 0, 1),
        text("a type conflict", "m v=\"x\"", 0, 1),
        text("one bad line of three", "m v=1i\nbad\nm v=2i", 2, 1),
        text(
            "a key of 64 KiB",
            &format!("{} v=1i", "m".repeat(70_000)),
            0,
            1,
        ),
        text(
            "10,000 tags",
            &format!(
                "m{} v=1i",
                (0..10_000).map(|i| format!(",t{i}=1")).collect::<String>()
            ),
            0,
            1,
        ),
        ("not UTF-8", b"m\xff v=1i".to_vec(), 0, 1),
        ("oversize", vec![b'm'; MAX_MESSAGE_BYTES + 1], 0, 1),
    ]
}

/// Each poison between good rows, twice: the second time the good rows take the fast path.
fn check(format: &str, good: &[u8], poisons: Vec<Poison>) {
    let catalog = Arc::new(Catalog::default());
    let stream = make(&catalog, &COLUMNS);
    let format = Format::parse(format).unwrap();
    let none = Include::default();
    let mut intake = Intake::new(catalog.clone(), stream.clone(), format, none, "kafka");
    intake.push(&value(good), NOW).unwrap();
    assert_eq!(intake.take().accepted, 1);
    for (name, poison, rows, letters) in poisons.iter().chain(&poisons) {
        for bytes in [good, poison, good] {
            intake.push(&value(bytes), NOW).unwrap();
        }
        let taken = intake.take();
        assert_eq!(
            (taken.accepted, taken.rejected),
            (rows + 2, *letters),
            "{name}: {:?}",
            taken.last_error
        );
        let batches: Vec<_> = taken.rows.into_iter().map(batch).collect();
        let of_letters = catalog
            .stream("default", STREAM)
            .map(|l| (l.id, read(&l, &batches)));
        let (id, told) = of_letters.map_or((None, Vec::new()), |(id, told)| (Some(id), told));
        assert_eq!(told.len(), *letters, "{name}");
        for letter in told {
            assert_eq!(letter["position"], "t/3@99", "{name}");
            assert!(
                letter["reason"].is_string() && letter["payload"].is_string(),
                "{name}"
            );
        }
        let kept: usize = batches
            .iter()
            .filter(|b| Some(b.stream) != id)
            .map(|b| b.rows)
            .sum();
        assert_eq!(kept, rows + 2, "{name}");
    }
    // The good rows themselves, whatever came between them.
    intake.push(&value(good), NOW).unwrap();
    if stream.schema().column("v").is_some() {
        let read = take(&catalog, &stream, &mut intake);
        for row in read.rows {
            assert_eq!(
                (&row["v"], &row["d"], &row["s"], &row["tag"]),
                (&1.into(), &2.5.into(), &"x".into(), &"t".into())
            );
        }
    }
}

#[test]
fn json_that_nobody_should_send() {
    check(
        "json",
        br#"{"v":1,"d":2.5,"s":"x","tag":"t","time":1700000000}"#,
        json(),
    );
}

#[test]
fn csv_that_nobody_should_send() {
    check("csv", b"1,2.5,x,t", csv());
}

#[test]
fn lines_that_nobody_should_send() {
    check(
        "line_protocol",
        b"m,tag=t v=1i,d=2.5,s=\"x\" 1700000000000000000",
        lines(),
    );
}

proptest! {
    #[test]
    fn no_message_panics(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..9),
        like in proptest::collection::vec("([{\\[\",:}\\]0-9a-c\\\\u.\n=i-]|\"v\":1|m v=1i|\\PC){0,30}", 1..9),
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
        time_ns in proptest::option::of(any::<i64>()),
        (partition, offset, now) in any::<(i32, u64, i64)>(),
        format in proptest::sample::select(vec!["json", "csv", "influx", "text", "raw"]),
        json_key in any::<bool>(),
    ) {
        let catalog = Arc::new(Catalog::default());
        let stream = make(&catalog, &COLUMNS);
        let include = Include::parse("key, timestamp, headers, header:h, topic, partition, offset").unwrap();
        let include = include.key_format(if json_key { "json" } else { "text" }).unwrap();
        let mut intake = Intake::new(catalog, stream, Format::parse(format).unwrap(), include, "kafka");
        let mut messages = 0;
        for value in values.iter().map(Vec::as_slice).chain(like.iter().map(String::as_bytes)) {
            let headers = [("h", Some(value)), ("", None)];
            for value in [Some(value), None] {
                let record = Record { key: key.as_deref(), value, headers: &headers, time_ns, topic: "a/b", partition, offset };
                prop_assert!(intake.push(&record, now).is_ok());
                messages += 1;
            }
        }
        let waiting = intake.rows();
        let taken = intake.take();
        let rows: usize = taken.rows.into_iter().map(|r| batch(r).rows).sum();
        prop_assert_eq!(rows, waiting);
        prop_assert_eq!(rows, taken.accepted + taken.rejected);
        prop_assert!(taken.accepted + taken.rejected + taken.skipped > 0 && messages > 0);
    }
}
