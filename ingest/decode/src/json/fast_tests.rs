use super::*;
use crate::RefusedRow;
use crate::writer::Writer;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;
use tsdb::types::DataType;
use tsdb::{Catalog, Rows, Stream};

const NOW: i64 = 1_700_000_000_000_000_000;

/// One column of every kind.
const COLUMNS: [(&str, DataType, Role); 10] = [
    ("ts", DataType::Timestamp, Role::Time),
    ("city", DataType::Utf8, Role::Tag),
    ("zone", DataType::Utf8, Role::Tag),
    ("user_id", DataType::Int64, Role::Field),
    (
        "a_rather_long_name_of_a_column",
        DataType::UInt64,
        Role::Field,
    ),
    ("price", DataType::Float64, Role::Field),
    (
        "amount",
        DataType::Decimal {
            precision: 10,
            scale: 2,
        },
        Role::Field,
    ),
    ("ok", DataType::Bool, Role::Field),
    ("seen", DataType::Timestamp, Role::Field),
    ("é", DataType::Utf8, Role::Field),
];

fn stream() -> Arc<Stream> {
    let columns = COLUMNS.map(|(n, t, r)| (n.to_owned(), t, r)).to_vec();
    let def = StreamDef {
        columns,
        options: StreamOptions::default(),
    };
    Catalog::default()
        .create_stream("default", "s", &def)
        .unwrap()
}

/// Everything that can be told of what bodies came to.
#[derive(Debug, PartialEq)]
struct Told {
    batches: Vec<Bytes>,
    refused: Vec<(usize, RowReason, Bytes)>,
    columns: Vec<(String, DataType)>,
    series: Vec<Vec<Option<String>>>,
    accepted: usize,
}

fn told(
    bodies: &[&[u8]],
    format: JsonFormat,
    more: super::super::Cells<'_, '_>,
    fast: bool,
) -> Told {
    let stream = stream();
    let mut writer = Writer::new(stream.clone(), None);
    let (mut refused, mut accepted) = (Vec::new(), 0);
    for body in bodies {
        writer.begin(NOW, (body.len() % 2 == 0).then_some(NOW));
        let mut on_refused = |r: RefusedRow<'_>| {
            refused.push((r.row, r.reason, Bytes::copy_from_slice(r.payload)));
        };
        let mut rows = Receiver::new(&mut writer, more, &mut on_refused);
        rows.fast = fast;
        receive(body, format, &mut rows);
        accepted += rows.accepted;
    }
    let finish = |rows| match rows {
        Rows::Sealed(batch) => batch,
        Rows::Small(rows) => rows.finish().unwrap(),
    };
    let encode = |rows| {
        let mut bytes = Vec::new();
        finish(rows).encode(&mut bytes);
        Bytes::from(bytes)
    };
    let schema = stream.schema();
    let tags = |s: u32| {
        let of = |c: &tsdb::types::ColumnDef| {
            let value = stream.series().tag_value(tsdb::types::SeriesId(s), c.id);
            value.map(|v| v.to_string())
        };
        schema.tags().map(of).collect()
    };
    Told {
        batches: writer.take().into_iter().map(encode).collect(),
        refused,
        columns: schema
            .columns
            .iter()
            .map(|c| (c.name.clone(), c.data_type))
            .collect(),
        series: (0..stream.series().len()).map(tags).collect(),
        accepted,
    }
}

fn agree(bodies: &[&[u8]], format: JsonFormat, more: super::super::Cells<'_, '_>) {
    let fast = told(bodies, format, more, true);
    let slow = told(bodies, format, more, false);
    assert!(
        fast == slow,
        "{:?}\nfast {fast:?}\nslow {slow:?}",
        bodies
            .iter()
            .map(|b| String::from_utf8_lossy(b))
            .collect::<Vec<_>>()
    );
}

const BLANKS: [&str; 6] = ["", "", "", " ", "\t ", "\r\n"];

