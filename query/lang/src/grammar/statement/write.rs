//! `INSERT`, `UPSERT` and `DELETE`

use nom::Parser;
use nom::combinator::opt;
use nom::sequence::preceded;

use super::super::basic::{kw, table_name};
use super::super::clauses::name_list;
use super::super::expr::expr;
use super::super::input::{PResult, Tokens};
use super::super::query::{at_query, query};
use crate::ast::{Emit, Insert, InsertSource, Query, SetExpr, StatementKind};
use crate::token::Symbol;

/// `INTO table [(columns)] VALUES .. | query`
pub(crate) fn insert(i: Tokens<'_>, upsert: bool) -> PResult<'_, StatementKind> {
    let (i, _) = kw("INTO")(i)?;
    let what = if upsert { "a table" } else { "a stream" };
    let (i, table) = table_name(i, what)?;
    // A parenthesis may also open the query.
    let inner = i.advance();
    let listed = i.is_symbol(0, Symbol::LeftParen)
        && !at_query(inner)
        && !inner.is_symbol(0, Symbol::LeftParen);
    let (i, columns) = if listed {
        name_list(i)?
    } else {
        (i, Vec::new())
    };
    let at = i;
    let (i, query) = query(i)?;
    if query.emit == Some(Emit::Changes) {
        return Err(at.not_yet("INSERT of a continuous query", None));
    }
    let source = source(query);
    Ok((
        i,
        StatementKind::Insert(Insert {
            table,
            columns,
            source,
            upsert,
        }),
    ))
}

/// `VALUES` with nothing around it is told from other queries: it needs no planning.
fn source(query: Query) -> InsertSource {
    let bare = query.ctes.is_empty()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && query.emit.is_none();
    match query.body {
        SetExpr::Values(values) if bare => InsertSource::Values(values),
        body => InsertSource::Query(Box::new(Query { body, ..query })),
    }
}

/// `FROM table [WHERE ..]`
pub(crate) fn delete(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, _) = kw("FROM")(i)?;
    let (i, table) = table_name(i, "a stream")?;
    let (i, predicate) = opt(preceded(kw("WHERE"), expr)).parse(i)?;
    Ok((i, StatementKind::Delete { table, predicate }))
}
