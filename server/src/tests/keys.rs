//! `Idempotency-Key`.

use super::{Reply, Tester};
use crate::{Config, Server};
use serde_json::json;

const ROW: &str = r#"{"time":1,"v":2}"#;

async fn keyed(t: &Tester, path: &str, key: &str, body: &str) -> Reply {
    let headers = format!("idempotency-key: {key}\r\n");
    t.request("POST", path, &headers, body.as_bytes()).await
}

fn replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == Some("true")
}

async fn count(t: &Tester, stream: &str) -> u64 {
    let rows = t.sql(&format!("SELECT COUNT(*) FROM {stream}")).await;
    rows["rows"][0][0].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_changes_nothing_and_gets_the_first_reply() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v DOUBLE)").await;
    let cases = [
        (
            "/api/v1/ingest/s",
            "{\"time\":1,\"v\":2}\n{\"time\":2,\"v\":\"x\"}",
            "s",
        ),
        ("/write?db=default", "m v=1 1", "m"),
        ("/write?db=default", "n v=1 1\nn v=", "n"),
        ("/api/v2/write?bucket=default", "o v=1 1", "o"),
        (
            "/api/v1/sql",
            "INSERT INTO s (time, v) VALUES ('2026-01-01', 1)",
            "s",
        ),
    ];
    for (i, (path, body, stream)) in cases.into_iter().enumerate() {
        let key = format!("k{i}");
        let first = keyed(&t, path, &key, body).await;
        let rows = count(&t, stream).await;
        assert!(!replayed(&first), "{path}: {}", first.text());
        for _ in 0..2 {
            let again = keyed(&t, path, &key, body).await;
            assert!(replayed(&again), "{path}");
            assert_eq!(again.status, first.status, "{path}");
            if path == "/api/v1/sql" {
                assert_eq!(again.json()["lsn"], first.json()["lsn"]);
                assert_eq!(again.json()["message"], first.json()["message"]);
            } else {
                assert_eq!(again.text(), first.text(), "the same reply, to the LSN");
            }
        }
        assert_eq!(count(&t, stream).await, rows, "{path}");
        let other = keyed(&t, path, &key, &format!("{body} ")).await;
        assert_eq!(other.status, 422, "{path}: {}", other.text());
        // Keys are of their routes.
        assert!(!replayed(
            &keyed(&t, "/api/v1/ingest/s", &format!("{key}x"), ROW).await
        ));
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_leaves_no_key() {
    let t = Tester::start(|_| ()).await;
    assert_eq!(keyed(&t, "/api/v1/ingest/s", "k", ROW).await.status, 404);
    let bad = keyed(&t, "/api/v1/sql", "k", "INSERT INTO s (v) VALUES (1)").await;
    assert!(bad.status >= 400);
    t.sql("CREATE STREAM s (time TIMESTAMP, v DOUBLE)").await;
    let reply = keyed(&t, "/api/v1/ingest/s", "k", ROW).await;
    assert_eq!((reply.status, replayed(&reply)), (200, false));
    let sql = "CREATE STREAM other (time TIMESTAMP)";
    let (first, again) = (
        keyed(&t, "/api/v1/sql", "d", sql).await,
        keyed(&t, "/api/v1/sql", "d", sql).await,
    );
    assert_eq!(
        (first.status, again.status, replayed(&again)),
        (200, 200, true),
        "{}",
        again.text()
    );
    let many = keyed(
        &t,
        "/api/v1/sql",
        "m",
        "SELECT 1; CREATE STREAM x (time TIMESTAMP)",
    )
    .await;
    assert_eq!(many.status, 400);
    let reads = keyed(&t, "/api/v1/sql", "r", "SELECT 1").await;
    assert_eq!((reads.status, replayed(&reads)), (200, false));
    let long = "k".repeat(300);
    assert_eq!(keyed(&t, "/api/v1/ingest/s", &long, ROW).await.status, 400);
    t.server.stop().await;
}

/// A crash between what a statement changes and its reply would let it change something twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_statements_reply_lies_in_its_commit() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE TABLE users (id BIGINT PRIMARY KEY, city STRING); INSERT INTO users VALUES (1, 'Oslo'), (2, 'Rome')")
        .await;
    let statements = [
        "DELETE FROM users WHERE city = 'Oslo'",
        "DELETE FROM users WHERE city = 'Nowhere'",
        "CREATE STREAM s (time TIMESTAMP, v BIGINT)",
        "CREATE MATERIALIZED VIEW v AS SELECT COUNT(*) AS n FROM s",
        "INSERT INTO s (time, v) VALUES ('2026-01-01', 1)",
        "DROP VIEW v",
        "DROP STREAM s",
    ];
    for sql in statements {
        let before = t.app().engine.published();
        let first = keyed(
            &t,
            "/api/v1/sql",
            sql.replace([' ', '\''], "_").as_str(),
            sql,
        )
        .await;
        assert_eq!(first.status, 200, "{sql}: {}", first.text());
        let after = t.app().engine.published();
        // A view's own commits may come between.
        let own = after.0 - before.0;
        assert!(own == 1 || sql.contains("VIEW") && own > 0, "{sql}: {own}");
        t.sql("UPSERT INTO users VALUES (1, 'Oslo')").await;
        let again = keyed(
            &t,
            "/api/v1/sql",
            sql.replace([' ', '\''], "_").as_str(),
            sql,
        )
        .await;
        assert!(replayed(&again), "{sql}");
        assert_eq!(again.json()["lsn"], first.json()["lsn"], "{sql}");
        assert_eq!(count(&t, "users").await, 2, "{sql}");
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_first() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (time TIMESTAMP, v DOUBLE)").await;
    for round in 0..20 {
        let key = format!("k{round}");
        let all = (0..16).map(|_| keyed(&t, "/api/v1/ingest/s", &key, ROW));
        let replies = futures::future::join_all(all).await;
        let firsts = replies.iter().filter(|r| !replayed(r)).count();
        assert_eq!(firsts, 1);
        assert!(
            replies
                .iter()
                .all(|r| r.text() == replies[0].text() && r.status == 200)
        );
        assert_eq!(count(&t, "s").await, round + 1);
    }
    t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().join("data"),
        listen: "127.0.0.1:0".into(),
        ..Config::default()
    };
    let mut first = None;
    for round in 0..3 {
        let mut server = Server::start(config.clone()).await.unwrap();
        server.ready().await.unwrap();
        let t = Tester {
            server,
            _dir: tempfile::tempdir().unwrap(),
        };
        let reply = keyed(&t, "/api/v1/ingest/s?create", "k", ROW).await;
        assert_eq!(
            (reply.status, replayed(&reply)),
            (200, round > 0),
            "{}",
            reply.text()
        );
        assert_eq!(reply.text(), *first.get_or_insert_with(|| reply.text()));
        assert_eq!(t.sql("SELECT COUNT(*) FROM s").await["rows"], json!([[1]]));
        if round == 1 {
            // The second time it comes from the ledger's file rather than from the log.
            assert_eq!(t.post("/api/v1/admin/flush", "").await.status, 200);
        }
        t.server.stop().await;
    }
}
