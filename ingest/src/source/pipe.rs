//! From an intake to the log: what has come is sent as soon as the log can take it, so that batches are small when little
//! comes and large under load; few of them are on their way at once.

use super::status::{PartitionStatus, SourceStatus};
use super::{Intake, Record, Taken};
use crate::decode::Wait;
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tsdb::ledger::{Advance, Position};
use tsdb::{Engine, Error, Lsn, Request, Stream};

/// Rows of a batch at most.
const MAX_ROWS: usize = 65_536;
/// Bytes of a batch at most, but for what its last message brings.
const MAX_BYTES: usize = 8 << 20;
/// Batches on their way at once: one is synced while the next is written.
const IN_FLIGHT: usize = 2;
/// Suspect messages of a batch at most: each is looked at by itself, and has its own part in the request.
const MAX_TRIED: usize = 1_024;
/// How full the write buffer may be before a source waits.
const PRESSURE: f64 = 0.9;

/// What a source reads in order, and how far it is.
struct Slot {
    name: Arc<str>,
    origin: Arc<str>,
    status: Arc<PartitionStatus>,
    /// What the batch at hand has of it: the first place, and the one after the last.
    span: Option<(u64, u64)>,
    /// How far what was sent reaches.
    sent: u64,
    /// Where the last request ended, since reading began or began again.
    last: Option<u64>,
}

/// What became of a batch.
struct Told {
    result: Result<Lsn, Error>,
    advances: Vec<(usize, u64)>,
    sent: Instant,
}

/// Suspect messages that were tried, and what came before them in the batch.
#[derive(Default)]
struct Tried {
    taken: Taken,
    bytes: usize,
    messages: usize,
}

/// Takes messages of any number of partitions, in order for each, and commits them with their places.
pub(crate) struct Pipe {
    engine: Engine,
    stream: Arc<Stream>,
    intake: Intake,
    slots: Vec<Slot>,
    tried: Tried,
    /// Slots that the batch at hand has something of.
    touched: Vec<usize>,
    in_flight: usize,
    told: (Sender<Told>, Receiver<Told>),
    status: Arc<SourceStatus>,
    now_ns: i64,
    since_clock: u32,
}

impl Pipe {
    pub(super) fn new(
        engine: Engine,
        stream: Arc<Stream>,
        intake: Intake,
        status: Arc<SourceStatus>,
    ) -> Pipe {
        Pipe {
            now_ns: engine.clock().wall_ns(),
            engine,
            stream,
            intake,
            slots: Vec::new(),
            tried: Tried::default(),
            touched: Vec::new(),
            in_flight: 0,
            told: unbounded(),
            status,
            since_clock: 0,
        }
    }

    /// Makes a partition known, or known anew; gives its number.
    pub(super) fn slot(&mut self, name: &str, origin: &str) -> usize {
        let known = self.slots.iter().position(|s| &*s.name == name);
        let at = known.unwrap_or_else(|| {
            self.slots.push(Slot {
                name: name.into(),
                origin: origin.into(),
                status: self.status.partition(name),
                span: None,
                sent: 0,
                last: None,
            });
            self.slots.len() - 1
        });
        // It may have been forgotten meanwhile.
        self.slots[at].status = self.status.partition(name);
        // Who does not know the origin means the partition as it was.
        let before = || self.origin_taken(at).unwrap_or_default();
        let origin = if origin.is_empty() {
            before()
        } else {
            origin.into()
        };
        self.slots[at].origin = origin;
        at
    }

    /// The partition's status.
    pub(super) fn partition(&self, slot: usize) -> &Arc<PartitionStatus> {
        &self.slots[slot].status
    }

    /// How far the log has taken a partition.
    pub(super) fn taken(&self, slot: usize) -> Option<u64> {
        let position = self
            .engine
            .ledger()
            .position(self.stream.id, &self.slots[slot].name);
        position.map(|p| p.next)
    }

    /// What the log has taken of a partition's name was of a partition of this origin.
    pub(super) fn origin_taken(&self, slot: usize) -> Option<Arc<str>> {
        let position = self
            .engine
            .ledger()
            .position(self.stream.id, &self.slots[slot].name);
        position.map(|p| p.origin)
    }

    /// What tells this partition from others of its name.
    pub(super) fn origin(&self, slot: usize) -> &Arc<str> {
        &self.slots[slot].origin
    }

    /// How far a partition was read: the log, what is on its way to it, and the batch at hand.
    pub(super) fn reached(&self, slot: usize) -> u64 {
        let slot = &self.slots[slot];
        slot.span.map_or(slot.sent, |(_, next)| next)
    }

    /// Whether all that was sent of a partition is in the log, and nothing of it waits to be sent.
    pub(super) fn is_durable(&self, slot: usize) -> bool {
        let s = &self.slots[slot];
        s.span.is_none() && s.last.is_none_or(|last| self.taken(slot) >= Some(last))
    }

