//! Precedence climbing: operands and the operators between them.

use super::super::input::{PResult, Tokens};
use super::operator::peek_operator;
use super::primary::primary;
use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use crate::precedence::{Level, binary_level};
use crate::token::{Symbol, TokenKind};

/// An expression whose outermost operator binds at least as tightly as `min`. With `left` the first
/// operand has been parsed already, from that place on, and its height is the present peak.
///
/// The height of what comes out is bounded: `state.peak` is the greatest height of the expressions
/// parsed since it was last reset, so that each step knows how high the tree under it is.
pub(crate) fn within<'a>(
    start: Tokens<'a>,
    min: Level,
    left: Option<(Tokens<'a>, Expr)>,
) -> PResult<'a, Expr> {
    let _depth = start.deeper(1)?;
    let peak = &start.state.peak;
    let outer = peak.replace(0);
    let (mut i, mut climb) = match left {
        Some((from, expr)) => {
            let (height, joined) = (outer + 1, Level::Primary);
            (
                start,
                Climb {
                    start: from,
                    expr,
                    height,
                    joined,
                },
            )
        }
        None => {
            let (i, (expr, joined)) = operand(start, min)?;
            let height = peak.get() + 1;
            (
                i,
                Climb {
                    start,
                    expr,
                    height,
                    joined,
                },
            )
        }
    };
    while let Some(next) = peek_operator(i) {
        let level = next.level();
        // What ends in a looser operator (`a IS NULL`) cannot be taken by a tighter one.
        if level < min || climb.joined < level {
            break;
        }
        if climb.joined == level && matches!(level, Level::Compare | Level::Range) {
            let message = "comparisons do not chain: join them with AND, or use parentheses";
            return Err(i.fatal(message));
        }
        peak.set(0);
        (i, climb) = next.apply(i, climb)?;
        i.check_depth(climb.height)?;
    }
    i.note("an operator");
    peak.set(outer.max(climb.height));
    Ok((i, climb.expr))
}

/// What has been parsed so far at one level of nesting.
pub(super) struct Climb<'a> {
    /// Where it begins, parentheses included.
    pub start: Tokens<'a>,
    pub expr: Expr,
    pub height: usize,
    /// The level of the operator applied last, [`Level::Primary`] before the first.
    pub joined: Level,
}

/// The first operand, with the level it ends at.
fn operand(i: Tokens<'_>, min: Level) -> PResult<'_, (Expr, Level)> {
    let (op, level) = match i.kind() {
        TokenKind::Symbol(Symbol::Minus) => (UnaryOp::Minus, Level::Sign),
        TokenKind::Symbol(Symbol::Plus) => (UnaryOp::Plus, Level::Sign),
        TokenKind::Word if i.is_word(0, "NOT") => (UnaryOp::Not, Level::Not),
        _ => {
            let (i, expr) = primary(i)?;
            return Ok((i, (expr, Level::Primary)));
        }
    };
    if level < min {
        return Err(i.fatal("a NOT behind an operator needs parentheses around it"));
    }
    let start = i;
    let (i, operand) = within(i.advance(), level, None)?;
    let kind = ExprKind::Unary {
        op,
        operand: Box::new(operand),
    };
    Ok((i, (Expr::new(kind, i.span_since(start)), level)))
}

impl<'a> Climb<'a> {
    /// Puts `op right`, which ends at `i`, behind what is there: at the end of the chain if it is one
    /// of this level, else around it.
    pub fn join(mut self, i: Tokens<'a>, op: BinaryOp, right: Expr, right_height: usize) -> Self {
        let level = binary_level(op);
        let span = i.span_since(self.start);
        if level.chains()
            && self.joined == level
            && let ExprKind::Chain { rest, .. } = &mut self.expr.kind
        {
            rest.push((op, right));
            self.expr.span = span;
            self.height = self.height.max(right_height + 1);
            return self;
        }
        let first = Box::new(self.expr);
        let kind = ExprKind::Chain {
            first,
            rest: vec![(op, right)],
        };
        let height = self.height.max(right_height) + 1;
        Climb {
            start: self.start,
            expr: Expr::new(kind, span),
            height,
            joined: level,
        }
    }

    /// Puts a postfix operator, which ends at `i`, around what was there, of this `height`.
    pub fn wrapped(
        start: Tokens<'a>,
        i: Tokens<'a>,
        kind: ExprKind,
        height: usize,
        joined: Level,
    ) -> Self {
        Climb {
            start,
            expr: Expr::new(kind, i.span_since(start)),
            height,
            joined,
        }
    }
}
