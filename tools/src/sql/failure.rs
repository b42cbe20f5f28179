//! Why the shell could not do what it was told, and how that is shown: message, the line, a caret below the place.

use super::cell::{visible, width};
use super::client::{ClientError, Refusal};
use super::script::Piece;
use std::fmt::Write;
use std::io;

/// Columns of an erroneous line that are shown around its caret.
const LINE: usize = 100;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server could not or would not.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Where the output goes, there is trouble.
    #[error("cannot write: {0}")]
    Output(io::Error),
    /// A file can't be had.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// The system's words.
        source: io::Error,
    },
    /// A command of the shell that makes no sense.
    #[error("{0}")]
    Command(String),
    /// Ctrl-C.
    #[error("cancelled")]
    Cancelled,
    /// Nobody reads the output any more.
    #[error("nobody reads the output")]
    Unread,
    /// It was shown already, where it happened.
    #[error("stopped")]
    Shown,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::Unread
        } else {
            Failure::Output(error)
        }
    }
}

impl Failure {
    /// Whether the server can't be reached, so that going on makes no sense.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Failure::Client(ClientError::Gone { .. }))
    }
}

/// The failure of a piece of `source`, for people. Without a source the piece was typed at a prompt.
pub(super) fn explain(failure: &Failure, piece: &Piece, source: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail, here and below.
    let _ = writeln!(out, "error: {}", visible(&failure.to_string()));
    match failure {
        Failure::Client(ClientError::Refused(refusal)) => point(&mut out, refusal, piece, source),
        Failure::Client(ClientError::Gone { url, .. }) => {
            place(&mut out, (piece.line, piece.column), piece.number, source);
            let hint =
                format!("`tidemill serve` starts a server, `--url` names another than {url}");
            let _ = writeln!(out, "  hint: {hint}");
        }
        Failure::Client(ClientError::TooLarge) => {
            place(&mut out, (piece.line, piece.column), piece.number, source);
            let hint =
                "LIMIT the query, or write it as it comes with `\\format csv` (or `--format csv`)";
            let _ = writeln!(out, "  hint: {hint}");
        }
        _ => place(&mut out, (piece.line, piece.column), piece.number, source),
    }
    out
}

/// Tells where a piece stands: which statement it is, when it is not the first.
fn place(out: &mut String, at: (usize, usize), number: usize, source: Option<&str>) {
    let statement = match number {
        0 | 1 => String::new(),
        n => format!("statement {n}"),
    };
    let comma = if statement.is_empty() { "" } else { ", " };
    if let Some(source) = source {
        let _ = writeln!(out, "   at: {source}:{}:{}{comma}{statement}", at.0, at.1);
    } else if !statement.is_empty() {
        let _ = writeln!(out, "   at: {statement}");
    }
}

/// Shows where the server found the mistake, and what may help.
fn point(out: &mut String, refusal: &Refusal, piece: &Piece, source: Option<&str>) {
    let (line, column) = (
        refusal.line.unwrap_or(1).max(1),
        refusal.column.unwrap_or(1).max(1),
    );
    // The first line of a piece may begin in the middle of a line of the script.
    let in_script = if line == 1 {
        piece.column + column - 1
    } else {
        column
    };
    // A piece is one statement, unless the server takes it for several.
    let number = piece.number + refusal.statement.unwrap_or(0);
    place(out, (piece.line + line - 1, in_script), number, source);
    if refusal.line.is_some()
        && refusal.column.is_some()
        && let Some(text) = piece.text.lines().nth(line - 1)
    {
        let (text, caret) = around(text, column);
        let number = (piece.line + line - 1).to_string();
        let _ = writeln!(out, "  {number} │ {text}");
        let _ = writeln!(
            out,
            "  {} │ {}^",
            " ".repeat(number.len()),
            " ".repeat(caret)
        );
    }
    if let Some(hint) = &refusal.hint {
        let _ = writeln!(out, "  hint: {}", visible(hint));
    }
}

/// The part of a line around a column, and the place of the caret below it.
fn around(line: &str, column: usize) -> (String, usize) {
    let chars: Vec<char> = line.chars().collect();
    let at = (column - 1).min(chars.len());
    let from = if chars.len() <= LINE {
        0
    } else {
        at.saturating_sub(LINE / 2).min(chars.len() - LINE)
    };
    let to = (from + LINE).min(chars.len());
    let part = |range: std::ops::Range<usize>| -> String {
        // A tab's width depends on where it stands; one blank does not.
        let text: String = chars[range]
            .iter()
            .map(|c| if *c == '\t' { ' ' } else { *c })
            .collect();
        visible(&text)
    };
    let before = if from > 0 { "…" } else { "" };
    let after = if to < chars.len() { "…" } else { "" };
    (
        format!("{before}{}{after}", part(from..to)),
        width(before) + width(&part(from..at)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::script::PieceKind;
    use super::*;

    fn piece(text: &str, line: usize, column: usize) -> Piece {
        Piece {
            kind: PieceKind::Statement,
            text: text.to_owned(),
            line,
            column,
            number: 1,
        }
    }

    fn refused(line: usize, column: usize, hint: Option<&str>) -> Failure {
        Failure::Client(ClientError::Refused(Box::new(Refusal {
            message: "expected FROM".into(),
            line: Some(line),
            column: Some(column),
            hint: hint.map(str::to_owned),
            ..Refusal::default()
        })))
    }

    #[test]
    fn the_caret_stands_below_the_place() {
        let text = explain(
            &refused(2, 3, Some("FROM?")),
            &piece("SELECT 1\n  FORM t", 7, 20),
            Some("a.sql"),
        );
        assert_eq!(
            text,
            "error: expected FROM\n   at: a.sql:8:3\n  8 │   FORM t\n    │   ^\n  hint: FROM?\n"
        );
    }

    #[test]
    fn the_first_line_counts_from_where_the_statement_begins() {
        let text = explain(
            &refused(1, 8, None),
            &piece("SELECT FORM", 1, 12),
            Some("a.sql"),
        );
        assert!(text.contains("a.sql:1:19\n"), "{text}");
        assert!(
            text.ends_with("  1 │ SELECT FORM\n    │        ^\n"),
            "{text}"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let long = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let text = explain(&refused(1, 501, None), &piece(&long, 1, 1), None);
        let lines: Vec<&str> = text.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('X'));
        assert!(lines[1].chars().count() < 120);
    }

    #[test]
    fn a_later_statement_is_told_by_its_number() {
        let third = Piece {
            number: 3,
            ..piece("SELECT FORM", 4, 1)
        };
        let text = explain(&refused(1, 8, None), &third, Some("a.sql"));
        assert!(text.contains("   at: a.sql:4:8, statement 3\n"), "{text}");
        let text = explain(&refused(1, 8, None), &third, None);
        assert!(text.contains("   at: statement 3\n"), "{text}");
        let first = explain(&refused(1, 8, None), &piece("SELECT FORM", 1, 1), None);
        assert!(!first.contains("at:"), "{first}");
    }

    #[test]
    fn places_beyond_the_text_do_no_harm() {
        for (line, column) in [(1, 99), (9, 1), (0, 0), (usize::MAX / 2, usize::MAX / 2)] {
            explain(
                &refused(line, column, None),
                &piece("SELECT", 1, 1),
                Some("a"),
            );
        }
    }
}
