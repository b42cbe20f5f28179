//! `CREATE ..`

use nom::Parser;
use nom::combinator::{map, opt};
use nom::sequence::preceded;

use super::super::basic::{flag, ident, kw, named, sym, table_name};
use super::super::clauses::name_list;
use super::super::input::{PResult, Tokens};
use super::super::interval::not_negative;
use super::super::query::query;
use super::super::types::data_type;
use super::options::{check_unique, with_options};
use crate::ast::{ColumnDef, CreateStream, CreateView, Literal, SqlOption, StatementKind};
use crate::token::Symbol;

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
        i.note("STREAM");
    }
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
    let kinds = [
        "TABLE", "TRIGGER", "FUNCTION", "SINK", "SOURCE", "PATTERN", "INDEX",
    ];
    kinds.into_iter().find(|kind| i.is_word(0, kind))
}

fn hint(what: &str) -> Option<&'static str> {
    match what {
        "TABLE" => Some("rows that only grow belong in a stream: CREATE STREAM"),
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

/// One element of a stream's column list.
enum Element {
    Column(ColumnDef),
    /// `WATERMARK FOR ts AS ts - INTERVAL ..`, which says the same as two options.
    Watermark(Vec<SqlOption>),
}

/// `[IF NOT EXISTS] name [(columns)] [WITH (options)]`
fn stream(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, if_not_exists) = flag("IF NOT EXISTS")(i)?;
    let (i, name) = table_name(i, "a stream")?;
    let (mut i, mut columns, mut options) = (i, Vec::new(), Vec::new());
    if i.is_symbol(0, Symbol::LeftParen) {
        loop {
            // Behind the parenthesis or a comma.
            let (rest, element) = element(i.advance())?;
            match element {
                Element::Column(column) => columns.push(column),
                Element::Watermark(said) => options.extend(said),
            }
            i = rest;
            if !i.is_symbol(0, Symbol::Comma) {
                break;
            }
        }
        i.note("`,`");
        (i, _) = sym(Symbol::RightParen)(i)?;
    }
    let (i, given) = with_options(i)?;
    options.extend(given);
    check_unique(i, &options)?;
    if i.is_word(0, "AS") {
        let hint = "CREATE MATERIALIZED VIEW .. AS keeps a query's result";
        return Err(i.not_yet("CREATE STREAM .. AS", Some(hint)));
    }
    Ok((
        i,
        StatementKind::CreateStream(CreateStream {
            name,
            columns,
            options,
            if_not_exists,
        }),
    ))
}

fn element(i: Tokens<'_>) -> PResult<'_, Element> {
    if i.is_phrase("WATERMARK FOR") {
        map(watermark, Element::Watermark).parse(i)
    } else {
        map(column, Element::Column).parse(i)
    }
}

/// `name type [TAG] [NOT NULL | NULL]`
fn column(start: Tokens<'_>) -> PResult<'_, ColumnDef> {
    let (i, name) = column_name(start)?;
    let (i, data_type) = data_type(i)?;
    let (mut i, mut tag, mut not_null) = (i, false, false);
    loop {
        if !tag && i.is_word(0, "TAG") {
            tag = true;
            i = i.advance();
        } else if !not_null && i.is_phrase("NOT NULL") {
            not_null = true;
            i = i.advance().advance();
        } else if !not_null && i.is_word(0, "NULL") {
            i = i.advance();
            break;
        } else {
            break;
        }
    }
    for (given, word) in [(tag, "TAG"), (not_null, "NOT NULL")] {
        if !given {
            i.note(word);
        }
    }
    Ok((
        i,
        ColumnDef {
            name,
            data_type,
            tag,
            not_null,
            span: i.span_since(start),
        },
    ))
}

/// `page`, `properties.page`: the parts of a dotted name are joined to one.
fn column_name(start: Tokens<'_>) -> PResult<'_, crate::ast::Ident> {
    let (mut i, mut name) = named(start, "a column")?;
    while i.is_symbol(0, Symbol::Dot) {
        let (rest, part) = ident(i.advance())?;
        name.value.push('.');
        name.value.push_str(&part.value);
        name.quoted |= part.quoted;
        i = rest;
    }
    name.span = i.span_since(start);
    Ok((i, name))
}

/// `WATERMARK FOR ts AS ts [- interval]`: the event time and its disorder.
fn watermark(start: Tokens<'_>) -> PResult<'_, Vec<SqlOption>> {
    let (i, _) = kw("WATERMARK FOR")(start)?;
    let at = i;
    let (i, column) = column_name(i)?;
    let (again, _) = kw("AS")(i)?;
    let (i, same) = column_name(again)?;
    if !same.matches(&column.value) {
        return Err(again.fatal("the watermark must be the column itself, less an interval"));
    }
    let mut options = vec![SqlOption {
        name: "event_time".to_owned(),
        name_span: start.span(),
        value: Literal::String(column.value),
        value_span: at.span(),
    }];
    if !i.is_symbol(0, Symbol::Minus) {
        i.note("-");
        return Ok((i, options));
    }
    let at = i.advance();
    let (i, disorder) = not_negative("the disorder")(at)?;
    options.push(SqlOption {
        name: "disorder".to_owned(),
        name_span: start.span(),
        value: Literal::Interval(disorder),
        value_span: at.span(),
    });
    Ok((i, options))
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
