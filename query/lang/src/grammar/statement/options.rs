//! `WITH (name = value, ..)`

use nom::Parser;
use nom::combinator::{map, opt};
use nom::sequence::preceded;

use super::super::basic::{comma_list, kw, parens, sym, unquote};
use super::super::expr::literal;
use super::super::input::{PResult, Stop, Tokens};
use super::super::interval::{at_bare_interval, at_interval_literal, interval};
use crate::ast::{Literal, SqlOption};
use crate::token::{Symbol, TokenKind};

/// `WITH (..)` if it is there.
pub(crate) fn with_options(i: Tokens<'_>) -> PResult<'_, Vec<SqlOption>> {
    let (i, options) = opt(preceded(kw("WITH"), parens(comma_list(option)))).parse(i)?;
    Ok((i, options.unwrap_or_default()))
}

/// Objects to an option given twice; `i` is any place of the statement.
pub(crate) fn check_unique(i: Tokens<'_>, options: &[SqlOption]) -> Result<(), nom::Err<Stop>> {
    let mut names: Vec<(String, &SqlOption)> = options
        .iter()
        .map(|option| (option.name.to_ascii_lowercase(), option))
        .collect();
    names.sort_by_key(|(name, option)| (name.clone(), option.name_span.start));
    let twice = names.windows(2).find(|pair| pair[0].0 == pair[1].0);
    twice.map_or(Ok(()), |pair| {
        let message = format!("the option `{}` is given twice", pair[1].1.name);
        let kind = crate::error::SyntaxErrorKind::Syntax;
        Err(i.fatal_at(pair[1].1.name_span, kind, message, None))
    })
}

/// `name = value`
fn option(start: Tokens<'_>) -> PResult<'_, SqlOption> {
    let (i, name) = option_name(start)?;
    let name_span = i.span_since(start);
    let (value_start, _) = sym(Symbol::Eq)(i)?;
    let (i, value) = option_value(value_start)?;
    let value_span = i.span_since(value_start);
    Ok((
        i,
        SqlOption {
            name,
            name_span,
            value,
            value_span,
        },
    ))
}

/// `retention`, `kafka.group.id`, `'kafka.group.id'`
fn option_name(i: Tokens<'_>) -> PResult<'_, String> {
    let part = |i: Tokens<'_>| match i.kind() {
        TokenKind::Word => Some(i.text().to_owned()),
        TokenKind::Quoted => Some(unquote(i.text())),
        _ => None,
    };
    if i.kind() == TokenKind::String && i.text() != "''" {
        return Ok((i.advance(), unquote(i.text())));
    }
    let Some(mut name) = part(i) else {
        return i.expected("an option");
    };
    let mut i = i.advance();
    while i.is_symbol(0, Symbol::Dot) {
        i = i.advance();
        let Some(more) = part(i) else {
            return i.expected("an option");
        };
        name.push('.');
        name.push_str(&more);
        i = i.advance();
    }
    Ok((i, name))
}

/// A constant; a bare word stands for its text, `5 SECONDS` for the interval.
pub(crate) fn option_value(i: Tokens<'_>) -> PResult<'_, Literal> {
    if at_bare_interval(i) || at_interval_literal(i) {
        return map(interval, Literal::Interval).parse(i);
    }
    if i.is_symbol(0, Symbol::Minus) {
        let (rest, number) = literal(i.advance(), "a number")?;
        return Ok((
            rest,
            match number {
                Literal::Integer(number) => Literal::Integer(-number),
                Literal::Decimal(text) => Literal::Decimal(format!("-{text}")),
                Literal::Float(text) => Literal::Float(format!("-{text}")),
                _ => return i.advance().expected("a number"),
            },
        ));
    }
    match i.kind() {
        TokenKind::Word if !i.is_any_word(0, &["NULL", "TRUE", "FALSE"]) => {
            Ok((i.advance(), Literal::String(i.text().to_owned())))
        }
        _ => literal(i, "a value"),
    }
}
