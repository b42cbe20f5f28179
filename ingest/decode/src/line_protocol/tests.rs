use super::*;
use crate::number;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tsdb::types::{Batch, DataType, Role, SeriesId};

/// A field's value, comparable.
#[derive(Clone, Debug, PartialEq)]
enum V {
    I(i64),
    U(u64),
    F(u64),
    B(bool),
    T(i64),
    S(String),
}

/// A row as anyone reads it, independent of ids and batches.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    measurement: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, V>,
    time: i64,
}

const NOW: i64 = 77;

fn batches(rows: Vec<Rows>) -> Vec<Batch> {
    let finish = |r| match r {
        Rows::Sealed(b) => b,
        Rows::Small(b) => b.finish().unwrap(),
    };
    rows.into_iter().map(finish).collect()
}

/// Reads decoded rows back: by stream, in order.
fn read(catalog: &Catalog, decoded: Decoded) -> Vec<Row> {
    let mut out = Vec::new();
    for batch in batches(decoded.rows) {
        let stream = catalog.stream_by_id(batch.stream).unwrap();
        let schema = stream.schema();
        for i in 0..batch.rows {
            let series = SeriesId(batch.series.i64_at(i) as u32);
            let tag = |c: &tsdb::types::ColumnDef| {
                Some((
                    c.name.clone(),
                    stream.series().tag_value(series, c.id)?.to_string(),
                ))
            };
            let field = |c: &tsdb::types::ColumnDef| {
                let column = batch.column(c.id).filter(|v| v.is_valid(i))?;
                let text = || String::from_utf8(column.str_at(i).to_vec()).unwrap();
                let v = match c.data_type {
                    DataType::Int64 => V::I(column.i64_at(i)),
                    DataType::UInt64 => V::U(column.i64_at(i) as u64),
                    DataType::Float64 => V::F(column.f64_at(i).to_bits()),
                    DataType::Bool => V::B(column.i64_at(i) == 1),
                    DataType::Timestamp => V::T(column.i64_at(i)),
                    DataType::Utf8 => V::S(text()),
                    DataType::Decimal { .. } => V::S(column.i128_at(i).to_string()),
                };
                Some((c.name.clone(), v))
            };
            out.push(Row {
                measurement: stream.name.clone(),
                tags: schema.tags().filter_map(tag).collect(),
                fields: schema
                    .columns
                    .iter()
                    .filter(|c| c.role == Role::Field)
                    .filter_map(field)
                    .collect(),
                time: batch.time.i64_at(i),
            });
        }
    }
    out
}

fn ctx(catalog: &Catalog) -> LineContext<'_> {
    LineContext {
        catalog,
        db: "default",
        precision: Precision::Nanos,
        now_ns: NOW,
    }
}

fn decode(catalog: &Catalog, body: &[u8]) -> Decoded {
    LineDecoder::new().decode(body, &ctx(catalog)).unwrap()
}

fn rows_of(body: &[u8]) -> (Vec<Row>, usize) {
    let catalog = Catalog::default();
    let decoded = decode(&catalog, body);
    let rejected = decoded.rejected;
    (read(&catalog, decoded), rejected)
}

fn reason(body: &str) -> LineReason {
    let catalog = Catalog::default();
    let decoded = decode(&catalog, body.as_bytes());
    assert_eq!((decoded.accepted, decoded.rejected), (0, 1), "{body:?}");
    assert!(
        catalog.streams().is_empty(),
        "a refused line makes no stream: {body:?}"
    );
    decoded.errors[0].reason.clone()
}

/// The slow second opinion on one line without newline: whole text first cut at plain blanks, then at plain commas,
/// then at plain equals signs.
mod naive {
    use super::{NOW, Row, V, number};

    /// Characters with whether they are plain: not escaped, not in a string.
    fn marked(text: &str, strings: bool) -> Vec<(char, bool)> {
        let chars: Vec<char> = text.chars().collect();
        let (mut out, mut quoted, mut i) = (Vec::new(), false, 0);
        while i < chars.len() {
            if quoted {
                if chars[i] == '\\' && i + 1 < chars.len() {
                    out.push((chars[i], false));
                    i += 1;
                } else if chars[i] == '"' {
                    quoted = false;
                }
                out.push((chars[i], false));
            } else if strings && chars[i] == '"' && i > 0 && out[i - 1] == ('=', true) {
                quoted = true;
                out.push((chars[i], false));
            } else {
                out.push((chars[i], i == 0 || chars[i - 1] != '\\'));
            }
            i += 1;
        }
        out
    }

