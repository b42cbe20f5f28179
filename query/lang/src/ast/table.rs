//! What stands in `FROM`.

use super::{Expr, FunctionArg, Ident, Interval, ObjectName, Place, Query, WindowClause};

/// A table and what is joined to it, from left to right. Flat: however many joins there are, the
/// tree is no deeper.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRef {
    /// The leftmost table.
    pub factor: TableFactor,
    /// What is joined to it, in turn.
    pub joins: Vec<Join>,
}

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub enum TableFactor {
    /// A stream, view or CTE by name (of one to three parts).
    Table {
        /// Its name.
        name: ObjectName,
        /// The name it goes by here.
        alias: Option<TableAlias>,
    },
    /// `(SELECT ..)`
    Derived {
        /// Whether `LATERAL` was said.
        lateral: bool,
        /// The query.
        query: Box<Query>,
        /// The name it goes by here.
        alias: Option<TableAlias>,
    },
    /// `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))` and its like.
    Windowed {
        /// What is windowed, and how.
        windowed: Box<WindowedTable>,
        /// The name it goes by here.
        alias: Option<TableAlias>,
    },
    /// A table function, `generate_series(1, 10)` or `TABLE(f(..))`.
    Function {
        /// Its name.
        name: ObjectName,
        /// Its arguments.
        args: Vec<FunctionArg>,
        /// The name it goes by here.
        alias: Option<TableAlias>,
    },
    /// Joins in parentheses. There is at least one join.
    Nested(Box<TableRef>),
}

/// A windowing table function: its rows are the input's, each once per window it falls in, with the
/// window's bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowedTable {
    /// The windows. Sizes are always given in this form (a session's gap too).
    pub window: WindowClause,
    /// `TABLE t`, or `TABLE (SELECT ..)`.
    pub input: TableFactor,
    /// The column in `DESCRIPTOR(..)`.
    pub time: Ident,
    /// `PARTITION BY` behind the table, for sessions.
    pub partition_by: Vec<Ident>,
}

/// `[AS] name [(columns)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableAlias {
    /// The table's name.
    pub name: Ident,
    /// Its columns' names, maybe none.
    pub columns: Vec<Ident>,
}

/// One join.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Which rows are kept.
    pub kind: JoinKind,
    /// The right side.
    pub factor: TableFactor,
    /// How far apart in event time two joined rows may be.
    pub within: Option<JoinWithin>,
    /// Which rows match.
    pub constraint: JoinConstraint,
    /// Where its words stand.
    pub at: Place,
}

/// Which rows a join keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// `[INNER] JOIN`
    Inner,
    /// `LEFT [OUTER] JOIN`
    Left,
    /// `RIGHT [OUTER] JOIN`
    Right,
    /// `FULL [OUTER] JOIN`
    Full,
    /// `CROSS JOIN`; it has no constraint.
    Cross,
    /// `LEFT SEMI JOIN`
    LeftSemi,
    /// `LEFT ANTI JOIN`
    LeftAnti,
    /// `RIGHT SEMI JOIN`
    RightSemi,
    /// `RIGHT ANTI JOIN`
    RightAnti,
    /// `ASOF JOIN`: each left row with the last right row not after it.
    AsOf,
    /// `ASOF LEFT JOIN`: the same, keeping left rows that have none.
    AsOfLeft,
}

/// Which rows match.
#[derive(Debug, Clone, PartialEq)]
pub enum JoinConstraint {
    /// None was given.
    None,
    /// `NATURAL` before the join: columns of the same name.
    Natural,
    /// `ON ..`
    On(Expr),
    /// `USING (..)`
    Using(Vec<Ident>),
}

/// `WITHIN 5 MINUTES`, `WITHIN (1 MINUTE, 5 MINUTES)`, each with an optional `GRACE PERIOD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinWithin {
    /// How much earlier than the left row the right one may be.
    pub before: Interval,
    /// How much later.
    pub after: Interval,
    /// How long rows are waited for after that.
    pub grace: Option<Interval>,
    /// Where it stands.
    pub at: Place,
}
