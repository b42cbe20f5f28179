//! `dashboard:metrics`: one row a second of what this server and its host do.

use super::frames::{self, Label};
use crate::http::App;
use crate::metrics::{Host, HostSample, Snapshot};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// The topic.
pub(crate) const TOPIC: &str = "dashboard:metrics";
/// Rows that a new subscriber gets at once.
const KEPT: usize = 900;

/// Column names and whether they are whole numbers.
const COLUMNS: [(&str, bool); 14] = [
    ("events_per_sec", false),
    ("avg_latency_ms", false),
    ("p50_latency_ms", false),
    ("p95_latency_ms", false),
    ("p99_latency_ms", false),
    ("view_lag_ms", false),
    ("events_total", true),
    ("cpu_percent", false),
    ("memory_percent", false),
    ("memory_used_bytes", true),
    ("disk_read_bytes_per_sec", false),
    ("disk_write_bytes_per_sec", false),
    ("net_rx_bytes_per_sec", false),
    ("net_tx_bytes_per_sec", false),
];

/// The rows of the last minutes, and who waits for the next.
pub(crate) struct Dashboard {
    epoch: u64,
    kept: Mutex<(u64, VecDeque<Vec<u8>>)>,
    next: broadcast::Sender<Utf8Bytes>,
}

impl Dashboard {
    /// `epoch` tells this server's rows from those of one before.
    pub(crate) fn new(epoch: u64) -> Dashboard {
        Dashboard {
            epoch,
            kept: Mutex::default(),
            next: broadcast::channel(64).0,
        }
    }

    pub(crate) fn schema() -> Schema {
        let time = Field::new(
            "timestamp",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            false,
        );
        let rest = COLUMNS.iter().map(|(name, whole)| {
            Field::new(
                *name,
                if *whole {
                    DataType::Int64
                } else {
                    DataType::Float64
                },
                true,
            )
        });
        Schema::new(std::iter::once(time).chain(rest).collect::<Vec<_>>())
    }

    fn label() -> Label {
        Label {
            topic: TOPIC.into(),
            id: None,
        }
    }

    /// What was there, as frames, and what comes; no row is in both or in neither.
    pub(crate) fn follow(&self) -> (Vec<Utf8Bytes>, broadcast::Receiver<Utf8Bytes>) {
        let kept = self.kept.lock();
        let (seq, rows) = &*kept;
        let subscribed = frames::subscribed(&Self::label(), &Self::schema(), self.epoch, *seq, &[]);
        (
            vec![subscribed, self.snapshot(*seq, rows)],
            self.next.subscribe(),
        )
    }

    /// A new beginning for a subscriber who missed rows.
    pub(crate) fn resync(&self) -> (Vec<Utf8Bytes>, broadcast::Receiver<Utf8Bytes>) {
        let kept = self.kept.lock();
        let (seq, rows) = &*kept;
        let gap = frames::gap(
            &Self::label(),
            Some(self.epoch),
            0,
            *seq,
            "the subscriber was too slow; a snapshot follows",
        );
        (vec![gap, self.snapshot(*seq, rows)], self.next.subscribe())
    }

    fn snapshot(&self, seq: u64, rows: &VecDeque<Vec<u8>>) -> Utf8Bytes {
        let mut out = Self::label().start("snapshot");
        // Writing to a Vec can't fail.
        let _ = write!(
            out,
            ",\"epoch\":{},\"seq\":{seq},\"rows\":[",
            frames::shown_epoch(self.epoch)
        );
        for (i, row) in rows.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(row);
        }
        out.extend_from_slice(b"],\"done\":true");
        frames::text(out)
    }

    /// Adds a row, which is complete up to `seq`.
    fn push(&self, seq: u64, row: Vec<u8>) {
        let mut kept = self.kept.lock();
        let prev = std::mem::replace(&mut kept.0, seq);
        let mut out = Self::label().start("changes");
        let _ = write!(
            out,
            ",\"epoch\":{},\"prev\":{prev},\"seq\":{seq},\"insert\":[",
            frames::shown_epoch(self.epoch)
        );
        out.extend_from_slice(&row);
        out.extend_from_slice(b"],\"retract\":[]");
        if kept.1.len() == KEPT {
            kept.1.pop_front();
        }
        kept.1.push_back(row);
        // Nobody listening is no fault.
        let _ = self.next.send(frames::text(out));
    }
}

