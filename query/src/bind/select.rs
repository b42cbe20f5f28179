//! `SELECT`: its clauses are bound here, and made a plan in [`super::plan`].

use super::expr::At;
use super::from::From;
use super::function::window_column;
use super::operator::and;
use super::query::{Limit, ordinal};
use super::scope::{Env, Scope, WINDOW_QUALIFIER, qualifier_matches};
use super::window::Windowing;
use super::windowed::{WINDOW_END, WINDOW_START};
use super::{Binder, Bound, df};
use crate::error::{BindError, BindResult};
use crate::types::TIMESTAMP;
use arrow::datatypes::Field;
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan};
use query_lang::ast::{self, Distinct, ExprKind, Ident, OrderItem, Select, SelectItem, Span};
use std::sync::Arc;

/// One column of the select list.
#[derive(Clone)]
pub(super) struct Item {
    pub expr: Expr,
    pub name: String,
    pub span: Span,
}

/// What to sort by.
#[derive(Clone)]
pub(super) enum SortKey {
    /// The output column of that place.
    Output(usize),
    /// Anything else over the tables' columns.
    Expr(Expr),
}

/// A `SELECT` whose clauses are bound over its tables' columns.
pub(super) struct Analysed {
    pub from: From,
    /// `WHERE`; already in `from.plan` when that is no single stream.
    pub filter: Option<Expr>,
    pub window: Option<Windowing>,
    pub items: Vec<Item>,
    pub group: Vec<Expr>,
    pub aggregates: Vec<Expr>,
    pub having: Option<Expr>,
    pub qualify: Option<Expr>,
    pub sorts: Vec<(SortKey, OrderItem)>,
    pub distinct: bool,
    pub distinct_on: Vec<Expr>,
    pub span: Span,
}

impl Analysed {
    /// Whether rows are grouped.
    pub fn grouped(&self) -> bool {
        !self.group.is_empty() || !self.aggregates.is_empty() || self.having.is_some()
    }
}

