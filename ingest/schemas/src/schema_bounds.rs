//! How far a schema is gone into for its columns: a few lines of one can mean as many parts as nobody could hold.

use ingest_decode::MAX_COLUMNS;

/// Parts of one schema that are looked at; each type counts as often as it is met.
const MAX_PARTS: usize = 65_536;

/// Counts the parts and columns of one schema.
#[derive(Debug, Default)]
pub(super) struct SchemaBounds {
    parts: usize,
    columns: usize,
}

impl SchemaBounds {
    /// One more part is looked at.
    ///
    /// # Errors
    /// When there are too many.
    pub fn part(&mut self) -> Result<(), String> {
        self.parts += 1;
        match self.parts > MAX_PARTS {
            true => Err(format!(
                "the schema has more than {MAX_PARTS} parts, those of a type counted wherever it is used"
            )),
            false => Ok(()),
        }
    }

    /// One more column is made.
    ///
    /// # Errors
    /// When no stream takes so many.
    pub fn column(&mut self) -> Result<(), String> {
        self.columns += 1;
        match self.columns > MAX_COLUMNS {
            true => Err(format!("the schema has more than {MAX_COLUMNS} columns")),
            false => Ok(()),
        }
    }
}
