//! State leaves memory: what no row within the lateness can change any more is kept as results.
//!
//! Windows that are panes, and sessions, keep their group, whose heavy states become results. A window made of several
//! panes becomes a group of its own, a whole; panes that no open window needs go. A row that comes after all for a window
//! that was frozen marks it, and it is recomputed from history.

use super::agg::NONE;
use super::groups::{BLANK, FRESH, HOLLOW, LIVE, Pane, WHOLE};
use super::operator::{Operator, RowRef};
use super::window::Window;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Windows' rows that are made whole at once.
const AT_ONCE: usize = 8_192;

impl Operator {
    /// Drops the heavy states of windows that ended at or before `horizon`; their results stay. While there are changes
    /// to tell nothing is dropped: what a row was before and after must be of one kind.
    pub fn freeze(&mut self, horizon: i64) {
        if !self.freezes || self.tracker.as_ref().is_some_and(|t| !t.clean) {
            return;
        }
        if self.sessions.is_some() {
            self.freeze_sessions(horizon);
        } else if self.plan.windows.is_shared() {
            self.freeze_shared(horizon);
        } else {
            self.freeze_panes(horizon);
        }
    }

    fn freeze_sessions(&mut self, horizon: i64) {
        // A row at the very end of a session is part of it.
        let horizon = horizon.saturating_sub(1);
        while let Some(Reverse((end, group))) = self.timers.peek().copied() {
            if end > horizon {
                break;
            }
            self.timers.pop();
            if !self.groups.is(group, LIVE) {
                continue;
            }
            let now = self.row_of(group).window.end;
            if now > horizon {
                self.timers.push(Reverse((now, group)));
            } else {
                self.freeze_group(group);
            }
        }
    }

