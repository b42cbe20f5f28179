//! What changed since the last emission, and what closed.

use super::StreamError;
use super::agg::NONE;
use super::groups::{DIRTY, LIVE, PENDING, TIMED, WHOLE};
use super::operator::{Operator, RowRef};
use super::session::Sessions;
use super::window::Window;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

/// Rows to take away and rows to add, applied together. Both have the output schema.
#[derive(Clone, Debug)]
pub struct Changes {
    /// New rows.
    pub insert: RecordBatch,
    /// Rows that no longer hold.
    pub retract: RecordBatch,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.insert.num_rows() == 0 && self.retract.num_rows() == 0
    }
}

/// Follows changes while somebody wants them.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// Groups touched since the last emission.
    groups: Vec<u32>,
    /// Merged rows touched since the last emission.
    merged: HashSet<(u32, Window), ahash::RandomState>,
    /// Rows that are about to change for the first time since the last emission.
    about: Vec<RowRef>,
    /// The rows as they were.
    old: Vec<RecordBatch>,
    /// Those of groups that await a repair: they are taken away when the repaired rows are there to take their place.
    held_old: Vec<RecordBatch>,
    /// Nothing but what awaits a repair has changed since the last emission.
    pub clean: bool,
    /// Sessions by an earlier end, for closing; `None` unless closed windows are wanted. A session that is in it is
    /// [`TIMED`].
    pub closing: Option<BinaryHeap<Reverse<(i64, u32)>>>,
    /// Closed windows that were not handed out because they await a repair.
    held: Vec<RowRef>,
    /// Windows that end at or before this have been handed out.
    closed: i64,
}

impl Operator {
    /// Notes that the row (or rows) of a group will change; a fresh one has no row yet.
    pub(super) fn note(&mut self, row: RowRef, fresh: bool) {
        let Some(tracker) = &mut self.tracker else {
            return;
        };
        tracker.clean = false;
        tracker.groups.push(row.group);
        if !self.plan.windows.is_shared() || self.groups.is(row.group, WHOLE) {
            if !fresh {
                tracker.about.push(row);
            }
            return;
        }
        self.plan
            .windows
            .windows_of(row.window.start, &mut |window| {
                // Windows that are frozen have groups of their own.
                if window.end > self.frozen_to && tracker.merged.insert((row.key, window)) {
                    tracker.about.push(RowRef {
                        key: row.key,
                        window,
                        group: NONE,
                    });
                }
            });
    }

    /// Starts to follow changes from the state as it is, or stops. With `closing`, windows that close after
    /// `watermark` can be taken with [`Operator::take_closed`].
    pub fn track(&mut self, on: bool, closing: bool, watermark: i64) {
        if !on {
            self.tracker = None;
            self.release_retired();
            return;
        }
        if self.tracker.is_none() {
            for flags in &mut self.groups.flags {
                *flags &= !DIRTY;
            }
            self.tracker = Some(Tracker {
                clean: true,
                ..Tracker::default()
            });
        }
        let closed = self.closed_to(watermark);
        if !closing {
            if let Some(tracker) = &mut self.tracker {
                tracker.closing = None;
            }
        } else if self.tracker.as_ref().is_some_and(|t| t.closing.is_none()) {
            let ends = self.time_sessions();
            if let Some(tracker) = &mut self.tracker {
                (tracker.closing, tracker.closed) = (Some(ends), closed);
                tracker.held.clear();
            }
        }
    }

    /// The latest end of windows that are closed when the watermark is there. A session that ends there is not yet: a
    /// row at that very time is still on time, and would be part of it.
    pub(crate) fn closed_to(&self, watermark: i64) -> i64 {
        let open = i64::from(self.sessions.is_some());
        watermark
            .saturating_sub(self.plan.query().grace)
            .saturating_sub(open)
    }

    /// All sessions by their ends.
    fn time_sessions(&mut self) -> BinaryHeap<Reverse<(i64, u32)>> {
        if self.sessions.is_none() {
            return BinaryHeap::new();
        }
        let ids: Vec<u32> = self.groups.live_ids().collect();
        ids.into_iter()
            .map(|g| {
                self.groups.set(g, TIMED);
                Reverse((self.row_of(g).window.end, g))
            })
            .collect()
    }

