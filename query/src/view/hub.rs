//! Hands commits to views. Runs on the commit thread: it pushes to queues and does no work.

use super::ViewConfig;
use super::reading::Request;
use super::worker::{Message, Snap};
use crossbeam::channel::Sender;
use parking_lot::RwLock;
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tsdb::types::StreamId;
use tsdb::{Commit, CommitObserver, Snapshot};

/// Something that is made for a commit and goes with it to every view. It is dropped once the last of them has taken the
/// commit in, or will not.
pub type Trace = Arc<dyn Any + Send + Sync>;
/// Makes the trace of a commit, on the commit thread, before any view has it.
pub type Tracer = Box<dyn Fn(&Commit) -> Trace + Send + Sync>;

/// One view's entrance.
#[derive(Debug)]
pub(super) struct Tap {
    stream: StreamId,
    pub config: ViewConfig,
    sender: Sender<Message>,
    /// Reads of a view that lags pass those that wait.
    urgent: Sender<Request>,
    queued: AtomicU64,
    /// Commits have been left out: the state is of no use until it is rebuilt.
    pub overrun: AtomicBool,
    log_bytes: AtomicU64,
    /// Wall time of the last commit with rows for the view; of its start before there is one.
    pub last_rows: AtomicI64,
    pub lagging: AtomicBool,
    /// Whether somebody waits for windows to close.
    pub awaits_close: AtomicBool,
}

impl Tap {
    pub fn new(
        stream: StreamId,
        config: ViewConfig,
        sender: Sender<Message>,
        urgent: Sender<Request>,
        wall_ns: i64,
    ) -> Self {
        Self {
            stream,
            config,
            sender,
            urgent,
            queued: AtomicU64::new(0),
            overrun: AtomicBool::new(false),
            log_bytes: AtomicU64::new(0),
            last_rows: AtomicI64::new(wall_ns),
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

    /// Sends a read, ahead of the queue if the view lags. When the worker has ended the request is dropped, which tells
    /// whoever asked.
    pub fn send_read(&self, snapshot: &Snapshot, request: Request) {
        let request = request.at(snapshot.lsn());
        if !self.lagging.load(Ordering::Relaxed) {
            let snapshot = Box::new(Snap(snapshot.clone()));
            return self.send(Message::Read(snapshot, request));
        }
        let _ = self.urgent.send(request);
        // Wakes a worker that waits on its queue.
        self.send(Message::Nothing);
    }

    /// The worker has taken these commits.
    pub fn taken(&self, bytes: u64) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Hands on a commit, and then asks for a checkpoint when one is due: a checkpoint at an LSN holds that commit.
    pub fn push(&self, commit: &Arc<Commit>, trace: Option<&Trace>) {
        let bytes = size(commit);
        let has_rows = commit.batches.iter().any(|b| b.stream == self.stream);
        if has_rows {
            self.last_rows.fetch_max(commit.wall_ns, Ordering::Relaxed);
        }
        if (has_rows || commit.tick) && !self.overrun.load(Ordering::Relaxed) {
            self.enqueue(commit, trace, bytes);
        }
        let grown = self.log_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if grown >= self.config.checkpoint_bytes {
            self.log_bytes.store(0, Ordering::Relaxed);
            self.send(Message::Checkpoint(commit.lsn));
        }
    }

    fn enqueue(&self, commit: &Arc<Commit>, trace: Option<&Trace>, bytes: u64) {
        if self.queued.fetch_add(bytes, Ordering::Relaxed) + bytes > self.config.queue_bytes {
            self.queued.fetch_sub(bytes, Ordering::Relaxed);
            self.overrun.store(true, Ordering::Release);
            // Reads are answered with the rows there are until the view has caught up.
            self.lagging.store(true, Ordering::Relaxed);
            self.send(Message::Nothing);
            return;
        }
        self.send(Message::Commit(commit.clone(), trace.cloned()));
    }
}

/// Bytes of a commit's rows.
pub(super) fn size(commit: &Commit) -> u64 {
    commit.batches.iter().map(|b| b.byte_len() as u64).sum()
}

/// All views' entrances.
#[derive(Default)]
pub(super) struct Hub {
    pub taps: RwLock<Vec<Arc<Tap>>>,
    pub tracer: OnceLock<Tracer>,
}

impl CommitObserver for Hub {
    fn on_commit(&self, commit: &Arc<Commit>) {
        let trace = self.tracer.get().map(|make| make(commit));
        for tap in self.taps.read().iter() {
            tap.push(commit, trace.as_ref());
        }
    }
}
