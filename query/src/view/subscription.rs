//! From a worker to a subscriber: a bounded queue of frames that never makes the worker wait.

use super::hub::Tap;
use super::runtime::Lease;
use super::worker::Message;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Notify;

/// Frames that wait for a subscriber at most; one more, and they give way to a gap and a new snapshot.
const QUEUE_FRAMES: usize = 256;
/// Bytes of changes that wait for a subscriber at most, unless it is a single frame; a snapshot comes on top.
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
    /// Bytes of the changes that wait. A snapshot is not counted: it is the least that a subscriber can do with.
    bytes: usize,
    /// Frames were dropped: no more until a new snapshot.
    behind: bool,
    /// That snapshot has been asked for.
    asked: bool,
    /// A snapshot has been queued.
    begun: bool,
    closed: bool,
    /// The commit up to which the worker has told everything.
    told: u64,
    /// The commit of the last frame that was queued.
    sent: u64,
    /// The commit of the last frame that was taken.
    taken: u64,
}

impl Queue {
    fn is_full(&self, more: usize) -> bool {
        let bytes = self.bytes + more;
        self.frames.len() >= QUEUE_FRAMES || self.bytes > 0 && bytes > QUEUE_BYTES
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}

/// The worker's end and the subscriber's end of one queue.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    ready: Notify,
    pub watermark: AtomicI64,
}

impl Outbox {
    /// Queues what changed up to `seq`, or drops all that waits when the subscriber is too slow. Commits that changed
    /// nothing have no frame of their own, so `prev` is this subscriber's last.
    pub fn send(&self, frame: &Arc<Frame>, seq: u64) {
        let Frame::Changes {
            prev,
            insert,
            retract,
            ..
        } = frame.as_ref()
        else {
            return;
        };
        let mut q = self.queue.lock();
        if q.behind || q.closed || !q.begun {
            return;
        }
        let bytes = frame.bytes();
        if q.is_full(bytes) {
            q.clear();
            q.behind = true;
        } else {
            let frame = if *prev == q.sent {
                frame.clone()
            } else {
                Arc::new(Frame::Changes {
                    prev: q.sent,
                    seq,
                    insert: insert.clone(),
                    retract: retract.clone(),
                })
            };
            q.sent = seq;
            q.bytes += bytes;
            q.frames.push_back(frame);
        }
        drop(q);
        self.ready.notify_one();
    }

    /// Everything up to `seq` has been queued.
    pub fn tell(&self, seq: u64, watermark: i64) {
        self.watermark.store(watermark, Ordering::Relaxed);
        let mut q = self.queue.lock();
        q.told = q.told.max(seq);
    }

    /// Begins anew with a snapshot, in place of whatever waits: behind a gap, unless it is the first one. It is never
    /// too large: without it the subscriber could not go on.
    pub fn snapshot(&self, seq: u64, rows: RecordBatch) {
        let mut q = self.queue.lock();
        if q.closed {
            return;
        }
        q.clear();
        if q.begun {
            let from = q.taken;
            q.frames.push_back(Arc::new(Frame::Gap { from, to: seq }));
        }
        q.frames.push_back(Arc::new(Frame::Snapshot { seq, rows }));
        (q.begun, q.behind, q.asked) = (true, false, false);
        (q.sent, q.told) = (seq, seq);
        drop(q);
        self.ready.notify_one();
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

    /// The commit up to which nothing is missing once what waits has been taken. Of what was dropped nothing counts.
    fn seq(&self) -> u64 {
        let q = self.queue.lock();
        if q.behind { q.taken } else { q.told }
    }

    fn pop(&self) -> Popped {
        let mut q = self.queue.lock();
        match q.frames.pop_front() {
            Some(frame) => {
                match frame.as_ref() {
                    Frame::Changes { seq, .. } => {
                        q.bytes = q.bytes.saturating_sub(frame.bytes());
                        q.taken = *seq;
                    }
                    Frame::Snapshot { seq, .. } => q.taken = *seq,
                    _ => {}
                }
                Popped::Frame(frame)
            }
            None if q.closed => Popped::Ended,
            None if q.behind && !q.asked => {
                q.asked = true;
                Popped::Behind
            }
            None => Popped::Empty,
        }
    }
}

enum Popped {
    Frame(Arc<Frame>),
    Ended,
    /// A new snapshot must be asked for.
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
        self.outbox.seq()
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
                Popped::Frame(frame) => return Some(frame),
                Popped::Ended => return None,
                Popped::Behind => self.tap.send(Message::Resync(self.outbox.clone())),
                Popped::Empty => {}
            }
            self.outbox.ready.notified().await;
        }
    }

    /// The next frame if one waits.
    pub fn try_next(&mut self) -> Option<Arc<Frame>> {
        match self.outbox.pop() {
            Popped::Frame(frame) => Some(frame),
            Popped::Behind => {
                self.tap.send(Message::Resync(self.outbox.clone()));
                None
            }
            Popped::Ended | Popped::Empty => None,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tap.send(Message::Unsubscribe(self.outbox.clone()));
    }
}
