//! The thread of one sink: connects, follows, sends, and begins anew after a trouble.

use super::definition::Definition;
use super::out::{Connect, Out};
use super::plan::Plan;
use super::refused::Refused;
use super::status::{State, Status};
use super::tail::Hub;
use super::{SinksConfig, changes, rows};
use ingest::sink::kafka::{KafkaSinkSpec, Progress, Trouble};
use query::QueryEngine;
use query::view::ViewRuntime;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tsdb::Engine;
use tsdb::types::Lsn;

/// So often shut out by another producer in so long a time, a sink gives in.
const FENCED: (usize, Duration) = (3, Duration::from_secs(60));
/// A progress without rows is written down after so long: until then the log is held for it.
pub(super) const MARK: Duration = Duration::from_secs(10);
/// A progress is written down anew after so long, so that the brokers don't forget it.
pub(super) const REMIND: Duration = Duration::from_secs(3600);

/// What all sinks share.
pub(super) struct Shared {
    pub engine: Engine,
    pub query: Arc<QueryEngine>,
    pub views: Arc<ViewRuntime>,
    pub hub: Arc<Hub>,
    /// Names this database among others.
    pub member: String,
    pub config: SinksConfig,
    pub connect: Box<Connect>,
}

/// Why a sink no longer follows.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// To be tried again after a while.
    Retry(String),
    /// Shut out by another producer of its name.
    Fenced(String),
    /// Of no use to try again.
    Failed(String),
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Ended {
        match trouble {
            Trouble::Retry(why) => Ended::Retry(why),
            Trouble::Fenced(why) => Ended::Fenced(why),
            Trouble::Wrong(why) | Trouble::TooLarge(why) => Ended::Failed(why),
        }
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Ended {
        Ended::Retry(format!("what was sent can't be written down: {error}"))
    }
}

/// One sink.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    pub db: String,
    pub name: String,
    pub definition: Definition,
    pub status: Arc<Status>,
    pub stop: watch::Receiver<bool>,
    /// The log is held from here on; `u64::MAX` when it is not.
    pub held: AtomicU64,
}

/// Who holds the log for a sink.
pub(super) fn owner(db: &str, name: &str, epoch: u64) -> String {
    format!("sink {db}.{name} of {epoch}")
}

