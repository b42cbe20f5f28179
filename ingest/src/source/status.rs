//! What is known of a source while it runs.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What a source is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceState {
    /// It looks for its server.
    #[default]
    Starting,
    /// It reads.
    Running,
    /// It was told to pause.
    Paused,
    /// The write buffer is full; it reads no further for the moment.
    Pressed,
    /// Something is missing (a server, a topic, a schema); it tries again.
    Waiting,
    /// It has ended with an error, and starts again when it is resumed or declared anew.
    Failed,
}

impl SourceState {
    /// In small letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SourceState::Starting => "starting",
            SourceState::Running => "running",
            SourceState::Paused => "paused",
            SourceState::Pressed => "pressed",
            SourceState::Waiting => "waiting",
            SourceState::Failed => "failed",
        }
    }
}

/// Counters of a source since the server was started, and its state.
#[derive(Debug, Default)]
pub struct SourceStatus {
    /// Database of the stream that it feeds.
    pub db: String,
    /// That stream.
    pub stream: String,
    /// `kafka`, `nats`, `mqtt` or `file`.
    pub kind: &'static str,
    /// What it reads: brokers and topics, say.
    pub endpoint: String,
    state: Mutex<(SourceState, Option<String>)>,
    last_refused: Mutex<Option<String>>,
    partitions: Mutex<BTreeMap<String, Arc<PartitionStatus>>>,
    /// Messages.
    pub messages: AtomicU64,
    /// Bytes of their keys and values.
    pub bytes: AtomicU64,
    /// Rows that were made of them.
    pub rows: AtomicU64,
    /// Rows that became dead letters.
    pub rejected: AtomicU64,
    /// Messages without a value that were skipped.
    pub skipped: AtomicU64,
    /// Messages that came again and were left out.
    pub repeated: AtomicU64,
    /// Batches that are durable.
    pub batches: AtomicU64,
    /// Rows of the batch that was sent last.
    pub batch_rows: AtomicUsize,
    /// Batches on their way.
    pub in_flight: AtomicUsize,
    /// Nanoseconds from the sending of a batch to its acknowledgement, of the last one.
    pub commit_ns: AtomicU64,
}

impl SourceStatus {
    /// A source that starts.
    #[must_use]
    pub fn new(db: &str, stream: &str, kind: &'static str, endpoint: String) -> SourceStatus {
        SourceStatus {
            db: db.into(),
            stream: stream.into(),
            kind,
            endpoint,
            ..SourceStatus::default()
        }
    }

    /// What it is doing, and why, if that is a trouble.
    #[must_use]
    pub fn state(&self) -> (SourceState, Option<String>) {
        self.state.lock().clone()
    }

    /// Sets the state; tells of a trouble in the log when it is new.
    pub(crate) fn set(&self, state: SourceState, why: Option<String>) {
        let mut now = self.state.lock();
        if *now == (state, why.clone()) {
            return;
        }
        let (stream, kind) = (&self.stream, self.kind);
        match &why {
            Some(why) if state == SourceState::Failed => {
                tracing::error!(stream, kind, why, "the source has stopped");
            }
            Some(why) => tracing::warn!(stream, kind, why, state = state.name(), "the source"),
            None => tracing::debug!(stream, kind, state = state.name(), "the source"),
        }
        *now = (state, why);
    }

    /// Why the last row was refused.
    #[must_use]
    pub fn last_refused(&self) -> Option<String> {
        self.last_refused.lock().clone()
    }

    /// The partitions by name.
    #[must_use]
    pub fn partitions(&self) -> Vec<(String, Arc<PartitionStatus>)> {
        let all = self.partitions.lock();
        all.iter().map(|(n, p)| (n.clone(), p.clone())).collect()
    }

    /// A partition, made known by the first call.
    pub(crate) fn partition(&self, name: &str) -> Arc<PartitionStatus> {
        let mut all = self.partitions.lock();
        all.entry(name.to_owned()).or_default().clone()
    }

    /// A partition is another's now.
    pub(crate) fn forget(&self, name: &str) {
        self.partitions.lock().remove(name);
    }

    /// Messages that are there but not taken, over all partitions; `None` when no partition tells.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        let all = self.partitions.lock();
        let lags = all.values().filter_map(|p| p.lag());
        lags.fold(None, |sum: Option<u64>, lag| {
            Some(sum.unwrap_or(0).saturating_add(lag))
        })
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn decoded(
        &self,
        accepted: usize,
        rejected: usize,
        skipped: usize,
        error: Option<String>,
    ) {
        self.rejected.fetch_add(rejected as u64, Ordering::Relaxed);
        self.skipped.fetch_add(skipped as u64, Ordering::Relaxed);
        self.rows.fetch_add(accepted as u64, Ordering::Relaxed);
        if error.is_some() {
            *self.last_refused.lock() = error;
        }
    }

    pub(crate) fn sent(&self, rows: usize) {
        self.batch_rows.store(rows, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commit_ns.store(
            u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }
}

/// No end is known.
const UNKNOWN: u64 = u64::MAX;

/// How far a partition is.
#[derive(Debug)]
pub struct PartitionStatus {
    /// The first place that is not durable here.
    pub next: AtomicU64,
    end: AtomicU64,
    /// Messages before this place are tried one by one: a batch that held some of them was refused.
    suspect: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Default for PartitionStatus {
    fn default() -> Self {
        PartitionStatus {
            next: AtomicU64::new(0),
            end: AtomicU64::new(UNKNOWN),
            suspect: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }
}

impl PartitionStatus {
    /// The place after the last message that its server has, as last heard.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        Some(self.end.load(Ordering::Relaxed)).filter(|e| *e != UNKNOWN)
    }

    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Relaxed);
    }

    /// A batch with messages before `next` was refused for the sake of one of them.
    pub(super) fn suspect_before(&self, next: u64) {
        self.suspect.fetch_max(next, Ordering::Relaxed);
    }

    /// Whether a message is one of those.
    pub(super) fn is_suspect(&self, place: u64) -> bool {
        place < self.suspect.load(Ordering::Relaxed)
    }

    /// Messages that are there but not taken.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        self.end().map(|end| end.saturating_sub(next))
    }

    /// Why it has stopped, if it has.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub(crate) fn stop(&self, why: Option<String>) {
        *self.trouble.lock() = why;
    }
}
