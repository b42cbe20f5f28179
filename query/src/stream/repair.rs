//! Repairs: groups whose heavy states were dropped before a row came for them are recomputed from history.

use super::StreamError;
use super::block::{RowBlock, Tags};
use super::groups::{DIRTY, HOLLOW, LIVE, PENDING, WHOLE};
use super::operator::Operator;
use super::plan::Plan;
use std::cmp::Reverse;
use std::sync::Arc;
use tsdb::types::TimeRange;

/// A recomputation of ranges of event time. It is exact for the LSN of the rows it is fed, so that they must be the
/// rows of a snapshot at the operator's own LSN.
#[derive(Debug)]
pub struct Repair {
    ranges: Vec<TimeRange>,
    scratch: Operator,
}

impl Repair {
    /// What must be read: disjoint, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[TimeRange] {
        &self.ranges
    }

    /// The plan, which says with which columns rows must come.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        self.scratch.plan()
    }

    /// Takes in rows of the ranges.
    ///
    /// # Errors
    /// As [`Operator::apply`].
    pub fn apply(&mut self, block: &RowBlock<'_>, tags: &dyn Tags) -> Result<(), StreamError> {
        self.scratch.apply(block, tags)
    }
}

impl Operator {
    /// Whether a row came for a group whose states had been dropped.
    #[must_use]
    pub fn needs_repair(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What must be repaired, if anything.
    #[must_use]
    pub fn repair(&self) -> Option<Repair> {
        let ranges = self
            .pending
            .iter()
            .filter(|g| self.groups.is(**g, LIVE) && self.groups.is(**g, PENDING))
            .map(|g| {
                let start = self.groups.start[*g as usize];
                let end = match self.sessions {
                    _ if self.groups.is(*g, WHOLE) => self.groups.last[*g as usize],
                    Some(_) => self.groups.last[*g as usize].saturating_add(1),
                    None => self.plan.windows.pane_end(start),
                };
                (start, end)
            })
            .collect();
        let ranges: Vec<TimeRange> = join(ranges)
            .into_iter()
            .map(|(start, end)| TimeRange { start, end })
            .collect();
        (!ranges.is_empty()).then(|| Repair {
            ranges,
            scratch: Operator::new(self.plan.clone()),
        })
    }

    /// Ranges of event time whose windows await a repair: their rows may be wrong. Disjoint, ascending.
    #[must_use]
    pub fn pending_ranges(&self) -> Vec<(i64, i64)> {
        let groups = self.pending.iter();
        let groups = groups.filter(|g| self.groups.is(**g, LIVE) && self.groups.is(**g, PENDING));
        let windows = groups.map(|g| self.row_of(*g).window);
        join(windows.map(|w| (w.start, w.end)).collect())
    }

    /// Takes over what a repair recomputed.
    pub fn finish_repair(&mut self, repair: &Repair) {
        let scratch = &repair.scratch;
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|g| self.groups.is(*g, LIVE) && self.groups.is(*g, PENDING));
        for group in &pending {
            // Whoever follows changes since the row was marked has been shown the row as it is.
            if !self.groups.is(*group, DIRTY) {
                self.groups.set(*group, DIRTY);
                self.note(self.row_of(*group), self.is_blank(*group));
            }
            self.groups.clear(*group, PENDING);
        }
        self.capture();
        // Rows of series that the operator has not met since it was loaded come with the repair.
        self.order.learn_from(&scratch.order);
        for group in pending {
            if self.groups.is(group, WHOLE) {
                self.fill_whole(group, scratch);
            } else {
                self.fill(group, scratch);
            }
        }
    }

    /// Gives a group what was recomputed. Without rows in history (retention has taken them) what is left stays.
    fn fill(&mut self, group: u32, scratch: &Operator) {
        let start = self.groups.start[group as usize];
        let key = scratch
            .keys
            .find(self.keys.get(self.groups.key[group as usize]));
        let from = key.and_then(|key| match &scratch.sessions {
            Some(sessions) => sessions.at(&scratch.groups, key, start),
            None => scratch.panes.get(start)?.get(key),
        });
        let Some(from) = from else { return };
        for (accumulator, fresh) in self.accumulators.iter_mut().zip(&scratch.accumulators) {
            accumulator.reset(group);
            accumulator.merge(group, fresh, from, &self.order);
        }
        self.groups.clear(group, HOLLOW);
        if self.sessions.is_some() {
            let end = self.row_of(group).window.end;
            self.timers.push(Reverse((end, group)));
        } else {
            self.open.insert(start);
        }
    }
}

/// The same ranges, those that touch made one.
fn join(mut ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    ranges.sort_unstable();
    ranges.dedup_by(|b, a| {
        let joins = b.0 <= a.1;
        if joins {
            a.1 = a.1.max(b.1);
        }
        joins
    });
    ranges
}
