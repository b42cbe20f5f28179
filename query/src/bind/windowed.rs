//! The one form of a grouped query over one stream, whatever its spelling: what history runs over a snapshot
//! and what a continuous view runs over commits.
//!
//! Three schemas follow each other:
//! 1. [`SourceRef::arrow`]: the stream's columns. `filter`, key and aggregate arguments are expressions over it.
//! 2. [`WindowedAggregate::group_schema`]: one row per (key, window): the keys, the aggregates, and, when there is
//!    a window, `window_start` and `window_end`. `having` and `projection` are expressions over it.
//! 3. [`WindowedAggregate::output`]: what the user sees.
//!
//! Columns are always unqualified and named exactly as in the schema they stand over.

use arrow::datatypes::{DataType, SchemaRef};
use chrono_tz::Tz;
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::Expr;
use query_lang::ast::Emit;
use std::sync::Arc;
use tsdb::types::{Schema, StreamId};

/// Name of the column with a window's first instant, in group rows and, unless selected otherwise, in the output.
pub const WINDOW_START: &str = "window_start";
/// Name of the column with the instant a window ends before.
pub const WINDOW_END: &str = "window_end";

/// A stream as a query saw it when it was bound. Its columns are frozen: later ones are not part of the query.
#[derive(Clone, Debug)]
pub struct SourceRef {
    /// The database.
    pub db: String,
    /// The stream's name as created.
    pub name: String,
    /// The stream.
    pub id: StreamId,
    /// The stream's columns.
    pub schema: Arc<Schema>,
    /// The same columns in Arrow's terms, in order of their ids: time is `Timestamp(ns)` without zone and not null,
    /// tags are `Dictionary(Int32, Utf8)`, fields their plain type.
    pub arrow: SchemaRef,
}

/// Windows over event time; lengths, unless days, in nanoseconds, all above zero, offsets in `[0, size)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowSpec {
    /// One group per key over all time. Group rows have no window columns.
    None,
    /// `[k * size + offset, (k + 1) * size + offset)`
    Tumbling {
        /// Length.
        size: i64,
        /// Shift from the epoch.
        offset: i64,
    },
    /// `[k * advance + offset, k * advance + offset + size)`
    Hopping {
        /// Length.
        size: i64,
        /// From one start to the next; at most `size`.
        advance: i64,
        /// Shift from the epoch.
        offset: i64,
    },
    /// Rows of one key with less than or exactly `gap` between neighbours; ends at the last row plus `gap`.
    Session {
        /// The silence that ends a session.
        gap: i64,
    },
    /// Windows that begin together every `size` and end after each `step`.
    Cumulate {
        /// What each window is longer than the one before; divides `size`.
        step: i64,
        /// Length of the longest.
        size: i64,
        /// Shift from the epoch.
        offset: i64,
    },
    /// Whole days of a time zone, from midnight to midnight, however long those days are.
    Zoned {
        /// How many; above zero.
        days: i64,
        /// Days from 1970-01-01 to the first day of some window; in `[0, days)`.
        offset: i64,
        /// The zone.
        zone: Tz,
    },
}

/// More slices than this in one window are refused: each read of a window merges them all.
pub const MAX_SLICES: i64 = 10_000;

/// The longest slice of time that windows of this size and advance are made of whole: their greatest common divisor.
#[must_use]
pub fn slice(size: i64, advance: i64) -> i64 {
    if advance == 0 {
        size
    } else {
        slice(advance, size % advance)
    }
}

impl WindowSpec {
    /// Whether group rows have window columns.
    #[must_use]
    pub fn is_windowed(&self) -> bool {
        *self != WindowSpec::None
    }
}

/// One expression that rows are grouped by.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupKey {
    /// Over the stream's columns.
    pub expr: Expr,
    /// The column's name in the group schema.
    pub name: String,
    /// Its type in the group schema: the expression's, but `Utf8` where that is a dictionary of strings.
    pub data_type: DataType,
}

