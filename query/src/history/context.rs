//! What all tables of one statement share: one snapshot, and a record of what was read.

use parking_lot::Mutex;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use tsdb::{ScanStats, Snapshot};

/// What one scan did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// The stream.
    pub stream: String,
    /// Chunks of the wanted columns in its segments.
    pub chunks: u64,
    /// Those never read.
    pub pruned: u64,
    /// Those decoded.
    pub decoded: u64,
    /// Rows handed out.
    pub rows: u64,
}

/// Shared by all tables of one statement. Tables are made while names are resolved, before it is known which views
/// must be read at the same LSN; the snapshot is set once, between binding and planning.
#[derive(Default)]
pub struct QueryContext {
    snapshot: OnceLock<Snapshot>,
    scans: Mutex<Vec<(String, Arc<ScanStats>)>>,
}

impl std::fmt::Debug for QueryContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryContext")
            .field("lsn", &self.snapshot.get().map(|s| s.lsn()))
            .finish()
    }
}

impl QueryContext {
    /// Fixes the snapshot; the first one stays.
    pub fn fix(&self, snapshot: Snapshot) {
        // A second call would be a second LSN in one query, so it is ignored.
        let _ = self.snapshot.set(snapshot);
    }

    /// The snapshot.
    pub fn snapshot(&self) -> datafusion::error::Result<&Snapshot> {
        self.snapshot.get().ok_or_else(|| {
            datafusion::error::DataFusionError::Internal(
                "a table was planned before its snapshot was fixed".to_owned(),
            )
        })
    }

    pub(super) fn watch(&self, stream: &str, stats: &Arc<ScanStats>) {
        self.scans
            .lock()
            .push((stream.to_owned(), Arc::clone(stats)));
    }

    /// What has been read so far.
    #[must_use]
    pub fn report(&self) -> Vec<ScanReport> {
        let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        self.scans
            .lock()
            .iter()
            .map(|(stream, s)| ScanReport {
                stream: stream.clone(),
                chunks: get(&s.chunks_total),
                pruned: get(&s.chunks_pruned),
                decoded: get(&s.chunks_decoded),
                rows: get(&s.rows),
            })
            .collect()
    }
}

/// A storage error on its way through DataFusion.
pub(super) fn storage(e: tsdb::Error) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(e))
}
