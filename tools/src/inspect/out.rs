//! Tables and lines for people, gathered and then printed.

use crate::sql::cell::{Kind, visible};
use crate::sql::table::{Style, Table};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use std::io::{self, Write};
use tsdb::inspect::Problem;

/// What is to be printed.
pub(super) struct Out {
    style: Style,
    text: Vec<u8>,
}

impl Out {
    pub fn new(style: Style) -> Out {
        Out {
            style,
            text: Vec::new(),
        }
    }

    /// A heading with a blank line ahead of it.
    pub fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push(b'\n');
        }
        self.line(text);
    }

    pub fn line(&mut self, text: &str) {
        self.text.extend_from_slice(visible(text).as_bytes());
        self.text.push(b'\n');
    }

    /// A table, or a line that says that there is nothing.
    pub fn table(&mut self, columns: &[(&str, Kind)], mut rows: Vec<Vec<Option<String>>>) {
        if rows.is_empty() {
            return self.line(" none");
        }
        for cell in rows.iter_mut().flatten() {
            cell.get_or_insert_with(|| "–".to_owned());
        }
        let columns = columns.iter().map(|(name, k)| ((*name).to_owned(), *k));
        let table = Table {
            columns: columns.collect(),
            rows,
        };
        // Writing to memory does not fail.
        let _ = table.write(self.style, &mut self.text);
    }

    /// Damage and notes.
    pub fn problems(&mut self, damage: &[Problem], notes: &[Problem]) {
        for problem in damage {
            self.line(&format!("damage: {problem}"));
        }
        for problem in notes {
            self.line(&format!("note: {problem}"));
        }
    }

    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.text)?;
        out.flush()
    }
}

/// Text that may come from anywhere.
pub(super) fn text(value: impl AsRef<str>) -> Option<String> {
    Some(visible(value.as_ref()))
}

pub(super) fn number(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// Nanoseconds since 1970 as RFC 3339.
pub(super) fn time(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// `12,345,678`
pub(super) fn grouped(n: u64) -> Option<String> {
    Some(crate::demo::progress::grouped(n))
}

pub(crate) fn problems_json(problems: &[Problem]) -> Value {
    problems.iter().map(problem_json).collect()
}

pub(super) fn problem_json(problem: &Problem) -> Value {
    json!({"file": problem.file, "offset": problem.offset, "what": problem.what})
}