    /// Gives up what a partition had from `record`'s place up to `next`: a dead letter tells of it.
    pub(super) fn write_off(&mut self, slot: usize, record: &Record<'_>, next: u64, why: String) {
        self.intake.refuse(record, why);
        let s = &mut self.slots[slot];
        if s.span.replace((record.offset, next)).is_none() {
            self.touched.push(slot);
        }
    }

    /// Has the place where a partition is read from now go into the log, although nothing was read.
    pub(super) fn mark(&mut self, slot: usize) {
        let s = &mut self.slots[slot];
        if s.span.is_none() {
            s.span = Some((s.sent, s.sent));
            self.touched.push(slot);
        }
    }

    /// Takes a message; its place is `record.offset`. One that was taken before is left out.
    ///
    /// # Errors
    /// When it can't be decoded now: offer it again.
    pub(super) fn push(&mut self, slot: usize, record: &Record<'_>) -> Result<(), Wait> {
        if self.since_clock == 0 {
            self.now_ns = self.engine.clock().wall_ns();
        }
        self.since_clock = (self.since_clock + 1) % 256;
        let s = &mut self.slots[slot];
        let reached = s.span.map_or(s.sent, |(_, next)| next);
        if record.offset < reached {
            self.status.repeated.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if s.status.is_suspect(record.offset) {
            self.push_suspect(record)?;
        } else {
            self.intake.push(record, self.now_ns)?;
        }
        let s = &mut self.slots[slot];
        match &mut s.span {
            Some((_, next)) => *next = record.offset + 1,
            None => {
                s.span = Some((record.offset, record.offset + 1));
                self.touched.push(slot);
            }
        }
        let bytes = record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len);
        self.status.received(bytes);
        Ok(())
    }

    /// Takes a message that may be why a batch was refused: if it is, it becomes a dead letter.
    fn push_suspect(&mut self, record: &Record<'_>) -> Result<(), Wait> {
        self.set_aside();
        self.intake.push(record, self.now_ns)?;
        let bytes = self.intake.bytes();
        let taken = self.intake.take();
        self.tried.messages += 1;
        match self.engine.check(taken.rows.clone()) {
            Err(Error::Refused(why)) => self.intake.refuse(record, why),
            // What else may be wrong, the commit tells.
            _ => self.tried.add(taken, bytes),
        }
        Ok(())
    }

    /// Puts what the intake has with what was tried.
    fn set_aside(&mut self) {
        if !self.intake.is_empty() {
            let bytes = self.intake.bytes();
            self.tried.add(self.intake.take(), bytes);
        }
    }

    /// Notes that a partition holds nothing up to `next` that concerns us.
    pub(super) fn skip_to(&mut self, slot: usize, next: u64) {
        let s = &mut self.slots[slot];
        match &mut s.span {
            Some((_, end)) => *end = next.max(*end),
            None => s.sent = s.sent.max(next),
        }
    }

    /// The columns that a line of CSV names.
    ///
    /// # Errors
    /// When it can't be; also where values are no CSV.
    pub(super) fn csv_header(&self, line: &[u8]) -> Result<Vec<String>, String> {
        self.intake.csv_header(line)
    }

    /// Sets the columns of the messages that follow; see [`Intake::set_csv_columns`].
    pub(super) fn csv_columns(&mut self, names: &[String]) {
        self.intake.set_csv_columns(names);
    }

    /// All partitions that the log has taken something of.
    pub(super) fn positions(&self) -> Vec<(Arc<str>, Position)> {
        self.engine.ledger().positions(self.stream.id)
    }

    /// The stream that is fed.
    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The clock is to be asked at the next message: time has passed.
    pub(super) fn idle(&mut self) {
        self.since_clock = 0;
    }

    /// Whether a batch has come together.
    pub(super) fn has_batch(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Whether the batch at hand must grow no more.
    pub(super) fn is_full(&self) -> bool {
        self.rows() >= MAX_ROWS
            || self.intake.bytes() + self.tried.bytes >= MAX_BYTES
            || self.tried.messages >= MAX_TRIED
    }

    /// Rows of the batch at hand.
    pub(super) fn rows(&self) -> usize {
        self.intake.rows() + self.tried.taken.accepted
    }

    /// Whether nothing is on its way to the log.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Whether the log takes a batch now.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < IN_FLIGHT && !self.is_pressed()
    }

    /// Whether the write buffer is so full that sources wait.
    pub(super) fn is_pressed(&self) -> bool {
        self.engine.pressure() >= PRESSURE
    }

