use super::Version;
use super::messages::*;
use crate::admission::Rejection;
use crate::metric::rows::{Row, bits, read, replay, replay_all, samples, sifted};
use crate::metric::{DecodedMetrics, EXEMPLARS, METADATA, MetricContext, MetricDecoder};
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;
use tsdb::Catalog;

const NOW: i64 = 77;
/// Prometheus' mark of a series that ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;

fn run(
    decoder: &MetricDecoder,
    catalog: &Catalog,
    body: &[u8],
    version: Version,
) -> Result<DecodedMetrics, Rejection> {
    let ctx = MetricContext {
        catalog,
        db: "default",
        now_ns: NOW,
        source: "remote_write",
    };
    decoder.remote_write(body, version, &ctx)
}

/// Decodes into a catalog of its own.
fn once(body: &[u8], version: Version) -> (Catalog, DecodedMetrics) {
    let catalog = Catalog::default();
    let decoded = run(&MetricDecoder::new(), &catalog, body, version).unwrap();
    (catalog, decoded)
}

fn label(name: &str, value: &str) -> Label {
    Label {
        name: name.into(),
        value: value.into(),
    }
}

fn sample(value: f64, timestamp: i64) -> Sample {
    Sample {
        value,
        timestamp,
        start_timestamp: 0,
    }
}

fn series(labels: &[(&str, &str)], samples: Vec<Sample>) -> TimeSeries {
    TimeSeries {
        labels: labels.iter().map(|(n, v)| label(n, v)).collect(),
        samples,
        ..TimeSeries::default()
    }
}

fn v1(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    WriteRequest {
        timeseries,
        metadata: Vec::new(),
    }
    .encode_to_vec()
}

/// The same request in version 2.
fn to_v2(request: &WriteRequest) -> v2::Request {
    let mut symbols = vec![String::new()];
    let mut of = |text: &str| match symbols.iter().position(|s| s == text) {
        Some(i) => i as u32,
        None => {
            symbols.push(text.into());
            symbols.len() as u32 - 1
        }
    };
    let mut refs = |labels: &[Label]| -> Vec<u32> {
        labels
            .iter()
            .flat_map(|l| [of(&l.name), of(&l.value)])
            .collect()
    };
    let timeseries = request.timeseries.iter().map(|s| v2::TimeSeries {
        labels_refs: refs(&s.labels),
        samples: s.samples.clone(),
        histograms: s.histograms.clone(),
        exemplars: s
            .exemplars
            .iter()
            .map(|e| v2::Exemplar {
                labels_refs: refs(&e.labels),
                value: e.value,
                timestamp: e.timestamp,
            })
            .collect(),
        metadata: None,
        created_timestamp: 0,
    });
    let timeseries = timeseries.collect();
    v2::Request {
        symbols,
        timeseries,
    }
}

/// What the samples of a request must become.
fn expected(request: &WriteRequest) -> Vec<Row> {
    let mut rows = Vec::new();
    for s in &request.timeseries {
        let mut tags = BTreeMap::new();
        let there = s.labels.iter().filter(|l| !l.value.is_empty());
        let names: Vec<&str> = there.map(|l| l.name.as_str()).collect();
        for l in s
            .labels
            .iter()
            .filter(|l| l.name != "__name__" && !l.value.is_empty())
        {
            let mut name = l.name.clone();
            while ["time", "value", "start_time"].contains(&name.as_str())
                || (name != l.name && names.contains(&name.as_str()))
            {
                name.insert_str(0, "exported_");
            }
            tags.insert(name, l.value.clone());
        }
        let metric = s.labels.iter().find(|l| l.name == "__name__").unwrap();
        for sample in &s.samples {
            rows.push(Row {
                stream: metric.value.clone(),
                time: sample.timestamp * 1_000_000,
                tags: tags.clone(),
                fields: BTreeMap::from([("value".into(), bits(sample.value))]),
            });
        }
    }
    rows.sort();
    rows
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let value = prop_oneof![any::<u64>(), Just(STALE), Just(1.5f64.to_bits())];
    (value, -4_000_000_000i64..4_000_000_000_000)
        .prop_map(|(bits, t)| sample(f64::from_bits(bits), t))
}

