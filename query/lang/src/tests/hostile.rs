//! Hostile text: deep, long, broken. Nothing panics, the stack and the time stay bounded.

use std::time::{Duration, Instant};

use crate::{MAX_SQL_BYTES, SyntaxErrorKind, parse_expr, parse_statements};
use proptest::prelude::*;

/// Runs on a small stack, so that recursion that grows with the input shows.
fn on_small_stack(f: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(512 << 10)
        .spawn(f)
        .unwrap()
        .join()
        .unwrap();
}

/// Parses, prints, parses again, compares, drops; tells whether it parsed.
fn exercise(sql: &str) -> bool {
    match parse_statements(sql) {
        Ok(statements) => {
            let printed: Vec<String> = statements.iter().map(ToString::to_string).collect();
            let again = parse_statements(&printed.join("; "));
            let again = again.unwrap_or_else(|e| panic!("printed form is refused: {e}"));
            assert_eq!(again.len(), statements.len());
            assert!(again == statements, "printed form differs");
            let _ = format!("{statements:?}").len();
            true
        }
        Err(error) => {
            assert!(sql.is_char_boundary(error.offset));
            let _ = error.to_string();
            false
        }
    }
}

/// What can be nested: before and after, around a core.
const NESTS: &[(&str, &str, &str)] = &[
    ("SELECT ", "(", ")"),
    ("SELECT ", "((1), ", ")"),
    ("SELECT ", "1 + (", ")"),
    ("SELECT ", "(1 OR 1 AND 1 = 1 || 1 + 1 * (", "))"),
    ("SELECT ", "f(", ")"),
    ("SELECT ", "position(", ", 1)"),
    ("SELECT ", "substring(", ", 1)"),
    ("SELECT ", "trim(", ")"),
    ("SELECT ", "trim(both from ", ")"),
    ("SELECT ", "- ", ""),
    ("SELECT ", "NOT ", ""),
    ("SELECT ", "", " IS NULL"),
    ("SELECT ", "", "::INT"),
    ("SELECT ", "", "[1]"),
    ("SELECT ", "", " AT TIME ZONE 'UTC'"),
    ("SELECT ", "a[", "]"),
    ("SELECT ", "[", "]"),
    ("SELECT ", "CASE WHEN ", " THEN 1 END"),
    ("SELECT ", "CAST(", " AS INT)"),
    ("SELECT ", "1 IN (", ")"),
    ("SELECT ", "x BETWEEN 1 AND (", ")"),
    ("SELECT ", "(SELECT ", ")"),
    ("SELECT ", "((SELECT ", ") + 1)"),
    ("SELECT ", "EXISTS (SELECT ", ")"),
    ("SELECT ", "sum(1) OVER (ORDER BY ", ")"),
    ("SELECT ", "sum(1) FILTER (WHERE ", ")"),
    ("", "(", "SELECT 1)"),
    ("", "(SELECT 1) UNION (", "SELECT 1)"),
    ("SELECT * FROM ", "(", "t)"),
    ("SELECT * FROM ", "(SELECT * FROM ", "t)"),
    ("SELECT * FROM ", "((SELECT 1) x JOIN ", "t ON 1)"),
    ("", "WITH x AS (", "SELECT 1) SELECT 2"),
    ("", "EXPLAIN ", ""),
    ("CREATE STREAM s (a ", "ARRAY<", "INT>)"),
    ("CREATE STREAM s AS SELECT ", "(SELECT ", ")"),
    ("CREATE STREAM s AS SELECT * FROM ", "(SELECT * FROM ", "t)"),
    ("CREATE STREAM s SAMPLE 1 PERCENT BY ", "(", "1)"),
    ("CREATE SINK s AS ", "(", "SELECT 1)"),
];

#[test]
fn depth_is_bounded() {
    on_small_stack(|| {
        for (before, open, close) in NESTS {
            // A stack that overflows tells nothing, so say where.
            println!("{before}{open} .. {close}");
            let nested = |depth: usize| {
                let core = if before.contains("SELECT") && !before.contains("FROM") {
                    "1"
                } else {
                    ""
                };
                format!(
                    "{before}{}{core}{}",
                    open.repeat(depth),
                    close.repeat(depth)
                )
            };
            // Up to the limit, each depth parses or is refused for being too deep, and what parses
            // prints to something that parses.
            for depth in (1..300).chain([20_000]) {
                exercise(&nested(depth));
            }
            // Unclosed ones too.
            exercise(&format!("{before}{}", open.repeat(20_000)));
        }
    });
}

#[test]
fn twenty_levels_are_fine() {
    for (open, close) in [
        ("(", ")"),
        ("(SELECT ", ")"),
        ("f(1 + (2 * ", "))"),
        ("CASE WHEN ", " THEN 1 END"),
    ] {
        let sql = format!("SELECT {}1{}", open.repeat(20), close.repeat(20));
        assert!(exercise(&sql), "{sql}");
    }
}

#[test]
fn too_deep_is_said() {
    let sql = format!("SELECT {}1{}", "(".repeat(1000), ")".repeat(1000));
    let error = parse_statements(&sql).unwrap_err();
    assert_eq!(error.kind, SyntaxErrorKind::TooLarge);
    assert_eq!(error.message, "this is nested too deeply");
    assert!(
        (100..1000).contains(&error.column),
        "column {}",
        error.column
    );
}

