//! Expressions with a syntax of their own.

use nom::Parser;
use nom::combinator::opt;
use nom::multi::many1;
use nom::sequence::preceded;

use super::super::basic::{comma_list, ident, kw, object_name, string, sym};
use super::super::input::{PResult, Tokens};
use super::super::query::query;
use super::super::types::data_type;
use super::call::call_from;
use super::{expr, within};
use crate::ast::{CaseBranch, Expr, ExprKind, Ident, ObjectName, TrimSide};
use crate::keyword::is_reserved;
use crate::precedence::Level;
use crate::token::{Symbol, TokenKind, continues_word, starts_word};

/// `CASE [x] WHEN .. THEN .. [ELSE ..] END`
pub(crate) fn case(i: Tokens<'_>) -> PResult<'_, ExprKind> {
    let _depth = i.deeper(1)?;
    let i = i.advance();
    let (i, operand) = if i.is_word(0, "WHEN") {
        (i, None)
    } else {
        let (i, operand) = expr(i)?;
        (i, Some(Box::new(operand)))
    };
    let (i, branches) = many1(branch).parse(i)?;
    let (i, otherwise) = opt(preceded(kw("ELSE"), expr)).parse(i)?;
    let (i, _) = kw("END")(i)?;
    Ok((
        i,
        ExprKind::Case {
            operand,
            branches,
            otherwise: otherwise.map(Box::new),
        },
    ))
}

fn branch(i: Tokens<'_>) -> PResult<'_, CaseBranch> {
    let (i, condition) = preceded(kw("WHEN"), expr).parse(i)?;
    let (i, result) = preceded(kw("THEN"), expr).parse(i)?;
    Ok((i, CaseBranch { condition, result }))
}

/// The place behind a function's name and its opening parenthesis.
fn inside(i: Tokens<'_>) -> Tokens<'_> {
    i.advance().advance()
}

/// `CAST(x AS t)`
pub(crate) fn cast(i: Tokens<'_>, fallible: bool) -> PResult<'_, ExprKind> {
    let (i, expr) = expr(inside(i))?;
    let (i, data_type) = preceded(kw("AS"), data_type).parse(i)?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    Ok((
        i,
        ExprKind::Cast {
            expr: Box::new(expr),
            data_type,
            fallible,
        },
    ))
}

/// `EXISTS (SELECT ..)`
pub(crate) fn exists(i: Tokens<'_>) -> PResult<'_, ExprKind> {
    let (i, query) = query(inside(i))?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    Ok((i, ExprKind::Exists(Box::new(query))))
}

/// `EXTRACT(field FROM x)`; the field may be a string.
pub(crate) fn extract(i: Tokens<'_>) -> PResult<'_, ExprKind> {
    let i = inside(i);
    let (i, field) = if i.kind() == TokenKind::String {
        let (rest, text) = string(i)?;
        if !text.starts_with(starts_word) || !text.chars().all(continues_word) {
            return Err(i.fatal("a field such as 'hour' should stand here"));
        }
        (
            rest,
            Ident {
                value: text,
                quoted: false,
                span: i.span(),
            },
        )
    } else {
        ident(i)?
    };
    let (i, expr) = preceded(kw("FROM"), expr).parse(i)?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    Ok((
        i,
        ExprKind::Extract {
            field,
            expr: Box::new(expr),
        },
    ))
}

/// The call of an ordinary function, up to its first argument.
fn ordinary<'a>(start: Tokens<'a>, i: Tokens<'a>, first: Expr) -> PResult<'a, ExprKind> {
    let (_, name): (_, ObjectName) = object_name(start, "a function")?;
    let (i, call) = call_from(i, name, first)?;
    Ok((i, ExprKind::Function(Box::new(call))))
}

/// `POSITION(x IN y)`, `position(x, y)`
pub(crate) fn position(start: Tokens<'_>) -> PResult<'_, ExprKind> {
    // Tighter than IN, which separates the two.
    let (i, needle) = within(inside(start), Level::Other, None)?;
    if !i.is_word(0, "IN") {
        i.note("IN");
        return ordinary(start, i, needle);
    }
    let (i, haystack) = expr(i.advance())?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    let (needle, haystack) = (Box::new(needle), Box::new(haystack));
    Ok((i, ExprKind::Position { needle, haystack }))
}

/// `SUBSTRING(x FROM a FOR n)`, `substring(x, a, n)`
pub(crate) fn substring(start: Tokens<'_>) -> PResult<'_, ExprKind> {
    let (i, text) = expr(inside(start))?;
    if !i.is_any_word(0, &["FROM", "FOR"]) {
        i.note("FROM");
        return ordinary(start, i, text);
    }
    let (i, from) = opt(preceded(kw("FROM"), expr)).parse(i)?;
    let (i, length) = opt(preceded(kw("FOR"), expr)).parse(i)?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    let (expr, from, length) = (Box::new(text), from.map(Box::new), length.map(Box::new));
    Ok((i, ExprKind::Substring { expr, from, length }))
}

/// `TRIM([BOTH | LEADING | TRAILING] [chars] FROM x)`, `TRIM(BOTH x)`, `trim(x)`
pub(crate) fn trim(start: Tokens<'_>) -> PResult<'_, ExprKind> {
    let (i, side) = trim_side(inside(start));
    let (i, first) = if i.is_word(0, "FROM") {
        (i, None)
    } else {
        let (i, first) = expr(i)?;
        (i, Some(first))
    };
    let (i, chars, expr) = match first {
        Some(first) if !i.is_word(0, "FROM") => {
            if side.is_none() {
                i.note("FROM");
                return ordinary(start, i, first);
            }
            (i, None, first)
        }
        chars => {
            let (i, of) = preceded(kw("FROM"), expr).parse(i)?;
            (i, chars, of)
        }
    };
    let (i, _) = sym(Symbol::RightParen)(i)?;
    let side = side.unwrap_or(TrimSide::Both);
    let (chars, expr) = (chars.map(Box::new), Box::new(expr));
    Ok((i, ExprKind::Trim { side, chars, expr }))
}

/// The side, if one is given: the words are names unless what follows begins an operand or is `FROM`.
fn trim_side(i: Tokens<'_>) -> (Tokens<'_>, Option<TrimSide>) {
    let next = i.peek(1);
    let follows = match next.kind {
        TokenKind::Symbol(symbol) => matches!(
            symbol,
            Symbol::LeftParen | Symbol::LeftBracket | Symbol::Minus | Symbol::Plus
        ),
        TokenKind::Word => {
            !is_reserved(next.text(i.state.sql))
                || i.is_any_word(1, &["FROM", "CASE", "NOT", "NULL", "TRUE", "FALSE"])
        }
        TokenKind::End | TokenKind::Bad(_) => false,
        _ => true,
    };
    for (word, side) in [
        ("BOTH", TrimSide::Both),
        ("LEADING", TrimSide::Leading),
        ("TRAILING", TrimSide::Trailing),
    ] {
        if follows && i.is_word(0, word) {
            return (i.advance(), Some(side));
        }
    }
    (i, None)
}

/// `[a, b, ..]`, maybe empty
pub(crate) fn array(i: Tokens<'_>) -> PResult<'_, ExprKind> {
    let i = i.advance();
    if i.is_symbol(0, Symbol::RightBracket) {
        return Ok((i.advance(), ExprKind::Array(Vec::new())));
    }
    let (i, items) = comma_list(expr).parse(i)?;
    let (i, _) = sym(Symbol::RightBracket)(i)?;
    Ok((i, ExprKind::Array(items)))
}

/// `GROUPING SETS ((a, b), a, ())`
pub(crate) fn grouping_sets(i: Tokens<'_>) -> PResult<'_, ExprKind> {
    let (i, _) = kw("GROUPING SETS")(i)?;
    let (i, _) = sym(Symbol::LeftParen)(i)?;
    let (i, sets) = comma_list(grouping_set).parse(i)?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    Ok((i, ExprKind::GroupingSets(sets)))
}

fn grouping_set(i: Tokens<'_>) -> PResult<'_, Vec<Expr>> {
    if i.is_symbol(0, Symbol::LeftParen) && i.is_symbol(1, Symbol::RightParen) {
        return Ok((inside(i), Vec::new()));
    }
    let (i, set) = expr(i)?;
    match set.kind {
        ExprKind::Tuple(exprs) => Ok((i, exprs)),
        kind => Ok((i, vec![Expr::new(kind, set.span)])),
    }
}
