//! Statements, told apart by their first word.

mod columns;
mod create;
mod manage;
mod options;
mod source;
mod stream;
mod table;
mod write;

pub(super) use stream::at_sample;

use super::input::{PResult, Tokens};
use super::query::{at_query, query};
use crate::ast::{Statement, StatementKind};
use crate::token::{Symbol, TokenKind};

/// What a statement can begin with, for messages.
const FIRST_WORDS: [&str; 17] = [
    "SELECT", "CREATE", "INSERT", "SHOW", "DESCRIBE", "DROP", "EXPLAIN", "WITH", "VALUES",
    "DELETE", "UPSERT", "USE", "SET", "REPLAY", "PAUSE", "RESUME", "`(`",
];

/// One statement without its semicolon.
pub(crate) fn statement(start: Tokens<'_>) -> PResult<'_, Statement> {
    let (i, kind) = statement_kind(start)?;
    Ok((
        i,
        Statement {
            kind,
            span: i.span_since(start),
        },
    ))
}

fn statement_kind(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    if at_query(i) || i.is_symbol(0, Symbol::LeftParen) {
        let (i, query) = query(i)?;
        return Ok((i, StatementKind::Query(Box::new(query))));
    }
    let first = match i.kind() {
        TokenKind::Word => i.text().to_ascii_uppercase(),
        _ => String::new(),
    };
    match first.as_str() {
        "CREATE" => create::create(i.advance()),
        "INSERT" => write::insert(i.advance(), false),
        "UPSERT" => write::insert(i.advance(), true),
        "DELETE" => write::delete(i.advance()),
        "SHOW" => manage::show(i.advance()),
        "DESCRIBE" | "DESC" => manage::describe(i.advance()),
        "DROP" => manage::drop(i.advance()),
        "EXPLAIN" => explain(i.advance()),
        "REPLAY" => source::replay(i.advance()),
        "PAUSE" => source::pause(i.advance()),
        "RESUME" => source::resume(i.advance()),
        "USE" => manage::use_database(i.advance()),
        "SET" => manage::set(i.advance()),
        "ALTER" => Err(i.not_yet("ALTER", None)),
        _ => {
            for word in FIRST_WORDS {
                i.note(word);
            }
            i.expected("ALTER")
        }
    }
}

/// `EXPLAIN [ANALYZE] [VERBOSE] statement`
fn explain(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (mut i, mut analyze, mut verbose) = (i, false, false);
    loop {
        if !analyze && i.is_word(0, "ANALYZE") {
            analyze = true;
        } else if !verbose && i.is_word(0, "VERBOSE") {
            verbose = true;
        } else {
            break;
        }
        i = i.advance();
    }
    if i.is_word(0, "EXPLAIN") {
        return Err(i.fatal("EXPLAIN cannot explain another EXPLAIN"));
    }
    let (i, statement) = statement(i)?;
    Ok((
        i,
        StatementKind::Explain {
            analyze,
            verbose,
            statement: Box::new(statement),
        },
    ))
}
