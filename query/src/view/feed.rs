//! What a sink needs of a query: the rows of one without state, commit by commit, and what tells the rows of one with state
//! apart.

use super::runtime::exec;
use super::state::scan;
use crate::bind::windowed::{
    ContinuousQuery, RowQuery, WINDOW_END, WINDOW_START, WindowSpec, WindowedAggregate,
};
use crate::engine::source_of;
use crate::error::QueryError;
use crate::stream::{RowBlock, RowPlan, StreamError};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use tsdb::types::Batch;
use tsdb::{Commit, Engine, Snapshot, Stream, pick};

/// The rows that a query without state makes of each commit.
pub struct RowFeed {
    plan: RowPlan,
    stream: Arc<Stream>,
}

impl RowFeed {
    /// The rows of a query.
    ///
    /// # Errors
    /// When its stream is gone, or it can't be run.
    pub fn of_query(engine: &Engine, query: &RowQuery) -> Result<RowFeed, QueryError> {
        let stream = engine.catalog().stream_by_id(query.source.id);
        let gone = || QueryError::Exec(format!("stream \"{}\" is gone", query.source.name));
        Ok(RowFeed {
            stream: stream.ok_or_else(gone)?,
            plan: RowPlan::new(query.clone()).map_err(exec)?,
        })
    }

    /// The rows of a stream with all columns that it has now.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of_stream(stream: &Arc<Stream>) -> Result<RowFeed, QueryError> {
        let source = source_of(stream);
        let names = source.arrow.fields().iter().map(|f| f.name().clone());
        let query = RowQuery {
            filter: None,
            projection: names
                .map(|n| (Expr::Column(Column::new_unqualified(&n)), n))
                .collect(),
            output: source.arrow.clone(),
            source,
            emit: None,
        };
        Ok(RowFeed {
            plan: RowPlan::new(query).map_err(exec)?,
            stream: stream.clone(),
        })
    }

    /// The stream that the rows come from.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The columns of all rows.
    #[must_use]
    pub fn columns(&self) -> &SchemaRef {
        &self.plan.query().output
    }

    /// Whether the stream has got columns since.
    #[must_use]
    pub fn is_outgrown(&self) -> bool {
        self.plan.query().source.schema.columns.len() != self.stream.schema().columns.len()
    }

    /// The rows that a commit brings, in log order; batches without any are left out. A row that can't be computed is left
    /// out, and `refused` told why.
    pub fn rows(&self, commit: &Commit, refused: &mut dyn FnMut(String)) -> Vec<RecordBatch> {
        let ours = commit.batches.iter().filter(|b| b.stream == self.stream.id);
        let mut all = Vec::new();
        for batch in ours {
            if let Ok(rows) = self.of_batch(batch) {
                all.push(rows);
                continue;
            }
            // Which of them it is: each by itself.
            let schema = self.stream.schema();
            for row in 0..batch.rows as u32 {
                let Some(one) = pick(batch, &schema, &[row]).finish() else {
                    continue;
                };
                match self.of_batch(&one) {
                    Ok(rows) => all.push(rows),
                    Err(error) => refused(error.to_string()),
                }
            }
        }
        all.retain(|rows| rows.num_rows() > 0);
        all
    }

    fn of_batch(&self, batch: &Batch) -> Result<RecordBatch, StreamError> {
        let block = RowBlock::from_batch(batch);
        self.plan.apply(&block, self.stream.as_ref())
    }

    /// Hands the rows of a snapshot to `each`, until it fails.
    ///
    /// # Errors
    /// That failure, in words, or why the rows can't be read.
    pub fn history(
        &self,
        snapshot: &Snapshot,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), String>,
    ) -> Result<(), QueryError> {
        let columns = self.plan.columns().to_vec();
        let stream = self.stream.as_ref();
        scan(snapshot, stream, None, &columns, &mut |block| {
            let rows = self.plan.apply(&block, stream)?;
            each(rows).map_err(StreamError::Expression)
        })
        .map_err(exec)
    }
}

/// The output columns that tell the rows of a query apart at any one commit: those that must be known, and those that
/// belong to them besides. Both empty for a query whose answer is a single row.
///
/// # Errors
/// What is missing among the output columns.
pub fn key_columns(query: &ContinuousQuery) -> Result<(Vec<String>, Vec<String>), String> {
    let ContinuousQuery::Aggregate(query) = query else {
        return Err("its rows have no key".to_owned());
    };
    let mut needed = Vec::new();
    for key in &query.keys {
        let shown = shown_as(query, &key.name);
        needed.push(shown.ok_or_else(|| {
            format!(
                "its rows can't be told apart: \"{}\" is grouped by and not selected",
                key.name
            )
        })?);
    }
    let bounds = (shown_as(query, WINDOW_START), shown_as(query, WINDOW_END));
    let mut more = Vec::new();
    match (query.window, bounds) {
        (WindowSpec::None, _) => {}
        // Several windows may begin at a time, and several end.
        (WindowSpec::Cumulate { .. }, (Some(start), Some(end))) => needed.extend([start, end]),
        (WindowSpec::Cumulate { .. }, _) | (_, (None, None)) => {
            return Err("its rows can't be told apart without the bounds of windows".to_owned());
        }
        (_, (Some(start), end)) => {
            needed.push(start);
            more.extend(end);
        }
        (_, (None, Some(end))) => needed.push(end),
    }
    Ok((needed, more))
}

/// The name under which a column of the group rows is selected as it is.
fn shown_as(query: &WindowedAggregate, column: &str) -> Option<String> {
    let is = |e: &Expr| matches!(e, Expr::Column(c) if c.name == column);
    let found = query.projection.iter().find(|(e, _)| match e {
        Expr::Alias(alias) => is(&alias.expr),
        other => is(other),
    });
    found.map(|(_, name)| name.clone())
}
