//! Which grouped queries dense ids can answer.

use crate::bind::bucket;
use crate::bind::windowed::{AggFunc, WindowSpec, WindowedAggregate};
use crate::history::pushdown::push;
use datafusion::logical_expr::Expr;
use tsdb::types::{ColumnId, DataType, Role};
use tsdb::{Stream, ZoneOp, ZoneValue};

/// How one key column comes from a row.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Tag(ColumnId),
    Bucket { width: i64, origin: i64 },
}

/// One aggregate over a numeric field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Rows,
    Count,
    SumInt,
    SumFloat,
    AvgInt,
    AvgFloat,
    MinInt,
    MaxInt,
    MinFloat,
    MaxFloat,
}

#[derive(Clone, Debug)]
pub(super) struct Agg {
    pub kind: Kind,
    /// Index into the scanned columns; unused for [`Kind::Rows`].
    pub column: usize,
}

/// A grouped query that dense ids can answer.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub keys: Vec<Key>,
    pub aggs: Vec<Agg>,
    /// Fields to scan; those of `residual` come last.
    pub columns: Vec<ColumnId>,
    /// Comparisons that rows must still pass: column index, operator, constant.
    pub residual: Vec<(usize, ZoneOp, ZoneValue)>,
}

pub(super) fn shape(query: &WindowedAggregate, stream: &Stream) -> Option<Shape> {
    if query.window != WindowSpec::None {
        return None;
    }
    let columns_of = &query.source.schema.columns;
    let find = |e: &Expr| match e {
        Expr::Column(c) => columns_of.iter().find(|d| d.name == c.name),
        _ => None,
    };
    let mut keys = Vec::with_capacity(query.keys.len());
    for key in &query.keys {
        keys.push(match find(&key.expr) {
            Some(d) if d.role == Role::Tag => Key::Tag(d.id),
            Some(_) => return None,
            None => {
                let (width, origin) = bucket(&key.expr, &query.source.schema.time().name)?;
                Key::Bucket { width, origin }
            }
        });
    }
    if keys
        .iter()
        .filter(|k| matches!(k, Key::Bucket { .. }))
        .count()
        > 1
    {
        return None;
    }
    let mut columns: Vec<ColumnId> = Vec::new();
    let place = |columns: &mut Vec<ColumnId>, id: ColumnId| {
        columns.iter().position(|c| *c == id).unwrap_or_else(|| {
            columns.push(id);
            columns.len() - 1
        })
    };
    let mut aggs = Vec::with_capacity(query.aggregates.len());
    for call in &query.aggregates {
        if call.filter.is_some() {
            return None;
        }
        if call.func == AggFunc::CountRows {
            aggs.push(Agg {
                kind: Kind::Rows,
                column: 0,
            });
            continue;
        }
        let def = find(call.arg.as_ref()?).filter(|d| d.role == Role::Field)?;
        let int = match def.data_type {
            DataType::Int64 => true,
            DataType::Float64 => false,
            _ => return None,
        };
        let kind = match (call.func, int) {
            (AggFunc::Count, _) => Kind::Count,
            (AggFunc::Sum, true) => Kind::SumInt,
            (AggFunc::Sum, false) => Kind::SumFloat,
            (AggFunc::Avg, true) => Kind::AvgInt,
            (AggFunc::Avg, false) => Kind::AvgFloat,
            (AggFunc::Min, true) => Kind::MinInt,
            (AggFunc::Max, true) => Kind::MaxInt,
            (AggFunc::Min, false) => Kind::MinFloat,
            (AggFunc::Max, false) => Kind::MaxFloat,
            _ => return None,
        };
        aggs.push(Agg {
            kind,
            column: place(&mut columns, def.id),
        });
    }
    let pushed = push(query.filter.as_ref(), &query.source, stream).ok()?;
    if pushed.other {
        return None;
    }
    if keys.is_empty() && columns.is_empty() && query.filter.is_none() {
        // All rows are counted without reading any, by the general plan.
        return None;
    }
    let mut place = |id: ColumnId| place(&mut columns, id);
    let residual = pushed
        .zones
        .iter()
        .map(|z| (place(z.column), z.op, z.value))
        .collect();
    Some(Shape {
        keys,
        aggs,
        columns,
        residual,
    })
}
