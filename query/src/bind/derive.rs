//! Derived streams: a `SELECT` over one stream's rows as they come in, looked up in tables. The filter, the sample and the
//! priority of a stream's own rows are bound as one that selects everything.

use super::expr::At;
use super::plan::unique_names;
use super::scope::{Env, Scope};
use super::select::Analysed;
use super::windowed::SourceRef;
use super::{Binder, df};
use crate::error::{BindError, BindResult};
use crate::table::Table;
use crate::types::{plain_type, type_name};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator, try_cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use query_lang::ast::{self, JoinKind, ObjectName, Span, TableFactor};
use std::sync::Arc;

/// A `SELECT` over rows of one stream and what tables know of them. Its expressions name columns by number (`#0`, `#1`, ..):
/// the stream's, then those of each table in turn.
pub struct Derived {
    /// The stream whose rows come in.
    pub source: SourceRef,
    /// The tables, in order.
    pub lookups: Vec<TableLookup>,
    /// All columns by number.
    pub columns: Arc<Schema>,
    /// Which rows are kept.
    pub filter: Option<Expr>,
    /// What decides on the sample; the whole row when empty.
    pub by: Vec<Expr>,
    /// How much a row matters, as text.
    pub priority: Option<Expr>,
    /// What is made of a row.
    pub items: Vec<DerivedColumn>,
}

/// One table that rows are looked up in.
pub struct TableLookup {
    /// The table.
    pub table: Arc<Table>,
    /// Whether rows without a counterpart are dropped.
    pub inner: bool,
    /// The number of its first column.
    pub first: usize,
    /// What its key is compared with, in the key's order.
    pub key: Vec<Expr>,
}

/// One column of a derived stream.
pub struct DerivedColumn {
    /// Its value.
    pub expr: Expr,
    /// Its name and its type without a dictionary.
    pub field: Field,
    /// The number of the column that it is as it stands.
    pub column: Option<usize>,
    /// Where it stands.
    pub span: Span,
}

/// The name of column `n`.
#[must_use]
pub fn numbered(n: usize) -> String {
    format!("#{n}")
}

/// The number that a column's name is.
#[must_use]
pub fn number_of(e: &Expr) -> Option<usize> {
    match e {
        Expr::Column(c) => c.name.strip_prefix('#')?.parse().ok(),
        _ => None,
    }
}

/// The columns of all tables, and the way from their names to numbers.
struct Numbering<'b> {
    binder: &'b Binder<'b>,
    named: DFSchema,
    numbered: Arc<DFSchema>,
    simplifier: ExprSimplifier,
}

impl Numbering<'_> {
    /// An expression over numbered columns, not coerced yet.
    fn number(&self, e: &Expr, span: Span) -> BindResult<Expr> {
        self.binder.self_contained(e, span)?;
        let renamed = e.clone().transform(|node| {
            Ok(match node {
                Expr::Column(c) => {
                    let n = self.named.index_of_column(&c)?;
                    Transformed::yes(Expr::Column(Column::from_name(numbered(n))))
                }
                other => Transformed::no(other),
            })
        });
        Ok(df(span, renamed)?.data)
    }

    fn expr(&self, e: &Expr, span: Span) -> BindResult<Expr> {
        let numbered = self.number(e, span)?;
        df(span, self.simplifier.coerce(numbered, &self.numbered))
    }

    fn type_of(&self, e: &Expr, span: Span) -> BindResult<DataType> {
        self.binder.type_in(e, &self.numbered, span)
    }
}