impl Worker {
    pub fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return self.fail(error.to_string()),
        };
        let (first, longest) = self.shared.config.backoff;
        let (mut backoff, mut fenced) = (first, Vec::new());
        loop {
            let before = self.status.transactions.load(Ordering::Relaxed);
            let ended = catch_unwind(AssertUnwindSafe(|| self.once(&runtime)));
            let why = match ended {
                Err(_) => return self.fail("the sink ran into a fault of the server".into()),
                Ok(Ended::Stopped) => return,
                Ok(Ended::Failed(why)) => return self.fail(why),
                Ok(Ended::Retry(why)) => why,
                Ok(Ended::Fenced(why)) => {
                    fenced.retain(|at: &Instant| at.elapsed() < FENCED.1);
                    fenced.push(Instant::now());
                    if fenced.len() >= FENCED.0 {
                        return self.fail(format!("another server sends as this sink: {why}"));
                    }
                    why
                }
            };
            self.status.set(&self.name, State::Waiting, Some(why));
            if self.status.transactions.load(Ordering::Relaxed) != before {
                backoff = first;
            }
            self.pause(&runtime, backoff, std::future::pending());
            backoff = (backoff * 2).min(longest);
            if self.stopping() {
                return;
            }
            if let Err(Ended::Failed(why)) = self.check_log() {
                return self.fail(why);
            }
        }
    }

    fn once(&self, runtime: &Runtime) -> Ended {
        let follow = || {
            let plan = Plan::of(&self.shared, &self.definition).map_err(Ended::Retry)?;
            let (config, full_name) = (&self.shared.config, format!("{}.{}", self.db, self.name));
            let spec = KafkaSinkSpec::of(
                &self.definition.options,
                config.kafka_brokers.as_deref(),
                &config.kafka_settings,
                (&self.shared.member, &full_name, self.definition.epoch),
            );
            let spec = spec.map_err(Ended::Failed)?;
            if matches!(plan, Plan::Changes(_)) {
                // What was sent tells what is to be sent, without the log.
                self.hold(None);
            }
            let (out, progress) = (self.shared.connect)(&spec, &|| self.stopping())?;
            let session = Session {
                worker: self,
                out,
                open: false,
                records: 0,
                place: (0, 0),
                refused: Refused::default(),
                at: progress.unwrap_or(Progress { lsn: 0, serial: 0 }),
                known: progress.is_some(),
                told: Instant::now(),
            };
            match plan {
                Plan::Rows { feed, encoder } => rows::follow(session, runtime, *feed, encoder),
                Plan::Changes(changes) => {
                    changes::follow(session, runtime, &changes, spec.exactly_once)
                }
            }
        };
        match follow() {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    /// Ends for good; the log is no longer held.
    fn fail(&self, why: String) {
        self.hold(None);
        self.status.set(&self.name, State::Failed, Some(why));
    }

    pub fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits so long, or until `ready`, or until the sink is told to stop.
    pub fn pause(&self, runtime: &Runtime, time: Duration, ready: impl Future<Output = ()>) {
        let mut stop = self.stop.clone();
        runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = ready => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }

    /// Holds the log after a commit, or not at all.
    pub fn hold(&self, floor: Option<Lsn>) {
        let owner = owner(&self.db, &self.name, self.definition.epoch);
        self.shared.engine.hold_wal(&owner, floor);
        let held = floor.map_or(u64::MAX, |lsn| lsn.0);
        self.held.store(held, Ordering::Relaxed);
    }

    /// Gives in when the log that is held for the sink has grown too large.
    pub fn check_log(&self) -> Result<(), Ended> {
        let held = self.held.load(Ordering::Relaxed);
        if held == u64::MAX {
            return Ok(());
        }
        let limit = self.definition.option("log_limit");
        let limit = limit.and_then(|l| l.parse().ok());
        let limit = limit.unwrap_or(self.shared.config.log_limit);
        let bytes = self.shared.engine.log_bytes_after(Lsn(held));
        if bytes <= limit {
            return Ok(());
        }
        let last = self.status.get().1;
        let last = last.map_or_else(String::new, |why| format!("; the last trouble was: {why}"));
        Err(Ended::Failed(format!(
            "{bytes} bytes of log were held for the commits after {held}, and log_limit is {limit}: drop the sink and \
             create it again{last}"
        )))
    }
}

/// One connection, and how far it has brought the sink.
pub(super) struct Session<'a> {
    pub worker: &'a Worker,
    out: Box<dyn Out>,
    open: bool,
    records: u64,
    /// The commit whose records are sent, and how many of them there were.
    place: (u64, u64),
    refused: Refused,
    /// What the brokers know.
    pub at: Progress,
    /// They do know something.
    pub known: bool,
    /// When they were told.
    pub told: Instant,
}

impl Session<'_> {
    /// Sends a record, in a transaction that it begins if there is none.
    pub fn put(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Ended> {
        if !self.open {
            self.out.begin()?;
            self.open = true;
        }
        if self.records % 1024 == 1023 && self.worker.stopping() {
            return Err(Ended::Stopped);
        }
        self.place.1 += 1;
        match self.out.put(key, value) {
            Ok(()) => self.records += 1,
            Err(Trouble::TooLarge(why)) => self.refuse(why, value.unwrap_or_default()),
            Err(trouble) => return Err(trouble.into()),
        }
        Ok(())
    }

    /// The records that follow are those of a commit.
    pub fn begin_commit(&mut self, lsn: u64) {
        self.place = (lsn, 0);
    }

    /// A record, or a row that none could be made of, is left out.
    pub fn refuse(&mut self, why: String, row: &[u8]) {
        self.place.1 += 1;
        let (lsn, number) = self.place;
        let position = format!("commit {lsn}, record {number}");
        self.refused.add(position, why, row);
    }

    /// Commits the transaction, also one of nothing but the progress.
    pub fn commit(&mut self, at: Progress) -> Result<(), Ended> {
        if !self.open {
            self.out.begin()?;
        }
        // Before, since the sink never comes back to them behind it.
        self.refused.store(self.worker)?;
        self.out.commit(at)?;
        let status = &self.worker.status;
        status.rows.fetch_add(self.records, Ordering::Relaxed);
        status.transactions.fetch_add(1, Ordering::Relaxed);
        (self.open, self.records) = (false, 0);
        (self.at, self.known, self.told) = (at, true, Instant::now());
        self.reached(at.lsn);
        Ok(())
    }

    /// Whether a progress without rows is to be written down.
    pub fn is_due(&self, reached: u64) -> bool {
        let since = self.told.elapsed();
        reached > self.at.lsn && since >= MARK || since >= REMIND
    }

    /// All commits up to here are in the topic.
    pub fn reached(&self, lsn: u64) {
        self.worker.status.lsn.fetch_max(lsn, Ordering::Relaxed);
    }

    /// All is well.
    pub fn runs(&self) {
        let worker = self.worker;
        worker.status.set(&worker.name, State::Running, None);
    }
}
