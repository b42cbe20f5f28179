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