fn any_series() -> impl Strategy<Value = TimeSeries> {
    let names = proptest::sample::subsequence(
        vec![
            "Z",
            "exported_value",
            "job",
            "le",
            "start_time",
            "time",
            "value",
            "é",
        ],
        0..8,
    );
    let name = prop_oneof![Just("up"), Just("http_requests_total"), Just("a.b/c")];
    let value = "[a-c]{0,2}";
    (
        name,
        names,
        proptest::collection::vec(value, 8),
        proptest::collection::vec(any_sample(), 1..4),
    )
        .prop_map(|(metric, names, values, samples)| {
            let mut labels: Vec<Label> = names
                .iter()
                .zip(values)
                .map(|(n, v)| label(n, &v))
                .collect();
            labels.push(label("__name__", metric));
            labels.sort_by(|a, b| a.name.cmp(&b.name));
            TimeSeries {
                labels,
                samples,
                ..TimeSeries::default()
            }
        })
}

fn any_request() -> impl Strategy<Value = WriteRequest> {
    proptest::collection::vec(any_series(), 0..12).prop_map(|timeseries| WriteRequest {
        timeseries,
        metadata: Vec::new(),
    })
}

proptest! {
    #[test]
    fn what_a_reference_encoder_writes_is_read(request in any_request()) {
        let wanted = expected(&request);
        let bodies = [
            (request.encode_to_vec(), Version::V1),
            (to_v2(&request).encode_to_vec(), Version::V2),
        ];
        for (body, version) in bodies {
            let (catalog, decoder) = (Catalog::default(), MetricDecoder::new());
            // The second time every series is known.
            for _ in 0..2 {
                let decoded = run(&decoder, &catalog, &body, version).unwrap();
                prop_assert_eq!((decoded.samples, decoded.rejected), (wanted.len(), 0));
                prop_assert_eq!(samples(read(&catalog, decoded)), wanted.clone());
            }
        }
    }

    #[test]
    fn damage_is_an_error_or_other_samples(request in any_request(), at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let bodies = [
            (request.encode_to_vec(), Version::V1),
            (to_v2(&request).encode_to_vec(), Version::V2),
        ];
        for (mut body, version) in bodies {
            if body.is_empty() {
                continue;
            }
            for end in 0..body.len().min(300) {
                let _ = run(&MetricDecoder::new(), &Catalog::default(), &body[..end], version);
            }
            let at = at.index(body.len());
            body[at] = to;
            let (catalog, decoder) = (Catalog::default(), MetricDecoder::new());
            let cold = run(&decoder, &catalog, &body, version).map(|d| samples(read(&catalog, d)));
            let warm = run(&decoder, &catalog, &body, version).map(|d| samples(read(&catalog, d)));
            prop_assert_eq!(cold, warm, "what was learnt changes nothing");
        }
    }

    #[test]
    fn any_bytes_are_no_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for version in [Version::V1, Version::V2] {
            let _ = run(&MetricDecoder::new(), &Catalog::default(), &body, version);
        }
    }
}

