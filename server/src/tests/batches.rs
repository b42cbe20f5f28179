//! Rows over a WebSocket.

use super::{Socket, Tester};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

async fn with_stream() -> (Tester, Socket) {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, city STRING, n BIGINT)")
        .await;
    let socket = t.socket().await;
    (t, socket)
}

fn batch(id: &str, rows: Value) -> Value {
    json!({"action": "ingest", "id": id, "stream": "s", "rows": rows})
}

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_is_acknowledged_once_its_rows_are_visible() {
    let (t, mut socket) = with_stream().await;
    t.sql("CREATE MATERIALIZED VIEW per AS SELECT city, COUNT(*) AS n FROM s GROUP BY city")
        .await;
    let rows = json!([{"time": 1, "city": "Oslo", "n": 1}, {"time": 2, "n": "x"}, {"time": 3, "city": "Rome", "n": 3}]);
    socket.send(batch("b1", rows)).await;
    let credit = socket.next().await.unwrap();
    assert_eq!(credit["type"], "credit");
    assert!(credit["bytes"].as_u64() > Some(0) && credit["frames"].as_u64() > Some(0));
    let ack = socket.frame("ack").await;
    assert_eq!(
        (&ack["id"], &ack["accepted"], &ack["rejected"]),
        (&json!("b1"), &json!(2), &json!(1))
    );
    assert_eq!(ack["errors"][0]["row"], 2);
    assert!(ack.get("replayed").is_none());
    let lsn = ack["lsn"].as_u64().unwrap();
    assert!(t.app().engine.published().0 >= lsn);
    assert_eq!(t.sql("SELECT SUM(n) FROM per").await["rows"], json!([[2]]));
    assert_eq!(
        t.sql("SELECT COUNT(*) FROM dead_letters").await["rows"],
        json!([[1]])
    );

    let forms = [
        json!({"action": "ingest", "id": "lp", "format": "line_protocol", "db": "d", "precision": "s", "data": "m,a=b v=1 5\nm bad"}),
        json!({"action": "ingest", "id": "csv", "stream": "made", "create": true, "format": "csv", "data": "ts,v\n1,2\n"}),
        json!({"action": "ingest", "id": "nd", "stream": "s", "format": "ndjson", "data": "{\"time\":9,\"n\":9}\n"}),
    ];
    for form in &forms {
        socket.send(form.clone()).await;
    }
    let mut acks = BTreeMap::new();
    while acks.len() < forms.len() {
        let ack = socket.frame("ack").await;
        let counts = (ack["accepted"].clone(), ack["rejected"].clone());
        assert!(
            acks.insert(ack["id"].to_string(), counts).is_none(),
            "{ack}"
        );
    }
    assert_eq!(acks["\"lp\""], (json!(1), json!(1)));
    assert_eq!(acks["\"csv\""], (json!(1), json!(0)));
    assert_eq!(t.sql("SELECT a FROM d.m").await["rows"], json!([["b"]]));
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_stored_is_an_error_of_its_batch() {
    let (t, mut socket) = with_stream().await;
    let bad = [
        (
            json!({"action": "ingest", "stream": "s", "rows": []}),
            Value::Null,
            "bad_request",
        ),
        (
            json!({"action": "ingest", "id": "a", "stream": "none", "rows": [{"n": 1}]}),
            json!("a"),
            "not_found",
        ),
        (
            json!({"action": "ingest", "id": "b", "stream": "s"}),
            json!("b"),
            "bad_request",
        ),
        (
            json!({"action": "ingest", "id": "c", "stream": "s", "rows": [], "data": ""}),
            json!("c"),
            "bad_request",
        ),
        (
            json!({"action": "ingest", "id": "d", "stream": "s", "format": "xml", "data": ""}),
            json!("d"),
            "bad_request",
        ),
        (
            json!({"action": "ingest", "id": "e", "rows": []}),
            json!("e"),
            "bad_request",
        ),
        (
            json!({"action": "ingest", "id": "f", "stream": "s", "create": "true", "rows": []}),
            json!("f"),
            "bad_request",
        ),
        (
            json!({"action": "ingest", "id": 7, "stream": "s", "rows": []}),
            Value::Null,
            "bad_request",
        ),
    ];
    for (frame, id, code) in bad {
        socket.send(frame.clone()).await;
        let error = socket.frame("error").await;
        assert_eq!(
            (&error["id"], &error["error"]["code"]),
            (&id, &json!(code)),
            "{frame}"
        );
    }
    // None of that took credit for good.
    for i in 0..200 {
        socket
            .send(batch(&i.to_string(), json!([{"time": i, "n": i}])))
            .await;
        assert_eq!(socket.frame("ack").await["id"], i.to_string());
    }
    assert_eq!(
        t.sql("SELECT COUNT(*) FROM s").await["rows"],
        json!([[200]])
    );
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_heeds_its_credit_is_never_refused() {
    let (t, mut socket) = with_stream().await;
    let padding = "x".repeat(50_000);
    let (mut bytes, mut frames, mut acked) = (0i64, 0i64, 0);
    socket.send(batch("hello", json!([]))).await;
    let mut sent = batch("hello", json!([])).to_string().len() as i64;
    (bytes, frames) = (bytes - sent, frames - 1);
    let all = 120;
    let mut next = 0;
    while acked < all {
        let frame = batch(
            &next.to_string(),
            json!([{"time": next, "city": padding, "n": next}]),
        );
        sent = frame.to_string().len() as i64;
        if next < all && bytes >= sent && frames > 0 {
            socket.send(frame).await;
            (bytes, frames, next) = (bytes - sent, frames - 1, next + 1);
            continue;
        }
        let got = socket.next().await.unwrap();
        match got["type"].as_str() {
            Some("credit") => {
                bytes += got["bytes"].as_i64().unwrap();
                frames += got["frames"].as_i64().unwrap();
            }
            Some("ack") => acked += i32::from(got["id"] != "hello"),
            _ => panic!("{got}"),
        }
    }
    assert_eq!(
        t.sql("SELECT COUNT(*), COUNT(DISTINCT n) FROM s").await["rows"],
        json!([[120, 120]])
    );
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_beyond_the_credit_are_refused_and_then_the_connection_ends() {
    let (t, mut socket) = with_stream().await;
    // Nothing becomes visible while the barrier is held, so nothing is acknowledged.
    let (begun, begins) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let app = t.app().clone();
    let holder = std::thread::spawn(move || {
        app.engine.barrier(|_| {
            begun.send(()).unwrap();
            released.recv().unwrap();
        });
    });
    begins.recv().unwrap();
    let padding = "x".repeat(200_000);
    let (within, beyond) = (5, 17);
    for i in 0..within + beyond {
        let rows = json!([{"time": i, "city": padding, "n": i}]);
        socket.send(batch(&i.to_string(), rows)).await;
    }
    for i in within..within + beyond {
        let error = socket.frame("error").await;
        assert_eq!(error["error"]["code"], "no_credit");
        assert_eq!(error["id"], i.to_string());
    }
    release.send(()).unwrap();
    holder.join().unwrap();
    let mut acked = BTreeSet::new();
    let closing = loop {
        let frame = socket.next().await.unwrap();
        match frame["type"].as_str() {
            Some("ack") => assert!(acked.insert(frame["id"].to_string()), "{frame}"),
            Some("credit") => {}
            Some("closing") => break frame,
            _ => panic!("{frame}"),
        }
    };
    assert!(
        closing["reason"].as_str().unwrap().contains("credit"),
        "{closing}"
    );
    assert_eq!(acked.len(), within);
    let stored = t.sql("SELECT COUNT(*), MAX(n) FROM s").await;
    assert_eq!(stored["rows"], json!([[within, within - 1]]));
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_key_is_stored_once() {
    let (t, mut socket) = with_stream().await;
    let mut frame = batch("a", json!([{"time": 1, "n": 1}]));
    frame["key"] = "k".into();
    socket.send(frame.clone()).await;
    let first = socket.frame("ack").await;
    frame["id"] = "b".into();
    socket.send(frame.clone()).await;
    let again = socket.frame("ack").await;
    assert_eq!(
        (&again["id"], &again["lsn"], &again["replayed"]),
        (&json!("b"), &first["lsn"], &json!(true))
    );
    frame["rows"] = json!([{"time": 2, "n": 2}]);
    socket.send(frame).await;
    assert_eq!(socket.frame("error").await["error"]["code"], "key_reused");
    assert_eq!(t.sql("SELECT COUNT(*) FROM s").await["rows"], json!([[1]]));
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_long_is_told_so() {
    let (t, mut socket) = with_stream().await;
    socket
        .send(batch("a", json!([{"city": "x".repeat(300_000)}])))
        .await;
    let closing = socket.frame("closing").await;
    assert!(closing["reason"].as_str().unwrap().contains("256 KiB"));
    t.server.stop().await;
}
