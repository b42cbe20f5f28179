//! Reads of one view by plain conditions, past the general planner: what dashboards ask again and again.
//!
//! `SELECT columns FROM view [WHERE condition] [LIMIT n]` needs no optimizer and no operators: the view is asked for the
//! columns that the statement and its condition name, and of what it answers the condition keeps some.

use super::run::shown_batch;
use super::views::ViewSlice;
use crate::error::QueryError;
use crate::history::{ViewScan, ViewSlots, scan_of};
use arrow::array::{Array, AsArray};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan, SkipType};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// A read that goes straight to a view.
pub(super) struct Direct {
    pub slots: Arc<ViewSlots>,
    pub scan: ViewScan,
    condition: Option<Arc<dyn PhysicalExpr>>,
    /// Places in what the view answers of the columns that are shown.
    shown: Vec<usize>,
    limit: usize,
    /// The columns that are shown, as the view has them.
    pub schema: SchemaRef,
}

/// The read that a bound plan is, if it is one of this kind.
pub(super) fn direct(plan: &LogicalPlan, state: &SessionState) -> Result<Option<Direct>> {
    let Some((plan, limit)) = limited(plan)? else {
        return Ok(None);
    };
    let LogicalPlan::Projection(projection) = plan else {
        return Ok(None);
    };
    let (input, predicate) = match projection.input.as_ref() {
        LogicalPlan::Filter(f) => (f.input.as_ref(), Some(&f.predicate)),
        other => (other, None),
    };
    let LogicalPlan::TableScan(scan) = input else {
        return Ok(None);
    };
    let bare = scan.projection.is_none() && scan.filters.is_empty() && scan.fetch.is_none();
    let (Some(slots), true) = (scan_of(scan), bare) else {
        return Ok(None);
    };
    let all = &scan.projected_schema;
    let Some(shown) = columns(&projection.expr, all) else {
        return Ok(None);
    };
    let Some(predicate) = predicate.map_or(Ok(Some(None)), |p| {
        Ok::<_, datafusion::error::DataFusionError>(simplified(p, all, state)?.map(Some))
    })?
    else {
        return Ok(None);
    };
    let mut places: BTreeSet<usize> = shown.iter().copied().collect();
    for column in predicate.iter().flat_map(Expr::column_refs) {
        places.insert(all.index_of_column(column)?);
    }
    let places: Vec<usize> = places.into_iter().collect();
    let fields = places.iter().map(|i| {
        let (qualifier, field) = all.qualified_field(*i);
        (qualifier.cloned(), Arc::clone(field))
    });
    let read = DFSchema::new_with_metadata(fields.collect(), all.metadata().clone())?;
    let condition = predicate.as_ref().map(|p| {
        // Simplified already, so that nothing is left to be coerced.
        state.create_physical_expr(p.clone(), &read)
    });
    let condition = condition.transpose()?;
    let fields: Vec<Arc<Field>> = shown.iter().map(|i| Arc::clone(all.field(*i))).collect();
    Ok(Some(Direct {
        slots,
        scan: ViewScan {
            filters: predicate.map_or_else(Vec::new, split_conjunction_owned),
            limit: (condition.is_none() && limit < usize::MAX).then_some(limit),
            projection: Some(places.clone()),
        },
        condition,
        // Invariant: every shown column is among the places.
        shown: shown
            .iter()
            .filter_map(|i| places.binary_search(i).ok())
            .collect(),
        limit,
        schema: Arc::new(Schema::new(fields)),
    }))
}

/// A plan without the limit on top of it; `None` when the limit is of another kind.
fn limited(plan: &LogicalPlan) -> Result<Option<(&LogicalPlan, usize)>> {
    let LogicalPlan::Limit(limit) = plan else {
        return Ok(Some((plan, usize::MAX)));
    };
    Ok(match (limit.get_skip_type()?, limit.get_fetch_type()?) {
        (SkipType::Literal(0), FetchType::Literal(fetch)) => {
            Some((limit.input.as_ref(), fetch.unwrap_or(usize::MAX)))
        }
        _ => None,
    })
}

/// The places of plain columns; `None` when there is anything else.
fn columns(exprs: &[Expr], schema: &DFSchema) -> Option<Vec<usize>> {
    exprs
        .iter()
        .map(|mut e| {
            while let Expr::Alias(alias) = e {
                e = &alias.expr;
            }
            match e {
                Expr::Column(c) => schema.index_of_column(c).ok(),
                _ => None,
            }
        })
        .collect()
}

/// A condition with its types made to fit and its constants folded; `None` when there is a query in it.
fn simplified(e: &Expr, schema: &DFSchemaRef, state: &SessionState) -> Result<Option<Expr>> {
    let query = |e: &Expr| {
        Ok(matches!(
            e,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::OuterReferenceColumn(..)
        ))
    };
    if e.exists(query)? {
        return Ok(None);
    }
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let simplifier = ExprSimplifier::new(context);
    let coerced = simplifier.coerce(e.clone(), schema)?;
    Ok(Some(simplifier.simplify(coerced)?))
}

/// Rows of such a read, as they come.
#[derive(Debug)]
pub(super) struct DirectRows {
    rows: UnboundedReceiver<ViewSlice>,
    condition: Option<Arc<dyn PhysicalExpr>>,
    shown: Vec<usize>,
    schema: SchemaRef,
    /// Rows that may still come.
    left: usize,
}

impl Direct {
    /// What a view sends for it, with the columns named and typed as in `schema`; `None` unless it was asked.
    pub fn rows(self, schema: SchemaRef) -> Option<DirectRows> {
        Some(DirectRows {
            rows: self.slots.take(&self.scan)?,
            condition: self.condition,
            shown: self.shown,
            schema,
            left: self.limit,
        })
    }
}

impl DirectRows {
    /// The next rows; `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        while self.left > 0 {
            let slice = match self.rows.recv().await? {
                // From here on the rows are their reader's to account for.
                Ok((slice, _held)) => slice,
                Err(e) => return Some(Err(e)),
            };
            match self.shown(&slice) {
                Ok(batch) if batch.num_rows() == 0 => {}
                Ok(batch) => {
                    let n = batch.num_rows().min(self.left);
                    self.left -= n;
                    return Some(Ok(batch.slice(0, n)));
                }
                Err(e) => return Some(Err(e)),
            }
        }
        None
    }

    fn shown(&self, slice: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let failed = |e: arrow::error::ArrowError| QueryError::Internal(e.to_string());
        let mut kept = slice.project(&self.shown).map_err(failed)?;
        if let Some(condition) = &self.condition {
            let truth = condition.evaluate(slice)?.into_array(slice.num_rows())?;
            let truth = truth
                .as_boolean_opt()
                .ok_or_else(|| QueryError::Internal("a condition is not boolean".to_owned()))?;
            let truth = match truth.null_count() {
                0 => truth.clone(),
                _ => prep_null_mask_filter(truth),
            };
            kept = filter_record_batch(&kept, &truth).map_err(failed)?;
        }
        shown_batch(&kept, &self.schema)
    }
}
