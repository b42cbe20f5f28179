//! The few words that are not names.

/// Words that cannot be a name unless quoted. Kept to those without which the grammar would be
/// ambiguous; `timestamp`, `value`, `end`, `left`, `window` and the like stay names.
pub const RESERVED: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "BETWEEN",
    "CASE",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "FALSE",
    "FROM",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INTERSECT",
    "IS",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OR",
    "ORDER",
    "SELECT",
    "THEN",
    "TRUE",
    "UNION",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Names that cannot follow an expression or a table as its alias unless `AS` stands between,
/// because they begin the next clause.
const NO_BARE_ALIAS: &[&str] = &[
    "ANTI",
    "ASOF",
    "CROSS",
    "EMIT",
    "FETCH",
    "FOR",
    "FULL",
    "GRACE",
    "INNER",
    "INTO",
    "JOIN",
    "LATEST",
    "LEFT",
    "MATCH_RECOGNIZE",
    "NATURAL",
    "OFFSET",
    "ON",
    "QUALIFY",
    "RIGHT",
    "SEMI",
    "SET",
    "USING",
    "WINDOW",
    "WITHIN",
];

/// Whether an unquoted word is reserved.
pub fn is_reserved(word: &str) -> bool {
    contains(RESERVED, word)
}

/// Whether an unquoted word can be an alias without `AS`.
pub(crate) fn can_be_bare_alias(word: &str) -> bool {
    !is_reserved(word) && !contains(NO_BARE_ALIAS, word)
}

fn contains(list: &[&str], word: &str) -> bool {
    list.iter().any(|entry| entry.eq_ignore_ascii_case(word))
}
