//! The grouping operator: rows in, group states kept.
//!
//! A block is applied in two passes: the first finds each row's group and notes what will change, without touching any
//! accumulator; then the rows as they were are captured, if someone wants changes; then each accumulator is fed the
//! whole block in one loop.

use super::StreamError;
use super::agg::{Accumulator, NONE, SeriesOrder};
use super::block::{RowBlock, Tags};
use super::changes::Tracker;
use super::codec::Writer;
use super::groups::{DIRTY, FRESH, Groups, HOLLOW, LIVE, PENDING, Panes};
use super::input::{Input, Vector};
use super::keys::{Keys, encode_row, encode_text};
use super::plan::Plan;
use super::session::{Sessions, Step};
use super::window::Window;
use crate::bind::windowed::WindowSpec;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

/// Sizes of an operator's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorStats {
    /// Rows taken in.
    pub rows: u64,
    /// Groups (key and pane or session) held.
    pub groups: usize,
    /// Bytes of state, near enough.
    pub bytes: usize,
    /// Lists that had values cut off.
    pub lists_cut: usize,
    /// Groups that await a repair.
    pub pending: usize,
}

/// One output row before its columns are computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef {
    pub key: u32,
    pub window: Window,
    /// Its group; [`NONE`] when the row is merged from panes.
    pub group: u32,
}

/// The state of one query.
#[derive(Debug)]
pub struct Operator {
    pub(crate) plan: Arc<Plan>,
    pub(crate) keys: Keys,
    by_series: Vec<u32>,
    pub(crate) groups: Groups,
    pub(crate) panes: Panes,
    pub(crate) sessions: Option<Sessions>,
    pub(crate) accumulators: Vec<Accumulator>,
    pub(crate) order: SeriesOrder,
    pub(crate) tracker: Option<Tracker>,
    pub(crate) pending: Vec<u32>,
    /// Starts of panes with live heavy states; only kept when they are to be frozen.
    pub(crate) open: BTreeSet<i64>,
    /// Sessions by (an earlier) end, to be frozen or closed.
    pub(crate) timers: BinaryHeap<Reverse<(i64, u32)>>,
    pub(crate) freezes: bool,
    ordered: bool,
    pub(crate) rows: u64,
    retired: Vec<u32>,
    fresh: Vec<u32>,
    group_of: Vec<u32>,
    key_of: Vec<u32>,
}

/// Sessions that became one in a block: (into, from), in order.
type Merges = Vec<(u32, u32)>;

