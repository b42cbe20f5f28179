//! The demo's streams and views, made in SQL over the server's own HTTP port.

use crate::sql::client::{Client, ClientError, Reply};
use anyhow::Context;

/// Streams, in the order in which they are made.
const STREAMS: &[(&str, &str)] = &[
    (
        "flights",
        "CREATE STREAM flights (time TIMESTAMP, origin STRING TAG, destination STRING TAG, delay INT, distance INT) \
         WITH (event_time = 'time');",
    ),
    (
        "host_samples",
        "CREATE STREAM host_samples (timestamp TIMESTAMP, cpu_percent DOUBLE, memory_percent DOUBLE, \
         memory_used_bytes BIGINT, disk_read_bytes_per_sec DOUBLE, disk_write_bytes_per_sec DOUBLE, \
         net_rx_bytes_per_sec DOUBLE, net_tx_bytes_per_sec DOUBLE);",
    ),
    (
        "purchases",
        "CREATE STREAM purchases (user_id BIGINT, amount DECIMAL(10,2), city STRING, timestamp TIMESTAMP) \
         WITH (kafka_topic = 'purchases', value_format = 'JSON');",
    ),
];

/// Views over them.
const VIEWS: &[(&str, &str)] = &[
    (
        "flights_per_minute",
        "CREATE MATERIALIZED VIEW flights_per_minute AS SELECT origin, COUNT(*) AS flights, AVG(delay) AS avg_delay \
         FROM flights WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY origin;",
    ),
    (
        "host_metrics",
        "CREATE MATERIALIZED VIEW host_metrics AS SELECT AVG(cpu_percent) AS cpu_percent, \
         AVG(memory_percent) AS memory_percent, MAX(memory_used_bytes) AS memory_used_bytes, \
         AVG(disk_read_bytes_per_sec) AS disk_read_bytes_per_sec, \
         AVG(disk_write_bytes_per_sec) AS disk_write_bytes_per_sec, \
         AVG(net_rx_bytes_per_sec) AS net_rx_bytes_per_sec, AVG(net_tx_bytes_per_sec) AS net_tx_bytes_per_sec \
         FROM host_samples WINDOW TUMBLING (SIZE 10 SECONDS);",
    ),
    (
        "fraud",
        "CREATE MATERIALIZED VIEW fraud AS SELECT user_id, COUNT(*) as purchase_count, \
         COUNT(DISTINCT city) as city_count, COLLECT_LIST(city) as cities FROM purchases \
         GROUP BY user_id, HOP(timestamp, INTERVAL '1' HOUR, INTERVAL '5' MINUTE) \
         HAVING COUNT(*) >= 5 AND COUNT(DISTINCT city) >= 3;",
    ),
];

/// Makes what is not there yet. An earlier run may have been ended anywhere.
pub(super) async fn make(client: &Client) -> anyhow::Result<()> {
    for (listing, objects) in [("SHOW STREAMS", STREAMS), ("SHOW VIEWS", VIEWS)] {
        let there = names(client, listing).await.context(listing)?;
        for (name, statement) in objects {
            if !there.iter().any(|n| n == name) {
                client
                    .sql(statement, "")
                    .await
                    .with_context(|| format!("making {name}: {statement}"))?;
            }
        }
    }
    Ok(())
}

async fn names(client: &Client, listing: &str) -> Result<Vec<String>, ClientError> {
    let body = client.sql(listing, "").await?;
    let reply = Reply::parse(&body)?;
    let at = reply
        .columns
        .iter()
        .position(|c| c.name == "name")
        .unwrap_or(0);
    let cells = reply.rows.iter().filter_map(|row| row.get(at));
    Ok(cells
        .filter_map(|cell| serde_json::from_str(cell.get()).ok())
        .collect())
}

/// The latest flight in the database, in seconds since the epoch, and how many there are.
pub(super) async fn replayed(client: &Client) -> anyhow::Result<(Option<i64>, u64)> {
    let body = client
        .sql(
            "SELECT MAX(time) AS latest, COUNT(*) AS flights FROM flights",
            "epoch=s",
        )
        .await?;
    let reply = Reply::parse(&body)?;
    let [row] = reply.rows.as_slice() else {
        anyhow::bail!("the count of flights has {} rows", reply.rows.len())
    };
    let [latest, flights] = row.as_slice() else {
        anyhow::bail!("the count of flights has {} cells", row.len())
    };
    Ok((
        serde_json::from_str(latest.get())?,
        serde_json::from_str(flights.get())?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_is_one_that_makes_what_it_is_listed_under() {
        for (name, statement) in STREAMS.iter().chain(VIEWS) {
            let parsed = query_lang::parse_statements(statement).unwrap();
            assert_eq!(parsed.len(), 1, "{statement}");
            assert!(statement.contains(&format!(" {name} ")), "{statement}");
        }
    }
}