    fn split(text: &[(char, bool)], at: char) -> Vec<Vec<(char, bool)>> {
        text.split(|c| *c == (at, true))
            .map(<[_]>::to_vec)
            .collect()
    }

    fn string(text: &[(char, bool)]) -> String {
        text.iter().map(|c| c.0).collect()
    }

    fn unescape(text: &str, special: &str) -> Option<String> {
        let mut text = text.to_string();
        for c in special.chars() {
            text = text.replace(&format!("\\{c}"), &c.to_string());
        }
        (!text.is_empty() && !text.contains('\0')).then_some(text)
    }

    fn value(text: &str) -> Option<V> {
        if let Some(inner) = text.strip_prefix('"') {
            let chars: Vec<char> = inner.chars().collect();
            let (mut out, mut i) = (String::new(), 0);
            loop {
                match chars.get(i)? {
                    '"' => return (i + 1 == chars.len()).then_some(V::S(out)),
                    '\\' if matches!(chars.get(i + 1), Some('"' | '\\')) => {
                        out.push(chars[i + 1]);
                        i += 2;
                    }
                    c => {
                        out.push(*c);
                        i += 1;
                    }
                }
            }
        }
        match text {
            "t" | "T" | "true" | "True" | "TRUE" => return Some(V::B(true)),
            "f" | "F" | "false" | "False" | "FALSE" => return Some(V::B(false)),
            _ if text.starts_with('+') => return None,
            _ => {}
        }
        let head: String = text
            .chars()
            .take(text.chars().count().saturating_sub(1))
            .collect();
        let signed = || head.parse::<i64>().ok().filter(|_| !head.starts_with('+'));
        match text.chars().last()? {
            'i' => signed().map(V::I),
            'u' => head.parse().ok().map(V::U),
            't' => signed()?.checked_mul(1000).map(V::T),
            'n' => signed().map(V::T),
            c if c.is_ascii_digit() || c == '.' => {
                number::parse_f64(text.as_bytes()).map(|v| V::F(v.to_bits()))
            }
            _ => None,
        }
    }

    /// A line without CR, newline and comment.
    pub fn line(text: &str) -> Option<Row> {
        let text = text.trim_matches([' ', '\t']);
        // The key has no strings: a quote there is a character like any other.
        let plain = marked(text, false);
        let blank = plain.iter().position(|c| *c == (' ', true))?;
        let (key, rest) = plain.split_at(blank);
        let mut parts = split(key, ',').into_iter();
        let measurement = unescape(&string(&parts.next()?), ", ")?;
        let mut tags = std::collections::BTreeMap::new();
        for part in parts {
            let sides = split(&part, '=');
            let [name, value] = sides.as_slice() else {
                return None;
            };
            let (name, value) = (
                unescape(&string(name), ",= ")?,
                unescape(&string(value), ",= ")?,
            );
            if name == "time" || tags.insert(name, value).is_some() {
                return None;
            }
        }
        let rest = string(rest);
        let rest = marked(rest.trim_matches([' ', '\t']), true);
        let end = rest
            .iter()
            .position(|c| *c == (' ', true) || *c == ('\t', true));
        let (fields_text, time) = rest.split_at(end.unwrap_or(rest.len()));
        let mut fields = std::collections::BTreeMap::new();
        for part in split(fields_text, ',') {
            let equals = part.iter().position(|c| *c == ('=', true))?;
            let name = unescape(&string(&part[..equals]), ",= ")?;
            if name == "time" || tags.contains_key(&name) {
                return None;
            }
            fields.insert(name, value(&string(&part[equals + 1..]))?);
        }
        let time = string(time);
        let time = match time.trim_matches([' ', '\t']) {
            "" => NOW,
            t if t.starts_with('+') => return None,
            t => t.parse().ok()?,
        };
        Some(Row {
            measurement,
            tags,
            fields,
            time,
        })
    }
}

