//! From a worker to a subscriber: a bounded queue of frames that never makes the worker wait.

use super::hub::Tap;
use super::runtime::Lease;
use super::worker::Message;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::sync::Notify;

/// Frames that wait for a subscriber at most; one more, and they give way to a gap and a new snapshot.
const QUEUE_FRAMES: usize = 256;
/// Bytes that wait for a subscriber at most, unless it is a single frame.
const QUEUE_BYTES: usize = 16 << 20;

/// What a subscriber gets.
#[derive(Clone, Debug)]
pub enum Frame {
    /// All rows at a commit.
    Snapshot {
        /// The commit.
        seq: u64,
        /// The rows.
        rows: RecordBatch,
    },
    /// What changed between two commits, folded.
    Changes {
        /// The commit of the frame before.
        prev: u64,
        /// The commit up to which this frame is complete.
        seq: u64,
        /// Rows to add.
        insert: RecordBatch,
        /// Rows to take away; they are applied first.
        retract: RecordBatch,
    },
    /// Frames were left out because the subscriber was slow; a snapshot follows.
    Gap {
        /// The commit of the last frame before the gap.
        from: u64,
        /// The commit of the snapshot that follows.
        to: u64,
    },
    /// Nothing more will come.
    Closed {
        /// Why.
        reason: String,
    },
}

impl Frame {
    fn bytes(&self) -> usize {
        match self {
            Frame::Snapshot { rows, .. } => rows.get_array_memory_size(),
            Frame::Changes {
                insert, retract, ..
            } => insert.get_array_memory_size() + retract.get_array_memory_size(),
            _ => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    /// Frames were dropped: no more until a new snapshot.
    behind: bool,
    closed: bool,
}

/// The worker's end and the subscriber's end of one queue.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    ready: Notify,
    /// The commit up to which the worker has told everything.
    pub seq: AtomicU64,
    pub watermark: AtomicI64,
    /// The commit of the last frame that was queued.
    sent: AtomicU64,
}

impl Outbox {
    /// Queues a frame, or drops all when the subscriber is too slow.
    pub fn push(&self, frame: Arc<Frame>) {
        let mut q = self.queue.lock();
        if q.behind || q.closed {
            return;
        }
        let bytes = frame.bytes();
        let full = q.frames.len() >= QUEUE_FRAMES || q.bytes + bytes > QUEUE_BYTES;
        if full && !q.frames.is_empty() {
            q.frames.clear();
            q.bytes = 0;
            q.behind = true;
        } else {
            if let Frame::Snapshot { seq, .. } | Frame::Changes { seq, .. } = frame.as_ref() {
                self.sent.store(*seq, Ordering::Relaxed);
            }
            q.bytes += bytes;
            q.frames.push_back(frame);
        }
        drop(q);
        self.ready.notify_one();
    }

    /// Queues changes. Commits that changed nothing have no frame of their own, so `prev` is this subscriber's last.
    pub fn send(&self, frame: &Arc<Frame>, seq: u64) {
        let last = self.sent.load(Ordering::Relaxed);
        match frame.as_ref() {
            Frame::Changes {
                prev,
                insert,
                retract,
                ..
            } if *prev != last => self.push(Arc::new(Frame::Changes {
                prev: last,
                seq,
                insert: insert.clone(),
                retract: retract.clone(),
            })),
            _ => self.push(frame.clone()),
        }
    }

    /// Ends a gap with a new snapshot.
    pub fn resync(&self, seq: u64, rows: RecordBatch) {
        let from = self.sent.load(Ordering::Relaxed);
        self.queue.lock().behind = false;
        self.push(Arc::new(Frame::Gap { from, to: seq }));
        self.push(Arc::new(Frame::Snapshot { seq, rows }));
    }

    /// Ends the subscription after what is queued.
    pub fn close(&self, reason: &str) {
        let mut q = self.queue.lock();
        if !q.closed {
            q.closed = true;
            q.frames.push_back(Arc::new(Frame::Closed {
                reason: reason.to_string(),
            }));
        }
        drop(q);
        self.ready.notify_one();
    }

    fn pop(&self) -> Popped {
        let mut q = self.queue.lock();
        match q.frames.pop_front() {
            Some(frame) => {
                q.bytes = q.bytes.saturating_sub(frame.bytes());
                Popped::Frame(frame)
            }
            None if q.closed => Popped::Ended,
            None if q.behind => Popped::Behind,
            None => Popped::Empty,
        }
    }
}

enum Popped {
    Frame(Arc<Frame>),
    Ended,
    Behind,
    Empty,
}

/// Follows a view or an `EMIT` query. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    pub(super) columns: SchemaRef,
    pub(super) epoch: u64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) tap: Arc<Tap>,
    pub(super) asked: bool,
    pub(super) _lease: Lease,
}

impl Subscription {
    /// The columns of all rows.
    #[must_use]
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Changes when the view is redefined: then nothing that was known of it holds.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The commit up to which nothing is missing once the frames that wait have been taken.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.outbox.seq.load(Ordering::Acquire)
    }

    /// The watermark, in nanoseconds; `None` before the first row.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        Some(self.outbox.watermark.load(Ordering::Relaxed)).filter(|w| *w != i64::MIN)
    }

    /// The next frame; `None` after [`Frame::Closed`]. The first is a snapshot. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Frame>> {
        loop {
            match self.outbox.pop() {
                Popped::Frame(frame) => {
                    self.asked = false;
                    return Some(frame);
                }
                Popped::Ended => return None,
                Popped::Behind if !self.asked => {
                    self.asked = true;
                    self.tap.send(Message::Resync(self.outbox.clone()));
                }
                _ => {}
            }
            self.outbox.ready.notified().await;
        }
    }

    /// The next frame if one waits.
    pub fn try_next(&mut self) -> Option<Arc<Frame>> {
        match self.outbox.pop() {
            Popped::Frame(frame) => {
                self.asked = false;
                Some(frame)
            }
            Popped::Behind if !self.asked => {
                self.asked = true;
                self.tap.send(Message::Resync(self.outbox.clone()));
                None
            }
            _ => None,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tap.send(Message::Unsubscribe(self.outbox.clone()));
    }
}
