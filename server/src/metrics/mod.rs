//! What the server counts, for `/metrics` and `dashboard:metrics`.

mod flow;
mod histogram;
mod host;
mod prometheus;
mod window;

pub(crate) use flow::Flow;
pub(crate) use histogram::{Histogram, Snapshot};
use host::process_use;
pub use host::{Host, HostSample};
pub(crate) use prometheus::{Page, label, render};
use window::Window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Groups of routes that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    LineProtocol,
    Samples,
    Ingest,
    Sql,
    Admin,
    Page,
    Other,
}

impl Route {
    pub(crate) const ALL: [Route; 7] = [
        Route::LineProtocol,
        Route::Samples,
        Route::Ingest,
        Route::Sql,
        Route::Admin,
        Route::Page,
        Route::Other,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Route::LineProtocol => "line_protocol",
            Route::Samples => "samples",
            Route::Ingest => "ingest",
            Route::Sql => "sql",
            Route::Admin => "admin",
            Route::Page => "page",
            Route::Other => "other",
        }
    }
}

/// Replies by the first digit of their status: 1 to 5.
pub(crate) const CLASSES: usize = 5;

/// Counters, all since the server was started.
pub(crate) struct Metrics {
    pub(crate) started: Instant,
    requests: [[AtomicU64; CLASSES]; Route::ALL.len()],
    /// From the head of a write request to the moment when its rows are durable and visible, nanoseconds.
    pub(crate) writes: Histogram,
    /// From the head of a write request to the moment when its rows are in all views, too.
    pub(crate) events: Arc<Flow>,
    /// From the head of a query to its last row, nanoseconds.
    pub(crate) queries: Histogram,
    /// From a commit's wall time to the moment when a frame with its changes is handed to a subscriber, nanoseconds.
    pub(crate) pushes: Histogram,
    /// The last minute of writes, events, queries and pushes.
    windows: [Window; 4],
    pub(crate) rows_accepted: AtomicU64,
    pub(crate) rows_rejected: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) sockets: AtomicU64,
    pub(crate) subscriptions: AtomicU64,
    pub(crate) frames_sent: AtomicU64,
    pub(crate) subscribers_cut: AtomicU64,
    pub(crate) panics: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            started: Instant::now(),
            requests: Default::default(),
            writes: Histogram::default(),
            events: Arc::default(),
            queries: Histogram::default(),
            pushes: Histogram::default(),
            windows: Default::default(),
            rows_accepted: AtomicU64::new(0),
            rows_rejected: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
            frames_sent: AtomicU64::new(0),
            subscribers_cut: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// What is timed, in the order of the windows.
    fn timed(&self) -> [&Histogram; 4] {
        [
            &self.writes,
            self.events.times(),
            &self.queries,
            &self.pushes,
        ]
    }

    /// To be called once a second: moves the windows on.
    pub(crate) fn tick(&self) {
        for (window, histogram) in self.windows.iter().zip(self.timed()) {
            window.tick(histogram);
        }
    }

    /// Writes, events, queries and pushes: since the start, and in the last minute.
    fn times(&self) -> [(Snapshot, Snapshot); 4] {
        let timed = self.timed();
        std::array::from_fn(|i| (timed[i].snapshot(), self.windows[i].last(timed[i])))
    }

    pub(crate) fn replied(&self, route: Route, status: u16) {
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        self.requests[route as usize][class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn requests(&self, route: Route, class: usize) -> u64 {
        self.requests[route as usize][class].load(Ordering::Relaxed)
    }
}

/// Counts one as long as it lives.
pub(crate) struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    pub(crate) fn new(counter: &'a AtomicU64) -> Gauge<'a> {
        counter.fetch_add(1, Ordering::Relaxed);
        Gauge(counter)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
