//! `CREATE TABLE`: columns, key and options become the definition of the stream underneath.

use super::ddl::NewStream;
use super::nearest::did_you_mean;
use super::options::{names, one_source, source_option};
use crate::error::{BindError, BindResult};
use crate::table::{TIME, can_be_key};
use crate::types::stored_type;
use query_lang::ast::CreateTable;
use tsdb::types::{DataType, Role};
use tsdb::{StreamDef, StreamOptions, TABLE_DELETED, TABLE_KEY};

/// The definition that a `CREATE TABLE` asks for.
pub fn table_def(create: &CreateTable) -> BindResult<NewStream> {
    let mut notices = Vec::new();
    let mut columns: Vec<(String, DataType, Role)> = Vec::with_capacity(create.columns.len() + 2);
    for c in &create.columns {
        let name = &c.name.value;
        let taken = [TABLE_DELETED, TIME].contains(&name.as_str());
        if taken || columns.iter().any(|(n, ..)| n == name) {
            let message = match taken {
                true => format!("a table keeps \"{name}\" for itself"),
                false => format!("column \"{name}\" is declared twice"),
            };
            return Err(BindError::new(c.name.span, message));
        }
        let data_type = stored_type(&c.data_type).map_err(|why| BindError::new(c.span, why))?;
        if c.not_null && !create.primary_key.iter().any(|k| k.matches(name)) {
            notices.push(format!("NOT NULL of \"{name}\" is not enforced"));
        }
        columns.push((name.clone(), data_type, Role::Field));
    }
    let key = key_places(create, &columns)?;
    columns.push((TIME.to_owned(), DataType::Timestamp, Role::Time));
    columns.push((TABLE_DELETED.to_owned(), DataType::Bool, Role::Field));
    let mut extra = vec![(TABLE_KEY.to_owned(), key)];
    one_source(&create.options)?;
    for option in &create.options {
        let name = option.name.to_ascii_lowercase();
        match source_option(option, &name) {
            Some(kept) => extra.push((name, kept?)),
            None => {
                let message = format!("there is no table option \"{name}\"");
                let hint = did_you_mean(&name, names());
                return Err(BindError::new(option.name_span, message).hint(hint));
            }
        }
    }
    let options = StreamOptions {
        extra,
        ..StreamOptions::default()
    };
    Ok(NewStream {
        def: StreamDef { columns, options },
        notices,
    })
}

/// The places of the key's columns, as they are kept.
fn key_places(create: &CreateTable, columns: &[(String, DataType, Role)]) -> BindResult<String> {
    if create.primary_key.is_empty() {
        return Err(BindError::new(
            create.name.span(),
            "a table needs a PRIMARY KEY: it holds one row per key",
        )
        .hint(Some(
            "rows that only grow belong in a stream: CREATE STREAM".to_owned(),
        )));
    }
    let mut places: Vec<usize> = Vec::with_capacity(create.primary_key.len());
    for name in &create.primary_key {
        let exact = columns.iter().position(|(n, ..)| *n == name.value);
        let place = exact.or_else(|| columns.iter().position(|(n, ..)| name.matches(n)));
        let Some(place) = place else {
            let all = columns.iter().map(|(n, ..)| n.as_str());
            return Err(BindError::new(
                name.span,
                format!("the table has no column \"{}\"", name.value),
            )
            .hint(did_you_mean(&name.value, all)));
        };
        if places.contains(&place) {
            let message = format!("\"{}\" is in the key twice", name.value);
            return Err(BindError::new(name.span, message));
        }
        if !can_be_key(columns[place].1) {
            let message = "a DOUBLE is not exact, and cannot be part of a key";
            return Err(BindError::new(name.span, message));
        }
        places.push(place);
    }
    Ok(places
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(","))
}