#[test]
fn long_chains_are_flat() {
    on_small_stack(|| {
        const TERMS: usize = 100_000;
        for (before, item, separator) in [
            ("SELECT ", "1", "+"),
            ("SELECT ", "1", "-"),
            ("SELECT ", "1", "*"),
            ("SELECT ", "a = 1", " OR "),
            ("SELECT ", "a", " AND "),
            ("SELECT ", "NOT a", " AND "),
            ("SELECT ", "a", "||"),
            ("SELECT ", "a * 2 / -3", "+"),
            ("SELECT ", "1", ","),
            ("SELECT a IN (1, ", "1", ","),
            ("", "SELECT 1", " UNION ALL "),
            ("", "SELECT 1", " INTERSECT "),
            ("SELECT * FROM ", "t", ","),
            ("SELECT * FROM ", "t", " CROSS JOIN "),
            ("INSERT INTO t VALUES ", "(1, 'a')", ","),
            ("", "SELECT 1", ";"),
        ] {
            let close = if before.contains('(') { ")" } else { "" };
            let sql = format!("{before}{}{close}", vec![item; TERMS].join(separator));
            assert!(exercise(&sql), "{before} {item} {separator}");
            let copy = parse_statements(&sql).unwrap().clone();
            assert_eq!(copy.len(), if separator == ";" { TERMS } else { 1 });
        }
    });
}

/// Ambiguous beginnings, nested: alternatives tried one after the other would take 2^40 steps.
#[test]
fn no_exponential_backtracking() {
    let start = Instant::now();
    for (open, core, close) in [
        ("((SELECT ", "1", ")+1)"),
        ("SELECT * FROM ((SELECT * FROM ", "t", ") x JOIN y ON 1)"),
        ("substring(", "x", ")"),
        ("trim(", "x", ")"),
        ("position(", "x", ",1)"),
        ("(((", "1", ")))"),
        ("((", "1", ")+1,2)"),
    ] {
        for depth in [10, 20, 40] {
            let inner = format!("{}{core}{}", open.repeat(depth), close.repeat(depth));
            exercise(&format!("SELECT {inner}"));
            exercise(&format!("SELECT {inner} ]"));
        }
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn huge_texts_are_refused() {
    let error = parse_statements(&" ".repeat(MAX_SQL_BYTES + 1)).unwrap_err();
    assert_eq!(error.kind, SyntaxErrorKind::TooLarge);
}

/// Words and symbols from which the grammar is made, and some from which it is not.
const SOUP: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "EMIT CHANGES",
    "WINDOW",
    "TUMBLING",
    "HOPPING",
    "SESSION",
    "SIZE",
    "ADVANCE BY",
    "GRACE PERIOD",
    "1 MINUTE",
    "INTERVAL '1' HOUR",
    "UNION",
    "ALL",
    "EXCEPT",
    "INTERSECT",
    "JOIN",
    "LEFT",
    "ASOF",
    "CROSS",
    "NATURAL",
    "ON",
    "USING",
    "WITHIN",
    "AS",
    "WITH",
    "VALUES",
    "INSERT INTO",
    "CREATE",
    "STREAM",
    "VIEW",
    "MATERIALIZED",
    "DROP",
    "SHOW",
    "COLUMNS",
    "LIKE",
    "IN",
    "NOT",
    "IS",
    "NULL",
    "TRUE",
    "DISTINCT",
    "AND",
    "OR",
    "BETWEEN",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "EXTRACT",
    "POSITION",
    "SUBSTRING",
    "TRIM",
    "BOTH",
    "LEADING",
    "ARRAY",
    "EXISTS",
    "TABLE",
    "TUMBLE",
    "DESCRIPTOR",
    "OVER",
    "PARTITION BY",
    "ROWS",
    "UNBOUNDED PRECEDING",
    "CURRENT ROW",
    "FILTER",
    "LATEST ON",
    "GROUPING SETS",
    "AT TIME ZONE",
    "ESCAPE",
    "INT",
    "DECIMAL",
    "TIMESTAMP",
    "STRING",
    "TAG",
    "a",
    "b",
    "t",
    "x1",
    "\"Q\"",
    "1",
    "2.5",
    "1e3",
    "'s'",
    "'1'",
    "X'00'",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ",",
    ",",
    ".",
    "*",
    "+",
    "-",
    "/",
    "=",
    "<",
    ">",
    ">>",
    "||",
    "::",
    ":",
    "=>",
    ";",
    "~",
    "!~*",
    "'",
    "\"",
    "/*",
    "--",
    "{",
    "?",
    "é",
    "0x",
    "1.",
    ".5",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random words: mostly refused, never a panic, and what is accepted prints and parses back.
    #[test]
    fn soup(words in prop::collection::vec(prop::sample::select(SOUP), 0..40), select in any::<bool>()) {
        let text = words.join(" ");
        exercise(&if select { format!("SELECT {text}") } else { text });
    }

    #[test]
    fn expression_soup(words in prop::collection::vec(prop::sample::select(SOUP), 0..12)) {
        if let Ok(expr) = parse_expr(&words.join(" ")) {
            prop_assert_eq!(parse_expr(&expr.to_string()), Ok(expr));
        }
    }

    #[test]
    fn any_text(text in ".{0,60}") {
        exercise(&text);
        exercise(&format!("SELECT {text}"));
    }

    /// Accepted texts with a piece cut out, doubled or replaced.
    #[test]
    fn mutated(which in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(), len in 0usize..8, put in prop::sample::select(SOUP)) {
        let accepted = include_str!("../../tests-data/accepted.sql");
        let texts: Vec<&str> = accepted.split("----\n").collect();
        let text = texts[which.index(texts.len())];
        let chars: Vec<char> = text.chars().collect();
        let from = from.index(chars.len());
        let to = (from + len).min(chars.len());
        let head: String = chars[..from].iter().collect();
        let tail: String = chars[to..].iter().collect();
        exercise(&format!("{head}{tail}"));
        exercise(&format!("{head} {put} {tail}"));
    }
}
