//! The smallest pieces: keywords, symbols, names, lists.

use nom::Parser;
use nom::combinator::{map, opt};
use nom::sequence::delimited;

use super::input::{PResult, Stop, Tokens};
use crate::ast::{Ident, ObjectName, Span};
use crate::keyword::is_reserved;
use crate::token::{Symbol, TokenKind};

/// A parser that can be used again and again.
pub(crate) trait Rule<'a, T>: Parser<Tokens<'a>, Output = T, Error = Stop> {}

impl<'a, T, P: Parser<Tokens<'a>, Output = T, Error = Stop>> Rule<'a, T> for P {}

/// One keyword or several in a row: `ORDER BY`.
pub(crate) fn kw<'a>(phrase: &'static str) -> impl Fn(Tokens<'a>) -> PResult<'a, Span> {
    move |start| {
        let mut i = start;
        for word in phrase.split(' ') {
            if !i.is_word(0, word) {
                return i.expected(if i.at == start.at { phrase } else { word });
            }
            i = i.advance();
        }
        Ok((i, i.span_since(start)))
    }
}

/// Whether the keywords stand here; if so they are taken.
pub(crate) fn flag<'a>(phrase: &'static str) -> impl Fn(Tokens<'a>) -> PResult<'a, bool> {
    move |i| map(opt(kw(phrase)), |found| found.is_some()).parse(i)
}

/// One symbol.
pub(crate) fn sym<'a>(symbol: Symbol) -> impl Fn(Tokens<'a>) -> PResult<'a, Span> {
    move |i| {
        if i.is_symbol(0, symbol) {
            Ok((i.advance(), i.span()))
        } else {
            i.expected(quoted(symbol))
        }
    }
}

/// A symbol as error messages show it.
fn quoted(symbol: Symbol) -> &'static str {
    match symbol {
        Symbol::LeftParen => "`(`",
        Symbol::RightParen => "`)`",
        Symbol::LeftBracket => "`[`",
        Symbol::RightBracket => "`]`",
        Symbol::Comma => "`,`",
        Symbol::Semicolon => "`;`",
        Symbol::Dot => "`.`",
        Symbol::Eq => "`=`",
        Symbol::Lt => "`<`",
        Symbol::Gt => "`>`",
        other => other.text(),
    }
}

/// `( p )`
pub(crate) fn parens<'a, T>(p: impl Rule<'a, T>) -> impl Rule<'a, T> {
    delimited(sym(Symbol::LeftParen), p, sym(Symbol::RightParen))
}

/// `p, p, ..`, at least one. Behind a comma there must be another. (nom's own list would try on
/// without it; and its frames are large, where this one nests.)
pub(crate) fn comma_list<'a, T>(
    mut p: impl Rule<'a, T>,
) -> impl FnMut(Tokens<'a>) -> PResult<'a, Vec<T>> {
    move |i| {
        let (mut i, first) = p.parse(i)?;
        let mut items = vec![first];
        while i.is_symbol(0, Symbol::Comma) {
            let (rest, item) = p.parse(i.advance())?;
            items.push(item);
            i = rest;
        }
        i.note("`,`");
        Ok((i, items))
    }
}

/// A name: a word that is not reserved, or a quoted one.
pub(crate) fn ident(i: Tokens<'_>) -> PResult<'_, Ident> {
    named(i, "a name")
}

/// A name, called `what` in messages.
pub(crate) fn named<'a>(i: Tokens<'a>, what: &'static str) -> PResult<'a, Ident> {
    let span = i.span();
    match i.kind() {
        TokenKind::Word if !is_reserved(i.text()) => Ok((
            i.advance(),
            Ident {
                value: i.text().to_owned(),
                quoted: false,
                span,
            },
        )),
        TokenKind::Quoted => Ok((
            i.advance(),
            Ident {
                value: unquote(i.text()),
                quoted: true,
                span,
            },
        )),
        _ => i.expected(what),
    }
}

/// Any word or quoted name, reserved or not: what follows a dot cannot be a keyword.
fn any_ident(i: Tokens<'_>) -> PResult<'_, Ident> {
    match i.kind() {
        // A reserved word keeps its meaning as a name when printed after a dot as well.
        TokenKind::Word => Ok((
            i.advance(),
            Ident {
                value: i.text().to_owned(),
                quoted: false,
                span: i.span(),
            },
        )),
        _ => ident(i),
    }
}

/// `a.b.c` of any number of parts up to `MAX_PARTS`.
pub(crate) fn object_name<'a>(i: Tokens<'a>, what: &'static str) -> PResult<'a, ObjectName> {
    const MAX_PARTS: usize = 16;
    let (mut i, first) = named(i, what)?;
    let mut parts = vec![first];
    while i.is_symbol(0, Symbol::Dot) && !i.is_symbol(1, Symbol::Star) {
        if parts.len() == MAX_PARTS {
            return Err(i.fatal(format!("a name has at most {MAX_PARTS} parts")));
        }
        let (rest, part) = any_ident(i.advance())?;
        parts.push(part);
        i = rest;
    }
    Ok((i, ObjectName { parts }))
}

/// The name of a stream, view or table: one to three parts.
pub(crate) fn table_name<'a>(i: Tokens<'a>, what: &'static str) -> PResult<'a, ObjectName> {
    let (rest, name) = object_name(i, what)?;
    if name.parts.len() > 3 {
        return Err(i.fatal("the name of a table has at most three parts"));
    }
    Ok((rest, name))
}

/// `'text'`
pub(crate) fn string(i: Tokens<'_>) -> PResult<'_, String> {
    match i.kind() {
        TokenKind::String => Ok((i.advance(), unquote(i.text()))),
        _ => i.expected("a string"),
    }
}

/// What stands between the quotes, doubled ones undone.
pub(crate) fn unquote(text: &str) -> String {
    let mut chars = text.chars();
    let Some(quote) = chars.next() else {
        return String::new();
    };
    chars.next_back();
    let inner = chars.as_str();
    if !inner.contains(quote) {
        return inner.to_owned();
    }
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}
