//! Where results go, and replies as tables.

use super::cell::{Kind, text};
use super::client::Column;
use super::table::{Style, Table};
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// The standard output, or a file in its stead.
pub(super) struct Output {
    file: Option<BufWriter<File>>,
    stdout: BufWriter<io::Stdout>,
    style: Style,
}

impl Output {
    /// The standard output, which is a terminal of this style.
    pub(super) fn new(style: Style) -> Output {
        Output {
            file: None,
            stdout: BufWriter::new(io::stdout()),
            style,
        }
    }

    /// Sends what follows to a file, which is emptied, or back to the standard output.
    pub(super) fn redirect(&mut self, path: Option<&Path>) -> io::Result<()> {
        self.flush()?;
        self.file = path.map(File::create).transpose()?.map(BufWriter::new);
        Ok(())
    }

    /// How tables are drawn there.
    pub(super) fn style(&self) -> Style {
        if self.file.is_some() {
            Style::default()
        } else {
            self.style
        }
    }

    /// Tells the terminal's width, which changes when its window does.
    pub(super) fn set_width(&mut self, width: Option<usize>) {
        self.style.width = width;
    }
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(data),
            None => self.stdout.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.flush(),
            None => self.stdout.flush(),
        }
    }
}

/// Cells as they came to a table.
pub(super) fn table_of(columns: &[Column], rows: &[Vec<&RawValue>]) -> Table {
    let columns: Vec<(String, Kind)> = columns
        .iter()
        .map(|c| (super::cell::visible(&c.name), Kind::of(&c.kind)))
        .collect();
    let rows = rows
        .iter()
        .map(|row| {
            row.iter()
                .zip(&columns)
                .map(|(raw, (_, kind))| text(raw, *kind))
                .collect()
        })
        .collect();
    Table { columns, rows }
}

/// `1 row`, `2 rows`
pub(super) fn rows(n: usize) -> String {
    if n == 1 {
        "1 row".to_owned()
    } else {
        format!("{n} rows")
    }
}
