//! The three sources of the demo's events, each a task that ends when it is told to, after its last request has been
//! answered.

use super::feed::{Progress, Stop, send};
use super::flights::Flights;
use super::kafka::Counter;
use super::purchases::Shop;
use crate::sql::client::Client;
use bytes::Bytes;
use serde_json::{Map, Value};
use server::{Host, HostSample};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Flights that fall due within this time are sent together.
const TICK: Duration = Duration::from_millis(100);
/// Most flights of a request.
const BATCH: u64 = 5_000;
/// The replay's clock waits when the server is slower than it: it never has more than this to catch up.
const BEHIND: Duration = Duration::from_secs(2);
/// How often purchases are sent.
const PURCHASES_EVERY: Duration = Duration::from_millis(250);
/// How often the host is sampled.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What all sources work with.
#[derive(Clone)]
pub(super) struct Source {
    /// The server.
    pub client: Client,
    /// What has been done.
    pub progress: Arc<Progress>,
    /// When to end.
    pub stop: Stop,
}

impl Source {
    async fn send(&mut self, stream: &str, kind: &str, rows: Bytes) -> anyhow::Result<bool> {
        let ack = send(&self.client, &mut self.stop, stream, kind, rows).await?;
        if let Some(ack) = &ack {
            self.progress.lsn.fetch_max(ack.lsn, Ordering::Relaxed);
        }
        Ok(ack.is_some())
    }

    /// Replays the flights after `latest`, `speed` seconds of event time a second. Tells whether all are through.
    pub(super) async fn flights(
        mut self,
        flights: Flights,
        latest: Option<i64>,
        speed: f64,
    ) -> anyhow::Result<bool> {
        let mut at = flights.after(latest);
        let Some(first) = flights.time(at) else {
            return Ok(true);
        };
        // Where the replay's clock stood, and when.
        let (mut event, mut since) = (first as f64, Instant::now());
        while let Some(due) = flights.time(at) {
            let clock = event + since.elapsed().as_secs_f64() * speed;
            if clock < due as f64 {
                let wait = Duration::try_from_secs_f64((due as f64 - clock) / speed)
                    .unwrap_or(Duration::MAX);
                // The clock goes on while no flight is due; a night is long at a low speed.
                self.progress.clock.store(clock as i64, Ordering::Relaxed);
                if self
                    .stop
                    .within(wait.clamp(TICK, Duration::from_secs(1)))
                    .await
                {
                    return Ok(false);
                }
                continue;
            }
            let (rows, count, next) = flights.batch(at, clock as i64, BATCH);
            if !self.send("flights", "text/csv", rows).await? {
                return Ok(false);
            }
            at = next;
            self.progress.flights.fetch_add(count, Ordering::Relaxed);
            self.progress.replayed.fetch_add(count, Ordering::Relaxed);
            let sent = flights.time(next - 1).unwrap_or(due);
            self.progress.clock.store(sent, Ordering::Relaxed);
            let behind = event + since.elapsed().as_secs_f64() * speed - sent as f64;
            if behind > BEHIND.as_secs_f64() * speed {
                (event, since) = (sent as f64, Instant::now());
            }
            if self.stop.is_set() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Samples the host each second.
    pub(super) async fn host(mut self) -> anyhow::Result<()> {
        let mut host = Host::new();
        while !self.stop.within(SAMPLE_EVERY).await {
            let row = Value::Object(host_row(&host.sample(), now_ms())).to_string();
            if self
                .send("host_samples", "application/x-ndjson", row.into())
                .await?
            {
                self.progress.samples.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Makes purchases, and sends them to the server or, where there is a counter, to Kafka.
    pub(super) async fn purchases(
        mut self,
        mut shop: Shop,
        counter: Option<Counter>,
    ) -> anyhow::Result<()> {
        let mut last = Instant::now();
        while !self.stop.within(PURCHASES_EVERY).await {
            let (rows, count) = shop.purchases(now_ms(), last.elapsed().as_secs_f64().min(1.0));
            last = Instant::now();
            if let Some(counter) = &counter {
                let produced = counter.produce(&rows).await?;
                self.progress
                    .purchases
                    .fetch_add(produced, Ordering::Relaxed);
            } else if count > 0 && self.send("purchases", "application/x-ndjson", rows).await? {
                self.progress.purchases.fetch_add(count, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// A sample as a row of `host_samples`; what the host does not tell is left out.
fn host_row(sample: &HostSample, now_ms: i64) -> Map<String, Value> {
    // Two digits behind the point: the rest is noise that only takes space.
    let round = |x: f64| Value::from((x * 100.0).round() / 100.0);
    let columns = [
        ("timestamp", Some(now_ms.into())),
        ("cpu_percent", sample.cpu_percent.map(round)),
        ("memory_percent", sample.memory_percent.map(round)),
        ("memory_used_bytes", sample.memory_used.map(Value::from)),
        ("disk_read_bytes_per_sec", sample.disk_read.map(round)),
        ("disk_write_bytes_per_sec", sample.disk_written.map(round)),
        ("net_rx_bytes_per_sec", sample.received.map(round)),
        ("net_tx_bytes_per_sec", sample.sent.map(round)),
    ];
    let told = columns
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    told.collect()
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_the_host_tells() {
        let sample = HostSample {
            cpu_percent: Some(33.333),
            memory_used: Some(5),
            received: Some(0.0),
            ..HostSample::default()
        };
        let row = Value::Object(host_row(&sample, 7)).to_string();
        let expected = r#"{"timestamp":7,"cpu_percent":33.33,"memory_used_bytes":5,"net_rx_bytes_per_sec":0.0}"#;
        assert_eq!(row, expected);
    }
}
