//! What is done with rows as they come in: filters, samples, priorities, and streams derived from streams.
//!
//! It runs on the thread that brings the rows, before they are committed, so that what is derived is in the same commit as
//! what it was derived from. What it yields is logged: tables are looked into once, and a replay of the log yields the same.
//! Each row is looked at by itself; how rows are split among requests makes no difference.

mod definition;
mod derivation;
mod program;
mod sample;

pub(crate) use definition::Definition;
pub(crate) use derivation::Derivation;
pub(crate) use program::Program;

use crate::stream::RowBlock;
use crate::table::Table;
use hashbrown::HashMap;
use parking_lot::RwLock;
use program::Tally;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use tsdb::types::{Batch, StreamId};
use tsdb::{Error, RowTransform, Rows, Stream, pick};

/// The kind of the catalog's objects.
pub(crate) const KIND: &str = "transform";

/// How much a row matters when not all can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// Goes first.
    Low = 0,
    /// What is not said otherwise.
    Normal = 1,
    /// Goes last.
    High = 2,
    /// Never goes.
    Critical = 3,
}

impl Priority {
    /// The priority of that name; `None` when there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Priority> {
        let all = [
            ("low", Priority::Low),
            ("normal", Priority::Normal),
            ("high", Priority::High),
            ("critical", Priority::Critical),
        ];
        let found = all.iter().find(|(n, _)| name.eq_ignore_ascii_case(n));
        found.map(|(_, priority)| *priority)
    }

    /// The priority that a stream's options declare.
    #[must_use]
    pub fn of(stream: &Stream) -> Priority {
        let option = stream.options.extra.iter().find(|(n, _)| n == "priority");
        option
            .and_then(|(_, v)| Priority::named(v))
            .unwrap_or(Priority::Normal)
    }
}

/// The level of a priority's name; unknown ones are normal.
fn level(name: Option<&str>) -> u8 {
    let named = name.and_then(Priority::named);
    named.unwrap_or(Priority::Normal) as u8
}

/// How many rows of a stream went which way since the server started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Left out by `WHERE`, or by a join with a table that has no counterpart.
    pub filtered: AtomicU64,
    /// Left out of the sample.
    pub sampled: AtomicU64,
    /// Left out because they matter too little under the present load.
    pub shed: AtomicU64,
    /// Derived rows that were too old for their stream.
    pub late: AtomicU64,
    /// Rows that were derived.
    pub derived: AtomicU64,
}

impl Counts {
    fn add(&self, tally: Tally) {
        let all = [
            (&self.filtered, tally.filtered),
            (&self.sampled, tally.sampled),
            (&self.shed, tally.shed),
            (&self.late, tally.late),
            (&self.derived, tally.derived),
        ];
        for (counter, n) in all.into_iter().filter(|(_, n)| *n > 0) {
            counter.fetch_add(n as u64, Ordering::Relaxed);
        }
    }
}

/// What is done with the rows of one stream.
#[derive(Clone)]
pub(crate) struct Plan {
    pub stream: Arc<Stream>,
    /// The table behind it, which has a say in what its rows are.
    pub table: Option<Arc<Table>>,
    /// Which rows it keeps.
    pub own: Option<Arc<Program>>,
    /// Streams that are derived from it.
    pub derived: Vec<Arc<Derivation>>,
    /// Streams that are to be made of its rows and can't be, and why: its rows can't be taken then.
    pub broken: Vec<(StreamId, String)>,
    pub counts: Arc<Counts>,
}

impl Plan {
    fn new(stream: Arc<Stream>) -> Plan {
        Plan {
            stream,
            table: None,
            own: None,
            derived: Vec::new(),
            broken: Vec::new(),
            counts: Arc::default(),
        }
    }

    fn is_idle(&self) -> bool {
        self.table.is_none()
            && self.own.is_none()
            && self.derived.is_empty()
            && self.broken.is_empty()
    }
}

/// What is done with the rows of all streams. While it is held for a change no request passes that it concerns.
#[derive(Default)]
pub(crate) struct Registry(HashMap<StreamId, Arc<Plan>, ahash::RandomState>);

impl Registry {
    /// The plan of a stream, to be changed.
    pub fn plan(&mut self, stream: &Arc<Stream>) -> &mut Plan {
        let make = || Arc::new(Plan::new(Arc::clone(stream)));
        Arc::make_mut(self.0.entry(stream.id).or_insert_with(make))
    }

