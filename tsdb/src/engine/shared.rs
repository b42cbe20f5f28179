//! What the engine's threads share.

use super::committer::Waiting;
use super::state::Published;
use super::transform::Transforms;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::io::{Disk, Waker};
use crate::ledger::Ledger;
use crate::wal::Preparer;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tsdb_types::Lsn;

/// Counters of the engine, all since it was opened unless said otherwise.
#[derive(Debug, Default)]
pub struct EngineMetrics {
    /// The highest LSN that is durable and visible.
    pub published: AtomicU64,
    /// Commits.
    pub commits: AtomicU64,
    /// Requests in them.
    pub requests: AtomicU64,
    /// Rows in them.
    pub rows: AtomicU64,
    /// Nanoseconds from the taking of a group to its acknowledgement, summed over commits.
    pub commit_ns: AtomicU64,
    /// Bytes of rows in memory now, those being flushed among them.
    pub head_bytes: AtomicU64,
    /// Bytes of log files that hold records now.
    pub wal_bytes: AtomicU64,
    /// Bytes of log files kept ready now.
    pub wal_ready_bytes: AtomicU64,
    /// Bytes that were written to the log, padding included; what was recovered counts as written.
    pub wal_written_bytes: AtomicU64,
    /// Flushes.
    pub flushes: AtomicU64,
    /// Nanoseconds spent in them.
    pub flush_ns: AtomicU64,
    /// Whether the log or the manifest has failed: a restart finds out what the disk holds.
    pub poisoned: AtomicBool,
}

/// What waits to be written to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Requests that no commit has taken yet.
    pub requests: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Requests on their way to the committer.
#[derive(Default)]
pub(crate) struct RequestQueue {
    waiting: Mutex<WaitingRequests>,
    bytes: AtomicU64,
    sleeping: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

#[derive(Default)]
struct WaitingRequests {
    /// With the bytes of each.
    requests: VecDeque<(Waiting, usize)>,
    closed: bool,
}

/// A group takes no request that would bring it above so many bytes: a record stays far below what a log file holds.
const GROUP_BYTES: usize = 16 << 20;
/// A group takes no request that would bring it above so many batches: a record has at most 65,535 sections.
const GROUP_BATCHES: usize = 16 << 10;

impl RequestQueue {
    pub(crate) fn set_waker(&self, waker: Waker) {
        *self.waker.lock() = Some(waker);
    }

    /// Adds a request; gives it back when the queue is closed.
    pub(crate) fn push(&self, waiting: Waiting) -> Result<(), Waiting> {
        let bytes = waiting.0.byte_len();
        {
            let mut queue = self.waiting.lock();
            if queue.closed {
                return Err(waiting);
            }
            queue.requests.push_back((waiting, bytes));
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        // While a group syncs, the next one fills: only an idle committer is woken.
        if self.sleeping.swap(false, Ordering::AcqRel)
            && let Some(waker) = &*self.waker.lock()
        {
            waker.wake();
        }
    }

    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.wake();
    }

    /// The requests of the next group, and whether the queue is closed.
    pub(crate) fn take(&self) -> (Vec<Waiting>, bool) {
        let mut queue = self.waiting.lock();
        let (mut count, mut bytes, mut batches) = (0, 0, 0);
        for ((request, _), len) in &queue.requests {
            let more = (bytes + len, batches + request.rows.len());
            // One that is too large by itself goes alone, so that it fails alone.
            if count > 0 && (more.0 > GROUP_BYTES || more.1 > GROUP_BATCHES) {
                break;
            }
            count += 1;
            (bytes, batches) = more;
        }
        self.bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
        let group = queue.requests.drain(..count).map(|(waiting, _)| waiting);
        (group.collect(), queue.closed)
    }

    /// Announces that the committer is about to sleep; false when something has come meanwhile.
    pub(crate) fn sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::Release);
        let queue = self.waiting.lock();
        if queue.requests.is_empty() && !queue.closed {
            return true;
        }
        self.sleeping.store(false, Ordering::Release);
        false
    }

    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::Release);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn depth(&self) -> QueueDepth {
        QueueDepth {
            requests: self.waiting.lock().requests.len(),
            bytes: self.bytes(),
        }
    }
}

/// Asks a background thread to work, and waits for it.
#[derive(Default)]
pub(crate) struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Default)]
struct SignalState {
    wanted: u64,
    done: u64,
    last: Option<crate::Error>,
    closed: bool,
}