impl Binder<'_> {
    /// Binds what is to be made of each row of a stream as it comes in.
    pub fn derived(
        mut self,
        select: &ast::Select,
        sample: Option<&ast::Sample>,
        priority: Option<&ast::Expr>,
        span: Span,
    ) -> BindResult<(Derived, Vec<String>)> {
        self.continuous = true;
        let derived = self.derived_query(select, sample, priority, span)?;
        Ok((derived, self.notices.into_inner()))
    }

    fn derived_query(
        &self,
        select: &ast::Select,
        sample: Option<&ast::Sample>,
        priority: Option<&ast::Expr>,
        span: Span,
    ) -> BindResult<Derived> {
        let [from] = select.from.as_slice() else {
            let message = "a derived stream reads one stream, and joins tables";
            return Err(BindError::new(span, message));
        };
        let name = named(&from.factor)?;
        let Some(source) = self.sources.table(name)?.stream else {
            let message = "a derived stream reads a stream, and this is none";
            return Err(BindError::new(name.span(), message));
        };
        let env = Env::top();
        let a = self.analyse(select, &[], span, &env)?;
        refuse(select, &a, span)?;
        let schema = a.from.plan.schema();
        let fields = schema.fields().iter().enumerate();
        let fields = fields.map(|(n, f)| Field::new(numbered(n), f.data_type().clone(), true));
        let columns = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let over = Arc::new(df(span, DFSchema::try_from(columns.as_ref().clone()))?);
        let context = SimplifyContext::builder().with_schema(Arc::clone(&over));
        let numbering = Numbering {
            binder: self,
            named: schema.as_ref().clone(),
            numbered: over,
            simplifier: ExprSimplifier::new(context.build()),
        };
        let lookups = self.lookups(from, &a, source.arrow.fields().len(), &numbering)?;
        let filter = a.filter.as_ref();
        let filter = filter.map(|f| numbering.expr(f, span)).transpose()?;
        let scope = Scope {
            hidden: &a.from.hidden,
            ..Scope::of(schema, None)
        };
        let at = At {
            scope: &scope,
            env: &env,
        };
        let bound = |e: &ast::Expr| numbering.expr(&self.expr(e, at)?, e.span);
        let by = sample
            .map_or(&[][..], |s| s.by.as_slice())
            .iter()
            .map(bound);
        let by = by.collect::<BindResult<Vec<_>>>()?;
        let priority = match priority {
            None => None,
            Some(e) => {
                let bound = bound(e)?;
                let t = numbering.type_of(&bound, e.span)?;
                if !matches!(plain_type(&t), DataType::Utf8 | DataType::Null) {
                    let message =
                        format!("PRIORITY needs a STRING, and this is a {}", type_name(&t));
                    let hint = "'critical', 'high', 'normal' or 'low'".to_owned();
                    return Err(BindError::new(e.span, message).hint(Some(hint)));
                }
                Some(bound)
            }
        };
        let names = unique_names(a.items.iter().map(|i| i.name.clone()));
        let items = a.items.iter().zip(names).map(|(item, name)| {
            let expr = numbering.expr(&item.expr, item.span)?;
            let t = plain_type(&numbering.type_of(&expr, item.span)?).clone();
            Ok(DerivedColumn {
                column: number_of(&expr),
                field: Field::new(name, t, true),
                expr,
                span: item.span,
            })
        });
        let items = items.collect::<BindResult<Vec<_>>>()?;
        Ok(Derived {
            source,
            lookups,
            filter,
            by,
            priority,
            items,
            columns,
        })
    }

    /// The tables that are joined, and how their keys are found.
    fn lookups(
        &self,
        from: &ast::TableRef,
        a: &Analysed,
        source_columns: usize,
        numbering: &Numbering<'_>,
    ) -> BindResult<Vec<TableLookup>> {
        let mut nodes = Vec::new();
        join_nodes(&a.from.plan, &mut nodes);
        let mut first = source_columns;
        let mut lookups = Vec::with_capacity(from.joins.len());
        for (i, join) in from.joins.iter().enumerate() {
            let at = join.at.0;
            let inner = match join.kind {
                JoinKind::Inner | JoinKind::Cross => true,
                JoinKind::Left => false,
                _ => {
                    let message = "a derived stream joins tables with JOIN or LEFT JOIN";
                    return Err(BindError::new(at, message));
                }
            };
            let name = named(&join.factor)?;
            let read = self.sources.table(name)?;
            let width = read.rows.schema().fields().len();
            let Some(table) = read.keyed else {
                let message = format!(
                    "\"{}\" is no table: a derived stream joins its rows with tables",
                    name.last().map_or("", |n| n.value.as_str())
                );
                return Err(BindError::new(name.span(), message));
            };
            let state = table.state();
            let places = table.key_places(&state.columns);
            let mut key: Vec<Option<Expr>> = vec![None; places.len()];
            let all = nodes.get(i).map_or_else(Vec::new, |node| conditions(node));
            for condition in all {
                let condition = numbering.number(&condition, at)?;
                let found = key_part(&condition, first, &places);
                let Some((part, left)) = found.filter(|(part, _)| key[*part].is_none()) else {
                    let message = format!(
                        "a join of a derived stream compares each column of the key of table \"{}\" with = once, and no more",
                        table.stream.name
                    );
                    let hint = "other conditions go into WHERE".to_owned();
                    return Err(BindError::new(at, message).hint(Some(hint)));
                };
                let column = &state.columns[places[part]];
                let wanted = crate::types::arrow_type(column.data_type);
                let left = df(at, numbering.simplifier.coerce(left, &numbering.numbered))?;
                let t = numbering.type_of(&left, at)?;
                key[part] = Some(match plain_type(&t) {
                    t if *t == wanted => left,
                    t if t.is_integer() && wanted.is_integer() => try_cast(left, wanted),
                    t => {
                        let message = format!(
                            "\"{}\" of table \"{}\" is {}, and this compares it with a {}",
                            column.name,
                            table.stream.name,
                            type_name(&wanted),
                            type_name(t)
                        );
                        let hint = "write CAST(.. AS ..) around the stream's side".to_owned();
                        return Err(BindError::new(at, message).hint(Some(hint)));
                    }
                });
            }
            if let Some(part) = key.iter().position(Option::is_none) {
                let missing = &state.columns[places[part]].name;
                let message = format!(
                    "a row is looked up by the whole key of table \"{}\": \"{missing}\" is not compared with anything",
                    table.stream.name
                );
                return Err(BindError::new(at, message));
            }
            lookups.push(TableLookup {
                table,
                inner,
                first,
                key: key.into_iter().flatten().collect(),
            });
            first += width;
        }
        Ok(lookups)
    }
}

