//! Operators behind an operand.

use super::super::basic::{kw, string, sym};
use super::super::input::{PResult, Tokens};
use super::super::types::data_type;
use super::climb::{Climb, within};
use super::primary::{Parenthesized, parenthesized};
use crate::ast::{BinaryOp, Expr, ExprKind, IsTest};
use crate::precedence::{Level, binary_level};
use crate::token::{Symbol, TokenKind};

/// What an operator token (or several) announces.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    Binary {
        op: BinaryOp,
        tokens: usize,
    },
    Is,
    /// `BETWEEN`, `IN`, `LIKE`, .. with `NOT` before it or not.
    Range {
        negated: bool,
    },
    Cast,
    Subscript,
    Zone,
}

/// The operator that stands here.
pub(super) fn peek_operator(i: Tokens<'_>) -> Option<Operator> {
    let binary = |op| Some(Operator::Binary { op, tokens: 1 });
    match i.kind() {
        TokenKind::Symbol(symbol) => match symbol {
            Symbol::Plus => binary(BinaryOp::Plus),
            Symbol::Minus => binary(BinaryOp::Minus),
            Symbol::Star => binary(BinaryOp::Multiply),
            Symbol::Slash => binary(BinaryOp::Divide),
            Symbol::Percent => binary(BinaryOp::Modulo),
            Symbol::Eq | Symbol::DoubleEq => binary(BinaryOp::Eq),
            Symbol::LtGt | Symbol::BangEq => binary(BinaryOp::NotEq),
            Symbol::Lt => binary(BinaryOp::Lt),
            Symbol::LtEq => binary(BinaryOp::LtEq),
            Symbol::Gt if is_shift_right(i) => Some(Operator::Binary {
                op: BinaryOp::ShiftRight,
                tokens: 2,
            }),
            Symbol::Gt => binary(BinaryOp::Gt),
            Symbol::GtEq => binary(BinaryOp::GtEq),
            Symbol::DoublePipe => binary(BinaryOp::Concat),
            Symbol::Tilde => binary(BinaryOp::RegexMatch),
            Symbol::TildeStar => binary(BinaryOp::RegexMatchInsensitive),
            Symbol::NotTilde => binary(BinaryOp::RegexNotMatch),
            Symbol::NotTildeStar => binary(BinaryOp::RegexNotMatchInsensitive),
            Symbol::Ampersand => binary(BinaryOp::BitAnd),
            Symbol::Pipe => binary(BinaryOp::BitOr),
            Symbol::Hash => binary(BinaryOp::BitXor),
            Symbol::ShiftLeft => binary(BinaryOp::ShiftLeft),
            Symbol::DoubleColon => Some(Operator::Cast),
            Symbol::LeftBracket => Some(Operator::Subscript),
            _ => None,
        },
        TokenKind::Word => match i.text().len() {
            2 if i.is_word(0, "OR") => binary(BinaryOp::Or),
            2 if i.is_word(0, "IS") => Some(peek_is(i)),
            2 if i.is_word(0, "AT") && i.is_word(1, "TIME") => Some(Operator::Zone),
            3 if i.is_word(0, "AND") => binary(BinaryOp::And),
            3 if i.is_word(0, "NOT") => {
                at_range(i.advance()).then_some(Operator::Range { negated: true })
            }
            _ => at_range(i).then_some(Operator::Range { negated: false }),
        },
        _ => None,
    }
}

/// `>>`: two brackets that touch.
fn is_shift_right(i: Tokens<'_>) -> bool {
    i.is_symbol(1, Symbol::Gt) && i.peek(1).span().start == i.span().end
}

fn peek_is(i: Tokens<'_>) -> Operator {
    if i.is_phrase("IS NOT DISTINCT FROM") {
        Operator::Binary {
            op: BinaryOp::IsNotDistinctFrom,
            tokens: 4,
        }
    } else if i.is_phrase("IS DISTINCT FROM") {
        Operator::Binary {
            op: BinaryOp::IsDistinctFrom,
            tokens: 3,
        }
    } else {
        Operator::Is
    }
}

fn at_range(i: Tokens<'_>) -> bool {
    i.is_any_word(0, &["BETWEEN", "IN", "LIKE", "ILIKE"]) || i.is_phrase("SIMILAR TO")
}

impl Operator {
    pub fn level(self) -> Level {
        match self {
            Operator::Binary { op, .. } => binary_level(op),
            Operator::Is => Level::Is,
            Operator::Range { .. } => Level::Range,
            Operator::Cast | Operator::Subscript => Level::Postfix,
            Operator::Zone => Level::Zone,
        }
    }

