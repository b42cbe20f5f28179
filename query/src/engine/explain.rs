//! `EXPLAIN`: the plan; with `ANALYZE` also what happened.

use super::run::{Asked, Planned};
use super::{Output, QueryEngine, RowStream, Session};
use crate::error::QueryError;
use arrow::array::StringArray;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::physical_plan::{displayable, execute_stream};
use futures::StreamExt;
use query_lang::ast::Query;
use std::sync::Arc;
use std::time::Instant;

impl QueryEngine {
    pub(super) async fn explain(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        query: &Query,
        analyze: bool,
        verbose: bool,
    ) -> Result<Output, QueryError> {
        if query.emit.is_some() {
            let (bound, notices) = self.bind_continuous(session, sql, query)?;
            let lines = format!("{bound:#?}").lines().map(str::to_owned).collect();
            return rows(lines, self.engine().published().0, notices);
        }
        let job = {
            let (engine, session) = (Arc::clone(self), session.clone());
            let (sql, asked) = (sql.to_owned(), Asked::Query(Box::new(query.clone())));
            async move {
                let started = Instant::now();
                let planned = engine.plan_asked(&session, &sql, &asked).await?;
                let planning = started.elapsed();
                let mut lines = Vec::new();
                if verbose {
                    lines.extend(
                        planned
                            .logical
                            .display_indent()
                            .to_string()
                            .lines()
                            .map(str::to_owned),
                    );
                    lines.push(String::new());
                }
                let (lsn, notices) = (planned.lsn, planned.notices.clone());
                if analyze {
                    lines.push(format!("planned in {:.3} ms", planning.as_secs_f64() * 1e3));
                    analyzed(planned, &mut lines).await?;
                } else {
                    let shown = displayable(planned.plan.as_ref())
                        .indent(verbose)
                        .to_string();
                    lines.extend(shown.lines().map(str::to_owned));
                }
                rows(lines, lsn, notices)
            }
        };
        self.on_pool(self.time_limit(session), job).await
    }
}

/// Runs the plan to its end and tells what each scan did.
async fn analyzed(planned: Planned, lines: &mut Vec<String>) -> Result<(), QueryError> {
    let started = Instant::now();
    let mut stream = execute_stream(Arc::clone(&planned.plan), planned.state.task_ctx())?;
    let mut count = 0;
    while let Some(batch) = stream.next().await {
        count += batch?.num_rows();
    }
    drop(stream);
    let time = started.elapsed();
    lines.push(format!(
        "{count} rows in {:.3} ms",
        time.as_secs_f64() * 1e3
    ));
    for scan in planned.context.report() {
        lines.push(format!(
            "scan {}: {} chunks, {} pruned, {} decoded, {} rows",
            scan.stream, scan.chunks, scan.pruned, scan.decoded, scan.rows
        ));
    }
    let shown = datafusion::physical_plan::display::DisplayableExecutionPlan::with_metrics(
        planned.plan.as_ref(),
    )
    .indent(false)
    .to_string();
    lines.extend(shown.lines().map(str::to_owned));
    Ok(())
}

fn rows(lines: Vec<String>, lsn: u64, notices: Vec<String>) -> Result<Output, QueryError> {
    let schema = Arc::new(Schema::new(vec![Field::new("plan", DataType::Utf8, false)]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![Arc::new(StringArray::from(lines))],
    )
    .map_err(|e| QueryError::Internal(e.to_string()))?;
    Ok(Output::Rows {
        schema,
        rows: RowStream::of(batch),
        lsn,
        lagging: false,
        notices,
    })
}
