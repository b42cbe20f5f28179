use super::messages::*;
use super::reply::{self, Form};
use crate::admission::Rejection;
use crate::metric::rows::{Row, bits, read, replay, replay_all, samples, sifted};
use crate::metric::{DecodedMetrics, EXEMPLARS, METADATA, MetricContext, MetricDecoder};
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tsdb::Catalog;

const NOW: i64 = 77;

/// The only row of a sample.
fn only(catalog: &Catalog, decoded: DecodedMetrics) -> Row {
    let mut rows = samples(read(catalog, decoded));
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn run(
    decoder: &MetricDecoder,
    catalog: &Catalog,
    body: &[u8],
    form: Form,
) -> Result<DecodedMetrics, Rejection> {
    let ctx = MetricContext {
        catalog,
        db: "default",
        now_ns: NOW,
        source: "otlp",
    };
    decoder.otlp(body, form, &ctx)
}

fn once(body: &[u8], form: Form) -> (Catalog, DecodedMetrics) {
    let catalog = Catalog::default();
    let decoded = run(&MetricDecoder::new(), &catalog, body, form).unwrap();
    (catalog, decoded)
}

fn value_of(value: Any) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(value_of(Any::Text(value.into()))),
    }
}

fn request(resource: Vec<KeyValue>, scope: Scope, metrics: Vec<Metric>) -> Request {
    Request {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: resource,
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
            }],
        }],
    }
}

fn metric(name: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        description: String::new(),
        unit: String::new(),
        data: Some(data),
    }
}

fn gauge(data_points: Vec<Number>) -> Data {
    Data::Gauge(Numbers {
        data_points,
        temporality: 0,
        monotonic: false,
    })
}

fn number(time: u64, value: f64) -> Number {
    Number {
        time,
        value: Some(Value::Double(value)),
        ..Number::default()
    }
}

/// All five kinds, in both forms.
fn everything() -> (Vec<u8>, Json) {
    let attributes = vec![text("service.name", "shop"), text("k", "resource")];
    let scope = Scope {
        name: "lib".into(),
        version: "1.2".into(),
        attributes: vec![text("k", "scope"), text("s", "x")],
    };
    let gauge_point = Number {
        exemplars: vec![Exemplar {
            time: 4,
            value: 0.5,
            trace_id: vec![0xab, 0xcd],
            filtered_attributes: vec![text("user", "u")],
        }],
        attributes: vec![text("k", "point"), text("value", "v")],
        ..number(5, 1.5)
    };
    let sum_point = Number {
        start: 3,
        value: Some(Value::Int(-7)),
        ..number(6, 0.0)
    };
    let histogram = Histogram {
        start: 3,
        time: 7,
        count: 6,
        sum: Some(9.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 1.0],
        attributes: vec![text("a", "b")],
        min: Some(0.25),
    };
    let exponential = Exponential {
        attributes: vec![text("a", "b")],
        time: 8,
        count: 4,
        scale: -2,
        zero_count: 1,
        positive: Some(Buckets {
            offset: -3,
            bucket_counts: vec![1, 0, 2],
        }),
        negative: None,
        max: Some(2.5),
    };
    let summary = Summary {
        time: 9,
        count: 2,
        sum: 3.5,
        quantile_values: vec![Quantile {
            quantile: 0.5,
            value: 1.25,
        }],
        attributes: vec![text("a", "b")],
    };
    let metrics = vec![
        Metric {
            description: "About it.".into(),
            unit: "By".into(),
            ..metric("g", gauge(vec![gauge_point]))
        },
        metric(
            "s",
            Data::Sum(Numbers {
                data_points: vec![sum_point],
                temporality: 1,
                monotonic: true,
            }),
        ),
        metric(
            "h",
            Data::Histogram(Histograms {
                data_points: vec![histogram],
                temporality: 2,
            }),
        ),
        metric(
            "e",
            Data::Exponential(Exponentials {
                data_points: vec![exponential],
                temporality: 2,
            }),
        ),
        metric(
            "q",
            Data::Summary(Summaries {
                data_points: vec![summary],
            }),
        ),
    ];
    let kv = |k: &str, v: &str| json!({"key": k, "value": {"stringValue": v}});
    let ab = json!([kv("a", "b")]);
    let text = json!({"resourceMetrics": [{
    "resource": {"attributes": [kv("service.name", "shop"), kv("k", "resource")], "droppedAttributesCount": 0},
    "unknown": [{"deep": null}],
    "scopeMetrics": [{
        "scope": {"name": "lib", "version": "1.2", "attributes": [kv("k", "scope"), kv("s", "x")]},
        "metrics": [
            {"name": "g", "description": "About it.", "unit": "By", "gauge": {"dataPoints": [{
                "timeUnixNano": "5", "asDouble": 1.5, "attributes": [kv("k", "point"), kv("value", "v")],
                "exemplars": [{"timeUnixNano": 4, "asDouble": "0.5", "traceId": "ABcd", "filteredAttributes": [kv("user", "u")]}]}]}},
            {"name": "s", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "isMonotonic": true, "dataPoints": [
                {"startTimeUnixNano": "3", "timeUnixNano": "6", "asInt": "-7"}]}},
            {"name": "h", "histogram": {"aggregation_temporality": 2, "data_points": [{
                "start_time_unix_nano": 3, "timeUnixNano": 7, "count": "6", "sum": 9.5, "bucketCounts": ["1", 2, "3"],
                "explicitBounds": [0.5, 1], "attributes": ab, "min": 0.25, "exemplars": null}]}},
            {"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{
                "timeUnixNano": "8", "count": 4, "scale": -2, "zeroCount": 1, "positive": {"offset": -3, "bucketCounts": ["1", "0", "2"]},
                "negative": null, "max": 2.5, "attributes": ab}]}},
            {"name": "q", "summary": {"dataPoints": [{
                "timeUnixNano": "9", "count": "2", "sum": 3.5, "quantileValues": [{"quantile": 0.5, "value": 1.25}], "attributes": ab}]}}
        ]}]}]});
    (request(attributes, scope, metrics).encode_to_vec(), text)
}

