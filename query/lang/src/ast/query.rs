//! Queries.

use super::{Expr, Ident, ObjectName, Place, Span, TableAlias, TableRef, WindowClause, WindowSpec};

/// `[WITH ctes] body [ORDER BY ..] [LIMIT ..] [OFFSET ..] [EMIT ..]`
#[derive(Debug, Clone)]
pub struct Query {
    /// Whether `WITH RECURSIVE` was said.
    pub recursive: bool,
    /// `WITH name AS (..), ..`
    pub ctes: Vec<Cte>,
    /// What yields the rows.
    pub body: SetExpr,
    /// The order of the result.
    pub order_by: Vec<OrderItem>,
    /// At most this many rows.
    pub limit: Option<Expr>,
    /// After skipping this many.
    pub offset: Option<Expr>,
    /// Whether the query runs on, and what it emits.
    pub emit: Option<Emit>,
    /// Where `EMIT` stands.
    pub emit_at: Place,
    /// Where it stands, without any parentheses around it.
    pub span: Span,
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.recursive == other.recursive
            && self.ctes == other.ctes
            && self.body == other.body
            && self.order_by == other.order_by
            && self.limit == other.limit
            && self.offset == other.offset
            && self.emit == other.emit
    }
}

/// What a continuous query emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Emit {
    /// `EMIT CHANGES`: each change as it happens.
    Changes,
    /// `EMIT FINAL`: each window once, when it closes.
    Final,
}

/// `name [(columns)] AS (query)`
#[derive(Debug, Clone, PartialEq)]
pub struct Cte {
    /// Its name and its columns' names.
    pub alias: TableAlias,
    /// What it stands for.
    pub query: Box<Query>,
}

/// What yields rows.
#[derive(Debug, Clone, PartialEq)]
pub enum SetExpr {
    /// `SELECT ..`
    Select(Box<Select>),
    /// `VALUES (..), ..`
    Values(Values),
    /// A query in parentheses, with clauses of its own.
    Nested(Box<Query>),
    /// `first op arm op arm ..`, applied from left to right. Flat: however many arms there are, the
    /// tree is no deeper. `INTERSECT` binds tighter than the others, so it never shares a list with
    /// them. There is at least one arm.
    Operation {
        /// The leftmost operand.
        first: Box<SetExpr>,
        /// What is combined with it, in turn.
        arms: Vec<SetArm>,
    },
}

/// One `UNION [ALL] operand` of a [`SetExpr::Operation`].
#[derive(Debug, Clone, PartialEq)]
pub struct SetArm {
    /// The operator.
    pub op: SetOp,
    /// Whether duplicates stay (`ALL`).
    pub all: bool,
    /// Its right side.
    pub operand: SetExpr,
    /// Where the operator stands.
    pub at: Place,
}

/// Set operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetOp {
    /// `UNION`
    Union,
    /// `EXCEPT`
    Except,
    /// `INTERSECT`
    Intersect,
}

/// `VALUES (..), (..)`
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// The rows; at least one, each with at least one value.
    pub rows: Vec<Vec<Expr>>,
}

/// `SELECT ..` up to and without `ORDER BY`.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// `DISTINCT`, `DISTINCT ON (..)`
    pub distinct: Option<Distinct>,
    /// Where that stands.
    pub distinct_at: Place,
    /// What to compute; never empty.
    pub items: Vec<SelectItem>,
    /// The tables, joined crosswise when there are several.
    pub from: Vec<TableRef>,
    /// `LATEST ON ts PARTITION BY ..`
    pub latest_on: Option<LatestOn>,
    /// `WHERE`
    pub selection: Option<Expr>,
    /// `WINDOW TUMBLING ..`: windows over event time.
    pub window: Option<WindowClause>,
    /// `GROUP BY`
    pub group_by: Vec<Expr>,
    /// `HAVING`
    pub having: Option<Expr>,
    /// `WINDOW w AS (..), ..`: named windows for `OVER w`.
    pub named_windows: Vec<NamedWindow>,
    /// `QUALIFY`
    pub qualify: Option<Expr>,
}

/// How duplicates are removed.
#[derive(Debug, Clone, PartialEq)]
pub enum Distinct {
    /// `DISTINCT`
    All,
    /// `DISTINCT ON (..)`
    On(Vec<Expr>),
}

/// One item of the select list.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectItem {
    /// An expression with an optional name.
    Expr {
        /// What to compute.
        expr: Expr,
        /// The column's name.
        alias: Option<Ident>,
    },
    /// `*` or `t.*`, with an optional `EXCEPT (..)`.
    Wildcard {
        /// Whose columns; every table's when absent.
        of: Option<ObjectName>,
        /// The columns left out.
        except: Vec<Ident>,
        /// Where it stands.
        at: Place,
    },
}

/// `LATEST ON ts PARTITION BY a, b`: the last row of each group.
#[derive(Debug, Clone, PartialEq)]
pub struct LatestOn {
    /// The column that says which is last.
    pub ts: Expr,
    /// The groups.
    pub partition_by: Vec<Expr>,
}

/// `w AS (..)` of a `WINDOW` clause.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedWindow {
    /// Its name.
    pub name: Ident,
    /// What it stands for.
    pub spec: WindowSpec,
}

/// One item of `ORDER BY`.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderItem {
    /// What to sort by.
    pub expr: Expr,
    /// `ASC` (true) or `DESC`, if said.
    pub asc: Option<bool>,
    /// `NULLS FIRST` (true) or `NULLS LAST`, if said.
    pub nulls_first: Option<bool>,
}
