//! Running a query: bound, planned and computed on the query threads, within its bounds of time, memory and rows.

use super::direct::{Direct, direct};
use super::sources::EngineSources;
use super::{Output, QueryEngine, RowStream, Session, session};
use crate::bind::{Binder, Bound};
use crate::error::QueryError;
use crate::history::{QueryContext, view_scans};
use crate::types::plain_type;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use query_lang::ast::{Query, Span, Values};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// What is to be run.
pub(super) enum Asked {
    /// A query.
    Query(Box<Query>),
    /// Rows written out for columns of these types.
    Values {
        values: Values,
        types: Vec<DataType>,
        span: Span,
    },
}

/// A query ready to run.
pub(super) struct Planned {
    pub plan: Arc<dyn ExecutionPlan>,
    pub state: Arc<SessionState>,
    /// The output columns as shown.
    pub schema: SchemaRef,
    pub lsn: u64,
    pub lagging: bool,
    pub notices: Vec<String>,
    /// Held while it runs.
    pub permit: OwnedSemaphorePermit,
    pub context: Arc<QueryContext>,
    pub logical: LogicalPlan,
}

impl QueryEngine {
    /// Runs a query for its rows.
    pub(super) async fn run_query(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        query: &Query,
    ) -> Result<Output, QueryError> {
        self.run(session, sql, Asked::Query(Box::new(query.clone())))
            .await
    }

    /// Runs what was asked.
    pub(super) async fn run(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        asked: Asked,
    ) -> Result<Output, QueryError> {
        let limit = self.time_limit(session);
        let job = {
            let (engine, session, sql) = (Arc::clone(self), session.clone(), sql.to_owned());
            async move {
                let sources = EngineSources::new(&engine, &session);
                let bound = engine.bind_asked(&sources, &sql, &asked)?;
                let state = session::state_for(engine.functions.state(), &engine.config, &session)?;
                if let Some(read) = direct(&bound.0.plan, &state)? {
                    return engine.read_directly(&sources, bound, read, &state).await;
                }
                let planned = engine.plan_bound(&sources, bound, state).await?;
                engine.start(planned, limit).await
            }
        };
        self.on_pool(limit, job).await
    }

