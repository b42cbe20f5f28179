//! Hands commits to views. Runs on the commit thread: it pushes to queues and does no work.

use super::worker::Message;
use crossbeam::channel::Sender;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use tsdb::types::StreamId;
use tsdb::{Commit, CommitObserver};

/// Commits that wait for one view hold at most this many bytes; then the view lets go and is rebuilt from history.
const QUEUE_BYTES: u64 = 512 << 20;
/// A view's state is saved when the log has grown by this much.
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// One view's entrance.
#[derive(Debug)]
pub(super) struct Tap {
    stream: StreamId,
    sender: Sender<Message>,
    /// Reads of a view that lags pass those that wait.
    urgent: Sender<Message>,
    queued: AtomicU64,
    /// Commits have been left out: the state is of no use until it is rebuilt.
    pub overrun: AtomicBool,
    log_bytes: AtomicU64,
    /// Wall time of the last commit with rows for the view.
    pub last_rows: AtomicI64,
    pub lagging: AtomicBool,
    /// Whether somebody waits for windows to close.
    pub awaits_close: AtomicBool,
}

impl Tap {
    pub fn new(stream: StreamId, sender: Sender<Message>, urgent: Sender<Message>) -> Self {
        Self {
            stream,
            sender,
            urgent,
            queued: AtomicU64::new(0),
            overrun: AtomicBool::new(false),
            log_bytes: AtomicU64::new(0),
            last_rows: AtomicI64::new(i64::MIN),
            lagging: AtomicBool::new(false),
            awaits_close: AtomicBool::new(false),
        }
    }

    /// Sends a message. A worker that has ended needs none, but a subscriber must not wait for it.
    pub fn send(&self, message: Message) {
        if let Err(unsent) = self.sender.send(message)
            && let Message::Subscribe(outbox, ..) = unsent.0
        {
            outbox.close("the view has ended");
        }
    }

    /// Sends a read, ahead of the queue if the view lags.
    pub fn send_read(&self, message: Message) {
        let lagging = self.lagging.load(Ordering::Relaxed);
        let _ = if lagging {
            let sent = self.urgent.send(message);
            // Wakes a worker that waits on its queue.
            let _ = self.sender.send(Message::Nothing);
            sent
        } else {
            self.sender.send(message)
        };
    }

    /// The worker has taken these commits.
    pub fn taken(&self, bytes: u64) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn push(&self, commit: &Arc<Commit>) {
        let bytes = size(commit);
        if self.log_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= CHECKPOINT_BYTES {
            self.log_bytes.store(0, Ordering::Relaxed);
            self.send(Message::Checkpoint(commit.lsn));
        }
        let has_rows = commit.batches.iter().any(|b| b.stream == self.stream);
        if has_rows {
            self.last_rows.store(commit.wall_ns, Ordering::Relaxed);
        }
        if !has_rows && !commit.tick || self.overrun.load(Ordering::Relaxed) {
            return;
        }
        if self.queued.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BYTES {
            self.queued.fetch_sub(bytes, Ordering::Relaxed);
            self.overrun.store(true, Ordering::Relaxed);
            self.send(Message::Nothing);
            return;
        }
        self.send(Message::Commit(commit.clone()));
    }
}

/// Bytes of a commit's rows.
pub(super) fn size(commit: &Commit) -> u64 {
    commit.batches.iter().map(|b| b.byte_len() as u64).sum()
}

/// All views' entrances.
#[derive(Debug, Default)]
pub(super) struct Hub {
    pub taps: RwLock<Vec<Arc<Tap>>>,
}

impl CommitObserver for Hub {
    fn on_commit(&self, commit: &Arc<Commit>) {
        for tap in self.taps.read().iter() {
            tap.push(commit);
        }
    }
}