    /// Places of the batch at hand: slot, first place, place after the last.
    pub(super) fn spans(&self) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        let span = |at: &usize| self.slots[*at].span.map(|(from, next)| (*at, from, next));
        self.touched.iter().filter_map(span)
    }

    /// Sends the batch at hand, if there is one.
    pub(super) fn send(&mut self) {
        if self.touched.is_empty() {
            return;
        }
        self.set_aside();
        let Taken {
            rows,
            accepted,
            rejected,
            skipped,
            last_error,
        } = std::mem::take(&mut self.tried).taken;
        let (mut advances, mut told) = (Vec::new(), Vec::new());
        for at in self.touched.drain(..) {
            let slot = &mut self.slots[at];
            let Some((from, next)) = slot.span.take() else {
                continue;
            };
            slot.sent = next;
            told.push((at, next));
            advances.push(Advance {
                stream: self.stream.id,
                partition: slot.name.clone(),
                origin: slot.origin.clone(),
                from,
                next,
                after: slot.last.replace(next),
            });
        }
        self.status.decoded(accepted, rejected, skipped, last_error);
        let request = Request {
            rows,
            advances,
            ..Request::default()
        };
        let tell = self.told.0.clone();
        let sent = Instant::now();
        let done = move |result| {
            let told = Told {
                result,
                advances: told,
                sent,
            };
            // Nobody listens once the source has ended.
            let _ = tell.send(told);
        };
        self.in_flight += 1;
        self.status.sent(accepted + rejected);
        #[cfg(feature = "mutant-positions-apart")]
        self.submit_apart(request, Box::new(done));
        #[cfg(not(feature = "mutant-positions-apart"))]
        self.engine.submit(request, Box::new(done));
    }

    /// The mutant: rows go ahead in a commit of their own, and their places follow in another once that is durable.
    #[cfg(feature = "mutant-positions-apart")]
    fn submit_apart(&self, request: Request, done: tsdb::Done) {
        let Request { rows, advances, .. } = request;
        let places = Request {
            advances,
            ..Request::default()
        };
        let engine = self.engine.clone();
        let then = move |result| match result {
            Ok(_) => engine.submit(places, done),
            Err(error) => done(Err(error)),
        };
        self.engine.submit(Request::of(rows), Box::new(then));
    }

    /// Takes note of batches that are durable, waiting for the first at most so long.
    ///
    /// # Errors
    /// Why one is not.
    pub(super) fn settle(&mut self, wait: Duration) -> Result<(), Error> {
        let mut wait = (self.in_flight > 0).then_some(wait);
        while self.in_flight > 0 {
            let told = match wait.take().filter(|w| !w.is_zero()) {
                Some(time) => self.told.1.recv_timeout(time).ok(),
                None => self.told.1.try_recv().ok(),
            };
            let Some(told) = told else { break };
            self.in_flight -= 1;
            self.status
                .in_flight
                .store(self.in_flight, Ordering::Relaxed);
            if let Err(error) = told.result {
                if matches!(error, Error::Refused(_)) {
                    for (at, next) in told.advances {
                        self.slots[at].status.suspect_before(next);
                    }
                }
                return Err(error);
            }
            self.status.committed(told.sent.elapsed());
            for (at, next) in told.advances {
                self.slots[at].status.next.store(next, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Forgets the batch at hand, and waits until none is on its way. The partitions are to be read again from where the
    /// log has taken them to, see [`Pipe::restart`].
    pub(super) fn clear(&mut self) {
        drop(self.intake.take());
        self.tried = Tried::default();
        for at in self.touched.drain(..) {
            self.slots[at].span = None;
        }
        while self.in_flight > 0 {
            // The commit thread answers every request, also when the engine closes.
            let Ok(_) = self.told.1.recv() else { break };
            self.in_flight -= 1;
        }
    }

    /// A partition is read from `next` on.
    pub(super) fn restart(&mut self, slot: usize, next: u64) {
        let s = &mut self.slots[slot];
        s.span = None;
        s.sent = next;
        s.last = None;
        s.status.next.store(next, Ordering::Relaxed);
        self.touched.retain(|t| *t != slot);
    }

    /// Sends what is at hand and waits until all is durable.
    ///
    /// # Errors
    /// Why something is not.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.send();
        while self.in_flight > 0 {
            self.settle(Duration::from_millis(100))?;
        }
        Ok(())
    }

    pub(super) fn status(&self) -> &Arc<SourceStatus> {
        &self.status
    }
}

impl Tried {
    fn add(&mut self, more: Taken, bytes: usize) {
        self.bytes += bytes;
        let taken = &mut self.taken;
        taken.rows.extend(more.rows);
        taken.accepted += more.accepted;
        taken.rejected += more.rejected;
        taken.skipped += more.skipped;
        taken.last_error = more.last_error.or(taken.last_error.take());
    }
}
