//! A view's rows as of the statement's LSN.
//!
//! What a plan wants of a view is taken from the optimised logical plan and asked for at the statement's LSN, before the
//! physical plan is made: then each scan finds its rows, which are on their way, in a slot.

use crate::bind::windowed::ContinuousQuery;
use crate::engine::{ViewRead, ViewSlice};
use crate::stream::narrows;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{
    Expr, LogicalPlan, TableProviderFilterPushDown, TableScan, TableType,
};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// What one scan of a plan wants.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewScan {
    /// Places of columns; all when absent.
    pub projection: Option<Vec<usize>>,
    /// Conditions over the view's columns, all of which are to hold.
    pub filters: Vec<Expr>,
    /// As many rows are enough.
    pub limit: Option<usize>,
}

impl ViewScan {
    /// The same as a view is asked for it.
    #[must_use]
    pub fn to_read(&self, memory: &Arc<dyn MemoryPool>) -> ViewRead {
        ViewRead {
            projection: self.projection.clone(),
            filters: self.filters.clone(),
            limit: self.limit,
            memory: Arc::clone(memory),
        }
    }
}

/// Rows on their way, by what was asked for.
#[derive(Debug, Default)]
pub struct ViewSlots(Mutex<Vec<(ViewScan, UnboundedReceiver<ViewSlice>)>>);

impl ViewSlots {
    /// Puts rows where the scan that asked for them will find them.
    pub fn fill(&self, scan: ViewScan, rows: UnboundedReceiver<ViewSlice>) {
        self.0.lock().push((scan, rows));
    }

    /// The rows for a scan, once.
    #[must_use]
    pub fn take(&self, scan: &ViewScan) -> Option<UnboundedReceiver<ViewSlice>> {
        let mut slots = self.0.lock();
        let at = slots.iter().position(|(s, _)| s == scan)?;
        Some(slots.swap_remove(at).1)
    }
}

/// Where the rows for a scan will be, if it is one of a view.
#[must_use]
pub fn scan_of(scan: &TableScan) -> Option<Arc<ViewSlots>> {
    let provider = source_as_provider(&scan.source).ok()?;
    let view = (provider.as_ref() as &dyn Any).downcast_ref::<ViewTable>()?;
    Some(Arc::clone(&view.slots))
}

/// Every scan of a view in an optimised plan.
///
/// # Errors
/// When the plan can't be walked.
pub fn view_scans(plan: &LogicalPlan) -> Result<Vec<(Arc<ViewSlots>, ViewScan)>> {
    let mut scans = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(slots) = scan_of(scan)
        {
            let wanted = ViewScan {
                projection: scan.projection.clone(),
                // As the physical planner hands them on.
                filters: unnormalize_cols(scan.filters.iter().cloned()),
                limit: scan.fetch,
            };
            scans.push((slots, wanted));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(scans)
}

/// A view as a table.
#[derive(Debug)]
pub struct ViewTable {
    name: String,
    query: Arc<ContinuousQuery>,
    slots: Arc<ViewSlots>,
}

impl ViewTable {
    /// The view of that name and query, whose rows will be in `slots`.
    #[must_use]
    pub fn new(name: String, query: Arc<ContinuousQuery>, slots: Arc<ViewSlots>) -> Self {
        Self { name, query, slots }
    }
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.query.output())
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |f: &&Expr| match self.query.as_ref() {
            ContinuousQuery::Aggregate(q) if narrows(q, f) => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = ViewScan {
            projection: projection.cloned(),
            filters: filters.to_vec(),
            limit,
        };
        let rows = self.slots.take(&scan).ok_or_else(|| {
            DataFusionError::Internal("a view was planned before it was read".to_owned())
        })?;
        let schema = match projection {
            Some(places) => Arc::new(self.query.output().project(places)?),
            None => self.schema(),
        };
        Ok(Arc::new(ViewExec::new(
            self.name.clone(),
            scan,
            schema,
            rows,
        )))
    }
}

/// Hands on a view's rows as they come, once.
struct ViewExec {
    name: String,
    scan: ViewScan,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    rows: Mutex<Option<UnboundedReceiver<ViewSlice>>>,
}

impl ViewExec {
    fn new(
        name: String,
        scan: ViewScan,
        schema: SchemaRef,
        rows: UnboundedReceiver<ViewSlice>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            name,
            scan,
            schema,
            properties: Arc::new(properties),
            rows: Mutex::new(Some(rows)),
        }
    }
}

impl fmt::Debug for ViewExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewRows: {}", self.name)?;
        if !self.scan.filters.is_empty() {
            let filters: Vec<String> = self.scan.filters.iter().map(Expr::to_string).collect();
            write!(f, ", where {}", filters.join(" AND "))?;
        }
        if let Some(limit) = self.scan.limit {
            write!(f, ", limit {limit}")?;
        }
        Ok(())
    }
}

impl DisplayAs for ViewExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl ExecutionPlan for ViewExec {
    fn name(&self) -> &'static str {
        "ViewRows"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => Err(DataFusionError::Internal("a view is a leaf".to_owned())),
        }
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows =
            self.rows.lock().take().ok_or_else(|| {
                DataFusionError::Internal("a view's rows are read twice".to_owned())
            })?;
        let stream = futures::stream::unfold(rows, |mut rows| async {
            let slice = rows.recv().await?;
            // From here on the rows are their reader's to account for.
            let batch = slice.map(|(batch, _)| batch);
            Some((
                batch.map_err(|e| DataFusionError::External(Box::new(e))),
                rows,
            ))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream,
        )))
    }
}