fn escape(text: &str, special: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn render(row: &Row, blanks: usize, end: &str) -> String {
    let mut out = " ".repeat(blanks) + &escape(&row.measurement, ", ");
    for (k, v) in &row.tags {
        out += &format!(",{}={}", escape(k, ",= "), escape(v, ",= "));
    }
    out += &" ".repeat(blanks + 1);
    for (i, (k, v)) in row.fields.iter().enumerate() {
        let v = match v {
            V::I(v) => format!("{v}i"),
            V::U(v) => format!("{v}u"),
            V::F(v) => format!("{:?}", f64::from_bits(*v)),
            V::B(v) => v.to_string(),
            V::T(v) => format!("{v}n"),
            V::S(v) => format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"")),
        };
        out += &format!("{}{}={v}", if i > 0 { "," } else { "" }, escape(k, ",= "));
    }
    format!("{out} {}{end}", row.time)
}

/// Names that can be written: no backslash at the end, none before a special character, no comment sign in front.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-c]{1,3}", 1 => "[a-c][a-c ,=é\"#]{0,5}[a-z]", 1 => "[a-z]{30,40}"]
}

fn typed(i: usize) -> BoxedStrategy<V> {
    match i % 6 {
        0 => prop_oneof![any::<i64>(), -9i64..100].prop_map(V::I).boxed(),
        1 => any::<u64>().prop_map(V::U).boxed(),
        2 => prop_oneof![
            any::<f64>().prop_filter("finite", |v| v.is_finite()),
            -99.0..99.0
        ]
        .prop_map(|v| V::F(v.to_bits()))
        .boxed(),
        3 => any::<bool>().prop_map(V::B).boxed(),
        4 => any::<i64>().prop_map(V::T).boxed(),
        _ => "[a-z\\\\\", =\né]{0,8}".prop_map(V::S).boxed(),
    }
}

/// Rows whose fields are named after their type, so that rows never conflict.
fn row() -> impl Strategy<Value = Row> {
    let fields =
        proptest::collection::btree_map(0usize..14, any::<proptest::sample::Index>(), 1..6)
            .prop_flat_map(|m| {
                let each: Vec<_> = m
                    .keys()
                    .map(|i| {
                        typed(*i).prop_map({
                            let i = *i;
                            move |v| (format!("f {i}{}", "x".repeat(i * 3)), v)
                        })
                    })
                    .collect();
                each.prop_map(|v| v.into_iter().collect::<BTreeMap<_, _>>())
            });
    let tags = proptest::collection::btree_map(name(), name(), 0..4);
    (name(), tags, fields, any::<i64>()).prop_map(|(measurement, tags, fields, time)| Row {
        measurement,
        tags,
        fields,
        time,
    })
}

/// By measurement, in order: what the decoder promises to keep.
fn by_stream(rows: &[Row]) -> BTreeMap<String, Vec<Row>> {
    let mut out: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for r in rows {
        out.entry(r.measurement.clone())
            .or_default()
            .push(r.clone());
    }
    out
}

