//! Queries: named ones, set operations, order and limit.

use super::expr::At;
use super::function::sort;
use super::literal::toward;
use super::scope::{Env, Scope};
use super::{Binder, df};
use crate::error::{BindError, BindResult};
use crate::types::type_name;
use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, LogicalPlanBuilder, lit};
use query_lang::ast::{self, ExprKind, Literal, OrderItem, Query, SetExpr, SetOp, Span};

/// A bound query.
pub struct Bound {
    /// What yields the rows. Its columns are unqualified and their names unique.
    pub plan: LogicalPlan,
    /// The columns' names as asked for, duplicates and all.
    pub names: Vec<String>,
}

impl Binder<'_> {
    /// Binds a query in its surroundings.
    pub(super) fn query(&self, query: &Query, env: &Env<'_>) -> BindResult<Bound> {
        if let Some(emit) = &query.emit {
            let word = match emit {
                ast::Emit::Changes => "EMIT CHANGES",
                ast::Emit::Final => "EMIT FINAL",
            };
            return Err(BindError::new(
                query.emit_at.0,
                format!("{word} stands at the end of a whole statement only"),
            ));
        }
        self.query_body(query, env)
    }

    /// Binds a query whose `EMIT` the caller has seen to.
    pub(super) fn query_body(&self, query: &Query, env: &Env<'_>) -> BindResult<Bound> {
        let mut inner = env.child();
        self.ctes(query, &mut inner)?;
        let limit = Limit {
            skip: self.count(query.offset.as_ref(), "OFFSET")?.unwrap_or(0),
            fetch: self.count(query.limit.as_ref(), "LIMIT")?,
        };
        if let SetExpr::Select(select) = &query.body {
            return self.select(select, &query.order_by, limit, query.span, &inner);
        }
        let bound = self.set_expr(&query.body, query.span, &inner)?;
        self.order_outputs(bound, &query.order_by, limit, query.span)
    }

    /// Binds the named queries, each seeing the ones before it.
    pub(super) fn ctes<'e>(&self, query: &Query, env: &mut Env<'e>) -> BindResult<()> {
        for cte in &query.ctes {
            if query.recursive && mentions(&cte.query, &cte.alias.name.value) {
                return Err(BindError::not_yet(cte.alias.name.span, "a recursive query"));
            }
            if env
                .ctes
                .iter()
                .any(|(n, _)| n.value.eq_ignore_ascii_case(&cte.alias.name.value))
            {
                let message = format!("\"{}\" is defined twice", cte.alias.name.value);
                return Err(BindError::new(cte.alias.name.span, message));
            }
            let bound = self.query(&cte.query, env)?;
            let plan = self.renamed(bound, &cte.alias.columns, cte.alias.name.span)?;
            env.ctes.push((cte.alias.name.clone(), plan));
        }
        Ok(())
    }

    /// The plan with its first columns renamed.
    pub(super) fn renamed(
        &self,
        bound: Bound,
        columns: &[ast::Ident],
        span: Span,
    ) -> BindResult<LogicalPlan> {
        if columns.is_empty() {
            return Ok(bound.plan);
        }
        let width = bound.plan.schema().fields().len();
        if columns.len() > width {
            let message = format!("{} column names for {width} columns", columns.len());
            return Err(BindError::new(span, message));
        }
        let exprs: Vec<Expr> = bound
            .plan
            .schema()
            .columns()
            .into_iter()
            .enumerate()
            .map(|(i, c)| match columns.get(i) {
                Some(name) => Expr::Column(c).alias(&name.value),
                None => Expr::Column(c),
            })
            .collect();
        df(
            span,
            LogicalPlanBuilder::from(bound.plan)
                .project(exprs)
                .and_then(LogicalPlanBuilder::build),
        )
    }

    fn set_expr(&self, body: &SetExpr, span: Span, env: &Env<'_>) -> BindResult<Bound> {
        match body {
            SetExpr::Select(select) => self.select(select, &[], Limit::default(), span, env),
            SetExpr::Nested(query) => self.query(query, env),
            SetExpr::Values(values) => self.values(values, None, span, env),
            SetExpr::Operation { first, arms } => {
                const MAX_ARMS: usize = 200;
                if arms.len() > MAX_ARMS {
                    return Err(BindError::new(
                        span,
                        format!("more than {MAX_ARMS} set operations in a row"),
                    ));
                }
                let mut left = self.set_expr(first, span, env)?;
                for arm in arms {
                    let right = self.set_expr(&arm.operand, span, env)?;
                    let (a, b) = (left.names.len(), right.names.len());
                    if a != b {
                        let message =
                            format!("the two sides of a set operation have {a} and {b} columns");
                        return Err(BindError::new(arm.at.0, message));
                    }
                    left.plan = df(arm.at.0, combine(left.plan, right.plan, arm.op, arm.all))?;
                }
                Ok(left)
            }
        }
    }

    /// Rows written out; with `types`, as columns of those types are given them by an `INSERT`.
    pub(super) fn values(
        &self,
        values: &ast::Values,
        types: Option<&[DataType]>,
        span: Span,
        env: &Env<'_>,
    ) -> BindResult<Bound> {
        const MAX_ROWS: usize = 100_000;
        if values.rows.len() > MAX_ROWS {
            return Err(BindError::new(
                span,
                format!("more than {MAX_ROWS} rows of VALUES"),
            ));
        }
        let empty = datafusion::common::DFSchema::empty();
        let scope = Scope::of(&empty, env.outer);
        let at = At { scope: &scope, env };
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            if row.len() != values.rows[0].len() {
                let message = format!(
                    "a row of {} values among rows of {}",
                    row.len(),
                    values.rows[0].len()
                );
                return Err(BindError::new(
                    row.first().map_or(span, |e| e.span),
                    message,
                ));
            }
            let one = |(i, e): (usize, &ast::Expr)| {
                let bound = self.expr(e, at)?;
                match types.and_then(|t| t.get(i)) {
                    Some(t) => given(bound, t, e.span),
                    None => Ok(bound),
                }
            };
            rows.push(
                row.iter()
                    .enumerate()
                    .map(one)
                    .collect::<BindResult<Vec<_>>>()?,
            );
        }
        let plan = df(
            span,
            LogicalPlanBuilder::values(rows).and_then(LogicalPlanBuilder::build),
        )?;
        let names = plan
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        Ok(Bound { plan, names })
    }

    /// Sorts by output columns (by name, by number, or by an expression of them) and cuts.
    fn order_outputs(
        &self,
        bound: Bound,
        items: &[OrderItem],
        limit: Limit,
        span: Span,
    ) -> BindResult<Bound> {
        let Bound { plan, names } = bound;
        let sorts = {
            let scope = Scope::of(plan.schema(), None);
            let env = Env::top();
            let at = At {
                scope: &scope,
                env: &env,
            };
            let mut sorts: Vec<Sort> = Vec::with_capacity(items.len());
            for item in items {
                let expr = match ordinal(&item.expr, names.len())? {
                    Some(i) => Expr::Column(Column::from(plan.schema().qualified_field(i))),
                    None => self.expr(&item.expr, at)?,
                };
                sorts.push(sort(expr, item));
            }
            sorts
        };
        let plan = df(span, limit.apply(sorted(plan, sorts)))?;
        Ok(Bound { plan, names })
    }

    fn count(&self, expr: Option<&ast::Expr>, clause: &str) -> BindResult<Option<usize>> {
        let Some(e) = expr else { return Ok(None) };
        let empty = datafusion::common::DFSchema::empty();
        let scope = Scope::of(&empty, None);
        let env = Env::top();
        match self.expr(
            e,
            At {
                scope: &scope,
                env: &env,
            },
        )? {
            Expr::Literal(ScalarValue::Null, _) => Ok(None),
            Expr::Literal(ScalarValue::Int64(Some(n)), _) if n >= 0 => {
                Ok(Some(usize::try_from(n).unwrap_or(usize::MAX)))
            }
            // More rows than fit 64 signed bits is no bound at all.
            Expr::Literal(ScalarValue::UInt64(Some(_)), _) => Ok(Some(i64::MAX as usize)),
            _ => Err(BindError::new(
                e.span,
                format!("{clause} must be a number of rows"),
            )),
        }
    }
}

