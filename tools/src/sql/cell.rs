//! A value of a JSON reply as text for people.

use serde_json::value::RawValue;
use std::fmt::Write;
use unicode_width::UnicodeWidthChar;

/// How a column's values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Right-aligned, so that digits stand below each other.
    Number,
    /// A time, with a blank instead of `T` and without `Z`: all times are UTC.
    Time,
    /// Anything else, left-aligned.
    Text,
}

impl Kind {
    /// The kind that an SQL type asks for.
    pub(super) fn of(sql_type: &str) -> Kind {
        let end = sql_type
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(sql_type.len());
        let rest = &sql_type[end..];
        if rest.starts_with('<') || rest.starts_with('[') {
            return Kind::Text;
        }
        match sql_type[..end].to_ascii_uppercase().as_str() {
            "TINYINT" | "SMALLINT" | "INT" | "INTEGER" | "BIGINT" | "UTINYINT" | "USMALLINT"
            | "UINT" | "UINTEGER" | "UBIGINT" | "REAL" | "FLOAT" | "DOUBLE" | "DECIMAL" => {
                Kind::Number
            }
            "TIMESTAMP" => Kind::Time,
            _ => Kind::Text,
        }
    }
}

/// A value's text; `None` for NULL.
pub(super) fn text(raw: &RawValue, kind: Kind) -> Option<String> {
    let raw = raw.get();
    if raw == "null" {
        return None;
    }
    if !raw.starts_with('"') {
        return Some(visible(raw));
    }
    let Ok(text) = serde_json::from_str::<String>(raw) else {
        return Some(visible(raw));
    };
    Some(match (kind, text.as_bytes()) {
        (Kind::Time, [.., b'Z']) if text.as_bytes().get(10) == Some(&b'T') => {
            format!("{} {}", &text[..10], &text[11..text.len() - 1])
        }
        _ => visible(&text),
    })
}

/// The text with everything escaped that would move a terminal's cursor or speak to the terminal itself.
pub(crate) fn visible(text: &str) -> String {
    if !text.chars().any(hidden) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if hidden(c) => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Controls, and marks that turn the direction of what follows.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The columns of a terminal that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text cut to `limit` columns, its cut marked.
pub(super) fn clip(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > limit {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(raw: &str, kind: Kind) -> Option<String> {
        text(serde_json::from_str(raw).unwrap(), kind)
    }

    #[test]
    fn types_have_kinds() {
        for number in ["BIGINT", "DOUBLE", "DECIMAL(38,2)", "UBIGINT", "INT"] {
            assert_eq!(Kind::of(number), Kind::Number, "{number}");
        }
        for other in [
            "STRING",
            "BIGINT[]",
            "ARRAY<BIGINT>",
            "BOOLEAN",
            "",
            "INTERVAL",
            "INT[]",
        ] {
            assert_eq!(Kind::of(other), Kind::Text, "{other}");
        }
        assert_eq!(Kind::of("TIMESTAMP(9)"), Kind::Time);
    }

    #[test]
    fn values_become_text() {
        assert_eq!(shown("null", Kind::Number), None);
        assert_eq!(shown("1.10", Kind::Number).unwrap(), "1.10");
        assert_eq!(shown("\"null\"", Kind::Text).unwrap(), "null");
        assert_eq!(
            shown("\"2001-01-01T00:01:00.5Z\"", Kind::Time).unwrap(),
            "2001-01-01 00:01:00.5"
        );
        assert_eq!(shown("978307260", Kind::Time).unwrap(), "978307260");
        assert_eq!(shown(r#"["Oslo",1]"#, Kind::Text).unwrap(), r#"["Oslo",1]"#);
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        assert_eq!(
            shown(r#""a\nb\u001b[2J\u202ec""#, Kind::Text).unwrap(),
            "a\\nb\\u{1b}[2J\\u{202e}c"
        );
        assert_eq!(
            shown("[\"\u{202e}\"]", Kind::Text).unwrap(),
            "[\"\\u{202e}\"]"
        );
    }

    #[test]
    fn clipping_counts_columns_not_bytes() {
        assert_eq!(clip("Zürich", 6), "Zürich");
        assert_eq!(clip("Zürich", 4), "Zür…");
        assert_eq!(clip("東京都", 4), "東…");
        assert_eq!(width(&clip("東京都", 5)), 5);
    }
}
