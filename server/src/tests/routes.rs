//! The table of routes against what is really there.

use super::Tester;
use crate::http::{ROUTES, schemas};
use serde_json::Value;
use std::sync::atomic::Ordering;

/// A schema, and the GUID that it has.
const SCHEMA: &str = r#"{"schema":"\"string\""}"#;
const GUID: &str = "2d2ba910-24d4-7f6c-ded1-fca1ce60cb6a";

/// A path and query, headers and a body with which a route does its work.
fn example(method: &str, path: &str) -> (String, &'static str, &'static str) {
    let (query, headers, body) = match (method, path) {
        ("post", "/api/v1/sql") => ("", "", "SELECT 1 AS a"),
        ("get", "/api/v1/sql") => ("?q=SELECT%201", "", ""),
        ("get", "/api/v1/query") => ("?sql=SELECT%201", "", ""),
        ("post", "/api/v1/ingest/{stream}") => ("", "", r#"{"time":1,"v":2}"#),
        ("post", "/write") => ("?db=d", "", "m v=1"),
        ("post", "/api/v2/write") => ("?bucket=d", "", "m v=1"),
        // An empty block of snappy.
        ("post", path) if path.ends_with("/write") && path != "/write" => ("", "", "\0"),
        ("post", "/v1/metrics") => ("", "content-type: application/json\r\n", "{}"),
        ("post", "/query") => ("", "", "q=SHOW+DATABASES"),
        ("get", "/query") => ("?q=SHOW%20DATABASES", "", ""),
        ("get", "/ws") => (
            "",
            "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
            "",
        ),
        ("post", path) if path.starts_with("/schema-registry/") => ("", "", SCHEMA),
        ("put", path) if path.starts_with("/schema-registry/config") => {
            ("", "", r#"{"compatibility":"FULL"}"#)
        }
        ("put", path) if path.starts_with("/schema-registry/mode") => {
            ("", "", r#"{"mode":"READWRITE"}"#)
        }
        _ => ("", "", ""),
    };
    let path = path
        .replace("{stream}", "s")
        .replace("{name}", "s")
        .replace("{subject}", "s")
        .replace("{version}", "1")
        .replace("{id}", "1")
        .replace("{guid}", GUID);
    (format!("{path}{query}"), headers, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listed_route_does_what_its_description_says() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v DOUBLE)").await;
    for schema in [SCHEMA, r#"{"schema":"\"bytes\""}"#] {
        let reply = t.post("/schema-registry/subjects/s/versions", schema).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let schemas = schemas();
    for route in ROUTES {
        let method = route.method.to_uppercase();
        let (path, headers, body) = example(route.method, route.path);
        if route.path == "/ws" {
            // It does not end by itself.
            t.socket().await;
            continue;
        }
        let reply = t.request(&method, &path, headers, body.as_bytes()).await;
        assert_eq!(
            reply.status,
            route.status,
            "{method} {path}: {}",
            reply.text()
        );
        let kind = reply.header("content-type");
        match route.gives.first() {
            None => assert!(reply.body.is_empty(), "{method} {path}"),
            Some((expected, schema)) => {
                assert!(
                    kind.is_some_and(|k| k.starts_with(expected)),
                    "{method} {path}: {kind:?}"
                );
                let required = schemas[*schema]["required"].as_array();
                for key in required.into_iter().flatten().filter_map(Value::as_str) {
                    assert!(
                        reply.json().get(key).is_some(),
                        "{method} {path} has no {key}"
                    );
                }
            }
        }
        let refused = t.request("PATCH", &path, "", b"").await;
        assert_eq!(refused.status, 405, "{path}");
        assert!(
            refused.header("allow").is_some_and(|a| a.contains(&method)),
            "{path}"
        );
        let refused = refused.json();
        // The schema registry's clients know its own form alone.
        match refused.get("error_code") {
            Some(code) => assert_eq!(code, 405, "{path}"),
            None => assert_eq!(refused["error"]["code"], "method_not_allowed", "{path}"),
        }
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_sent_by_post() {
    let t = Tester::start(|_| ()).await;
    for path in ["/write?db=d", "/api/v2/write?bucket=d", "/api/v1/ingest/s"] {
        for method in ["GET", "PUT"] {
            let reply = t.request(method, path, "", b"").await;
            assert_eq!(
                (reply.status, reply.header("allow")),
                (405, Some("POST")),
                "{method} {path}"
            );
        }
    }
    for path in ["/api/v1/ingest/", "/api/v1/ingest/a/b", "/api/v1/nothing"] {
        assert_eq!(t.get(path).await.status, 404, "{path}");
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_paths_are_percent_decoded_and_no_more() {
    let t = Tester::start(|_| ()).await;
    let path = "/api/v1/ingest/a+b%20%2Bc%2Fd?create";
    let reply = t.post(path, r#"{"v":1}"#).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let streams = t.get("/api/v1/streams").await.json();
    assert_eq!(streams["streams"][0]["name"], "a+b +c/d");
    let one = t.get("/api/v1/streams/a+b%20%2Bc%2Fd").await.json();
    assert_eq!(one["rows"], 1);
    assert_eq!(t.get("/api/v1/streams/a%20b").await.status, 404);
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_does_with_its_rows_is_told() {
    let t = Tester::start(|_| ()).await;
    t.sql(
        "CREATE STREAM a (k STRING, v BIGINT, ts TIMESTAMP) WHERE v > 0 SAMPLE 10 PERCENT BY k PRIORITY k;
         CREATE STREAM b AS SELECT v, ts FROM a WHERE v > 1",
    )
    .await;
    let told = t.sql("DESCRIBE a").await["notices"].clone();
    let wanted = ["WHERE v > 0", "SAMPLE 10 PERCENT BY k", "PRIORITY k"];
    assert_eq!(told, serde_json::json!(wanted));
    let a = t.get("/api/v1/streams/a").await.json();
    let clauses = ["where", "sample", "priority"].map(|name| &a[name]);
    assert_eq!(clauses, ["v > 0", "SAMPLE 10 PERCENT BY k", "k"]);
    let b = t.get("/api/v1/streams/b").await.json();
    assert_eq!(b["as"], "SELECT v, ts FROM a WHERE v > 1", "{b}");
    assert!(b.get("where").is_none(), "{b}");
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_log_is_not_ready() {
    let t = Tester::start(|_| ()).await;
    assert_eq!(t.get("/ready").await.status, 200);
    let poisoned = &t.app().engine.metrics().poisoned;
    poisoned.store(true, Ordering::Release);
    let reply = t.get("/ready").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["status"], "failed");
    assert!(reply.json()["reason"].as_str().unwrap().contains("restart"));
    assert_eq!(t.get("/health").await.status, 200, "it lives");
    poisoned.store(false, Ordering::Release);
    t.server.stop().await;
}