    pub fn get(&self, stream: StreamId) -> Option<&Arc<Plan>> {
        self.0.get(&stream)
    }

    pub fn plans(&self) -> impl Iterator<Item = &Arc<Plan>> {
        self.0.values()
    }

    /// The name of a stream that is derived from this one, or from rows looked up in its table.
    pub fn derived_from(&self, stream: StreamId) -> Option<&str> {
        let reads = |d: &Derivation| {
            let mut tables = d.program.tables();
            d.program.source().id == stream || tables.any(|t| t.stream.id == stream)
        };
        let mut all = self.0.values().flat_map(|p| &p.derived);
        let found = all.find(|d| reads(d));
        found.map(|d| d.stream.name.as_str())
    }

    /// Forgets a stream: what is done with its rows, and how it is derived.
    pub fn remove(&mut self, stream: StreamId) {
        self.0.remove(&stream);
        for plan in self.0.values_mut() {
            let plan = Arc::make_mut(plan);
            plan.derived.retain(|d| d.stream.id != stream);
            plan.broken.retain(|(broken, _)| *broken != stream);
        }
        self.0.retain(|_, plan| !plan.is_idle());
    }
}

/// A stream and what has become of its rows.
type StreamCounts = (Arc<Stream>, Arc<Counts>);

/// The transforms of an engine.
#[derive(Default)]
pub struct Transforms {
    any: AtomicBool,
    floor: AtomicU8,
    registry: RwLock<Registry>,
    /// Of streams whose rows were shed before they came here.
    shed: RwLock<BTreeMap<StreamId, StreamCounts>>,
}

impl Transforms {
    /// Sheds rows whose `PRIORITY` is below `floor` from now on; `None` takes all. Critical rows are never shed, and
    /// neither are rows of streams that declare no `PRIORITY` of rows: those are the caller's to refuse, by
    /// [`Priority::of`].
    pub fn shed_below(&self, floor: Option<Priority>) {
        let level = floor.map_or(0, |f| f as u8);
        self.floor.store(level, Ordering::Relaxed);
    }

    /// How much a stream matters as a whole. Where each row has a priority of its own, nothing is left out but by that.
    #[must_use]
    pub fn priority(&self, stream: &Stream) -> Priority {
        let plan = self.plan(stream.id).and_then(|plan| plan.own.clone());
        match plan.is_some_and(|own| own.has_priority()) {
            true => Priority::Critical,
            false => Priority::of(stream),
        }
    }

    /// Whether any rows may be shed now.
    pub(crate) fn is_shedding(&self) -> bool {
        self.floor.load(Ordering::Relaxed) > 0
    }

    /// The streams whose rows are filtered, sampled, shed or derived, with their counts.
    #[must_use]
    pub fn counts(&self) -> Vec<StreamCounts> {
        let registry = self.registry.read();
        let shed = self.shed.read();
        let alone = shed
            .values()
            .filter(|(s, _)| registry.get(s.id).is_none_or(|p| p.own.is_none()));
        let mut all: Vec<StreamCounts> = alone.cloned().collect();
        for plan in registry.plans() {
            let derived = plan.derived.iter();
            let derived = derived.map(|d| (Arc::clone(&d.stream), Arc::clone(&d.counts)));
            all.extend(derived);
            if plan.own.is_some() {
                all.push((Arc::clone(&plan.stream), Arc::clone(&plan.counts)));
            }
        }
        all.sort_by_key(|(stream, _)| stream.id);
        all
    }

    /// Counts rows of a stream that were shed as a whole, by its own priority.
    pub fn count_shed(&self, stream: &Arc<Stream>, rows: usize) {
        let planned = self.plan(stream.id).filter(|p| p.own.is_some());
        let counts = match planned {
            Some(plan) => Arc::clone(&plan.counts),
            None => {
                let mut shed = self.shed.write();
                shed.retain(|_, (s, _)| !s.is_dropped());
                let (_, counts) = shed
                    .entry(stream.id)
                    .or_insert_with(|| (Arc::clone(stream), Arc::default()));
                Arc::clone(counts)
            }
        };
        counts.shed.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Changes what is done with rows. Requests that come meanwhile wait, so that none passes by what is being made.
    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut Registry) -> R) -> R {
        // Before the lock: a request with rows of a stream that `f` makes must not pass by it.
        self.any.store(true, Ordering::Release);
        let mut registry = self.registry.write();
        let result = f(&mut registry);
        self.any.store(!registry.0.is_empty(), Ordering::Release);
        result
    }

    fn plan(&self, stream: StreamId) -> Option<Arc<Plan>> {
        self.registry.read().get(stream).cloned()
    }
}

