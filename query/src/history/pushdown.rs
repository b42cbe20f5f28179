//! Which rows a condition is about: time ranges, series, zone maps.

use super::convert::TagReader;
use crate::bind::windowed::SourceRef;
use crate::types::tag_type;
use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::datatypes::{Field, Schema as ArrowSchema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::physical_expr::create_physical_expr;
use std::sync::Arc;
use tsdb::types::{DataType, Role, TimeRange};
use tsdb::{SeriesSet, Stream, ZoneOp, ZonePredicate, ZoneValue};

/// What one conjunct of a condition says.
#[derive(Debug)]
pub(super) enum Conjunct {
    /// Event time lies in a range; says all there is to say.
    Time(TimeRange),
    /// A condition on one tag, an index into the schema; says all there is to say.
    Tag(usize),
    /// A comparison of a field with a constant, which zone maps and native loops know.
    Field(ZonePredicate),
    /// Anything else.
    Other,
}

/// The conjuncts of a condition.
pub(super) fn conjuncts(e: &Expr) -> Vec<&Expr> {
    datafusion::logical_expr::utils::split_conjunction(e)
}

/// Classifies a conjunct; its columns may be qualified.
pub(super) fn classify(e: &Expr, source: &SourceRef) -> Conjunct {
    if let Some(range) = time_range(e, source) {
        return Conjunct::Time(range);
    }
    if let Some(tag) = only_tag(e, source) {
        return Conjunct::Tag(tag);
    }
    field_zone(e, source).map_or(Conjunct::Other, Conjunct::Field)
}

fn column_index(e: &Expr, source: &SourceRef) -> Option<usize> {
    match e {
        Expr::Column(c) => source.schema.columns.iter().position(|d| d.name == c.name),
        _ => None,
    }
}

fn flipped(op: Operator) -> Option<Operator> {
    op.swap()
}

/// `column op constant`, whichever way round it is written.
fn comparison<'e>(e: &'e Expr, source: &SourceRef) -> Option<(usize, Operator, &'e ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = e else {
        return None;
    };
    match (left.as_ref(), right.as_ref()) {
        (column, Expr::Literal(value, _)) => Some((column_index(column, source)?, *op, value)),
        (Expr::Literal(value, _), column) => {
            Some((column_index(column, source)?, flipped(*op)?, value))
        }
        _ => None,
    }
}

fn nanos(v: &ScalarValue) -> Option<i64> {
    match v {
        ScalarValue::TimestampNanosecond(Some(t), _) => Some(*t),
        _ => None,
    }
}

fn time_range(e: &Expr, source: &SourceRef) -> Option<TimeRange> {
    let is_time = |i: usize| source.schema.columns[i].role == Role::Time;
    if let Expr::Between(Between {
        expr,
        negated: false,
        low,
        high,
    }) = e
    {
        let (Expr::Literal(low, _), Expr::Literal(high, _)) = (low.as_ref(), high.as_ref()) else {
            return None;
        };
        if !column_index(expr, source).is_some_and(is_time) {
            return None;
        }
        return Some(closed(nanos(low)?, nanos(high)?));
    }
    let (column, op, value) = comparison(e, source)?;
    if !is_time(column) {
        return None;
    }
    let t = nanos(value)?;
    match op {
        Operator::Eq => Some(closed(t, t)),
        Operator::GtEq => Some(closed(t, i64::MAX)),
        Operator::Gt if t == i64::MAX => Some(closed(1, 0)),
        Operator::Gt => Some(closed(t + 1, i64::MAX)),
        Operator::LtEq => Some(closed(i64::MIN, t)),
        Operator::Lt if t == i64::MIN => Some(closed(1, 0)),
        Operator::Lt => Some(closed(i64::MIN, t - 1)),
        _ => None,
    }
}

/// `[low, high]` as a half-open range; the last instant needs none, since an end of `i64::MAX` admits it.
fn closed(low: i64, high: i64) -> TimeRange {
    TimeRange {
        start: low,
        end: high.saturating_add(1),
    }
}