impl Binder<'_> {
    /// Binds a `SELECT` with the order and limit behind it.
    pub(super) fn select(
        &self,
        select: &Select,
        order_by: &[OrderItem],
        limit: Limit,
        span: Span,
        env: &Env<'_>,
    ) -> BindResult<Bound> {
        let analysed = self.analyse(select, order_by, span, env)?;
        self.plan(analysed, limit, env)
    }

    /// Binds the clauses of a `SELECT`.
    pub(super) fn analyse(
        &self,
        select: &Select,
        order_by: &[OrderItem],
        span: Span,
        env: &Env<'_>,
    ) -> BindResult<Analysed> {
        let from = self.from(&select.from, span, env)?;
        let (window, keys) = self.windowing(select, from.windowed.as_ref())?;
        let saved_window = self.in_windowed.replace(window.is_some());
        let named_before = self.named_windows.borrow().len();
        self.named_windows
            .borrow_mut()
            .extend(select.named_windows.iter().cloned());
        let analysed = self.clauses(select, order_by, span, env, from, window, &keys);
        self.named_windows.borrow_mut().truncate(named_before);
        self.in_windowed.set(saved_window);
        analysed
    }

    #[allow(clippy::too_many_arguments)] // one call site; they are the clauses
    fn clauses(
        &self,
        select: &Select,
        order_by: &[OrderItem],
        span: Span,
        env: &Env<'_>,
        mut from: From,
        window: Option<Windowing>,
        keys: &[&ast::Expr],
    ) -> BindResult<Analysed> {
        let filter = {
            let scope = Scope {
                hidden: &from.hidden,
                ..Scope::of(from.plan.schema(), env.outer)
            };
            let at = At { scope: &scope, env };
            let saved = self
                .in_windowed
                .replace(window.as_ref().is_some_and(|w| w.of_rows));
            let filter = select
                .selection
                .as_ref()
                .map(|e| self.condition(e, at, "WHERE"))
                .transpose();
            self.in_windowed.set(saved);
            filter?
        };
        if let Some(e) = &filter
            && let Some(aggregate) = find_aggregate_exprs([e]).first()
        {
            let at = select.selection.as_ref().map_or(span, |s| s.span);
            let message = format!(
                "WHERE is applied before grouping and cannot contain {}",
                shown(aggregate)
            );
            return Err(BindError::new(at, message).hint(Some("use HAVING".to_owned())));
        }
        let mut filter = filter;
        if let Some(latest) = &select.latest_on {
            self.latest_on(latest, &mut from, filter.take(), env)?;
        }
        let schema = match &window {
            Some(_) => df(span, from.plan.schema().join(&window_schema()))?,
            None => from.plan.schema().as_ref().clone(),
        };
        let scope = Scope {
            hidden: &from.hidden,
            ..Scope::of(&schema, env.outer)
        };
        let items = self.items(select, At { scope: &scope, env })?;
        let aliases: Vec<(Ident, Expr)> = select_aliases(select, &items);
        let columns_first = Scope {
            aliases: &aliases,
            ..Scope {
                hidden: &from.hidden,
                ..Scope::of(&schema, env.outer)
            }
        };
        let at = At {
            scope: &columns_first,
            env,
        };
        let group = self.group_by(keys, &items, at)?;
        let having = select
            .having
            .as_ref()
            .map(|e| self.condition(e, at, "HAVING"))
            .transpose()?;
        let qualify = select
            .qualify
            .as_ref()
            .map(|e| self.condition(e, at, "QUALIFY"))
            .transpose()?;
        let (distinct, distinct_on) = match &select.distinct {
            None => (false, Vec::new()),
            Some(Distinct::All) => (true, Vec::new()),
            Some(Distinct::On(on)) => {
                let outputs_first = Scope {
                    aliases: &aliases,
                    aliases_first: true,
                    ..Scope {
                        hidden: &from.hidden,
                        ..Scope::of(&schema, env.outer)
                    }
                };
                let at = At {
                    scope: &outputs_first,
                    env,
                };
                let mut bound = Vec::with_capacity(on.len());
                for e in on {
                    bound.push(match ordinal(e, items.len())? {
                        Some(i) => items[i].expr.clone(),
                        None => self.expr(e, at)?,
                    });
                }
                (false, bound)
            }
        };
        let mut sorts = Vec::with_capacity(order_by.len());
        for item in order_by {
            sorts.push((
                self.sort_key(&item.expr, &items, &aliases, at)?,
                item.clone(),
            ));
        }
        let in_sorts = sorts.iter().filter_map(|(k, _)| match k {
            SortKey::Expr(e) => Some(e),
            SortKey::Output(_) => None,
        });
        let aggregates = find_aggregate_exprs(
            items
                .iter()
                .map(|i| &i.expr)
                .chain(&having)
                .chain(&qualify)
                .chain(in_sorts)
                .chain(&distinct_on),
        );
        if let Some(bad) = group
            .iter()
            .find(|g| !find_aggregate_exprs([*g]).is_empty())
        {
            let aggregate = find_aggregate_exprs([bad]);
            let at = aggregate.first().and_then(|e| self.place_of(e));
            return Err(BindError::new(
                at.unwrap_or(span),
                format!("GROUP BY cannot contain {}", shown(bad)),
            ));
        }
        if let Some(aggregate) = aggregates.iter().find(|a| nested_aggregate(a)) {
            return Err(BindError::new(
                self.place_of(aggregate).unwrap_or(span),
                format!("{} has an aggregate inside an aggregate", shown(aggregate)),
            ));
        }
        Ok(Analysed {
            from,
            filter,
            window,
            items,
            group,
            aggregates,
            having,
            qualify,
            sorts,
            distinct,
            distinct_on,
            span,
        })
    }

    fn items(&self, select: &Select, at: At<'_>) -> BindResult<Vec<Item>> {
        let mut items = Vec::with_capacity(select.items.len());
        for item in &select.items {
            match item {
                SelectItem::Expr { expr, alias } => {
                    let bound = self.expr(expr, at)?;
                    self.type_of(&bound, at, expr.span)?;
                    let name = match alias {
                        Some(alias) => alias.value.clone(),
                        None => output_name(expr, &bound),
                    };
                    items.push(Item {
                        expr: bound,
                        name,
                        span: expr.span,
                    });
                }
                SelectItem::Wildcard {
                    of,
                    except,
                    at: place,
                } => self.wildcard(of.as_ref(), except, place.0, at, &mut items)?,
            }
        }
        Ok(items)
    }

    fn wildcard(
        &self,
        of: Option<&ast::ObjectName>,
        except: &[Ident],
        span: Span,
        at: At<'_>,
        items: &mut Vec<Item>,
    ) -> BindResult<()> {
        let mut dropped = vec![false; except.len()];
        let before = items.len();
        for (qualifier, field) in at.scope.schema.iter() {
            let column = datafusion::common::Column::new(qualifier.cloned(), field.name());
            if qualifier.is_some_and(|q| q.table() == WINDOW_QUALIFIER) {
                continue;
            }
            let wanted = match of {
                Some(of) => qualifier_matches(qualifier, &of.parts),
                None => !at.scope.hidden.contains(&column),
            };
            if !wanted {
                continue;
            }
            if let Some(i) = except.iter().position(|e| e.matches(field.name())) {
                dropped[i] = true;
                continue;
            }
            items.push(Item {
                expr: Expr::Column(column),
                name: field.name().clone(),
                span,
            });
        }
        if let Some(i) = dropped.iter().position(|d| !d) {
            let message = format!("there is no column \"{}\" to leave out", except[i].value);
            return Err(BindError::new(except[i].span, message));
        }
        if items.len() == before && except.is_empty() {
            let message = match of {
                Some(of) => format!(
                    "there is no table \"{}\" in FROM",
                    of.last().map_or("", |n| n.value.as_str())
                ),
                None => "there is nothing * could mean: the query has no FROM".to_owned(),
            };
            return Err(BindError::new(span, message));
        }
        Ok(())
    }

    /// `GROUP BY` items; the window's bounds are keys by themselves and fall out.
    fn group_by(&self, keys: &[&ast::Expr], items: &[Item], at: At<'_>) -> BindResult<Vec<Expr>> {
        let mut group = Vec::with_capacity(keys.len());
        let one = |e: &ast::Expr| -> BindResult<Expr> {
            Ok(match ordinal(e, items.len())? {
                Some(i) => items[i].expr.clone(),
                None => self.expr(e, at)?,
            })
        };
        for key in keys {
            let bound = match &key.kind {
                ExprKind::GroupingSets(sets) => {
                    let sets = sets
                        .iter()
                        .map(|set| set.iter().map(&one).collect::<BindResult<Vec<_>>>())
                        .collect::<BindResult<Vec<_>>>()?;
                    Expr::GroupingSet(GroupingSet::GroupingSets(sets))
                }
                ExprKind::Function(call) if is_call(call, "rollup") || is_call(call, "cube") => {
                    let mut args = Vec::with_capacity(call.args.len());
                    for arg in &call.args {
                        let ast::ArgValue::Expr(e) = &arg.value else {
                            return Err(BindError::new(key.span, "* cannot stand here"));
                        };
                        args.push(one(e)?);
                    }
                    Expr::GroupingSet(if is_call(call, "rollup") {
                        GroupingSet::Rollup(args)
                    } else {
                        GroupingSet::Cube(args)
                    })
                }
                _ => one(key)?,
            };
            let is_bound = matches!(&bound, Expr::Column(c)
                if c.relation.as_ref().is_some_and(|r| r.table() == WINDOW_QUALIFIER));
            if !is_bound && !group.contains(&bound) {
                group.push(bound);
            }
        }
        if group.len() > 1 && group.iter().any(|g| matches!(g, Expr::GroupingSet(_))) {
            let span = keys.first().map_or(Span::default(), |k| k.span);
            return Err(BindError::not_yet(span, "GROUPING SETS beside other keys"));
        }
        Ok(group)
    }

    fn sort_key(
        &self,
        e: &ast::Expr,
        items: &[Item],
        aliases: &[(Ident, Expr)],
        at: At<'_>,
    ) -> BindResult<SortKey> {
        if let Some(i) = ordinal(e, items.len())? {
            return Ok(SortKey::Output(i));
        }
        if let ExprKind::Column(name) = &e.kind
            && let Some(ident) = name.as_single()
        {
            let mut named = items
                .iter()
                .enumerate()
                .filter(|(_, i)| ident.matches(&i.name));
            if let Some((i, first)) = named.next() {
                if named.any(|(_, other)| other.expr != first.expr) {
                    let message = format!("\"{}\" names several output columns", ident.value);
                    return Err(BindError::new(e.span, message));
                }
                return Ok(SortKey::Output(i));
            }
        }
        let outputs_first = Scope {
            aliases,
            ..Scope {
                hidden: at.scope.hidden,
                ..Scope::of(at.scope.schema, at.scope.outer)
            }
        };
        let bound = self.expr(
            e,
            At {
                scope: &outputs_first,
                env: at.env,
            },
        )?;
        Ok(match items.iter().position(|i| i.expr == bound) {
            Some(i) => SortKey::Output(i),
            None => SortKey::Expr(bound),
        })
    }
}

