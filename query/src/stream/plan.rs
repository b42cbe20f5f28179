//! A bound query made ready to run: expressions planned, direct column reads told apart from computed ones.

use super::StreamError;
use super::agg::{Accumulator, Argument};
use super::block::{RowBlock, Tags};
use super::input::{Input, Kind};
use super::window::Windows;
use crate::bind::windowed::{WindowSpec, WindowedAggregate};
use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use tsdb::types::{ColumnId, Role};

/// Plans expressions. Functions are part of the expressions, so that one state does for all.
static PLANNER: LazyLock<SessionState> =
    LazyLock::new(|| SessionStateBuilder::new_with_default_features().build());

/// Where the values of an expression come from.
#[derive(Debug)]
enum Source {
    Time,
    Tag(ColumnId),
    Field(ColumnId, Kind),
    Computed(Arc<dyn PhysicalExpr>, Kind),
}

/// A [`WindowedAggregate`] ready to run. Shared by all operators that run it.
#[derive(Debug)]
pub struct Plan {
    query: WindowedAggregate,
    pub(crate) windows: Windows,
    sources: Vec<Source>,
    /// Places in `sources`.
    pub(crate) filter: Option<usize>,
    pub(crate) keys: Vec<usize>,
    pub(crate) args: Vec<Option<usize>>,
    pub(crate) arg_filters: Vec<Option<usize>>,
    arguments: Vec<Argument>,
    /// The key columns when all of them are tags: then a row's key follows from its series.
    pub(crate) tag_keys: Option<Vec<ColumnId>>,
    /// What computed expressions read, as places in the stream's schema.
    reads: Vec<usize>,
    read_schema: SchemaRef,
    columns: Vec<ColumnId>,
    having: Option<Arc<dyn PhysicalExpr>>,
    projection: Vec<Arc<dyn PhysicalExpr>>,
    group_schema: SchemaRef,
}

