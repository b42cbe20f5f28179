//! Names as rows spell them, to columns.

use ahash::RandomState;
use hashbrown::HashMap;
use tsdb::types::{ColumnDef, Schema};

/// From so many columns on names are looked up in a table that holds them all.
const MANY_COLUMNS: usize = 64;
/// Bytes of spellings that are remembered.
const MAX_MET_BYTES: usize = 8 << 20;

/// Names as rows spell them to columns.
#[derive(Default)]
pub(super) struct Names {
    /// Spellings met since the schema last grew.
    met: HashMap<String, usize, RandomState>,
    /// Bytes of them.
    met_bytes: usize,
    /// Columns of the schema then.
    known: usize,
    /// The first `folded` columns by name, and by name in small letters: `None` when several differ in case alone.
    exact: HashMap<String, usize, RandomState>,
    lower: HashMap<String, Option<usize>, RandomState>,
    folded: usize,
}

impl Names {
    /// The column that a name means: the exact one, else the only one that differs in case alone.
    pub fn column(&mut self, schema: &Schema, name: &str) -> Option<usize> {
        let all = &schema.columns;
        if self.known != all.len() {
            // A new column may take a name over, or make it ambiguous.
            self.met.clear();
            self.met_bytes = 0;
            self.known = all.len();
        }
        if let Some(i) = self.met.get(name) {
            return Some(*i);
        }
        let found = if all.len() < MANY_COLUMNS {
            let alike = |c: &ColumnDef| c.name.eq_ignore_ascii_case(name);
            all.iter().position(|c| c.name == name).or_else(|| {
                let first = all.iter().position(alike)?;
                (!all[first + 1..].iter().any(alike)).then_some(first)
            })?
        } else {
            self.fold(all);
            match self.exact.get(name) {
                Some(i) => *i,
                None => (*self.lower.get(&name.to_ascii_lowercase())?)?,
            }
        };
        // Spellings differ in case alone, so a hostile writer has as many as it likes.
        self.met_bytes += name.len() + 64;
        if self.met_bytes > MAX_MET_BYTES {
            (self.met_bytes, self.met) = (name.len() + 64, HashMap::default());
        }
        self.met.insert(name.to_owned(), found);
        Some(found)
    }

    /// Takes in the columns that are new: a schema only ever grows.
    fn fold(&mut self, all: &[ColumnDef]) {
        for (i, c) in all.iter().enumerate().skip(self.folded) {
            self.exact.insert(c.name.clone(), i);
            self.lower
                .entry(c.name.to_ascii_lowercase())
                .and_modify(|known| *known = None)
                .or_insert(Some(i));
        }
        self.folded = all.len();
    }
}
