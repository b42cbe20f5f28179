//! Goldens: what is accepted, in its printed form, and what is rejected, with its message.
//!
//! `UPDATE_GOLDENS=1 cargo test -p query-lang --lib` writes the expected files anew; review the difference.

use std::fmt::Write;
use std::path::PathBuf;

use crate::parse_statements;

/// The texts of a file, each ended by a line `----`.
fn texts(name: &str) -> Vec<String> {
    let content = std::fs::read_to_string(path(name)).unwrap();
    let texts = content
        .split("----\n")
        .map(|text| text.trim_end_matches('\n').to_owned());
    texts.filter(|text| !text.trim().is_empty()).collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests-data")
        .join(name)
}

/// Compares with the file, or writes it.
fn check(name: &str, actual: &str) {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(path(name), actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path(name)).unwrap_or_default();
    for (number, (want, got)) in expected.lines().zip(actual.lines()).enumerate() {
        assert_eq!(got, want, "{name}, line {}", number + 1);
    }
    assert_eq!(
        actual.lines().count(),
        expected.lines().count(),
        "{name}: number of lines"
    );
}

#[test]
fn accepted() {
    let mut printed = String::new();
    for text in texts("accepted.sql") {
        let statements = parse_statements(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        for statement in &statements {
            let span = statement.span.text(&text).unwrap();
            let again = parse_statements(span).unwrap();
            assert_eq!(
                again.as_slice(),
                std::slice::from_ref(statement),
                "span of {text}"
            );
            let canonical = statement.to_string();
            let reparsed = parse_statements(&canonical)
                .unwrap_or_else(|e| panic!("{text}\nprints as\n{canonical}\n{e}"));
            assert_eq!(
                reparsed.as_slice(),
                std::slice::from_ref(statement),
                "{canonical}"
            );
            assert_eq!(reparsed[0].to_string(), canonical);
            writeln!(printed, "{canonical};").unwrap();
        }
    }
    check("accepted.out", &printed);
}

#[test]
fn rejected() {
    let mut messages = String::new();
    for text in texts("rejected.sql") {
        let error = match parse_statements(&text) {
            Err(error) => error,
            Ok(parsed) => panic!("accepted: {text}\n{parsed:?}"),
        };
        assert!(error.offset <= text.len());
        let line = text.lines().nth(error.line - 1).unwrap_or_default();
        writeln!(messages, "{line}").unwrap();
        writeln!(
            messages,
            "{}^ {error} [{:?}]",
            " ".repeat(error.column - 1),
            error.kind
        )
        .unwrap();
    }
    check("rejected.out", &messages);
}
