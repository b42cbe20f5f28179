//! Queries: CTEs, set operations, and what stands behind them.

use nom::Parser;
use nom::combinator::opt;
use nom::sequence::preceded;

use super::basic::{comma_list, flag, ident, kw, parens, sym};
use super::clauses::{name_list, order_by};
use super::expr::expr;
use super::input::{PResult, Tokens};
use super::select::select;
use crate::ast::{Cte, Emit, Place, Query, SetArm, SetExpr, SetOp, TableAlias, Values};
use crate::error::SyntaxErrorKind;
use crate::token::Symbol;

/// Units of depth that a query counts: its functions take more stack than an expression's.
pub(crate) const QUERY_DEPTH: usize = 5;

/// Whether a query begins here, parentheses aside.
pub(crate) fn at_query(i: Tokens<'_>) -> bool {
    i.is_any_word(0, &["SELECT", "WITH"])
        || (i.is_word(0, "VALUES") && i.is_symbol(1, Symbol::LeftParen))
}

/// Whether a query in parentheses, which ends here, is the first operand of a larger one, or all of
/// one.
pub(crate) fn query_goes_on(i: Tokens<'_>) -> bool {
    let clauses = [
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "EMIT",
    ];
    i.is_symbol(0, Symbol::RightParen) || i.is_any_word(0, &clauses)
}

/// A whole query.
pub(crate) fn query(start: Tokens<'_>) -> PResult<'_, Query> {
    let _depth = start.deeper(QUERY_DEPTH)?;
    let mut i = start;
    let (mut recursive, mut ctes) = (false, Vec::new());
    if i.is_word(0, "WITH") {
        (i, recursive) = flag("RECURSIVE")(i.advance())?;
        (i, ctes) = comma_list(cte).parse(i)?;
    }
    let (i, first) = set_operand(i)?;
    let (i, mut query) = query_rest(i, start, first)?;
    query.recursive = recursive;
    query.ctes = ctes;
    Ok((i, query))
}

/// The rest of a query whose first operand has been parsed, from `start` to `i`.
pub(crate) fn query_rest<'a>(
    i: Tokens<'a>,
    start: Tokens<'a>,
    first: SetExpr,
) -> PResult<'a, Query> {
    let (i, body) = set_rest(i, first)?;
    let (i, order) = opt(order_by).parse(i)?;
    let mut query = Query {
        recursive: false,
        ctes: Vec::new(),
        body,
        order_by: order.unwrap_or_default(),
        limit: None,
        offset: None,
        emit: None,
        emit_at: Place::default(),
        span: start.span(),
    };
    let i = tail(i, &mut query)?;
    query.span = i.span_since(start);
    Ok((i, query))
}

/// `LIMIT`, `OFFSET` and `EMIT`, each at most once and in any order.
fn tail<'a>(
    mut i: Tokens<'a>,
    query: &mut Query,
) -> Result<Tokens<'a>, nom::Err<super::input::Stop>> {
    loop {
        if query.limit.is_none() && i.is_word(0, "LIMIT") {
            let (rest, limit) = expr(i.advance())?;
            query.limit = Some(limit);
            i = rest;
        } else if query.offset.is_none() && i.is_word(0, "OFFSET") {
            let (rest, offset) = expr(i.advance())?;
            let (rest, _) = if rest.is_word(0, "ROW") {
                flag("ROW")(rest)?
            } else {
                flag("ROWS")(rest)?
            };
            query.offset = Some(offset);
            i = rest;
        } else if query.emit.is_none() && i.is_word(0, "EMIT") {
            query.emit_at = Place(i.span());
            (i, query.emit) = emit(i.advance())?;
        } else {
            for (given, clause) in [
                (query.limit.is_some(), "LIMIT"),
                (query.offset.is_some(), "OFFSET"),
                (query.emit.is_some(), "EMIT"),
            ] {
                if !given {
                    i.note(clause);
                }
            }
            return Ok(i);
        }
    }
}

