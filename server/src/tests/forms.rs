//! Forms of requests and replies.

use super::Tester;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

/// Server-sent events as name and data.
fn events(text: &str) -> Vec<(String, Value)> {
    let event = |block: &str| {
        let name = block.strip_prefix("event: ").unwrap();
        let (name, rest) = name.split_once('\n').unwrap();
        let data = rest.lines().find_map(|l| l.strip_prefix("data: ")).unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    };
    text.split_terminator("\n\n").map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_ends_is_events_with_an_end() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v BIGINT)").await;
    t.post(
        "/api/v1/ingest/s",
        "{\"time\":1,\"v\":2}\n{\"time\":2,\"v\":3}",
    )
    .await;
    let ask = async |sql: &str| {
        t.request(
            "POST",
            "/api/v1/sql",
            "accept: text/event-stream\r\n",
            sql.as_bytes(),
        )
        .await
    };
    let reply = ask("SELECT v FROM s ORDER BY v").await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events_of = events(&reply.text());
    let names: Vec<&str> = events_of.iter().map(|e| e.0.as_str()).collect();
    assert_eq!(names, ["columns", "row", "row", "end"]);
    assert_eq!(
        events_of[0].1["columns"],
        json!([{"name": "v", "type": "BIGINT"}])
    );
    assert_eq!(events_of[2].1, json!({"v": 3}));
    assert!(events_of[3].1["lsn"].is_u64());
    let done = events(&ask("CREATE STREAM other (time TIMESTAMP)").await.text());
    assert_eq!(done.last().unwrap().0, "end");
    assert!(done.last().unwrap().1["message"].is_string());
    let failed = ask("SELECT nothing FROM s").await;
    assert_eq!(
        (failed.status, failed.header("content-type")),
        (400, Some("application/json"))
    );
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn influxql_in_a_compressed_form() {
    let t = Tester::start(|c| c.limits.body_seconds = 1).await;
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(b"q=CREATE+DATABASE+%22a%20b%22").unwrap();
    let body = gz.finish().unwrap();
    let reply = t
        .request("POST", "/query", "content-encoding: gzip\r\n", &body)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(t.app().engine.catalog().has_database("a b"));
    let long = format!("q={}", "x".repeat(2 << 20));
    assert_eq!(t.post("/query", &long).await.status, 413);
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_rows_are_letters_and_many_of_them_are_counted() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v BIGINT)").await;
    let body = "{\"time\":1,\"v\":1}\n".to_owned() + &"x\n".repeat(12_000);
    let reply = t.post("/api/v1/ingest/s", &body).await.json();
    assert_eq!(
        (&reply["accepted"], &reply["rejected"]),
        (&json!(1), &json!(12_000))
    );
    assert_eq!(reply["errors"].as_array().unwrap().len(), 100);
    assert_eq!(reply["errors"][0]["row"], 2);
    assert!(reply.get("notices").is_none());
    let rows = t.sql("SELECT COUNT(*) FROM dead_letters").await;
    assert_eq!(rows["rows"], json!([[10_001]]));
    let more = t
        .sql("SELECT reason FROM dead_letters WHERE payload IS NULL")
        .await;
    assert_eq!(more["rows"], json!([["2000 more rows were refused"]]));
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn good_rows_are_kept_where_letters_have_no_place() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v BIGINT); CREATE STREAM dead_letters (time TIMESTAMP, reason BIGINT)")
        .await;
    let reply = t.post("/api/v1/ingest/s", "{\"time\":1,\"v\":1}\nx").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = reply.json();
    assert_eq!(
        (&reply["accepted"], &reply["rejected"]),
        (&json!(1), &json!(1))
    );
    let notice = reply["notices"][0].as_str().unwrap();
    assert!(notice.contains("dead_letters"), "{notice}");
    let rows = t.sql("SELECT COUNT(*) FROM s").await;
    assert_eq!(rows["rows"], json!([[1]]));
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_without_a_header_is_refused() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v BIGINT)").await;
    let reply = t
        .request(
            "POST",
            "/api/v1/ingest/s",
            "content-type: text/csv\r\n",
            b"a,a\n1,2",
        )
        .await;
    assert_eq!(reply.status, 400);
    let message = reply.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.starts_with("the header line: "), "{message}");
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_is_timed_until_it_is_in_all_views() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, city STRING, v BIGINT)")
        .await;
    t.sql("CREATE MATERIALIZED VIEW per AS SELECT city, 100 / SUM(v) AS n FROM s GROUP BY city")
        .await;
    let timed = |page: &str| -> u64 {
        let line = page
            .lines()
            .find_map(|l| l.strip_prefix("tidemill_event_seconds_count "));
        line.unwrap().parse().unwrap()
    };
    // Nobody subscribes. Line protocol goes to a stream that no view reads.
    for path in ["/api/v1/ingest/s", "/api/v1/ingest/s"] {
        assert_eq!(t.post(path, r#"{"time":1,"v":2}"#).await.status, 200);
    }
    assert_eq!(t.post("/write?db=default", "m v=1").await.status, 204);
    t.until("three measurements", |app| {
        app.metrics.events.times().snapshot().count() == 3
    })
    .await;
    let page = t.get("/metrics").await.text();
    assert_eq!(timed(&page), 3);
    for expected in [
        "tidemill_event_quantile_seconds{quantile=\"0.99\"} ",
        "tidemill_event_seconds_bucket{le=\"+Inf\"} 3",
        "tidemill_view_running{view=\"default.per\"} 1",
        "tidemill_view_lag_seconds{view=\"default.per\"} ",
        "tidemill_stream_freshness_seconds{database=\"default\",stream=\"s\"} ",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
    t.server.stop().await;
}