impl Operator {
    /// An operator that has seen no row.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let accumulators = plan.accumulators();
        let sessions = match plan.query().window {
            WindowSpec::Session { gap } => Some(Sessions::new(gap)),
            _ => None,
        };
        let mut operator = Self {
            keys: Keys::new(),
            by_series: Vec::new(),
            groups: Groups::default(),
            panes: Panes::default(),
            sessions,
            order: SeriesOrder::default(),
            tracker: None,
            pending: Vec::new(),
            open: BTreeSet::new(),
            timers: BinaryHeap::new(),
            freezes: plan.is_windowed()
                && !plan.windows.is_shared()
                && accumulators.iter().any(Accumulator::is_heavy),
            ordered: accumulators.iter().any(Accumulator::is_ordered),
            accumulators,
            rows: 0,
            retired: Vec::new(),
            fresh: Vec::new(),
            group_of: Vec::new(),
            key_of: Vec::new(),
            plan,
        };
        operator.ensure_sole_group();
        operator
    }

    /// With neither keys nor a window there is one group from the start, as SQL has it.
    fn ensure_sole_group(&mut self) {
        if self.plan.keys.is_empty() && !self.plan.is_windowed() {
            let key = self.keys.intern(&[]);
            let group = self.groups.alloc(key, 0);
            self.groups.clear(group, FRESH);
            let place = self.panes.place(0);
            self.panes.at(place).insert(key, group, 1);
            self.accumulators.iter_mut().for_each(|a| a.grow(1));
        }
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Takes in rows.
    ///
    /// # Errors
    /// When an expression fails on a row. Nothing of the block is taken in then.
    pub fn apply(&mut self, block: &RowBlock<'_>, tags: &dyn Tags) -> Result<(), StreamError> {
        if block.rows() == 0 {
            return Ok(());
        }
        let plan = self.plan.clone();
        let inputs = plan.evaluate(block, tags)?;
        self.find_keys(block, &inputs, tags);
        if let Some(filter) = plan.filter {
            drop_where(&mut self.key_of, &inputs[filter]);
        }
        if self.ordered {
            self.order.learn(block.series(), tags);
        }
        let merges = if self.sessions.is_some() {
            self.find_sessions(block.time())
        } else {
            self.find_panes(block.time());
            Merges::new()
        };
        self.capture()?;
        for accumulator in &mut self.accumulators {
            accumulator.grow(self.groups.len());
        }
        self.merge(&merges);
        self.feed(block, &inputs);
        for g in self.fresh.drain(..) {
            self.groups.flags[g as usize] &= !FRESH;
        }
        if self.tracker.is_none() {
            self.groups.release(&mut self.retired);
        }
        self.rows += block.rows() as u64;
        Ok(())
    }

    /// Fills `key_of`.
    fn find_keys(&mut self, block: &RowBlock<'_>, inputs: &[Input], tags: &dyn Tags) {
        self.key_of.clear();
        let plan = self.plan.clone();
        if plan.keys.is_empty() {
            let key = self.keys.intern(&[]);
            self.key_of.resize(block.rows(), key);
            return;
        }
        if let Some(columns) = &plan.tag_keys {
            for s in block.series() {
                let i = *s as usize;
                if i >= self.by_series.len() || self.by_series[i] == NONE {
                    self.learn_series(block, columns, tags);
                }
                self.key_of.push(self.by_series[i]);
            }
            return;
        }
        let columns: Vec<&Input> = plan.keys.iter().map(|i| &inputs[*i]).collect();
        let mut row = Writer::default();
        for i in 0..block.rows() {
            row.bytes.clear();
            encode_row(&columns, i, &mut row);
            let key = self.keys.intern(&row.bytes);
            self.key_of.push(key);
        }
    }

    /// Finds the keys of all series of a block that are new.
    #[cold]
    fn learn_series(
        &mut self,
        block: &RowBlock<'_>,
        columns: &[tsdb::types::ColumnId],
        tags: &dyn Tags,
    ) {
        let columns: Vec<_> = columns.iter().map(|c| tags.column(*c)).collect();
        let mut row = Writer::default();
        for s in block.series() {
            let i = *s as usize;
            if i >= self.by_series.len() {
                self.by_series.resize(i + 1, NONE);
            }
            if self.by_series[i] == NONE {
                row.bytes.clear();
                for column in &columns {
                    let text = column.value(column.code(*s));
                    encode_text(text.map(AsRef::as_ref), &mut row);
                }
                self.by_series[i] = self.keys.intern(&row.bytes);
            }
        }
    }

    /// Fills `group_of` where windows are made of panes.
    fn find_panes(&mut self, time: &[i64]) {
        self.group_of.clear();
        let windows = self.plan.windows;
        // An empty range, so that the first row looks its pane up.
        let (mut start, mut end, mut place) = (0, 0, 0);
        for (i, t) in time.iter().enumerate() {
            let key = self.key_of[i];
            if key == NONE {
                self.group_of.push(NONE);
                continue;
            }
            if *t < start || *t >= end {
                start = windows.pane_of(*t);
                end = windows.pane_end(start);
                place = self.panes.place(start);
                if self.freezes {
                    self.open.insert(start);
                }
            }
            let group = match self.panes.at(place).get(key) {
                Some(group) => group,
                None => {
                    let group = self.groups.alloc(key, start);
                    self.fresh.push(group);
                    let keys = self.keys.len();
                    self.panes.at(place).insert(key, group, keys);
                    group
                }
            };
            if self.groups.flags[group as usize] & (DIRTY | HOLLOW) != DIRTY {
                self.touch(group);
            }
            self.group_of.push(group);
        }
    }

    /// Fills `group_of` for session windows and moves the sessions' bounds.
    fn find_sessions(&mut self, time: &[i64]) -> Merges {
        self.group_of.clear();
        let Some(mut sessions) = self.sessions.take() else {
            return Merges::new();
        };
        let mut merges = Merges::new();
        for (i, t) in time.iter().enumerate() {
            let key = self.key_of[i];
            if key == NONE {
                self.group_of.push(NONE);
                continue;
            }
            let group = match sessions.find(&self.groups, key, *t) {
                Step::Begin { place } => {
                    let group = self.groups.alloc(key, *t);
                    self.fresh.push(group);
                    sessions.begin(key, place, group);
                    self.touch(group);
                    self.timers
                        .push(Reverse((t.saturating_add(sessions.gap()), group)));
                    group
                }
                Step::Join {
                    group,
                    merges: other,
                } => {
                    if self.groups.flags[group as usize] & (DIRTY | HOLLOW) != DIRTY {
                        self.touch(group);
                    }
                    if let Some(other) = other {
                        self.touch(other);
                        if self.groups.is(other, HOLLOW) {
                            self.groups.set(group, HOLLOW);
                            self.touch(group);
                        }
                        merges.push((group, other));
                    }
                    sessions.extend(&mut self.groups, group, *t, other);
                    group
                }
            };
            self.group_of.push(group);
        }
        self.sessions = Some(sessions);
        merges
    }

    /// Notes that a group is about to change.
    fn touch(&mut self, group: u32) {
        if self.groups.is(group, HOLLOW) && !self.groups.is(group, PENDING) {
            self.groups.set(group, PENDING);
            self.pending.push(group);
        }
        if self.groups.is(group, DIRTY) {
            return;
        }
        self.groups.set(group, DIRTY);
        if self.tracker.is_some() {
            let row = self.row_of(group);
            let fresh = self.groups.is(group, FRESH);
            let windows = self.plan.windows;
            if let Some(tracker) = &mut self.tracker {
                tracker.note(row, fresh, &windows);
            }
        }
    }

    /// The row of a group as its bounds stand.
    pub(crate) fn row_of(&self, group: u32) -> RowRef {
        let g = group as usize;
        let start = self.groups.start[g];
        let end = match self.plan.query().window {
            WindowSpec::Session { gap } => self.groups.last[g].saturating_add(gap),
            _ => self.plan.windows.pane_end(start),
        };
        RowRef {
            key: self.groups.key[g],
            window: Window { start, end },
            group,
        }
    }

    /// Carries out the merges that a block brought about.
    fn merge(&mut self, merges: &Merges) {
        if merges.is_empty() {
            return;
        }
        let mut moved: HashMap<u32, u32, ahash::RandomState> = HashMap::default();
        for (into, from) in merges {
            for accumulator in &mut self.accumulators {
                accumulator.merge_within(*into, *from, &self.order);
            }
            moved.insert(*from, *into);
            self.groups.retire(*from);
            self.retired.push(*from);
        }
        for g in &mut self.group_of {
            while let Some(into) = moved.get(g) {
                *g = *into;
            }
        }
    }

    /// Feeds the accumulators.
    fn feed(&mut self, block: &RowBlock<'_>, inputs: &[Input]) {
        let plan = self.plan.clone();
        let mut some = Vec::new();
        for (i, accumulator) in self.accumulators.iter_mut().enumerate() {
            let input = plan.args[i].map(|at| &inputs[at]);
            let groups = match plan.arg_filters[i] {
                None => &self.group_of,
                Some(at) => {
                    some.clone_from(&self.group_of);
                    drop_where(&mut some, &inputs[at]);
                    &some
                }
            };
            accumulator.update(groups, block.time(), block.series(), input, &self.order);
        }
    }

    /// Ends an interval of change: ids of merged sessions may be used again.
    pub(crate) fn release_retired(&mut self) {
        self.groups.release(&mut self.retired);
    }

    /// Drops the heavy states of windows that ended at or before `horizon`; their results stay.
    pub fn freeze(&mut self, horizon: i64) {
        if !self.freezes {
            return;
        }
        if let Some(sessions) = &self.sessions {
            let gap = sessions.gap();
            while let Some(Reverse((end, group))) = self.timers.peek().copied() {
                if end > horizon {
                    break;
                }
                self.timers.pop();
                if !self.groups.is(group, LIVE) {
                    continue;
                }
                let now = self.groups.last[group as usize].saturating_add(gap);
                if now > horizon {
                    self.timers.push(Reverse((now, group)));
                } else {
                    self.freeze_group(group);
                }
            }
            return;
        }
        while let Some(start) = self.open.first().copied() {
            if self.plan.windows.pane_end(start) > horizon {
                break;
            }
            self.open.pop_first();
            let groups = self.panes.get(start).map(|p| p.groups.clone());
            for group in groups.unwrap_or_default() {
                self.freeze_group(group);
            }
        }
    }

    fn freeze_group(&mut self, group: u32) {
        if self.groups.is(group, HOLLOW) {
            return;
        }
        self.groups.set(group, HOLLOW);
        for accumulator in &mut self.accumulators {
            accumulator.freeze(group);
        }
    }

    /// Groups held.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.live
    }

    /// Rows taken in.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.rows
    }

    /// Sizes. Walks what is held.
    #[must_use]
    pub fn stats(&self) -> OperatorStats {
        let accumulators: usize = self.accumulators.iter().map(Accumulator::bytes).sum();
        OperatorStats {
            rows: self.rows,
            groups: self.groups.live,
            bytes: accumulators
                + self.keys.size()
                + self.groups.size()
                + self.panes.size()
                + self.sessions.as_ref().map_or(0, Sessions::size)
                + self.by_series.capacity() * 4,
            lists_cut: self.accumulators.iter().map(Accumulator::lists_cut).sum(),
            pending: self.pending.len(),
        }
    }
}

/// Takes the rows for which a condition is false or unknown out of `ids`.
fn drop_where(ids: &mut [u32], condition: &Input) {
    match &condition.values {
        Vector::Int(truth) => {
            for (i, (id, truth)) in ids.iter_mut().zip(truth).enumerate() {
                if *truth == 0 || !condition.is_valid(i) {
                    *id = NONE;
                }
            }
        }
        _ => ids.fill(NONE),
    }
}
