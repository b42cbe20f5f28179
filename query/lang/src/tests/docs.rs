//! The examples of the reference page are in the language.

use crate::{SyntaxErrorKind, parse_statements};

const PAGE: &str = include_str!("../../../../docs/sql.md");

/// The texts between a line `fence` and the next line of three backticks.
fn blocks(fence: &str) -> Vec<&'static str> {
    let opening = format!("```{fence}\n");
    let behind = PAGE.split(opening.as_str()).skip(1);
    behind
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

#[test]
fn examples_parse() {
    let blocks = blocks("sql");
    assert!(blocks.len() > 8, "{}", blocks.len());
    for block in blocks {
        let statements = parse_statements(block).unwrap_or_else(|e| panic!("{e}\n{block}"));
        assert!(!statements.is_empty());
    }
}

#[test]
fn what_is_not_there_yet_says_so() {
    let blocks = blocks("sql,not-yet");
    assert_eq!(blocks.len(), 1);
    for line in blocks[0].lines() {
        let error = parse_statements(line).expect_err(line);
        assert_eq!(error.kind, SyntaxErrorKind::NotYet, "{line}\n{error}");
    }
}

/// The page lists the reserved words, all of them.
#[test]
fn reserved_words_are_listed() {
    let listed = PAGE
        .split("\n> ALL")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let mut words: Vec<&str> = listed
        .split([',', ' ', '\n', '>'])
        .filter(|w| !w.is_empty())
        .collect();
    words.insert(0, "ALL");
    assert_eq!(words, crate::RESERVED);
}
