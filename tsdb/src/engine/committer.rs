//! The one writer: groups requests, logs them, and publishes what is durable, in this order and no other.

use super::request::{Commit, Done, Request, Rows};
use super::shared::Shared;
use crate::Error;
use crate::ledger::{self, Entries, Gatekeeper};
use crate::wal::{Log, SectionKind, WalError};
use hashbrown::HashMap;
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
    /// What its requests say of sources and keys.
    taken: Entries,
    done: Vec<Done>,
    /// When it was taken, monotonic.
    taken_ns: u64,
}

/// Drives the log; owned by one thread (or, in simulation, by the test).
pub(crate) struct Committer {
    log: Log,
    shared: Arc<Shared>,
    in_flight: VecDeque<InFlight>,
    /// Catalog entries of a record that the log has refused: they go into the next one, since ids that were given out
    /// stay given out.
    carry: Vec<u8>,
    gatekeeper: Gatekeeper,
    /// Bytes of log that the metrics know of.
    counted: u64,
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
            carry: Vec::new(),
            gatekeeper: Gatekeeper::default(),
            counted: 0,
            poisoned: None,
        }
    }

    /// Serves the queue until it is closed and empty, then closes the log.
    pub(crate) fn run(mut self) {
        let _last_words = LastWords(self.shared.clone());
        loop {
            // A poisoned log keeps the groups that it has failed; requests are still answered, with the reason.
            let room = self.poisoned.is_some() || self.log.groups_in_flight() < 2;
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
        let (mut batches, mut small) = (Vec::new(), SmallRows::default());
        let (mut dones, mut tick) = (Vec::with_capacity(waiting.len()), false);
        let mut taken = Entries::default();
        for (mut request, done) in waiting {
            if let Err(error) = self
                .gatekeeper
                .admit(&self.shared.ledger, &mut request, &mut taken)
            {
                done(Err(error));
                continue;
            }
            tick |= request.tick;
            dones.push(done);
            for rows in request.rows {
                match rows {
                    Rows::Sealed(batch) => batches.push(Arc::new(batch)),
                    Rows::Small(builder) => small.add(builder),
                }
            }
        }
        if dones.is_empty() {
            return;
        }
        batches.extend(small.finish().map(Arc::new));
        // Taken after the requests: whatever ids their rows use were queued before the rows were.
        let mut catalog = std::mem::take(&mut self.carry);
        let pending = self.shared.catalog.pending().take();
        if catalog.is_empty() {
            catalog = pending;
        } else {
            catalog.extend_from_slice(&pending);
        }
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
            if !taken.advances.is_empty() {
                record.section_with(SectionKind::POSITIONS, tenant, |out| {
                    ledger::encode_positions(&taken.advances, out);
                });
            }
            if !taken.keys.is_empty() {
                record.section_with(SectionKind::IDEMPOTENCY, tenant, |out| {
                    ledger::encode_keys(taken.keys.iter(), out);
                });
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
                    taken,
                    done: dones,
                    taken_ns,
                });
                if let Err(error) = self.log.flush() {
                    self.poison(&error);
                }
            }
            Err(error) => {
                let error = match error {
                    WalError::Poisoned { .. } => self.poison(&error),
                    // The log is as it was before; what it refused is not in it.
                    refused => Error::from(refused),
                };
                self.carry = catalog;
                self.gatekeeper
                    .reset(self.in_flight.iter().map(|f| &f.taken));
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
        match self.log.idle() {
            Ok(_) => {}
            // No room for the mark now: what it would vouch for is durable all the same, and the next silence tries again.
            Err(WalError::NoFile { .. }) => {}
            Err(error) => {
                self.poison(&error);
                return;
            }
        }
        self.look_after_log();
        // A flush that failed, or a head that was full from the start, has no commit behind it that would ask again.
        if self.shared.wants_flush() {
            self.shared.flush_signal.request();
        }
    }

    /// Counts the log's bytes, and lets another thread make files ready and let go of those that nothing needs: on this
    /// one commits would wait for it.
    fn look_after_log(&mut self) {
        let floor = self.shared.wal_floor();
        self.shared.count_log(self.log.disk_bytes());
        let written = self.log.written_bytes();
        self.shared
            .metrics
            .wal_written_bytes
            .fetch_add(written - self.counted, Ordering::Relaxed);
        self.counted = written;
        if !self.log.has_ready_file() || floor > Lsn(self.shared.truncated.load(Ordering::Relaxed))
        {
            self.shared.prepare_signal.request();
        }
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
                taken,
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
                self.shared
                    .ledger
                    .publish(&taken, commit.lsn, commit.wall_ns);
                published.note_taken(&taken, &commit);
                published
                    .observers
                    .iter()
                    .for_each(|o| o.on_commit(&commit));
            }
            self.gatekeeper.published(&taken);
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
        self.look_after_log();
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

/// Rows of small requests, per stream in the order of their requests.
#[derive(Default)]
struct SmallRows {
    builders: Vec<BatchBuilder>,
    by_stream: HashMap<StreamId, usize, ahash::RandomState>,
}

impl SmallRows {
    fn add(&mut self, rows: BatchBuilder) {
        match self.by_stream.get(&rows.stream) {
            Some(at) => self.builders[*at].append(&rows),
            None => {
                self.by_stream.insert(rows.stream, self.builders.len());
                self.builders.push(rows);
            }
        }
    }

    fn finish(self) -> impl Iterator<Item = Batch> {
        self.builders.into_iter().filter_map(BatchBuilder::finish)
    }
}

/// Answers those who wait when the commit thread ends, however it ends: after a panic nobody else would.
struct LastWords(Arc<Shared>);

impl Drop for LastWords {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.metrics.poisoned.store(true, Ordering::Release);
        }
        self.0.queue.close();
        // Dropping a request's callback tells its sender that the engine is closed.
        while !self.0.queue.take().0.is_empty() {}
    }
}
