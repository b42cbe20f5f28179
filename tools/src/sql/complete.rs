//! What the prompt knows while a line is typed: whether it is complete, and how a word may go on.

use super::command::COMMANDS;
use super::script::is_open;
use query_lang::is_reserved;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use std::borrow::Cow;

const KEYWORDS: &[&str] = &[
    "ADVANCE BY",
    "ALL",
    "ANALYZE",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "CASE",
    "CAST",
    "CHANGES",
    "COLLECT_LIST",
    "COUNT",
    "CREATE",
    "CROSS JOIN",
    "DATABASE",
    "DATABASES",
    "DEAD LETTERS",
    "DECIMAL",
    "DELETE FROM",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "EMIT",
    "END",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FINAL",
    "FIRST",
    "FROM",
    "FULL JOIN",
    "FUNCTIONS",
    "GRACE PERIOD",
    "GROUP BY",
    "HAVING",
    "HOP",
    "HOPPING",
    "HOUR",
    "IF NOT EXISTS",
    "IN",
    "INSERT INTO",
    "INT",
    "INTERVAL",
    "IS NULL",
    "JOIN",
    "LAST",
    "LATEST ON",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "MATERIALIZED VIEW",
    "MAX",
    "MIN",
    "MINUTE",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "PAUSE SOURCE",
    "PERCENT",
    "PERCENTILE",
    "PRIMARY KEY",
    "PRIORITY",
    "REPLAY",
    "RESUME SOURCE",
    "SAMPLE",
    "SECOND",
    "SELECT",
    "SESSION",
    "SESSION_END",
    "SESSION_START",
    "SHOW",
    "SINK",
    "SINKS",
    "SIZE",
    "SOURCES",
    "STREAM",
    "STREAMS",
    "STRING",
    "SUM",
    "TABLE",
    "TABLES",
    "TAG",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "TUMBLE",
    "TUMBLING",
    "UNION",
    "UPSERT INTO",
    "USE",
    "USING",
    "VALUES",
    "VIEW",
    "VIEWS",
    "WATERMARK FOR",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WINDOW_END",
    "WINDOW_START",
    "WITH",
];

/// Words behind which only the name of a stream or view can stand.
const BEFORE_NAMES: &[&str] = &["FROM", "JOIN", "INTO", "DESCRIBE", "STREAM", "VIEW", "\\d"];

/// Names in the database.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Streams and views.
    pub objects: Vec<String>,
    /// Their columns.
    pub columns: Vec<String>,
}

/// The prompt's helper.
pub(super) struct Prompt {
    /// What can be completed besides keywords.
    pub names: Names,
    files: FilenameCompleter,
    history: HistoryHinter,
}

impl Prompt {
    /// A helper that knows no names yet.
    pub(super) fn new() -> Prompt {
        Prompt {
            names: Names::default(),
            files: FilenameCompleter::new(),
            history: HistoryHinter::new(),
        }
    }
}

/// What the word before the cursor may become: its start, and the candidates.
fn candidates(names: &Names, before: &str) -> (usize, Vec<Pair>) {
    if before.starts_with('\\') && !before.contains(char::is_whitespace) {
        let fitting = COMMANDS.iter().filter(|c| c.starts_with(before));
        return (0, fitting.map(|c| pair(c, format!("{c} "))).collect());
    }
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '"');
    let start = before.trim_end_matches(in_word).len();
    let word = &before[start..];
    let bare = word.trim_start_matches('"');
    let last = before[..start]
        .split_whitespace()
        .next_back()
        .unwrap_or_default();
    let names_alone = BEFORE_NAMES.iter().any(|w| w.eq_ignore_ascii_case(last));
    let mut found = Vec::new();
    let columns = if names_alone { &[][..] } else { &names.columns };
    for name in names.objects.iter().chain(columns) {
        if begins(name, bare) {
            found.push(pair(name, quoted(name)));
        }
    }
    if !names_alone && !word.is_empty() && !word.starts_with('"') {
        let lower = word.starts_with(|c: char| c.is_lowercase());
        for keyword in KEYWORDS.iter().filter(|k| begins(k, word)) {
            let text = if lower {
                keyword.to_ascii_lowercase()
            } else {
                (*keyword).to_owned()
            };
            found.push(pair(&text, text.clone()));
        }
    }
    (start, found)
}

fn pair(display: &str, replacement: String) -> Pair {
    Pair {
        display: display.to_owned(),
        replacement,
    }
}

/// Whether a name begins with a prefix, whatever the case of ASCII letters.
fn begins(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A name as SQL wants it.
pub(super) fn quoted(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic())
        && chars.all(|c| c == '_' || c == '$' || c == '.' || c.is_alphanumeric())
        && !is_reserved(name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

impl Completer for Prompt {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        ctx: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        if before.starts_with("\\i ") || before.starts_with("\\o ") {
            return self.files.complete(line, pos, ctx);
        }
        Ok(candidates(&self.names, before))
    }
}

impl Validator for Prompt {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_open(ctx.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Hinter for Prompt {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<String> {
        // A hint over several lines would push the prompt about.
        self.history
            .hint(line, pos, ctx)
            .filter(|hint| !hint.contains('\n'))
    }
}

impl Highlighter for Prompt {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        Cow::Owned(format!("\x1b[1;36m{prompt}\x1b[0m"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }

    fn highlight_char(&self, _line: &str, _pos: usize, _kind: CmdKind) -> bool {
        false
    }
}

impl Helper for Prompt {}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: &str) -> Vec<String> {
        let names = Names {
            objects: vec!["purchases".into(), "Odd name".into()],
            columns: vec!["user_id".into(), "usage".into()],
        };
        candidates(&names, before)
            .1
            .into_iter()
            .map(|p| p.replacement)
            .collect()
    }

    #[test]
    fn names_follow_from() {
        assert_eq!(found("SELECT * FROM "), ["purchases", "\"Odd name\""]);
        assert_eq!(found("select * from PUR"), ["purchases"]);
        assert_eq!(found("\\d pur"), ["purchases"]);
        assert_eq!(found("SELECT * FROM \"odd"), ["\"Odd name\""]);
    }

    #[test]
    fn columns_and_keywords_elsewhere_in_the_case_that_was_begun() {
        assert_eq!(found("SELECT us"), ["user_id", "usage", "use", "using"]);
        assert_eq!(found("SEL"), ["SELECT"]);
        assert_eq!(
            found("SELECT "),
            ["purchases", "\"Odd name\"", "user_id", "usage"]
        );
    }

    #[test]
    fn commands_are_completed_at_the_start_alone() {
        assert_eq!(found("\\f"), ["\\format "]);
        assert!(!found("SELECT \\f").contains(&"\\format ".to_owned()));
    }

    #[test]
    fn a_prefix_may_end_within_a_letter_of_a_name() {
        assert!(!begins("é", "e"));
        assert!(!begins("aé", "ab"));
    }
}
