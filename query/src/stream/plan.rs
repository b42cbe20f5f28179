//! A bound query made ready to run: expressions planned, direct column reads told apart from computed ones.

use super::StreamError;
use super::agg::{Accumulator, Argument};
use super::evaluate::Source;
use super::expression::{is_volatile, physical};
use super::input::Kind;
use super::shape::Shape;
use super::window::Windows;
use crate::bind::windowed::{WindowSpec, WindowedAggregate};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::logical_expr::Expr;
use std::collections::BTreeSet;
use std::sync::Arc;
use tsdb::types::{ColumnId, Role};

/// A [`WindowedAggregate`] ready to run. Shared by all operators that run it.
#[derive(Debug)]
pub struct Plan {
    query: WindowedAggregate,
    pub(crate) windows: Windows,
    /// A condition comes before what is evaluated under it.
    pub(super) sources: Vec<Source>,
    /// Places in `sources`.
    pub(crate) filter: Option<usize>,
    pub(crate) keys: Vec<usize>,
    pub(crate) args: Vec<Option<usize>>,
    pub(crate) arg_filters: Vec<Option<usize>>,
    arguments: Vec<Argument>,
    /// The key columns when all of them are tags: then a row's key follows from its series.
    pub(crate) tag_keys: Option<Vec<ColumnId>>,
    /// What computed expressions read, as places in the stream's schema.
    pub(super) reads: Vec<usize>,
    pub(super) read_schema: SchemaRef,
    columns: Vec<ColumnId>,
    shape: Arc<Shape>,
    condition: Shape,
}

/// Collects expressions, each once.
struct Builder<'a> {
    query: &'a WindowedAggregate,
    /// Each with the place of the condition that rows must meet for it to be evaluated on them.
    exprs: Vec<(Expr, Option<usize>)>,
}

impl Builder<'_> {
    /// The place of an expression that is evaluated on the rows that `WHERE` keeps, or on those of them that meet the
    /// condition at `under`.
    fn place(&mut self, expr: &Expr, under: Option<usize>) -> usize {
        let expr = match expr {
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        // Reading a column can't fail, so that it need not be done twice.
        let under = under.filter(|_| self.index_of(expr).is_none());
        let known = |e: &(Expr, Option<usize>)| e.0 == *expr && e.1 == under;
        if let Some(i) = self.exprs.iter().position(known) {
            return i;
        }
        self.exprs.push((expr.clone(), under));
        self.exprs.len() - 1
    }

    fn index_of(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Column(c) => self.query.source.arrow.index_of(&c.name).ok(),
            _ => None,
        }
    }

    /// The columns, by place, that computed expressions read.
    fn reads(&self) -> Vec<usize> {
        let mut out = BTreeSet::new();
        let exprs = self.exprs.iter().map(|e| &e.0);
        for e in exprs.filter(|e| self.index_of(e).is_none()) {
            for c in e.column_refs() {
                out.extend(self.query.source.arrow.index_of(&c.name).ok());
            }
        }
        out.into_iter().collect()
    }

    fn source(
        &self,
        (expr, under): &(Expr, Option<usize>),
        read_schema: &Schema,
    ) -> Result<Source, StreamError> {
        let unsupported = |t: &DataType| {
            StreamError::Unsupported(format!(
                "'{expr}' is {t}: neither a number, a time, a boolean nor text"
            ))
        };
        if let Some(i) = self.index_of(expr) {
            let column = &self.query.source.schema.columns[i];
            let data_type = self.query.source.arrow.field(i).data_type();
            return Ok(match column.role {
                Role::Time => Source::Time,
                Role::Tag => Source::Tag(column.id),
                Role::Field => Source::Field(
                    column.id,
                    Kind::of(data_type).ok_or_else(|| unsupported(data_type))?,
                ),
            });
        }
        let planned = physical(expr, read_schema)?;
        let data_type = planned.data_type(read_schema)?;
        Ok(Source::Computed {
            expr: planned,
            kind: Kind::of(&data_type).ok_or_else(|| unsupported(&data_type))?,
            under: *under,
        })
    }
}

