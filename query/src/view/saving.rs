//! A worker and its checkpoints.

use super::checkpoint::Checkpoint;
use super::worker::Worker;
use std::sync::atomic::Ordering;
use tsdb::types::Lsn;

/// Where a view's checkpoints go.
#[derive(Clone, Debug)]
pub(super) struct Saving {
    /// Names the files.
    pub id: u64,
    /// Says what they are of.
    pub hash: u64,
    /// Holds the log.
    pub owner: String,
}

impl Worker {
    /// Saves the state; the file is written by another thread, one at a time.
    pub(super) fn checkpoint(&mut self, lsn: Lsn) {
        let Some(saving) = self.saving.clone() else {
            return;
        };
        self.join_writer();
        self.lsn = self.lsn.max(lsn);
        if let Some(operator) = self.state.operator() {
            let stats = operator.stats();
            self.status
                .bytes
                .store(stats.bytes as u64, Ordering::Relaxed);
            self.status
                .lists_cut
                .store(stats.lists_cut as u64, Ordering::Relaxed);
        }
        let checkpoint = Checkpoint {
            hash: saving.hash,
            lsn: self.lsn,
            watermark: self.state.watermark,
            state: self.state.save(),
        };
        let engine = self.engine.clone();
        let write = move || match checkpoint.write(engine.disk(), saving.id) {
            Ok(()) => engine.hold_wal(&saving.owner, Some(checkpoint.lsn)),
            Err(error) => tracing::error!(%error, "a view's state could not be saved"),
        };
        let thread = std::thread::Builder::new().name("checkpoint".into());
        match thread.spawn(write) {
            Ok(thread) => self.writer = Some(thread),
            Err(error) => tracing::error!(%error, "the checkpoint thread could not be started"),
        }
    }

    pub(super) fn join_writer(&mut self) {
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("writing a checkpoint has panicked");
        }
    }
}