proptest! {
    #[test]
    fn what_was_rendered_is_read(
        distinct in proptest::collection::vec(row(), 1..12), picks in proptest::collection::vec(any::<proptest::sample::Index>(), 1..40),
        blanks in 0usize..2, crlf in any::<bool>(), noise in any::<bool>(), cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..5)
    ) {
        // Rows repeat, so that both ways through the decoder are taken.
        let rows: Vec<Row> = picks.iter().map(|p| p.get(&distinct).clone()).collect();
        let end = if crlf { "\r\n" } else { "\n" };
        let lines: Vec<String> = rows.iter().map(|r| {
            render(r, blanks, end) + if noise { "# a=1 \"comment\n\n \t\r\nbad line here\n" } else { "" }
        }).collect();
        let catalog = Catalog::default();
        let decoder = LineDecoder::new();
        let whole = decoder.decode(lines.concat().as_bytes(), &ctx(&catalog)).unwrap();
        prop_assert_eq!(whole.rejected, if noise { rows.len() } else { 0 }, "{:?}", whole.errors);
        prop_assert_eq!(by_stream(&read(&catalog, whole)), by_stream(&rows));
        // The same lines in any number of requests, to a decoder that has seen them all and to a new one.
        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(lines.len())).collect();
        at.extend([0, lines.len()]);
        at.sort_unstable();
        for decoder in [decoder, LineDecoder::new()] {
            let mut got = Vec::new();
            for w in at.windows(2) {
                got.extend(read(&catalog, decoder.decode(lines[w[0]..w[1]].concat().as_bytes(), &ctx(&catalog)).unwrap()));
            }
            prop_assert_eq!(by_stream(&got), by_stream(&rows));
        }
    }

    #[test]
    fn any_line_reads_as_the_naive_parser_has_it(
        head in "[ab]{1,2}(,[ab]=[ab\\\\ ]{1,2}){0,2}", tail in "[ab=1-9,\"\\\\ .itne+-]{0,14}", plain in "[a-b, =\\\\\"1it-]{0,16}"
    ) {
        let (a, b, c) = (format!("{head} {tail}"), format!("{head} a=1i{tail}"), plain);
        for text in [a.as_str(), b.as_str(), c.as_str()] {
            if text.trim_matches([' ', '\t']).is_empty() {
                continue;
            }
            let expected: Vec<Row> = naive::line(text).into_iter().collect();
            let (rows, rejected) = rows_of(text.as_bytes());
            prop_assert_eq!(&rows, &expected, "{:?}", text);
            prop_assert_eq!(rejected, 1 - expected.len(), "{:?}", text);
            if expected.is_empty() && text.contains('"') {
                continue; // An open string reaches into the next line, which then is another line.
            }
            // Again behind a line that has taught the key and the names, and in front of another.
            let catalog = Catalog::default();
            let decoder = LineDecoder::new();
            let _ = decoder.decode(text.as_bytes(), &ctx(&catalog)).unwrap();
            let warm = decoder.decode(format!("{text}\n{text}\n").as_bytes(), &ctx(&catalog)).unwrap();
            let twice: Vec<Row> = expected.iter().chain(&expected).cloned().collect();
            prop_assert_eq!(read(&catalog, warm), twice, "{:?}", text);
        }
    }

    #[test]
    fn bytes_of_any_kind_give_rows_or_errors(body in proptest::collection::vec(any::<u8>(), 0..200), line in "(m,t=a [a-c]=[0-9\"it.\\\\]{1,4}\\PC?\n?){0,9}") {
        let (rows, rejected) = rows_of(&body);
        prop_assert!(rows.len() + rejected <= body.len());
        for end in 0..=line.len() {
            let _ = rows_of(&line.as_bytes()[..end]);
        }
    }
}

#[test]
fn values_and_corners() {
    let one = |text: &str| {
        let (rows, rejected) = rows_of(text.as_bytes());
        assert_eq!((rows.len(), rejected), (1, 0), "{text:?}");
        rows[0].clone()
    };
    let field = |text: &str| one(&format!("m f={text}")).fields["f"].clone();
    assert_eq!(field("-9223372036854775808i"), V::I(i64::MIN));
    assert_eq!(field("18446744073709551615u"), V::U(u64::MAX));
    assert_eq!(field(".5"), V::F(0.5f64.to_bits()));
    assert_eq!(field("1."), V::F(1f64.to_bits()));
    assert_eq!(field("-1e-3"), V::F((-1e-3f64).to_bits()));
    assert_eq!(field("TRUE"), V::B(true));
    assert_eq!(field("f"), V::B(false));
    assert_eq!(field("1700000000000000t"), V::T(1_700_000_000_000_000_000));
    assert_eq!(
        field("\"two\nlines \\\"q\\\" c:\\\\d \\n\""),
        V::S("two\nlines \"q\" c:\\d \\n".into())
    );
    assert_eq!(one("m f=1i").time, NOW);
    assert_eq!(one("m f=1i -5").time, -5);
    assert_eq!(one("m \tf=1i\t5\t").time, 5);
    assert_eq!(one("m f=1i,f=2i").fields["f"], V::I(2));
    assert_eq!(one("m f=1i,f=\"s\"").fields["f"], V::S("s".into()));
    assert_eq!(one("m,b=1,a=2 f=1i").tags.len(), 2);
    assert_eq!(one("a\\ b\\,c,t\\=g=v\\ w f\\ 1=1i").measurement, "a b,c");
    for bad in [
        "NaN",
        "nan",
        "Inf",
        "-inf",
        "+1",
        "1.5i",
        "1e3i",
        "-1u",
        "9223372036854775808i",
        "1e999",
        "tru",
        "",
        "i",
        "\"a\"b",
        "0x1",
    ] {
        reason(&format!("m f={bad}"));
    }
    for bad in [
        "m",
        "m ",
        "m,t f=1",
        "m,t= f=1",
        "m,=a f=1",
        ",t=a f=1",
        "m f",
        "m =1",
        "m f=1,",
        "m f=1 x",
        "m f=1 1 1",
        "m,t=a=b f=1",
        "m,time=1 f=1",
        "m time=1",
        "m,a=1 a=2",
        "m f=1 99999999999999999999",
        "m\0 f=1",
        "m f=\"a",
        "m,t=a\\",
    ] {
        reason(bad);
    }
    assert_eq!(
        reason("m,t=a,t=b f=1"),
        LineReason::DuplicateTag("t".into())
    );
    assert_eq!(
        reason(&format!("{} f=1", "m".repeat(70_000))),
        LineReason::TooLong("measurement", 65_535)
    );
    let key = "k".repeat(65_535);
    assert_eq!(one(&format!("m {key}=1i")).fields[&key], V::I(1));
}

