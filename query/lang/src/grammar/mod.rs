//! The grammar: nom combinators over the token list, one file per part of the language.
//!
//! Two rules keep it linear in time and bounded in stack, whatever the text:
//! - A token or two of lookahead decide between alternatives; nothing long is parsed twice.
//! - Whatever nests counts its depth ([`input::Tokens::deeper`]); whatever repeats loops.
//!
//! A rule that fails says what it wanted at its place; of all those the farthest place is reported.

mod basic;
mod clauses;
mod expr;
mod input;
mod interval;
mod query;
mod select;
mod statement;
mod table;
mod types;
mod window;

use input::{State, Tokens};

use crate::ast::{Expr, Statement};
use crate::error::{SyntaxError, SyntaxErrorKind, nearest, one_of};
use crate::keyword::is_reserved;
use crate::token::{MAX_SQL_BYTES, Symbol, TokenKind, tokenize};
use std::cell::RefCell;

/// Parses statements separated by semicolons; empty ones are left out.
///
/// # Errors
/// The first thing that is wrong, with its position.
pub fn parse_statements(sql: &str) -> Result<Vec<Statement>, SyntaxError> {
    match parse_each(sql) {
        (statements, None) => Ok(statements),
        (_, Some(error)) => Err(error),
    }
}

/// As [`parse_statements`], and when something is wrong, the statements before the one with the error too.
#[must_use]
pub fn parse_each(sql: &str) -> (Vec<Statement>, Option<SyntaxError>) {
    let statements = RefCell::new(Vec::new());
    let result = parse(sql, |mut i| {
        loop {
            while i.is_symbol(0, Symbol::Semicolon) {
                i = i.advance();
            }
            if i.kind() == TokenKind::End {
                return Ok((i, ()));
            }
            let (rest, statement) = statement::statement(i)?;
            i = rest;
            if !i.is_symbol(0, Symbol::Semicolon) && i.kind() != TokenKind::End {
                return i.expected("`;`");
            }
            statements.borrow_mut().push(statement);
        }
    });
    (statements.into_inner(), result.err())
}

/// Parses one expression that is the whole text.
///
/// # Errors
/// The first thing that is wrong, with its position.
pub fn parse_expr(sql: &str) -> Result<Expr, SyntaxError> {
    parse(sql, expr::expr)
}

/// Runs a rule over the whole text.
fn parse<T>(
    sql: &str,
    rule: impl for<'a> Fn(Tokens<'a>) -> input::PResult<'a, T>,
) -> Result<T, SyntaxError> {
    if sql.len() > MAX_SQL_BYTES {
        let message = format!("the text is longer than {} MiB", MAX_SQL_BYTES >> 20);
        return Err(SyntaxError::new(SyntaxErrorKind::TooLarge, message, sql, 0));
    }
    let tokens = tokenize(sql);
    let state = State::new(sql, &tokens);
    match rule(Tokens::new(&state)) {
        Ok((i, parsed)) if i.kind() == TokenKind::End => Ok(parsed),
        Ok((i, _)) => {
            i.note("the end");
            Err(error(&state))
        }
        Err(_) => Err(error(&state)),
    }
}

/// What `state` has to tell after a failure.
fn error(state: &State<'_>) -> SyntaxError {
    let sql = state.sql;
    if let Some(fatal) = state.fatal.borrow_mut().take() {
        let mut error = SyntaxError::new(fatal.kind, fatal.message, sql, fatal.offset);
        error.hint = fatal.hint;
        return error;
    }
    let at = state.farthest.get();
    let token = state.tokens[at];
    if let TokenKind::Bad(bad) = token.kind {
        let i = Tokens::new(state).at(at);
        // Leaves its objection in `state`, from where it is taken above.
        let _ = expr::bad_token(i, bad);
        return error(state);
    }
    let expected: Vec<String> = state
        .expected
        .borrow()
        .iter()
        .map(|s| (*s).to_owned())
        .collect();
    let text = token.text(sql);
    let found = match token.kind {
        TokenKind::End => "the end of the text".to_owned(),
        _ if text.chars().count() > 40 => {
            format!("`{}…`", text.chars().take(40).collect::<String>())
        }
        _ => format!("`{text}`"),
    };
    let message = format!("expected {}, found {found}", one_of(&expected));
    let mut error = SyntaxError::new(SyntaxErrorKind::Syntax, message, sql, token.span().start);
    error.hint = hint(state, at, &expected);
    error.expected = expected;
    error
}

/// What might have been meant: a keyword much like the word that stands here, or like the one before
/// it (which may have been taken for an alias), or a name that needs quotes.
fn hint(state: &State<'_>, at: usize, expected: &[String]) -> Option<String> {
    let word = |at: usize| {
        let token = state.tokens[at];
        (token.kind == TokenKind::Word).then(|| token.text(state.sql))
    };
    let wants = |what: &str| expected.iter().any(|e| e == what);
    let mut candidates = expected.to_vec();
    if wants("a type") {
        candidates.extend(types::COMMON.map(str::to_owned));
    }
    if wants("a unit of time") {
        candidates.extend(interval::COMMON_UNITS.map(str::to_owned));
    }
    let here = word(at);
    if let Some(keyword) = here.and_then(|word| nearest(word, &candidates)) {
        return Some(format!("did you mean {keyword}?"));
    }
    if let Some(reserved) = here.filter(|word| is_reserved(word))
        && (expected
            .iter()
            .all(|e| e.starts_with("a ") || e == "an alias")
            || (wants("an expression") && reads_as_name(Tokens::new(state).at(at))))
    {
        return Some(format!(
            "`{reserved}` is a reserved word: as a name, write \"{reserved}\""
        ));
    }
    let before = word(at.checked_sub(1)?).filter(|word| !is_reserved(word))?;
    let keyword = nearest(before, &candidates)?;
    Some(format!("did you mean {keyword} instead of {before}?"))
}

/// Whether what follows the reserved word at `i` is what follows a column.
fn reads_as_name(i: Tokens<'_>) -> bool {
    let symbols = [
        Symbol::Comma,
        Symbol::Dot,
        Symbol::Eq,
        Symbol::Lt,
        Symbol::Gt,
        Symbol::RightParen,
    ];
    symbols.iter().any(|symbol| i.is_symbol(1, *symbol)) || i.is_any_word(1, &["FROM", "AS"])
}