impl Plan {
    /// Plans a query.
    ///
    /// # Errors
    /// When an expression can't be planned, or the query asks for what operators don't offer.
    pub fn new(query: WindowedAggregate) -> Result<Plan, StreamError> {
        let windows = Windows::new(query.window)?;
        let mut b = Builder {
            query: &query,
            exprs: Vec::new(),
        };
        let filter = query.filter.as_ref().map(|e| b.place(e, None));
        let keys: Vec<usize> = query.keys.iter().map(|k| b.place(&k.expr, None)).collect();
        let calls = || query.aggregates.iter();
        let arg_filters: Vec<_> = calls()
            .map(|a| a.filter.as_ref().map(|e| b.place(e, None)))
            .collect();
        let args: Vec<_> = calls()
            .zip(&arg_filters)
            .map(|(a, under)| a.arg.as_ref().map(|e| b.place(e, *under)))
            .collect();
        let reads = b.reads();
        let read_schema = Arc::new(query.source.arrow.project(&reads)?);
        let sources = b
            .exprs
            .iter()
            .map(|e| b.source(e, &read_schema))
            .collect::<Result<Vec<_>, _>>()?;
        let mut columns = BTreeSet::new();
        for source in &sources {
            if let Source::Field(id, _) = source {
                columns.insert(*id);
            }
        }
        for i in &reads {
            let column = &query.source.schema.columns[*i];
            if column.role == Role::Field {
                columns.insert(column.id);
            }
        }
        let kind_at = |i: usize| match &sources[i] {
            Source::Time => Kind::Other,
            Source::Tag(_) => Kind::Str,
            Source::Field(_, kind) | Source::Computed { kind, .. } => *kind,
        };
        let arguments: Vec<Argument> = query
            .aggregates
            .iter()
            .zip(&args)
            .map(|(call, at)| Argument {
                func: call.func,
                kind: at.map_or(Kind::Other, kind_at),
                name: call.name.clone(),
                target: call.data_type.clone(),
            })
            .collect();
        for argument in &arguments {
            Accumulator::new(argument.clone())?;
        }
        let tag_keys = keys
            .iter()
            .map(|i| match sources[*i] {
                Source::Tag(id) => Some(id),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .filter(|k| !k.is_empty());
        let shape = Arc::new(Shape::new(&query)?);
        let condition = shape.project(&[])?;
        Ok(Plan {
            windows,
            filter,
            keys,
            args,
            arg_filters,
            arguments,
            tag_keys,
            reads,
            read_schema,
            columns: columns.into_iter().collect(),
            shape,
            condition,
            sources,
            query,
        })
    }

    /// Refuses expressions whose value depends on when they are evaluated: a view is a function of the log.
    ///
    /// # Errors
    /// [`StreamError::Unsupported`], naming the expression.
    pub fn check_deterministic(&self) -> Result<(), StreamError> {
        let q = &self.query;
        let all = q
            .filter
            .iter()
            .chain(q.keys.iter().map(|k| &k.expr))
            .chain(
                q.aggregates
                    .iter()
                    .flat_map(|a| a.arg.iter().chain(&a.filter)),
            )
            .chain(&q.having)
            .chain(q.projection.iter().map(|p| &p.0));
        for e in all {
            if is_volatile(e)? {
                return Err(StreamError::Unsupported(format!(
                    "'{e}' changes with the time or by chance, which a view can't follow"
                )));
            }
        }
        Ok(())
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> &WindowedAggregate {
        &self.query
    }

    /// The field columns that rows must come with.
    #[must_use]
    pub fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    /// Whether groups have a window.
    pub(crate) fn is_windowed(&self) -> bool {
        self.query.window != WindowSpec::None
    }

    pub(crate) fn accumulators(&self) -> Vec<Accumulator> {
        self.arguments
            .iter()
            // Invariant: `new` has built each once.
            .filter_map(|a| Accumulator::new(a.clone()).ok())
            .collect()
    }

    /// From group rows to those that `HAVING` keeps, without columns.
    pub(crate) fn condition(&self) -> &Shape {
        &self.condition
    }

    /// From group rows to the output.
    pub(crate) fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }
}
