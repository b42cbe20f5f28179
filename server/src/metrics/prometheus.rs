//! `/metrics` in Prometheus' text form.

use super::{CLASSES, Metrics, Route, Snapshot, process_use};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the histograms' buckets, in nanoseconds.
const BOUNDS: [u64; 14] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// Writes metric families, each with its help and type.
pub(crate) struct Page {
    pub(crate) text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A family of one value.
    pub(crate) fn one(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        value: impl std::fmt::Display,
    ) {
        self.head(name, kind, help);
        let _ = writeln!(self.text, "{name} {value}");
    }

    /// A family with a value for each label.
    pub(crate) fn many<V: std::fmt::Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, V)>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in values {
            let _ = writeln!(self.text, "{name}{{{labels}}} {value}");
        }
    }

    fn histogram(&mut self, name: &str, help: &str, s: &Snapshot) {
        self.head(name, "histogram", help);
        for bound in BOUNDS {
            let _ = writeln!(
                self.text,
                "{name}_bucket{{le=\"{}\"}} {}",
                bound as f64 / 1e9,
                s.at_most(bound)
            );
        }
        let _ = writeln!(
            self.text,
            "{name}_bucket{{le=\"+Inf\"}} {0}\n{name}_count {0}\n{name}_sum {1}",
            s.count(),
            s.sum as f64 / 1e9
        );
    }

    fn quantiles(&mut self, name: &str, help: &str, s: &Snapshot) {
        let values = [0.5, 0.95, 0.99].into_iter().filter_map(|q| {
            s.quantile(q)
                .map(|ns| (format!("quantile=\"{q}\""), ns as f64 / 1e9))
        });
        let values: Vec<_> = values.collect();
        self.many(name, "gauge", help, values);
    }
}

/// A label's value as the format wants it.
pub(crate) fn label(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The whole page; `more` adds what others know.
pub(crate) fn render(
    metrics: &Metrics,
    engine: &tsdb::Engine,
    more: impl FnOnce(&mut Page),
) -> String {
    let mut page = Page {
        text: String::with_capacity(8192),
    };
    page.many(
        "tidemill_http_requests_total",
        "counter",
        "Requests by group of routes and class of status.",
        Route::ALL.into_iter().flat_map(|route| {
            (0..CLASSES).map(move |class| {
                (
                    format!("route=\"{}\",status=\"{}xx\"", route.name(), class + 1),
                    metrics.requests(route, class),
                )
            })
        }),
    );
    page.one(
        "tidemill_rows_accepted_total",
        "counter",
        "Rows acknowledged.",
        load(&metrics.rows_accepted),
    );
    page.one(
        "tidemill_rows_rejected_total",
        "counter",
        "Rows refused, each with its reason.",
        load(&metrics.rows_rejected),
    );
    page.one(
        "tidemill_received_bytes_total",
        "counter",
        "Bytes of write requests, decompressed.",
        load(&metrics.bytes_received),
    );
    let helps = [
        (
            "commit",
            "From a write request's head until its rows are durable and visible.",
        ),
        (
            "event",
            "Event processing: from a write request's head until its rows are durable, visible and in all views.",
        ),
        ("query", "From a query's head to its last row."),
        (
            "push",
            "From an event's commit until its change is handed to a subscriber.",
        ),
    ];
    for ((name, help), (all, last)) in helps.into_iter().zip(metrics.times()) {
        page.histogram(&format!("tidemill_{name}_seconds"), help, &all);
        page.quantiles(
            &format!("tidemill_{name}_quantile_seconds"),
            &format!("Quantiles of tidemill_{name}_seconds over the last minute."),
            &last,
        );
    }
    page.one(
        "tidemill_connections",
        "gauge",
        "Connections now.",
        load(&metrics.connections),
    );
    page.one(
        "tidemill_websockets",
        "gauge",
        "WebSocket connections now.",
        load(&metrics.sockets),
    );
    page.one(
        "tidemill_subscriptions",
        "gauge",
        "Subscriptions now.",
        load(&metrics.subscriptions),
    );
    page.one(
        "tidemill_frames_sent_total",
        "counter",
        "Frames handed to subscribers.",
        load(&metrics.frames_sent),
    );
    page.one(
        "tidemill_subscribers_cut_total",
        "counter",
        "Subscribers that were cut because they did not read.",
        load(&metrics.subscribers_cut),
    );
    page.one(
        "tidemill_panics_total",
        "counter",
        "Requests that ended in a panic.",
        load(&metrics.panics),
    );
    engine_metrics(&mut page, engine);
    let used = process_use();
    page.one(
        "process_cpu_seconds_total",
        "counter",
        "Processor time of this process.",
        used.cpu_seconds,
    );
    page.one(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of this process.",
        used.resident_bytes,
    );
    page.one(
        "process_open_fds",
        "gauge",
        "Open files of this process.",
        used.open_files,
    );
    page.one(
        "tidemill_uptime_seconds",
        "gauge",
        "Seconds since the start.",
        metrics.started.elapsed().as_secs_f64(),
    );
    more(&mut page);
    page.text
}

fn engine_metrics(page: &mut Page, engine: &tsdb::Engine) {
    let m = engine.metrics();
    page.one(
        "tidemill_published_lsn",
        "gauge",
        "The highest LSN that is durable and visible.",
        load(&m.published),
    );
    page.one(
        "tidemill_commits_total",
        "counter",
        "Commits: groups of requests that became durable together.",
        load(&m.commits),
    );
    page.one(
        "tidemill_commit_requests_total",
        "counter",
        "Requests in commits.",
        load(&m.requests),
    );
    page.one(
        "tidemill_commit_rows_total",
        "counter",
        "Rows in commits.",
        load(&m.rows),
    );
    page.one(
        "tidemill_group_commit_seconds_total",
        "counter",
        "Time from the taking of a group to its acknowledgement.",
        load(&m.commit_ns) as f64 / 1e9,
    );
    let queued = engine.queued();
    page.one(
        "tidemill_queued_requests",
        "gauge",
        "Requests, batches of sources among them, that wait for their commit.",
        queued.requests,
    );
    page.one(
        "tidemill_queued_bytes",
        "gauge",
        "Bytes of requests that wait for their commit.",
        queued.bytes,
    );
    page.one(
        "tidemill_head_bytes",
        "gauge",
        "Rows in memory.",
        load(&m.head_bytes),
    );
    page.one(
        "tidemill_wal_bytes",
        "gauge",
        "Log files that hold records.",
        load(&m.wal_bytes),
    );
    page.one(
        "tidemill_wal_ready_bytes",
        "gauge",
        "Log files kept ready for the next records.",
        load(&m.wal_ready_bytes),
    );
    page.one(
        "tidemill_flushes_total",
        "counter",
        "Flushes.",
        load(&m.flushes),
    );
    page.one(
        "tidemill_flush_seconds_total",
        "counter",
        "Time spent in flushes.",
        load(&m.flush_ns) as f64 / 1e9,
    );
    page.one(
        "tidemill_damaged_parts",
        "gauge",
        "Parts of the database that could not be read when it was opened.",
        engine.damage().len(),
    );
    page.one(
        "tidemill_log_poisoned",
        "gauge",
        "1 when the log has failed and a restart is needed.",
        u8::from(m.poisoned.load(Ordering::Relaxed)),
    );
}
