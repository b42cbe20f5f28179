//! What one client can't take from all others.

use super::{PATIENCE, Tester, reply};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_the_bound_of_all_are_to_come_again() {
    let t = Tester::start(|c| c.limits.bodies_bytes = 1 << 20).await;
    let body = "m v=1 1\n".repeat(200_000);
    for path in ["/write?db=d", "/api/v2/write?bucket=d"] {
        let reply = t.post(path, &body).await;
        assert_eq!(
            (reply.status, reply.header("retry-after")),
            (503, Some("1"))
        );
        if path.contains("v2") {
            assert_eq!(reply.json()["code"], "unavailable");
        }
    }
    let packed = {
        use std::io::Write;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(body.as_bytes()).unwrap();
        gz.finish().unwrap()
    };
    assert!(packed.len() < 64 << 10);
    let reply = t
        .request("POST", "/write?db=d", "content-encoding: gzip\r\n", &packed)
        .await;
    assert_eq!(reply.status, 503);
    // What was refused is given back, and small bodies are not counted at all.
    assert_eq!(t.app().body_limits.budget.used(), 0);
    assert_eq!(t.post("/write?db=d", &body[..800_000]).await.status, 204);
    assert_eq!(t.app().body_limits.budget.used(), 0);
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_decoded_whole() {
    let t = Tester::start(|_| ()).await;
    let body: String = (0..400_000).map(|i| format!("m v={i}i {i}\n")).collect();
    assert!(body.len() > 5 << 20);
    assert_eq!(t.post("/write?db=default", &body).await.status, 204);
    let rows = t.sql("SELECT COUNT(*), SUM(v) FROM m").await;
    assert_eq!(rows["rows"], json!([[400_000, 79_999_800_000_i64]]));
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_large_heads_are_cut() {
    let t = Tester::start(|c| c.limits.header_seconds = 1).await;
    let mut slow = t.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest)).await;
    assert!(cut.is_ok(), "it is still open");
    let long = format!("x-long: {}\r\n", "x".repeat(100 << 10));
    let mut large = t.connect().await;
    let head = format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{long}\r\n");
    // The server stops reading on the way, so that the reply may be lost in the reset.
    let _ = large.write_all(head.as_bytes()).await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, large.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 431 "));
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_send_no_next_head_are_cut_and_those_at_work_are_not() {
    let t = Tester::start(|c| c.limits.header_seconds = 1).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v BIGINT)").await;
    let mut idle = t.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut slow = t.connect().await;
    let head = "POST /api/v1/ingest/s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 16\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut live = t.connect().await;
    let sql = "SELECT SUM(v) FROM s EMIT CHANGES";
    let head = format!(
        "POST /api/v1/sql HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\ncontent-length: {}\r\n\r\n{sql}",
        sql.len()
    );
    live.write_all(head.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(PATIENCE, idle.read_to_end(&mut rest)).await;
    assert!(cut.is_ok() && rest.starts_with(b"HTTP/1.1 200 "));
    // By now the others would have been cut, too: they had begun when that one was idle.
    tokio::time::sleep(Duration::from_millis(500)).await;
    slow.write_all(b"{\"time\":1,\"v\":5}").await.unwrap();
    assert_eq!(reply(&mut slow).await.status, 200);
    let mut text = String::new();
    while !text.contains("event: insert") {
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, live.read(&mut piece)).await;
        let n = read.unwrap().unwrap();
        assert_ne!(n, 0, "cut after {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_cut_on_every_route_that_takes_one() {
    let t = Tester::start(|c| c.limits.body_seconds = 1).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v BIGINT)").await;
    for path in [
        "/query",
        "/api/v1/sql",
        "/write?db=d",
        "/api/v2/write?bucket=d",
        "/api/v1/ingest/s",
    ] {
        let mut stream = t.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 9\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(reply(&mut stream).await.status, 408, "{path}");
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_query_along() {
    let t = Tester::start(|c| c.limits.query_seconds = 600).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v BIGINT)").await;
    let body: String = (0..3_000)
        .map(|i| format!("{{\"time\":{i},\"v\":{i}}}\n"))
        .collect();
    t.post("/api/v1/ingest/s", &body).await;
    let mut stream = t.connect().await;
    // 27 thousand million rows: minutes, if nobody stops it.
    let sql = "SELECT COUNT(*) FROM s a, s b, s c WHERE a.v + b.v * c.v % 7 = 3";
    let head = format!(
        "POST /api/v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{sql}",
        sql.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    t.until("the connection", |app| {
        app.metrics.connections.load(Ordering::Relaxed) == 1
    })
    .await;
    let early = tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await;
    assert!(early.is_err(), "the query has ended already");
    drop(stream);
    t.until("the connection's end", |app| {
        app.metrics.connections.load(Ordering::Relaxed) == 0
    })
    .await;
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn different_queries_that_go_on_are_counted() {
    let t = Tester::start(|c| c.limits.live_queries = 1).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v BIGINT, w BIGINT)")
        .await;
    let (a, b) = (
        "SELECT SUM(v) FROM s EMIT CHANGES",
        "SELECT SUM(w) FROM s EMIT CHANGES",
    );
    let mut socket = t.socket().await;
    for (id, sql) in [("1", a), ("2", a), ("3", b)] {
        socket
            .send(json!({"action": "subscribe", "id": id, "sql": sql}))
            .await;
        let expected = if id == "3" { "error" } else { "subscribed" };
        let frame = socket.frame(expected).await;
        assert_eq!(frame["id"], id, "{frame}");
        if id == "3" {
            assert_eq!(frame["error"]["code"], "too_many_queries");
        }
    }
    let refused = t.post("/api/v1/sql", b).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("10"))
    );
    assert_eq!(
        t.post("/api/v1/sql", a).await.status,
        200,
        "it goes on already"
    );
    socket
        .send(json!({"action": "unsubscribe", "id": "1"}))
        .await;
    socket
        .send(json!({"action": "unsubscribe", "id": "2"}))
        .await;
    t.until("a free place", |app| app.live_queries.len() == 0)
        .await;
    assert_eq!(t.post("/api/v1/sql", b).await.status, 200);
    t.server.stop().await;
}
