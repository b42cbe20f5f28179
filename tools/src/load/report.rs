//! What a run amounts to, counted while it goes and printed at its end.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Latencies up to a minute, to three digits, in microseconds.
pub(super) fn histogram() -> Histogram<u64> {
    // Invariant: the bounds are constants that the constructor accepts.
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant histogram bounds")
}

/// Notes one latency.
pub(super) fn note(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record((latency.as_micros() as u64).max(1));
}

/// Shared counters that the progress line reads.
#[derive(Default)]
pub(super) struct Counters {
    pub rows: AtomicU64,
    pub requests: AtomicU64,
    pub bytes: AtomicU64,
    /// Requests that the server was too busy for (429, 503); each was sent again.
    pub busy: AtomicU64,
}

impl Counters {
    pub fn acknowledged(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What the sampled reader found.
#[derive(Default, Clone, Debug)]
pub(super) struct Verified {
    pub sampled: u64,
    pub missed: u64,
    pub first_miss: Option<String>,
}

/// The end of a run.
pub(super) struct Summary {
    pub seconds: f64,
    pub counters: Counters,
    pub latency: Histogram<u64>,
    /// What the workload tells about the acknowledged rows.
    pub facts: Map<String, Value>,
    pub verified: Option<Verified>,
    /// Why the run ended before its time.
    pub error: Option<anyhow::Error>,
}

impl Summary {
    fn ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    fn count(value: &AtomicU64) -> u64 {
        value.load(Ordering::Relaxed)
    }

    /// One object.
    pub fn json(&self) -> Value {
        let c = &self.counters;
        let (rows, requests, bytes) = (
            Self::count(&c.rows),
            Self::count(&c.requests),
            Self::count(&c.bytes),
        );
        let rate = |n: u64| (n as f64 / self.seconds.max(1e-9)).round();
        let mut out = json!({
            "rows": rows, "seconds": self.seconds, "rows_per_s": rate(rows), "requests": requests,
            "requests_per_s": rate(requests), "bytes": bytes, "busy": Self::count(&c.busy),
            "ack_ms": {
                "mean": self.latency.mean() / 1e3, "p50": self.ms(0.5), "p90": self.ms(0.9), "p99": self.ms(0.99),
                "p999": self.ms(0.999), "max": self.latency.max() as f64 / 1e3,
            },
        });
        if let Value::Object(object) = &mut out {
            object.extend(self.facts.clone());
            if let Some(v) = &self.verified {
                object.insert(
                    "verify".into(),
                    json!({"sampled": v.sampled, "missed": v.missed, "first_miss": v.first_miss}),
                );
            }
            if let Some(error) = &self.error {
                object.insert("error".into(), format!("{error:#}").into());
            }
        }
        out
    }

    /// A few lines for people.
    pub fn text(&self) -> String {
        let c = &self.counters;
        let rows = Self::count(&c.rows);
        let mut out = format!(
            "{rows} rows in {:.2} s: {:.0} rows/s, {:.1} MB/s, {} requests\nack p50 {:.2} ms, p90 {:.2}, p99 {:.2}, max {:.2}\n",
            self.seconds,
            rows as f64 / self.seconds.max(1e-9),
            Self::count(&c.bytes) as f64 / self.seconds.max(1e-9) / 1e6,
            Self::count(&c.requests),
            self.ms(0.5),
            self.ms(0.9),
            self.ms(0.99),
            self.latency.max() as f64 / 1e3,
        );
        let busy = Self::count(&c.busy);
        if busy > 0 {
            out += &format!("the server was busy {busy} times; those requests were sent again\n");
        }
        for (name, value) in &self.facts {
            out += &format!("{name}: {value}\n");
        }
        if let Some(v) = &self.verified {
            out += &format!(
                "read back {} acknowledged rows, {} missed\n",
                v.sampled, v.missed
            );
        }
        out
    }
}
