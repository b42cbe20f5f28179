//! Prometheus' remote write and OTLP.

use super::{Reply, Tester};
use prost::encoding::{bytes, double, fixed64, int64, string};
use serde_json::json;
use std::ops::ControlFlow;

const STALE: u64 = 0x7ff0_0000_0000_0002;
const V2: &str = "content-type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
                  content-encoding: snappy\r\nx-prometheus-remote-write-version: 2.0.0\r\n";
const V1: &str = "content-type: application/x-protobuf\r\ncontent-encoding: snappy\r\n\
                  x-prometheus-remote-write-version: 0.1.0\r\n";

fn message(number: u32, parts: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    parts(&mut inner);
    bytes::encode(number, &inner, out);
}

/// A series of version 1.
fn series(labels: &[(&str, &str)], samples: &[(f64, i64)], out: &mut Vec<u8>) {
    message(
        1,
        |out| {
            for (name, value) in labels {
                let label = |out: &mut Vec<u8>| {
                    string::encode(1, &(*name).to_owned(), out);
                    string::encode(2, &(*value).to_owned(), out);
                };
                message(1, label, out);
            }
            for (value, time) in samples {
                let sample = |out: &mut Vec<u8>| {
                    double::encode(1, value, out);
                    int64::encode(2, time, out);
                };
                message(2, sample, out);
            }
        },
        out,
    );
}

fn packed(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

async fn write(t: &Tester, headers: &str, body: &[u8]) -> Reply {
    t.request("POST", "/api/v1/write", headers, &packed(body))
        .await
}

/// The bits of the only sample of `up`, as the storage has them.
fn stored_bits(t: &Tester) -> Vec<u64> {
    let snapshot = t.app().engine.snapshot();
    let stream = t.app().engine.catalog().stream("default", "up").unwrap();
    let value = stream.schema().column("value").unwrap().id;
    let spec = tsdb::ScanSpec {
        columns: vec![value],
        ..tsdb::ScanSpec::default()
    };
    let mut bits = Vec::new();
    let scan = snapshot.scan(&stream, spec).unwrap();
    scan.read_all(&mut |mut batch| {
        let column = batch.columns.remove(0).unwrap();
        let tsdb::VectorValues::Float(values) = column.values else {
            panic!("not doubles")
        };
        bits.extend(values.iter().map(|v| v.to_bits()));
        ControlFlow::Continue(())
    })
    .unwrap();
    bits
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_rows_and_the_stale_marker_keeps_its_bits() {
    let t = Tester::start(|_| ()).await;
    let mut body = Vec::new();
    let labels = [("__name__", "up"), ("instance", "a:1"), ("job", "node")];
    let stale = f64::from_bits(STALE);
    series(&labels, &[(1.0, 1_000), (stale, 2_000)], &mut body);
    let reply = write(&t, V1, &body).await;
    assert_eq!(
        (reply.status, reply.body.len()),
        (204, 0),
        "{}",
        reply.text()
    );
    assert!(
        reply
            .header("x-prometheus-remote-write-samples-written")
            .is_none()
    );
    let rows = t
        .sql("SELECT time, instance, job FROM up WHERE value = 1")
        .await["rows"]
        .clone();
    assert_eq!(rows, json!([["1970-01-01T00:00:01Z", "a:1", "node"]]));
    assert_eq!(stored_bits(&t), [1f64.to_bits(), STALE], "in memory");
    assert_eq!(t.post("/api/v1/admin/flush", "").await.status, 200);
    assert_eq!(stored_bits(&t), [1f64.to_bits(), STALE], "in a segment");
    let into = t
        .request(
            "POST",
            "/api/v1/prometheus/write?db=other",
            V1,
            &packed(&body),
        )
        .await;
    assert_eq!(into.status, 204);
    assert_eq!(
        t.sql("SELECT COUNT(*) FROM other.up").await["rows"],
        json!([[2]])
    );
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_series_are_kept_and_the_reply_counts_them() {
    let t = Tester::start(|_| ()).await;
    let mut body = Vec::new();
    for symbol in ["", "__name__", "up", "job", "a"] {
        string::encode(4, &symbol.to_owned(), &mut body);
    }
    for refs in [[1u8, 2, 3, 4], [3, 4, 1, 2]] {
        let one = |out: &mut Vec<u8>| {
            bytes::encode(1, &refs.to_vec(), out);
            let sample = |out: &mut Vec<u8>| {
                double::encode(1, &0.5, out);
                int64::encode(2, &1_000, out);
            };
            message(2, sample, out);
        };
        message(5, one, &mut body);
    }
    let reply = write(&t, V2, &body).await;
    assert_eq!(reply.status, 400);
    assert!(
        reply.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("sorted")
    );
    for (what, count) in [("samples", "1"), ("histograms", "0"), ("exemplars", "0")] {
        let name = format!("x-prometheus-remote-write-{what}-written");
        assert_eq!(reply.header(&name), Some(count));
    }
    assert_eq!(
        t.sql("SELECT job, value FROM up").await["rows"],
        json!([["a", 0.5]])
    );
    let letters = t.sql("SELECT source, position FROM dead_letters").await["rows"].clone();
    assert_eq!(letters, json!([["remote_write", "series 2"]]));
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_by_what_is_wrong() {
    let t = Tester::start(|c| c.limits.decoded_bytes = 1 << 20).await;
    let mut body = Vec::new();
    series(&[("__name__", "up")], &[(1.0, 1)], &mut body);
    let cut = packed(&body[..body.len() - 1]);
    let bomb = packed(&vec![0; 2 << 20]);
    let v3 = "content-type: application/x-protobuf;proto=io.prometheus.write.v3.Request\r\n";
    let cases: [(&str, &[u8], u16); 6] = [
        (V1, &cut, 400),
        (V1, b"\xff\xff\xff\xff\x0f", 413),
        (V1, &bomb, 413),
        (V1, &body, 400),
        (v3, b"\0", 415),
        ("content-type: application/json\r\n", b"{}", 415),
    ];
    for (headers, body, status) in cases {
        let reply = t.request("POST", "/api/v1/write", headers, body).await;
        assert_eq!(reply.status, status, "{headers}: {}", reply.text());
    }
    assert!(t.app().engine.catalog().stream("default", "up").is_none());
    t.server.stop().await;
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";
const JSON: &str = "content-type: application/json\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn otlp_is_answered_in_its_own_form() {
    let t = Tester::start(|_| ()).await;
    let point = |out: &mut Vec<u8>| {
        fixed64::encode(3, &5_000_000_000, out);
        double::encode(4, &1.5, out);
    };
    let mut body = Vec::new();
    let gauge = |out: &mut Vec<u8>| {
        string::encode(1, &"temperature".to_owned(), out);
        message(5, |out| message(1, point, out), out);
    };
    message(
        1,
        |out| message(2, |out| message(2, gauge, out), out),
        &mut body,
    );
    let reply = t.request("POST", "/v1/metrics", PROTOBUF, &body).await;
    assert_eq!(
        (reply.status, reply.body.len()),
        (200, 0),
        "{}",
        reply.text()
    );
    assert_eq!(reply.header("content-type"), Some("application/x-protobuf"));
    let text = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeMetrics": [{"metrics": [{"name": "temperature", "gauge": {"dataPoints": [
            {"timeUnixNano": "6000000000", "asInt": "2"}, {"asInt": "3"}]}}]}]}]});
    let reply = t
        .request("POST", "/v1/metrics", JSON, text.to_string().as_bytes())
        .await;
    assert_eq!(reply.status, 200);
    let partial = reply.json()["partialSuccess"].clone();
    assert_eq!(partial["rejectedDataPoints"], "1");
    assert!(
        partial["errorMessage"]
            .as_str()
            .unwrap()
            .contains("no time")
    );
    let rows = t
        .sql("SELECT value, \"service.name\" FROM temperature ORDER BY time")
        .await;
    assert_eq!(rows["rows"], json!([[1.5, null], [2.0, "shop"]]));
    assert_eq!(
        t.sql("SELECT source FROM dead_letters").await["rows"],
        json!([["otlp"]])
    );

    let bad = t.request("POST", "/v1/metrics", JSON, b"[]").await;
    assert_eq!((bad.status, &bad.json()["code"]), (400, &json!(3)));
    let bad = t
        .request("POST", "/v1/metrics", PROTOBUF, b"\x0a\x05")
        .await;
    assert_eq!(
        (bad.status, bad.header("content-type")),
        (400, Some("application/x-protobuf"))
    );
    assert_eq!(bad.body[..2], [0x08, 3]);
    let bad = t.request("POST", "/v1/metrics", "", b"{}").await;
    assert_eq!((bad.status, &bad.json()["code"]), (415, &json!(3)));
    t.server.stop().await;
}

