//! Reading an operator's rows: those that are wanted, in slices, so that no batch grows with the state.

use super::StreamError;
use super::agg::NONE;
use super::groups::Pane;
use super::narrow::{Narrow, Wanted};
use super::operator::{Operator, RowRef};
use super::plan::Plan;
use super::shape::Shape;
use super::window::Window;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Expr;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Rows of a slice at most.
const SLICE_ROWS: usize = 8_192;
/// Bytes of lists and text in a slice, unless it is a single row.
const SLICE_BYTES: usize = 8 << 20;

/// What is read: which rows, and which of their columns.
#[derive(Debug)]
pub struct Read {
    narrow: Narrow,
    shape: Arc<Shape>,
    limit: usize,
}

impl Read {
    /// Everything.
    #[must_use]
    pub fn all(plan: &Plan) -> Read {
        Read {
            narrow: Narrow::new(plan.query(), &[]),
            shape: plan.shape().clone(),
            limit: usize::MAX,
        }
    }

    /// Columns at these places of the output, of rows that meet conditions over it. Rows that don't may be read too. As
    /// many rows as `limit` says are enough.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn new(
        plan: &Plan,
        projection: Option<&[usize]>,
        conditions: &[Expr],
        limit: Option<usize>,
    ) -> Result<Read, StreamError> {
        Ok(Read {
            narrow: Narrow::new(plan.query(), conditions),
            shape: match projection {
                Some(places) => Arc::new(plan.shape().project(places)?),
                None => plan.shape().clone(),
            },
            limit: limit.unwrap_or(usize::MAX),
        })
    }

    /// The columns of what is read.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.shape.output()
    }
}

/// Collects rows to a slice.
struct Slices<'a> {
    operator: &'a Operator,
    read: &'a Read,
    rows: Vec<RowRef>,
    bytes: usize,
    left: usize,
    sink: &'a mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    failed: Option<StreamError>,
}

