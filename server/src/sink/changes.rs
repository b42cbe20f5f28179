//! A sink of a view: its rows by key, as they change. What was sent is in a journal; after a start, and whenever changes
//! were missed, the view as it is now is compared with it, and the difference goes out. So the topic, folded by key, is the
//! view at the last transaction's LSN, whatever was lost on the way, and nothing waits in memory for a topic that is slow.

use super::journal::{Journal, Sent, hash};
use super::plan::Changes;
use super::worker::{Ended, Session};
use arrow::record_batch::RecordBatch;
use ingest::sink::kafka::Progress;
use query::view::{Frame, Subscription};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Changes of one transaction at most, but for what its last frame brings.
const MAX_ROWS: usize = 65_536;
/// Rows that are compared at once.
const SLICE: usize = 4_096;

type Folded = HashMap<Vec<u8>, Option<Vec<u8>>, ahash::RandomState>;

struct Follower<'a> {
    session: Session<'a>,
    plan: &'a Changes,
    journal: Journal,
    /// The rows at hand when the sink was made are not to be sent.
    skip: bool,
    /// Nothing was sent yet.
    fresh: bool,
}

/// Follows until something ends it.
pub(super) fn follow(
    session: Session<'_>,
    runtime: &Runtime,
    plan: &Changes,
    exactly_once: bool,
) -> Result<Infallible, Ended> {
    let worker = session.worker;
    let (shared, definition) = (&worker.shared, &worker.definition);
    let committed = session.at.serial;
    let opened = Journal::open(
        shared.engine.disk(),
        definition.epoch,
        committed,
        !exactly_once && !plan.finals,
        plan.finals && exactly_once,
    )?;
    let Some((journal, sent)) = opened else {
        return Err(Ended::Failed(
            "Kafka and this database differ on how far the sink is, so windows might come twice: drop it and create it \
             again"
                .into(),
        ));
    };
    let fresh = committed == 0 && sent.is_empty();
    let mut subscription = plan.subscribe(shared, definition).map_err(Ended::Retry)?;
    if subscription.columns() != plan.encoder.columns() {
        return Err(Ended::Retry("the view has just been redefined".into()));
    }
    let mut follower = Follower {
        session,
        plan,
        journal,
        skip: fresh && !definition.flag("snapshot", true),
        fresh,
    };
    let mut sent = Some(sent);
    let mut waiting: Option<Arc<Frame>> = None;
    loop {
        if worker.stopping() {
            return Err(Ended::Stopped);
        }
        let reached = subscription.seq();
        let frame = match waiting.take().or_else(|| subscription.try_next()) {
            Some(frame) => frame,
            None => {
                if sent.is_none() {
                    follower.idle(reached)?;
                }
                let mut next = None;
                worker.pause(runtime, Duration::from_secs(1), async {
                    next = subscription.next().await;
                });
                match next {
                    Some(frame) => frame,
                    None => continue,
                }
            }
        };
        match frame.as_ref() {
            Frame::Snapshot { seq, rows } => {
                let sent = match sent.take() {
                    Some(sent) => sent,
                    None => follower.journal.sent()?,
                };
                follower.bring_to(*seq, rows, sent)?;
                follower.session.runs();
            }
            Frame::Changes { .. } => {
                let (seq, folded, next) = follower.fold(frame, &mut subscription);
                waiting = next;
                follower.send(seq, folded)?;
            }
            // A snapshot follows.
            Frame::Gap { .. } => {}
            Frame::Closed { reason } => return Err(Ended::Retry(reason.clone())),
        }
    }
}