/// A value as a column of that type takes it.
fn given(value: Expr, to: &DataType, span: Span) -> BindResult<Expr> {
    let value = toward(value, to, span)?;
    let Expr::Literal(constant, _) = &value else {
        return Ok(Expr::Cast(Cast::new(Box::new(value), to.clone())));
    };
    let from = constant.data_type();
    match constant.cast_to(to) {
        // A conversion that cannot be done yields NULL.
        Ok(v) if v.is_null() == constant.is_null() => Ok(lit(v)),
        _ => {
            let (from, to) = (type_name(&from), type_name(to));
            Err(BindError::new(
                span,
                format!("this {from} does not fit a column of type {to}"),
            ))
        }
    }
}

/// `OFFSET` and `LIMIT`.
#[derive(Clone, Copy, Default)]
pub(super) struct Limit {
    pub skip: usize,
    pub fetch: Option<usize>,
}

impl Limit {
    /// The plan cut so.
    pub fn apply(
        self,
        builder: datafusion::error::Result<LogicalPlanBuilder>,
    ) -> datafusion::error::Result<LogicalPlan> {
        let builder = builder?;
        if self.skip == 0 && self.fetch.is_none() {
            return builder.build();
        }
        builder.limit(self.skip, self.fetch)?.build()
    }
}

