//! A table's rows as of the statement's LSN.

use super::exec::{Emit, Leaf, LeafExec};
use crate::table::{State, Table};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

/// The rows of one table for one statement. Fixed once, at the statement's LSN.
#[derive(Default)]
pub struct TableSlot(OnceLock<State>);

impl TableSlot {
    /// Takes the rows as of now; the first time counts.
    pub fn fix(&self, table: &Table) {
        // A second call would be a second LSN in one query, so it is ignored.
        let _ = self.0.set(table.state());
    }
}

/// A table of one statement, with the columns it had when that was bound.
pub struct KeyedTable {
    name: String,
    arrow: SchemaRef,
    slot: Arc<TableSlot>,
}

impl std::fmt::Debug for KeyedTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedTable")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl KeyedTable {
    /// The rows of `table` that will be in `slot`.
    #[must_use]
    pub fn new(table: &Table, slot: Arc<TableSlot>) -> Self {
        Self {
            name: table.stream.name.clone(),
            arrow: table.state().arrow,
            slot,
        }
    }
}

#[async_trait]
impl TableProvider for KeyedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let state = self.slot.0.get().cloned().ok_or_else(|| {
            DataFusionError::Internal("a table was planned before its rows were fixed".to_owned())
        })?;
        let places: Vec<usize> = match projection {
            Some(places) => places.clone(),
            None => (0..self.arrow.fields().len()).collect(),
        };
        let schema = Arc::new(self.arrow.project(&places)?);
        let leaf = Reader {
            name: self.name.clone(),
            state,
            places,
            limit: limit.unwrap_or(usize::MAX),
        };
        let exec = LeafExec::new("TableRows", Arc::new(leaf), schema, 1, None);
        Ok(Arc::new(exec))
    }
}

struct Reader {
    name: String,
    state: State,
    places: Vec<usize>,
    limit: usize,
}

impl Leaf for Reader {
    fn describe(&self) -> String {
        format!("{}, {} rows", self.name, self.state.len())
    }

    fn run(&self, _: usize, emit: Emit<'_>, gone: &dyn Fn() -> bool) -> Result<()> {
        let mut left = self.limit;
        let mut failed = None;
        let mut hand_out = |batch: RecordBatch| {
            let rows = batch.num_rows().min(left);
            left -= rows;
            match batch.slice(0, rows).project(&self.places) {
                Ok(batch) => {
                    matches!(emit(batch), ControlFlow::Continue(())) && left > 0 && !gone()
                }
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
        };
        self.state
            .batches(&mut hand_out)
            .map_err(|e| DataFusionError::Execution(e.to_string()))?;
        failed.map_or(Ok(()), |e| Err(e.into()))
    }
}