impl Follower<'_> {
    /// Sends what tells the view from what was sent.
    fn bring_to(&mut self, lsn: u64, rows: &RecordBatch, mut sent: Sent) -> Result<(), Ended> {
        self.session.begin_commit(lsn);
        let serial = self.session.at.serial + 1;
        self.journal.begin(serial);
        let (plan, skip) = (self.plan, self.skip);
        let mut changed = std::mem::take(&mut self.fresh);
        for from in (0..rows.num_rows()).step_by(SLICE) {
            let slice = rows.slice(from, SLICE.min(rows.num_rows() - from));
            let mut identities = self.identities(&slice).into_iter();
            let (journal, session) = (&mut self.journal, &mut self.session);
            plan.encoder.rows(&slice, &mut |key, value| {
                let own = identities.next();
                let identity = own.as_deref().or(key).unwrap_or_default();
                let hash = hash(value);
                match sent.remove(identity) {
                    Some(_) if plan.finals => return Ok(()),
                    Some(Some(before)) if before == hash => return Ok(()),
                    _ => {}
                }
                changed = true;
                journal.note(identity, Some(hash))?;
                if skip {
                    return Ok(());
                }
                session.put(key, Some(value))
            })?;
        }
        if !plan.finals {
            // What is left is in the topic and no more in the view.
            for key in sent.keys() {
                changed = true;
                self.journal.note(key, None)?;
                self.session.put(Some(key), None)?;
            }
        }
        self.skip = false;
        if changed {
            self.commit(lsn, serial)?;
        }
        self.session.reached(lsn);
        Ok(())
    }

    /// Takes together what waits, the last word for each key.
    fn fold(
        &self,
        first: Arc<Frame>,
        subscription: &mut Subscription,
    ) -> (u64, Folded, Option<Arc<Frame>>) {
        let (mut folded, mut lsn) = (Folded::default(), 0);
        let mut next = Some(first);
        while let Some(frame) = next.take() {
            let Frame::Changes {
                seq,
                insert,
                retract,
                ..
            } = frame.as_ref()
            else {
                return (lsn, folded, Some(frame));
            };
            lsn = *seq;
            if !self.plan.finals {
                self.plan.encoder.keys(retract, &mut |key| {
                    folded.insert(key.to_vec(), None);
                });
            }
            let mut identities = self.identities(insert).into_iter();
            let done: Result<(), std::convert::Infallible> =
                self.plan.encoder.rows(insert, &mut |key, value| {
                    let key = key.unwrap_or_default();
                    // Of windows that close there is one record each, whatever its key.
                    let (name, value) = match identities.next() {
                        Some(identity) => (identity, pair(key, value)),
                        None => (key.to_vec(), value.to_vec()),
                    };
                    folded.insert(name, Some(value));
                    Ok(())
                });
            let Ok(()) = done;
            if folded.len() >= MAX_ROWS {
                break;
            }
            next = subscription.try_next();
        }
        (lsn, folded, None)
    }

    fn send(&mut self, lsn: u64, folded: Folded) -> Result<(), Ended> {
        self.session.begin_commit(lsn);
        let serial = self.session.at.serial + 1;
        self.journal.begin(serial);
        for (identity, value) in &folded {
            let Some(value) = value else {
                self.journal.note(identity, None)?;
                self.session.put(Some(identity), None)?;
                continue;
            };
            let (key, value) = match self.plan.identity {
                Some(_) => parts(value),
                None => (identity.as_slice(), value.as_slice()),
            };
            self.journal.note(identity, Some(hash(value)))?;
            self.session.put(Some(key), Some(value))?;
        }
        self.commit(lsn, serial)
    }

    fn commit(&mut self, lsn: u64, serial: u64) -> Result<(), Ended> {
        self.journal.sync()?;
        self.session.commit(Progress { lsn, serial })?;
        Ok(self.journal.tidy()?)
    }

    /// Nothing waits: all up to `reached` has been sent.
    fn idle(&mut self, reached: u64) -> Result<(), Ended> {
        self.session.reached(reached);
        if self.session.is_due(reached) {
            let lsn = reached.max(self.session.at.lsn);
            let serial = self.session.at.serial;
            self.session.commit(Progress { lsn, serial })?;
        }
        Ok(())
    }

    /// What tells rows apart, where their keys do not.
    fn identities(&self, rows: &RecordBatch) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if let Some(encoder) = &self.plan.identity {
            encoder.keys(rows, &mut |key| all.push(key.to_vec()));
        }
        all
    }
}

/// A key and a value in one.
fn pair(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = (key.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(key);
    out.extend_from_slice(value);
    out
}

/// What [`pair`] was given.
fn parts(pair: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, rest)) = pair.split_first_chunk::<4>() else {
        return (&[], pair);
    };
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
        .unwrap_or((&[], rest))
}