    fn freeze_panes(&mut self, horizon: i64) {
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

    fn freeze_shared(&mut self, horizon: i64) {
        if horizon <= self.frozen_to {
            return;
        }
        let windows = self.plan.windows;
        let from = self.frozen_to.saturating_sub(windows.longest());
        let mut closed = BTreeSet::new();
        for pane in self.panes.starts.range(from..horizon) {
            windows.windows_of(*pane, &mut |w| {
                if w.end > self.frozen_to && w.end <= horizon {
                    closed.insert(w);
                }
            });
        }
        for window in closed {
            let mut rows = self.rows_of_window(window);
            // A key that was saved later has these windows already, and maybe no longer their panes.
            if let Some(catching_up) = &self.catching_up {
                rows.retain(|r| !catching_up.is_frozen(r.key, window.end));
            }
            for rows in rows.chunks(AT_ONCE) {
                self.make_whole(rows);
            }
        }
        self.frozen_to = horizon;
        self.drop_panes();
    }

    /// The rows of a window made of panes.
    pub(super) fn rows_of_window(&self, window: Window) -> Vec<RowRef> {
        let panes = self.plan.windows.panes_of(window);
        let groups = panes.filter_map(|start| self.panes.get(start));
        let groups = groups.flat_map(|p| &p.groups);
        let mut keys: Vec<u32> = groups.map(|g| self.groups.key[*g as usize]).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .map(|key| RowRef {
                key,
                window,
                group: NONE,
            })
            .collect()
    }

    /// Makes rows of windows groups of their own, unless `HAVING` hides them: those a late row would bring back anyway.
    fn make_whole(&mut self, rows: &[RowRef]) {
        let panes: Vec<Vec<u32>> = rows.iter().map(|r| self.panes_of(r)).collect();
        let wholes: Vec<u32> = rows
            .iter()
            .map(|r| self.add_whole(r.key, r.window))
            .collect();
        for accumulator in &mut self.accumulators {
            let merged = accumulator.merged(&panes, &self.order);
            accumulator.grow(self.groups.len());
            for (slot, group) in wholes.iter().enumerate() {
                accumulator.reset(*group);
                accumulator.merge(*group, &merged, slot as u32, &self.order);
                accumulator.freeze(*group);
            }
        }
        let hidden = self.hidden(&wholes);
        for (group, hidden) in wholes.into_iter().zip(hidden) {
            self.groups.clear(group, FRESH);
            self.groups.set(group, HOLLOW);
            if hidden {
                self.remove_whole(group);
            }
        }
    }

    /// Which of these groups `HAVING` hides; none where it can't be evaluated.
    fn hidden(&self, groups: &[u32]) -> Vec<bool> {
        let rows: Vec<RowRef> = groups.iter().map(|g| self.row_of(*g)).collect();
        let kept = self.group_rows(&rows, self.plan.condition());
        match kept.and_then(|rows| self.plan.condition().keeps(&rows)) {
            Ok(Some(kept)) => (0..kept.len()).map(|i| !kept.value(i)).collect(),
            Ok(None) | Err(_) => vec![false; groups.len()],
        }
    }

    /// A new group for a window of its own; its states are not set.
    fn add_whole(&mut self, key: u32, window: Window) -> u32 {
        let group = self.groups.alloc(key, window.start);
        self.groups.last[group as usize] = window.end;
        self.groups.set(group, WHOLE);
        let keys = self.keys.len();
        let pane = self.wholes.entry(window).or_insert_with(Pane::new);
        pane.insert(key, group, keys);
        group
    }

    /// Ends the group of a window of its own.
    pub(super) fn remove_whole(&mut self, group: u32) {
        let row = self.row_of(group);
        if let Some(pane) = self.wholes.get_mut(&row.window) {
            pane.remove(row.key);
            if pane.groups.is_empty() {
                self.wholes.remove(&row.window);
            }
        }
        for accumulator in &mut self.accumulators {
            accumulator.reset(group);
        }
        self.groups.retire(group);
        self.retired.push(group);
        if self.tracker.is_none() {
            self.release_retired();
        }
    }

    /// Drops the panes that are part of no open window.
    fn drop_panes(&mut self) {
        let windows = self.plan.windows;
        while let Some(start) = self.panes.starts.first().copied() {
            let mut open = false;
            windows.windows_of(start, &mut |w| open |= w.end > self.frozen_to);
            if open {
                break;
            }
            let Some(mut pane) = self.panes.remove(start) else {
                break;
            };
            for group in &pane.groups {
                for accumulator in &mut self.accumulators {
                    accumulator.reset(*group);
                }
                self.groups.retire(*group);
            }
            self.groups.release(&mut pane.groups);
        }
    }

    /// The windows that a pane is part of and that are frozen, and whether it is part of no other.
    pub(super) fn frozen_windows(&self, pane: i64) -> (Vec<Window>, bool) {
        let (mut frozen, mut all) = (Vec::new(), true);
        if self.frozen_to > i64::MIN {
            self.plan.windows.windows_of(pane, &mut |w| {
                if w.end <= self.frozen_to {
                    frozen.push(w);
                } else {
                    all = false;
                }
            });
        }
        all &= !frozen.is_empty();
        (frozen, all)
    }

    /// Notes that a row came for windows that are frozen.
    pub(super) fn touch_wholes(&mut self, key: u32, windows: &[Window]) {
        for window in windows {
            let there = self.wholes.get(window).and_then(|p| p.get(key));
            let group = there.unwrap_or_else(|| {
                let group = self.add_whole(key, *window);
                self.groups.set(group, HOLLOW | BLANK);
                self.fresh.push(group);
                group
            });
            self.touch(group);
        }
    }

    /// Whether a group has no results to show.
    pub(super) fn is_blank(&self, group: u32) -> bool {
        self.groups.is(group, BLANK)
    }

    /// Gives a window of its own what was recomputed from history; without rows there it is as it was.
    pub(super) fn fill_whole(&mut self, group: u32, from: &Operator) {
        let row = self.row_of(group);
        let key = from.keys.find(self.keys.get(row.key));
        let window = row.window;
        let groups = key.map(|key| from.panes_of(&RowRef { key, window, group }));
        match groups.filter(|g| !g.is_empty()) {
            Some(groups) => {
                for (accumulator, fresh) in self.accumulators.iter_mut().zip(&from.accumulators) {
                    accumulator.reset(group);
                    for from in &groups {
                        accumulator.merge(group, fresh, *from, &self.order);
                    }
                    accumulator.freeze(group);
                }
                self.groups.clear(group, BLANK);
            }
            None if self.is_blank(group) => self.remove_whole(group),
            None => {}
        }
    }
}
