//! The thread of one view: takes messages in order, owns the state, sends frames.

use super::hub::{Tap, Trace, size};
use super::reading::{Request, stopped_error};
use super::saving::{Saving, Sweep};
use super::state::State;
use super::subscription::Outbox;
use crate::stream::StreamError;
use arrow::record_batch::RecordBatch;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tsdb::types::Lsn;
use tsdb::{Commit, Engine, Snapshot};

/// Busy views emit at most this often; idle ones at once.
const EMIT_EVERY: Duration = Duration::from_millis(1);
/// A view this far behind ..
const LAG_NS: i64 = 1_000_000_000;
/// .. for this long is lagging.
const LAG_FOR_NS: u64 = 10_000_000_000;

/// What a worker is told, in order. All but `Nothing`, `Resync` and `Unsubscribe` are sent under the apply lock.
#[derive(Debug)]
pub(super) enum Message {
    /// Rows, or a tick; the trace is dropped when they are in the state.
    Commit(Arc<Commit>, Option<Trace>),
    /// Start anew from a snapshot; the time is the wall clock's.
    Rebuild(Box<Snap>, i64),
    /// Read rows at the snapshot, which is at the state's LSN.
    Read(Box<Snap>, Request),
    /// Repair from the snapshot, which is at the state's LSN.
    Repair(Box<Snap>),
    /// Send frames from the snapshot on, which is at the state's LSN; with `true`, only windows that closed.
    Subscribe(Arc<Outbox>, bool, Box<Snap>),
    /// Send a slow subscriber a new snapshot.
    Resync(Arc<Outbox>),
    /// Send it nothing more.
    Unsubscribe(Arc<Outbox>),
    /// The log has been replayed: the state is at this LSN.
    Replayed(Lsn),
    /// Save the state, which is at this LSN.
    Checkpoint(Lsn),
    /// Save the state, which is at this LSN if there is one, and end; subscribers are told why.
    Stop(Option<Lsn>, &'static str),
    /// Look at flags.
    Nothing,
}

/// A snapshot, which has no other debug form.
pub(super) struct Snap(pub Snapshot);

impl std::fmt::Debug for Snap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot at {}", self.0.lsn())
    }
}

/// What others may see of a worker.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub lsn: AtomicU64,
    pub rows: AtomicU64,
    pub groups: AtomicU64,
    pub bytes: AtomicU64,
    pub lists_cut: AtomicU64,
    pub watermark: AtomicI64,
    pub lag_ns: AtomicI64,
    pub stopped: Mutex<Option<String>>,
    /// As of the last time when a repair was asked for.
    pub pending: Mutex<Vec<(i64, i64)>>,
    /// Told once the state has caught up for the first time.
    pub ready: Mutex<Option<std::sync::mpsc::Sender<Result<(), StreamError>>>>,
}