#[test]
fn errors_name_their_line_and_the_good_ones_stay() {
    let catalog = Catalog::default();
    let body = b"m f=1i\n# c\nm f=\"x\"\nm f=2i,s=\"a\nb\"\nm f=3\nm f=4i";
    let decoded = decode(&catalog, body);
    let lines: Vec<usize> = decoded.errors.iter().map(|e| e.line).collect();
    assert_eq!(
        (lines, decoded.accepted, decoded.rejected),
        (vec![3, 6], 3, 2)
    );
    assert_eq!(decoded.errors[0].text, "m f=\"x\"");
    assert!(
        matches!(&decoded.errors[1].reason, LineReason::TypeConflict { field, .. } if field == "f")
    );
    // A string that a bad line holds is never taken for a line, one that is not closed ends at its newline.
    let (rows, rejected) = rows_of(b"bad,t v=\"\nm f=9i\n\"\nm f=\"open\nm f=1i");
    assert_eq!((rows.len(), rejected), (1, 2));
    assert_eq!(rows[0].fields["f"], V::I(1));
}

#[test]
fn times_scale_by_precision_and_must_fit() {
    let catalog = Catalog::default();
    let at = |precision, body: &str| {
        let d = LineDecoder::new().decode(
            body.as_bytes(),
            &LineContext {
                precision,
                ..ctx(&catalog)
            },
        );
        let d = d.unwrap();
        (
            d.errors.first().map(|e| e.reason.clone()),
            read(&catalog, d).first().map(|r| r.time),
        )
    };
    assert_eq!(at(Precision::Seconds, "m f=1 5\n").1, Some(5_000_000_000));
    assert_eq!(
        at(Precision::Hours, "m f=1 -1\n").1,
        Some(-3_600_000_000_000)
    );
    let wrong = at(Precision::Seconds, "m f=1 1700000000000000000\n");
    assert_eq!(
        wrong.0,
        Some(LineReason::TimeRange(1_700_000_000_000_000_000))
    );
    assert_eq!(
        at(Precision::Nanos, "m f=1 -9223372036854775808\n").1,
        Some(i64::MIN)
    );
}

#[test]
fn a_dropped_stream_is_left_and_new_columns_are_seen() {
    let catalog = Catalog::default();
    let decoder = LineDecoder::new();
    let send = |body: &str| {
        read(
            &catalog,
            decoder.decode(body.as_bytes(), &ctx(&catalog)).unwrap(),
        )
    };
    assert_eq!(send("m,t=a f=1i\nm,t=a f=2i\n").len(), 2);
    let old = catalog.stream("default", "m").unwrap().id;
    catalog.drop_stream("default", "m").unwrap();
    // `read` panics on rows of a stream that is gone.
    assert_eq!(
        send("m,t=a f=1.5\nm,t=a f=2.5\n")[1].fields["f"],
        V::F(2.5f64.to_bits())
    );
    assert_ne!(catalog.stream("default", "m").unwrap().id, old);
    // A column that another writer adds, of another type than this line has.
    catalog
        .stream("default", "m")
        .unwrap()
        .ensure_columns(&[("g", DataType::Utf8, Role::Field)])
        .unwrap();
    let d = decoder
        .decode(b"m,t=a g=1i\nm,t=a g=\"x\"\n", &ctx(&catalog))
        .unwrap();
    assert_eq!((d.accepted, d.rejected), (1, 1));
}