#[test]
fn both_forms_of_a_request_are_the_same_rows() {
    let (protobuf, json) = everything();
    let json = json.to_string().into_bytes();
    let (catalog, decoded) = once(&protobuf, Form::Protobuf);
    assert_eq!(
        (
            decoded.samples,
            decoded.histograms,
            decoded.exemplars,
            decoded.rejected
        ),
        (3, 2, 1, 0),
        "{:?}",
        decoded.errors
    );
    let rows = read(&catalog, decoded);
    let (other, decoded) = once(&json, Form::Json);
    assert_eq!(read(&other, decoded), rows);

    let of = |name: &str| rows.iter().find(|r| r.stream == name).unwrap();
    let tags =
        |r: &Row| -> Vec<String> { r.tags.iter().map(|(k, v)| format!("{k}={v}")).collect() };
    let common = ["otel.scope.name=lib", "otel.scope.version=1.2"];
    let gauge = of("g");
    assert_eq!(
        tags(gauge),
        [
            "exported_value=v",
            "k=point",
            common[0],
            common[1],
            "s=x",
            "service.name=shop"
        ]
    );
    assert_eq!((gauge.time, &gauge.fields["value"]), (5, &bits(1.5)));
    let sum = of("s");
    assert_eq!(sum.fields["start_time"], "3");
    assert_eq!(sum.fields["value"], bits(-7.0));
    assert_eq!(sum.tags["otel.temporality"], "delta");
    assert_eq!(
        (sum.tags["otel.monotonic"].as_str(), sum.tags["k"].as_str()),
        ("true", "scope")
    );
    let want = |name: &str, fields: &[(&str, String)]| {
        let wanted = fields
            .iter()
            .map(|(k, v)| ((*k).into(), v.clone()))
            .collect();
        assert_eq!(of(name).fields, wanted, "{name}");
    };
    want(
        "h",
        &[
            ("start_time", "3".into()),
            ("histogram.count", bits(6.0)),
            ("histogram.sum", bits(9.5)),
            ("histogram.min", bits(0.25)),
            ("histogram.buckets", "[1,2,3]".into()),
            ("histogram.bounds", "[0.5,1]".into()),
        ],
    );
    want(
        "e",
        &[
            ("histogram.count", bits(4.0)),
            ("histogram.schema", "-2".into()),
            ("histogram.zero_count", bits(1.0)),
            ("histogram.zero_threshold", bits(0.0)),
            ("histogram.max", bits(2.5)),
            ("histogram.buckets", r#"{"positive":[[-2,1],[0,2]]}"#.into()),
        ],
    );
    want(
        "q",
        &[
            ("summary.count", bits(2.0)),
            ("summary.sum", bits(3.5)),
            ("summary.quantiles", "[[0.5,1.25]]".into()),
        ],
    );
    let about = of(METADATA);
    assert_eq!(
        (about.tags["metric"].as_str(), about.fields["unit"].as_str()),
        ("g", "By")
    );
    let exemplar = of(EXEMPLARS);
    assert_eq!(exemplar.time, 4);
    assert_eq!(
        exemplar.fields["labels"],
        r#"{"trace_id":"abcd","user":"u"}"#
    );
    assert!(exemplar.tags["series"].contains(r#""service.name":"shop""#));
}

#[test]
fn a_bad_point_is_refused_and_the_others_are_kept() {
    let unsorted = Histogram {
        time: 5,
        bucket_counts: vec![1, 1, 1],
        explicit_bounds: vec![2.0, 1.0],
        ..Histogram::default()
    };
    let uneven = Histogram {
        explicit_bounds: vec![2.0],
        ..unsorted.clone()
    };
    let far = Exponential {
        time: 5,
        positive: Some(Buckets {
            offset: i32::MAX,
            bucket_counts: vec![1],
        }),
        ..Exponential::default()
    };
    let mut nested = value_of(Any::Bool(true));
    for _ in 0..40 {
        nested = value_of(Any::Array(ArrayValue {
            values: vec![nested],
        }));
    }
    let deep = Number {
        attributes: vec![KeyValue {
            key: "a".into(),
            value: Some(nested),
        }],
        ..number(5, 1.0)
    };
    let histograms = |points| {
        Data::Histogram(Histograms {
            data_points: points,
            temporality: 2,
        })
    };
    let bad: [(Metric, &str); 9] = [
        (metric("b", gauge(vec![number(0, 1.0)])), "no time"),
        (
            metric("b", gauge(vec![number(u64::MAX, 1.0)])),
            "out of range",
        ),
        (
            metric(
                "b",
                gauge(vec![Number {
                    value: None,
                    ..number(5, 1.0)
                }]),
            ),
            "no value",
        ),
        (
            metric(
                "b",
                gauge(vec![Number {
                    start: u64::MAX,
                    ..number(5, 1.0)
                }]),
            ),
            "start",
        ),
        (metric("", gauge(vec![number(5, 1.0)])), "no name"),
        (metric("b", histograms(vec![unsorted])), "rise"),
        (metric("b", histograms(vec![uneven])), "one bucket more"),
        (
            metric(
                "b",
                Data::Exponential(Exponentials {
                    data_points: vec![far],
                    temporality: 2,
                }),
            ),
            "out of range",
        ),
        (metric("b", gauge(vec![deep])), "too deep"),
    ];
    for (poison, why) in bad {
        let good = || metric("g", gauge(vec![number(5, 1.0)]));
        let body = request(Vec::new(), Scope::default(), vec![good(), poison, good()]);
        let (catalog, decoded) = once(&body.encode_to_vec(), Form::Protobuf);
        assert_eq!((decoded.samples, decoded.rejected), (2, 1), "{why}");
        assert!(
            decoded.errors[0].contains(why),
            "{why}: {:?}",
            decoded.errors
        );
        assert!(
            catalog.stream("default", "b").is_none(),
            "what is refused makes no stream"
        );
        let rows = read(&catalog, decoded);
        let letter = rows.iter().find(|r| r.stream == "dead_letters").unwrap();
        assert_eq!(letter.fields["position"], "point 2");
        // What is wrong with the point itself stays so.
        let again = replay(&letter.tags["stream"], &letter.fields["payload"]);
        again.unwrap_err();
    }
}

#[test]
fn points_are_replayed_from_their_letters() {
    let (body, _) = everything();
    let (catalog, decoded) = once(&body, Form::Protobuf);
    let letters = sifted(&catalog, &decoded.rows);
    let mut wanted = read(&catalog, decoded);
    wanted.sort();
    assert_eq!(replay_all(&letters), wanted);
    // All of these have the label.
    let catalog = Catalog::default();
    let taken = tsdb::StreamDef {
        columns: vec![
            ("time".into(), tsdb::DataType::Timestamp, tsdb::Role::Time),
            ("k".into(), tsdb::DataType::Int64, tsdb::Role::Field),
        ],
        ..tsdb::StreamDef::default()
    };
    for metric in ["g", "s", "h", "e", "q"] {
        catalog.create_stream("default", metric, &taken).unwrap();
    }
    let decoded = run(&MetricDecoder::new(), &catalog, &body, Form::Protobuf).unwrap();
    assert_eq!(
        (decoded.samples, decoded.histograms, decoded.rejected),
        (0, 0, 5)
    );
    // Metadata is of no label.
    wanted.retain(|r| r.stream != METADATA);
    assert_eq!(replay_all(&read(&catalog, decoded)), wanted);
}

#[test]
fn a_point_without_value_marks_the_end_of_its_series() {
    let point = Number {
        value: None,
        flags: 1,
        ..number(5, 0.0)
    };
    let body = request(
        Vec::new(),
        Scope::default(),
        vec![metric("g", gauge(vec![point]))],
    );
    let (catalog, decoded) = once(&body.encode_to_vec(), Form::Protobuf);
    assert_eq!(only(&catalog, decoded).fields["value"], "7ff0000000000002");
}

#[test]
fn values_of_any_type_are_text() {
    let list = Any::Array(ArrayValue {
        values: vec![
            value_of(Any::Text("x\"".into())),
            value_of(Any::Int(1)),
            AnyValue::default(),
        ],
    });
    let map = Any::List(KeyValueList {
        values: vec![KeyValue {
            key: "k".into(),
            value: Some(value_of(Any::Bool(false))),
        }],
    });
    let values = [
        (Any::Bool(true), "true"),
        (Any::Int(i64::MIN), "-9223372036854775808"),
        (Any::Double(0.1), "0.1"),
        (list, r#"["x\"",1,null]"#),
        (map, r#"{"k":false}"#),
        (Any::Bytes(vec![1, 2]), "AQI="),
    ];
    for (value, wanted) in values {
        let attributes = vec![
            KeyValue {
                key: "a".into(),
                value: Some(value_of(value)),
            },
            text("empty", ""),
        ];
        let point = Number {
            attributes,
            ..number(5, 1.0)
        };
        let body = request(
            Vec::new(),
            Scope::default(),
            vec![metric("g", gauge(vec![point]))],
        );
        let (catalog, decoded) = once(&body.encode_to_vec(), Form::Protobuf);
        let tags = &only(&catalog, decoded).tags;
        assert_eq!(tags, &BTreeMap::from([("a".into(), wanted.into())]));
    }
}

#[test]
fn a_resource_may_stand_behind_its_metrics() {
    let body = request(
        vec![text("r", "1")],
        Scope::default(),
        vec![metric("g", gauge(vec![number(5, 1.0)]))],
    );
    let part = &body.resource_metrics[0];
    let (mut inner, resource) = (Vec::new(), part.resource.as_ref().unwrap().encode_to_vec());
    let scope = part.scope_metrics[0].encode_to_vec();
    for (tag, bytes) in [(0x12, scope), (0x0a, resource)] {
        inner.extend_from_slice(&[tag, bytes.len() as u8]);
        inner.extend_from_slice(&bytes);
    }
    let mut whole = vec![0x0a, inner.len() as u8];
    whole.extend_from_slice(&inner);
    let (catalog, decoded) = once(&whole, Form::Protobuf);
    assert_eq!(only(&catalog, decoded).tags["r"], "1");
}

#[test]
fn json_that_is_no_request_is_refused() {
    let deep = "[".repeat(100_000);
    let bad = [
        "",
        "[]",
        "{\"resourceMetrics\":{}}",
        "{} x",
        "{\"resourceMetrics\":[{\"resource\":7}]}",
        &deep,
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":5}]}]}]}"#,
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"timeUnixNano":-1}]}}]}]}]}"#,
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"timeUnixNano":"1e400"}]}}]}]}]}"#,
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"aggregationTemporality":"SOME"}}]}]}]}"#,
        r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":{"bytesValue":"?"}}]}}]}"#,
    ];
    for body in bad {
        let refused = run(
            &MetricDecoder::new(),
            &Catalog::default(),
            body.as_bytes(),
            Form::Json,
        );
        let head: String = body.chars().take(80).collect();
        assert_eq!(
            refused.map(|d| d.samples).unwrap_err().status,
            400,
            "{head}"
        );
    }
    for body in ["{}", "{\"resourceMetrics\":null}", "{\"x\":[1,{}]}"] {
        let (_, decoded) = once(body.as_bytes(), Form::Json);
        assert!(decoded.rows.is_empty());
    }
}

