//! `FROM`: tables and joins.

use nom::Parser;
use nom::combinator::opt;

use super::basic::{flag, ident, kw, sym, table_name};
use super::clauses::name_list;
use super::expr::{call_args, expr};
use super::input::{PResult, Stop, Tokens};
use super::interval::not_negative;
use super::query::{at_query, query, query_goes_on, query_rest, subquery};
use super::statement::at_sample;
use super::window::{at_windowed_table, refuse_pattern, windowed_table};
use crate::ast::{
    Join, JoinConstraint, JoinKind, JoinWithin, Place, Query, SetExpr, TableAlias, TableFactor,
    TableRef,
};
use crate::keyword::can_be_bare_alias;
use crate::token::{Symbol, TokenKind};

/// A table and what is joined to it.
pub(crate) fn table_ref(i: Tokens<'_>) -> PResult<'_, TableRef> {
    let (i, factor) = factor(i)?;
    joins(i, factor)
}

/// The joins behind the first table.
fn joins(mut i: Tokens<'_>, factor: TableFactor) -> PResult<'_, TableRef> {
    let mut joins = Vec::new();
    while let Some((rest, natural, kind)) = join_kind(i)? {
        let (rest, join) = join(rest, natural, kind, Place(i.span()))?;
        joins.push(join);
        i = rest;
    }
    Ok((i, TableRef { factor, joins }))
}

/// One table with its alias.
fn factor(i: Tokens<'_>) -> PResult<'_, TableFactor> {
    if i.is_symbol(0, Symbol::LeftParen) {
        let (i, inner) = in_parens(i)?;
        return match inner {
            InParens::Query(query) => derived(i, false, query),
            InParens::Factor(factor) => Ok((i, factor)),
        };
    }
    if i.is_word(0, "LATERAL") && i.is_symbol(1, Symbol::LeftParen) {
        let (i, query) = subquery(i.advance())?;
        return derived(i, true, query);
    }
    if i.is_word(0, "TABLE") && i.is_symbol(1, Symbol::LeftParen) {
        let (i, factor) = function(i.advance().advance(), true)?;
        return Ok((i, factor));
    }
    if at_windowed_table(i) {
        return function(i, false);
    }
    let (i, name) = table_name(i, "a table")?;
    if i.is_symbol(0, Symbol::LeftParen) {
        return call(i, name, false);
    }
    refuse_pattern(i)?;
    let (i, alias) = table_alias(i)?;
    refuse_pattern(i)?;
    Ok((i, TableFactor::Table { name, alias }))
}

fn derived(i: Tokens<'_>, lateral: bool, query: Query) -> PResult<'_, TableFactor> {
    refuse_pattern(i)?;
    let (i, alias) = table_alias(i)?;
    refuse_pattern(i)?;
    Ok((
        i,
        TableFactor::Derived {
            lateral,
            query: Box::new(query),
            alias,
        },
    ))
}

/// A table function, windowing or not; `wrapped` when in `TABLE(..)`.
fn function(i: Tokens<'_>, wrapped: bool) -> PResult<'_, TableFactor> {
    if !at_windowed_table(i) {
        let (i, name) = table_name(i, "a table function")?;
        return call(i, name, wrapped);
    }
    let (i, windowed) = windowed_table(i)?;
    let (i, alias) = function_alias(i, wrapped)?;
    Ok((
        i,
        TableFactor::Windowed {
            windowed: Box::new(windowed),
            alias,
        },
    ))
}

/// The arguments and the alias of a table function.
fn call<'a>(
    i: Tokens<'a>,
    name: crate::ast::ObjectName,
    wrapped: bool,
) -> PResult<'a, TableFactor> {
    let (i, _) = sym(Symbol::LeftParen)(i)?;
    let (i, args) = if i.is_symbol(0, Symbol::RightParen) {
        (i, Vec::new())
    } else {
        call_args(i)?
    };
    let (i, _) = sym(Symbol::RightParen)(i)?;
    let (i, alias) = function_alias(i, wrapped)?;
    Ok((i, TableFactor::Function { name, args, alias }))
}

fn function_alias(i: Tokens<'_>, wrapped: bool) -> PResult<'_, Option<TableAlias>> {
    let i = if wrapped {
        sym(Symbol::RightParen)(i)?.0
    } else {
        i
    };
    table_alias(i)
}

/// What stands in parentheses in `FROM`.
enum InParens {
    Query(Query),
    Factor(TableFactor),
}

/// `( query )` or `( joins )`. As with expressions, inner parentheses are parsed once and what
/// follows them decides: `((SELECT 1) UNION SELECT 2)`, `((SELECT 1) AS a JOIN b ..)`.
fn in_parens(i: Tokens<'_>) -> PResult<'_, InParens> {
    let _depth = i.deeper(3)?;
    let (start, _) = sym(Symbol::LeftParen)(i)?;
    if at_query(start) {
        let (i, query) = query(start)?;
        let (i, _) = sym(Symbol::RightParen)(i)?;
        return Ok((i, InParens::Query(query)));
    }
    let (i, table) = if start.is_symbol(0, Symbol::LeftParen) {
        let (i, inner) = in_parens(start)?;
        let (i, factor) = match inner {
            InParens::Query(inner) if query_goes_on(i) => {
                let (i, query) = query_rest(i, start, SetExpr::Nested(Box::new(inner)))?;
                let (i, _) = sym(Symbol::RightParen)(i)?;
                return Ok((i, InParens::Query(query)));
            }
            InParens::Query(inner) => derived(i, false, inner)?,
            InParens::Factor(factor) => (i, factor),
        };
        joins(i, factor)?
    } else {
        table_ref(start)?
    };
    let (i, _) = sym(Symbol::RightParen)(i)?;
    // Parentheses around a single table say nothing.
    let factor = if table.joins.is_empty() {
        table.factor
    } else {
        TableFactor::Nested(Box::new(table))
    };
    Ok((i, InParens::Factor(factor)))
}

/// `[AS] name [(columns)]`
fn table_alias(i: Tokens<'_>) -> PResult<'_, Option<TableAlias>> {
    let (i, name) = if i.is_word(0, "AS") {
        ident(i.advance())?
    } else {
        let bare = match i.kind() {
            TokenKind::Word => can_be_bare_alias(i.text()) && !at_sample(i),
            TokenKind::Quoted => true,
            _ => false,
        };
        if !bare {
            i.note("AS");
            return Ok((i, None));
        }
        ident(i)?
    };
    let (i, columns) = if i.is_symbol(0, Symbol::LeftParen) {
        name_list(i)?
    } else {
        (i, Vec::new())
    };
    Ok((i, Some(TableAlias { name, columns })))
}

/// The words of a join up to and with `JOIN`, if one stands here.
#[allow(
    clippy::type_complexity,
    reason = "a place, a flag and a kind, used once"
)]
fn join_kind(i: Tokens<'_>) -> Result<Option<(Tokens<'_>, bool, JoinKind)>, nom::Err<Stop>> {
    let natural = i.is_word(0, "NATURAL");
    let start = if natural { i.advance() } else { i };
    let forms: [(&str, &[(&str, JoinKind)], JoinKind); 6] = [
        ("INNER", &[], JoinKind::Inner),
        (
            "LEFT",
            &[
                ("OUTER", JoinKind::Left),
                ("SEMI", JoinKind::LeftSemi),
                ("ANTI", JoinKind::LeftAnti),
            ],
            JoinKind::Left,
        ),
        (
            "RIGHT",
            &[
                ("OUTER", JoinKind::Right),
                ("SEMI", JoinKind::RightSemi),
                ("ANTI", JoinKind::RightAnti),
            ],
            JoinKind::Right,
        ),
        ("FULL", &[("OUTER", JoinKind::Full)], JoinKind::Full),
        ("CROSS", &[], JoinKind::Cross),
        ("ASOF", &[("LEFT", JoinKind::AsOfLeft)], JoinKind::AsOf),
    ];
    let found = forms.iter().find(|(word, ..)| start.is_word(0, word));
    let (rest, kind) = match found {
        None => (start, JoinKind::Inner),
        Some((_, seconds, plain)) => {
            let i = start.advance();
            let second = seconds.iter().find(|(word, _)| i.is_word(0, word));
            second.map_or((i, *plain), |(_, kind)| (i.advance(), *kind))
        }
    };
    if found.is_none() && !natural && !start.is_word(0, "JOIN") {
        start.note("JOIN");
        return Ok(None);
    }
    let (rest, _) = kw("JOIN")(rest)?;
    Ok(Some((rest, natural, kind)))
}

/// The right side of a join and how it matches.
fn join(i: Tokens<'_>, natural: bool, kind: JoinKind, at: Place) -> PResult<'_, Join> {
    let (i, factor) = factor(i)?;
    let (i, early) = opt(within_clause).parse(i)?;
    let (i, constraint) = constraint(i, natural, kind)?;
    let (i, late) = if early.is_none() {
        opt(within_clause).parse(i)?
    } else {
        (i, None)
    };
    Ok((
        i,
        Join {
            kind,
            factor,
            within: early.or(late),
            constraint,
            at,
        },
    ))
}

fn constraint(i: Tokens<'_>, natural: bool, kind: JoinKind) -> PResult<'_, JoinConstraint> {
    if natural {
        return Ok((i, JoinConstraint::Natural));
    }
    if kind == JoinKind::Cross {
        return Ok((i, JoinConstraint::None));
    }
    if let Ok((i, _)) = kw("ON")(i) {
        let (i, on) = expr(i)?;
        return Ok((i, JoinConstraint::On(on)));
    }
    if let Ok((i, _)) = kw("USING")(i) {
        let (i, columns) = name_list(i)?;
        return Ok((i, JoinConstraint::Using(columns)));
    }
    // An ASOF join matches by time alone if need be; the others cannot do without.
    if matches!(kind, JoinKind::AsOf | JoinKind::AsOfLeft) {
        return Ok((i, JoinConstraint::None));
    }
    Err(nom::Err::Error(Stop))
}

/// `WITHIN 5 MINUTES`, `WITHIN (1 MINUTE, 5 MINUTES)`, `.. GRACE PERIOD 1 HOUR`
fn within_clause(i: Tokens<'_>) -> PResult<'_, JoinWithin> {
    let at = Place(i.span());
    let (i, _) = kw("WITHIN")(i)?;
    let length = not_negative("the distance of a join");
    let (i, before, after) = if i.is_symbol(0, Symbol::LeftParen) {
        let (i, before) = length(i.advance())?;
        let (i, _) = sym(Symbol::Comma)(i)?;
        let (i, after) = length(i)?;
        let (i, _) = sym(Symbol::RightParen)(i)?;
        (i, before, after)
    } else {
        let (i, both) = length(i)?;
        (i, both, both)
    };
    let (i, graced) = flag("GRACE PERIOD")(i)?;
    let (i, grace) = if graced {
        let (i, grace) = not_negative("the grace period")(i)?;
        (i, Some(grace))
    } else {
        (i, None)
    };
    Ok((
        i,
        JoinWithin {
            before,
            after,
            grace,
            at,
        },
    ))
}
