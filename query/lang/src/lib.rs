//! Tidemill's SQL: tokens, AST, grammar and printer, and nothing else.
//!
//! [`parse_statements`] turns a text into [`ast::Statement`]s or a [`SyntaxError`] that tells the
//! position, what was expected, and what may have been meant. Every node prints itself ([`Display`]):
//! the printed text parses to an equal tree. Names are not resolved and types not checked here.
//!
//! Text may be hostile: time is linear in its length, the stack bounded, and nothing panics.
//!
//! [`Display`]: std::fmt::Display

pub mod ast;
mod error;
mod grammar;
mod interval_text;
mod keyword;
mod precedence;
mod printer;
mod token;

#[cfg(test)]
mod tests;

pub use error::{SyntaxError, SyntaxErrorKind};
pub use grammar::{parse_each, parse_expr, parse_statements};
pub use interval_text::IntervalError;
pub use keyword::{RESERVED, is_reserved};
pub use token::MAX_SQL_BYTES;