    /// Parses the rest of the operator, which stands at `i`, and applies it to what is there.
    pub fn apply<'a>(self, i: Tokens<'a>, climb: Climb<'a>) -> PResult<'a, Climb<'a>> {
        let level = self.level();
        if let Operator::Binary { op, tokens } = self {
            let mut i = i;
            for _ in 0..tokens {
                i = i.advance();
            }
            let (i, right) = within(i, level.tighter(), None)?;
            return Ok((i, climb.join(i, op, right, i.state.peak.get())));
        }
        let Climb {
            start,
            expr,
            height,
            ..
        } = climb;
        let expr = Box::new(expr);
        let (i, kind) = match self {
            Operator::Is => is_test(i, expr)?,
            Operator::Range { negated: true } => range(i.advance(), expr, true)?,
            Operator::Range { negated: false } => range(i, expr, false)?,
            Operator::Cast => {
                let (i, data_type) = data_type(i.advance())?;
                (
                    i,
                    ExprKind::Cast {
                        expr,
                        data_type,
                        fallible: false,
                    },
                )
            }
            Operator::Subscript => subscript(i.advance(), expr)?,
            Operator::Binary { .. } | Operator::Zone => {
                let (i, _) = kw("AT TIME ZONE")(i)?;
                let (i, zone) = within(i, level.tighter(), None)?;
                (
                    i,
                    ExprKind::AtTimeZone {
                        expr,
                        zone: Box::new(zone),
                    },
                )
            }
        };
        let height = height.max(i.state.peak.get()) + 1;
        Ok((i, Climb::wrapped(start, i, kind, height, level)))
    }
}

/// `IS [NOT] NULL | TRUE | FALSE | UNKNOWN`
fn is_test<'a>(i: Tokens<'a>, expr: Box<Expr>) -> PResult<'a, ExprKind> {
    let mut i = i.advance();
    let negated = i.is_word(0, "NOT");
    if negated {
        i = i.advance();
    }
    for (word, test) in [
        ("NULL", IsTest::Null),
        ("TRUE", IsTest::True),
        ("FALSE", IsTest::False),
        ("UNKNOWN", IsTest::Unknown),
    ] {
        if i.is_word(0, word) {
            return Ok((
                i.advance(),
                ExprKind::Is {
                    expr,
                    test,
                    negated,
                },
            ));
        }
    }
    if !negated {
        i.note("NOT");
    }
    for word in ["NULL", "TRUE", "FALSE", "UNKNOWN"] {
        i.note(word);
    }
    i.expected("DISTINCT FROM")
}

/// `BETWEEN ..`, `IN ..`, `LIKE ..`, `SIMILAR TO ..` behind the tested expression.
fn range<'a>(i: Tokens<'a>, expr: Box<Expr>, negated: bool) -> PResult<'a, ExprKind> {
    if i.is_word(0, "BETWEEN") {
        let (i, low) = within(i.advance(), Level::Other, None)?;
        let (i, _) = kw("AND")(i)?;
        let (i, high) = within(i, Level::Other, None)?;
        let (low, high) = (Box::new(low), Box::new(high));
        return Ok((
            i,
            ExprKind::Between {
                expr,
                low,
                high,
                negated,
            },
        ));
    }
    if i.is_word(0, "IN") {
        let _depth = i.deeper(1)?;
        let (i, inner) = parenthesized(i.advance())?;
        let kind = match inner {
            Parenthesized::Query(query) => ExprKind::InSubquery {
                expr,
                query,
                negated,
            },
            Parenthesized::Exprs(list) => ExprKind::InList {
                expr,
                list,
                negated,
            },
        };
        return Ok((i, kind));
    }
    if i.is_word(0, "SIMILAR") {
        let (i, pattern) = within(i.advance().advance(), Level::Other, None)?;
        return Ok((
            i,
            ExprKind::SimilarTo {
                expr,
                pattern: Box::new(pattern),
                negated,
            },
        ));
    }
    let case_insensitive = i.is_word(0, "ILIKE");
    let (i, pattern) = within(i.advance(), Level::Other, None)?;
    let (i, escape) = if i.is_word(0, "ESCAPE") {
        escape(i.advance())?
    } else {
        (i, None)
    };
    let pattern = Box::new(pattern);
    Ok((
        i,
        ExprKind::Like {
            expr,
            pattern,
            escape,
            negated,
            case_insensitive,
        },
    ))
}

/// The one character behind `ESCAPE`.
fn escape(i: Tokens<'_>) -> PResult<'_, Option<char>> {
    let (rest, text) = string(i)?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => Ok((rest, Some(only))),
        _ => Err(i.fatal("ESCAPE takes a single character")),
    }
}

/// `i]`, `low:high]`
fn subscript<'a>(i: Tokens<'a>, expr: Box<Expr>) -> PResult<'a, ExprKind> {
    let (i, index) = super::expr(i)?;
    let (i, upper) = if i.is_symbol(0, Symbol::Colon) {
        let (i, upper) = super::expr(i.advance())?;
        (i, Some(Box::new(upper)))
    } else {
        (i, None)
    };
    let (i, _) = sym(Symbol::RightBracket)(i)?;
    Ok((
        i,
        ExprKind::Subscript {
            expr,
            index: Box::new(index),
            upper,
        },
    ))
}
