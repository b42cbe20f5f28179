//! From the bound clauses of a `SELECT` to a plan.

use super::grouped::Canonical;
use super::query::{Limit, sorted};
use super::rebase::{Replacements, rebase, substitute};
use super::scope::Env;
use super::select::{Analysed, Item, SortKey, bound_column, filtered, shown};
use super::window::Windowing;
use super::windowed::{WINDOW_END, WINDOW_START, WindowSpec};
use super::{Binder, Bound, df};
use crate::error::{BindError, BindResult};
use crate::types::TIMESTAMP;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::{find_window_exprs, grouping_set_to_exprlist};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use query_lang::ast::{Interval, ObjectName, OrderItem, Span};
use std::collections::HashSet;
use std::sync::Arc;

impl Binder<'_> {
    /// The plan of a bound `SELECT`.
    pub(super) fn plan(&self, mut a: Analysed, limit: Limit, env: &Env<'_>) -> BindResult<Bound> {
        if a.window.is_some() && env.outer.is_none() {
            append_window_columns(&mut a);
        }
        let span = a.span;
        let plan = if a.grouped() {
            let (plan, replacements) = self.group(&mut a)?;
            rebase(&mut a, &replacements, plan.schema())?;
            plan
        } else {
            if let Some(window) = a.window.take() {
                if !window.of_rows {
                    return Err(BindError::new(
                        window.span,
                        "a window needs an aggregate or GROUP BY",
                    ));
                }
                let (start, end) = self.tumbling_bounds(&a, &window)?;
                substitute(
                    &mut a,
                    &[
                        (bound_column(WINDOW_START), start),
                        (bound_column(WINDOW_END), end),
                    ],
                )?;
            }
            if self.last_row_each(&mut a)? {
                a.distinct_on.clear();
                a.from.plan.clone()
            } else {
                df(span, filtered(a.from.plan.clone(), a.filter.take()))?
            }
        };
        let plan = match a.having.take() {
            Some(having) => df(
                span,
                LogicalPlanBuilder::from(plan)
                    .having(having)
                    .and_then(LogicalPlanBuilder::build),
            )?,
            None => plan,
        };
        let plan = self.window_functions(&mut a, plan)?;
        let plan = df(span, filtered(plan, a.qualify.take()))?;
        output(a, plan, limit)
    }

    /// Groups rows: the plan, and what stands in it for keys, aggregates and window bounds.
    fn group(&self, a: &mut Analysed) -> BindResult<(LogicalPlan, Replacements)> {
        let span = a.span;
        let why = match self.canonical(a) {
            Ok(Canonical {
                query,
                replacements,
                ordered,
            }) => {
                let windowed = query.window.is_windowed();
                let query = Arc::new(query);
                if let Some(rows) = self.sources.grouped(&query, windowed || ordered) {
                    let scan = LogicalPlanBuilder::scan("#group", rows, None)
                        .and_then(LogicalPlanBuilder::build);
                    let plan = df(span, scan)?;
                    let qualified = replacements
                        .into_iter()
                        .map(|(from, to)| match to {
                            Expr::Column(c) => {
                                (from, Expr::Column(Column::new(Some("#group"), c.name)))
                            }
                            other => (from, other),
                        })
                        .collect();
                    return Ok((plan, qualified));
                }
                None
            }
            Err(why) => {
                if let Some(window) = &a.window {
                    if !matches!(window.spec, WindowSpec::Tumbling { .. }) {
                        return Err(why);
                    }
                    let (start, end) = self.tumbling_bounds(a, window)?;
                    substitute(
                        a,
                        &[
                            (bound_column(WINDOW_START), start.clone()),
                            (bound_column(WINDOW_END), end),
                        ],
                    )?;
                    a.group.push(start);
                }
                Some(why)
            }
        };
        let general = self.general(a, why)?;
        let mut computed: Vec<Expr> = Vec::with_capacity(general.len());
        for g in &general {
            if !computed.contains(&g.expr) {
                computed.push(g.expr.clone());
            }
        }
        let plan = df(span, filtered(a.from.plan.clone(), a.filter.take()))?;
        let built = LogicalPlanBuilder::from(plan).aggregate(a.group.clone(), computed.clone());
        let plan = df(span, built.and_then(LogicalPlanBuilder::build))?;
        let schema = plan.schema();
        let column = |i: usize| Expr::Column(Column::from(schema.qualified_field(i)));
        let keys = df(span, grouping_set_to_exprlist(&a.group))?;
        let first_aggregate = schema.fields().len() - computed.len();
        let mut replacements: Replacements = keys
            .iter()
            .enumerate()
            .map(|(i, k)| ((*k).clone(), column(i)))
            .collect();
        for (e, g) in a.aggregates.iter().zip(&general) {
            // Invariant: each was put there above.
            let i = computed.iter().position(|c| *c == g.expr).unwrap_or(0);
            replacements.push((e.clone(), g.result(column(first_aggregate + i))));
        }
        Ok((plan, replacements))
    }

    /// Start and end of a tumbling window as expressions of a row.
    fn tumbling_bounds(&self, a: &Analysed, window: &Windowing) -> BindResult<(Expr, Expr)> {
        let WindowSpec::Tumbling { size, offset } = window.spec else {
            return Err(BindError::not_yet(
                window.span,
                "this kind of window over anything but the grouped rows of one stream",
            ));
        };
        let time = self.time_column(a, window)?;
        let width = |n: i64| lit(super::literal::interval(Interval::from_nanos(n)));
        let origin = lit(ScalarValue::TimestampNanosecond(Some(offset), None));
        let start = self.scalar("date_bin", vec![width(size), time, origin], window.span)?;
        Ok((start.clone(), start + width(size)))
    }

    /// The column that a window is over: the one named, else the only time among the columns.
    pub(super) fn time_column(&self, a: &Analysed, window: &Windowing) -> BindResult<Expr> {
        let scope = super::scope::Scope {
            hidden: &a.from.hidden,
            ..super::scope::Scope::of(a.from.plan.schema(), None)
        };
        if let Some(name) = &window.time {
            return named_time(&scope, name);
        }
        if let Some(stream) = &a.from.stream {
            let name = ObjectName::single(query_lang::ast::Ident::quoted(
                stream.schema.time().name.as_str(),
            ));
            return named_time(&scope, &name);
        }
        let mut times = a
            .from
            .plan
            .schema()
            .iter()
            .filter(|(_, f)| *f.data_type() == TIMESTAMP);
        match (times.next(), times.next()) {
            (Some((q, f)), None) => Ok(Expr::Column(Column::new(q.cloned(), f.name()))),
            (None, _) => Err(BindError::new(
                window.span,
                "a window needs a TIMESTAMP column",
            )),
            _ => Err(BindError::new(
                window.span,
                "several TIMESTAMP columns could be meant: write GROUP BY TUMBLE(ts, ..)",
            )),
        }
    }

    /// Computes window functions, and lets their columns stand for them.
    fn window_functions(&self, a: &mut Analysed, plan: LogicalPlan) -> BindResult<LogicalPlan> {
        let in_sorts = a.sorts.iter().filter_map(|(k, _)| match k {
            SortKey::Expr(e) => Some(e),
            SortKey::Output(_) => None,
        });
        let all = a
            .items
            .iter()
            .map(|i| &i.expr)
            .chain(&a.qualify)
            .chain(in_sorts)
            .chain(&a.distinct_on);
        let functions = find_window_exprs(all);
        if functions.is_empty() {
            return Ok(plan);
        }
        let mut computed: Vec<Expr> = Vec::with_capacity(functions.len());
        let mut replacements = Replacements::with_capacity(functions.len());
        for f in functions {
            let general = self.general_window(&f, plan.schema())?;
            let name = general.expr.schema_name().to_string();
            let column = Expr::Column(Column::new_unqualified(name));
            replacements.push((f, general.result(column)));
            if !computed.contains(&general.expr) {
                computed.push(general.expr);
            }
        }
        let plan = df(a.span, LogicalPlanBuilder::window_plan(plan, computed))?;
        substitute(a, &replacements)?;
        Ok(plan)
    }
}

