//! A worker and its subscribers. A row that can't be computed (an overflow in `HAVING`, say) ends subscriptions, never
//! the view: its state is as good as before.

use super::subscription::{Frame, Outbox};
use super::worker::Worker;
use crate::stream::StreamError;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tsdb::types::Lsn;

impl Worker {
    pub(super) fn track(&mut self) {
        let closing = self.subscribers.iter().any(|s| s.1);
        self.state.track(!self.subscribers.is_empty(), closing);
        self.tap.awaits_close.store(closing, Ordering::Relaxed);
    }

    pub(super) fn snapshot_rows(&self, finals: bool) -> Result<RecordBatch, StreamError> {
        if finals {
            self.state.closed_rows()
        } else {
            self.state.rows()
        }
    }

    /// Ends all subscriptions.
    pub(super) fn cut(&mut self, reason: &str) {
        for (outbox, _) in self.subscribers.drain(..) {
            outbox.close(reason);
        }
        self.track();
    }

    pub(super) fn subscribe(&mut self, outbox: Arc<Outbox>, finals: bool) {
        // All subscribers stand at the same commit, so that one frame does for all.
        self.emit();
        self.emitted = self.lsn;
        self.subscribers.push((outbox.clone(), finals));
        self.track();
        // Of a state without its last commits nothing is shown; the rebuild brings the first snapshot.
        if !self.stale {
            self.show(|s| Arc::ptr_eq(s, &outbox));
        }
    }

    /// After a rebuild changes can't be told: every subscriber gets a new snapshot.
    pub(super) fn resubscribe(&mut self) {
        self.track();
        self.emitted = self.lsn;
        self.dirty = false;
        self.show(|_| true);
    }

    pub(super) fn resync(&mut self, outbox: &Arc<Outbox>) {
        self.emit();
        self.show(|s| Arc::ptr_eq(s, outbox));
    }

    /// Sends a snapshot to subscribers; those to whom none can be sent have ended.
    fn show(&mut self, wanted: impl Fn(&Arc<Outbox>) -> bool) {
        let (seq, watermark) = (self.emitted.0, self.state.watermark.at());
        let mut subscribers = std::mem::take(&mut self.subscribers);
        let before = subscribers.len();
        subscribers.retain(|(outbox, finals)| {
            if !wanted(outbox) {
                return true;
            }
            match self.snapshot_rows(*finals) {
                Ok(rows) => {
                    outbox.snapshot(seq, rows);
                    outbox.tell(seq, watermark);
                    true
                }
                Err(e) => {
                    outbox.close(&e.to_string());
                    false
                }
            }
        });
        let ended = subscribers.len() < before;
        self.subscribers = subscribers;
        if ended {
            self.track();
        }
    }

    /// Sends what changed since the last frame.
    pub(super) fn emit(&mut self) {
        self.dirty = false;
        self.last_emit = Instant::now();
        if self.subscribers.is_empty() {
            return;
        }
        let (prev, seq) = (self.emitted.0, self.lsn.0);
        let (changes, closed) = match self.frames(prev, seq) {
            Ok(frames) => frames,
            Err(e) => return self.cut(&e.to_string()),
        };
        for (outbox, finals) in &self.subscribers {
            let frame = if *finals { &closed } else { &changes };
            if let Some(frame) = frame {
                outbox.send(frame, seq);
            }
            outbox.tell(seq, self.state.watermark.at());
        }
        self.emitted = Lsn(seq);
    }

    /// What changed and what closed, if anything.
    fn frames(&mut self, prev: u64, seq: u64) -> Result<(Told, Told), StreamError> {
        let frame = |insert, retract| {
            Arc::new(Frame::Changes {
                prev,
                seq,
                insert,
                retract,
            })
        };
        let changes = self.state.take_changes()?;
        let changes = (!changes.is_empty()).then(|| frame(changes.insert, changes.retract));
        if !self.subscribers.iter().any(|s| s.1) {
            return Ok((changes, None));
        }
        let closed = self.state.take_closed()?;
        let retract = RecordBatch::new_empty(closed.schema());
        let closed = (closed.num_rows() > 0).then(|| frame(closed, retract));
        Ok((changes, closed))
    }
}

/// A frame, if there is anything to tell.
type Told = Option<Arc<Frame>>;