    /// Sees to it that a session which is about to grow is handed out when it closes, also if it has been before: then
    /// it is another window.
    pub(super) fn time_session(&mut self, row: RowRef) {
        if self.groups.is(row.group, TIMED) {
            return;
        }
        if let Some(closing) = self.tracker.as_mut().and_then(|t| t.closing.as_mut()) {
            closing.push(Reverse((row.window.end, row.group)));
            self.groups.set(row.group, TIMED);
        }
    }

    /// Captures the rows that are about to change. When they can't be computed, nobody can be told of the change: then
    /// changes are followed no longer, and [`Operator::take_lost`] says why.
    pub(crate) fn capture(&mut self) {
        let Some(tracker) = &mut self.tracker else {
            return;
        };
        let mut about = std::mem::take(&mut tracker.about);
        about.retain(|r| r.group != NONE || !self.panes_of(r).is_empty());
        if about.is_empty() {
            return;
        }
        let (held, about): (Vec<_>, Vec<_>) = about.into_iter().partition(|r| self.is_pending(r));
        let rows = self.output_of(&about);
        match (rows, self.output_of(&held), &mut self.tracker) {
            (Ok(old), Ok(held), Some(tracker)) => {
                tracker.old.push(old);
                tracker.held_old.push(held);
            }
            (Err(e), ..) | (_, Err(e), _) => {
                self.tracker = None;
                self.lost = Some(e);
            }
            (.., None) => {}
        }
    }

    /// Whether the row of a group awaits a repair.
    fn is_pending(&self, row: &RowRef) -> bool {
        row.group != NONE && self.groups.is(row.group, PENDING)
    }

    /// Why changes are followed no longer, once, if they ceased to be because a row could not be computed.
    pub fn take_lost(&mut self) -> Option<StreamError> {
        self.lost.take()
    }

    /// The changes since the last call, folded: a row that is the same again is in neither part. Rows that await a
    /// repair are left out until they are right.
    ///
    /// # Errors
    /// As [`Operator::rows`].
    pub fn take_changes(&mut self) -> Result<Changes, StreamError> {
        let schema = self.plan.query().output.clone();
        let (mut old, mut now) = (Vec::new(), Vec::new());
        if let Some(tracker) = &mut self.tracker {
            old = std::mem::take(&mut tracker.old);
            if self.pending.is_empty() {
                old.append(&mut tracker.held_old);
            }
            let groups = std::mem::take(&mut tracker.groups);
            let merged = std::mem::take(&mut tracker.merged);
            tracker.clean = true;
            let mut changed = Vec::new();
            let shared = self.plan.windows.is_shared();
            for g in groups {
                if !self.groups.is(g, LIVE) || !self.groups.is(g, DIRTY) {
                    continue;
                }
                if self.groups.is(g, PENDING) {
                    tracker.groups.push(g);
                    continue;
                }
                self.groups.clear(g, DIRTY);
                if !shared || self.groups.is(g, WHOLE) {
                    changed.push(g);
                }
            }
            now.extend(changed.into_iter().map(|g| self.row_of(g)));
            now.extend(merged.into_iter().map(|(key, window)| RowRef {
                key,
                window,
                group: NONE,
            }));
            self.release_retired();
        }
        now.sort_by_key(|r| (r.window, r.key));
        let insert = self.output_of(&now)?;
        let retract = concat_batches(&schema, &old)?;
        cancel(insert, retract)
    }

    /// The rows of windows that closed since the last call, now that the watermark is there; none unless closed
    /// windows are tracked. Each window is handed out once, and not while it awaits a repair.
    ///
    /// # Errors
    /// As [`Operator::rows`].
    pub fn take_closed(&mut self, watermark: i64) -> Result<RecordBatch, StreamError> {
        let to = self.closed_to(watermark);
        let Some(tracker) = &mut self.tracker else {
            return self.output_of(&[]);
        };
        if tracker.closing.is_none() {
            return self.output_of(&[]);
        }
        let from = tracker.closed;
        tracker.closed = from.max(to);
        let held = std::mem::take(&mut tracker.held);
        let mut rows = self.still_closed(held, to);
        match self.sessions.as_ref().map(Sessions::gap) {
            Some(gap) => rows.extend(self.sessions_closed(gap, from, to)),
            None if to > from => rows.extend(self.closed_between(from, to)),
            None => {}
        }
        let (held, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|r| self.is_pending(r));
        if let Some(tracker) = &mut self.tracker {
            tracker.held = held;
        }
        self.output_of(&rows)
    }

