//! A text cut into what is run one by one: statements up to their `;`, and commands that begin with a backslash.
//!
//! The text may come line by line from a pipe that never ends: a piece is given as soon as it is whole. Quotes and
//! comments are the grammar's own, so that a `;` within them ends nothing.

use query_lang::MAX_SQL_BYTES;
use std::io::{self, BufRead};

/// Something to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// Its text, without the `;` behind it.
    pub text: String,
    /// The line of the script where it begins, from 1.
    pub line: usize,
    /// The column where it begins, in characters from 1.
    pub column: usize,
    /// Which statement of the script it is, from 1; commands have the number of the statement before them.
    pub number: usize,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// A statement of SQL.
    Statement,
    /// A command to the shell itself.
    Command,
}

/// What stands at the beginning of a text.
#[derive(Debug, PartialEq, Eq)]
enum Front {
    /// Blanks and comments alone, up to the end.
    Blank,
    /// A piece from `start` to `end`; the next begins at `next`.
    Whole {
        kind: PieceKind,
        start: usize,
        end: usize,
        next: usize,
    },
    /// A statement that begins at `start` and has no end yet.
    Open { start: usize },
}

/// Whether a text needs further lines: a statement has begun and has no `;` yet.
pub(super) fn is_open(text: &str) -> bool {
    let mut at = 0;
    loop {
        match front(&text[at..]) {
            Front::Blank => return false,
            Front::Open { .. } => return true,
            Front::Whole { next, .. } => at += next,
        }
    }
}

fn front(text: &str) -> Front {
    let mut from = 0;
    loop {
        let Some(start) = skip_blanks(text, from) else {
            // An open comment: whatever follows belongs to it.
            return Front::Open { start: text.len() };
        };
        match text.as_bytes().get(start) {
            None => return Front::Blank,
            // An empty statement is none.
            Some(b';') => from = start + 1,
            Some(b'\\') => {
                let end = text[start..].find('\n').map_or(text.len(), |n| start + n);
                let next = (end + 1).min(text.len());
                return Front::Whole {
                    kind: PieceKind::Command,
                    start,
                    end,
                    next,
                };
            }
            Some(_) => {
                return match statement_end(text, start) {
                    Some(end) => Front::Whole {
                        kind: PieceKind::Statement,
                        start,
                        end,
                        next: end + 1,
                    },
                    None => Front::Open { start },
                };
            }
        }
    }
}

/// The first place at or after `at` that is neither blank nor in a comment; `None` in an open comment.
fn skip_blanks(text: &str, mut at: usize) -> Option<usize> {
    loop {
        let rest = &text[at..];
        at += rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
                .len();
        let rest = &text[at..];
        if rest.starts_with("--") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at = comment_end(text, at)?;
        } else {
            return Some(at);
        }
    }
}

