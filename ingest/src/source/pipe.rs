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
}

/// What became of a batch.
struct Told {
    result: Result<Lsn, Error>,
    advances: Vec<(usize, u64)>,
    rows: usize,
    sent: Instant,
}

/// Takes messages of any number of partitions, in order for each, and commits them with their places.
pub(crate) struct Pipe {
    engine: Engine,
    stream: Arc<Stream>,
    intake: Intake,
    slots: Vec<Slot>,
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
            });
            self.slots.len() - 1
        });
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
        self.intake.push(record, self.now_ns)?;
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
        self.intake.rows() >= MAX_ROWS || self.intake.bytes() >= MAX_BYTES
    }

    /// Rows of the batch at hand.
    pub(super) fn rows(&self) -> usize {
        self.intake.rows()
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
        let Taken {
            rows,
            accepted,
            rejected,
            skipped,
            last_error,
        } = self.intake.take();
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
                rows: accepted + rejected,
                sent,
            };
            // Nobody listens once the source has ended.
            let _ = tell.send(told);
        };
        self.in_flight += 1;
        self.status.sent(accepted + rejected);
        self.engine.submit(request, Box::new(done));
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
            told.result?;
            self.status.committed(told.rows, told.sent.elapsed());
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