#[test]
fn replies_have_the_form_of_their_request() {
    assert!(reply::accepted(Form::Protobuf, 0, "").is_empty());
    assert_eq!(reply::accepted(Form::Json, 0, ""), b"{}");
    let partial = Response::decode(&*reply::accepted(Form::Protobuf, 3, "why")).unwrap();
    let partial = partial.partial_success.unwrap();
    assert_eq!(
        (partial.rejected_data_points, partial.error_message.as_str()),
        (3, "why")
    );
    let partial: Json = serde_json::from_slice(&reply::accepted(Form::Json, 3, "w\"y")).unwrap();
    assert_eq!(
        partial,
        json!({"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "w\"y"}})
    );
    let failed: Json = serde_json::from_slice(&reply::failed(Form::Json, 3, "no")).unwrap();
    assert_eq!(failed, json!({"code": 3, "message": "no"}));
    assert_eq!(
        reply::failed(Form::Protobuf, 3, "no"),
        [0x08, 3, 0x12, 2, b'n', b'o']
    );
}

fn any_point() -> impl Strategy<Value = Number> {
    let pair = ("[ab.]{1,2}", "[xy]{1,3}").prop_map(|(k, v)| text(&k, &v));
    let value = prop_oneof![
        any::<u64>().prop_map(|b| Value::Double(f64::from_bits(b))),
        any::<i64>().prop_map(Value::Int),
    ];
    let parts = (
        1..i64::MAX as u64,
        value,
        proptest::collection::vec(pair, 0..4),
    );
    parts.prop_map(|(time, value, attributes)| Number {
        time,
        value: Some(value),
        attributes,
        ..Number::default()
    })
}

