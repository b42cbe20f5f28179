//! Function calls and the windows of window functions.

use nom::Parser;
use nom::combinator::{map, opt};
use nom::sequence::preceded;

use super::super::basic::{comma_list, flag, ident, kw, parens, sym};
use super::super::clauses::order_by;
use super::super::input::{PResult, Tokens};
use super::{expr, within};
use crate::ast::{
    ArgValue, Expr, FrameBound, FrameUnits, FunctionArg, FunctionCall, NullTreatment, ObjectName,
    OrderItem, Over, WindowFrame, WindowSpec,
};
use crate::keyword::is_reserved;
use crate::precedence::Level;
use crate::token::{Symbol, TokenKind};

/// `( .. )` and what may follow it, behind the function's name.
pub(crate) fn function_call<'a>(i: Tokens<'a>, name: ObjectName) -> PResult<'a, FunctionCall> {
    let _depth = i.deeper(1)?;
    let (i, _) = sym(Symbol::LeftParen)(i)?;
    let mut call = FunctionCall::new(name, Vec::new());
    let (i, distinct) = if i.is_word(0, "ALL") {
        (i.advance(), false)
    } else {
        flag("DISTINCT")(i)?
    };
    call.distinct = distinct;
    let (i, args) = if i.is_symbol(0, Symbol::RightParen) && !distinct {
        (i, Vec::new())
    } else {
        call_args(i)?
    };
    call.args = args;
    call_rest(i, call)
}

/// A call whose first argument has been parsed already, up to `i`.
pub(crate) fn call_from<'a>(
    i: Tokens<'a>,
    name: ObjectName,
    first: Expr,
) -> PResult<'a, FunctionCall> {
    let mut call = FunctionCall::new(name, vec![FunctionArg::from(first)]);
    let mut i = i;
    if i.is_symbol(0, Symbol::Comma) {
        let (rest, more) = call_args(i.advance())?;
        call.args.extend(more);
        i = rest;
    } else {
        i.note("`,`");
    }
    call_rest(i, call)
}

/// `arg, arg, ..`
pub(crate) fn call_args(i: Tokens<'_>) -> PResult<'_, Vec<FunctionArg>> {
    comma_list(argument).parse(i)
}

/// `*`, `value`, `name => value`
fn argument(i: Tokens<'_>) -> PResult<'_, FunctionArg> {
    if i.is_symbol(0, Symbol::Star) {
        return Ok((
            i.advance(),
            FunctionArg {
                name: None,
                value: ArgValue::Wildcard,
            },
        ));
    }
    let (i, name) = if i.is_symbol(1, Symbol::Arrow) {
        let (i, name) = ident(i)?;
        (i.advance(), Some(name))
    } else {
        (i, None)
    };
    map(expr, |value| FunctionArg {
        name: name.clone(),
        value: ArgValue::Expr(value),
    })
    .parse(i)
}

/// Everything from behind the last argument on.
fn call_rest<'a>(i: Tokens<'a>, mut call: FunctionCall) -> PResult<'a, FunctionCall> {
    let (i, order) = opt(order_by).parse(i)?;
    call.order_by = order.unwrap_or_default();
    let (mut i, _) = sym(Symbol::RightParen)(i)?;
    if i.is_phrase("WITHIN GROUP") {
        (i, call.within_group) = preceded(kw("WITHIN GROUP"), parens(order_by)).parse(i)?;
    }
    if i.is_word(0, "FILTER") && i.is_symbol(1, Symbol::LeftParen) {
        let (rest, filter) = parens(preceded(kw("WHERE"), expr)).parse(i.advance())?;
        call.filter = Some(filter);
        i = rest;
    }
    for (phrase, nulls) in [
        ("IGNORE NULLS", NullTreatment::Ignore),
        ("RESPECT NULLS", NullTreatment::Respect),
    ] {
        if i.is_phrase(phrase) {
            call.nulls = Some(nulls);
            i = i.advance().advance();
            break;
        }
    }
    // `over` may also be an alias: then no window follows.
    let next = i.peek(1);
    let window_follows = match next.kind {
        TokenKind::Symbol(Symbol::LeftParen) | TokenKind::Quoted => true,
        TokenKind::Word => !is_reserved(next.text(i.state.sql)),
        _ => false,
    };
    if i.is_word(0, "OVER") && window_follows {
        let (rest, over) = over(i.advance())?;
        call.over = Some(over);
        i = rest;
    }
    Ok((i, call))
}