fn emit(i: Tokens<'_>) -> PResult<'_, Option<Emit>> {
    if let Ok((i, _)) = kw("CHANGES")(i) {
        return Ok((i, Some(Emit::Changes)));
    }
    let (i, _) = kw("FINAL")(i)?;
    Ok((i, Some(Emit::Final)))
}

/// `name [(columns)] AS (query)`
fn cte(i: Tokens<'_>) -> PResult<'_, Cte> {
    let (i, name) = ident(i)?;
    let (i, columns) = opt(name_list).parse(i)?;
    let (i, query) = preceded(kw("AS"), parens(query)).parse(i)?;
    let alias = TableAlias {
        name,
        columns: columns.unwrap_or_default(),
    };
    Ok((
        i,
        Cte {
            alias,
            query: Box::new(query),
        },
    ))
}

/// `SELECT ..`, `VALUES ..`, `( query )`
fn set_operand(i: Tokens<'_>) -> PResult<'_, SetExpr> {
    if i.is_word(0, "VALUES") {
        let (i, values) = values(i)?;
        return Ok((i, SetExpr::Values(values)));
    }
    if i.is_symbol(0, Symbol::LeftParen) {
        let (i, query) = parens(query).parse(i)?;
        return Ok((i, SetExpr::Nested(Box::new(query))));
    }
    if !i.is_word(0, "SELECT") {
        i.note("VALUES");
        i.note("`(`");
    }
    let (i, select) = select(i)?;
    Ok((i, SetExpr::Select(Box::new(select))))
}

/// `VALUES (a, b), (c, d)`
fn values(i: Tokens<'_>) -> PResult<'_, Values> {
    let (i, rows) = preceded(kw("VALUES"), comma_list(parens(comma_list(expr)))).parse(i)?;
    let width = rows.first().map_or(0, Vec::len);
    let odd = rows.iter().find(|row| row.len() != width);
    if let Some(first) = odd.and_then(|row| row.first()) {
        let message = format!("this row does not have {width} values as the first one has");
        return Err(i.fatal_at(first.span, SyntaxErrorKind::Syntax, message, None));
    }
    Ok((i, Values { rows }))
}

/// The operators behind the first operand.
fn set_rest(i: Tokens<'_>, first: SetExpr) -> PResult<'_, SetExpr> {
    let (mut i, first) = intersect_rest(i, first)?;
    let mut arms = Vec::new();
    loop {
        let op = if i.is_word(0, "UNION") {
            SetOp::Union
        } else if i.is_word(0, "EXCEPT") {
            SetOp::Except
        } else {
            i.note("UNION");
            break;
        };
        let (rest, all) = quantifier(i.advance());
        let (rest, operand) = set_operand(rest)?;
        let (rest, operand) = intersect_rest(rest, operand)?;
        let at = Place(i.span());
        arms.push(SetArm {
            op,
            all,
            operand,
            at,
        });
        i = rest;
    }
    Ok((i, operation(first, arms)))
}

/// `INTERSECT` binds tighter than the others.
fn intersect_rest(mut i: Tokens<'_>, first: SetExpr) -> PResult<'_, SetExpr> {
    let mut arms = Vec::new();
    while i.is_word(0, "INTERSECT") {
        let (rest, all) = quantifier(i.advance());
        let (rest, operand) = set_operand(rest)?;
        arms.push(SetArm {
            op: SetOp::Intersect,
            all,
            operand,
            at: Place(i.span()),
        });
        i = rest;
    }
    Ok((i, operation(first, arms)))
}

fn operation(first: SetExpr, arms: Vec<SetArm>) -> SetExpr {
    if arms.is_empty() {
        first
    } else {
        SetExpr::Operation {
            first: Box::new(first),
            arms,
        }
    }
}

/// `ALL` is true, `DISTINCT` and nothing are false.
fn quantifier(i: Tokens<'_>) -> (Tokens<'_>, bool) {
    if i.is_word(0, "ALL") {
        (i.advance(), true)
    } else if i.is_word(0, "DISTINCT") {
        (i.advance(), false)
    } else {
        i.note("ALL");
        (i, false)
    }
}

/// A query in parentheses whose first token after them is already known to begin one.
pub(crate) fn subquery(i: Tokens<'_>) -> PResult<'_, Query> {
    let (i, _) = sym(Symbol::LeftParen)(i)?;
    let (i, query) = query(i)?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    Ok((i, query))
}
