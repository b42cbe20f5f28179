//! Which row of a table a message without a value takes out.

use super::include::Include;
use super::record::Record;
use crate::decode::{Cell, RowReason, json};
use std::borrow::Cow;
use tsdb::types::{ColumnDef, ColumnId, DataType};
use tsdb::{Stream, TABLE_DELETED};

/// The columns of a table's key.
pub(super) struct TableKey {
    columns: Vec<ColumnDef>,
    /// `include` fills them all.
    included: bool,
}

impl TableKey {
    /// The key of the table that the stream holds; `None` when it holds none.
    pub fn of(stream: &Stream, include: &Include) -> Option<TableKey> {
        let key = stream.table_key()?;
        let schema = stream.schema();
        let column = |id: &ColumnId| schema.columns.get(usize::from(id.0)).cloned();
        let columns: Vec<ColumnDef> = key.iter().map(column).collect::<Option<_>>()?;
        let included = columns.iter().all(|c| include.feeds(&c.name));
        Some(TableKey { columns, included })
    }

    /// The row that takes out what the message's key names: a JSON object with the key's columns, or the text of the only
    /// one. `more` are the cells that `include` makes of the message; where they fill the key, they go before.
    pub fn deletion<'r>(
        &'r self,
        record: &Record<'r>,
        more: &[(Cow<'r, str>, Cell<'r>)],
    ) -> Result<Vec<(Cow<'r, str>, Cell<'r>)>, RowReason> {
        let mut cells = match self.included {
            true => more.to_vec(),
            false => self.of_message(record).ok_or_else(|| self.missing())?,
        };
        cells.push((Cow::Borrowed(TABLE_DELETED), Cell::Bool(true)));
        Ok(cells)
    }

    fn of_message<'r>(&'r self, record: &Record<'r>) -> Option<Vec<(Cow<'r, str>, Cell<'r>)>> {
        let text = std::str::from_utf8(record.key?).ok()?;
        if let Some(mut members) = json::members(text, None) {
            members.retain(|(name, _)| self.columns.iter().any(|c| c.name == *name));
            if members.len() == self.columns.len() {
                return Some(members);
            }
        }
        let [only] = self.columns.as_slice() else {
            return None;
        };
        let cell = match only.data_type {
            DataType::Utf8 => Cell::Str(Cow::Borrowed(text)),
            _ => Cell::Untyped(text),
        };
        Some(vec![(Cow::Borrowed(only.name.as_str()), cell)])
    }

    fn missing(&self) -> RowReason {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        RowReason::Unfit(format!(
            "the message has no value, so it deletes the row of its key; that must be a JSON object with {}{}",
            names.join(", "),
            if names.len() == 1 {
                ", or its text"
            } else {
                ""
            }
        ))
    }
}
