//! Expressions.

use super::{DataType, FunctionCall, Ident, Literal, ObjectName, Query, Span};

/// An expression and where it stands.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What it says.
    pub kind: ExprKind,
    /// Where it stands, parentheses around it left out.
    pub span: Span,
}

impl Expr {
    /// An expression at a place.
    pub fn new(kind: ExprKind, span: Span) -> Self {
        Self { kind, span }
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// What an expression says. Parentheses are not kept: the tree's shape says the same.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A constant.
    Literal(Literal),
    /// A column, `c`, `t.c`, or a field of a nested one.
    Column(ObjectName),
    /// A prefix operator.
    Unary {
        /// The operator.
        op: UnaryOp,
        /// What it applies to.
        operand: Box<Expr>,
    },
    /// `first op x op y ..`: operators of one precedence, applied from left to right. Flat: however
    /// many operands there are, the tree is no deeper. `rest` is never empty; comparisons do not
    /// chain, so theirs has exactly one element.
    Chain {
        /// The leftmost operand.
        first: Box<Expr>,
        /// What is combined with it, in turn.
        rest: Vec<(BinaryOp, Expr)>,
    },
    /// `x IS [NOT] NULL | TRUE | FALSE | UNKNOWN`
    Is {
        /// What is tested.
        expr: Box<Expr>,
        /// For what.
        test: IsTest,
        /// `IS NOT`
        negated: bool,
    },
    /// `x [NOT] BETWEEN low AND high`
    Between {
        /// What is tested.
        expr: Box<Expr>,
        /// Lower bound, included.
        low: Box<Expr>,
        /// Upper bound, included.
        high: Box<Expr>,
        /// `NOT BETWEEN`
        negated: bool,
    },
    /// `x [NOT] IN (a, b, ..)`
    InList {
        /// What is looked for.
        expr: Box<Expr>,
        /// Where; never empty.
        list: Vec<Expr>,
        /// `NOT IN`
        negated: bool,
    },
    /// `x [NOT] IN (SELECT ..)`
    InSubquery {
        /// What is looked for.
        expr: Box<Expr>,
        /// Where.
        query: Box<Query>,
        /// `NOT IN`
        negated: bool,
    },
    /// `x [NOT] LIKE | ILIKE pattern [ESCAPE 'c']`
    Like {
        /// What is tested.
        expr: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// The character that makes the next one literal.
        escape: Option<char>,
        /// `NOT LIKE`
        negated: bool,
        /// `ILIKE`
        case_insensitive: bool,
    },
    /// `x [NOT] SIMILAR TO pattern`
    SimilarTo {
        /// What is tested.
        expr: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// `NOT SIMILAR TO`
        negated: bool,
    },
    /// `[NOT] EXISTS (SELECT ..)`; the `NOT` is a [`UnaryOp::Not`] around it.
    Exists(Box<Query>),
    /// `(SELECT ..)` for its one value.
    Subquery(Box<Query>),
    /// `CASE [x] WHEN .. THEN .. [ELSE ..] END`
    Case {
        /// What is compared with each `WHEN`; when absent those are conditions.
        operand: Option<Box<Expr>>,
        /// `WHEN .. THEN ..`; never empty.
        branches: Vec<CaseBranch>,
        /// `ELSE ..`
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(x AS t)`, `x::t`, `TRY_CAST(x AS t)`
    Cast {
        /// What is converted.
        expr: Box<Expr>,
        /// To what.
        data_type: DataType,
        /// Whether failure yields NULL (`TRY_CAST`) and not an error.
        fallible: bool,
    },
    /// `EXTRACT(field FROM x)`
    Extract {
        /// `YEAR`, `HOUR`, ..; the binder knows which there are.
        field: Ident,
        /// From what.
        expr: Box<Expr>,
    },
    /// `POSITION(x IN y)`
    Position {
        /// What is looked for.
        needle: Box<Expr>,
        /// Where.
        haystack: Box<Expr>,
    },
    /// `SUBSTRING(x FROM a [FOR n])`. With commas it is an ordinary [`FunctionCall`].
    Substring {
        /// Of what.
        expr: Box<Expr>,
        /// First character, from 1.
        from: Option<Box<Expr>>,
        /// How many.
        length: Option<Box<Expr>>,
    },
    /// `TRIM([BOTH | LEADING | TRAILING] [chars] FROM x)`. `TRIM(x)` is an ordinary [`FunctionCall`].
    Trim {
        /// Which ends.
        side: TrimSide,
        /// What to remove; blanks when absent.
        chars: Option<Box<Expr>>,
        /// From what.
        expr: Box<Expr>,
    },
    /// `f(..)` in all its forms.
    Function(Box<FunctionCall>),
    /// `ARRAY[a, b]`, `[a, b]`
    Array(Vec<Expr>),
    /// `x[i]`, `x[low:high]`
    Subscript {
        /// The array.
        expr: Box<Expr>,
        /// The index, or the lower end of a slice.
        index: Box<Expr>,
        /// The upper end of a slice, included.
        upper: Option<Box<Expr>>,
    },
    /// `(a, b)`; at least two.
    Tuple(Vec<Expr>),
    /// `x AT TIME ZONE zone`
    AtTimeZone {
        /// The time.
        expr: Box<Expr>,
        /// The zone.
        zone: Box<Expr>,
    },
    /// `GROUPING SETS ((a, b), (a), ())`, in `GROUP BY` only. (`ROLLUP(..)` and `CUBE(..)` are
    /// ordinary [`FunctionCall`]s.)
    GroupingSets(Vec<Vec<Expr>>),
}

/// `WHEN condition THEN result`
#[derive(Debug, Clone, PartialEq)]
pub struct CaseBranch {
    /// The condition, or the value compared with.
    pub condition: Expr,
    /// The result.
    pub result: Expr,
}

/// Prefix operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `NOT x`
    Not,
    /// `-x`
    Minus,
    /// `+x`
    Plus,
}

/// What `IS` tests for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IsTest {
    /// `IS NULL`
    Null,
    /// `IS TRUE`
    True,
    /// `IS FALSE`
    False,
    /// `IS UNKNOWN`
    Unknown,
}

/// Which ends `TRIM` works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrimSide {
    /// `BOTH`, or nothing said
    Both,
    /// `LEADING`
    Leading,
    /// `TRAILING`
    Trailing,
}

/// Operators between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `OR`
    Or,
    /// `AND`
    And,
    /// `=`, `==`
    Eq,
    /// `<>`, `!=`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// `IS DISTINCT FROM`
    IsDistinctFrom,
    /// `IS NOT DISTINCT FROM`
    IsNotDistinctFrom,
    /// `||`
    Concat,
    /// `~`: matches the regular expression
    RegexMatch,
    /// `~*`: matches it, whatever the case
    RegexMatchInsensitive,
    /// `!~`
    RegexNotMatch,
    /// `!~*`
    RegexNotMatchInsensitive,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `#`: bitwise exclusive or
    BitXor,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}
