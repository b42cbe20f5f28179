//! Sources, as statements see them.

use super::Tester;
use serde_json::json;

/// The columns that a source brings are there for the next statement, though its thread may not have begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_included_can_be_named_at_once() {
    let t = Tester::start(|_| ()).await;
    for n in 0..30 {
        let options = "kafka_topic = 't', kafka_brokers = '127.0.0.1:1', include = 'key, offset, header:h as h'";
        t.sql(&format!(
            "CREATE STREAM s{n} (v BIGINT) WITH ({options}); \
             CREATE MATERIALIZED VIEW v{n} AS SELECT h, MAX(\"offset\") AS hi FROM s{n} GROUP BY h"
        ))
        .await;
    }
    t.sql("CREATE TABLE k (id STRING PRIMARY KEY, v BIGINT) WITH (kafka_topic = 't', kafka_brokers = '127.0.0.1:1', include = 'key as id, offset')")
        .await;
    let empty = t.sql("SELECT id, v, \"offset\" FROM k").await;
    assert_eq!(empty["rows"], json!([]));
}

/// Whoever makes a stream whose source can't be read hears of it at once, and finds the reason later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_can_not_be_read_is_told_of() {
    let t = Tester::start(|_| ()).await;
    for (name, options, why) in [
        ("f", "file_path = '/etc/passwd'", "file_roots"),
        ("n", "nats_subject = 'a'", "nats_url"),
        ("m", "mqtt_topic = 'a'", "mqtt_url"),
        ("k", "kafka_topic = 'a'", "kafka_brokers"),
    ] {
        let made = t
            .sql(&format!("CREATE STREAM {name} (v BIGINT) WITH ({options})"))
            .await;
        assert!(made["notices"].to_string().contains(why), "{made}");
        let shown = t.sql(&format!("SHOW SOURCES LIKE '{name}'")).await;
        assert!(shown["rows"].to_string().contains(why), "{shown}");
    }
}
