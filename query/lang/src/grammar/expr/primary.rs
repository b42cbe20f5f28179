//! What operators apply to: constants, names, calls, parentheses.

use super::super::basic::{comma_list, object_name, string, sym, unquote};
use super::super::input::{PResult, Tokens};
use super::super::interval::{at_interval_literal, interval_literal};
use super::super::query::{at_query, query, query_goes_on, query_rest};
use super::call::function_call;
use super::special;
use super::{expr, within};
use crate::ast::{Expr, ExprKind, FunctionCall, Literal, Query, SetExpr};
use crate::keyword::is_reserved;
use crate::precedence::Level;
use crate::token::{BadToken, Symbol, TokenKind};
use nom::Parser;

/// An expression without an operator outside brackets.
pub(crate) fn primary(i: Tokens<'_>) -> PResult<'_, Expr> {
    let start = i;
    let (i, kind) = match i.kind() {
        TokenKind::Symbol(Symbol::LeftParen) => {
            let (i, inner) = parenthesized(i)?;
            match inner {
                Parenthesized::Query(query) => (i, ExprKind::Subquery(query)),
                Parenthesized::Exprs(mut exprs) if exprs.len() == 1 => {
                    // The list has this one element.
                    return match exprs.pop() {
                        Some(only) => Ok((i, only)),
                        None => start.expected("an expression"),
                    };
                }
                Parenthesized::Exprs(exprs) => (i, ExprKind::Tuple(exprs)),
            }
        }
        TokenKind::Symbol(Symbol::LeftBracket) => special::array(i)?,
        TokenKind::Word => word(i)?,
        TokenKind::Quoted => name_or_call(i)?,
        _ => {
            let (i, literal) = literal(i, "an expression")?;
            (i, ExprKind::Literal(literal))
        }
    };
    Ok((i, Expr::new(kind, i.span_since(start))))
}

/// A constant of one token, called `what` when something else stands there.
pub(crate) fn literal<'a>(i: Tokens<'a>, what: &'static str) -> PResult<'a, Literal> {
    let text = i.text();
    let literal = match i.kind() {
        TokenKind::String => Literal::String(unquote(text)),
        // More digits than an i128 holds stay text.
        TokenKind::Integer => text
            .parse()
            .map_or_else(|_| Literal::Decimal(text.to_owned()), Literal::Integer),
        TokenKind::HexInteger => match i128::from_str_radix(&text[2..], 16) {
            Ok(number) => Literal::Integer(number),
            Err(_) => return Err(i.fatal("this number is too large")),
        },
        TokenKind::Decimal => Literal::Decimal(text.to_owned()),
        TokenKind::Float => Literal::Float(text.to_owned()),
        TokenKind::Bytes => Literal::Bytes(hex_bytes(&text[2..text.len() - 1])),
        TokenKind::Word if i.is_word(0, "NULL") => Literal::Null,
        TokenKind::Word if i.is_word(0, "TRUE") => Literal::Boolean(true),
        TokenKind::Word if i.is_word(0, "FALSE") => Literal::Boolean(false),
        TokenKind::Bad(bad) => return Err(bad_token(i, bad)),
        _ => return i.expected(what),
    };
    Ok((i.advance(), literal))
}

/// The objection to something that is no token.
pub(crate) fn bad_token(i: Tokens<'_>, bad: BadToken) -> nom::Err<super::super::input::Stop> {
    let text: String = i.text().chars().take(20).collect();
    let curly = text.starts_with(['‘', '’', '“', '”', '´']);
    let hint = curly.then_some("strings are written in straight quotes, 'like this'");
    let message = match bad {
        BadToken::OpenString => "this string is never closed".to_owned(),
        BadToken::OpenQuoted => "this quoted name is never closed".to_owned(),
        BadToken::EmptyQuoted => "a quoted name cannot be empty".to_owned(),
        BadToken::OpenComment => "this comment is never closed".to_owned(),
        BadToken::Number => format!("`{text}` is no number"),
        BadToken::HexDigits => "X'..' takes pairs of hexadecimal digits".to_owned(),
        BadToken::Character => format!("unexpected character `{text}`"),
    };
    let kind = crate::error::SyntaxErrorKind::Syntax;
    i.fatal_at(i.span(), kind, message, hint)
}

/// Pairs of hexadecimal digits, which the lexer has checked.
fn hex_bytes(digits: &str) -> Vec<u8> {
    let value = |b: u8| (b as char).to_digit(16).map_or(0, |d| d as u8);
    digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| value(pair[0]) << 4 | value(pair[1]))
        .collect()
}

