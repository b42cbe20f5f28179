//! Tidemill's SQL: tokens, AST, grammar and printer, and nothing else.
//!
//! [`ast`] is what the binder works on: plain data, with spans that equality ignores.

pub mod ast;