/// The end of the comment that begins at `at`. Comments nest.
fn comment_end(text: &str, mut at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// Where the `;` stands that ends the statement at `at`.
fn statement_end(text: &str, mut at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    loop {
        at += text[at..].find([';', '\'', '"', '`', '-', '/'])?;
        match &bytes[at..] {
            [b';', ..] => return Some(at),
            [b'-', b'-', ..] => at += text[at..].find('\n')?,
            [b'/', b'*', ..] => at = comment_end(text, at)?,
            // A doubled quote closes and opens again, which comes to the same.
            [q @ (b'\'' | b'"' | b'`'), ..] => at += 2 + text[at + 1..].find(char::from(*q))?,
            _ => at += 1,
        }
    }
}

/// The pieces of a script, read as they are wanted.
pub(super) struct Script<R> {
    reader: R,
    /// What was read and not given yet.
    buffer: String,
    /// Where `buffer` begins in the script.
    line: usize,
    column: usize,
    /// Statements given so far.
    given: usize,
    ended: bool,
}

impl<R: BufRead> Script<R> {
    /// The script that `reader` yields.
    pub(super) fn new(reader: R) -> Script<R> {
        Script {
            reader,
            buffer: String::new(),
            line: 1,
            column: 1,
            given: 0,
            ended: false,
        }
    }

    /// The next piece. A statement that the end of the text leaves without its `;` is one, too.
    ///
    /// # Errors
    /// When reading fails, the text is not UTF-8, or one statement is larger than any that can be run.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        // Looking again after each line would cost a long statement the square of its length.
        let mut worth_a_look = true;
        loop {
            if worth_a_look || self.ended {
                match front(&self.buffer) {
                    Front::Whole {
                        kind,
                        start,
                        end,
                        next,
                    } => {
                        return Ok(Some(self.take(kind, start, end, next)));
                    }
                    Front::Blank => self.advance(self.buffer.len()),
                    Front::Open { start } if self.ended => {
                        let end = self.buffer.trim_end().len().max(start);
                        if start == self.buffer.len() {
                            return Err(io::Error::other("a comment is never closed"));
                        }
                        let next = self.buffer.len();
                        return Ok(Some(self.take(PieceKind::Statement, start, end, next)));
                    }
                    Front::Open { .. } => {}
                }
            }
            if self.ended {
                return Ok(None);
            }
            let before = self.buffer.len();
            self.ended = self.reader.read_line(&mut self.buffer)? == 0;
            if self.buffer.len() > MAX_SQL_BYTES {
                return Err(io::Error::other(format!(
                    "the statement in line {} has more than {} MiB",
                    self.line,
                    MAX_SQL_BYTES >> 20
                )));
            }
            let fresh = &self.buffer[before..];
            worth_a_look = before == 0 || fresh.contains([';', '\\']) || fresh.contains("*/");
        }
    }

    fn take(&mut self, kind: PieceKind, start: usize, end: usize, next: usize) -> Piece {
        self.advance(start);
        let (line, column) = (self.line, self.column);
        let text = self.buffer[..end - start].trim_end().to_owned();
        self.advance(next - start);
        self.given += usize::from(kind == PieceKind::Statement);
        Piece {
            kind,
            text,
            line,
            column,
            number: self.given,
        }
    }

    /// Drops the first `n` bytes.
    fn advance(&mut self, n: usize) {
        let gone = &self.buffer[..n];
        match gone.rfind('\n') {
            Some(at) => {
                self.line += gone.matches('\n').count();
                self.column = gone[at + 1..].chars().count() + 1;
            }
            None => self.column += gone.chars().count(),
        }
        self.buffer.drain(..n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(text: &str) -> Vec<(String, usize, usize)> {
        let mut script = Script::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(p) = script.next().unwrap() {
            all.push((p.text, p.line, p.column));
        }
        all
    }

    fn texts(text: &str) -> Vec<String> {
        pieces(text).into_iter().map(|p| p.0).collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes_and_comments() {
        assert_eq!(texts("SELECT 1; SELECT 2"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(
            texts("SELECT ';', 'it''s;', \"a;b\", `;`;"),
            ["SELECT ';', 'it''s;', \"a;b\", `;`"]
        );
        assert_eq!(
            texts("SELECT 1 -- a;b\n, 2; /* ; /* ; */ ; */ SELECT 3;"),
            ["SELECT 1 -- a;b\n, 2", "SELECT 3"]
        );
        assert_eq!(texts("SELECT 1 - 2 / 3; ;; -- end"), ["SELECT 1 - 2 / 3"]);
        assert_eq!(texts(" ; \n ; "), [""; 0]);
    }

    #[test]
    fn places_count_from_one_in_the_whole_script() {
        assert_eq!(
            pieces("-- first\nSELECT 1; SELECT\n 2;\n\\timing\n  é SELECT;"),
            [
                ("SELECT 1".to_owned(), 2, 1),
                ("SELECT\n 2".to_owned(), 2, 11),
                ("\\timing".to_owned(), 4, 1),
                ("é SELECT".to_owned(), 5, 3),
            ]
        );
    }

    #[test]
    fn statements_are_numbered_and_commands_are_not() {
        let mut script = Script::new("SELECT 1;\n\\timing\nSELECT 2; SELECT 3".as_bytes());
        let numbers = std::iter::from_fn(|| script.next().unwrap()).map(|p| p.number);
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 1, 2, 3]);
    }

    #[test]
    fn commands_stand_between_statements_alone() {
        assert_eq!(
            texts("\\d purchases; x\nSELECT '\n\\d';"),
            ["\\d purchases; x", "SELECT '\n\\d'"]
        );
    }

    #[test]
    fn what_is_open_wants_more() {
        for open in [
            "SELECT 1",
            "SELECT ';",
            "/* ;",
            "SELECT 1; SELECT",
            "SELECT 1 /* ; */",
            "SELECT -- ;\n",
        ] {
            assert!(is_open(open), "{open}");
        }
        for whole in ["", " ", "SELECT 1;", "\\d", "-- x", "SELECT 1; -- y", ";"] {
            assert!(!is_open(whole), "{whole}");
        }
    }

    #[test]
    fn an_open_comment_is_an_error() {
        let mut script = Script::new("SELECT 1; /* x".as_bytes());
        assert_eq!(script.next().unwrap().unwrap().text, "SELECT 1");
        assert!(script.next().is_err());
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error() {
        assert!(Script::new(&b"SELECT '\xff';"[..]).next().is_err());
    }

    proptest! {
        /// Whatever the text, cutting ends, and nothing of a statement is lost but blanks, comments and `;`.
        #[test]
        fn cutting_twice_changes_nothing(text in "[-/*;'\"`\\\\a \n]{0,60}") {
            let mut script = Script::new(text.as_bytes());
            while let Ok(Some(piece)) = script.next() {
                prop_assert!(!piece.text.is_empty());
                if piece.kind == PieceKind::Statement {
                    let again = Script::new(piece.text.as_bytes()).next().unwrap().unwrap();
                    prop_assert_eq!(&again.text, &piece.text);
                }
            }
        }

        /// The grammar and the shell agree on where statements end.
        #[test]
        fn the_grammar_counts_the_same(parts in prop::collection::vec(0usize..7, 1..8)) {
            let menu = ["SELECT 1", "SELECT ';'", "SELECT 1 AS \"a;b\"", "SHOW STREAMS", "SELECT /* ; */ 2", "SELECT 3 -- ;\n", "SELECT 'it''s;'"];
            let text: String = parts.iter().map(|p| format!("{};\n", menu[*p])).collect();
            let parsed = query_lang::parse_statements(&text).unwrap();
            prop_assert_eq!(parsed.len(), texts(&text).len());
        }
    }
}
