//! What changed since the last emission, and what closed.

use super::StreamError;
use super::agg::NONE;
use super::groups::{DIRTY, LIVE};
use super::operator::{Operator, RowRef};
use super::window::{Window, Windows};
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
    /// Sessions by an earlier end, for closing; `None` unless closed windows are wanted.
    pub closing: Option<BinaryHeap<Reverse<(i64, u32)>>>,
    /// Windows that close at or before this have been handed out.
    closed: i64,
}

impl Tracker {
    /// Notes that the row (or rows) of a group will change.
    pub fn note(&mut self, row: RowRef, fresh: bool, windows: &Windows) {
        self.groups.push(row.group);
        if windows.is_shared() {
            windows.windows_of(row.window.start, &mut |window| {
                if self.merged.insert((row.key, window)) {
                    self.about.push(RowRef {
                        key: row.key,
                        window,
                        group: NONE,
                    });
                }
            });
            return;
        }
        if !fresh {
            self.about.push(row);
        } else if let Some(closing) = &mut self.closing {
            closing.push(Reverse((row.window.end, row.group)));
        }
    }
}

impl Operator {
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
            self.tracker = Some(Tracker::default());
        }
        let sessions = self.sessions.is_some();
        let ends: BinaryHeap<_> = if closing && sessions {
            self.groups
                .live_ids()
                .map(|g| Reverse((self.row_of(g).window.end, g)))
                .collect()
        } else {
            BinaryHeap::new()
        };
        if let Some(tracker) = &mut self.tracker {
            if closing && tracker.closing.is_none() {
                tracker.closing = Some(ends);
                tracker.closed = watermark;
            } else if !closing {
                tracker.closing = None;
            }
        }
    }

    /// Captures the rows that are about to change.
    pub(crate) fn capture(&mut self) -> Result<(), StreamError> {
        let Some(tracker) = &mut self.tracker else {
            return Ok(());
        };
        let mut about = std::mem::take(&mut tracker.about);
        if self.plan.windows.is_shared() {
            about.retain(|r| !self.panes_of(r).is_empty());
        }
        if about.is_empty() {
            return Ok(());
        }
        let old = self.plan.output(self.group_rows(&about)?)?;
        if let Some(tracker) = &mut self.tracker {
            tracker.old.push(old);
        }
        Ok(())
    }

    /// The changes since the last call, folded: a row that is the same again is in neither part.
    ///
    /// # Errors
    /// As [`Operator::rows`].
    pub fn take_changes(&mut self) -> Result<Changes, StreamError> {
        let schema = self.plan.query().output.clone();
        let (mut old, mut now) = (Vec::new(), Vec::new());
        if let Some(tracker) = &mut self.tracker {
            old = std::mem::take(&mut tracker.old);
            let groups = std::mem::take(&mut tracker.groups);
            let merged = std::mem::take(&mut tracker.merged);
            let shared = self.plan.windows.is_shared();
            for g in groups {
                if self.groups.is(g, LIVE) && self.groups.is(g, DIRTY) {
                    self.groups.clear(g, DIRTY);
                    if !shared {
                        now.push(self.row_of(g));
                    }
                }
            }
            now.extend(merged.into_iter().map(|(key, window)| RowRef {
                key,
                window,
                group: NONE,
            }));
            self.release_retired();
        }
        now.sort_by_key(|r| (r.window, r.key));
        let insert = self.plan.output(self.group_rows(&now)?)?;
        let retract = concat_batches(&schema, &old)?;
        cancel(insert, retract)
    }

    /// The rows of windows that closed since the last call, now that the watermark is there; none unless closed
    /// windows are tracked. Each window is handed out once.
    ///
    /// # Errors
    /// As [`Operator::rows`].
    pub fn take_closed(&mut self, watermark: i64) -> Result<RecordBatch, StreamError> {
        let grace = self.plan.query().grace;
        let Some(tracker) = &mut self.tracker else {
            return self.plan.output(self.group_rows(&[])?);
        };
        let (from, to) = (
            tracker.closed.saturating_sub(grace),
            watermark.saturating_sub(grace),
        );
        tracker.closed = tracker.closed.max(watermark);
        let mut rows = Vec::new();
        if let (Some(closing), Some(sessions)) = (&mut tracker.closing, &self.sessions) {
            while let Some(Reverse((end, group))) = closing.peek().copied() {
                if end > to {
                    break;
                }
                closing.pop();
                if !self.groups.is(group, LIVE) {
                    continue;
                }
                let now = self.groups.last[group as usize].saturating_add(sessions.gap());
                if now > to {
                    closing.push(Reverse((now, group)));
                } else if now > from {
                    rows.push(group);
                }
            }
            rows.sort_unstable();
            rows.dedup();
        } else if tracker.closing.is_some() && to > from {
            return self.closed_between(from, to);
        }
        let rows: Vec<RowRef> = rows.into_iter().map(|g| self.row_of(g)).collect();
        self.plan.output(self.group_rows(&rows)?)
    }

    /// The rows of windows, sessions too, whose ends lie in `(from, to]`.
    pub(crate) fn closed_between(&self, from: i64, to: i64) -> Result<RecordBatch, StreamError> {
        let inside = |w: Window| w.end > from && w.end <= to;
        let rows: Vec<RowRef> = if !self.plan.is_windowed() || to <= from {
            Vec::new()
        } else if self.sessions.is_some() {
            self.groups
                .live_ids()
                .map(|g| self.row_of(g))
                .filter(|r| inside(r.window))
                .collect()
        } else {
            let first = from.saturating_sub(self.plan.windows.longest());
            let starts = self.panes.starts.range(first..to).copied();
            if self.plan.windows.is_shared() {
                self.shared_rows(&mut { starts }, &inside)
            } else {
                let groups = starts.filter_map(|s| self.panes.get(s));
                groups
                    .flat_map(|p| p.groups.iter().map(|g| self.row_of(*g)))
                    .filter(|r| inside(r.window))
                    .collect()
            }
        };
        self.plan.output(self.group_rows(&rows)?)
    }

    /// The rows of all windows that are closed when the watermark is there.
    ///
    /// # Errors
    /// As [`Operator::rows`].
    pub fn closed_rows(&self, watermark: i64) -> Result<RecordBatch, StreamError> {
        self.closed_between(i64::MIN, watermark.saturating_sub(self.plan.query().grace))
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