impl Slices<'_> {
    fn push(&mut self, row: RowRef) -> ControlFlow<()> {
        let bytes = self.operator.bulk(&row);
        let full = self.rows.len() >= SLICE_ROWS || self.bytes + bytes > SLICE_BYTES;
        if full && !self.rows.is_empty() {
            self.flush()?;
        }
        self.bytes += bytes;
        self.rows.push(row);
        ControlFlow::Continue(())
    }

    fn flush(&mut self) -> ControlFlow<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        match self.operator.shaped(&rows, &self.read.shape) {
            Ok(batch) if batch.num_rows() == 0 => {}
            Ok(batch) => {
                let n = batch.num_rows().min(self.left);
                self.left -= n;
                (self.sink)(batch.slice(0, n))?;
            }
            Err(e) => {
                self.failed = Some(e);
                return ControlFlow::Break(());
            }
        }
        if self.left == 0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Operator {
    /// Hands what is read to `sink`, by window and then in order of first sight, until it breaks.
    ///
    /// # Errors
    /// When an expression fails, or a sum does not fit its type.
    pub fn read(
        &self,
        read: &Read,
        sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StreamError> {
        let mut slices = Slices {
            operator: self,
            read,
            rows: Vec::new(),
            bytes: 0,
            left: read.limit,
            sink,
            failed: None,
        };
        if read.limit > 0 {
            let wanted = read.narrow.wanted(&self.keys)?;
            let flow = self.walk(&read.narrow, &wanted, &mut |row| slices.push(row));
            if flow.is_continue() {
                // At the end there is nothing left to break off.
                let _ = slices.flush();
            }
        }
        slices.failed.map_or(Ok(()), Err)
    }

    /// Calls `f` with each row that is wanted.
    fn walk(
        &self,
        narrow: &Narrow,
        wanted: &Wanted,
        f: &mut dyn FnMut(RowRef) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.sessions.is_some() {
            return self.walk_sessions(narrow, wanted, f);
        }
        let windows = self.plan.windows;
        if !self.plan.is_windowed() {
            let group = |g: u32| f(self.row_of(g));
            return match self.panes.get(0) {
                Some(pane) => self.walk_pane(pane, wanted, group),
                None => ControlFlow::Continue(()),
            };
        }
        let (first, last) = narrow.starts(windows.longest());
        if windows.is_shared() {
            return self.walk_shared(narrow, wanted, (first, last), f);
        }
        if first > last {
            return ControlFlow::Continue(());
        }
        for start in self.panes.starts.range(first..=last) {
            let end = windows.pane_end(*start);
            if let Some(pane) = self.panes.get(*start)
                && narrow.admits(Window { start: *start, end })
            {
                self.walk_pane(pane, wanted, |g| f(self.row_of(g)))?;
            }
        }
        ControlFlow::Continue(())
    }

    fn walk_pane(
        &self,
        pane: &Pane,
        wanted: &Wanted,
        mut f: impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match wanted {
            Wanted::These(keys) => {
                for key in keys {
                    if let Some(group) = pane.get(*key) {
                        f(group)?;
                    }
                }
            }
            Wanted::All => {
                let mut groups = pane.groups.clone();
                groups.sort_unstable_by_key(|g| self.groups.key[*g as usize]);
                for group in groups {
                    f(group)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn walk_sessions(
        &self,
        narrow: &Narrow,
        wanted: &Wanted,
        f: &mut dyn FnMut(RowRef) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let of_keys = |keys: &[u32]| -> Vec<u32> {
            let sessions = self.sessions.iter();
            sessions
                .flat_map(|s| keys.iter().flat_map(|k| s.of(*k)))
                .copied()
                .collect()
        };
        let groups = match wanted {
            Wanted::These(keys) => of_keys(keys),
            Wanted::All => self.groups.live_ids().collect(),
        };
        let rows = groups.into_iter().map(|g| self.row_of(g));
        let mut rows: Vec<RowRef> = rows.filter(|r| narrow.admits(r.window)).collect();
        rows.sort_unstable_by_key(|r| (r.window, r.key));
        rows.into_iter().try_for_each(f)
    }

    fn walk_shared(
        &self,
        narrow: &Narrow,
        wanted: &Wanted,
        (first, last): (i64, i64),
        f: &mut dyn FnMut(RowRef) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let windows = self.plan.windows;
        let mut there = BTreeSet::new();
        let until = last.saturating_add(windows.longest());
        if first <= until {
            for pane in self.panes.starts.range(first..=until) {
                windows.windows_of(*pane, &mut |w| {
                    if w.end > self.frozen_to && narrow.admits(w) {
                        there.insert(w);
                    }
                });
            }
        }
        let frozen = self.wholes.range(Window::starting(first)..);
        let frozen = frozen.take_while(|(w, _)| w.start <= until);
        there.extend(frozen.map(|(w, _)| *w).filter(|w| narrow.admits(*w)));
        for window in there {
            if let Some(pane) = self.wholes.get(&window) {
                self.walk_pane(pane, wanted, |g| match self.is_blank(g) {
                    true => ControlFlow::Continue(()),
                    false => f(self.row_of(g)),
                })?;
                continue;
            }
            match wanted {
                Wanted::All => self
                    .rows_of_window(window)
                    .into_iter()
                    .try_for_each(&mut *f)?,
                Wanted::These(keys) => {
                    for key in keys {
                        let (key, group) = (*key, NONE);
                        let row = RowRef { key, window, group };
                        if !self.panes_of(&row).is_empty() {
                            f(row)?;
                        }
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Bytes of lists and text in a row, near enough.
    fn bulk(&self, row: &RowRef) -> usize {
        let bulky = self.accumulators.iter().filter(|a| a.is_bulky());
        let mut bulky = bulky.peekable();
        if bulky.peek().is_none() {
            return 0;
        }
        let groups = self.groups_of(row);
        bulky
            .map(|a| groups.iter().map(|g| a.bulk(*g)).sum::<usize>())
            .sum()
    }
}