/// The name of what is read, if it is just that.
fn named(factor: &TableFactor) -> BindResult<&ObjectName> {
    match factor {
        TableFactor::Table { name, .. } => Ok(name),
        TableFactor::Function { name, .. } => Err(BindError::new(
            name.span(),
            "a derived stream reads a stream, and joins tables",
        )),
        TableFactor::Derived { query, .. } => Err(BindError::new(
            query.span,
            "a derived stream reads a stream itself, not a query",
        )),
        TableFactor::Windowed { windowed, .. } => Err(BindError::new(
            windowed.window.span,
            "a derived stream has no windows",
        )),
        TableFactor::Nested(table) => named(&table.factor),
    }
}

/// Objects to what needs more than one row.
fn refuse(select: &ast::Select, a: &Analysed, span: Span) -> BindResult<()> {
    let group = select.group_by.first().map(|g| g.span);
    let found = if a.grouped() {
        Some((group.unwrap_or(span), "a group"))
    } else if let Some(window) = &a.window {
        Some((window.span, "a window"))
    } else if select.distinct.is_some() {
        Some((select.distinct_at.0, "DISTINCT"))
    } else if let Some(latest) = &select.latest_on {
        Some((latest.ts.span, "LATEST ON"))
    } else if let Some(qualify) = &select.qualify {
        Some((qualify.span, "QUALIFY"))
    } else {
        let calls =
            datafusion::logical_expr::utils::find_window_exprs(a.items.iter().map(|i| &i.expr));
        calls.first().map(|_| (span, "a window function"))
    };
    match found {
        Some((at, what)) => Err(BindError::new(
            at,
            format!("a derived stream makes each row of one row: {what} cannot be in it"),
        )
        .hint(Some(
            "CREATE MATERIALIZED VIEW .. AS keeps such a query's result".to_owned(),
        ))),
        None => Ok(()),
    }
}

/// The joins of a plan, the first one first.
fn join_nodes<'p>(plan: &'p LogicalPlan, out: &mut Vec<&'p Join>) {
    match plan {
        LogicalPlan::Filter(filter) => join_nodes(&filter.input, out),
        LogicalPlan::Join(join) => {
            join_nodes(&join.left, out);
            out.push(join);
        }
        _ => {}
    }
}

/// The conditions of a join, all of which are to hold.
fn conditions(join: &Join) -> Vec<Expr> {
    let on = join.on.iter().map(|(l, r)| l.clone().eq(r.clone()));
    let filter = join.filter.iter().flat_map(split_conjunction).cloned();
    on.chain(filter).collect()
}

/// The part of a table's key that a condition compares, and with what; `None` when it is no such condition. The table's
/// columns begin at number `first`, its key's stand at `places` among them.
fn key_part(condition: &Expr, first: usize, places: &[usize]) -> Option<(usize, Expr)> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = condition
    else {
        return None;
    };
    let before = |e: &Expr| {
        let columns = e.column_refs();
        let number = |c: &&Column| number_of(&Expr::Column((*c).clone()));
        columns.iter().all(|c| number(c).is_some_and(|n| n < first))
    };
    let part = |e: &Expr| {
        let place = number_of(e)?.checked_sub(first)?;
        places.iter().position(|p| *p == place)
    };
    match (part(left), part(right)) {
        (Some(part), _) if before(right) => Some((part, right.as_ref().clone())),
        (_, Some(part)) if before(left) => Some((part, left.as_ref().clone())),
        _ => None,
    }
}