/// The plan with a condition on its rows.
pub(super) fn filtered(
    plan: LogicalPlan,
    filter: Option<Expr>,
) -> datafusion::error::Result<LogicalPlan> {
    match and(filter, None) {
        Some(f) => datafusion::logical_expr::LogicalPlanBuilder::from(plan)
            .filter(f)?
            .build(),
        None => Ok(plan),
    }
}

fn window_schema() -> DFSchema {
    let qualifier = TableReference::bare(WINDOW_QUALIFIER);
    let field = |name: &str| {
        (
            Some(qualifier.clone()),
            Arc::new(Field::new(name, TIMESTAMP, false)),
        )
    };
    // Invariant: two distinct names and no metadata make a valid schema.
    DFSchema::new_with_metadata(
        vec![field(WINDOW_START), field(WINDOW_END)],
        std::collections::HashMap::new(),
    )
    .unwrap_or_else(|_| DFSchema::empty())
}

fn select_aliases(select: &Select, items: &[Item]) -> Vec<(Ident, Expr)> {
    let named: Vec<&Ident> = select
        .items
        .iter()
        .filter_map(|i| match i {
            SelectItem::Expr { alias, .. } => alias.as_ref(),
            SelectItem::Wildcard { .. } => None,
        })
        .collect();
    items
        .iter()
        .filter_map(|i| {
            let alias = named.iter().find(|a| a.value == i.name)?;
            Some(((*alias).clone(), i.expr.clone()))
        })
        .collect()
}

