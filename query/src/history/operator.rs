//! Group rows of a snapshot by the operator that also keeps views, so that the two cannot disagree.

use super::context::{QueryContext, storage};
use super::exec::{Emit, Leaf, LeafExec};
use super::pushdown::push;
use crate::bind::windowed::WindowedAggregate;
use crate::stream::{Operator, Plan, Read, RowBlock, StreamError};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::ops::ControlFlow;
use std::sync::Arc;
use tsdb::{Scan, ScanSpec, Stream};

/// The group rows of a query.
pub struct OperatorTable {
    context: Arc<QueryContext>,
    stream: Arc<Stream>,
    query: Arc<WindowedAggregate>,
}

impl std::fmt::Debug for OperatorTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorTable")
            .field("source", &self.query.source.name)
            .finish()
    }
}

impl OperatorTable {
    /// The group rows of `query`, whose source is `stream`.
    #[must_use]
    pub fn new(
        context: Arc<QueryContext>,
        stream: Arc<Stream>,
        query: Arc<WindowedAggregate>,
    ) -> Self {
        Self {
            context,
            stream,
            query,
        }
    }
}

#[async_trait]
impl TableProvider for OperatorTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.query.output)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let pushed = push(self.query.filter.as_ref(), &self.query.source, &self.stream)?;
        let plan = Plan::new(self.query.as_ref().clone())
            .map_err(|e| DataFusionError::Execution(e.to_string()))?;
        let spec = ScanSpec {
            time: pushed.time,
            series: pushed.series,
            columns: plan.columns().to_vec(),
            prune: pushed.zones,
        };
        let scan = self
            .context
            .snapshot()?
            .scan(&self.stream, spec)
            .map_err(storage)?;
        self.context.watch(&self.query.source.name, scan.stats());
        let schema = match projection {
            Some(p) => Arc::new(self.query.output.project(p)?),
            None => Arc::clone(&self.query.output),
        };
        let leaf = OperatorLeaf {
            scan,
            stream: Arc::clone(&self.stream),
            plan: Arc::new(plan),
            projection: projection.cloned(),
        };
        Ok(Arc::new(LeafExec::new(
            "WindowedGroups",
            Arc::new(leaf),
            schema,
            1,
            None,
        )))
    }
}

struct OperatorLeaf {
    scan: Scan,
    stream: Arc<Stream>,
    plan: Arc<Plan>,
    projection: Option<Vec<usize>>,
}

impl Leaf for OperatorLeaf {
    fn describe(&self) -> String {
        let query = self.plan.query();
        format!(
            "{} by {:?}, {} keys, {} aggregates",
            query.source.name,
            query.window,
            query.keys.len(),
            query.aggregates.len()
        )
    }

    fn run(&self, _: usize, emit: Emit<'_>, gone: &dyn Fn() -> bool) -> Result<()> {
        let mut operator = Operator::new(Arc::clone(&self.plan));
        let mut failed = None;
        let read = self.scan.read_all(&mut |mut batch| {
            let block = RowBlock::from_scan(&mut batch, self.plan.columns());
            if let Err(e) = operator.apply(&block, self.stream.as_ref()) {
                failed = Some(e);
                return ControlFlow::Break(());
            }
            if gone() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if let Some(e) = failed {
            return Err(DataFusionError::Execution(e.to_string()));
        }
        read.map_err(storage)?;
        if gone() {
            return Ok(());
        }
        let failed = |e: StreamError| DataFusionError::Execution(e.to_string());
        let read = Read::new(&self.plan, self.projection.as_deref(), &[], None).map_err(failed)?;
        operator.read(&read, emit).map_err(failed)?;
        Ok(())
    }
}