/// Samples once a second until the server stops.
pub(crate) async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    let mut host = Host::new();
    let (mut rows, mut times, mut at) = (
        rows_so_far(&app),
        app.metrics.events.times().snapshot(),
        Instant::now(),
    );
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    tick.tick().await;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        app.metrics.tick();
        let seq = app.engine.published().0;
        let now = (
            rows_so_far(&app),
            app.metrics.events.times().snapshot(),
            Instant::now(),
        );
        let seconds = now.2.duration_since(at).as_secs_f64().max(1e-3);
        let events = now.0.saturating_sub(rows) as f64 / seconds;
        let row = row(&app, events, now.0, &now.1.since(&times), &host.sample());
        (rows, times, at) = now;
        app.dashboard.push(seq, row);
    }
}

fn rows_so_far(app: &App) -> u64 {
    app.engine.metrics().rows.load(Ordering::Relaxed)
}

fn row(app: &App, events: f64, total: u64, times: &Snapshot, host: &HostSample) -> Vec<u8> {
    let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
    let lag = app.views.metrics().iter().map(|v| v.lag_ns).max();
    let whole = |n: Option<u64>| n.map(|n| n as f64);
    let values: [Option<f64>; COLUMNS.len()] = [
        Some(events),
        times.mean().map(|ns| ns / 1e6),
        ms(times.quantile(0.5)),
        ms(times.quantile(0.95)),
        ms(times.quantile(0.99)),
        lag.map(|ns| ns.max(0) as f64 / 1e6),
        whole(Some(total)),
        host.cpu_percent,
        host.memory_percent,
        whole(host.memory_used),
        host.disk_read,
        host.disk_written,
        host.received,
        host.sent,
    ];
    let mut out = b"[\"".to_vec();
    crate::encode::rfc3339(app.engine.clock().wall_ns(), &mut out);
    out.push(b'"');
    for ((_, whole), value) in COLUMNS.iter().zip(values) {
        // Writing to a Vec can't fail.
        let _ = match value.filter(|v| v.is_finite()) {
            None => write!(out, ",null"),
            Some(v) if *whole => write!(out, ",{}", v as u64),
            Some(v) => write!(out, ",{:.3}", v),
        };
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_subscriber_sees_each_row_once_and_every_frame_follows_the_last() {
        let dashboard = Dashboard::new(5_000);
        dashboard.push(3, b"[1]".to_vec());
        let (first, mut next) = dashboard.follow();
        dashboard.push(3, b"[2]".to_vec());
        dashboard.push(8, b"[3]".to_vec());
        let parse = |t: &Utf8Bytes| serde_json::from_str::<Value>(t.as_str()).unwrap();
        let snapshot = parse(&first[1]);
        assert_eq!(
            parse(&first[0])["columns"].as_array().unwrap().len(),
            COLUMNS.len() + 1
        );
        assert_eq!(
            (snapshot["seq"].as_u64(), &snapshot["rows"]),
            (Some(3), &serde_json::json!([[1]]))
        );
        let mut seq = 3;
        for row in [2, 3] {
            let changes = parse(&next.try_recv().unwrap());
            assert_eq!(changes["prev"].as_u64(), Some(seq));
            assert_eq!(changes["insert"], serde_json::json!([[row]]));
            seq = changes["seq"].as_u64().unwrap();
        }
        assert!(next.try_recv().is_err());
    }
}
