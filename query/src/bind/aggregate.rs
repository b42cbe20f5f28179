//! What an aggregate call of a plan computes, in the words of [`AggFunc`].

use super::windowed::AggFunc;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// What an aggregate computes and of what; `None` when only the general plan can.
pub(super) fn agg_func(f: &AggregateFunction) -> Option<(AggFunc, Option<&Expr>)> {
    let p = &f.params;
    let arg = p.args.first()?;
    if !p.order_by.is_empty() {
        return None;
    }
    let skips_nulls = p.null_treatment == Some(NullTreatment::IgnoreNulls);
    let null_tested = || p.filter.as_deref().is_some_and(|f| tests_null(f, arg));
    let share = || match p.args.get(1) {
        Some(Expr::Literal(ScalarValue::Float64(Some(share)), _)) => Some(*share),
        _ => None,
    };
    let func = match (f.func.name(), p.distinct) {
        ("count", false) => match arg {
            Expr::Literal(v, _) if !v.is_null() => return Some((AggFunc::CountRows, None)),
            _ => AggFunc::Count,
        },
        ("count", true) if p.args.len() == 1 => AggFunc::CountDistinct,
        ("sum", false) => AggFunc::Sum,
        ("avg", false) => AggFunc::Avg,
        ("min", _) => AggFunc::Min,
        ("max", _) => AggFunc::Max,
        ("array_agg", false) if null_tested() => AggFunc::CollectList,
        ("first_value", false) if skips_nulls => AggFunc::First,
        ("last_value", false) if skips_nulls => AggFunc::Last,
        ("var", false) => AggFunc::VarSample,
        ("var_pop", false) => AggFunc::VarPopulation,
        ("stddev", false) => AggFunc::StddevSample,
        ("stddev_pop", false) => AggFunc::StddevPopulation,
        ("percentile_cont", false) => AggFunc::Percentile(share()?),
        ("approx_percentile_cont", false) if p.args.len() == 2 => {
            AggFunc::ApproxPercentile(share()?)
        }
        _ => return None,
    };
    Some((func, Some(arg)))
}

fn tests_null(filter: &Expr, arg: &Expr) -> bool {
    match filter {
        Expr::IsNotNull(e) => **e == *arg,
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::And,
            right,
            ..
        }) => tests_null(right, arg),
        _ => false,
    }
}

/// The filter without the test for nulls that the binder put behind it.
pub(super) fn without_null_test(filter: Expr, arg: &Expr) -> Option<Expr> {
    match filter {
        Expr::IsNotNull(e) if *e == *arg => None,
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::And,
            left,
            right,
        }) if tests_null(&right, arg) => Some(*left),
        other => Some(other),
    }
}
