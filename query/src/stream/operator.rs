//! The grouping operator: rows in, group states kept.
//!
//! A block is applied in two passes: the first finds each row's group and notes what will change, without touching any
//! accumulator; then the rows as they were are captured, if someone wants changes; then each accumulator is fed the
//! whole block in one loop.

use super::StreamError;
use super::agg::{Accumulator, SeriesOrder};
use super::block::{RowBlock, Tags};
use super::changes::Tracker;
use super::evaluate::{Rows, drop_where};
use super::groups::{FRESH, Groups, Pane, Panes, WHOLE};
use super::keys::Keys;
use super::plan::Plan;
use super::save::CatchUp;
use super::session::Sessions;
use super::window::Window;
use crate::bind::windowed::WindowSpec;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
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
    pub(super) by_series: Vec<u32>,
    pub(crate) groups: Groups,
    pub(crate) panes: Panes,
    pub(crate) sessions: Option<Sessions>,
    pub(crate) accumulators: Vec<Accumulator>,
    pub(crate) order: SeriesOrder,
    pub(crate) tracker: Option<Tracker>,
    /// Why changes are followed no longer.
    pub(crate) lost: Option<StreamError>,
    pub(crate) pending: Vec<u32>,
    /// Closed windows made of panes, whose panes need no longer be there.
    pub(crate) wholes: BTreeMap<Window, Pane>,
    /// All windows made of panes that end here or before are [`Operator::wholes`] or have no row.
    pub(crate) frozen_to: i64,
    /// Starts of panes with live heavy states; only kept when they are to be frozen.
    pub(crate) open: BTreeSet<i64>,
    /// Sessions by (an earlier) end, to be frozen or closed.
    pub(crate) timers: BinaryHeap<Reverse<(i64, u32)>>,
    pub(crate) freezes: bool,
    ordered: bool,
    pub(crate) rows: u64,
    /// After a restart: of which commits the state knows already.
    pub(super) catching_up: Option<CatchUp>,
    pub(super) retired: Vec<u32>,
    pub(super) fresh: Vec<u32>,
    pub(super) group_of: Vec<u32>,
    pub(super) key_of: Vec<u32>,
}

/// Sessions that became one in a block: (into, from), in order.
pub(super) type Merges = Vec<(u32, u32)>;

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
            lost: None,
            pending: Vec::new(),
            wholes: BTreeMap::new(),
            frozen_to: i64::MIN,
            open: BTreeSet::new(),
            timers: BinaryHeap::new(),
            freezes: plan.is_windowed() && accumulators.iter().any(Accumulator::is_heavy),
            ordered: accumulators.iter().any(Accumulator::is_ordered),
            accumulators,
            rows: 0,
            catching_up: None,
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
        let rows = plan.evaluate(block, tags)?;
        self.rows += block.rows() as u64;
        if rows.len() == 0 {
            return Ok(());
        }
        self.find_keys(&rows, tags);
        if let Some(catching_up) = &self.catching_up {
            catching_up.drop_known(&mut self.key_of);
        }
        if self.ordered {
            self.order.learn(&rows.series, tags);
        }
        let merges = if self.sessions.is_some() {
            self.find_sessions(&rows.time)
        } else {
            self.find_panes(&rows.time);
            Merges::new()
        };
        self.capture();
        for accumulator in &mut self.accumulators {
            accumulator.grow(self.groups.len());
        }
        self.merge(&merges);
        self.feed(&rows);
        for g in self.fresh.drain(..) {
            self.groups.flags[g as usize] &= !FRESH;
        }
        if self.tracker.is_none() {
            self.groups.release(&mut self.retired);
        }
        Ok(())
    }

    /// The row of a group as its bounds stand.
    pub(crate) fn row_of(&self, group: u32) -> RowRef {
        let g = group as usize;
        let start = self.groups.start[g];
        let end = match self.plan.query().window {
            _ if self.groups.is(group, WHOLE) => self.groups.last[g],
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
    fn feed(&mut self, rows: &Rows<'_>) {
        let plan = self.plan.clone();
        let mut some = Vec::new();
        for (i, accumulator) in self.accumulators.iter_mut().enumerate() {
            let input = plan.args[i].map(|at| &rows.inputs[at]);
            let groups = match plan.arg_filters[i] {
                None => &self.group_of,
                Some(at) => {
                    some.clone_from(&self.group_of);
                    drop_where(&mut some, &rows.inputs[at]);
                    &some
                }
            };
            accumulator.update(groups, &rows.time, &rows.series, input, &self.order);
        }
    }

    /// Ends an interval of change: ids of merged sessions may be used again.
    pub(crate) fn release_retired(&mut self) {
        self.groups.release(&mut self.retired);
    }

    /// Whether there are states that [`Operator::freeze`] drops.
    #[must_use]
    pub fn freezes(&self) -> bool {
        self.freezes
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
        let (mut heap, mut lists_cut) = (0, 0);
        for group in self.groups.live_ids() {
            for accumulator in &self.accumulators {
                heap += accumulator.heap(group);
                lists_cut += usize::from(accumulator.is_cut(group));
            }
        }
        OperatorStats {
            rows: self.rows,
            groups: self.groups.live,
            bytes: heap + self.flat(),
            lists_cut,
            pending: self.pending.len(),
        }
    }

    /// Bytes of state but for what single groups hold beyond their slots.
    #[must_use]
    pub fn flat(&self) -> usize {
        self.accumulators
            .iter()
            .map(Accumulator::flat)
            .sum::<usize>()
            + self.keys.size()
            + self.groups.size()
            + self.panes.size()
            + self.wholes.values().map(Pane::size).sum::<usize>()
            + self.sessions.as_ref().map_or(0, Sessions::size)
            + self.by_series.capacity() * 4
    }
}
