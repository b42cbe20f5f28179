//! Function calls and the windows of window functions.

use super::{Expr, Ident, ObjectName, OrderItem};

/// `name([DISTINCT] args [ORDER BY ..]) [WITHIN GROUP (..)] [FILTER (..)] [nulls] [OVER ..]`
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    /// The function.
    pub name: ObjectName,
    /// `DISTINCT` before the arguments.
    pub distinct: bool,
    /// The arguments.
    pub args: Vec<FunctionArg>,
    /// `ORDER BY` behind the arguments.
    pub order_by: Vec<OrderItem>,
    /// `WITHIN GROUP (ORDER BY ..)`
    pub within_group: Vec<OrderItem>,
    /// `FILTER (WHERE ..)`
    pub filter: Option<Expr>,
    /// `IGNORE NULLS`, `RESPECT NULLS`
    pub nulls: Option<NullTreatment>,
    /// `OVER ..`
    pub over: Option<Over>,
}

/// One argument, named or not.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionArg {
    /// `name => value`
    pub name: Option<Ident>,
    /// The value.
    pub value: ArgValue,
}

/// What may stand as an argument.
#[derive(Debug, Clone, PartialEq)]
pub enum ArgValue {
    /// An expression.
    Expr(Expr),
    /// `*`, as in `COUNT(*)`
    Wildcard,
}

/// What window functions do with nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NullTreatment {
    /// `IGNORE NULLS`
    Ignore,
    /// `RESPECT NULLS`
    Respect,
}

/// `OVER w` or `OVER (..)`
#[derive(Debug, Clone, PartialEq)]
pub enum Over {
    /// A window named in the `WINDOW` clause.
    Named(Ident),
    /// A window written out.
    Spec(WindowSpec),
}

/// `[base] [PARTITION BY ..] [ORDER BY ..] [frame]`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WindowSpec {
    /// The named window this one extends.
    pub base: Option<Ident>,
    /// `PARTITION BY`
    pub partition_by: Vec<Expr>,
    /// `ORDER BY`
    pub order_by: Vec<OrderItem>,
    /// Which rows around the current one.
    pub frame: Option<WindowFrame>,
}

/// `ROWS BETWEEN start AND end`; with no `BETWEEN` there is only the start.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowFrame {
    /// What bounds count in.
    pub units: FrameUnits,
    /// First row.
    pub start: FrameBound,
    /// Last row; the current one when absent.
    pub end: Option<FrameBound>,
}

/// What frame bounds count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameUnits {
    /// `ROWS`
    Rows,
    /// `RANGE`
    Range,
    /// `GROUPS`
    Groups,
}

/// One end of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    /// `UNBOUNDED PRECEDING`
    UnboundedPreceding,
    /// `n PRECEDING`
    Preceding(Box<Expr>),
    /// `CURRENT ROW`
    CurrentRow,
    /// `n FOLLOWING`
    Following(Box<Expr>),
    /// `UNBOUNDED FOLLOWING`
    UnboundedFollowing,
}

impl FunctionCall {
    /// A plain call, `name(args)`.
    pub fn new(name: ObjectName, args: Vec<FunctionArg>) -> Self {
        Self {
            name,
            distinct: false,
            args,
            order_by: Vec::new(),
            within_group: Vec::new(),
            filter: None,
            nulls: None,
            over: None,
        }
    }
}

impl From<Expr> for FunctionArg {
    fn from(expr: Expr) -> Self {
        Self {
            name: None,
            value: ArgValue::Expr(expr),
        }
    }
}