/// The JSON that an exporter writes of it.
fn point_json(p: &Number) -> Json {
    let attributes: Vec<Json> = p
        .attributes
        .iter()
        .map(|a| {
            let Some(Any::Text(v)) = &a.value.as_ref().unwrap().value else {
                unreachable!()
            };
            json!({"key": a.key, "value": {"stringValue": v}})
        })
        .collect();
    let mut out = json!({"timeUnixNano": p.time.to_string(), "attributes": attributes});
    match p.value.as_ref().unwrap() {
        Value::Int(v) => out["asInt"] = v.to_string().into(),
        Value::Double(v) if v.is_finite() => out["asDouble"] = json!(v),
        Value::Double(v) if v.is_nan() => out["asDouble"] = "NaN".into(),
        Value::Double(v) => {
            out["asDouble"] = (if *v > 0.0 { "Infinity" } else { "-Infinity" }).into()
        }
    }
    out
}

proptest! {
    #[test]
    fn what_a_reference_encoder_writes_is_read(points in proptest::collection::vec(any_point(), 0..6)) {
        let mut wanted = Vec::new();
        for p in &points {
            let mut tags = BTreeMap::from([("service.name".to_owned(), "s".to_owned())]);
            for a in &p.attributes {
                let Some(Any::Text(v)) = &a.value.as_ref().unwrap().value else { unreachable!() };
                tags.insert(a.key.clone(), v.clone());
            }
            let value = match p.value.as_ref().unwrap() {
                Value::Double(v) => *v,
                Value::Int(v) => *v as f64,
            };
            let fields = BTreeMap::from([("value".to_owned(), bits(value))]);
            wanted.push(Row { stream: "g".into(), time: p.time as i64, tags, fields });
        }
        wanted.sort();
        let json: Vec<Json> = points.iter().map(point_json).collect();
        let json = json!({"resourceMetrics": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
            "scopeMetrics": [{"metrics": [{"name": "g", "gauge": {"dataPoints": json}}]}]}]});
        let body = request(vec![text("service.name", "s")], Scope::default(), vec![metric("g", gauge(points))]);
        let body = body.encode_to_vec();
        let (catalog, decoder) = (Catalog::default(), MetricDecoder::new());
        for _ in 0..2 {
            let decoded = run(&decoder, &catalog, &body, Form::Protobuf).unwrap();
            prop_assert_eq!(samples(read(&catalog, decoded)), wanted.clone());
        }
        let (catalog, decoded) = once(json.to_string().as_bytes(), Form::Json);
        // JSON has one NaN.
        let nan = |rows: Vec<Row>| -> Vec<Row> {
            let mut rows: Vec<Row> = rows.into_iter().map(|mut r| {
                let value = r.fields.get_mut("value").unwrap();
                if f64::from_bits(u64::from_str_radix(value, 16).unwrap()).is_nan() {
                    *value = "NaN".into();
                }
                r
            }).collect();
            rows.sort();
            rows
        };
        prop_assert_eq!(nan(samples(read(&catalog, decoded))), nan(wanted));
    }

    #[test]
    fn damage_is_an_error_or_other_points(at in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let (protobuf, json) = everything();
        for (mut body, form) in [(protobuf, Form::Protobuf), (json.to_string().into_bytes(), Form::Json)] {
            let at = at.index(body.len());
            let _ = run(&MetricDecoder::new(), &Catalog::default(), &body[..at], form);
            body[at] = to;
            let (catalog, decoder) = (Catalog::default(), MetricDecoder::new());
            let cold = run(&decoder, &catalog, &body, form).map(|d| samples(read(&catalog, d)));
            let warm = run(&decoder, &catalog, &body, form).map(|d| samples(read(&catalog, d)));
            prop_assert_eq!(cold, warm, "what was learnt changes nothing");
        }
    }
}