/// The plan sorted, if there is anything to sort by.
pub(super) fn sorted(
    plan: LogicalPlan,
    sorts: Vec<Sort>,
) -> datafusion::error::Result<LogicalPlanBuilder> {
    let builder = LogicalPlanBuilder::from(plan);
    if sorts.is_empty() {
        Ok(builder)
    } else {
        builder.sort(sorts)
    }
}

/// The output column that a bare number in `ORDER BY` or `GROUP BY` means, from 0.
pub(super) fn ordinal(e: &ast::Expr, outputs: usize) -> BindResult<Option<usize>> {
    let ExprKind::Literal(Literal::Integer(n)) = &e.kind else {
        return Ok(None);
    };
    match usize::try_from(*n) {
        Ok(n) if (1..=outputs).contains(&n) => Ok(Some(n - 1)),
        _ => Err(BindError::new(
            e.span,
            format!("there is no output column {n}: there are {outputs}"),
        )),
    }
}

fn combine(
    left: LogicalPlan,
    right: LogicalPlan,
    op: SetOp,
    all: bool,
) -> datafusion::error::Result<LogicalPlan> {
    match (op, all) {
        (SetOp::Union, true) => LogicalPlanBuilder::from(left).union(right)?.build(),
        (SetOp::Union, false) => LogicalPlanBuilder::from(left)
            .union_distinct(right)?
            .build(),
        (SetOp::Intersect, all) => LogicalPlanBuilder::intersect(left, right, all),
        (SetOp::Except, all) => LogicalPlanBuilder::except(left, right, all),
    }
}

/// Whether a query reads a table of that name anywhere in its `FROM`s; good enough to tell a recursive one.
fn mentions(query: &Query, name: &str) -> bool {
    fn factor(f: &ast::TableFactor, name: &str) -> bool {
        match f {
            ast::TableFactor::Table { name: n, .. } => n
                .as_single()
                .is_some_and(|i| i.value.eq_ignore_ascii_case(name)),
            ast::TableFactor::Derived { query, .. } => mentions(query, name),
            ast::TableFactor::Windowed { windowed, .. } => factor(&windowed.input, name),
            ast::TableFactor::Function { .. } => false,
            ast::TableFactor::Nested(t) => table(t, name),
        }
    }
    fn table(t: &ast::TableRef, name: &str) -> bool {
        factor(&t.factor, name) || t.joins.iter().any(|j| factor(&j.factor, name))
    }
    fn body(b: &SetExpr, name: &str) -> bool {
        match b {
            SetExpr::Select(s) => s.from.iter().any(|t| table(t, name)),
            SetExpr::Values(_) => false,
            SetExpr::Nested(q) => mentions(q, name),
            SetExpr::Operation { first, arms } => {
                body(first, name) || arms.iter().any(|a| body(&a.operand, name))
            }
        }
    }
    body(&query.body, name)
}