/// The tag that a condition is about, when it is about nothing else.
fn only_tag(e: &Expr, source: &SourceRef) -> Option<usize> {
    let mut tag: Option<usize> = None;
    let mut fits = true;
    // The visitor never fails.
    let _ = e.apply(|node| {
        match node {
            Expr::Column(_) => match column_index(node, source) {
                Some(i)
                    if source.schema.columns[i].role == Role::Tag && tag.is_none_or(|t| t == i) =>
                {
                    tag = Some(i)
                }
                _ => fits = false,
            },
            Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::Placeholder(_) => fits = false,
            _ => {}
        }
        Ok(if fits {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    tag.filter(|_| fits && !e.is_volatile())
}

fn field_zone(e: &Expr, source: &SourceRef) -> Option<ZonePredicate> {
    let (column, op, value) = comparison(e, source)?;
    let def = &source.schema.columns[column];
    if def.role != Role::Field {
        return None;
    }
    let op = match op {
        Operator::Eq => ZoneOp::Eq,
        Operator::Lt => ZoneOp::Lt,
        Operator::LtEq => ZoneOp::LtEq,
        Operator::Gt => ZoneOp::Gt,
        Operator::GtEq => ZoneOp::GtEq,
        _ => return None,
    };
    let value = match (def.data_type, value) {
        (DataType::Int64, ScalarValue::Int64(Some(v))) => ZoneValue::Int(*v),
        (DataType::Timestamp, ScalarValue::TimestampNanosecond(Some(v), _)) => ZoneValue::Int(*v),
        (DataType::Float64, ScalarValue::Float64(Some(v))) if !v.is_nan() => ZoneValue::Float(*v),
        _ => return None,
    };
    Some(ZonePredicate {
        column: def.id,
        op,
        value,
    })
}

/// A condition taken apart.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// Rows outside are not wanted.
    pub time: Option<TimeRange>,
    /// Rows of other series are not wanted.
    pub series: Option<Arc<SeriesSet>>,
    /// Comparisons of fields; whoever scans checks the rows again.
    pub zones: Vec<ZonePredicate>,
    /// Whether some conjunct is none of these.
    pub other: bool,
}

/// Takes conditions apart for a scan of `stream`.
pub(super) fn push<'e>(
    filters: impl IntoIterator<Item = &'e Expr>,
    source: &SourceRef,
    stream: &Stream,
) -> Result<Pushed> {
    let mut pushed = Pushed::default();
    for filter in filters {
        for e in conjuncts(filter) {
            match classify(e, source) {
                Conjunct::Time(range) => {
                    pushed.time = Some(pushed.time.map_or(range, |t| t.intersect(&range)));
                }
                Conjunct::Tag(tag) => {
                    let set = series_where(e, tag, source, stream)?;
                    pushed.series = Some(match pushed.series.take() {
                        Some(other) => Arc::new(other.intersect(&set)),
                        None => Arc::new(set),
                    });
                }
                Conjunct::Field(zone) => pushed.zones.push(zone),
                Conjunct::Other => pushed.other = true,
            }
        }
    }
    Ok(pushed)
}

/// The series whose value of a tag fulfils `e`, which is evaluated once per distinct value.
fn series_where(e: &Expr, tag: usize, source: &SourceRef, stream: &Stream) -> Result<SeriesSet> {
    let def = &source.schema.columns[tag];
    let column = stream.series().tag_codes(def.id);
    let reader = TagReader::new(Arc::clone(&column));
    let schema = Arc::new(ArrowSchema::new(vec![Field::new(
        &def.name,
        tag_type(),
        true,
    )]));
    let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
    let bare = e
        .clone()
        .transform(|node| {
            Ok(match node {
                Expr::Column(c) if c.relation.is_some() => {
                    datafusion::common::tree_node::Transformed::yes(Expr::Column(
                        Column::new_unqualified(c.name),
                    ))
                }
                other => datafusion::common::tree_node::Transformed::no(other),
            })
        })?
        .data;
    let physical = create_physical_expr(
        &bare,
        &df_schema,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )?;
    let batch = RecordBatch::try_new(schema, vec![reader.distinct()?])?;
    let accepted = physical.evaluate(&batch)?.into_array(batch.num_rows())?;
    let Some(accepted) = accepted.as_any().downcast_ref::<BooleanArray>() else {
        return Err(datafusion::error::DataFusionError::Internal(
            "a condition is not boolean".to_owned(),
        ));
    };
    let yes = |i: usize| accepted.is_valid(i) && accepted.value(i);
    let last = batch.num_rows() - 1;
    Ok(SeriesSet::of((0..stream.series().len()).filter(
        |s| match column.code(*s) {
            0 => yes(last),
            code => yes(code as usize - 1),
        },
    )))
}
