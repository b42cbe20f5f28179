//! What is wrong with a text, and where.

use std::fmt;

use crate::ast::line_column;

/// What kind of objection the parser has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyntaxErrorKind {
    /// The text is not in the language.
    Syntax,
    /// The text is in the language, and Tidemill cannot do it yet.
    NotYet,
    /// The text is nested too deeply or too long.
    TooLarge,
}

/// Why a text does not parse. Of all the places where the grammar could not go on, it tells the
/// farthest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SyntaxError {
    /// What kind of objection it is.
    pub kind: SyntaxErrorKind,
    /// What is wrong, without the position.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Byte offset in the text.
    pub offset: usize,
    /// What might help.
    pub hint: Option<String>,
    /// What could have stood there; empty when that is not the point.
    pub expected: Vec<String>,
}

impl SyntaxError {
    pub(crate) fn new(kind: SyntaxErrorKind, message: String, sql: &str, offset: usize) -> Self {
        let (line, column) = line_column(sql, offset);
        Self {
            kind,
            message,
            line,
            column,
            offset,
            hint: None,
            expected: Vec::new(),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.message
        )?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// The expected things as `A`, `A or B`, `A, B or C`; a long list is cut.
pub(crate) fn one_of(expected: &[String]) -> String {
    const SHOWN: usize = 8;
    match expected {
        [] => "something else".to_owned(),
        [only] => only.clone(),
        many if many.len() > SHOWN => format!("{} or something else", many[..SHOWN - 1].join(", ")),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The keyword among `expected` that `word` is most likely a misspelling of: at most two letters
/// inserted, deleted, replaced or swapped, and at most one in short words.
pub(crate) fn nearest<'a>(word: &str, expected: &'a [String]) -> Option<&'a str> {
    if word.len() > 40 || word.len() < 3 {
        return None;
    }
    let word: Vec<char> = word.to_uppercase().chars().collect();
    let candidates = expected.iter().filter_map(|phrase| {
        let keyword = phrase.split(' ').next()?;
        let is_keyword = keyword.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let letters: Vec<char> = keyword.chars().collect();
        let distance = edit_distance(&word, &letters);
        let allowed = if letters.len() <= 4 { 1 } else { 2 };
        (is_keyword && (1..=allowed).contains(&distance)).then_some((distance, keyword))
    });
    candidates
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, keyword)| keyword)
}

/// Edits between two words, a swap of neighbours counting once (optimal string alignment).
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: &str, b: &str) -> usize {
        edit_distance(
            &a.chars().collect::<Vec<_>>(),
            &b.chars().collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_swap_is_one_edit() {
        assert_eq!(distance("FORM", "FROM"), 1);
        assert_eq!(distance("FROM", "FROM"), 0);
        assert_eq!(distance("", "FROM"), 4);
        assert_eq!(distance("WHER", "WHERE"), 1);
        assert_eq!(distance("SELECT", "SECELT"), 2);
    }

    #[test]
    fn only_keywords_are_suggested() {
        let expected = ["a name".to_owned(), "ORDER BY".to_owned(), "`)`".to_owned()];
        assert_eq!(nearest("oder", &expected), Some("ORDER"));
        assert_eq!(nearest("name", &expected), None);
        assert_eq!(nearest("order", &expected), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let many: Vec<String> = (0..9).map(|i| format!("K{i}")).collect();
        assert_eq!(
            one_of(&many),
            "K0, K1, K2, K3, K4, K5, K6 or something else"
        );
        assert_eq!(one_of(&many[..3]), "K0, K1 or K2");
        assert_eq!(one_of(&many[..1]), "K0");
    }
}
