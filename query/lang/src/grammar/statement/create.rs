//! `CREATE ..`

use nom::Parser;
use nom::combinator::opt;
use nom::sequence::preceded;

use super::super::basic::{flag, kw, named, table_name};
use super::super::clauses::name_list;
use super::super::input::{PResult, Tokens};
use super::super::query::query;
use super::options::{check_unique, with_options};
use super::stream::stream;
use super::table::table;
use crate::ast::{CreateSink, CreateView, SinkSource, StatementKind};

/// What stands behind `CREATE`.
pub(crate) fn create(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, or_replace) = flag("OR REPLACE")(i)?;
    if let Some(what) = later(i) {
        return Err(i.not_yet(&format!("CREATE {what}"), hint(what)));
    }
    if !or_replace {
        if i.is_word(0, "DATABASE") {
            return database(i.advance());
        }
        if i.is_word(0, "STREAM") {
            return stream(i.advance());
        }
        if i.is_word(0, "SINK") {
            return sink(i.advance());
        }
        i.note("STREAM");
        i.note("SINK");
    }
    if i.is_word(0, "TABLE") {
        return table(i.advance(), or_replace);
    }
    i.note("TABLE");
    let (i, materialized) = flag("MATERIALIZED")(i)?;
    if i.is_word(0, "VIEW") {
        return view(i.advance(), or_replace, materialized);
    }
    if !materialized && !or_replace {
        i.note("DATABASE");
    }
    i.expected("VIEW")
}

/// What the language can create and Tidemill cannot, yet.
fn later(i: Tokens<'_>) -> Option<&'static str> {
    let kinds = ["TRIGGER", "FUNCTION", "SOURCE", "PATTERN", "INDEX"];
    kinds.into_iter().find(|kind| i.is_word(0, kind))
}

fn hint(what: &str) -> Option<&'static str> {
    match what {
        "SOURCE" => Some("a stream names its source in WITH (..)"),
        _ => None,
    }
}

/// `[IF NOT EXISTS] name`
fn database(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, if_not_exists) = flag("IF NOT EXISTS")(i)?;
    let (i, name) = named(i, "a database")?;
    Ok((
        i,
        StatementKind::CreateDatabase {
            name,
            if_not_exists,
        },
    ))
}

/// `[IF NOT EXISTS] name [(columns)] [WITH (options)] AS query`
fn view(i: Tokens<'_>, or_replace: bool, materialized: bool) -> PResult<'_, StatementKind> {
    let (i, if_not_exists) = flag("IF NOT EXISTS")(i)?;
    let (i, name) = table_name(i, "a view")?;
    let (i, columns) = opt(name_list).parse(i)?;
    let (i, options) = with_options(i)?;
    check_unique(i, &options)?;
    let (i, query) = preceded(kw("AS"), query).parse(i)?;
    let columns = columns.unwrap_or_default();
    let query = Box::new(query);
    let view = CreateView {
        name,
        columns,
        options,
        if_not_exists,
        or_replace,
        materialized,
        query,
    };
    Ok((i, StatementKind::CreateView(view)))
}

/// `[IF NOT EXISTS] name FROM stream [WITH (options)]`, `.. AS query [WITH (options)]`
fn sink(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, if_not_exists) = flag("IF NOT EXISTS")(i)?;
    let (i, name) = table_name(i, "a sink")?;
    let (i, source) = if i.is_word(0, "AS") {
        let (i, query) = query(i.advance())?;
        (i, SinkSource::Query(Box::new(query)))
    } else {
        i.note("AS");
        let (i, _) = kw("FROM")(i)?;
        let (i, of) = table_name(i, "a stream or view")?;
        (i, SinkSource::Named(of))
    };
    let (i, options) = with_options(i)?;
    check_unique(i, &options)?;
    let sink = CreateSink {
        name,
        source,
        options,
        if_not_exists,
    };
    Ok((i, StatementKind::CreateSink(sink)))
}