impl RowTransform for Transforms {
    fn concerns(&self, stream: StreamId) -> bool {
        self.any.load(Ordering::Acquire) && self.registry.read().get(stream).is_some()
    }

    fn apply(&self, rows: Vec<Rows>, wall_ns: i64) -> Result<Vec<Rows>, Error> {
        let mut tallies = Vec::new();
        let out = self.pass(rows, wall_ns, &mut tallies)?;
        tallies.into_iter().for_each(|(counts, t)| counts.add(t));
        Ok(out)
    }

    fn check(&self, rows: Vec<Rows>, wall_ns: i64) -> Result<(), Error> {
        self.pass(rows, wall_ns, &mut Vec::new()).map(drop)
    }
}

impl Transforms {
    /// What becomes of rows; `tallies` is told what is to be counted.
    fn pass(
        &self,
        rows: Vec<Rows>,
        wall_ns: i64,
        tallies: &mut Vec<(Arc<Counts>, Tally)>,
    ) -> Result<Vec<Rows>, Error> {
        let floor = self.floor.load(Ordering::Relaxed);
        let mut out = Vec::with_capacity(rows.len());
        let mut queue = VecDeque::from(rows);
        // It ends: a stream is made after those it is derived from, so there is no circle.
        while let Some(rows) = queue.pop_front() {
            let Some(plan) = self.plan(rows.stream()) else {
                out.push(rows);
                continue;
            };
            let rows = match &plan.table {
                Some(table) => table.checked(rows)?,
                None => Some(rows),
            };
            let Some(mut part) = rows.and_then(Part::new) else {
                continue;
            };
            let left = plan.keep(&mut part, floor)?;
            tallies.push((Arc::clone(&plan.counts), left));
            if part.batch.rows == 0 {
                continue;
            }
            for derivation in &plan.derived {
                let (derived, tally) = derivation.derive(&part.batch, &plan.stream, wall_ns)?;
                tallies.push((Arc::clone(&derivation.counts), tally));
                queue.extend(derived);
            }
            out.push(part.into_rows());
        }
        Ok(out)
    }
}

/// Rows as a batch, and as the builder they came in, if they are few.
struct Part {
    batch: Batch,
    small: Option<tsdb::BatchBuilder>,
}

impl Part {
    fn new(rows: Rows) -> Option<Part> {
        Some(match rows {
            Rows::Sealed(batch) => Part { batch, small: None },
            Rows::Small(builder) => Part {
                batch: builder.clone().finish()?,
                small: Some(builder),
            },
        })
    }

    fn into_rows(self) -> Rows {
        match self.small {
            Some(builder) => Rows::Small(builder),
            None => Rows::Sealed(self.batch),
        }
    }
}

impl Plan {
    /// Leaves the rows that the stream keeps.
    fn keep(&self, part: &mut Part, floor: u8) -> Result<Tally, Error> {
        let name = &self.stream.name;
        if let Some((_, why)) = self.broken.first() {
            return Err(Error::Unready(format!(
                "stream \"{name}\" takes no row now: {why}"
            )));
        }
        let Some(own) = &self.own else {
            return Ok(Tally::default());
        };
        let block = RowBlock::from_batch(&part.batch);
        let kept = own
            .keep(&block, self.stream.as_ref(), floor)
            .map_err(|e| Error::Refused(format!("stream \"{name}\" does not take a row: {e}")))?;
        if kept.rows.len() == part.batch.rows {
            return Ok(kept.tally);
        }
        let builder = pick(&part.batch, &self.stream.schema(), &kept.rows);
        match Rows::from_builder(builder).and_then(Part::new) {
            Some(left) => *part = left,
            None => part.batch.rows = 0,
        }
        Ok(kept.tally)
    }
}
