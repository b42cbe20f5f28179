//! Expressions, by precedence climbing: one function per level of nesting, not per level of
//! precedence, so that the stack a nested expression takes stays small.

mod call;
mod climb;
mod operator;
mod primary;
mod special;

pub(crate) use call::{call_args, over_spec};
pub(crate) use climb::within;
pub(crate) use primary::{bad_token, literal};

use super::input::{PResult, Tokens};
use crate::ast::Expr;
use crate::precedence::Level;

/// Any expression.
pub(crate) fn expr(i: Tokens<'_>) -> PResult<'_, Expr> {
    within(i, Level::Or, None)
}