#[test]
fn a_declared_stream_takes_tags_as_string_fields_and_numbers_as_decimals() {
    let catalog = Catalog::default();
    let columns = vec![
        ("at".into(), DataType::Timestamp, Role::Time),
        ("city".into(), DataType::Utf8, Role::Field),
        (
            "amount".into(),
            DataType::Decimal {
                precision: 10,
                scale: 2,
            },
            Role::Field,
        ),
    ];
    let def = tsdb::StreamDef {
        columns,
        ..Default::default()
    };
    catalog.create_stream("default", "p", &def).unwrap();
    let rows = read(
        &catalog,
        decode(
            &catalog,
            b"p,city=Oslo amount=0.1 5\np,city=Oslo amount=7i 6\n",
        ),
    );
    assert_eq!(rows[1].fields["city"], V::S("Oslo".into()));
    assert_eq!(
        rows.iter()
            .map(|r| r.fields["amount"].clone())
            .collect::<Vec<_>>(),
        [V::S("10".into()), V::S("700".into())]
    );
    let d = decode(&catalog, b"p amount=99999999999\np at=1\n");
    assert_eq!(d.rejected, 2);
}

#[test]
fn hostile_bodies_end_in_errors() {
    let many_tags: String = (0..10_000).map(|i| format!(",t{i}=v")).collect();
    assert_eq!(
        reason(&format!("m{many_tags} f=1")),
        LineReason::TooMany("tags", line::MAX_PARTS)
    );
    let huge = [b"m f=\"".as_slice(), &vec![b'x'; 100 << 20]].concat();
    assert_eq!(rows_of(&huge).1, 1);
    // Quotes that open and never close cost one look each, not one scan of the rest each.
    let opens = "m f=\"\n".repeat(200_001);
    let (rows, rejected) = rows_of(opens.as_bytes());
    assert!(rows.len() + rejected > 100_000);
    assert_eq!(rows_of(b"").1 + rows_of(b"\n\n\r\n#").1, 0);
    let (rows, rejected) =
        rows_of(b"m f=1i\n\xff\xfe f=1\nm,t=\xff f=1\nm f=\"\xff\"\n\0\nm f=2i\n");
    assert_eq!((rows.len(), rejected), (2, 4));
    assert_eq!(
        decode(&Catalog::default(), &b"x\n".repeat(1000))
            .errors
            .len(),
        MAX_ERRORS
    );
}

#[test]
fn a_million_series_and_many_batches() {
    let catalog = Catalog::default();
    let body: String = (0..150_000)
        .map(|i| format!("m,id={i} f={i}i {i}\n"))
        .collect();
    let decoded = decode(&catalog, body.as_bytes());
    assert_eq!(decoded.accepted, 150_000);
    assert!(decoded.rows.len() >= 3, "batches are bounded");
    let rows = read(&catalog, decoded);
    assert!(
        rows.iter()
            .enumerate()
            .all(|(i, r)| r.fields["f"] == V::I(i as i64) && r.tags["id"] == i.to_string())
    );
}

