use super::{Kept, labels, payload};
use crate::dead_letter::MAX_PAYLOAD;
use crate::metric::rows::{Row, bits, replay};
use crate::metric::{Cell, Column};
use proptest::prelude::*;
use tsdb::types::DataType;

/// A value of a column, as it is written and as its row has it.
#[derive(Clone, Debug)]
struct Value(Column, u64, String);

impl Value {
    fn cell(&self) -> Cell<'_> {
        match self.0.data_type() {
            DataType::Float64 => Cell::F64(f64::from_bits(self.1)),
            DataType::Utf8 => Cell::Text(&self.2),
            _ => Cell::I64(self.1 as i64),
        }
    }

    fn stored(&self) -> String {
        match self.cell() {
            Cell::F64(v) => bits(v),
            Cell::I64(v) => v.to_string(),
            Cell::Text(v) => v.to_owned(),
        }
    }
}

fn any_bits() -> impl Strategy<Value = u64> {
    let special = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::MIN_POSITIVE / 4.0,
        f64::MAX,
        f64::from_bits(0x7ff0_0000_0000_0002),
        f64::from_bits(0xffff_ffff_ffff_ffff),
        f64::from_bits(i64::MIN as u64),
    ];
    let special = special.map(f64::to_bits).to_vec();
    prop_oneof![any::<u64>(), proptest::sample::select(special)]
}

fn any_values() -> impl Strategy<Value = Vec<Value>> {
    let columns = [
        Column::Value,
        Column::StartTime,
        Column::HistogramCount,
        Column::HistogramSchema,
        Column::HistogramBuckets,
        Column::SummaryQuantiles,
    ];
    let count = columns.len();
    let columns = proptest::sample::subsequence(columns.to_vec(), 1..=count);
    let parts = (
        columns,
        proptest::collection::vec((any_bits(), any::<String>()), count),
    );
    parts.prop_map(|(columns, values)| {
        let values = columns.into_iter().zip(values);
        values
            .map(|(c, (bits, text))| Value(c, bits, text))
            .collect()
    })
}

proptest! {
    #[test]
    fn any_point_is_read_back_bit_for_bit(
        tags in proptest::collection::btree_map("[a-c\"\\\\é\u{1}]{1,3}", "[ -~é\n]{1,9}", 0..5),
        time in prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)],
        values in any_values(),
    ) {
        let cells: Vec<(Column, Cell<'_>)> = values.iter().map(|v| (v.0, v.cell())).collect();
        let text = payload("m", Some(&labels(&tags)), &Kept::Row(time, &cells));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let fields = values.iter().map(|v| (v.0.name().to_owned(), v.stored())).collect();
        let wanted = Row { stream: "m".into(), time, tags, fields };
        prop_assert_eq!(replay("m", &text), Ok(vec![wanted]));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>(), from in "[{}\":,0-9a-zNI+.\\[\\]]{0,60}") {
        let _ = replay("m", &text);
        let _ = replay("m", &from);
    }
}

#[test]
fn what_is_no_point_says_why() {
    let bad = [
        // As they were before.
        (r#"up{job="a"} 2 -1"#, "in words"),
        (r#"{job="a"} 2 -1"#, "in words"),
        (r#"g{"k":"v"} 1.5 5"#, "in words"),
        ("{} ", "no point"),
        (r#"{"labels":{"job":"#, "cut"),
        (r#"{"cut":["{\"a\":","\"time\":5"]}"#, "too long"),
        (r#"{"labels":{},"shown":"no points"}"#, "no points"),
        (r#"{"time":5,"values":{"value":1}}"#, "labels"),
        (r#"{"labels":{},"values":{"value":1}}"#, "time"),
        (r#"{"labels":{},"time":5,"values":{}}"#, "no value"),
        (
            r#"{"labels":{},"time":1.5,"values":{"value":1}}"#,
            "no point",
        ),
        (
            r#"{"labels":{"a":"b","a":"b"},"time":5,"values":{"value":1}}"#,
            "duplicate label \"a\"",
        ),
        (
            r#"{"labels":{"":"b"},"time":5,"values":{"value":1}}"#,
            "no name",
        ),
        (
            r#"{"labels":{},"time":5,"values":{"value":1,"value":2}}"#,
            "twice",
        ),
        (
            r#"{"labels":{},"time":5,"values":{"help":"x"}}"#,
            "no value of a metric",
        ),
        (
            r#"{"labels":{},"time":5,"values":{"value":1e999}}"#,
            "1e999",
        ),
        (
            r#"{"labels":{},"time":5,"values":{"value":"NaN:1"}}"#,
            "NaN:1",
        ),
        (
            r#"{"labels":{},"time":5,"values":{"start_time":1.5}}"#,
            "start_time",
        ),
        (
            r#"{"labels":{},"time":5,"values":{"histogram.buckets":[1]}}"#,
            "buckets",
        ),
        (
            r#"{"labels":{},"time":5,"values":{"value":1},"more":1}"#,
            "more",
        ),
        ("[1]", "no point"),
    ];
    for (payload, why) in bad {
        let refused = replay("m", payload).unwrap_err();
        assert!(refused.contains(why), "{payload}: {refused}");
    }
    let whole = r#"{"labels":{},"time":5,"values":{"value":1}}"#;
    assert!(replay("", whole).unwrap_err().contains("no name"));
    assert_eq!(replay("m", whole).unwrap()[0].fields["value"], bits(1.0));
}

#[test]
fn what_is_too_long_shows_both_ends() {
    let long = "\"x".repeat(MAX_PAYLOAD);
    let values = [(Column::Value, Cell::F64(1.5))];
    for pairs in [vec![("a", &*long)], vec![("a", &long[..60_001]); 9]] {
        let text = payload("m", Some(&labels(pairs)), &Kept::Row(5, &values));
        assert!(text.len() <= MAX_PAYLOAD, "{}", text.len());
        assert!(text.contains(r#""value\":1.5"#) && text.contains(r#"{\"a\":\""#));
        assert!(replay("m", &text).unwrap_err().contains("too long"));
    }
    let buckets = [(Column::HistogramBuckets, Cell::Text(&long))];
    let text = payload("m", Some("{}"), &Kept::Row(5, &buckets));
    assert!(text.len() <= MAX_PAYLOAD && text.contains("histogram.buckets"));
    // What is usual fits, a label as long as one may be among it.
    let label = "x".repeat(60_000);
    let text = payload("m", Some(&labels([("a", &label)])), &Kept::Row(5, &values));
    assert_eq!(replay("m", &text).unwrap()[0].tags["a"], label);
}
