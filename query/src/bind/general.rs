//! Aggregates for the general plan, made to say what Tidemill's own operators say.

use super::aggregate::agg_func;
use super::select::{Analysed, shown};
use super::windowed::AggFunc;
use super::{Binder, df};
use crate::error::{BindError, BindResult};
use crate::types::TIMESTAMP;
use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, WindowFunctionDefinition};
use query_lang::ast::Span;

/// Wide enough for any integer; sums of it are ten digits wider.
const WIDE: DataType = DataType::Decimal128(28, 0);

/// An aggregate as the general plan computes it.
pub(super) struct General {
    /// What is computed.
    pub expr: Expr,
    /// What that is to become, when it is not yet what was asked for.
    pub becomes: Option<DataType>,
}

impl General {
    /// The result, once it is a column.
    pub fn result(&self, column: Expr) -> Expr {
        match &self.becomes {
            Some(t) => Expr::Cast(Cast::new(Box::new(column), t.clone())),
            None => column,
        }
    }
}

impl Binder<'_> {
    /// The aggregates of `a` for the general plan. `why` is what kept them from the operator.
    pub(super) fn general(&self, a: &Analysed, why: Option<BindError>) -> BindResult<Vec<General>> {
        let schema = a.from.plan.schema();
        let mut all = Vec::with_capacity(a.aggregates.len());
        for e in &a.aggregates {
            let Expr::AggregateFunction(f) = e else {
                all.push(plain(e.clone()));
                continue;
            };
            let ordered = match agg_func(f) {
                Some((AggFunc::First, _)) => Some("FIRST"),
                Some((AggFunc::Last, _)) => Some("LAST"),
                Some((AggFunc::CollectList, _)) => Some("COLLECT_LIST"),
                _ => None,
            };
            all.push(match ordered {
                Some(name) => {
                    // Over a stream the order goes on behind the event time, which only the operator knows.
                    if let (Some(why), true) = (&why, a.from.stream.is_some()) {
                        return Err(why.clone());
                    }
                    let span = self.place_of(e).unwrap_or(a.span);
                    plain(in_order(f, only_time(&a.from.plan, name, span)?))
                }
                None => exact_sum(e, schema, a.span)?,
            });
        }
        Ok(all)
    }

    /// A window function for the general plan.
    pub(super) fn general_window(&self, e: &Expr, schema: &DFSchema) -> BindResult<General> {
        exact_sum(e, schema, self.place_of(e).unwrap_or_default())
    }
}

fn plain(expr: Expr) -> General {
    General {
        expr,
        becomes: None,
    }
}

/// A sum of integers over decimals: one that does not fit its type is an error, where the sum of integers would wrap.
fn exact_sum(e: &Expr, schema: &DFSchema, span: Span) -> BindResult<General> {
    let args = match e {
        Expr::AggregateFunction(f) if f.func.name() == "sum" => &f.params.args,
        Expr::WindowFunction(w) if is_sum(&w.fun) => &w.params.args,
        _ => return Ok(plain(e.clone())),
    };
    let sum = df(span, e.get_type(schema))?;
    let ([arg], DataType::Int64 | DataType::UInt64) = (args.as_slice(), &sum) else {
        return Ok(plain(e.clone()));
    };
    let wide = vec![Expr::Cast(Cast::new(Box::new(arg.clone()), WIDE))];
    let mut expr = e.clone();
    match &mut expr {
        Expr::AggregateFunction(f) => f.params.args = wide,
        Expr::WindowFunction(w) => w.params.args = wide,
        _ => {}
    }
    Ok(General {
        expr,
        becomes: Some(sum),
    })
}

fn is_sum(f: &WindowFunctionDefinition) -> bool {
    matches!(f, WindowFunctionDefinition::AggregateUDF(f) if f.name() == "sum")
}

fn in_order(f: &AggregateFunction, time: Expr) -> Expr {
    let mut f = f.clone();
    f.params.order_by = vec![time.sort(true, false)];
    Expr::AggregateFunction(f)
}

/// The only time among the columns, which is what an ordered aggregate goes by.
fn only_time(plan: &LogicalPlan, name: &str, span: Span) -> BindResult<Expr> {
    let mut times = plan
        .schema()
        .iter()
        .filter(|(_, f)| *f.data_type() == TIMESTAMP);
    match (times.next(), times.next()) {
        (Some((q, f)), None) => Ok(Expr::Column(Column::new(q.cloned(), f.name()))),
        _ => Err(BindError::new(
            span,
            format!("{name} goes by event time, and there is not one TIMESTAMP column here"),
        )
        .hint(Some(format!("write {name}(x ORDER BY ts)")))),
    }
}

/// Why an aggregate is none that the operator computes.
pub(super) fn unknown(e: &Expr, span: Span) -> BindError {
    BindError::not_yet(
        span,
        format!(
            "{} in a window or view, or beside FIRST, LAST or COLLECT_LIST",
            shown(e)
        ),
    )
}
