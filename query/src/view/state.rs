//! What a view computes, and where its watermark is.

use super::checkpoint::Checkpoint;
use crate::bind::windowed::ContinuousQuery;
use crate::stream::watermark::{MAX_AHEAD_NS, Watermark};
use crate::stream::{Changes, Operator, Plan, RowBlock, RowPlan, StreamError};
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
            self.operator = Some(Operator::load(plan.clone(), &checkpoint.state, tags)?);
        }
        self.watermark = checkpoint.watermark;
        Ok(())
    }

    pub fn save(&self) -> Vec<u8> {
        self.operator.as_ref().map_or_else(Vec::new, Operator::save)
    }

    pub fn operator(&self) -> Option<&Operator> {
        self.operator.as_ref()
    }

    /// Starts anew from all rows of a snapshot taken at `wall_ns`.
    pub fn rebuild(&mut self, snapshot: &Snapshot, wall_ns: i64) -> Result<(), StreamError> {
        let stream = self.stream.clone();
        let mut state = State::new(stream.clone(), self.program.clone());
        if let Program::Aggregate(plan) = &self.program {
            let plan = plan.clone();
            if let Some(operator) = &mut state.operator {
                scan(snapshot, &stream, None, plan.columns(), &mut |block| {
                    operator.apply(&block, stream.as_ref())
                })?;
            }
        }
        // The commit times of old rows are not kept: a row from the future counts as one from now.
        let limit = wall_ns.saturating_add(MAX_AHEAD_NS);
        let newest = snapshot.time_bounds(stream.id).map(|b| b.1);
        let newest = newest.map(|t| if t > limit { wall_ns } else { t });
        state.watermark = Watermark::of_history(stream.options.disorder_ns, newest, wall_ns);
        *self = state;
        Ok(())
    }

    /// Takes in a commit.
    pub fn apply(&mut self, commit: &Commit) -> Result<(), StreamError> {
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
        self.freeze();
        Ok(())
    }

    /// Drops what no row within the lateness can change any more.
    fn freeze(&mut self) {
        if let (Some(operator), Program::Aggregate(plan)) = (&mut self.operator, &self.program) {
            let lateness = self.stream.options.lateness_ns;
            let behind = plan.query().grace.saturating_add(lateness);
            operator.freeze(self.watermark.at().saturating_sub(behind));
        }
    }

    /// Whether rows came for windows whose state had been dropped.
    pub fn needs_repair(&self) -> bool {
        self.operator.as_ref().is_some_and(Operator::needs_repair)
    }

    /// Brings those windows right, from a snapshot at exactly the state's LSN.
    pub fn repair(&mut self, snapshot: &Snapshot) -> Result<(), StreamError> {
        let Some(operator) = &mut self.operator else {
            return Ok(());
        };
        if let Some(mut repair) = operator.repair() {
            let plan = repair.plan().clone();
            for range in repair.ranges().to_vec() {
                let tags = self.stream.clone();
                scan(
                    snapshot,
                    &self.stream,
                    Some(range),
                    plan.columns(),
                    &mut |block| repair.apply(&block, tags.as_ref()),
                )?;
            }
            operator.finish_repair(&repair);
        }
        Ok(())
    }

    /// All rows. A view without state has none of its own: see [`read_rows`].
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
                self.freeze();
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
fn scan(
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

/// The rows of a view without state: its query over a snapshot.
pub(super) fn read_rows(
    plan: &RowPlan,
    stream: &Stream,
    snapshot: &Snapshot,
) -> Result<Vec<RecordBatch>, StreamError> {
    let mut out = Vec::new();
    scan(snapshot, stream, None, plan.columns(), &mut |block| {
        let rows = plan.apply(&block, stream)?;
        if rows.num_rows() > 0 {
            out.push(rows);
        }
        Ok(())
    })?;
    Ok(out)
}