#[test]
fn a_bad_series_is_refused_and_the_others_are_kept() {
    let good = series(&[("__name__", "up"), ("job", "a")], vec![sample(1.0, 1)]);
    let long = "x".repeat(70_000);
    let bad: [(&[(&str, &str)], &str); 9] = [
        (&[("job", "a"), ("__name__", "up")], "sorted"),
        (
            &[("__name__", "up"), ("job", "a"), ("job", "b")],
            "duplicate label \"job\"",
        ),
        (&[("job", "a")], "__name__ is missing"),
        (&[("__name__", ""), ("job", "a")], "__name__ is missing"),
        (&[], "__name__ is missing"),
        (&[("", "x"), ("__name__", "up")], "no name"),
        (&[("__name__", "a\0b")], "NUL"),
        (&[("__name__", "up"), ("job", &long)], "65535"),
        (&[("__name__", "metric_taken"), ("job", "a")], "value"),
    ];
    for (labels, why) in bad {
        let poison = series(labels, vec![sample(2.0, 2), sample(3.0, 3)]);
        let request = WriteRequest {
            timeseries: vec![good.clone(), poison, good.clone()],
            metadata: Vec::new(),
        };
        let bodies = [
            (request.encode_to_vec(), Version::V1),
            (to_v2(&request).encode_to_vec(), Version::V2),
        ];
        for (body, version) in bodies {
            let catalog = Catalog::default();
            let taken = tsdb::StreamDef {
                columns: vec![
                    ("time".into(), tsdb::DataType::Timestamp, tsdb::Role::Time),
                    ("value".into(), tsdb::DataType::Int64, tsdb::Role::Field),
                ],
                ..tsdb::StreamDef::default()
            };
            catalog
                .create_stream("default", "metric_taken", &taken)
                .unwrap();
            let decoded = run(&MetricDecoder::new(), &catalog, &body, version).unwrap();
            assert_eq!((decoded.samples, decoded.rejected), (2, 2), "{why}");
            assert!(
                decoded.errors[0].contains(why),
                "{why}: {:?}",
                decoded.errors
            );
            assert!(
                decoded.errors[0].starts_with("series 2 "),
                "{:?}",
                decoded.errors
            );
            let rows = read(&catalog, decoded);
            let letter = rows.iter().find(|r| r.stream == "dead_letters").unwrap();
            assert_eq!(letter.fields["position"], "series 2");
            assert_eq!(letter.tags["source"], "remote_write");
            assert!(letter.fields["reason"].contains(why));
        }
    }
}

#[test]
fn a_damaged_message_spoils_its_request_alone() {
    let good = series(&[("__name__", "up"), ("job", "a")], vec![sample(1.0, 1)]);
    let whole = v1(vec![good.clone(), good]);
    let half = whole.len() / 2;
    let mut lies = whole.clone();
    lies[half + 1] += 1;
    let mut not_text = whole.clone();
    let at = not_text.windows(2).position(|w| w == b"up").unwrap();
    not_text[at] = 0xff;
    let mut wrong_type = whole.clone();
    wrong_type[half] = 0x08;
    for body in [
        &lies,
        &not_text,
        &wrong_type,
        &whole[..whole.len() - 1].to_vec(),
    ] {
        let (catalog, decoder) = (Catalog::default(), MetricDecoder::new());
        let refused = run(&decoder, &catalog, body, Version::V1).map(|d| d.samples);
        assert_eq!(refused.unwrap_err().status, 400);
        // Nothing of it is left for the next one.
        let next = run(&decoder, &catalog, &whole, Version::V1).unwrap();
        assert_eq!(samples(read(&catalog, next)).len(), 2);
    }
}

#[test]
fn labels_may_stand_anywhere_in_a_series() {
    let s = series(&[("__name__", "up"), ("job", "a")], vec![sample(1.0, 1)]);
    let strewn = [
        s.samples[0].encode_to_vec(),
        s.labels[0].encode_to_vec(),
        s.labels[1].encode_to_vec(),
    ];
    let mut inner = Vec::new();
    for (tag, part) in [0x12, 0x0a, 0x0a].into_iter().zip(strewn) {
        inner.extend_from_slice(&[tag, part.len() as u8]);
        inner.extend_from_slice(&part);
    }
    let mut body = vec![0x0a, inner.len() as u8];
    body.extend_from_slice(&inner);
    let (catalog, decoded) = once(&body, Version::V1);
    let rows = read(&catalog, decoded);
    assert_eq!((rows.len(), rows[0].tags["job"].as_str()), (1, "a"));
}