/// The name of an output column that was given none.
fn output_name(e: &ast::Expr, bound: &Expr) -> String {
    match bound {
        Expr::Column(c)
            if c.relation
                .as_ref()
                .is_some_and(|r| r.table() == WINDOW_QUALIFIER) =>
        {
            c.name.clone()
        }
        Expr::Column(c) if matches!(e.kind, ExprKind::Column(_)) => c.name.clone(),
        _ => {
            const LONGEST: usize = 120;
            let mut text = e.to_string();
            if text.len() > LONGEST {
                let mut cut = LONGEST;
                while !text.is_char_boundary(cut) {
                    cut -= 1;
                }
                text.truncate(cut);
                text.push_str("..");
            }
            text
        }
    }
}

/// A bound expression in words, for messages.
pub(super) fn shown(e: &Expr) -> String {
    e.human_display().to_string()
}

fn nested_aggregate(e: &Expr) -> bool {
    let Expr::AggregateFunction(f) = e else {
        return false;
    };
    !find_aggregate_exprs(f.params.args.iter()).is_empty()
}

fn is_call(call: &ast::FunctionCall, name: &str) -> bool {
    call.name
        .as_single()
        .is_some_and(|n| n.value.eq_ignore_ascii_case(name))
}

/// The window column of that name, where there is a window.
pub(super) fn bound_column(name: &str) -> Expr {
    window_column(name)
}
