//! Tidemill's SQL: tokens, AST, grammar and printer.
