//! Clauses that stand in several places.

use nom::Parser;
use nom::combinator::map;
use nom::sequence::preceded;

use super::basic::{comma_list, ident, kw, parens};
use super::expr::expr;
use super::input::{PResult, Tokens};
use crate::ast::{Ident, OrderItem};

/// `ORDER BY item, ..`
pub(crate) fn order_by(i: Tokens<'_>) -> PResult<'_, Vec<OrderItem>> {
    preceded(kw("ORDER BY"), comma_list(order_item)).parse(i)
}

fn order_item(i: Tokens<'_>) -> PResult<'_, OrderItem> {
    let (i, expr) = expr(i)?;
    let (i, asc) = either(i, "ASC", "DESC");
    let (i, nulls_first) = either(i, "NULLS FIRST", "NULLS LAST");
    Ok((
        i,
        OrderItem {
            expr,
            asc,
            nulls_first,
        },
    ))
}

/// `Some(true)` for the first phrase, `Some(false)` for the second.
fn either<'a>(i: Tokens<'a>, yes: &'static str, no: &'static str) -> (Tokens<'a>, Option<bool>) {
    for (phrase, value) in [(yes, true), (no, false)] {
        if let Ok((rest, _)) = kw(phrase)(i) {
            return (rest, Some(value));
        }
    }
    (i, None)
}

/// `(name, ..)`
pub(crate) fn name_list(i: Tokens<'_>) -> PResult<'_, Vec<Ident>> {
    map(parens(comma_list(ident)), |names| names).parse(i)
}
