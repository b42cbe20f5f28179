//! Declared columns.

use super::super::basic::{ident, named};
use super::super::input::{PResult, Tokens};
use super::super::types::data_type;
use crate::ast::{ColumnDef, Ident};
use crate::token::Symbol;

/// `name type [TAG] [NOT NULL | NULL]`, as streams have them.
pub(crate) fn column(start: Tokens<'_>) -> PResult<'_, ColumnDef> {
    let (i, column, _) = declared(start, "TAG")?;
    Ok((i, column))
}

/// `name type [PRIMARY KEY] [NOT NULL | NULL]`, as tables have them; and whether it is the key.
pub(crate) fn table_column(start: Tokens<'_>) -> PResult<'_, (ColumnDef, bool)> {
    let (i, column, key) = declared(start, "PRIMARY KEY")?;
    let tag = false;
    Ok((i, (ColumnDef { tag, ..column }, key)))
}

/// A column that `mark` may stand behind; and whether it does.
#[allow(
    clippy::type_complexity,
    reason = "a place, a column and a flag, used twice"
)]
fn declared<'a>(
    start: Tokens<'a>,
    mark: &'static str,
) -> Result<(Tokens<'a>, ColumnDef, bool), nom::Err<super::super::input::Stop>> {
    let (i, name) = column_name(start)?;
    let (i, data_type) = data_type(i)?;
    let (mut i, mut marked, mut not_null) = (i, false, false);
    loop {
        if !marked && i.is_phrase(mark) {
            marked = true;
            for _ in mark.split(' ') {
                i = i.advance();
            }
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
    for (given, word) in [(marked, mark), (not_null, "NOT NULL")] {
        if !given {
            i.note(word);
        }
    }
    let column = ColumnDef {
        name,
        data_type,
        tag: marked,
        not_null,
        span: i.span_since(start),
    };
    Ok((i, column, marked))
}

/// `page`, `properties.page`: the parts of a dotted name are joined to one.
pub(crate) fn column_name(start: Tokens<'_>) -> PResult<'_, Ident> {
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