/// What begins with a word: a keyword's own form, a name, or a call.
fn word(i: Tokens<'_>) -> PResult<'_, ExprKind> {
    let called = i.is_symbol(1, Symbol::LeftParen);
    match i.text().to_ascii_uppercase().as_str() {
        "NULL" | "TRUE" | "FALSE" => {
            let (i, literal) = literal(i, "an expression")?;
            return Ok((i, ExprKind::Literal(literal)));
        }
        "CASE" => return special::case(i),
        "CAST" if called => return special::cast(i, false),
        "TRY_CAST" if called => return special::cast(i, true),
        "EXISTS" if called => return special::exists(i),
        "EXTRACT" if called => return special::extract(i),
        "POSITION" if called => return special::position(i),
        "SUBSTRING" if called => return special::substring(i),
        "TRIM" if called => return special::trim(i),
        "ARRAY" if i.is_symbol(1, Symbol::LeftBracket) => return special::array(i.advance()),
        "GROUPING" if i.is_word(1, "SETS") => return special::grouping_sets(i),
        "INTERVAL" if at_interval_literal(i) => {
            let (i, interval) = interval_literal(i)?;
            return Ok((i, ExprKind::Literal(Literal::Interval(interval))));
        }
        name @ ("TIMESTAMP" | "DATE" | "TIME") if i.peek(1).kind == TokenKind::String => {
            let literal = match name {
                "TIMESTAMP" => Literal::Timestamp,
                "DATE" => Literal::Date,
                _ => Literal::Time,
            };
            let (i, text) = string(i.advance())?;
            return Ok((i, ExprKind::Literal(literal(text))));
        }
        _ if is_reserved(i.text()) => return i.expected("an expression"),
        _ => {}
    }
    name_or_call(i)
}

/// Functions that SQL calls without parentheses.
const BARE_FUNCTIONS: [&str; 4] = [
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "LOCALTIMESTAMP",
];

fn name_or_call(start: Tokens<'_>) -> PResult<'_, ExprKind> {
    let (i, name) = object_name(start, "an expression")?;
    if i.is_symbol(0, Symbol::LeftParen) {
        let (i, call) = function_call(i, name)?;
        return Ok((i, ExprKind::Function(Box::new(call))));
    }
    if name.parts.len() == 1 && start.is_any_word(0, &BARE_FUNCTIONS) {
        return Ok((
            i,
            ExprKind::Function(Box::new(FunctionCall::new(name, Vec::new()))),
        ));
    }
    Ok((i, ExprKind::Column(name)))
}

/// What stands in a pair of parentheses.
pub(crate) enum Parenthesized {
    /// A query.
    Query(Box<Query>),
    /// One expression, or several with commas between.
    Exprs(Vec<Expr>),
}

/// `( query )` or `( expr, .. )`.
pub(crate) fn parenthesized(i: Tokens<'_>) -> PResult<'_, Parenthesized> {
    let (i, _) = sym(Symbol::LeftParen)(i)?;
    if at_query(i) {
        let (i, query) = query(i)?;
        let (i, _) = sym(Symbol::RightParen)(i)?;
        return Ok((i, Parenthesized::Query(Box::new(query))));
    }
    if i.is_symbol(0, Symbol::LeftParen) {
        return doubly_parenthesized(i);
    }
    let (i, first) = expr(i)?;
    list_rest(i, first)
}

/// What follows the first of two opening parentheses, the second of which stands at `start`.
///
/// What it is cannot be told from the beginning: `((SELECT 1) + 1)` is an expression,
/// `((SELECT 1) UNION SELECT 2)` a query. Trying one and then the other would take time exponential
/// in the depth; so the inner parentheses are parsed once, and what follows them decides.
#[inline(never)]
fn doubly_parenthesized(start: Tokens<'_>) -> PResult<'_, Parenthesized> {
    let _depth = start.deeper(1)?;
    let peak = &start.state.peak;
    let outer = peak.replace(0);
    let (i, inner) = parenthesized(start)?;
    let span = i.span_since(start);
    let left = match inner {
        Parenthesized::Query(inner) if query_goes_on(i) => {
            let (i, query) = query_rest(i, start, SetExpr::Nested(inner))?;
            let (i, _) = sym(Symbol::RightParen)(i)?;
            peak.set(outer.max(peak.get()));
            return Ok((i, Parenthesized::Query(Box::new(query))));
        }
        Parenthesized::Query(inner) => Expr::new(ExprKind::Subquery(inner), span),
        Parenthesized::Exprs(exprs) => single_or_tuple(exprs, span),
    };
    let (i, first) = within(i, Level::Or, Some((start, left)))?;
    peak.set(outer.max(peak.get()));
    list_rest(i, first)
}

/// `, expr, ..)` behind the first expression.
#[inline(never)]
fn list_rest(i: Tokens<'_>, first: Expr) -> PResult<'_, Parenthesized> {
    let mut exprs = vec![first];
    let mut i = i;
    if i.is_symbol(0, Symbol::Comma) {
        let _depth = i.deeper(1)?;
        let (rest, more) = comma_list(expr).parse(i.advance())?;
        exprs.extend(more);
        i = rest;
    } else {
        i.note("`,`");
    }
    let (i, _) = sym(Symbol::RightParen)(i)?;
    Ok((i, Parenthesized::Exprs(exprs)))
}

/// One expression stands for itself, several are a tuple.
fn single_or_tuple(mut exprs: Vec<Expr>, span: crate::ast::Span) -> Expr {
    match exprs.pop() {
        Some(only) if exprs.is_empty() => only,
        last => {
            exprs.extend(last);
            Expr::new(ExprKind::Tuple(exprs), span)
        }
    }
}