#[test]
fn a_stream_of_many_columns() {
    let catalog = Catalog::default();
    let wide = |from: usize| {
        (from..from + 3_000)
            .map(|i| format!("f{i}={i}i"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let body = format!(
        "m,t=a {a}\nm,t=b {a}\nm {b}\nm g=1i\n",
        a = wide(0),
        b = wide(3_000)
    );
    let decoded = decode(&catalog, body.as_bytes());
    assert_eq!((decoded.accepted, decoded.rejected), (3, 1));
    assert_eq!(
        decoded.errors[0].reason,
        LineReason::TooMany("columns", 4_096)
    );
    let rows = read(&catalog, decoded);
    assert_eq!(rows[1].fields["f2999"], V::I(2999));
    assert_eq!((rows[1].fields.len(), rows[2].fields.len()), (3_000, 1));
}

/// Lines with one field each, of so many names in turn.
fn one_name_a_line(measurements: usize, names: usize, lines: usize) -> String {
    (0..lines)
        .map(|i| format!("m{} a{}=1\n", i % measurements, i / measurements % names))
        .collect()
}

#[test]
fn many_names_are_sealed_in_small_batches_and_refused_when_they_are_too_much() {
    for measurements in [1, 50] {
        let catalog = Catalog::default();
        let decoder = LineDecoder::new();
        // A column that comes late is as long as the rows before it.
        let few = "m0 first=1\n".repeat(60_000);
        let body = few.clone() + &one_name_a_line(measurements, 3_000, 6_000);
        let mut rows = Vec::new();
        for _ in 0..2 {
            let d = decoder.decode(body.as_bytes(), &ctx(&catalog)).unwrap();
            assert_eq!((d.accepted, d.rejected), (66_000, 0));
            for r in &d.rows {
                let bytes = match r {
                    Rows::Sealed(b) => b.byte_len(),
                    Rows::Small(b) => b.byte_len(),
                };
                assert!(bytes <= 40 << 20, "{bytes} bytes in one batch");
            }
            // Batches are sealed in another order once the columns are known.
            let mut read = read(&catalog, d);
            read.sort_by_cached_key(|r| format!("{r:?}"));
            rows.push(read);
        }
        assert_eq!(rows[0], rows[1]);
        let sum: usize = rows[0].iter().map(|r| r.fields.len()).sum();
        assert_eq!(sum, 66_000);

        let body = one_name_a_line(measurements, 4_000, 150_000);
        assert!(body.len() < 2 << 20);
        let (catalog, decoder) = (Catalog::default(), LineDecoder::new());
        let refused = decoder.decode(body.as_bytes(), &ctx(&catalog));
        if measurements == 1 {
            let error = refused.err().unwrap();
            assert_eq!((error.status, error.code), (413, "rows_too_large"));
        } else {
            // Spread over streams the same lines are narrow.
            assert_eq!(refused.unwrap().accepted, 150_000);
        }
        // What was refused is not there when the next request comes.
        let d = decoder.decode(b"m0 a1=2\n", &ctx(&catalog)).unwrap();
        assert_eq!(read(&catalog, d).len(), 1);
    }
}

#[test]
fn lines_older_than_the_retention_become_dead_letters_on_both_ways() {
    const HOUR: i64 = 3_600_000_000_000;
    let now = 10 * HOUR;
    let catalog = Catalog::default();
    let mut def = tsdb::catalog::line_protocol_stream();
    def.options.retention_ns = Some(HOUR);
    catalog.create_stream("db", "m", &def).unwrap();
    let ctx = LineContext {
        catalog: &catalog,
        db: "db",
        precision: Precision::Nanos,
        now_ns: now,
    };
    let decoder = LineDecoder::new();
    let (old, edge) = (8 * HOUR, 9 * HOUR);
    // The second body meets the fast way: it knows the lines of the first.
    for _ in 0..2 {
        let body = format!("m,h=a v=1i {edge}\nm,h=a v=2i {old}\nm,h=b v=3i\n");
        let decoded = decoder.decode(body.as_bytes(), &ctx).unwrap();
        assert_eq!((decoded.accepted, decoded.rejected), (2, 1));
        assert_eq!(decoded.errors[0].line, 2);
        assert_eq!(
            decoded.errors[0].reason,
            LineReason::TooOld(TooOld::Expired)
        );
        let letters = refused_lines(body.as_bytes(), &decoded, &ctx);
        let letters = batches(letters);
        assert_eq!((letters.len(), letters[0].rows), (1, 1));
        let stream = catalog.stream("db", crate::dead_letter::STREAM).unwrap();
        let payload = stream.schema().column("payload").unwrap().id;
        let kept = letters[0].column(payload).unwrap().str_at(0).to_vec();
        assert_eq!(kept, format!("m,h=a v=2i {old}").into_bytes());
    }
}
