//! WebSocket subscriptions.

use super::Tester;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const VIEW: &str =
    "CREATE MATERIALIZED VIEW per AS SELECT city, SUM(100 / n) AS total FROM s GROUP BY city";

async fn with_view() -> Tester {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, city STRING, n BIGINT)")
        .await;
    t.sql(VIEW).await;
    t
}

async fn add(t: &Tester, city: &str, n: i64) {
    let row = json!({"time": 1, "city": city, "n": n}).to_string();
    assert_eq!(t.post("/api/v1/ingest/s", &row).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_names_the_topics_it_was_given_with() {
    let t = with_view().await;
    let mut socket = t.socket().await;
    let topics = ["view:per", "dashboard:metrics", "alerts:x"];
    socket
        .send(json!({"action": "subscribe", "id": "mine", "topics": topics}))
        .await;
    for _ in topics {
        assert_eq!(socket.frame("subscribed").await["id"], "mine");
    }
    let mut plain = t.socket().await;
    assert!(plain.subscribe("view:per").await.get("id").is_none());
    assert_eq!(plain.frame("snapshot").await["rows"], json!([]));
    add(&t, "Oslo", 50).await;
    let changes = loop {
        let frame = socket.frame("changes").await;
        assert_eq!(frame["id"], "mine", "{frame}");
        if frame["topic"] == "view:per" {
            break frame;
        }
    };
    assert_eq!(changes["insert"], json!([["Oslo", 2]]));
    let same = plain.frame("changes").await;
    assert!(same.get("id").is_none());
    assert_eq!(
        (&same["insert"], &same["seq"]),
        (&changes["insert"], &changes["seq"])
    );
    // Every frame says which definition it is of.
    let beat = plain.frame("heartbeat").await;
    assert_eq!(beat["epoch"], same["epoch"]);

    socket
        .send(json!({"action": "unsubscribe", "id": "mine"}))
        .await;
    socket.send(json!({"action": "ping"})).await;
    socket.frame("pong").await;
    add(&t, "Oslo", 100).await;
    plain.frame("changes").await;
    socket.send(json!({"action": "ping"})).await;
    loop {
        let frame = socket.next().await.unwrap();
        if frame["type"] == "pong" {
            break;
        }
        assert_ne!(frame["type"], "changes", "it goes on: {frame}");
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_stops_is_told_once_and_followed_again_when_redefined() {
    let t = with_view().await;
    add(&t, "Oslo", 50).await;
    let mut socket = t.socket().await;
    let subscribed = socket.subscribe("view:per").await;
    assert_eq!(socket.frame("snapshot").await["rows"], json!([["Oslo", 2]]));
    // A division by zero ends the view.
    add(&t, "Bergen", 0).await;
    let error = socket.frame("error").await;
    assert_eq!(error["error"]["code"], "view_stopped", "{error}");
    let closing = socket.next().await.unwrap();
    assert_eq!(
        (closing["type"].as_str(), closing["topic"].as_str()),
        (Some("closing"), Some("view:per"))
    );
    assert!(closing["reason"].as_str().unwrap().contains("stopped"));
    // Nothing more is sent, not even when the catalog changes, until the view runs again.
    t.sql("CREATE STREAM other (time TIMESTAMP)").await;
    let quiet = tokio::time::timeout(Duration::from_millis(700), socket.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let mut late = t.socket().await;
    late.send(json!({"action": "subscribe", "topics": ["view:per"]}))
        .await;
    assert_eq!(late.next().await.unwrap()["type"], "error");
    assert_eq!(late.next().await.unwrap()["type"], "closing");

    t.sql("DROP VIEW per").await;
    t.sql("CREATE MATERIALIZED VIEW per AS SELECT city, COUNT(*) AS n FROM s GROUP BY city")
        .await;
    for socket in [&mut socket, &mut late] {
        // Between the two statements there was no view.
        let anew = loop {
            let anew = socket.frame("subscribed").await;
            if anew["epoch"] != 0 {
                break anew;
            }
        };
        assert!(anew["epoch"].as_u64() > subscribed["epoch"].as_u64());
        let snapshot = loop {
            let snapshot = socket.frame("snapshot").await;
            if snapshot["rows"].as_array().unwrap().len() == 2 {
                break snapshot;
            }
        };
        assert_eq!(snapshot["done"], true);
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_starts_when_its_view_does_and_ends_with_it() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, city STRING, n BIGINT)")
        .await;
    let mut socket = t.socket().await;
    let waiting = socket.subscribe("view:per").await;
    assert!(waiting["notices"][0].as_str().unwrap().contains("no view"));
    t.sql(VIEW).await;
    let begun = socket.frame("subscribed").await;
    assert_eq!(begun["columns"].as_array().unwrap().len(), 2);
    socket.frame("snapshot").await;
    t.sql("DROP VIEW per").await;
    let closing = socket.frame("closing").await;
    assert_eq!(closing["epoch"], begun["epoch"]);
    assert_eq!(closing["reason"], "the view has been dropped");
    t.server.stop().await;
}

/// Opens a WebSocket by hand, so that nothing answers its pings.
async fn deaf(t: &Tester) -> tokio::net::TcpStream {
    let mut stream = t.connect().await;
    let head = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_heard_of_is_cut() {
    let t = Tester::start(|c| c.limits.socket_seconds = 1).await;
    let mut silent = deaf(&t).await;
    let mut live = t.socket().await;
    live.subscribe("dashboard:metrics").await;
    let cut = async {
        let mut all = Vec::new();
        let end = tokio::time::timeout(super::PATIENCE, silent.read_to_end(&mut all)).await;
        assert!(end.is_ok(), "it is still open");
        // A ping of no bytes, and the reason.
        assert!(all.windows(2).any(|w| w == [0x89, 0]), "there was no ping");
        let text = String::from_utf8_lossy(&all);
        assert!(text.contains("nothing was heard"), "{text}");
    };
    // The other one answers its pings by reading, and stays.
    let stays = async {
        for _ in 0..4 {
            live.frame("changes").await;
        }
    };
    tokio::join!(cut, stays);
    t.server.stop().await;
}