/// Text for a value that is right for its column more often than not.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<i64>().prop_map(|v| v.to_string()),
        4 => (-2_000i64..2_000).prop_map(|v| v.to_string()),
        4 => (1_600_000_000_000i64..1_700_000_000_000).prop_map(|v| v.to_string()),
        4 => "-?(0|[1-9][0-9]{0,9})\\.[0-9]{1,4}",
        2 => "-?[0-9]{1,22}(\\.[0-9]{0,20})?([eE][-+]?[0-9]{1,3})?",
        4 => "\"[a-z0-9 é]{0,20}\"",
        1 => "\"\\PC{0,9}\"",
        1 => any::<i32>().prop_map(|v| format!("\"{v}\"")),
        1 => any::<String>().prop_map(|v| serde_json::to_string(&v).unwrap()),
        1 => "\"20[0-9]{2}-0[1-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?Z)?\"",
        1 => "[-+.eE0-9]{1,9}",
        6 => select(vec![
            "null", "true", "false", "nul", "truefalse", "1 2", "-", "-0", "0", "00", "01", "1.", ".5", "-.5", "1e5",
            "1E-2", "1e999", "-0.0", "0.1e1", "12.345", "99999999.99", "99999999.999", "100000000",
            "18446744073709551615", "9223372036854775808", "-9223372036854775808", "\"\"", "\"-5\"", "\"007\"",
            "\"1.50\"", "\"1e2\"", "\"+1\"", "\"2024-05-06\"", "\"soon\"", "[]", "[1,{\"a\":2}]", "{}",
            "{\"page\":1,\"in\":{\"b\":null}}", "\"\\ud800\"", "\"\\u00e9\"", "\"a\\\"b\"", "\"tab\there\"", "\"open",
            "NaN", "1700000000", "1700000000.25", "1700000000123456789", "-1", "1e3",
        ])
        .prop_map(str::to_owned),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let own: Vec<&str> = COLUMNS.iter().map(|c| c.0).collect();
    prop_oneof![
        12 => select(own).prop_map(str::to_owned),
        1 => select(vec![
            "USER_ID", "City", "new", "new2", "", "a.b", "user\\u005fid", "page", "a\\tb", "É", "k",
        ])
        .prop_map(str::to_owned),
    ]
}

/// The text that fits a column, so that whole rows are taken.
fn fitting() -> impl Strategy<Value = String> {
    let number = |v: i64| v.to_string();
    (
        (1_600_000_000i64..1_700_000_000).prop_map(number),
        "\"[a-c]\"",
        "\"[a-c]{0,12}\"",
        any::<i64>().prop_map(number),
        any::<u64>().prop_map(|v| v.to_string()),
        "-?[1-9][0-9]{0,7}\\.[0-9]{1,9}",
        "-?[1-9]{1,7}\\.[0-9]{1,2}",
        select(vec!["true", "false", "null"]),
        (1_600_000_000i64..1_700_000_000).prop_map(number),
        "\"[a-zé ]{0,12}\"",
        any::<bool>(),
    )
        .prop_map(
            |(ts, city, zone, id, big, price, amount, ok, seen, text, tight)| {
                let colon = if tight { ":" } else { " : " };
                let values = [
                    &ts, &city, &zone, &id, &big, &price, &amount, ok, &seen, &text,
                ];
                let member =
                    |(c, v): (&(&str, DataType, Role), &str)| format!("\"{}\"{colon}{v}", c.0);
                let members: Vec<String> = COLUMNS.iter().zip(values).map(member).collect();
                format!("{{{}}}", members.join(if tight { "," } else { ", " }))
            },
        )
}

fn odd() -> impl Strategy<Value = String> {
    let blank = || select(BLANKS.to_vec());
    let member = (blank(), name(), blank(), text(), blank())
        .prop_map(|(a, n, b, t, c)| format!("{a}\"{n}\"{b}:{c}{t}{b}"));
    let members = proptest::collection::vec(member, 0..9);
    let end = select(vec![
        "", "", "", "", "", " ", "x", "}", ",", "{", "{}", "\u{a0}",
    ]);
    (members, end, blank(), any::<bool>()).prop_map(|(m, end, b, time)| {
        let time = if time { "\"ts\":1700000000," } else { "" };
        let body = format!("{time}{}", m.join(","));
        format!("{b}{{{}}}{end}", body.trim_end_matches(','))
    })
}