/// Plans an expression over a schema, types coerced.
pub(crate) fn physical(expr: &Expr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>, StreamError> {
    let schema = DFSchema::try_from(schema.clone())?;
    Ok(PLANNER.create_physical_expr(expr.clone(), &schema)?)
}

/// Whether the value of an expression depends on more than its row: on the time, on chance.
pub(crate) fn is_volatile(expr: &Expr) -> Result<bool, StreamError> {
    let mut volatile = false;
    expr.apply(|e| {
        if let Expr::ScalarFunction(call) = e {
            volatile |= call.func.signature().volatility != Volatility::Immutable;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(volatile)
}

/// A boolean array that is true where the condition holds.
pub(crate) fn holds(
    condition: &dyn PhysicalExpr,
    batch: &RecordBatch,
) -> Result<arrow::array::BooleanArray, StreamError> {
    let array = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    let array = array
        .as_boolean_opt()
        .ok_or_else(|| StreamError::Expression("a condition is not boolean".to_string()))?;
    Ok(match array.nulls() {
        None => array.clone(),
        Some(_) => arrow::compute::prep_null_mask_filter(array),
    })
}

/// The columns of `projection` over `batch`, typed and named as in `output`.
pub(crate) fn project(
    projection: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
    output: &SchemaRef,
) -> Result<RecordBatch, StreamError> {
    let columns = projection
        .iter()
        .zip(output.fields())
        .map(|(e, field)| {
            let array = e.evaluate(batch)?.into_array(batch.num_rows())?;
            if array.data_type() == field.data_type() {
                return Ok(array);
            }
            Ok(arrow::compute::cast(&array, field.data_type())?)
        })
        .collect::<Result<Vec<_>, StreamError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        output.clone(),
        columns,
        &options,
    )?)
}

/// Collects expressions, each once.
struct Builder<'a> {
    query: &'a WindowedAggregate,
    exprs: Vec<Expr>,
}

impl Builder<'_> {
    fn place(&mut self, expr: &Expr) -> usize {
        let expr = match expr {
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        if let Some(i) = self.exprs.iter().position(|e| e == expr) {
            return i;
        }
        self.exprs.push(expr.clone());
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
        for e in self.exprs.iter().filter(|e| self.index_of(e).is_none()) {
            for c in e.column_refs() {
                out.extend(self.query.source.arrow.index_of(&c.name).ok());
            }
        }
        out.into_iter().collect()
    }

    fn source(&self, expr: &Expr, read_schema: &Schema) -> Result<Source, StreamError> {
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
        let kind = Kind::of(&data_type).ok_or_else(|| unsupported(&data_type))?;
        Ok(Source::Computed(planned, kind))
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
        let filter = query.filter.as_ref().map(|e| b.place(e));
        let keys: Vec<usize> = query.keys.iter().map(|k| b.place(&k.expr)).collect();
        let args: Vec<_> = query
            .aggregates
            .iter()
            .map(|a| a.arg.as_ref().map(|e| b.place(e)))
            .collect();
        let arg_filters = query
            .aggregates
            .iter()
            .map(|a| a.filter.as_ref().map(|e| b.place(e)))
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
            Source::Field(_, kind) | Source::Computed(_, kind) => *kind,
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
        let group_schema: SchemaRef = Arc::new(query.group_schema.as_arrow().clone());
        let having = query
            .having
            .as_ref()
            .map(|e| physical(e, &group_schema))
            .transpose()?;
        let projection = query
            .projection
            .iter()
            .map(|(e, _)| physical(e, &group_schema))
            .collect::<Result<Vec<_>, _>>()?;
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
            having,
            projection,
            group_schema,
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

    pub(crate) fn group_schema(&self) -> &SchemaRef {
        &self.group_schema
    }

    /// Evaluates all expressions over a block. Key columns that follow from the series are left out.
    pub(crate) fn evaluate(
        &self,
        block: &RowBlock<'_>,
        tags: &dyn Tags,
    ) -> Result<Vec<Input>, StreamError> {
        let computed = self
            .sources
            .iter()
            .any(|s| matches!(s, Source::Computed(..)));
        let batch = if computed {
            Some(self.record_batch(block, tags)?)
        } else {
            None
        };
        let used = |i: usize| {
            self.tag_keys.is_none()
                || self.args.contains(&Some(i))
                || self.arg_filters.contains(&Some(i))
                || self.filter == Some(i)
        };
        self.sources
            .iter()
            .enumerate()
            .map(|(i, source)| match (source, &batch) {
                _ if !used(i) => Ok(Input::null()),
                (Source::Time, _) => Ok(Input::from_times(block.time())),
                (Source::Tag(id), _) => Ok(block.tag(*id, tags)),
                (Source::Field(id, kind), _) => Ok(block.field(*id, *kind)),
                (Source::Computed(e, kind), Some(batch)) => {
                    let array = match e.evaluate(batch)? {
                        ColumnarValue::Scalar(ScalarValue::Null) => return Ok(Input::null()),
                        value => value.into_array(block.rows())?,
                    };
                    Input::from_array(&array, *kind)
                }
                // `batch` is there whenever one source is computed.
                (Source::Computed(..), None) => Ok(Input::null()),
            })
            .collect()
    }

    fn record_batch(
        &self,
        block: &RowBlock<'_>,
        tags: &dyn Tags,
    ) -> Result<RecordBatch, StreamError> {
        read_columns(
            &self.query.source.schema,
            &self.reads,
            &self.read_schema,
            block,
            tags,
        )
    }

    /// `HAVING` and the projection, over group rows.
    pub(crate) fn output(&self, mut groups: RecordBatch) -> Result<RecordBatch, StreamError> {
        if let Some(having) = &self.having {
            let keep = holds(having.as_ref(), &groups)?;
            groups = arrow::compute::filter_record_batch(&groups, &keep)?;
        }
        project(&self.projection, &groups, &self.query.output)
    }
}

/// Columns of a block, by their places in the stream's schema, as Arrow has them.
pub(crate) fn read_columns(
    schema: &tsdb::types::Schema,
    places: &[usize],
    arrow: &SchemaRef,
    block: &RowBlock<'_>,
    tags: &dyn Tags,
) -> Result<RecordBatch, StreamError> {
    let columns = places
        .iter()
        .zip(arrow.fields())
        .map(|(i, field)| {
            let column = &schema.columns[*i];
            let kind = Kind::of(field.data_type()).unwrap_or(Kind::Other);
            let input = match column.role {
                Role::Time => Input::from_times(block.time()),
                Role::Tag => block.tag(column.id, tags),
                Role::Field => block.field(column.id, kind),
            };
            input.to_array(block.rows(), field.data_type())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(block.rows()));
    Ok(RecordBatch::try_new_with_options(
        arrow.clone(),
        columns,
        &options,
    )?)
}