/// What an aggregate computes. Nulls are left out by all but [`AggFunc::CountRows`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AggFunc {
    /// `COUNT(*)`: Int64.
    CountRows,
    /// `COUNT(x)`: Int64.
    Count,
    /// `COUNT(DISTINCT x)`: Int64.
    CountDistinct,
    /// `SUM(x)`: Int64, UInt64, Float64 or Decimal128(38, s).
    Sum,
    /// `AVG(x)`: Float64, or a decimal with four more digits.
    Avg,
    /// `MIN(x)`: the argument's type.
    Min,
    /// `MAX(x)`: the argument's type.
    Max,
    /// `COLLECT_LIST(x)`: a list in order of event time, series, log; capped at 10,000.
    CollectList,
    /// `FIRST(x)`: the value earliest in that order.
    First,
    /// `LAST(x)`: the value latest in that order.
    Last,
    /// `VAR_SAMP(x)`: Float64, null below two rows.
    VarSample,
    /// `VAR_POP(x)`: Float64.
    VarPopulation,
    /// `STDDEV_SAMP(x)`: Float64, null below two rows.
    StddevSample,
    /// `STDDEV_POP(x)`: Float64.
    StddevPopulation,
    /// `PERCENTILE(x, p)`: exact and continuous; Float64. The share is in `[0, 1]`.
    Percentile(f64),
    /// `APPROX_PERCENTILE(x, p)`: from a sketch; Float64. The share is in `[0, 1]`.
    ApproxPercentile(f64),
}

/// One aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct AggCall {
    /// What it computes.
    pub func: AggFunc,
    /// Of what, over the stream's columns; `None` for [`AggFunc::CountRows`] alone. Where the source column is a
    /// dictionary of strings the argument is too; the result is of plain strings.
    pub arg: Option<Expr>,
    /// `FILTER (WHERE ..)`, over the stream's columns.
    pub filter: Option<Expr>,
    /// The column's name in the group schema.
    pub name: String,
    /// The column's type in the group schema.
    pub data_type: DataType,
}

/// A grouped query over one stream.
#[derive(Clone, Debug)]
pub struct WindowedAggregate {
    /// Where the rows come from.
    pub source: SourceRef,
    /// `WHERE`, over the stream's columns; boolean.
    pub filter: Option<Expr>,
    /// The windows.
    pub window: WindowSpec,
    /// How long after its end a window stays open, in nanoseconds; at least 0.
    pub grace: i64,
    /// What rows are grouped by besides windows. With neither keys nor a window there is always exactly one group row.
    pub keys: Vec<GroupKey>,
    /// What is computed per group.
    pub aggregates: Vec<AggCall>,
    /// Keys, aggregates, window columns: the columns of a group row.
    pub group_schema: DFSchemaRef,
    /// `HAVING`, over the group schema; boolean.
    pub having: Option<Expr>,
    /// The output columns, over the group schema, each with its name. Window columns are already appended where due.
    pub projection: Vec<(Expr, String)>,
    /// The output columns' names and types, one for each of `projection`.
    pub output: SchemaRef,
    /// What a continuous query emits; `None` in history and in views.
    pub emit: Option<Emit>,
}

/// A query over one stream without grouping: each row by itself.
#[derive(Clone, Debug)]
pub struct RowQuery {
    /// Where the rows come from.
    pub source: SourceRef,
    /// `WHERE`, over the stream's columns; boolean.
    pub filter: Option<Expr>,
    /// The output columns, over the stream's columns, each with its name.
    pub projection: Vec<(Expr, String)>,
    /// The output columns' names and types, one for each of `projection`.
    pub output: SchemaRef,
    /// What a continuous query emits; `None` in views.
    pub emit: Option<Emit>,
}

/// What can be kept up to date on write.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // one per view, never in bulk
pub enum ContinuousQuery {
    /// Grouped rows.
    Aggregate(WindowedAggregate),
    /// Single rows.
    Rows(RowQuery),
}

impl ContinuousQuery {
    /// Where the rows come from.
    #[must_use]
    pub fn source(&self) -> &SourceRef {
        match self {
            ContinuousQuery::Aggregate(q) => &q.source,
            ContinuousQuery::Rows(q) => &q.source,
        }
    }

    /// The output columns.
    #[must_use]
    pub fn output(&self) -> &SchemaRef {
        match self {
            ContinuousQuery::Aggregate(q) => &q.output,
            ContinuousQuery::Rows(q) => &q.output,
        }
    }

    /// The same with its first output columns named so.
    #[must_use]
    pub fn renamed(mut self, names: &[String]) -> Self {
        let (projection, output) = match &mut self {
            ContinuousQuery::Aggregate(q) => (&mut q.projection, &mut q.output),
            ContinuousQuery::Rows(q) => (&mut q.projection, &mut q.output),
        };
        let mut fields: Vec<_> = output.fields().iter().cloned().collect();
        for ((name, field), (_, shown)) in names.iter().zip(&mut fields).zip(projection) {
            *field = Arc::new(field.as_ref().clone().with_name(name));
            shown.clone_from(name);
        }
        *output = Arc::new(arrow::datatypes::Schema::new(fields));
        self
    }
}
