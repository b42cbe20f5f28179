//! A view's rows as of the statement's LSN.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::{Arc, OnceLock};

/// Where a view's rows are put once they were read at the statement's LSN.
#[derive(Debug, Default)]
pub struct ViewRows(OnceLock<Vec<RecordBatch>>);

impl ViewRows {
    /// Puts the rows there; the first ones stay.
    pub fn fill(&self, rows: Vec<RecordBatch>) {
        // A second fill would be a second LSN in one query, so it is ignored.
        let _ = self.0.set(rows);
    }
}

/// A view as a table.
#[derive(Debug)]
pub struct ViewTable {
    schema: SchemaRef,
    rows: Arc<ViewRows>,
}

impl ViewTable {
    /// A view of these columns.
    #[must_use]
    pub fn new(schema: SchemaRef, rows: Arc<ViewRows>) -> Self {
        Self { schema, rows }
    }
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows.0.get().ok_or_else(|| {
            DataFusionError::Internal("a view was planned before it was read".to_owned())
        })?;
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![rows.clone()])?;
        table.scan(state, projection, filters, limit).await
    }
}
