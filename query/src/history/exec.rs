//! A leaf of a physical plan whose partitions are computed by blocking code on the query pool.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Where a partition's rows go. It breaks when nobody wants more.
pub(super) type Emit<'a> = &'a mut dyn FnMut(RecordBatch) -> ControlFlow<()>;

/// Computes partitions.
pub(super) trait Leaf: Send + Sync + 'static {
    /// What `EXPLAIN` shows behind the name.
    fn describe(&self) -> String;

    /// Hands the rows of one partition to `emit`. `gone` tells whether whoever asked has left.
    fn run(&self, partition: usize, emit: Emit<'_>, gone: &dyn Fn() -> bool) -> Result<()>;
}

/// The plan node.
pub(super) struct LeafExec {
    name: &'static str,
    leaf: Arc<dyn Leaf>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    statistics: Arc<Statistics>,
}

impl LeafExec {
    pub fn new(
        name: &'static str,
        leaf: Arc<dyn Leaf>,
        schema: SchemaRef,
        partitions: usize,
        statistics: Option<Statistics>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let statistics = Arc::new(statistics.unwrap_or_else(|| Statistics::new_unknown(&schema)));
        Self {
            name,
            leaf,
            schema,
            properties: Arc::new(properties),
            statistics,
        }
    }
}

impl fmt::Debug for LeafExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.leaf.describe())
    }
}

impl DisplayAs for LeafExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.leaf.describe())
    }
}

impl ExecutionPlan for LeafExec {
    fn name(&self) -> &str {
        self.name
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
            false => Err(DataFusionError::Internal(format!(
                "{} is a leaf",
                self.name
            ))),
        }
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        const QUEUED: usize = 4;
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), QUEUED);
        let (tx, leaf) = (builder.tx(), Arc::clone(&self.leaf));
        builder.spawn_blocking(move || {
            let mut emit = |batch: RecordBatch| match tx.blocking_send(Ok(batch)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            leaf.run(partition, &mut emit, &|| tx.is_closed())
        });
        Ok(builder.build())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(match partition {
            None => Arc::clone(&self.statistics),
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema)),
        })
    }
}
