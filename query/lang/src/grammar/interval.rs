//! Lengths of time, where one is wanted: `INTERVAL '1' MINUTE`, `'1 minute'`, `1 MINUTE`.

use nom::Parser;
use nom::branch::alt;

use super::basic::{kw, unquote};
use super::input::{PResult, Tokens};
use crate::ast::Interval;
use crate::error::SyntaxErrorKind;
use crate::interval_text::{IntervalError, Unit, is_number, of_number, unit};
use crate::token::TokenKind;

/// Units to suggest for a misspelt one.
pub(super) const COMMON_UNITS: [&str; 10] = [
    "SECOND",
    "SECONDS",
    "MINUTE",
    "MINUTES",
    "HOUR",
    "HOURS",
    "DAY",
    "DAYS",
    "MILLISECONDS",
    "MONTH",
];

/// An interval in any spelling.
pub(crate) fn interval(i: Tokens<'_>) -> PResult<'_, Interval> {
    alt((interval_literal, bare_interval, text_interval)).parse(i)
}

/// An interval that is longer than nothing, called `what` in messages.
pub(crate) fn positive<'a>(what: &'static str) -> impl Fn(Tokens<'a>) -> PResult<'a, Interval> {
    move |start| {
        let (i, interval) = interval(start)?;
        if interval.is_positive() {
            return Ok((i, interval));
        }
        let message = format!("{what} must be longer than zero");
        Err(start.fatal_at(start.span(), SyntaxErrorKind::Syntax, message, None))
    }
}

/// An interval that is not negative, called `what` in messages.
pub(crate) fn not_negative<'a>(what: &'static str) -> impl Fn(Tokens<'a>) -> PResult<'a, Interval> {
    move |start| {
        let (i, interval) = interval(start)?;
        if interval.months >= 0 && interval.nanos >= 0 {
            return Ok((i, interval));
        }
        let message = format!("{what} must not be negative");
        Err(start.fatal_at(start.span(), SyntaxErrorKind::Syntax, message, None))
    }
}

/// Whether an interval literal stands here. `INTERVAL` alone is a name.
pub(crate) fn at_interval_literal(i: Tokens<'_>) -> bool {
    i.is_word(0, "INTERVAL")
        && matches!(
            i.peek(1).kind,
            TokenKind::String | TokenKind::Integer | TokenKind::Decimal
        )
}

/// `INTERVAL '1' MINUTE`, `INTERVAL '1 minute 30 seconds'`, `INTERVAL 1 MINUTE`
pub(crate) fn interval_literal(i: Tokens<'_>) -> PResult<'_, Interval> {
    if !at_interval_literal(i) {
        return i.expected("an interval");
    }
    let (i, _) = kw("INTERVAL")(i)?;
    if i.kind() != TokenKind::String {
        return bare_interval(i);
    }
    let text = unquote(i.text());
    if !is_number(&text) {
        return text_interval(i);
    }
    let (rest, unit) = unit_word(i.advance())?;
    Ok((rest, checked(i, of_number(&text, unit))?))
}

/// `1 MINUTE`
pub(crate) fn bare_interval(i: Tokens<'_>) -> PResult<'_, Interval> {
    if !matches!(i.kind(), TokenKind::Integer | TokenKind::Decimal) {
        return i.expected("an interval");
    }
    let (rest, unit) = unit_word(i.advance())?;
    Ok((rest, checked(i, of_number(i.text(), unit))?))
}

/// Whether a bare interval stands here.
pub(crate) fn at_bare_interval(i: Tokens<'_>) -> bool {
    let next = i.peek(1);
    matches!(i.kind(), TokenKind::Integer | TokenKind::Decimal)
        && next.kind == TokenKind::Word
        && unit(next.text(i.state.sql)).is_some()
}

/// `'1 minute'`
fn text_interval(i: Tokens<'_>) -> PResult<'_, Interval> {
    if i.kind() != TokenKind::String {
        return i.expected("an interval");
    }
    Ok((i.advance(), checked(i, unquote(i.text()).parse())?))
}

fn unit_word(i: Tokens<'_>) -> PResult<'_, Unit> {
    match i.kind() {
        TokenKind::Word => match unit(i.text()) {
            Some(unit) => Ok((i.advance(), unit)),
            None => i.expected("a unit of time"),
        },
        _ => i.expected("a unit of time"),
    }
}

fn checked<'a>(
    i: Tokens<'a>,
    result: Result<Interval, IntervalError>,
) -> Result<Interval, nom::Err<super::input::Stop>> {
    result.map_err(|error| i.fatal(error.to_string()))
}
