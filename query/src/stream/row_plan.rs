//! Queries without grouping: each row by itself, no state.

use super::StreamError;
use super::block::{RowBlock, Tags};
use super::evaluate::read_columns;
use super::expression::{holds, is_volatile, physical, project};
use crate::bind::windowed::RowQuery;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use std::collections::BTreeSet;
use std::sync::Arc;
use tsdb::types::{ColumnId, Role};

/// A [`RowQuery`] ready to run.
#[derive(Debug)]
pub struct RowPlan {
    query: RowQuery,
    /// Places in the stream's schema of the columns that are read.
    reads: Vec<usize>,
    read_schema: SchemaRef,
    columns: Vec<ColumnId>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    projection: Vec<Arc<dyn PhysicalExpr>>,
}

impl RowPlan {
    /// Plans a query.
    ///
    /// # Errors
    /// When an expression can't be planned, or depends on the time or on chance.
    pub fn new(query: RowQuery) -> Result<RowPlan, StreamError> {
        let mut reads = BTreeSet::new();
        for e in query.projection.iter().map(|p| &p.0).chain(&query.filter) {
            if is_volatile(e)? {
                return Err(StreamError::Unsupported(format!(
                    "'{e}' changes with the time or by chance, which a view can't follow"
                )));
            }
            for c in e.column_refs() {
                reads.extend(query.source.arrow.index_of(&c.name).ok());
            }
        }
        let reads: Vec<usize> = reads.into_iter().collect();
        let read_schema = Arc::new(query.source.arrow.project(&reads)?);
        let columns = reads
            .iter()
            .map(|i| &query.source.schema.columns[*i])
            .filter(|c| c.role == Role::Field)
            .map(|c| c.id)
            .collect();
        let filter = query
            .filter
            .as_ref()
            .map(|e| physical(e, &read_schema))
            .transpose()?;
        let projection = query
            .projection
            .iter()
            .map(|(e, _)| physical(e, &read_schema))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(RowPlan {
            query,
            reads,
            read_schema,
            columns,
            filter,
            projection,
        })
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> &RowQuery {
        &self.query
    }

    /// The field columns that rows must come with.
    #[must_use]
    pub fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    /// The output of a block.
    ///
    /// # Errors
    /// When an expression fails on a row.
    pub fn apply(&self, block: &RowBlock<'_>, tags: &dyn Tags) -> Result<RecordBatch, StreamError> {
        let schema = &self.query.source.schema;
        let mut rows = read_columns(schema, &self.reads, &self.read_schema, block, tags)?;
        if let Some(filter) = &self.filter {
            let keep = holds(filter.as_ref(), &rows)?;
            rows = arrow::compute::filter_record_batch(&rows, &keep)?;
        }
        project(&self.projection, &rows, &self.query.output)
    }
}
