//! Strategies for trees of the shape the parser makes.

mod create;
mod expr;
mod names;
mod query;
mod statement;
mod table;

pub(super) use expr::expr;
pub(super) use query::query;
pub(super) use statement::statement;
