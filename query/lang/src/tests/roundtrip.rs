//! Generated trees: each prints to a text that parses to the tree itself.

use proptest::prelude::*;
use proptest::sample::select;

use crate::ast::StatementKind;

use super::generate::{expr, query, statement};
use crate::{parse_expr, parse_statements};

/// Found by the generator below: a column called `table`, given to a function that has a table form too.
#[test]
fn a_column_may_be_called_table_in_a_window_function() {
    for sql in [
        "SELECT * FROM (session(table.date IN (1)))",
        "SELECT session(table + 1) FROM t",
    ] {
        match parse_statements(sql) {
            Ok(parsed) => {
                let again = parse_statements(&parsed[0].to_string()).map(|s| s[0].kind.clone());
                assert_eq!(again.ok().as_ref(), Some(&parsed[0].kind), "{sql}");
            }
            Err(error) => panic!("{sql}\n{error}"),
        }
    }
    let windowed = "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))";
    assert!(parse_statements(windowed).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions(expr in expr()) {
        let text = expr.to_string();
        match parse_expr(&text) {
            Ok(again) => prop_assert_eq!(again, expr, "{}", text),
            Err(error) => prop_assert!(false, "{text}\n{error}"),
        }
    }

    #[test]
    fn queries(query in query()) {
        let text = query.to_string();
        match parse_statements(&text) {
            Ok(again) => {
                let expected = StatementKind::Query(Box::new(query));
                prop_assert_eq!(&again[0].kind, &expected, "{}", text);
            }
            Err(error) => prop_assert!(false, "{text}\n{error}"),
        }
    }

    /// Also several at once, with what separates tokens varied.
    #[test]
    fn statements(statements in prop::collection::vec(statement(), 1..3), gap in select(&["\n", " ", "/* ; */", "-- ' \n"][..])) {
        let text: Vec<String> = statements.iter().map(ToString::to_string).collect();
        let text = text.join(&format!("{gap};{gap}"));
        match parse_statements(&text) {
            Ok(again) => prop_assert_eq!(again, statements, "{}", text),
            Err(error) => prop_assert!(false, "{text}\n{error}"),
        }
    }

    /// Equality ignores where things stand: a text with its blanks stretched parses to an equal tree.
    /// And the whole text is where the tree stands.
    #[test]
    fn blanks_do_not_matter(expr in expr()) {
        let text = expr.to_string();
        let plain = parse_expr(&text).unwrap();
        prop_assert_eq!(plain.span.text(&text), Some(text.as_str()));
        if !text.contains(['\'', '"']) {
            prop_assert_eq!(parse_expr(&text.replace(' ', "\n  ")), Ok(plain));
        }
    }
}
