//! What a view computes, and where its watermark is.

use super::checkpoint::Checkpoint;
use crate::bind::windowed::ContinuousQuery;
use crate::stream::watermark::{MAX_AHEAD_NS, Watermark};
use crate::stream::{Changes, Operator, Plan, Read, Repair, RowBlock, RowPlan, StreamError};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::ops::ControlFlow;
use std::sync::Arc;
use tsdb::types::{ColumnId, TimeRange};
use tsdb::{Commit, ScanSpec, Snapshot, Stream};

/// A query ready to be kept up to date.
#[derive(Clone, Debug)]
pub(super) enum Program {
    Aggregate(Arc<Plan>),
    Rows(Arc<RowPlan>),
}

impl Program {
    pub fn new(query: &ContinuousQuery) -> Result<Program, StreamError> {
        Ok(match query {
            ContinuousQuery::Aggregate(q) => {
                let plan = Plan::new(q.clone())?;
                plan.check_deterministic()?;
                Program::Aggregate(Arc::new(plan))
            }
            ContinuousQuery::Rows(q) => Program::Rows(Arc::new(RowPlan::new(q.clone())?)),
        })
    }

    pub fn output(&self) -> &SchemaRef {
        match self {
            Program::Aggregate(plan) => &plan.query().output,
            Program::Rows(plan) => &plan.query().output,
        }
    }
}

/// A view's state at an LSN.
pub(super) struct State {
    stream: Arc<Stream>,
    program: Program,
    operator: Option<Operator>,
    /// New rows of a view without state, for subscribers.
    fresh: Vec<RecordBatch>,
    collects: bool,
    lost: Option<StreamError>,
    pub watermark: Watermark,
}

impl State {
    pub fn new(stream: Arc<Stream>, program: Program) -> State {
        let operator = match &program {
            Program::Aggregate(plan) => Some(Operator::new(plan.clone())),
            Program::Rows(_) => None,
        };
        State {
            watermark: Watermark::new(stream.options.disorder_ns),
            stream,
            program,
            operator,
            fresh: Vec::new(),
            collects: false,
            lost: None,
        }
    }

