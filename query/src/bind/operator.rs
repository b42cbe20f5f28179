//! Operators, one for one.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};
use query_lang::ast::{BinaryOp, IsTest};

pub(super) fn is(expr: Box<Expr>, test: IsTest, negated: bool) -> Expr {
    match (test, negated) {
        (IsTest::Null, false) => Expr::IsNull(expr),
        (IsTest::Null, true) => Expr::IsNotNull(expr),
        (IsTest::True, false) => Expr::IsTrue(expr),
        (IsTest::True, true) => Expr::IsNotTrue(expr),
        (IsTest::False, false) => Expr::IsFalse(expr),
        (IsTest::False, true) => Expr::IsNotFalse(expr),
        (IsTest::Unknown, false) => Expr::IsUnknown(expr),
        (IsTest::Unknown, true) => Expr::IsNotUnknown(expr),
    }
}

/// Terms joined by an associative operator as a tree of logarithmic depth, so that thousands are no danger to the
/// stack of whoever walks it.
pub(super) fn balanced(terms: &mut Vec<Expr>, op: Operator) -> Expr {
    while terms.len() > 1 {
        let mut next = Vec::with_capacity(terms.len().div_ceil(2));
        let mut pairs = terms.drain(..);
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => {
                    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
                }
                None => left,
            });
        }
        drop(pairs);
        *terms = next;
    }
    // Invariant: callers pass at least one term, and the loop keeps at least one.
    terms.pop().unwrap_or_else(|| lit(true))
}

pub(super) fn compares(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Eq
            | BinaryOp::NotEq
            | BinaryOp::Lt
            | BinaryOp::LtEq
            | BinaryOp::Gt
            | BinaryOp::GtEq
            | BinaryOp::IsDistinctFrom
            | BinaryOp::IsNotDistinctFrom
    )
}

pub(super) fn operator(op: BinaryOp) -> Operator {
    match op {
        BinaryOp::Or => Operator::Or,
        BinaryOp::And => Operator::And,
        BinaryOp::Eq => Operator::Eq,
        BinaryOp::NotEq => Operator::NotEq,
        BinaryOp::Lt => Operator::Lt,
        BinaryOp::LtEq => Operator::LtEq,
        BinaryOp::Gt => Operator::Gt,
        BinaryOp::GtEq => Operator::GtEq,
        BinaryOp::IsDistinctFrom => Operator::IsDistinctFrom,
        BinaryOp::IsNotDistinctFrom => Operator::IsNotDistinctFrom,
        BinaryOp::Concat => Operator::StringConcat,
        BinaryOp::RegexMatch => Operator::RegexMatch,
        BinaryOp::RegexMatchInsensitive => Operator::RegexIMatch,
        BinaryOp::RegexNotMatch => Operator::RegexNotMatch,
        BinaryOp::RegexNotMatchInsensitive => Operator::RegexNotIMatch,
        BinaryOp::BitAnd => Operator::BitwiseAnd,
        BinaryOp::BitOr => Operator::BitwiseOr,
        BinaryOp::BitXor => Operator::BitwiseXor,
        BinaryOp::ShiftLeft => Operator::BitwiseShiftLeft,
        BinaryOp::ShiftRight => Operator::BitwiseShiftRight,
        BinaryOp::Plus => Operator::Plus,
        BinaryOp::Minus => Operator::Minus,
        BinaryOp::Multiply => Operator::Multiply,
        BinaryOp::Divide => Operator::Divide,
        BinaryOp::Modulo => Operator::Modulo,
    }
}

/// `left AND right`, for conditions that may be absent.
pub fn and(left: Option<Expr>, right: Option<Expr>) -> Option<Expr> {
    match (left, right) {
        (Some(a), Some(b)) => Some(a.and(b)),
        (a, b) => a.or(b),
    }
}
