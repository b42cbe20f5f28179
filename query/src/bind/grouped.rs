//! Grouped queries over one stream in their single form, and the queries that are kept up to date.

use super::aggregate::{agg_func, without_null_test};
use super::bucket::bucket;
use super::plan::unique_names;
use super::rebase::Replacements;
use super::select::{Analysed, bound_column};
use super::windowed::{
    AggCall, AggFunc, GroupKey, SourceRef, WINDOW_END, WINDOW_START, WindowSpec, WindowedAggregate,
};
use super::{Binder, df};
use crate::error::{BindError, BindResult};
use crate::types::{TIMESTAMP, plain_type};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use query_lang::ast::Span;
use std::sync::Arc;

/// A grouped query in its single form.
pub(super) struct Canonical {
    /// The query; its output is its group rows, all of them.
    pub query: WindowedAggregate,
    /// What stands for keys, aggregates and window bounds: unqualified columns of the group schema.
    pub replacements: Replacements,
    /// Whether an aggregate depends on the order of rows, or must agree with its form in views to the last bit.
    pub ordered: bool,
}

/// Expressions of one stream's query, brought over its unqualified columns and coerced.
pub(super) struct OverStream<'b> {
    binder: &'b Binder<'b>,
    pub schema: Arc<DFSchema>,
    simplifier: ExprSimplifier,
}

impl<'b> OverStream<'b> {
    pub fn new(binder: &'b Binder<'b>, source: &SourceRef, span: Span) -> BindResult<Self> {
        let schema = Arc::new(df(span, DFSchema::try_from(source.arrow.as_ref().clone()))?);
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(&schema))
            .build();
        Ok(Self {
            binder,
            schema,
            simplifier: ExprSimplifier::new(context),
        })
    }

    pub fn expr(&self, e: &Expr, span: Span) -> BindResult<Expr> {
        self.binder.self_contained(e, span)?;
        df(
            span,
            unqualified(e.clone()).and_then(|e| self.simplifier.coerce(e, &self.schema)),
        )
    }

    /// The same with constants folded.
    pub fn condition(&self, e: &Expr, span: Span) -> BindResult<Expr> {
        let coerced = self.expr(e, span)?;
        df(span, self.simplifier.simplify(coerced))
    }
}