/// A catalog where samples of a metric are refused: `column` is there for something else.
fn taken(metric: &str, column: &str) -> Catalog {
    let catalog = Catalog::default();
    let def = tsdb::StreamDef {
        columns: vec![
            ("time".into(), tsdb::DataType::Timestamp, tsdb::Role::Time),
            (column.into(), tsdb::DataType::Int64, tsdb::Role::Field),
        ],
        ..tsdb::StreamDef::default()
    };
    catalog.create_stream("default", metric, &def).unwrap();
    catalog
}

proptest! {
    /// Whether a sample is refused when it is decoded or behind, its letter gives the row that it would have been.
    #[test]
    fn a_letter_is_replayed_as_the_row_it_was(s in any_series(), start in 0i64..3) {
        let metric = s.labels.iter().find(|l| l.name == "__name__").unwrap().value.clone();
        let mut s = s;
        s.samples.iter_mut().for_each(|s| s.start_timestamp = start);
        let request = WriteRequest { timeseries: vec![s], metadata: Vec::new() };
        for (body, version) in [
            (request.encode_to_vec(), Version::V1),
            (to_v2(&request).encode_to_vec(), Version::V2),
        ] {
            let (catalog, decoded) = once(&body, version);
            let letters = sifted(&catalog, &decoded.rows);
            let wanted = samples(read(&catalog, decoded));
            prop_assert_eq!(replay_all(&letters), wanted.clone());
            let catalog = taken(&metric, "value");
            let decoded = run(&MetricDecoder::new(), &catalog, &body, version).unwrap();
            prop_assert_eq!((decoded.samples, decoded.rejected), (0, wanted.len()));
            prop_assert_eq!(replay_all(&read(&catalog, decoded)), wanted);
        }
    }
}

#[test]
fn each_point_of_a_refused_series_is_a_letter() {
    let exemplar = Exemplar {
        labels: vec![label("trace_id", "a\"b")],
        value: f64::from_bits(STALE),
        timestamp: 4,
    };
    let bad = Histogram {
        positive_deltas: Vec::new(),
        ..histogram()
    };
    let mut s = series(
        &[("__name__", "up"), ("empty", ""), ("job", "a")],
        (1..4).map(|i| sample(f64::from(i), i.into())).collect(),
    );
    s.samples.push(sample(4.0, i64::MAX));
    (s.histograms, s.exemplars) = (vec![histogram(), bad], vec![exemplar]);
    let mut request = WriteRequest {
        timeseries: vec![s],
        metadata: Vec::new(),
    };
    for version in [Version::V1, Version::V2] {
        let body = |request: &WriteRequest| match version {
            Version::V1 => request.encode_to_vec(),
            Version::V2 => to_v2(request).encode_to_vec(),
        };
        let catalog = taken("up", "job");
        let decoder = MetricDecoder::new();
        let decoded = run(&decoder, &catalog, &body(&request), version).unwrap();
        assert_eq!(decoded.rejected, 7);
        let letters = read(&catalog, decoded);
        assert_eq!(letters.len(), 7);
        assert!(
            letters
                .iter()
                .all(|l| l.fields["reason"].contains("\"job\""))
        );
        // Two that could not be rows anyway say so, the others are what they would have been.
        let of = |l: &Row| (l.tags["stream"].clone(), l.fields["payload"].clone());
        let (good, lost): (Vec<Row>, Vec<Row>) = letters.into_iter().partition(|l| {
            let (metric, payload) = of(l);
            replay(&metric, &payload).is_ok()
        });
        let whys: Vec<String> = lost
            .iter()
            .map(of)
            .map(|(m, p)| replay(&m, &p).unwrap_err())
            .collect();
        assert_eq!(whys.len(), 2);
        assert!(
            whys.iter()
                .any(|w| w.contains("value 4.0 at 9223372036854775807 ms")),
            "{whys:?}"
        );
        assert!(
            whys.iter()
                .any(|w| w.contains("histogram of 10.0 with sum 2.5")),
            "{whys:?}"
        );
        let (fresh, decoded) = once(&body(&request), version);
        assert_eq!(
            (decoded.samples, decoded.histograms, decoded.exemplars),
            (3, 1, 1)
        );
        let mut wanted = read(&fresh, decoded);
        wanted.retain(|r| r.stream != "dead_letters");
        wanted.sort();
        assert_eq!(replay_all(&good), wanted);
        // As long as the column is what it is, they are refused.
        let ctx = MetricContext {
            catalog: &catalog,
            db: "default",
            now_ns: NOW,
            source: "remote_write",
        };
        for letter in &good {
            let again = decoder.letter("up", &letter.fields["payload"], &ctx);
            assert!(again.unwrap_err().contains("\"job\""));
        }
    }
    // Labels that come twice stay so, the metric's name among them.
    for name in ["__name__", "job"] {
        request.timeseries[0].labels =
            vec![label("__name__", "up"), label("job", "a"), label(name, "b")];
        request.timeseries[0]
            .labels
            .sort_by(|a, b| a.name.cmp(&b.name));
        let (catalog, decoded) = once(&request.encode_to_vec(), Version::V1);
        assert_eq!(decoded.rejected, 7);
        for letter in read(&catalog, decoded) {
            let why = replay(&letter.tags["stream"], &letter.fields["payload"]).unwrap_err();
            assert!(
                why.contains("duplicate label") || why.contains("could not be read"),
                "{why}"
            );
        }
    }
}