    /// Waits until one more query may run.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|_| QueryError::Busy("the server is shutting down".to_owned()))
    }

    pub(super) fn time_limit(&self, session: &Session) -> Duration {
        session
            .time_limit
            .map_or(self.config.time_limit, |l| l.min(self.config.time_limit))
    }

    /// Runs a job on the query threads. The job ends when its caller stops to wait.
    pub(super) async fn on_pool<T: Send + 'static>(
        &self,
        limit: Duration,
        job: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);
        impl<T> Drop for AbortOnDrop<T> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let Some(pool) = &self.pool else {
            return Err(QueryError::Internal(
                "the query threads are gone".to_owned(),
            ));
        };
        let mut task = AbortOnDrop(pool.spawn(async move {
            match tokio::time::timeout(limit, job).await {
                Ok(result) => result,
                Err(_) => Err(QueryError::TimedOut(limit)),
            }
        }));
        match (&mut task.0).await {
            Ok(result) => result,
            Err(e) if e.is_panic() => {
                Err(QueryError::Internal("a query operator panicked".to_owned()))
            }
            Err(_) => Err(QueryError::Busy("the server is shutting down".to_owned())),
        }
    }

    /// Binds, and gathers notices.
    fn bind_asked(
        &self,
        sources: &EngineSources<'_>,
        sql: &str,
        asked: &Asked,
    ) -> Result<(Bound, Vec<String>), QueryError> {
        let binder = Binder::new(sources, &self.functions, self.now());
        let bound = match asked {
            Asked::Query(query) => binder.history(query),
            Asked::Values {
                values,
                types,
                span,
            } => binder.rows(values, types, *span),
        };
        Ok((bound.map_err(|e| e.locate(sql))?, binder.into_notices()))
    }

    /// Binds and plans.
    pub(super) async fn plan_asked(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        asked: &Asked,
    ) -> Result<Planned, QueryError> {
        let sources = EngineSources::new(self, session);
        let bound = self.bind_asked(&sources, sql, asked)?;
        let state = session::state_for(self.functions.state(), &self.config, session)?;
        self.plan_bound(&sources, bound, state).await
    }

    /// Plans what was bound. A query that waits for a view keeps no other from running: it needs a permit only then.
    async fn plan_bound(
        &self,
        sources: &EngineSources<'_>,
        (Bound { plan, names }, mut notices): (Bound, Vec<String>),
        state: Arc<SessionState>,
    ) -> Result<Planned, QueryError> {
        let optimized = state.optimize(&plan)?;
        let scans = view_scans(&optimized)?;
        let memory = &state.runtime_env().memory_pool;
        let fixed = sources.fix(scans, memory).await?;
        notices.extend(fixed.notices);
        let permit = self.permit().await?;
        let physical = state
            .query_planner()
            .create_physical_plan(&optimized, state.as_ref())
            .await?;
        let schema = shown_schema(&physical.schema(), &names);
        let context = Arc::clone(&sources.context);
        Ok(Planned {
            plan: physical,
            state,
            schema,
            lsn: fixed.lsn,
            lagging: fixed.lagging,
            notices,
            permit,
            context,
            logical: optimized,
        })
    }

    /// Reads a view without a plan, and without a permit: there is next to nothing to compute.
    async fn read_directly(
        &self,
        sources: &EngineSources<'_>,
        (Bound { names, .. }, mut notices): (Bound, Vec<String>),
        read: Direct,
        state: &SessionState,
    ) -> Result<Output, QueryError> {
        let scans = vec![(Arc::clone(&read.slots), read.scan.clone())];
        let memory = &state.runtime_env().memory_pool;
        let fixed = sources.fix(scans, memory).await?;
        notices.extend(fixed.notices);
        let schema = shown_schema(&read.schema, &names);
        let rows = read.rows(Arc::clone(&schema)).ok_or_else(|| {
            QueryError::Internal("a view was read without being asked".to_owned())
        })?;
        Ok(Output::Rows {
            schema,
            rows: RowStream::direct(rows, self.config.max_rows).await?,
            lsn: fixed.lsn,
            lagging: fixed.lagging,
            notices,
        })
    }

    /// Starts a planned query; returns with its first rows, so that early errors are the statement's.
    async fn start(
        self: &Arc<Self>,
        planned: Planned,
        limit: Duration,
    ) -> Result<Output, QueryError> {
        const QUEUED: usize = 4;
        let Planned {
            plan,
            state,
            schema,
            lsn,
            lagging,
            notices,
            permit,
            ..
        } = planned;
        let rows = execute_stream(plan, state.task_ctx())?;
        let (tx, mut rx) = mpsc::channel(QUEUED);
        let max_rows = self.config.max_rows;
        let shown = Arc::clone(&schema);
        tokio::spawn(async move {
            let pump = pump(rows, shown, max_rows, tx.clone());
            let ended = tokio::time::timeout(limit, pump).await;
            // A reader that takes nothing must not keep others from running.
            drop(permit);
            if ended.is_err() {
                // Whoever waited may be gone already.
                let _ = tx.send(Err(QueryError::TimedOut(limit))).await;
            }
        });
        let first = rx.recv().await.transpose()?;
        let rest = first.is_some().then_some(rx);
        Ok(Output::Rows {
            schema,
            rows: RowStream::new(first, rest),
            lsn,
            lagging,
            notices,
        })
    }
}

/// Moves rows from a plan to a reader until either ends.
async fn pump(
    mut rows: SendableRecordBatchStream,
    schema: SchemaRef,
    max_rows: usize,
    tx: mpsc::Sender<Result<RecordBatch, QueryError>>,
) {
    let mut sent = 0;
    loop {
        let next = tokio::select! {
            next = rows.next() => next,
            () = tx.closed() => return,
        };
        let Some(next) = next else { return };
        let batch = next
            .map_err(QueryError::from)
            .and_then(|b| shown_batch(&b, &schema));
        if let Ok(b) = &batch {
            if b.num_rows() == 0 {
                continue;
            }
            sent += b.num_rows();
            if sent > max_rows {
                // Whoever waited may be gone already.
                let _ = tx.send(Err(too_many(max_rows))).await;
                return;
            }
        }
        let failed = batch.is_err();
        if tx.send(batch).await.is_err() || failed {
            return;
        }
    }
}

pub(super) fn too_many(max_rows: usize) -> QueryError {
    QueryError::TooLarge(format!(
        "the answer has more than {max_rows} rows: add a LIMIT"
    ))
}

/// The output columns with their asked-for names, dictionaries undone.
pub(super) fn shown_schema(schema: &SchemaRef, names: &[String]) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, f)| {
            let name = names.get(i).map_or_else(|| f.name().clone(), Clone::clone);
            Field::new(name, plain_type(f.data_type()).clone(), f.is_nullable())
        })
        .collect();
    Arc::new(Schema::new(fields))
}

pub(super) fn shown_batch(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, QueryError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(c, f)| {
            if c.data_type() == f.data_type() {
                Ok(Arc::clone(c))
            } else {
                cast(c, f.data_type())
            }
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| QueryError::Internal(e.to_string()))?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| QueryError::Internal(e.to_string()))
}
