//! The one writer: groups requests, logs them, and publishes what is durable, in this order and no other.

use super::request::{Commit, Done, Request, Rows};
use super::shared::Shared;
use crate::Error;
use crate::wal::{Log, SectionKind, WalError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tsdb_types::{Batch, BatchBuilder, Lsn, StreamId, TenantId};

/// A request that waits for its commit.
pub(crate) type Waiting = (Request, Done);

/// A commit that is in the log, on its way to the disk.
struct InFlight {
    commit: Arc<Commit>,
    /// Catalog entries of its record.
    catalog: Vec<u8>,
    done: Vec<Done>,
    /// When it was taken, monotonic.
    taken_ns: u64,
}

/// Drives the log; owned by one thread (or, in simulation, by the test).
pub(crate) struct Committer {
    log: Log,
    shared: Arc<Shared>,
    in_flight: VecDeque<InFlight>,
    poisoned: Option<Error>,
}

/// Nothing to do for this long lets the log write down what is durable.
const IDLE: Duration = Duration::from_millis(10);

impl Committer {
    pub(crate) fn new(log: Log, shared: Arc<Shared>) -> Committer {
        Committer {
            log,
            shared,
            in_flight: VecDeque::new(),
            poisoned: None,
        }
    }

    /// Serves the queue until it is closed and empty, then closes the log.
    pub(crate) fn run(mut self) {
        loop {
            let room = self.log.groups_in_flight() < 2;
            let (waiting, closed) = if room {
                self.shared.queue.take()
            } else {
                (Vec::new(), false)
            };
            let idle = waiting.is_empty() && self.in_flight.is_empty();
            if idle && closed {
                break;
            }
            if !waiting.is_empty() {
                self.take(waiting);
                continue;
            }
            if idle && !self.shared.queue.sleep() {
                continue;
            }
            let timeout = idle.then_some(IDLE);
            self.step(timeout);
            if idle {
                self.shared.queue.awake();
                self.housekeep();
            }
        }
        if self.poisoned.is_none()
            && let Err(error) = self.log.close()
        {
            tracing::error!(%error, "the log could not be closed in order; the next start recovers it");
        }
    }

    /// Appends the requests as one commit and starts writing it.
    pub(crate) fn take(&mut self, waiting: Vec<Waiting>) {
        if let Some(error) = self.poisoned.clone() {
            waiting
                .into_iter()
                .for_each(|(_, done)| done(Err(error.clone())));
            return;
        }
        let taken_ns = self.shared.clock.monotonic_ns();
        let wall_ns = self.shared.clock.wall_ns();
        let (mut batches, mut small): (Vec<Arc<Batch>>, Vec<BatchBuilder>) =
            (Vec::new(), Vec::new());
        let (mut dones, mut tick) = (Vec::with_capacity(waiting.len()), false);
        for (request, done) in waiting {
            tick |= request.tick;
            dones.push(done);
            for rows in request.rows {
                match rows {
                    Rows::Sealed(batch) => batches.push(Arc::new(batch)),
                    Rows::Small(builder) => merge(&mut small, builder),
                }
            }
        }
        batches.extend(
            small
                .into_iter()
                .filter_map(BatchBuilder::finish)
                .map(Arc::new),
        );
        // Taken after the requests: whatever ids their rows use were queued before the rows were.
        let catalog = self.shared.catalog.pending().take();
        let tenant = TenantId(0);
        let appended = self.log.append(wall_ns, |record| {
            if !catalog.is_empty() {
                record.section(SectionKind::CATALOG, tenant, &[&catalog]);
            }
            for batch in &batches {
                record.section_with(SectionKind::ROWS, tenant, |out| batch.encode(out));
            }
            if tick {
                record.section(SectionKind::TICK, tenant, &[]);
            }
        });
        match appended {
            Ok(lsn) => {
                let commit = Arc::new(Commit {
                    lsn,
                    wall_ns,
                    batches,
                    tick,
                });
                self.in_flight.push_back(InFlight {
                    commit,
                    catalog,
                    done: dones,
                    taken_ns,
                });
                if let Err(error) = self.log.flush() {
                    self.poison(&error);
                }
            }
            Err(error) => {
                // Catalog entries that were taken would be missing from the log from here on.
                let error = if catalog.is_empty() && !matches!(error, WalError::Poisoned { .. }) {
                    Error::from(error)
                } else {
                    self.poison(&error)
                };
                dones.into_iter().for_each(|done| done(Err(error.clone())));
            }
        }
    }

    /// Whether the log has failed.
    #[cfg(test)]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.is_some()
    }

    /// Commits on their way to the disk.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Waits for the disk (or for requests), then publishes what has become durable.
    pub(crate) fn step(&mut self, timeout: Option<Duration>) {
        if self.poisoned.is_some() {
            std::thread::park_timeout(timeout.unwrap_or(IDLE));
            return;
        }
        if self.log.pending_bytes() > 0
            && let Err(error) = self.log.flush()
        {
            self.poison(&error);
            return;
        }
        match self.log.wait(timeout) {
            Ok(durable) => self.publish(durable),
            Err(error) => {
                self.poison(&error);
            }
        }
    }

    /// What is done between commits: idle marks, and letting go of log files that nothing needs.
    pub(crate) fn housekeep(&mut self) {
        if self.poisoned.is_some() {
            return;
        }
        if let Err(error) = self.log.idle() {
            self.poison(&error);
            return;
        }
        self.truncate();
    }

    fn truncate(&mut self) {
        let floor = self.shared.wal_floor();
        if floor > Lsn(self.shared.truncated.load(Ordering::Relaxed)) {
            self.shared.truncated.store(floor.0, Ordering::Relaxed);
            if let Err(error) = self.log.truncate_below(floor) {
                tracing::warn!(%error, "log files that are no longer needed could not be removed");
            }
        }
        let (used, ready) = self.log.disk_bytes();
        if ready == 0 {
            self.shared.prepare_signal.request();
        }
        self.shared.metrics.wal_bytes.store(used, Ordering::Relaxed);
        self.shared
            .metrics
            .wal_ready_bytes
            .store(ready, Ordering::Relaxed);
    }

    fn publish(&mut self, durable: Lsn) {
        while self
            .in_flight
            .front()
            .is_some_and(|f| f.commit.lsn <= durable)
        {
            let Some(InFlight {
                commit,
                catalog,
                done,
                taken_ns,
            }) = self.in_flight.pop_front()
            else {
                break;
            };
            {
                let mut published = self.shared.published.lock();
                let grown = published.add(&self.shared.catalog, &commit);
                // Wrapping: a negative growth is subtracted. Under the lock, so that a flush never takes off more.
                self.shared
                    .metrics
                    .head_bytes
                    .fetch_add(grown as u64, Ordering::Relaxed);
                published.catalog_log.extend_from_slice(&catalog);
                published
                    .observers
                    .iter()
                    .for_each(|o| o.on_commit(&commit));
            }
            let m = &self.shared.metrics;
            m.published.store(commit.lsn.0, Ordering::Release);
            m.commits.fetch_add(1, Ordering::Relaxed);
            m.requests.fetch_add(done.len() as u64, Ordering::Relaxed);
            m.rows.fetch_add(
                commit.batches.iter().map(|b| b.rows as u64).sum(),
                Ordering::Relaxed,
            );
            m.commit_ns.fetch_add(
                self.shared.clock.monotonic_ns().saturating_sub(taken_ns),
                Ordering::Relaxed,
            );
            done.into_iter().for_each(|done| done(Ok(commit.lsn)));
        }
        if self.shared.wants_flush() {
            self.shared.flush_signal.request();
        }
        self.truncate();
    }

    /// After a failed write nothing is acknowledged any more; a retried sync would lie.
    fn poison(&mut self, error: &WalError) -> Error {
        tracing::error!(%error, "the log has failed; writes are refused until a restart");
        let error = Error::Poisoned(error.to_string());
        self.poisoned = Some(error.clone());
        self.shared.metrics.poisoned.store(true, Ordering::Release);
        for f in self.in_flight.drain(..) {
            f.done.into_iter().for_each(|done| done(Err(error.clone())));
        }
        error
    }
}

/// Adds rows to those of the same stream, in order.
fn merge(small: &mut Vec<BatchBuilder>, rows: BatchBuilder) {
    let same = |b: &BatchBuilder, stream: StreamId| b.stream == stream;
    match small.iter_mut().find(|b| same(b, rows.stream)) {
        Some(b) => b.append(&rows),
        None => small.push(rows),
    }
}
