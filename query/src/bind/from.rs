//! `FROM`: tables and joins.

use super::expr::At;
use super::scope::{Env, Scope, WINDOW_QUALIFIER};
use super::windowed::SourceRef;
use super::{Binder, df};
use crate::error::{BindError, BindResult};
use datafusion::common::{Column, JoinType, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use query_lang::ast::{
    ArgValue, Ident, Join, JoinConstraint, JoinKind, ObjectName, Span, TableAlias, TableFactor,
    TableRef, WindowClause,
};

/// The tables of a `SELECT`.
pub(super) struct From {
    /// Their rows, combined.
    pub plan: LogicalPlan,
    /// Columns that only a qualified name reaches.
    pub hidden: Vec<Column>,
    /// The stream, when that is all there is.
    pub stream: Option<SourceRef>,
    /// The windows of a `TABLE(TUMBLE(..))`, with the column they are over.
    pub windowed: Option<(WindowClause, Ident)>,
}

impl From {
    fn of(plan: LogicalPlan) -> Self {
        From {
            plan,
            hidden: Vec::new(),
            stream: None,
            windowed: None,
        }
    }
}

impl Binder<'_> {
    /// Binds `FROM`; without tables there is one row of no columns.
    pub(super) fn from(&self, tables: &[TableRef], span: Span, env: &Env<'_>) -> BindResult<From> {
        const MAX_TABLES: usize = 64;
        if tables.iter().map(|t| 1 + t.joins.len()).sum::<usize>() > MAX_TABLES {
            return Err(BindError::new(
                span,
                format!("a query may read {MAX_TABLES} tables at most"),
            ));
        }
        let mut tables = tables.iter();
        let Some(first) = tables.next() else {
            let plan = df(span, LogicalPlanBuilder::empty(true).build())?;
            return Ok(From::of(plan));
        };
        let mut left = self.table_ref(first, span, env)?;
        for table in tables {
            let right = self.table_ref(table, span, env)?;
            refuse_windowed(&left, span)?;
            refuse_windowed(&right, span)?;
            let plan = LogicalPlanBuilder::from(left.plan)
                .cross_join(right.plan)
                .and_then(LogicalPlanBuilder::build);
            left.hidden.extend(right.hidden);
            left = From {
                plan: df(span, plan)?,
                hidden: left.hidden,
                stream: None,
                windowed: None,
            };
        }
        Ok(left)
    }

    fn table_ref(&self, table: &TableRef, span: Span, env: &Env<'_>) -> BindResult<From> {
        let mut left = self.factor(&table.factor, span, env)?;
        for join in &table.joins {
            left = self.join(left, join, span, env)?;
        }
        Ok(left)
    }

    fn factor(&self, factor: &TableFactor, span: Span, env: &Env<'_>) -> BindResult<From> {
        match factor {
            TableFactor::Table { name, alias } => self.named(name, alias.as_ref(), env),
            TableFactor::Derived {
                lateral,
                query,
                alias,
            } => {
                if *lateral {
                    return Err(BindError::not_yet(query.span, "LATERAL"));
                }
                // A subquery in FROM sees neither its neighbours nor an outer query's columns, but its named queries.
                let inner = Env {
                    ctes: Vec::new(),
                    parent: Some(env),
                    outer: env.outer,
                };
                let saved = self.in_windowed.replace(false);
                let bound = self.query(query, &inner);
                self.in_windowed.set(saved);
                let bound = bound?;
                let columns = alias.as_ref().map_or(&[][..], |a| &a.columns);
                let plan = self.renamed(bound, columns, query.span)?;
                Ok(From::of(aliased(plan, alias.as_ref(), query.span)?))
            }
            TableFactor::Windowed { windowed, alias } => {
                let mut input = self.factor(&windowed.input, span, env)?;
                if input.windowed.is_some() {
                    return Err(BindError::not_yet(
                        windowed.window.span,
                        "a window over a window",
                    ));
                }
                if let Some(alias) = alias {
                    input.plan = aliased(input.plan, Some(alias), alias.name.span)?;
                }
                input.windowed = Some((windowed.window.clone(), windowed.time.clone()));
                Ok(input)
            }
            TableFactor::Function { name, args, alias } => {
                let called = name.last().map_or("", |n| n.value.as_str()).to_lowercase();
                let Some(function) = self.functions.table(&called) else {
                    return Err(BindError::not_found(
                        name.span(),
                        format!("there is no table function {called}"),
                    ));
                };
                let empty = datafusion::common::DFSchema::empty();
                let scope = Scope::of(&empty, None);
                let at = At { scope: &scope, env };
                let mut bound = Vec::with_capacity(args.len());
                for arg in args {
                    let ArgValue::Expr(e) = &arg.value else {
                        return Err(BindError::new(
                            name.span(),
                            "a table function does not take *",
                        ));
                    };
                    bound.push(self.expr(e, at)?);
                }
                let args = datafusion::catalog::TableFunctionArgs::new(
                    &bound,
                    self.functions.state().as_ref(),
                );
                let provider = df(name.span(), function.create_table_provider_with_args(args))?;
                let reference = TableReference::bare(called.as_str());
                let scan = LogicalPlanBuilder::scan(reference, provider_as_source(provider), None);
                let plan = df(name.span(), scan.and_then(LogicalPlanBuilder::build))?;
                let columns = alias.as_ref().map_or(&[][..], |a| &a.columns);
                let names = Vec::new();
                let plan = self.renamed(super::Bound { plan, names }, columns, name.span())?;
                Ok(From::of(aliased(plan, alias.as_ref(), name.span())?))
            }
            TableFactor::Nested(table) => self.table_ref(table, span, env),
        }
    }

    fn named(
        &self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        env: &Env<'_>,
    ) -> BindResult<From> {
        if let Some(cte) = name.as_single().and_then(|n| env.cte(n)) {
            let shown = alias.cloned().unwrap_or_else(|| TableAlias {
                // Invariant: the guard has seen the single part.
                name: name.parts[0].clone(),
                columns: Vec::new(),
            });
            let bound = super::Bound {
                plan: cte.clone(),
                names: Vec::new(),
            };
            let plan = self.renamed(bound, &shown.columns, name.span())?;
            return Ok(From::of(aliased(plan, Some(&shown), name.span())?));
        }
        let table = self.sources.table(name).map_err(|mut e| {
            if e.hint.is_none() {
                let wanted = name.last().map_or("", |n| n.value.as_str());
                e.hint =
                    super::nearest::did_you_mean(wanted, env.names().iter().map(String::as_str));
            }
            e
        })?;
        let shown = alias.map_or(table.name.as_str(), |a| a.name.value.as_str());
        if shown == WINDOW_QUALIFIER {
            return Err(BindError::new(name.span(), "a table cannot be called so"));
        }
        // Qualified columns (`db.table.column`) only need the database where the name was written with it.
        let reference = match (alias, name.parts.as_slice()) {
            (None, [.., db, _]) => TableReference::partial(db.value.as_str(), shown),
            _ => TableReference::bare(shown),
        };
        let scan = LogicalPlanBuilder::scan(reference, table.rows, None)
            .and_then(LogicalPlanBuilder::build);
        let mut plan = df(name.span(), scan)?;
        let mut stream = table.stream;
        if let Some(alias) = alias.filter(|a| !a.columns.is_empty()) {
            let bound = super::Bound {
                plan,
                names: Vec::new(),
            };
            plan = aliased(
                self.renamed(bound, &alias.columns, name.span())?,
                Some(alias),
                name.span(),
            )?;
            stream = None;
        }
        Ok(From {
            plan,
            hidden: Vec::new(),
            stream,
            windowed: None,
        })
    }

    fn join(&self, left: From, join: &Join, span: Span, env: &Env<'_>) -> BindResult<From> {
        let right = self.factor(&join.factor, span, env)?;
        let span = join.at.0;
        refuse_windowed(&left, span)?;
        refuse_windowed(&right, span)?;
        if let Some(within) = &join.within {
            return Err(BindError::not_yet(within.at.0, "a join WITHIN a time"));
        }
        let kind = match join.kind {
            JoinKind::Inner | JoinKind::Cross => JoinType::Inner,
            JoinKind::Left => JoinType::Left,
            JoinKind::Right => JoinType::Right,
            JoinKind::Full => JoinType::Full,
            JoinKind::LeftSemi => JoinType::LeftSemi,
            JoinKind::LeftAnti => JoinType::LeftAnti,
            JoinKind::RightSemi => JoinType::RightSemi,
            JoinKind::RightAnti => JoinType::RightAnti,
            JoinKind::AsOf | JoinKind::AsOfLeft => {
                return Err(BindError::not_yet(span, "ASOF JOIN"));
            }
        };
        let mut hidden = left.hidden;
        hidden.extend(right.hidden);
        let joint = df(span, left.plan.schema().join(right.plan.schema()))?;
        let on = match &join.constraint {
            JoinConstraint::None => None,
            JoinConstraint::On(e) => {
                let scope = Scope {
                    hidden: &hidden,
                    ..Scope::of(&joint, env.outer)
                };
                Some(self.condition(e, At { scope: &scope, env }, "ON")?)
            }
            JoinConstraint::Using(names) => {
                Some(self.using(names, &left.plan, &right.plan, kind, &mut hidden)?)
            }
            JoinConstraint::Natural => {
                let common: Vec<Ident> = left
                    .plan
                    .schema()
                    .fields()
                    .iter()
                    .filter(|f| {
                        right
                            .plan
                            .schema()
                            .has_column_with_unqualified_name(f.name())
                    })
                    .map(|f| Ident::quoted(f.name().as_str()))
                    .collect();
                if common.is_empty() {
                    return Err(BindError::new(
                        span,
                        "the tables have no column name in common",
                    ));
                }
                Some(self.using(&common, &left.plan, &right.plan, kind, &mut hidden)?)
            }
        };
        let builder = LogicalPlanBuilder::from(left.plan);
        let plan = match on {
            None if kind == JoinType::Inner => builder.cross_join(right.plan),
            on => builder.join_on(right.plan, kind, on),
        };
        let plan = df(span, plan.and_then(LogicalPlanBuilder::build))?;
        Ok(From {
            plan,
            hidden,
            stream: None,
            windowed: None,
        })
    }

    /// The condition of `USING`; one of each pair of columns is hidden, the one that may be null where the other is not.
    fn using(
        &self,
        names: &[Ident],
        left: &LogicalPlan,
        right: &LogicalPlan,
        kind: JoinType,
        hidden: &mut Vec<Column>,
    ) -> BindResult<Expr> {
        let mut all: Option<Expr> = None;
        for name in names {
            let object = ObjectName::single(name.clone());
            let side = |plan: &LogicalPlan| -> BindResult<Column> {
                let scope = Scope {
                    hidden,
                    ..Scope::of(plan.schema(), None)
                };
                match scope.column(&object)? {
                    Some((column, _)) => Ok(column),
                    None => {
                        let message = format!("\"{}\" is not a column of both tables", name.value);
                        Err(BindError::new(name.span, message))
                    }
                }
            };
            let (l, r) = (side(left)?, side(right)?);
            if kind == JoinType::Full {
                return Err(BindError::not_yet(
                    name.span,
                    "FULL JOIN with USING (write ON)",
                ));
            }
            hidden.push(if kind == JoinType::Right {
                l.clone()
            } else {
                r.clone()
            });
            all = super::operator::and(all, Some(Expr::Column(l).eq(Expr::Column(r))));
        }
        // Invariant: the grammar's USING, and NATURAL above, have at least one column.
        all.ok_or_else(|| BindError::new(Span::default(), "USING needs a column"))
    }
}

fn refuse_windowed(from: &From, span: Span) -> BindResult<()> {
    match &from.windowed {
        Some((clause, _)) => {
            let at = if clause.span == Span::default() {
                span
            } else {
                clause.span
            };
            Err(BindError::not_yet(at, "a join of windowed tables"))
        }
        None => Ok(()),
    }
}

fn aliased(plan: LogicalPlan, alias: Option<&TableAlias>, span: Span) -> BindResult<LogicalPlan> {
    match alias {
        Some(a) => df(
            span,
            LogicalPlanBuilder::from(plan)
                .alias(a.name.value.as_str())
                .and_then(LogicalPlanBuilder::build),
        ),
        None => Ok(plan),
    }
}
