//! `SHOW`, `DESCRIBE`, `DROP`, `USE`, `SET`

use nom::Parser;
use nom::branch::alt;
use nom::combinator::{opt, value};
use nom::sequence::preceded;

use super::super::basic::{flag, kw, named, object_name, string, sym, table_name};
use super::super::input::{PResult, Tokens};
use super::options::option_value;
use crate::ast::{DropKind, ShowKind, StatementKind};
use crate::token::{Symbol, TokenKind};

/// What stands behind `SHOW`.
pub(crate) fn show(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, kind) = alt((listing, preceded(kw("COLUMNS"), columns))).parse(i)?;
    let (i, like) = opt(preceded(kw("LIKE"), string)).parse(i)?;
    Ok((i, StatementKind::Show { kind, like }))
}

fn listing(i: Tokens<'_>) -> PResult<'_, ShowKind> {
    alt((
        value(ShowKind::Streams, kw("STREAMS")),
        value(ShowKind::Views, kw("VIEWS")),
        value(ShowKind::Views, kw("MATERIALIZED VIEWS")),
        value(ShowKind::Databases, kw("DATABASES")),
        value(ShowKind::Tables, kw("TABLES")),
        value(ShowKind::Functions, kw("FUNCTIONS")),
        value(ShowKind::Queries, kw("QUERIES")),
        value(ShowKind::Sources, kw("SOURCES")),
        value(ShowKind::Sinks, kw("SINKS")),
    ))
    .parse(i)
}

/// `FROM name`, `IN name`
fn columns(i: Tokens<'_>) -> PResult<'_, ShowKind> {
    let (i, _) = alt((kw("FROM"), kw("IN"))).parse(i)?;
    let (i, of) = table_name(i, "a stream or view")?;
    Ok((i, ShowKind::Columns { of }))
}

/// `[STREAM | VIEW | TABLE] name`
pub(crate) fn describe(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    // A thing may itself be called `stream`: then nothing follows.
    let named_next = matches!(i.peek(1).kind, TokenKind::Word | TokenKind::Quoted);
    let kind = i.is_any_word(0, &["STREAM", "VIEW", "TABLE"]) && named_next;
    let i = if kind { i.advance() } else { i };
    let (i, name) = table_name(i, "a stream or view")?;
    Ok((i, StatementKind::Describe { name }))
}

/// `STREAM | TABLE | VIEW | SINK | DATABASE [IF EXISTS] name`
pub(crate) fn drop(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    for what in ["TRIGGER", "FUNCTION"] {
        if i.is_word(0, what) {
            return Err(i.not_yet(&format!("DROP {what}"), None));
        }
    }
    let (i, kind) = alt((
        value(DropKind::Stream, kw("STREAM")),
        value(DropKind::Table, kw("TABLE")),
        value(DropKind::Sink, kw("SINK")),
        value(DropKind::View, kw("VIEW")),
        value(DropKind::View, kw("MATERIALIZED VIEW")),
        value(DropKind::Database, kw("DATABASE")),
    ))
    .parse(i)?;
    let (i, if_exists) = flag("IF EXISTS")(i)?;
    let (i, name) = match kind {
        DropKind::Database => {
            let (i, name) = named(i, "a database")?;
            (i, crate::ast::ObjectName::single(name))
        }
        DropKind::Stream => table_name(i, "a stream")?,
        DropKind::Table => table_name(i, "a table")?,
        DropKind::Sink => table_name(i, "a sink")?,
        DropKind::View => table_name(i, "a view")?,
    };
    Ok((
        i,
        StatementKind::Drop {
            kind,
            name,
            if_exists,
        },
    ))
}

/// `[DATABASE] name`
pub(crate) fn use_database(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let named_next = matches!(i.peek(1).kind, TokenKind::Word | TokenKind::Quoted);
    let i = if i.is_word(0, "DATABASE") && named_next {
        i.advance()
    } else {
        i
    };
    let (i, database) = named(i, "a database")?;
    Ok((i, StatementKind::Use { database }))
}

/// `name = value`, `name TO value`
pub(crate) fn set(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, name) = object_name(i, "a setting")?;
    let (i, _) = alt((sym(Symbol::Eq), kw("TO"))).parse(i)?;
    let (i, value) = option_value(i)?;
    Ok((i, StatementKind::Set { name, value }))
}