fn named_time(scope: &super::scope::Scope<'_>, name: &ObjectName) -> BindResult<Expr> {
    match scope.column(name)? {
        Some((c, f)) if *f.data_type() == TIMESTAMP => Ok(Expr::Column(c)),
        Some(_) => Err(BindError::new(
            name.span(),
            "a window needs a TIMESTAMP column",
        )),
        // The resolver has the words, and a hint, for a name that is not there.
        None => scope.resolve(name),
    }
}

/// `window_start` and `window_end` follow the selected columns unless they are selected.
pub(super) fn append_window_columns(a: &mut Analysed) {
    for name in [WINDOW_START, WINDOW_END] {
        let column = bound_column(name);
        if !a.items.iter().any(|i| i.expr == column) {
            a.items.push(Item {
                expr: column,
                name: name.to_owned(),
                span: a.span,
            });
        }
    }
}
/// The names, each made unique by a number where needed.
pub(super) fn unique_names(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: HashSet<String> = HashSet::new();
    names
        .map(|name| {
            let mut unique = name.clone();
            let mut n = 1;
            while !seen.insert(unique.clone()) {
                unique = format!("{name}:{n}");
                n += 1;
            }
            unique
        })
        .collect()
}

/// Projection, `DISTINCT`, order and limit.
fn output(a: Analysed, plan: LogicalPlan, limit: Limit) -> BindResult<Bound> {
    let Analysed {
        items,
        sorts,
        distinct,
        distinct_on,
        span,
        ..
    } = a;
    let names: Vec<String> = items.iter().map(|i| i.name.clone()).collect();
    let unique = unique_names(names.iter().cloned());
    let visible: Vec<Expr> = items
        .iter()
        .zip(&unique)
        .map(|(item, name)| match &item.expr {
            Expr::Column(c) if c.relation.is_none() && c.name == *name => item.expr.clone(),
            other => other.clone().alias(name),
        })
        .collect();
    if !distinct_on.is_empty() {
        let sort_exprs: Vec<_> = sorts
            .iter()
            .map(|(key, item)| match key {
                SortKey::Output(i) => super::function::sort(items[*i].expr.clone(), item),
                SortKey::Expr(e) => super::function::sort(e.clone(), item),
            })
            .collect();
        let sort_exprs = (!sort_exprs.is_empty()).then_some(sort_exprs);
        let builder = LogicalPlanBuilder::from(plan).distinct_on(distinct_on, visible, sort_exprs);
        return Ok(Bound {
            plan: df(span, limit.apply(builder))?,
            names,
        });
    }
    let mut projected = visible;
    let mut keys = Vec::with_capacity(sorts.len());
    for (n, (key, item)) in sorts.iter().enumerate() {
        let column = match key {
            SortKey::Output(i) => Column::new_unqualified(&unique[*i]),
            SortKey::Expr(e) => {
                if distinct {
                    let message =
                        format!("with DISTINCT, {} must be selected to sort by it", shown(e));
                    return Err(BindError::new(item.expr.span, message));
                }
                let name = format!("#sort{n}");
                projected.push(e.clone().alias(&name));
                Column::new_unqualified(name)
            }
        };
        keys.push(super::function::sort(Expr::Column(column), item));
    }
    let hidden = projected.len() > unique.len();
    let mut builder = df(span, LogicalPlanBuilder::from(plan).project(projected))?;
    if distinct {
        builder = df(span, builder.distinct())?;
    }
    let plan = df(span, builder.build())?;
    let mut plan = df(span, limit.apply(sorted(plan, keys)))?;
    if hidden {
        let only: Vec<Expr> = unique
            .iter()
            .map(|n| Expr::Column(Column::new_unqualified(n)))
            .collect();
        plan = df(
            span,
            LogicalPlanBuilder::from(plan)
                .project(only)
                .and_then(LogicalPlanBuilder::build),
        )?;
    }
    Ok(Bound { plan, names })
}

/// `ORDER BY` items that continuous queries refuse.
pub(super) fn first_order(items: &[OrderItem]) -> Option<Span> {
    items.first().map(|i| i.expr.span)
}
