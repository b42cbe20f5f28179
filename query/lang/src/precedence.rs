//! How tightly operators bind: one table for the grammar and the printer.

use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

/// Binding strength, loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Or,
    And,
    /// Prefix `NOT`
    Not,
    /// `IS ..`
    Is,
    /// `=`, `<` and the like; they do not chain.
    Compare,
    /// `BETWEEN`, `IN`, `LIKE`, `SIMILAR TO`; they do not chain.
    Range,
    /// `||`, `~`, `&` and the like
    Other,
    Add,
    Multiply,
    /// `AT TIME ZONE`
    Zone,
    /// Prefix `-` and `+`
    Sign,
    /// `::`, `[..]`
    Postfix,
    Primary,
}

impl Level {
    /// The next tighter level; what the right side of an operator must reach at least.
    pub fn tighter(self) -> Level {
        match self {
            Level::Or => Level::And,
            Level::And => Level::Not,
            Level::Not => Level::Is,
            Level::Is => Level::Compare,
            Level::Compare => Level::Range,
            Level::Range => Level::Other,
            Level::Other => Level::Add,
            Level::Add => Level::Multiply,
            Level::Multiply => Level::Zone,
            Level::Zone => Level::Sign,
            Level::Sign => Level::Postfix,
            Level::Postfix | Level::Primary => Level::Primary,
        }
    }

    /// Whether operators of this level gather in one flat chain.
    pub fn chains(self) -> bool {
        matches!(
            self,
            Level::Or | Level::And | Level::Other | Level::Add | Level::Multiply
        )
    }
}

/// The level of an operator between two operands.
pub(crate) fn binary_level(op: BinaryOp) -> Level {
    use BinaryOp as B;
    match op {
        B::Or => Level::Or,
        B::And => Level::And,
        B::IsDistinctFrom | B::IsNotDistinctFrom => Level::Is,
        B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq => Level::Compare,
        B::Concat
        | B::RegexMatch
        | B::RegexMatchInsensitive
        | B::RegexNotMatch
        | B::RegexNotMatchInsensitive
        | B::BitAnd
        | B::BitOr
        | B::BitXor
        | B::ShiftLeft
        | B::ShiftRight => Level::Other,
        B::Plus | B::Minus => Level::Add,
        B::Multiply | B::Divide | B::Modulo => Level::Multiply,
    }
}

/// How an operator is written.
pub(crate) fn binary_text(op: BinaryOp) -> &'static str {
    use BinaryOp as B;
    match op {
        B::Or => "OR",
        B::And => "AND",
        B::IsDistinctFrom => "IS DISTINCT FROM",
        B::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
        B::Eq => "=",
        B::NotEq => "<>",
        B::Lt => "<",
        B::LtEq => "<=",
        B::Gt => ">",
        B::GtEq => ">=",
        B::Concat => "||",
        B::RegexMatch => "~",
        B::RegexMatchInsensitive => "~*",
        B::RegexNotMatch => "!~",
        B::RegexNotMatchInsensitive => "!~*",
        B::BitAnd => "&",
        B::BitOr => "|",
        B::BitXor => "#",
        B::ShiftLeft => "<<",
        B::ShiftRight => ">>",
        B::Plus => "+",
        B::Minus => "-",
        B::Multiply => "*",
        B::Divide => "/",
        B::Modulo => "%",
    }
}

/// The level of an expression's outermost operator.
pub(crate) fn level_of(expr: &Expr) -> Level {
    match &expr.kind {
        ExprKind::Chain { rest, .. } => rest
            .first()
            .map_or(Level::Primary, |(op, _)| binary_level(*op)),
        ExprKind::Unary {
            op: UnaryOp::Not, ..
        } => Level::Not,
        ExprKind::Unary { .. } => Level::Sign,
        ExprKind::Is { .. } => Level::Is,
        ExprKind::Between { .. }
        | ExprKind::InList { .. }
        | ExprKind::InSubquery { .. }
        | ExprKind::Like { .. }
        | ExprKind::SimilarTo { .. } => Level::Range,
        ExprKind::AtTimeZone { .. } => Level::Zone,
        ExprKind::Subscript { .. } => Level::Postfix,
        _ => Level::Primary,
    }
}
