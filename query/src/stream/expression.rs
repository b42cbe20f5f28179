//! Expressions: planned, looked into, run over a batch.

use super::StreamError;
use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use std::sync::{Arc, LazyLock};

/// Plans expressions. Functions are part of the expressions, so that one state does for all.
static PLANNER: LazyLock<SessionState> =
    LazyLock::new(|| SessionStateBuilder::new_with_default_features().build());

/// Plans an expression over a schema, types coerced.
pub(crate) fn physical(expr: &Expr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>, StreamError> {
    let schema = DFSchema::try_from(schema.clone())?;
    Ok(PLANNER.create_physical_expr(expr.clone(), &schema)?)
}

/// Whether the value of an expression depends on more than its row: on the time, on chance.
pub(crate) fn is_volatile(expr: &Expr) -> Result<bool, StreamError> {
    let mut volatile = false;
    expr.apply(|e| {
        if let Expr::ScalarFunction(call) = e {
            volatile |= call.func.signature().volatility != Volatility::Immutable;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(volatile)
}

/// A boolean array that is true where the condition holds.
pub(crate) fn holds(
    condition: &dyn PhysicalExpr,
    batch: &RecordBatch,
) -> Result<arrow::array::BooleanArray, StreamError> {
    let array = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    let array = array
        .as_boolean_opt()
        .ok_or_else(|| StreamError::Expression("a condition is not boolean".to_string()))?;
    Ok(match array.nulls() {
        None => array.clone(),
        Some(_) => arrow::compute::prep_null_mask_filter(array),
    })
}

/// The columns of `projection` over `batch`, typed and named as in `output`.
pub(crate) fn project(
    projection: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
    output: &SchemaRef,
) -> Result<RecordBatch, StreamError> {
    // On no rows nothing can fail, not even an expression without columns.
    if batch.num_rows() == 0 {
        return Ok(RecordBatch::new_empty(output.clone()));
    }
    let columns = projection
        .iter()
        .zip(output.fields())
        .map(|(e, field)| {
            let array = e.evaluate(batch)?.into_array(batch.num_rows())?;
            if array.data_type() == field.data_type() {
                return Ok(array);
            }
            Ok(arrow::compute::cast(&array, field.data_type())?)
        })
        .collect::<Result<Vec<_>, StreamError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        output.clone(),
        columns,
        &options,
    )?)
}
