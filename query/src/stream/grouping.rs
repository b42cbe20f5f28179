//! The first pass over a block: each row's group, before any accumulator is touched.

use super::agg::NONE;
use super::block::Tags;
use super::codec::Writer;
use super::evaluate::Rows;
use super::groups::{BLANK, DIRTY, FRESH, HOLLOW, PENDING};
use super::input::Input;
use super::keys::{encode_row, encode_text};
use super::operator::{Merges, Operator};
use super::session::Step;
use crate::bind::windowed::WindowSpec;
use std::cmp::Reverse;
use tsdb::types::ColumnId;

impl Operator {
    /// Fills `key_of`.
    pub(super) fn find_keys(&mut self, rows: &Rows<'_>, tags: &dyn Tags) {
        self.key_of.clear();
        let plan = self.plan.clone();
        if plan.keys.is_empty() {
            let key = self.keys.intern(&[]);
            self.key_of.resize(rows.len(), key);
            return;
        }
        if let Some(columns) = &plan.tag_keys {
            for s in rows.series.iter() {
                let i = *s as usize;
                if i >= self.by_series.len() || self.by_series[i] == NONE {
                    self.learn_series(&rows.series, columns, tags);
                }
                self.key_of.push(self.by_series[i]);
            }
            return;
        }
        let columns: Vec<&Input> = plan.keys.iter().map(|i| &rows.inputs[*i]).collect();
        let mut row = Writer::default();
        for i in 0..rows.len() {
            row.bytes.clear();
            encode_row(&columns, i, &mut row);
            let key = self.keys.intern(&row.bytes);
            self.key_of.push(key);
        }
    }

    /// Finds the keys of all these series that are new.
    #[cold]
    fn learn_series(&mut self, series: &[u32], columns: &[ColumnId], tags: &dyn Tags) {
        let columns: Vec<_> = columns.iter().map(|c| tags.column(*c)).collect();
        let mut row = Writer::default();
        for s in series {
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
    pub(super) fn find_panes(&mut self, time: &[i64]) {
        self.group_of.clear();
        let windows = self.plan.windows;
        // An empty range, so that the first row looks its pane up.
        let (mut start, mut end, mut place) = (0, 0, None);
        let mut frozen = Vec::new();
        for (i, t) in time.iter().enumerate() {
            let key = self.key_of[i];
            if key == NONE {
                self.group_of.push(NONE);
                continue;
            }
            if *t < start || *t >= end {
                start = windows.pane_of(*t);
                end = windows.pane_end(start);
                let all;
                (frozen, all) = self.frozen_windows(start);
                place = (!all).then(|| self.panes.place(start));
                if self.freezes && !windows.is_shared() {
                    self.open.insert(start);
                }
            }
            if !frozen.is_empty() {
                self.touch_wholes(key, &frozen);
            }
            // A pane that no open window needs is not there: history has the row.
            let Some(place) = place else {
                self.group_of.push(NONE);
                continue;
            };
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
    pub(super) fn find_sessions(&mut self, time: &[i64]) -> Merges {
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
                    if self.freezes {
                        let end = t.saturating_add(sessions.gap());
                        self.timers.push(Reverse((end, group)));
                    }
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
                        // What is left of a state that was dropped makes both a row to be repaired.
                        let hollow = (self.groups.flags[group as usize]
                            | self.groups.flags[other as usize])
                            & HOLLOW;
                        self.groups.set(other, hollow);
                        self.groups.set(group, hollow);
                        self.touch(other);
                        self.touch(group);
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
    pub(super) fn touch(&mut self, group: u32) {
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
            let fresh = self.groups.is(group, FRESH | BLANK);
            self.note(row, fresh);
            // The sessions themselves are not at hand here: they are being walked.
            if matches!(self.plan.query().window, WindowSpec::Session { .. }) {
                self.time_session(row);
            }
        }
    }
}