#[test]
fn what_letters_of_a_series_repeat_is_bounded() {
    let long = "x".repeat(4 << 20);
    let samples = vec![sample(1.5, 1); 30_000];
    let labels = [
        ("__name__", "up"),
        (long.as_str(), "a"),
        (long.as_str(), "b"),
    ];
    let decoded = once(&v1(vec![series(&labels, samples)]), Version::V1);
    assert_eq!(decoded.1.rejected, 30_000);
    let letters = read(&decoded.0, decoded.1);
    let kept = |l: &Row| l.fields["payload"].len() + l.fields["reason"].len();
    assert!(letters.len() > 100 && letters.iter().map(kept).sum::<usize>() < 17 << 20);
    assert!(letters[0].fields["payload"].contains(r#"\"value\":1.5"#));
}

#[test]
fn what_is_sifted_is_written_again_as_it_was() {
    let exemplar = Exemplar {
        labels: vec![label("trace_id", "a"), label("b", "")],
        value: 0.5,
        timestamp: 4,
    };
    let mut s = series(
        &[
            ("__name__", "h"),
            ("empty", ""),
            ("kind", "k"),
            ("value", "v"),
        ],
        vec![sample(1.0, 1)],
    );
    (s.histograms, s.exemplars) = (vec![histogram()], vec![exemplar]);
    let long = series(&[("__name__", &"é".repeat(400))], vec![sample(1.0, 1)]);
    let request = WriteRequest {
        timeseries: vec![s, long],
        metadata: vec![MetricMetadata {
            kind: 1,
            metric_family_name: "h".into(),
            help: "Help.".into(),
            unit: String::new(),
        }],
    };
    // A label that is a text field is one again.
    let catalog = Catalog::default();
    let declared = tsdb::StreamDef {
        columns: vec![
            ("time".into(), tsdb::DataType::Timestamp, tsdb::Role::Time),
            ("kind".into(), tsdb::DataType::Utf8, tsdb::Role::Field),
        ],
        ..tsdb::StreamDef::default()
    };
    catalog.create_stream("default", "h", &declared).unwrap();
    let decoder = MetricDecoder::new();
    let decoded = run(&decoder, &catalog, &request.encode_to_vec(), Version::V1).unwrap();
    let letters = sifted(&catalog, &decoded.rows);
    let mut wanted = read(&catalog, decoded);
    wanted.sort();
    assert_eq!((letters.len(), wanted.len()), (5, 5));
    assert!(
        letters
            .iter()
            .all(|l| l.fields["position"].starts_with("row "))
    );
    let ctx = MetricContext {
        catalog: &catalog,
        db: "default",
        now_ns: NOW,
        source: "remote_write",
    };
    let mut rows = Vec::new();
    for l in &letters {
        rows.extend(
            decoder
                .letter(&l.tags["stream"], &l.fields["payload"], &ctx)
                .unwrap(),
        );
    }
    let decoded = DecodedMetrics {
        rows,
        ..DecodedMetrics::default()
    };
    let mut replayed = read(&catalog, decoded);
    replayed.sort();
    assert_eq!(replayed, wanted);
    assert!(sifted(&catalog, &[]).is_empty());
}

#[test]
fn times_out_of_range_and_before_retention_are_refused() {
    let catalog = Catalog::default();
    let mut def = tsdb::catalog::line_protocol_stream();
    def.options.retention_ns = Some(5);
    catalog.create_stream("default", "up", &def).unwrap();
    let samples = vec![sample(1.0, i64::MAX), sample(2.0, -1), sample(3.0, 1)];
    let body = v1(vec![series(&[("__name__", "up")], samples)]);
    let decoded = run(&MetricDecoder::new(), &catalog, &body, Version::V1).unwrap();
    assert_eq!((decoded.samples, decoded.rejected), (1, 2));
    let rows = read(&catalog, decoded);
    let reasons: Vec<&str> = rows
        .iter()
        .filter_map(|r| r.fields.get("reason"))
        .map(String::as_str)
        .collect();
    assert!(
        reasons[0].contains("out of range") && reasons[1].contains("retention"),
        "{reasons:?}"
    );
    assert!(rows.iter().any(|r| {
        r.fields
            .get("payload")
            .is_some_and(|p| p == r#"{"labels":{},"time":-1000000,"values":{"value":2.0}}"#)
    }));
}

fn histogram() -> Histogram {
    Histogram {
        count: Some(Count::Int(10)),
        sum: 2.5,
        schema: -1,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::Int(1)),
        negative_spans: vec![BucketSpan {
            offset: 2,
            length: 1,
        }],
        negative_deltas: vec![4],
        positive_spans: vec![
            BucketSpan {
                offset: -1,
                length: 2,
            },
            BucketSpan {
                offset: 3,
                length: 1,
            },
        ],
        positive_deltas: vec![2, -1, 1],
        reset_hint: 3,
        timestamp: 9,
        start_timestamp: 4,
        ..Histogram::default()
    }
}

#[test]
fn native_histograms_are_rows_with_their_buckets() {
    let with = |histograms: Vec<Histogram>| WriteRequest {
        timeseries: vec![TimeSeries {
            labels: vec![label("__name__", "h"), label("job", "a")],
            histograms,
            ..TimeSeries::default()
        }],
        metadata: Vec::new(),
    };
    let floats = Histogram {
        count: Some(Count::Float(1.5)),
        zero_count: Some(ZeroCount::Float(0.5)),
        sum: f64::from_bits(STALE),
        schema: -53,
        negative_spans: Vec::new(),
        negative_deltas: Vec::new(),
        positive_deltas: Vec::new(),
        positive_counts: vec![0.25, 0.0, 0.75],
        custom_values: vec![0.5, f64::INFINITY],
        reset_hint: 0,
        timestamp: 10,
        start_timestamp: 0,
        ..histogram()
    };
    let request = with(vec![histogram(), floats]);
    for (body, version) in [
        (request.encode_to_vec(), Version::V1),
        (to_v2(&request).encode_to_vec(), Version::V2),
    ] {
        let (catalog, decoded) = once(&body, version);
        assert_eq!(
            (decoded.histograms, decoded.samples, decoded.rejected),
            (2, 0, 0)
        );
        let rows = read(&catalog, decoded);
        let want = |i: usize, name: &str, value: &str| {
            assert_eq!(
                rows[i].fields.get(name).map(String::as_str),
                Some(value),
                "{name}"
            );
        };
        assert_eq!((rows[0].time, rows[1].time), (9_000_000, 10_000_000));
        want(0, "histogram.count", &bits(10.0));
        want(0, "histogram.sum", &bits(2.5));
        want(0, "histogram.schema", "-1");
        want(0, "histogram.zero_count", &bits(1.0));
        want(0, "histogram.zero_threshold", &bits(0.001));
        want(
            0,
            "histogram.buckets",
            r#"{"positive":[[-1,2],[0,1],[4,2]],"negative":[[2,4]]}"#,
        );
        want(0, "histogram.reset_hint", "gauge");
        want(0, "start_time", "4000000");
        want(
            1,
            "histogram.buckets",
            r#"{"positive":[[-1,0.25],[4,0.75]]}"#,
        );
        want(1, "histogram.bounds", r#"[0.5,"+Inf"]"#);
        want(1, "histogram.sum", &format!("{STALE:016x}"));
        assert!(!rows[1].fields.contains_key("start_time"));
    }
    let huge = |length| BucketSpan {
        offset: i32::MAX,
        length,
    };
    let bad = [
        Histogram {
            positive_spans: vec![huge(3)],
            ..histogram()
        },
        Histogram {
            positive_spans: vec![huge(u32::MAX), huge(u32::MAX)],
            ..histogram()
        },
        Histogram {
            positive_deltas: vec![2, -3, 1],
            ..histogram()
        },
        Histogram {
            positive_deltas: vec![i64::MAX, 1, 1],
            ..histogram()
        },
        Histogram {
            negative_deltas: Vec::new(),
            ..histogram()
        },
        Histogram {
            positive_deltas: vec![1; 70_000],
            ..histogram()
        },
    ];
    for h in bad {
        let body = with(vec![h, histogram()]).encode_to_vec();
        let (_, decoded) = once(&body, Version::V1);
        assert_eq!(
            (decoded.histograms, decoded.rejected),
            (1, 1),
            "{:?}",
            decoded.errors
        );
    }
}

#[test]
fn buckets_of_a_byte_are_bounded_together() {
    let wide = Histogram {
        positive_spans: vec![BucketSpan {
            offset: 0,
            length: 60_000,
        }],
        positive_deltas: [&[1i64][..], &[0; 59_999]].concat(),
        negative_spans: Vec::new(),
        negative_deltas: Vec::new(),
        ..histogram()
    };
    let one = TimeSeries {
        labels: vec![label("__name__", "h")],
        histograms: vec![wide; 600],
        ..TimeSeries::default()
    };
    let refused = run(
        &MetricDecoder::new(),
        &Catalog::default(),
        &v1(vec![one]),
        Version::V1,
    );
    assert_eq!(
        refused.map(|d| d.histograms).unwrap_err().code,
        "rows_too_large"
    );
}

#[test]
fn exemplars_and_metadata_have_streams_of_their_own() {
    let body = v2::Request {
        symbols: [
            "",
            "__name__",
            "reqs",
            "job",
            "a",
            "trace_id",
            "abc",
            "Requests.",
            "1",
        ]
        .map(String::from)
        .into(),
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2, 3, 4],
            samples: vec![
                Sample {
                    value: 7.0,
                    timestamp: 5,
                    start_timestamp: 2,
                },
                sample(8.0, 6),
            ],
            exemplars: vec![
                v2::Exemplar {
                    labels_refs: vec![5, 6],
                    value: 0.5,
                    timestamp: 4,
                },
                v2::Exemplar {
                    labels_refs: vec![5, 99],
                    value: 0.5,
                    timestamp: 4,
                },
            ],
            metadata: Some(v2::Metadata {
                kind: 1,
                help_ref: 7,
                unit_ref: 99,
            }),
            created_timestamp: 3,
            ..v2::TimeSeries::default()
        }],
    };
    let body = body.encode_to_vec();
    let (catalog, decoder) = (Catalog::default(), MetricDecoder::new());
    let mut decoded = run(&decoder, &catalog, &body, Version::V2).unwrap();
    assert_eq!(
        (decoded.samples, decoded.exemplars, decoded.rejected),
        (2, 1, 1)
    );
    let learned = std::mem::take(&mut decoded.learned);
    let rows = read(&catalog, decoded);
    let of = |name: &str| rows.iter().find(|r| r.stream == name).unwrap();
    let about = of(METADATA);
    assert_eq!((about.tags["metric"].as_str(), about.time), ("reqs", NOW));
    assert_eq!(
        about.fields,
        BTreeMap::from(
            [("type", "counter"), ("help", "Requests.")].map(|(a, b)| (a.into(), b.into()))
        )
    );
    let exemplar = of(EXEMPLARS);
    assert_eq!(exemplar.time, 4_000_000);
    assert_eq!(exemplar.tags["series"], r#"{"job":"a"}"#);
    assert_eq!(exemplar.fields["labels"], r#"{"trace_id":"abc"}"#);
    let starts: Vec<&str> = rows
        .iter()
        .filter(|r| r.stream == "reqs")
        .map(|r| r.fields["start_time"].as_str())
        .collect();
    assert_eq!(starts, ["2000000", "3000000"]);
    // Until it is known to be stored it is news.
    let again = |decoder: &MetricDecoder| {
        let rows = read(
            &catalog,
            run(decoder, &catalog, &body, Version::V2).unwrap(),
        );
        rows.iter().any(|r| r.stream == METADATA)
    };
    assert!(again(&decoder));
    decoder.learn(learned);
    assert!(!again(&decoder));

    let old = WriteRequest {
        timeseries: Vec::new(),
        metadata: vec![MetricMetadata {
            kind: 2,
            metric_family_name: "g".into(),
            help: "h".into(),
            unit: "s".into(),
        }],
    };
    let (catalog, decoded) = once(&old.encode_to_vec(), Version::V1);
    let rows = read(&catalog, decoded);
    assert_eq!(
        (
            rows.len(),
            rows[0].fields["type"].as_str(),
            rows[0].fields["unit"].as_str()
        ),
        (1, "gauge", "s")
    );
}

#[test]
fn a_version_two_series_needs_samples_and_whole_pairs() {
    let refs = [
        vec![1, 2, 3],
        vec![1, 9],
        vec![u32::MAX, 0],
        vec![1, 2],
        vec![0; 10_000],
    ];
    for (i, labels_refs) in refs.into_iter().enumerate() {
        let body = v2::Request {
            symbols: ["", "__name__", "up", "job"].map(String::from).into(),
            timeseries: vec![v2::TimeSeries {
                labels_refs,
                samples: if i == 3 {
                    Vec::new()
                } else {
                    vec![sample(1.0, 1)]
                },
                ..v2::TimeSeries::default()
            }],
        };
        let (catalog, decoded) = once(&body.encode_to_vec(), Version::V2);
        assert_eq!((decoded.samples, decoded.rejected), (0, 1));
        assert!(
            catalog.stream("default", "up").is_none(),
            "what is refused makes no stream"
        );
    }
}

#[test]
fn a_stream_that_was_dropped_is_made_again() {
    let (catalog, decoder) = (Catalog::default(), MetricDecoder::new());
    let body = v1(vec![series(
        &[("__name__", "up"), ("job", "a")],
        vec![sample(1.0, 1)],
    )]);
    run(&decoder, &catalog, &body, Version::V1).unwrap();
    let before = catalog.stream("default", "up").unwrap().id;
    catalog.drop_stream("default", "up").unwrap();
    let decoded = run(&decoder, &catalog, &body, Version::V1).unwrap();
    assert_ne!(catalog.stream("default", "up").unwrap().id, before);
    assert_eq!(samples(read(&catalog, decoded))[0].tags["job"], "a");
}