fn over(i: Tokens<'_>) -> PResult<'_, Over> {
    if i.is_symbol(0, Symbol::LeftParen) {
        map(over_spec, Over::Spec).parse(i)
    } else {
        map(ident, Over::Named).parse(i)
    }
}

/// `([base] [PARTITION BY ..] [ORDER BY ..] [frame])`
pub(crate) fn over_spec(i: Tokens<'_>) -> PResult<'_, WindowSpec> {
    let _depth = i.deeper(2)?;
    let (i, _) = sym(Symbol::LeftParen)(i)?;
    let clause = i.is_phrase("PARTITION BY") || at_frame(i);
    let (i, base) = if clause {
        (i, None)
    } else {
        opt(ident).parse(i)?
    };
    let (i, partition_by) = opt(preceded(kw("PARTITION BY"), comma_list(expr))).parse(i)?;
    let (i, order) = opt(order_by).parse(i)?;
    let (i, frame) = opt(frame).parse(i)?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    let (partition_by, order_by): (Vec<Expr>, Vec<OrderItem>) =
        (partition_by.unwrap_or_default(), order.unwrap_or_default());
    Ok((
        i,
        WindowSpec {
            base,
            partition_by,
            order_by,
            frame,
        },
    ))
}

/// Whether a frame begins here: its unit is a name elsewhere.
fn at_frame(i: Tokens<'_>) -> bool {
    i.is_any_word(0, &["ROWS", "RANGE", "GROUPS"]) && !i.is_symbol(1, Symbol::RightParen)
}

fn frame(i: Tokens<'_>) -> PResult<'_, WindowFrame> {
    let units = match () {
        () if i.is_word(0, "ROWS") => FrameUnits::Rows,
        () if i.is_word(0, "RANGE") => FrameUnits::Range,
        () if i.is_word(0, "GROUPS") => FrameUnits::Groups,
        () => {
            i.note("ROWS");
            i.note("RANGE");
            return i.expected("GROUPS");
        }
    };
    let i = i.advance();
    if !i.is_word(0, "BETWEEN") {
        let (i, start) = bound(i)?;
        return Ok((
            i,
            WindowFrame {
                units,
                start,
                end: None,
            },
        ));
    }
    let (i, start) = bound(i.advance())?;
    let (i, _) = kw("AND")(i)?;
    let (i, end) = bound(i)?;
    Ok((
        i,
        WindowFrame {
            units,
            start,
            end: Some(end),
        },
    ))
}

fn bound(i: Tokens<'_>) -> PResult<'_, FrameBound> {
    for (phrase, bound) in [
        ("UNBOUNDED PRECEDING", FrameBound::UnboundedPreceding),
        ("UNBOUNDED FOLLOWING", FrameBound::UnboundedFollowing),
        ("CURRENT ROW", FrameBound::CurrentRow),
    ] {
        if i.is_phrase(phrase) {
            return Ok((i.advance().advance(), bound));
        }
        i.note(phrase);
    }
    // Tighter than AND, which separates the two bounds.
    let (i, distance) = within(i, Level::Other, None)?;
    if i.is_word(0, "PRECEDING") {
        return Ok((i.advance(), FrameBound::Preceding(Box::new(distance))));
    }
    if i.is_word(0, "FOLLOWING") {
        return Ok((i.advance(), FrameBound::Following(Box::new(distance))));
    }
    i.note("PRECEDING");
    i.expected("FOLLOWING")
}