/// What a derived stream can't take is left out, and told of; no sender would send the rest again.
#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_a_derived_stream_refuses_keeps_no_other_back() {
    let t = Tester::start(|_| ()).await;
    let request = |values: &[(f64, i64)]| {
        let mut body = Vec::new();
        series(&[("__name__", "load"), ("host", "a")], values, &mut body);
        series(&[("__name__", "other")], &[(1.0, values[0].1)], &mut body);
        body
    };
    let first = write(&t, V1, &request(&[(1.0, 1_700_000_000_000)])).await;
    assert_eq!(first.status, 204, "{}", first.text());
    t.sql("CREATE STREAM shares AS SELECT 100 / CAST(value AS BIGINT) AS share, time FROM load")
        .await;
    let values: Vec<(f64, i64)> = (1..40i32)
        .map(|i| (f64::from(i % 10), 1_700_000_000_000 + i64::from(i)))
        .collect();
    let reply = write(&t, V1, &request(&values)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("3 samples"), "{}", reply.text());
    let counts = t
        .sql("SELECT (SELECT COUNT(*) FROM load), (SELECT COUNT(*) FROM shares), (SELECT COUNT(*) FROM other)")
        .await;
    assert_eq!(counts["rows"], json!([[37, 36, 2]]));
    // They are letters, and rows as soon as nothing is computed from them.
    let letters = t
        .sql("SELECT stream, source, COUNT(*) FROM dead_letters GROUP BY stream, source")
        .await;
    assert_eq!(letters["rows"], json!([["load", "remote_write", 3]]));
    t.sql("REPLAY DEAD LETTERS").await;
    let count = "SELECT COUNT(*), SUM(value) FROM load WHERE host = 'a'";
    let before = t.sql(count).await["rows"].clone();
    assert_eq!(before[0][0], 37);
    t.sql("DROP STREAM shares").await;
    t.sql("REPLAY DEAD LETTERS").await;
    let after = t.sql(count).await["rows"].clone();
    assert_eq!((&after[0][0], &after[0][1]), (&json!(40), &before[0][1]));
    t.server.stop().await;
}