impl Binder<'_> {
    /// The single form of a grouped query; an error says, with its place, why it has none.
    pub(super) fn canonical(&self, a: &Analysed) -> BindResult<Canonical> {
        let span = a.span;
        let Some(source) = &a.from.stream else {
            let at = a.window.as_ref().map_or(span, |w| w.span);
            return Err(BindError::not_yet(
                at,
                "a window over anything but one stream",
            ));
        };
        let over = OverStream::new(self, source, span)?;
        let filter = a
            .filter
            .as_ref()
            .map(|f| over.condition(f, span))
            .transpose()?;
        let mut window = WindowSpec::None;
        let mut grace = 0;
        if let Some(w) = &a.window {
            let time = self.time_column(a, w)?;
            if !matches!(&time, Expr::Column(c) if c.name == source.schema.time().name) {
                return Err(BindError::new(
                    w.span,
                    format!(
                        "windows are over the stream's event time, \"{}\"",
                        source.schema.time().name
                    ),
                ));
            }
            (window, grace) = (w.spec, w.grace);
        }
        let mut replacements = Replacements::new();
        let mut keys = Vec::with_capacity(a.group.len());
        let mut fields = Vec::new();
        for key in &a.group {
            if matches!(key, Expr::GroupingSet(_)) {
                return Err(BindError::not_yet(span, "GROUPING SETS with a window"));
            }
            let expr = over.expr(key, span)?;
            if self.continuous
                && window == WindowSpec::None
                && let Some((size, offset)) = bucket(&expr, &source.schema.time().name)
            {
                // A view by time_bucket is a view over tumbling windows: its groups close and leave memory.
                window = WindowSpec::Tumbling { size, offset };
                replacements.push((key.clone(), column(WINDOW_START)));
                continue;
            }
            let name = match &expr {
                Expr::Column(c) => c.name.clone(),
                _ => format!("key{}", keys.len()),
            };
            let data_type = plain_type(&self.type_in(&expr, &over.schema, span)?).clone();
            keys.push(GroupKey {
                expr,
                name,
                data_type,
            });
        }
        let mut names = unique_names(keys.iter().map(|k| k.name.clone()));
        for (key, name) in keys.iter_mut().zip(names.drain(..)) {
            key.name = name;
            fields.push(Field::new(&key.name, key.data_type.clone(), true));
        }
        let plain_keys = a
            .group
            .iter()
            .filter(|g| !replacements.iter().any(|(from, _)| from == *g));
        let named: Vec<_> = plain_keys
            .cloned()
            .zip(keys.iter().map(|k| column(&k.name)))
            .collect();
        replacements.extend(named);
        let mut aggregates = Vec::with_capacity(a.aggregates.len());
        let mut ordered = false;
        for (i, e) in a.aggregates.iter().enumerate() {
            let call = self.agg_call(e, format!("agg{i}"), &over, span)?;
            ordered |= matches!(
                call.func,
                AggFunc::CollectList
                    | AggFunc::First
                    | AggFunc::Last
                    | AggFunc::Percentile(_)
                    | AggFunc::ApproxPercentile(_)
            );
            fields.push(Field::new(&call.name, call.data_type.clone(), true));
            replacements.push((e.clone(), column(&call.name)));
            aggregates.push(call);
        }
        if window.is_windowed() {
            for name in [WINDOW_START, WINDOW_END] {
                if fields.iter().any(|f| f.name() == name) {
                    return Err(BindError::new(
                        span,
                        format!("a grouped column cannot be called {name} beside a window"),
                    ));
                }
                fields.push(Field::new(name, TIMESTAMP, false));
                replacements.push((bound_column(name), column(name)));
            }
        }
        let output = Arc::new(Schema::new(fields));
        let group_schema = Arc::new(df(span, DFSchema::try_from(output.as_ref().clone()))?);
        let projection = output
            .fields()
            .iter()
            .map(|f| (column(f.name()), f.name().clone()))
            .collect();
        let query = WindowedAggregate {
            source: source.clone(),
            filter,
            window,
            grace,
            keys,
            aggregates,
            group_schema,
            having: None,
            projection,
            output,
            emit: None,
        };
        Ok(Canonical {
            query,
            replacements,
            ordered,
        })
    }

    /// Refuses what is not a function of one row: subqueries and columns from outside.
    pub(super) fn self_contained(&self, e: &Expr, span: Span) -> BindResult<()> {
        let mut outside = None;
        let looked = e.apply(|node| {
            let reaches_out = matches!(
                node,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::OuterReferenceColumn(..)
            );
            if reaches_out {
                outside = Some(self.place_of(node).unwrap_or(span));
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        df(span, looked)?;
        match outside {
            Some(at) => Err(BindError::not_yet(at, "a subquery in a window or view")),
            None => Ok(()),
        }
    }

    fn agg_call(
        &self,
        e: &Expr,
        name: String,
        over: &OverStream<'_>,
        span: Span,
    ) -> BindResult<AggCall> {
        let Expr::AggregateFunction(f) = e else {
            return Err(BindError::new(span, "this is no aggregate"));
        };
        let span = self.place_of(e).unwrap_or(span);
        let (func, arg) = agg_func(f).ok_or_else(|| super::general::unknown(e, span))?;
        let mut filter = f.params.filter.as_deref().cloned();
        if func == AggFunc::CollectList
            && let Some(arg) = arg
        {
            filter = filter.and_then(|f| without_null_test(f, arg));
        }
        let bare = df(span, unqualified(e.clone()))?;
        let data_type = match df(span, bare.get_type(over.schema.as_ref()))? {
            DataType::List(item) => DataType::new_list(plain_type(item.data_type()).clone(), true),
            other => plain_type(&other).clone(),
        };
        let arg = match arg {
            Some(arg) => {
                let numeric = matches!(func, AggFunc::Percentile(_) | AggFunc::ApproxPercentile(_));
                let arg = match arg {
                    Expr::Cast(c) if numeric && *c.field.data_type() == DataType::Float64 => {
                        &c.expr
                    }
                    other => other,
                };
                Some(over.expr(arg, span)?)
            }
            None => None,
        };
        let filter = filter.map(|f| over.condition(&f, span)).transpose()?;
        Ok(AggCall {
            func,
            arg,
            filter,
            name,
            data_type,
        })
    }
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The expression with every column's qualifier taken off.
fn unqualified(e: Expr) -> datafusion::error::Result<Expr> {
    e.transform(|node| {
        Ok(match node {
            Expr::Column(c) if c.relation.is_some() => Transformed::yes(column(&c.name)),
            other => Transformed::no(other),
        })
    })
    .map(|t| t.data)
}