    /// Of closed windows that were held back, those that are there and still closed.
    fn still_closed(&mut self, held: Vec<RowRef>, to: i64) -> Vec<RowRef> {
        let mut rows = Vec::new();
        for row in held {
            if !self.groups.is(row.group, LIVE) {
                continue;
            }
            let row = self.row_of(row.group);
            if row.window.end > to {
                self.time_session(row);
            } else {
                rows.push(row);
            }
        }
        rows
    }

    /// Takes the sessions that ended in `(from, to]` from those that wait for it.
    fn sessions_closed(&mut self, gap: i64, from: i64, to: i64) -> Vec<RowRef> {
        let mut groups = Vec::new();
        let Some(closing) = self.tracker.as_mut().and_then(|t| t.closing.as_mut()) else {
            return Vec::new();
        };
        while let Some(Reverse((end, group))) = closing.peek().copied() {
            if end > to {
                break;
            }
            closing.pop();
            if !self.groups.is(group, LIVE) {
                continue;
            }
            let now = self.groups.last[group as usize].saturating_add(gap);
            if now > to {
                closing.push(Reverse((now, group)));
                continue;
            }
            self.groups.clear(group, TIMED);
            if now > from {
                groups.push(group);
            }
        }
        // The id of a session that has ended may be another's by now, and then stand here twice.
        groups.sort_unstable();
        groups.dedup();
        groups.into_iter().map(|g| self.row_of(g)).collect()
    }

    /// The rows of windows, sessions too, whose ends lie in `(from, to]`.
    fn closed_between(&self, from: i64, to: i64) -> Vec<RowRef> {
        let inside = |w: Window| w.end > from && w.end <= to;
        if !self.plan.is_windowed() || to <= from {
            return Vec::new();
        }
        if self.sessions.is_some() {
            let rows = self.groups.live_ids().map(|g| self.row_of(g));
            return rows.filter(|r| inside(r.window)).collect();
        }
        let first = from.saturating_sub(self.plan.windows.longest());
        let starts = self.panes.starts.range(first..to).copied();
        if self.plan.windows.is_shared() {
            let frozen = self.wholes.iter().filter(|(w, _)| inside(**w));
            let groups = frozen.flat_map(|(_, p)| &p.groups);
            let groups = groups.filter(|g| !self.is_blank(**g));
            let mut rows: Vec<RowRef> = groups.map(|g| self.row_of(*g)).collect();
            let open = |w: Window| inside(w) && w.end > self.frozen_to;
            rows.extend(self.shared_rows(&mut { starts }, &open));
            return rows;
        }
        let groups = starts.filter_map(|s| self.panes.get(s));
        groups
            .flat_map(|p| p.groups.iter().map(|g| self.row_of(*g)))
            .filter(|r| inside(r.window))
            .collect()
    }

    /// The rows of all windows that are closed when the watermark is there.
    ///
    /// # Errors
    /// As [`Operator::rows`].
    pub fn closed_rows(&self, watermark: i64) -> Result<RecordBatch, StreamError> {
        self.output_of(&self.closed_between(i64::MIN, self.closed_to(watermark)))
    }
}

/// Takes rows that are in both parts out of both.
fn cancel(insert: RecordBatch, retract: RecordBatch) -> Result<Changes, StreamError> {
    if insert.num_rows() == 0 || retract.num_rows() == 0 {
        return Ok(Changes { insert, retract });
    }
    let fields = insert
        .schema()
        .fields()
        .iter()
        .map(|f| SortField::new(f.data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields)?;
    let new = converter.convert_columns(insert.columns())?;
    let old = converter.convert_columns(retract.columns())?;
    let mut count: HashMap<_, Vec<usize>, ahash::RandomState> = HashMap::default();
    for (i, row) in old.iter().enumerate() {
        count.entry(row).or_default().push(i);
    }
    let mut keep_old = vec![true; retract.num_rows()];
    let keep_new: Vec<bool> = new
        .iter()
        .map(|row| match count.get_mut(&row).and_then(Vec::pop) {
            Some(i) => {
                keep_old[i] = false;
                false
            }
            None => true,
        })
        .collect();
    Ok(Changes {
        insert: filter_record_batch(&insert, &BooleanArray::from(keep_new))?,
        retract: filter_record_batch(&retract, &BooleanArray::from(keep_old))?,
    })
}