pub(super) struct Worker {
    pub engine: Engine,
    pub tap: Arc<Tap>,
    pub state: State,
    pub status: Arc<Status>,
    pub queue: Receiver<Message>,
    /// What was taken from the queue ahead of its turn, to find the reads in it.
    pub backlog: VecDeque<Message>,
    pub urgent: Receiver<Request>,
    pub saving: Option<Saving>,
    pub lsn: Lsn,
    pub subscribers: Vec<(Arc<Outbox>, bool)>,
    pub emitted: Lsn,
    pub dirty: bool,
    pub last_emit: Instant,
    /// The whole answer at this commit, if it was asked for.
    pub cache: Option<Vec<RecordBatch>>,
    /// Monotonic time, in nanoseconds.
    pub behind_since: Option<u64>,
    /// There is a state, be it an old one.
    pub built: bool,
    pub repairing: bool,
    /// Commits have been left out: the state is not that of its place in the queue until it is rebuilt.
    pub stale: bool,
    /// The checkpoint that is being made.
    pub sweep: Option<Sweep>,
    /// Writes it.
    pub writer: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs until told to stop.
    pub fn run(mut self) {
        loop {
            let answered = catch_unwind(AssertUnwindSafe(|| self.read_urgent()));
            self.judge(answered.map(Ok));
            let tells = self.dirty && !self.subscribers.is_empty();
            let message = if let Some(message) = self.backlog.pop_front() {
                Some(message)
            } else if tells || self.sweep.is_some() {
                let message = self.queue.try_recv().ok();
                if message.is_none() && tells {
                    // Idle: what changed goes out at once.
                    self.emit_guarded();
                }
                message
            } else {
                match self.queue.recv_timeout(Duration::from_secs(1)) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => {
                        self.status.lag_ns.store(0, Ordering::Relaxed);
                        self.not_behind();
                        None
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            match message {
                Some(Message::Stop(lsn, reason)) => {
                    self.stop(lsn, reason);
                    return;
                }
                Some(message) => self.guarded(message),
                None => {}
            }
            if self.dirty && !self.subscribers.is_empty() && self.last_emit.elapsed() >= EMIT_EVERY
            {
                self.emit_guarded();
            }
            let saved = catch_unwind(AssertUnwindSafe(|| self.save_slice()));
            self.judge(saved.map(Ok));
            let idle = self.queue.is_empty() && self.backlog.is_empty();
            if self.tap.overrun.load(Ordering::Relaxed) && idle {
                self.ask_rebuild();
            }
        }
    }

    /// Handles a message; an error or a panic stops this view and no other.
    fn guarded(&mut self, message: Message) {
        let stopped = self.status.stopped.lock().clone();
        if let Some(reason) = stopped {
            return self.refuse(message, &reason);
        }
        let result = catch_unwind(AssertUnwindSafe(|| self.handle(message)));
        self.judge(result);
    }

    fn emit_guarded(&mut self) {
        let result = catch_unwind(AssertUnwindSafe(|| self.emit()));
        self.judge(result.map(Ok));
    }

    fn judge(&mut self, result: std::thread::Result<Result<(), StreamError>>) {
        let reason = match result {
            Ok(Ok(())) => return,
            Ok(Err(e)) => e.to_string(),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(ToString::to_string);
                text.or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "a panic".to_string())
            }
        };
        tracing::error!(%reason, lsn = self.lsn.0, "a view has stopped");
        self.cut(&reason);
        self.sweep = None;
        self.dirty = false;
        if let Some(ready) = self.status.ready.lock().take() {
            let _ = ready.send(Err(StreamError::Expression(reason.clone())));
        }
        if let Some(saving) = &self.saving {
            self.engine.hold_wal(&saving.owner, None);
        }
        *self.status.stopped.lock() = Some(reason);
    }

    /// What a stopped view answers.
    fn refuse(&mut self, message: Message, reason: &str) {
        match message {
            Message::Commit(commit, _) => self.tap.taken(size(&commit)),
            Message::Read(_, request) => request.refuse(stopped_error(reason)),
            Message::Subscribe(outbox, ..) => outbox.close(reason),
            _ => {}
        }
    }

    fn handle(&mut self, message: Message) -> Result<(), StreamError> {
        self.stale |= self.tap.overrun.load(Ordering::Acquire);
        if self.stale {
            self.sweep = None;
        }
        match message {
            Message::Commit(commit, _trace) => self.commit(&commit)?,
            Message::Replayed(lsn) if !self.stale => {
                self.state.end_replay();
                self.built = true;
                self.reach(lsn);
            }
            Message::Rebuild(snapshot, wall_ns) => self.rebuild(&snapshot, wall_ns)?,
            Message::Read(snapshot, request) => self.read(&snapshot, request),
            Message::Repair(snapshot) => match self.come_to(&snapshot) {
                Ok(()) => self.repairing = false,
                // The rows are not right yet; whoever reads them tries again.
                Err(error) => tracing::error!(%error, "a view's windows can't be repaired"),
            },
            Message::Subscribe(outbox, finals, snapshot) => match self.come_to(&snapshot) {
                Ok(()) => self.subscribe(outbox, finals),
                Err(e) => outbox.close(&e.to_string()),
            },
            Message::Resync(outbox) => self.resync(&outbox),
            Message::Unsubscribe(outbox) => {
                self.subscribers.retain(|s| !Arc::ptr_eq(&s.0, &outbox));
                self.track();
            }
            Message::Checkpoint(lsn) => {
                if !self.stale {
                    self.checkpoint(lsn);
                }
            }
            Message::Replayed(_) | Message::Stop(..) | Message::Nothing => {}
        }
        if let Some(e) = self.state.take_lost() {
            self.cut(&e.to_string());
        }
        if self.state.needs_repair() && !self.repairing && !self.stale {
            self.repairing = true;
            *self.status.pending.lock() = self.state.pending();
            let tap = self.tap.clone();
            self.engine
                .barrier(|s| tap.send(Message::Repair(Box::new(Snap(s.clone())))));
        }
        Ok(())
    }

