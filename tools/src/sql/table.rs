//! Results as aligned tables; as one line per value where a row is too wide for the terminal.

use super::cell::{Kind, clip, width};
use std::io::{self, IsTerminal, Write};

/// Narrower than this, a column says nothing any more.
const MIN_COLUMN: usize = 8;
const NULL: &str = "NULL";

/// How tables are drawn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// Columns of the terminal; without them nothing is cut.
    pub width: Option<usize>,
    /// Whether escape sequences for bold and dim text are understood.
    pub colour: bool,
}

impl Style {
    /// That of the standard output; elsewhere than at a terminal nothing is cut or coloured.
    pub(crate) fn of_stdout() -> Style {
        let terminal = io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let width = if terminal { terminal_width() } else { None };
        Style { width, colour }
    }
}

/// The columns of the terminal.
fn terminal_width() -> Option<usize> {
    let mut editor = rustyline::DefaultEditor::new().ok()?;
    editor.dimensions().map(|(columns, _)| usize::from(columns))
}

/// A result: names, kinds and cells; a cell that is `None` is NULL.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The columns' names and kinds.
    pub columns: Vec<(String, Kind)>,
    /// The rows, each as long as the columns.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Table {
    /// Writes the table, without a line that counts its rows.
    pub(crate) fn write(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let mut widths = self.widths();
        if style
            .width
            .is_some_and(|limit| !fit(&mut widths, &self.fixed(), limit))
        {
            return self.write_records(style, out);
        }
        self.write_header(&widths, style, out)?;
        self.write_rows(&widths, style, out)
    }

    /// What each column needs.
    pub(super) fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| width(name)).collect();
        for row in &self.rows {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(cell.as_deref().map_or(NULL.len(), width));
            }
        }
        widths
    }

    /// Columns that lose their meaning when cut: numbers and times.
    pub(super) fn fixed(&self) -> Vec<bool> {
        self.columns
            .iter()
            .map(|(_, kind)| *kind != Kind::Text)
            .collect()
    }

    /// Writes the names and the rule below them.
    pub(super) fn write_header(
        &self,
        widths: &[usize],
        style: Style,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (bold, dim, plain) = escapes(style);
        for (i, ((name, kind), w)) in self.columns.iter().zip(widths).enumerate() {
            let name = clip(name, *w);
            let text = if last_text(i, widths, *kind) {
                name
            } else {
                pad(&name, *w, *kind)
            };
            write!(out, "{} {bold}{text}{plain}", separator(i, dim, plain))?;
            if i + 1 < widths.len() {
                out.write_all(b" ")?;
            }
        }
        out.write_all(b"\n")?;
        out.write_all(dim.as_bytes())?;
        for (i, w) in widths.iter().enumerate() {
            let joint = if i == 0 { "" } else { "┼" };
            write!(out, "{joint}{}", "─".repeat(w + 2))?;
        }
        writeln!(out, "{plain}")
    }

    /// Writes the rows.
    pub(super) fn write_rows(
        &self,
        widths: &[usize],
        style: Style,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (_, dim, plain) = escapes(style);
        for row in &self.rows {
            for (i, ((cell, (_, kind)), w)) in row.iter().zip(&self.columns).zip(widths).enumerate()
            {
                let text = clip(cell.as_deref().unwrap_or(NULL), *w);
                // A line has no blanks at its end.
                let text = if last_text(i, widths, *kind) {
                    text
                } else {
                    pad(&text, *w, *kind)
                };
                let (open, close) = if cell.is_none() {
                    (dim, plain)
                } else {
                    ("", "")
                };
                write!(out, "{} {open}{text}{close}", separator(i, dim, plain))?;
                if i + 1 < widths.len() {
                    out.write_all(b" ")?;
                }
            }
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn write_records(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let (bold, dim, plain) = escapes(style);
        let names = self
            .columns
            .iter()
            .map(|(name, _)| width(name))
            .max()
            .unwrap_or(0);
        for (n, row) in self.rows.iter().enumerate() {
            writeln!(out, "{dim}── row {} ──{plain}", n + 1)?;
            for ((name, _), cell) in self.columns.iter().zip(row) {
                let name = pad(name, names, Kind::Text);
                match cell {
                    Some(text) => writeln!(out, " {bold}{name}{plain} {dim}│{plain} {text}")?,
                    None => writeln!(out, " {bold}{name}{plain} {dim}│ {NULL}{plain}")?,
                }
            }
        }
        Ok(())
    }
}

/// Narrows columns, the widest first and those in `fixed` never, until the table fits in `limit`; tells whether it
/// does.
pub(super) fn fit(widths: &mut [usize], fixed: &[bool], limit: usize) -> bool {
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + 3 * widths.len() - 1;
    let mut excess = total(widths).saturating_sub(limit);
    while excess > 0 {
        let free = |i: usize, w: usize| !fixed[i] && w > MIN_COLUMN;
        let widest = widths
            .iter()
            .enumerate()
            .filter(|(i, w)| free(*i, **w))
            .max_by_key(|(_, w)| **w);
        let Some((at, _)) = widest else { return false };
        // Down to the next widest at once, or by what is too much.
        let next = widths
            .iter()
            .enumerate()
            .filter(|(i, w)| *i != at && free(*i, **w));
        let floor = next
            .map(|(_, w)| *w)
            .max()
            .unwrap_or(MIN_COLUMN)
            .min(widths[at] - 1);
        let cut = excess.min(widths[at] - floor.max(MIN_COLUMN));
        widths[at] -= cut;
        excess -= cut;
    }
    true
}

/// Whether nothing has to follow the text of column `i`.
fn last_text(i: usize, widths: &[usize], kind: Kind) -> bool {
    i + 1 == widths.len() && kind != Kind::Number
}

fn separator(i: usize, dim: &str, plain: &str) -> String {
    if i == 0 {
        String::new()
    } else {
        format!("{dim}│{plain}")
    }
}

fn escapes(style: Style) -> (&'static str, &'static str, &'static str) {
    if style.colour {
        ("\x1b[1m", "\x1b[2m", "\x1b[0m")
    } else {
        ("", "", "")
    }
}

fn pad(text: &str, to: usize, kind: Kind) -> String {
    let blanks = " ".repeat(to.saturating_sub(width(text)));
    if kind == Kind::Number {
        blanks + text
    } else {
        text.to_owned() + &blanks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(columns: &[(&str, Kind)], rows: &[&[Option<&str>]]) -> Table {
        Table {
            columns: columns.iter().map(|(n, k)| ((*n).to_owned(), *k)).collect(),
            rows: rows
                .iter()
                .map(|r| r.iter().map(|c| c.map(str::to_owned)).collect())
                .collect(),
        }
    }

    fn drawn(table: &Table, width: Option<usize>) -> String {
        let mut out = Vec::new();
        table
            .write(
                Style {
                    width,
                    colour: false,
                },
                &mut out,
            )
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stand_right_and_text_left() {
        let t = table(
            &[
                ("city", Kind::Text),
                ("n", Kind::Number),
                ("note", Kind::Text),
            ],
            &[
                &[Some("Oslo"), Some("3"), Some("x")],
                &[Some("東京"), None, Some("")],
            ],
        );
        let expected =
            " city │    n │ note\n──────┼──────┼──────\n Oslo │    3 │ x\n 東京 │ NULL │ \n";
        assert_eq!(drawn(&t, None), expected);
    }

    #[test]
    fn wide_text_is_cut_and_numbers_are_not() {
        let t = table(
            &[("number", Kind::Number), ("text", Kind::Text)],
            &[&[
                Some("12345678901234567890"),
                Some("a long text that goes on and on"),
            ]],
        );
        let narrow = drawn(&t, Some(40));
        assert!(
            narrow.contains("12345678901234567890 │ a long text th…"),
            "{narrow}"
        );
        assert!(narrow.lines().all(|l| width(l) <= 40), "{narrow}");
    }

    #[test]
    fn what_does_not_fit_at_all_is_written_line_by_line() {
        let t = table(
            &[("number", Kind::Number), ("text", Kind::Text)],
            &[&[Some("12345678901234567890"), None]],
        );
        assert_eq!(
            drawn(&t, Some(20)),
            "── row 1 ──\n number │ 12345678901234567890\n text   │ NULL\n"
        );
    }

    proptest! {
        #[test]
        fn fitting_keeps_the_limit_and_what_is_fixed(
            columns in prop::collection::vec((1usize..60, any::<bool>()), 1..8), limit in 1usize..200,
        ) {
            let (before, fixed): (Vec<usize>, Vec<bool>) = columns.into_iter().unzip();
            let mut widths = before.clone();
            let fits = fit(&mut widths, &fixed, limit);
            let least: usize = before.iter().zip(&fixed).map(|(w, f)| if *f { *w } else { (*w).min(MIN_COLUMN) }).sum();
            prop_assert_eq!(fits, least + 3 * before.len() - 1 <= limit);
            for ((b, a), f) in before.iter().zip(&widths).zip(&fixed) {
                prop_assert!(a <= b && (!f || a == b) && *a >= (*b).min(MIN_COLUMN));
            }
            if fits {
                prop_assert!(widths.iter().sum::<usize>() + 3 * widths.len() - 1 <= limit);
            }
        }
    }
}
