//! `CREATE TABLE ..`

use super::super::basic::{comma_list, flag, kw, parens, sym, table_name};
use super::super::input::{PResult, Tokens};
use super::columns::{column_name, table_column};
use super::options::{check_unique, with_options};
use crate::ast::{CreateTable, StatementKind};
use crate::token::Symbol;
use nom::Parser;
use nom::sequence::preceded;

/// `[IF NOT EXISTS] name (columns) [WITH (options)]`
pub(crate) fn table(i: Tokens<'_>, or_replace: bool) -> PResult<'_, StatementKind> {
    let (i, if_not_exists) = flag("IF NOT EXISTS")(i)?;
    let (i, name) = table_name(i, "a table")?;
    let mut create = CreateTable {
        name,
        columns: Vec::new(),
        primary_key: Vec::new(),
        options: Vec::new(),
        if_not_exists,
        or_replace,
    };
    let mut constraint = false;
    let (mut i, _) = sym(Symbol::LeftParen)(i)?;
    loop {
        // Behind the parenthesis or a comma. A column may itself be called `primary`.
        if i.is_phrase("PRIMARY KEY") && i.is_symbol(2, Symbol::LeftParen) {
            if constraint || !create.primary_key.is_empty() {
                return Err(i.fatal("the PRIMARY KEY is given twice"));
            }
            (i, create.primary_key) =
                preceded(kw("PRIMARY KEY"), parens(comma_list(column_name))).parse(i)?;
            constraint = true;
        } else {
            let (rest, (column, key)) = table_column(i)?;
            if key {
                if constraint || !create.primary_key.is_empty() {
                    let message = "the PRIMARY KEY is given twice";
                    let hint = "a key of several columns is written PRIMARY KEY (a, b)";
                    let kind = crate::error::SyntaxErrorKind::Syntax;
                    return Err(i.fatal_at(column.span, kind, message, Some(hint)));
                }
                create.primary_key.push(column.name.clone());
            }
            create.columns.push(column);
            i = rest;
        }
        if !i.is_symbol(0, Symbol::Comma) {
            break;
        }
        i = i.advance();
    }
    i.note("`,`");
    if create.columns.is_empty() {
        return Err(i.fatal("a table has at least one column"));
    }
    let (i, _) = sym(Symbol::RightParen)(i)?;
    let (i, options) = with_options(i)?;
    check_unique(i, &options)?;
    create.options = options;
    Ok((i, StatementKind::CreateTable(create)))
}