    /// Makes the state right at a snapshot's LSN, which it has reached unless commits were left out.
    pub(super) fn come_to(&mut self, snapshot: &Snap) -> Result<(), StreamError> {
        if self.stale {
            return Ok(());
        }
        if self.state.needs_repair() {
            let repair = self.state.repair(&snapshot.0, &mut || self.read_urgent())?;
            if let Some(repair) = repair {
                self.state.finish_repair(&repair);
            }
            self.status.pending.lock().clear();
            self.changed();
        }
        self.lsn = self.lsn.max(snapshot.0.lsn());
        self.status.lsn.store(self.lsn.0, Ordering::Release);
        if !self.dirty {
            // What was committed since concerns others: subscribers have all there is.
            let watermark = self.state.watermark.at();
            for (outbox, _) in &self.subscribers {
                outbox.tell(self.lsn.0, watermark);
            }
        }
        Ok(())
    }

    /// Starts anew from all rows of a snapshot. Until that is done reads are answered from the state there was.
    fn rebuild(&mut self, snapshot: &Snap, wall_ns: i64) -> Result<(), StreamError> {
        let (stream, program) = self.state.origin();
        self.sweep = None;
        let mut between = || self.read_urgent();
        self.state = State::of_history(&stream, &program, &snapshot.0, wall_ns, &mut between)?;
        self.built = true;
        self.stale = false;
        self.not_behind();
        self.reach(snapshot.0.lsn());
        self.status.pending.lock().clear();
        self.tell_ready();
        self.resubscribe();
        if let Some(saving) = &self.saving {
            self.engine.hold_wal(&saving.owner, Some(self.lsn));
        }
        self.checkpoint(self.lsn);
        Ok(())
    }

    fn tell_ready(&self) {
        if let Some(ready) = self.status.ready.lock().take() {
            // The creator may have given up waiting.
            let _ = ready.send(Ok(()));
        }
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), StreamError> {
        self.tap.taken(size(commit));
        if self.stale || commit.lsn <= self.lsn {
            return Ok(());
        }
        self.state.apply(commit)?;
        let lag = self.engine.clock().wall_ns().saturating_sub(commit.wall_ns);
        self.status.lag_ns.store(lag.max(0), Ordering::Relaxed);
        if lag > LAG_NS {
            let now = self.engine.clock().monotonic_ns();
            let since = *self.behind_since.get_or_insert(now);
            if now.saturating_sub(since) >= LAG_FOR_NS {
                self.lag();
            }
        } else {
            self.not_behind();
        }
        self.reach(commit.lsn);
        Ok(())
    }

    /// From now on reads don't wait, nor do those that wait already.
    fn lag(&mut self) {
        if self.tap.lagging.swap(true, Ordering::Relaxed) {
            return;
        }
        while let Ok(message) = self.queue.try_recv() {
            match message {
                Message::Read(_, request) => self.read_now(request),
                other => self.backlog.push_back(other),
            }
        }
    }

    fn not_behind(&mut self) {
        self.behind_since = None;
        self.tap.lagging.store(false, Ordering::Relaxed);
    }

    fn reach(&mut self, lsn: Lsn) {
        self.lsn = self.lsn.max(lsn);
        self.changed();
        let status = &self.status;
        status.lsn.store(self.lsn.0, Ordering::Release);
        status
            .watermark
            .store(self.state.watermark.at(), Ordering::Relaxed);
        if let Some(operator) = self.state.operator() {
            status
                .groups
                .store(operator.group_count() as u64, Ordering::Relaxed);
            status.rows.store(operator.row_count(), Ordering::Relaxed);
        }
    }

    pub(super) fn changed(&mut self) {
        self.cache = None;
        self.dirty = true;
    }

    /// Lets go of the state and asks for a new start, because commits were left out.
    fn ask_rebuild(&mut self) {
        self.stale = true;
        let tap = self.tap.clone();
        let wall_ns = self.engine.clock().wall_ns();
        self.engine.barrier(|snapshot| {
            tap.overrun.store(false, Ordering::Release);
            tap.send(Message::Rebuild(Box::new(Snap(snapshot.clone())), wall_ns));
        });
    }

    fn stop(&mut self, lsn: Option<Lsn>, reason: &str) {
        if self.status.stopped.lock().is_none() {
            self.emit_guarded();
            self.stale |= self.tap.overrun.load(Ordering::Acquire);
            if let Some(lsn) = lsn
                && !self.stale
            {
                self.checkpoint_now(lsn);
            }
        }
        self.sweep = None;
        self.join_writer();
        self.cut(reason);
        while let Some(message) = self.backlog.pop_front() {
            self.refuse(message, reason);
        }
        while let Ok(message) = self.queue.try_recv() {
            self.refuse(message, reason);
        }
        while let Ok(request) = self.urgent.try_recv() {
            request.refuse(stopped_error(reason));
        }
    }
}
