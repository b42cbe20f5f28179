//! Queries that are kept up to date.

use super::grouped::{Canonical, OverStream};
use super::plan::{append_window_columns, first_order, unique_names};
use super::rebase::rebase;
use super::scope::Env;
use super::select::Analysed;
use super::windowed::{ContinuousQuery, RowQuery, WindowedAggregate};
use super::{Binder, df};
use crate::error::{BindError, BindResult};
use crate::types::plain_type;
use arrow::datatypes::{Field, Schema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::find_window_exprs;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use query_lang::ast::{self, SetExpr, Span, TableFactor};
use std::sync::Arc;

impl Binder<'_> {
    /// Binds a query that is kept up to date.
    pub(super) fn continuous_query(&self, query: &ast::Query) -> BindResult<ContinuousQuery> {
        let refuse = |span: Option<Span>, what: &str| match span {
            Some(span) => Err(BindError::not_yet(
                span,
                format!("{what} in a continuous query"),
            )),
            None => Ok(()),
        };
        refuse(query.ctes.first().map(|c| c.alias.name.span), "WITH")?;
        refuse(first_order(&query.order_by), "ORDER BY")?;
        refuse(query.limit.as_ref().map(|l| l.span), "LIMIT")?;
        refuse(query.offset.as_ref().map(|l| l.span), "OFFSET")?;
        let select = match &query.body {
            SetExpr::Select(select) => select,
            SetExpr::Operation { arms, .. } => {
                // Invariant: an operation has an arm.
                let at = arms.first().map_or(query.span, |arm| arm.at.0);
                return Err(BindError::not_yet(
                    at,
                    "a set operation in a continuous query",
                ));
            }
            SetExpr::Nested(_) | SetExpr::Values(_) => {
                let what = "VALUES or a query in parentheses in a continuous query";
                return Err(BindError::not_yet(query.span, what));
            }
        };
        let distinct = select.distinct.as_ref().map(|_| select.distinct_at.0);
        refuse(distinct, "DISTINCT")?;
        refuse(select.qualify.as_ref().map(|q| q.span), "QUALIFY")?;
        refuse(select.latest_on.as_ref().map(|l| l.ts.span), "LATEST ON")?;
        let env = Env::top();
        let mut a = self.analyse(select, &[], query.span, &env)?;
        if a.from.stream.is_none() {
            let (at, what) = match select.from.as_slice() {
                [] => (query.span, "a query without a stream"),
                [_, second, ..] => (place(&second.factor), "a join"),
                [only] => match only.joins.first() {
                    Some(join) => (join.at.0, "a join"),
                    None => (place(&only.factor), "a query over anything but one stream"),
                },
            };
            refuse(Some(at), what)?;
        }
        let functions = find_window_exprs(a.items.iter().map(|i| &i.expr));
        let function = functions.first();
        refuse(
            function.map(|f| self.place_of(f).unwrap_or(query.span)),
            "a window function",
        )?;
        if a.window.is_some() {
            append_window_columns(&mut a);
        }
        let closes = |window: bool| match query.emit {
            Some(ast::Emit::Final) if !window => Err(BindError::new(
                query.emit_at.0,
                "EMIT FINAL pushes windows as they close, and the query has none",
            )
            .hint(Some("add a WINDOW, or write EMIT CHANGES".to_owned()))),
            _ => Ok(()),
        };
        if a.grouped() {
            let query = self.continuous_aggregate(a, query.emit)?;
            closes(query.window.is_windowed())?;
            return Ok(ContinuousQuery::Aggregate(query));
        }
        closes(false)?;
        if let Some(window) = &a.window {
            return Err(BindError::new(
                window.span,
                "a window needs an aggregate or GROUP BY",
            ));
        }
        self.row_query(&a, query.emit).map(ContinuousQuery::Rows)
    }

    fn continuous_aggregate(
        &self,
        mut a: Analysed,
        emit: Option<ast::Emit>,
    ) -> BindResult<WindowedAggregate> {
        let Canonical {
            mut query,
            replacements,
            ..
        } = self.canonical(&a)?;
        rebase(&mut a, &replacements, &query.group_schema)?;
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder()
                .with_schema(Arc::clone(&query.group_schema))
                .build(),
        );
        let coerced = |e: Expr, span: Span| df(span, simplifier.coerce(e, &query.group_schema));
        let having = a.having.take().map(|h| coerced(h, a.span)).transpose()?;
        let names = unique_names(a.items.iter().map(|i| i.name.clone()));
        let mut projection = Vec::with_capacity(names.len());
        let mut fields = Vec::with_capacity(names.len());
        for (item, name) in a.items.iter().zip(names) {
            let expr = coerced(item.expr.clone(), item.span)?;
            let data_type =
                plain_type(&self.type_in(&expr, &query.group_schema, item.span)?).clone();
            fields.push(Field::new(&name, data_type, true));
            projection.push((expr, name));
        }
        query.having = having;
        query.projection = projection;
        query.output = Arc::new(Schema::new(fields));
        query.emit = emit;
        Ok(query)
    }

    fn row_query(&self, a: &Analysed, emit: Option<ast::Emit>) -> BindResult<RowQuery> {
        let span = a.span;
        let Some(source) = &a.from.stream else {
            return Err(BindError::not_yet(
                span,
                "a query over anything but one stream in a continuous query",
            ));
        };
        let over = OverStream::new(self, source, span)?;
        let filter = a
            .filter
            .as_ref()
            .map(|f| over.condition(f, span))
            .transpose()?;
        let names = unique_names(a.items.iter().map(|i| i.name.clone()));
        let mut projection = Vec::with_capacity(names.len());
        let mut fields = Vec::with_capacity(names.len());
        for (item, name) in a.items.iter().zip(names) {
            let expr = over.expr(&item.expr, item.span)?;
            let data_type = self.type_in(&expr, &over.schema, item.span)?;
            fields.push(Field::new(&name, data_type, true));
            projection.push((expr, name));
        }
        Ok(RowQuery {
            source: source.clone(),
            filter,
            projection,
            output: Arc::new(Schema::new(fields)),
            emit,
        })
    }
}

/// Where a table of `FROM` stands.
fn place(factor: &TableFactor) -> Span {
    match factor {
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => name.span(),
        TableFactor::Derived { query, .. } => query.span,
        TableFactor::Windowed { windowed, .. } => windowed.window.span,
        TableFactor::Nested(table) => place(&table.factor),
    }
}
