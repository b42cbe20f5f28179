//! The last row of each key: `LATEST ON`, and `DISTINCT ON` where it means the same.

use super::expr::At;
use super::from::From;
use super::grouped::OverStream;
use super::scope::{Env, Scope};
use super::select::{Analysed, SortKey, filtered};
use super::{Binder, Latest, df};
use crate::error::BindResult;
use datafusion::logical_expr::utils::find_window_exprs;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use query_lang::ast::{LatestOn, Span};
use tsdb::types::Role;

impl Binder<'_> {
    /// Replaces the rows of `from` by the last one of each key.
    pub(super) fn latest_on(
        &self,
        latest: &LatestOn,
        from: &mut From,
        filter: Option<Expr>,
        env: &Env<'_>,
    ) -> BindResult<()> {
        let span = latest.ts.span;
        let (ts, keys) = {
            let scope = Scope {
                hidden: &from.hidden,
                ..Scope::of(from.plan.schema(), env.outer)
            };
            let at = At { scope: &scope, env };
            let keys = latest
                .partition_by
                .iter()
                .map(|e| self.expr(e, at))
                .collect::<BindResult<Vec<_>>>()?;
            (self.expr(&latest.ts, at)?, keys)
        };
        from.plan = self.last_rows(from, ts, keys, filter, span)?;
        from.stream = None;
        Ok(())
    }

    /// The rows of `from` that fulfil `filter` and are the last of their key by `ts`.
    pub(super) fn last_rows(
        &self,
        from: &From,
        ts: Expr,
        keys: Vec<Expr>,
        filter: Option<Expr>,
        span: Span,
    ) -> BindResult<LogicalPlan> {
        if let Some(plan) = self.fast_latest(from, &ts, &keys, filter.as_ref(), span)? {
            return Ok(plan);
        }
        let plan = df(span, filtered(from.plan.clone(), filter))?;
        let columns: Vec<Expr> = plan
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let mut sorts: Vec<_> = keys.iter().map(|k| k.clone().sort(true, false)).collect();
        sorts.push(ts.sort(false, false));
        let builder = datafusion::logical_expr::LogicalPlanBuilder::from(plan);
        df(
            span,
            builder
                .distinct_on(keys, columns, Some(sorts))
                .and_then(|b| b.build()),
        )
    }

    /// Makes `DISTINCT ON (tags) .. ORDER BY tags, time DESC` a read of each series' last row; whether it could.
    pub(super) fn last_row_each(&self, a: &mut Analysed) -> BindResult<bool> {
        if a.distinct_on.is_empty() || a.distinct || a.qualify.is_some() {
            return Ok(false);
        }
        let keys = a.distinct_on.len();
        let sort_expr = |k: &SortKey| match k {
            SortKey::Output(i) => a.items[*i].expr.clone(),
            SortKey::Expr(e) => e.clone(),
        };
        if a.sorts.len() != keys + 1 || a.sorts[keys].1.asc != Some(false) {
            return Ok(false);
        }
        if !a.sorts[..keys]
            .iter()
            .all(|(k, _)| a.distinct_on.contains(&sort_expr(k)))
        {
            return Ok(false);
        }
        if !find_window_exprs(a.items.iter().map(|i| &i.expr)).is_empty() {
            return Ok(false);
        }
        let ts = sort_expr(&a.sorts[keys].0);
        match self.fast_latest(&a.from, &ts, &a.distinct_on, a.filter.as_ref(), a.span)? {
            Some(plan) => {
                a.from.plan = plan;
                a.filter = None;
                a.sorts.truncate(keys);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The plan of the last row of each key, where the engine has a fast way.
    pub(super) fn fast_latest(
        &self,
        from: &From,
        ts: &Expr,
        keys: &[Expr],
        filter: Option<&Expr>,
        span: Span,
    ) -> BindResult<Option<LogicalPlan>> {
        let (Some(source), LogicalPlan::TableScan(scan)) = (&from.stream, &from.plan) else {
            return Ok(None);
        };
        let place = |e: &Expr| match e {
            Expr::Column(c) => source.schema.columns.iter().position(|d| d.name == c.name),
            _ => None,
        };
        let role = |i: Option<usize>| i.map(|i| source.schema.columns[i].role);
        if role(place(ts)) != Some(Role::Time)
            || !keys.iter().all(|k| role(place(k)) == Some(Role::Tag))
        {
            return Ok(None);
        }
        let filter = match filter {
            Some(f) if self.self_contained(f, span).is_err() => return Ok(None),
            Some(f) => Some(OverStream::new(self, source, span)?.condition(f, span)?),
            None => None,
        };
        let keys = keys.iter().filter_map(place).collect();
        let latest = Latest {
            source: source.clone(),
            keys,
            filter,
        };
        let Some(rows) = self.sources.latest(latest) else {
            return Ok(None);
        };
        let plan = LogicalPlanBuilder::scan(scan.table_name.clone(), rows, None)
            .and_then(LogicalPlanBuilder::build);
        df(span, plan).map(Some)
    }
}