impl Signal {
    /// Asks for work, unless some is asked for already.
    pub(crate) fn request(&self) {
        let mut s = self.state.lock();
        if s.wanted == s.done {
            s.wanted += 1;
            self.changed.notify_all();
        }
    }

    /// Asks for work that begins after this call, and waits until it has ended.
    pub(crate) fn request_and_wait(&self) -> Result<(), crate::Error> {
        let mut s = self.state.lock();
        // One that is running may have begun before the rows at hand came.
        let ticket = s.wanted + 1;
        s.wanted = ticket;
        self.changed.notify_all();
        while s.done < ticket && !s.closed {
            self.changed.wait(&mut s);
        }
        if s.done < ticket {
            return Err(crate::Error::Closed);
        }
        s.last.clone().map_or(Ok(()), Err)
    }

    /// Waits for a request at most so long: `Some(None)` when none has come; `None` when it is time to end.
    pub(crate) fn next_within(&self, time: Duration) -> Option<Option<u64>> {
        let deadline = Instant::now() + time;
        let mut s = self.state.lock();
        while s.wanted == s.done && !s.closed {
            if self.changed.wait_until(&mut s, deadline).timed_out() {
                break;
            }
        }
        (!s.closed).then_some((s.wanted != s.done).then_some(s.wanted))
    }

    /// Waits for a request; `None` when it is time to end. Gives the ticket to be reported as done.
    pub(crate) fn next(&self) -> Option<u64> {
        let mut s = self.state.lock();
        while s.wanted == s.done && !s.closed {
            self.changed.wait(&mut s);
        }
        (!s.closed).then_some(s.wanted)
    }

    pub(crate) fn done(&self, ticket: u64, result: Result<(), crate::Error>) {
        let mut s = self.state.lock();
        s.done = ticket;
        s.last = result.err();
        self.changed.notify_all();
    }

    /// Lets some time pass after a failure, unless it is time to end.
    pub(crate) fn pause(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut s = self.state.lock();
        while !s.closed && !self.changed.wait_until(&mut s, deadline).timed_out() {}
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

/// How long a background thread leaves the disk alone after it has refused something.
pub(crate) const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) ledger: Ledger,
    pub(crate) published: Mutex<Published>,
    pub(crate) queue: RequestQueue,
    pub(crate) transforms: Transforms,
    pub(crate) flush_signal: Signal,
    pub(crate) prepare_signal: Signal,
    pub(crate) metrics: EngineMetrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    /// The log's files, for those who read behind the writer.
    pub(crate) log_files: Preparer,
    /// Everything up to here is in segments and catalog files.
    pub(crate) flushed: AtomicU64,
    /// The floor that the log was last cut at.
    pub(crate) truncated: AtomicU64,
    /// Who needs the log from which LSN on.
    pub(crate) holds: Mutex<HashMap<String, Lsn, ahash::RandomState>>,
    /// What could not be read when the database was opened, in words.
    pub(crate) damage: Mutex<Vec<String>>,
    pub(crate) head_bound: u64,
    pub(crate) flush_bytes: u64,
    /// What [`EngineMetrics::wal_written_bytes`] was when the last flush took the head.
    pub(crate) wal_flushed_bytes: AtomicU64,
    /// Bytes of log at which a flush starts although the head is small: padding makes much log of few rows.
    pub(crate) wal_flush_bytes: u64,
}

impl Shared {
    /// Records at or below this are needed by nobody.
    pub(crate) fn wal_floor(&self) -> Lsn {
        let flushed = Lsn(self.flushed.load(Ordering::Acquire));
        self.holds.lock().values().copied().fold(flushed, Lsn::min)
    }

    /// Notes the bytes of the log's files: those that hold records, and those kept ready.
    pub(crate) fn count_log(&self, (used, ready): (u64, u64)) {
        self.metrics.wal_bytes.store(used, Ordering::Relaxed);
        self.metrics.wal_ready_bytes.store(ready, Ordering::Relaxed);
    }

    pub(crate) fn wants_flush(&self) -> bool {
        let log = self.metrics.wal_written_bytes.load(Ordering::Relaxed);
        let before = self.wal_flushed_bytes.load(Ordering::Relaxed);
        self.metrics.head_bytes.load(Ordering::Relaxed) >= self.flush_bytes
            || log.saturating_sub(before) >= self.wal_flush_bytes
    }
}
