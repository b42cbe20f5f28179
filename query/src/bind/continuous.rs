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
use query_lang::ast::{self, SetExpr, Span};
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
        let SetExpr::Select(select) = &query.body else {
            return Err(BindError::not_yet(
                query.span,
                "a set operation in a continuous query",
            ));
        };
        refuse(select.distinct.as_ref().map(|_| query.span), "DISTINCT")?;
        refuse(select.qualify.as_ref().map(|q| q.span), "QUALIFY")?;
        refuse(select.latest_on.as_ref().map(|l| l.ts.span), "LATEST ON")?;
        let env = Env::top();
        let mut a = self.analyse(select, &[], query.span, &env)?;
        if a.from.stream.is_none() {
            let what = match select.from.first() {
                None => "a query without a stream",
                Some(t) if !t.joins.is_empty() || select.from.len() > 1 => "a join",
                Some(_) => "a query over anything but one stream",
            };
            return Err(BindError::not_yet(
                query.span,
                format!("{what} in a continuous query"),
            ));
        }
        let functions = find_window_exprs(a.items.iter().map(|i| &i.expr));
        refuse(functions.first().map(|_| query.span), "a window function")?;
        if a.window.is_some() {
            append_window_columns(&mut a);
        }
        if a.grouped() {
            return self
                .continuous_aggregate(a, query.emit)
                .map(ContinuousQuery::Aggregate);
        }
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