    /// The state that a checkpoint holds.
    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), StreamError> {
        if let Program::Aggregate(plan) = &self.program {
            let tags = self.stream.as_ref();
            self.operator = Some(Operator::load(plan.clone(), &checkpoint.slices, tags)?);
        }
        self.watermark = checkpoint.head.watermark;
        Ok(())
    }

    /// The log has been replayed onto a state that was loaded.
    pub fn end_replay(&mut self) {
        if let Some(operator) = &mut self.operator {
            operator.end_replay();
        }
    }

    /// What it is a state of.
    pub fn origin(&self) -> (Arc<Stream>, Program) {
        (self.stream.clone(), self.program.clone())
    }

    pub fn operator(&self) -> Option<&Operator> {
        self.operator.as_ref()
    }

    /// The state that all rows of a snapshot taken at `wall_ns` make. Calls `between` again and again meanwhile.
    pub fn of_history(
        stream: &Arc<Stream>,
        program: &Program,
        snapshot: &Snapshot,
        wall_ns: i64,
        between: &mut dyn FnMut(),
    ) -> Result<State, StreamError> {
        let mut state = State::new(stream.clone(), program.clone());
        // The commit times of old rows are not kept: a row counts as one committed now.
        let limit = wall_ns.saturating_add(MAX_AHEAD_NS);
        let bounds = snapshot.time_bounds(stream.id);
        let ahead = bounds.is_some_and(|b| b.1 > limit);
        let mut newest = bounds.map(|b| b.1).filter(|_| !ahead);
        let columns = match program {
            Program::Aggregate(plan) => plan.columns(),
            // Only times are read, and only if need be.
            Program::Rows(_) => &[],
        };
        for range in slices(bounds, state.freezes(), stream.options.partition_ns) {
            if state.operator.is_none() && !ahead {
                break;
            }
            let operator = &mut state.operator;
            scan(snapshot, stream, range, columns, &mut |block| {
                between();
                let times = block.time().iter().copied();
                newest = newest.max(times.filter(|t| *t <= limit).max());
                match operator {
                    Some(operator) => operator.apply(&block, stream.as_ref()),
                    None => Ok(()),
                }
            })?;
            // What the slices so far close for good need not wait for the others.
            let disorder = stream.options.disorder_ns;
            state.watermark = Watermark::of_history(disorder, newest, wall_ns);
            if let Some(range) = range {
                state.freeze(range.end);
            }
        }
        let disorder = stream.options.disorder_ns;
        state.watermark = Watermark::of_history(disorder, newest, wall_ns);
        state.freeze(i64::MAX);
        Ok(state)
    }

    /// Whether there is anything that can be dropped while history is read.
    fn freezes(&self) -> bool {
        self.operator.as_ref().is_some_and(Operator::freezes)
    }

    /// Takes in a commit.
    pub fn apply(&mut self, commit: &Commit) -> Result<(), StreamError> {
        if let Some(operator) = &mut self.operator {
            operator.replay_to(commit.lsn.0);
        }
        for batch in commit.batches.iter().filter(|b| b.stream == self.stream.id) {
            let block = RowBlock::from_batch(batch);
            self.watermark.observe(&block, commit.wall_ns);
            match (&mut self.operator, &self.program) {
                (Some(operator), _) => operator.apply(&block, self.stream.as_ref())?,
                (None, Program::Rows(plan)) if self.collects => {
                    match plan.apply(&block, self.stream.as_ref()) {
                        Ok(rows) if rows.num_rows() > 0 => self.fresh.push(rows),
                        Ok(_) => {}
                        Err(e) => {
                            self.collects = false;
                            self.fresh.clear();
                            self.lost = Some(e);
                        }
                    }
                }
                _ => {}
            }
        }
        if commit.tick {
            self.watermark.tick(commit.wall_ns);
        }
        self.freeze(i64::MAX);
        Ok(())
    }

    /// Drops what no row within the lateness can change any more, of windows that end at `until` at the latest.
    fn freeze(&mut self, until: i64) {
        if let (Some(operator), Program::Aggregate(plan)) = (&mut self.operator, &self.program) {
            let lateness = self.stream.options.lateness_ns;
            let behind = plan.query().grace.saturating_add(lateness);
            let horizon = self.watermark.at().saturating_sub(behind);
            operator.freeze(horizon.min(until));
        }
    }

    /// Whether rows came for windows whose state had been dropped.
    pub fn needs_repair(&self) -> bool {
        self.operator.as_ref().is_some_and(Operator::needs_repair)
    }

    /// Ranges of event time whose windows are not right.
    pub fn pending(&self) -> Vec<(i64, i64)> {
        self.operator
            .as_ref()
            .map_or_else(Vec::new, Operator::pending_ranges)
    }

    /// What those windows should be, from a snapshot at exactly the state's LSN; to be given to
    /// [`State::finish_repair`]. Calls `between` again and again meanwhile.
    pub fn repair(
        &self,
        snapshot: &Snapshot,
        between: &mut dyn FnMut(),
    ) -> Result<Option<Repair>, StreamError> {
        let Some(mut repair) = self.operator.as_ref().and_then(Operator::repair) else {
            return Ok(None);
        };
        let plan = repair.plan().clone();
        for range in repair.ranges().to_vec() {
            let (stream, range) = (self.stream.as_ref(), Some(range));
            scan(snapshot, stream, range, plan.columns(), &mut |block| {
                between();
                repair.apply(&block, stream)
            })?;
        }
        Ok(Some(repair))
    }

    /// Brings windows right.
    pub fn finish_repair(&mut self, repair: &Repair) {
        if let Some(operator) = &mut self.operator {
            operator.finish_repair(repair);
        }
    }

    /// Hands what is read to `sink` until it breaks. A view without state has no rows of its own.
    pub fn read(
        &self,
        read: &Read,
        sink: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StreamError> {
        match &self.operator {
            Some(operator) => operator.read(read, sink),
            None => Ok(()),
        }
    }

    /// All rows. A view without state has none of its own.
    pub fn rows(&self) -> Result<RecordBatch, StreamError> {
        match &self.operator {
            Some(operator) => operator.rows(),
            None => Ok(RecordBatch::new_empty(self.program.output().clone())),
        }
    }

    /// The rows of windows that have closed.
    pub fn closed_rows(&self) -> Result<RecordBatch, StreamError> {
        match &self.operator {
            Some(operator) => operator.closed_rows(self.watermark.at()),
            None => self.rows(),
        }
    }

    /// Follows changes, and windows that close, from now on; or no longer.
    pub fn track(&mut self, on: bool, closing: bool) {
        self.collects = on;
        if !on {
            self.fresh.clear();
        }
        if let Some(operator) = &mut self.operator {
            operator.track(on, closing, self.watermark.at());
        }
    }

    /// Why changes are followed no longer, once, if a row could not be computed.
    pub fn take_lost(&mut self) -> Option<StreamError> {
        let operator = self.operator.as_mut().and_then(Operator::take_lost);
        self.lost.take().or(operator)
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Result<Changes, StreamError> {
        match &mut self.operator {
            Some(operator) => {
                let changes = operator.take_changes()?;
                self.freeze(i64::MAX);
                Ok(changes)
            }
            None => {
                let schema = self.program.output();
                let fresh = std::mem::take(&mut self.fresh);
                Ok(Changes {
                    insert: concat_batches(schema, &fresh)?,
                    retract: RecordBatch::new_empty(schema.clone()),
                })
            }
        }
    }

    /// The windows that closed since the last call. To be called after [`State::take_changes`].
    pub fn take_closed(&mut self) -> Result<RecordBatch, StreamError> {
        let at = self.watermark.at();
        match &mut self.operator {
            Some(operator) => operator.take_closed(at),
            None => self.rows(),
        }
    }
}

/// Hands the rows of a stream to `sink`.
pub(super) fn scan(
    snapshot: &Snapshot,
    stream: &Stream,
    time: Option<TimeRange>,
    columns: &[ColumnId],
    sink: &mut dyn FnMut(RowBlock<'_>) -> Result<(), StreamError>,
) -> Result<(), StreamError> {
    let spec = ScanSpec {
        time,
        columns: columns.to_vec(),
        ..ScanSpec::default()
    };
    let storage = |e: tsdb::Error| StreamError::Expression(format!("read history: {e}"));
    let mut failed = None;
    let scan = snapshot.scan(stream, spec).map_err(storage)?;
    scan.read_all(&mut |mut batch| {
        let block = RowBlock::from_scan(&mut batch, columns);
        match sink(block) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        }
    })
    .map_err(storage)?;
    failed.map_or(Ok(()), Err)
}

/// Ranges of time, in order, that hold all rows together: one without bounds, or partitions, or more of them at once
/// where there are many.
fn slices(bounds: Option<(i64, i64)>, wanted: bool, partition: i64) -> Vec<Option<TimeRange>> {
    const AT_MOST: i64 = 256;
    let Some((first, last)) = bounds.filter(|_| wanted) else {
        return vec![None];
    };
    let partition = partition.max(1);
    let partitions = (last.saturating_sub(first) / partition).max(1);
    let step = partition.saturating_mul((partitions / AT_MOST).saturating_add(1));
    let mut slices = Vec::new();
    let mut start = first.div_euclid(step).saturating_mul(step).min(first);
    loop {
        let end = start.saturating_add(step);
        slices.push(Some(TimeRange { start, end }));
        if end > last || end == i64::MAX {
            return slices;
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_hold_every_time_once() {
        for (bounds, partition) in [
            ((-5, 25), 10),
            ((0, 0), 10),
            ((0, 10_000), 10),
            ((i64::MIN, i64::MAX - 1), 1 << 40),
        ] {
            let ranges: Vec<TimeRange> = slices(Some(bounds), true, partition)
                .into_iter()
                .flatten()
                .collect();
            assert!(ranges.len() <= 520, "{}", ranges.len());
            assert!(ranges[0].contains(bounds.0) && ranges[ranges.len() - 1].contains(bounds.1));
            assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
        }
        assert_eq!(slices(None, true, 1), [None]);
        assert_eq!(slices(Some((0, 99)), false, 1), [None]);
    }
}