/// A body of rows, a byte of which may be spoilt.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let row = prop_oneof![3 => fitting(), 2 => odd()];
    let between = select(vec!["\n", "", " ", "\r\n", ",", "\n\n"]);
    let rows = proptest::collection::vec((row, between), 0..12);
    let spoil = proptest::option::weighted(0.2, (any::<proptest::sample::Index>(), any::<u8>()));
    (rows, any::<bool>(), spoil).prop_map(|(rows, array, spoil)| {
        let parts: Vec<String> = rows.into_iter().map(|(r, b)| format!("{r}{b}")).collect();
        let text = match array {
            true => format!("[{}]", parts.concat()),
            false => parts.concat(),
        };
        let mut bytes = text.into_bytes();
        if let Some((at, byte)) = spoil
            && !bytes.is_empty()
        {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn both_ways_give_the_same(bodies in proptest::collection::vec(body(), 1..6), more in any::<u8>()) {
        let cells = [
            (Cow::Borrowed("k"), Cell::Str(Cow::Borrowed("key"))),
            (Cow::Borrowed("zone"), Cell::Str(Cow::Borrowed("z"))),
            (Cow::Borrowed("at"), Cell::Time(7)),
            (Cow::Borrowed("user_id"), Cell::Untyped("17")),
            (Cow::Borrowed("ts"), Cell::Null),
        ];
        // Any run of them, most often none.
        let (from, to) = (usize::from(more % 5), usize::from(more / 5 % 6));
        let more = if more < 128 || from > to { &[][..] } else { &cells[from..to] };
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        for format in [JsonFormat::Lines, JsonFormat::Document] {
            agree(&bodies, format, more);
        }
    }

    #[test]
    fn plain_rows_are_taken(rows in proptest::collection::vec(fitting(), 2..9)) {
        let stream = stream();
        let mut writer = Writer::new(stream, None);
        writer.begin(NOW, None);
        let mut none = |_: RefusedRow<'_>| panic!("a row that fits is refused");
        let mut receiver = Receiver::new(&mut writer, &[], &mut none);
        receive(rows[0].as_bytes(), JsonFormat::Document, &mut receiver);
        for row in &rows[1..] {
            // Only integers of more digits than are safe may go the other way.
            let long = row.split(|c: char| !c.is_ascii_digit()).any(|d| d.len() > 19);
            prop_assert!(long || fast::object(&mut writer, row, &[], true) == Some(row.len()), "{}", row);
        }
    }

    #[test]
    fn strings_end_at_their_quote(text in "[ -~é\\x01\\x1f\\x7f\u{80}\u{ff}]{0,40}", pad in 0usize..9) {
        let bytes = format!("{}{text}", " ".repeat(pad)).into_bytes();
        let stop = bytes.iter().skip(pad).position(|b| matches!(b, b'"' | b'\\' | 0..0x20));
        let expected = stop.map(|i| i + pad).filter(|i| bytes[*i] == b'"');
        prop_assert_eq!(scan::string_end(&bytes, pad), expected);
    }
}

#[test]
fn what_is_learnt_is_bounded_and_follows_the_columns() {
    let stream = stream();
    let mut writer = Writer::new(stream.clone(), None);
    let mut bodies = Vec::new();
    // A null without a column, then the column.
    for text in ["null", "null", "1", "null", "2"] {
        bodies.push(format!("{{\"ts\":1,\"price\":1.5,\"later\":{text}}}"));
    }
    let bodies: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
    agree(&bodies, JsonFormat::Document, &[]);
    let nulls = "\"later2\":null,".repeat(70_000);
    let null = "{\"ts\":1,\"price\":1,\"later2\":null}";
    let too_many = format!("{{{nulls}\"price\":1,\"ts\":1}}");
    agree(
        &[null.as_bytes(), null.as_bytes(), too_many.as_bytes()],
        JsonFormat::Document,
        &[],
    );
    let many: String = (0..20_000)
        .map(|i| format!("{{\"ts\":1,\"price\":1,\"{}{i}\":null}}\n", "n".repeat(100)))
        .collect();
    writer.begin(NOW, None);
    let mut none = |_: RefusedRow<'_>| panic!("a null is refused");
    let mut rows = Receiver::new(&mut writer, &[], &mut none);
    receive(many.as_bytes(), JsonFormat::Lines, &mut rows);
    assert_eq!(rows.accepted, 20_000);
    assert!(writer.fields.len() < 4_000, "{}", writer.fields.len());
}
