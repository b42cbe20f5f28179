//! Windows over event time: the `WINDOW` clause, and the windowing table functions.

use nom::Parser;
use nom::combinator::opt;

use super::basic::{ident, kw, parens, string, sym, table_name};
use super::input::{PResult, Stop, Tokens};
use super::interval::{not_negative, positive};
use super::query::subquery;
use crate::ast::{Ident, Interval, Span, TableFactor, WindowClause, WindowKind, WindowedTable};
use crate::error::SyntaxErrorKind;
use crate::token::{Symbol, TokenKind};

/// The kinds of the `WINDOW` clause.
const KINDS: [&str; 4] = ["TUMBLING", "HOPPING", "SESSION", "CUMULATE"];

/// Whether `WINDOW` begins here and is not the standard's `WINDOW name AS`.
pub(crate) fn at_event_window(i: Tokens<'_>) -> bool {
    i.is_word(0, "WINDOW") && !i.is_word(2, "AS")
}

/// `WINDOW TUMBLING ..`, `WINDOW HOPPING ..`, `WINDOW SESSION ..`, `WINDOW CUMULATE ..`
pub(crate) fn event_window(start: Tokens<'_>) -> PResult<'_, WindowClause> {
    let (i, _) = kw("WINDOW")(start)?;
    if !i.is_any_word(0, &KINDS) {
        for kind in KINDS {
            i.note(kind);
        }
        return i.expected("a window's name and AS");
    }
    let kind_at = i;
    let (i, parts) = opt(parens(parts)).parse(i.advance())?;
    let parts = parts.unwrap_or_default();
    let kind = parts.kind(kind_at)?;
    let span = i.span_since(start);
    Ok((
        i,
        WindowClause {
            kind,
            grace: parts.grace,
            time_zone: parts.time_zone,
            span,
        },
    ))
}

/// What the parentheses of a `WINDOW` clause hold, in any order.
#[derive(Default)]
struct Parts {
    /// The one length that needs no name: a session's gap, another window's size.
    bare: Option<Interval>,
    size: Option<Interval>,
    advance: Option<Interval>,
    step: Option<Interval>,
    gap: Option<Interval>,
    offset: Option<Interval>,
    grace: Option<Interval>,
    time_zone: Option<String>,
}

fn parts(mut i: Tokens<'_>) -> PResult<'_, Parts> {
    let mut parts = Parts::default();
    loop {
        i = part(i, &mut parts)?;
        if i.is_symbol(0, Symbol::RightParen) {
            return Ok((i, parts));
        }
        // The comma may be left out, as in `SIZE 1 MINUTE GRACE PERIOD 5 SECONDS`.
        if i.is_symbol(0, Symbol::Comma) {
            i = i.advance();
        } else {
            i.note("`,`");
            i.note("`)`");
        }
    }
}

fn part<'a>(start: Tokens<'a>, parts: &mut Parts) -> Result<Tokens<'a>, nom::Err<Stop>> {
    if start.is_phrase("TIME ZONE") {
        let (i, zone) = string(start.advance().advance())?;
        set(start, &mut parts.time_zone, zone)?;
        return Ok(i);
    }
    let lengths = [
        ("SIZE", "a window's size", &mut parts.size),
        ("ADVANCE BY", "a window's advance", &mut parts.advance),
        ("STEP", "a window's step", &mut parts.step),
        ("GAP", "a session's gap", &mut parts.gap),
    ];
    for (phrase, what, slot) in lengths {
        if let Ok((i, _)) = kw(phrase)(start) {
            let (i, length) = positive(what)(i)?;
            set(start, slot, length)?;
            return Ok(i);
        }
    }
    let shifts = [
        ("OFFSET", "a window's offset", &mut parts.offset),
        ("GRACE PERIOD", "the grace period", &mut parts.grace),
    ];
    for (phrase, what, slot) in shifts {
        if let Ok((i, _)) = kw(phrase)(start) {
            let (i, length) = not_negative(what)(i)?;
            set(start, slot, length)?;
            return Ok(i);
        }
    }
    start.note("TIME ZONE");
    let (i, length) = positive("a window's length")(start)?;
    set(start, &mut parts.bare, length)?;
    Ok(i)
}

fn set<T>(i: Tokens<'_>, slot: &mut Option<T>, value: T) -> Result<(), nom::Err<Stop>> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(i.fatal("this is given twice")),
    }
}

impl Parts {
    /// The window of the kind named at `i`.
    fn kind(&self, i: Tokens<'_>) -> Result<WindowKind, nom::Err<Stop>> {
        let refuse = |found: bool, part: &str| {
            let message = format!("a {} window takes no {part}", i.text().to_uppercase());
            if found { Err(i.fatal(message)) } else { Ok(()) }
        };
        let need = |part: Option<Interval>, name: &str| {
            let message = format!("a {} window needs {name}", i.text().to_uppercase());
            part.ok_or_else(|| i.fatal(message))
        };
        let (session, hopping) = (i.is_word(0, "SESSION"), i.is_word(0, "HOPPING"));
        let cumulate = i.is_word(0, "CUMULATE");
        refuse(self.advance.is_some() && !hopping, "ADVANCE BY")?;
        refuse(self.step.is_some() && !cumulate, "STEP")?;
        refuse(self.gap.is_some() && !session, "GAP")?;
        if session {
            refuse(self.size.is_some(), "SIZE")?;
            refuse(self.offset.is_some(), "OFFSET")?;
            refuse(self.gap.is_some() && self.bare.is_some(), "second gap")?;
            return Ok(WindowKind::Session {
                gap: self.gap.or(self.bare),
            });
        }
        refuse(self.size.is_some() && self.bare.is_some(), "second size")?;
        let (size, offset) = (self.size.or(self.bare), self.offset);
        if hopping {
            let size = need(size, "a SIZE")?;
            let advance = need(self.advance, "ADVANCE BY")?;
            in_order(i, "ADVANCE BY", advance, size)?;
            return Ok(WindowKind::Hopping {
                size,
                advance,
                offset,
            });
        }
        if cumulate {
            let size = need(size, "a SIZE")?;
            let step = need(self.step, "a STEP")?;
            in_order(i, "STEP", step, size)?;
            return Ok(WindowKind::Cumulate { step, size, offset });
        }
        Ok(WindowKind::Tumbling { size, offset })
    }
}

/// The length in nanoseconds if a month had 30 days: good enough to tell the larger of two.
fn rough(interval: Interval) -> i128 {
    i128::from(interval.months) * 30 * i128::from(crate::ast::NANOS_PER_DAY)
        + i128::from(interval.nanos)
}

fn in_order(
    i: Tokens<'_>,
    name: &str,
    smaller: Interval,
    size: Interval,
) -> Result<(), nom::Err<Stop>> {
    if rough(smaller) <= rough(size) {
        return Ok(());
    }
    Err(i.fatal(format!("{name} must not be longer than SIZE")))
}

/// Whether a windowing table function stands here: `TUMBLE(TABLE ..`. Elsewhere the names are
/// ordinary functions, and `table` may be a column: `session(table.date)`.
pub(crate) fn at_windowed_table(i: Tokens<'_>) -> bool {
    i.is_any_word(0, &["TUMBLE", "HOP", "CUMULATE", "SESSION"])
        && i.is_symbol(1, Symbol::LeftParen)
        && i.is_word(2, "TABLE")
        && (i.is_symbol(3, Symbol::LeftParen) || ident(i.advance().advance().advance()).is_ok())
}

/// `TUMBLE(TABLE t, DESCRIPTOR(ts), size [, offset])` and its like
pub(crate) fn windowed_table(start: Tokens<'_>) -> PResult<'_, WindowedTable> {
    let (i, input) = input_table(start.advance().advance().advance())?;
    let (i, partition_by) = if i.is_phrase("PARTITION BY") {
        partition(i.advance().advance())?
    } else {
        (i, Vec::new())
    };
    let (i, _) = sym(Symbol::Comma)(i)?;
    let (i, _) = kw("DESCRIPTOR")(i)?;
    let (i, time) = parens(ident).parse(i)?;
    let (i, kind) = lengths(i, start)?;
    let (i, _) = sym(Symbol::RightParen)(i)?;
    let span: Span = i.span_since(start);
    let window = WindowClause {
        kind,
        grace: None,
        time_zone: None,
        span,
    };
    Ok((
        i,
        WindowedTable {
            window,
            input,
            time,
            partition_by,
        },
    ))
}

/// `t` or `(SELECT ..)` behind `TABLE`
fn input_table(i: Tokens<'_>) -> PResult<'_, TableFactor> {
    if i.is_symbol(0, Symbol::LeftParen) {
        let (i, query) = subquery(i)?;
        let query = Box::new(query);
        return Ok((
            i,
            TableFactor::Derived {
                lateral: false,
                query,
                alias: None,
            },
        ));
    }
    let (i, name) = table_name(i, "a table")?;
    Ok((i, TableFactor::Table { name, alias: None }))
}

/// `a, b` before `, DESCRIPTOR(`: a name with a parenthesis behind it is not one of them.
fn partition(i: Tokens<'_>) -> PResult<'_, Vec<Ident>> {
    let (mut i, first) = ident(i)?;
    let mut names = vec![first];
    while i.is_symbol(0, Symbol::Comma) && !i.is_symbol(2, Symbol::LeftParen) {
        let (rest, name) = ident(i.advance())?;
        names.push(name);
        i = rest;
    }
    Ok((i, names))
}

/// `, length` once or more, as the function named at `name` has them.
fn lengths<'a>(i: Tokens<'a>, name: Tokens<'a>) -> PResult<'a, WindowKind> {
    let length = |i: Tokens<'a>| {
        let (i, _) = sym(Symbol::Comma)(i)?;
        positive("a window's length")(i)
    };
    let (i, first) = length(i)?;
    if name.is_word(0, "SESSION") {
        return Ok((i, WindowKind::Session { gap: Some(first) }));
    }
    if name.is_word(0, "TUMBLE") {
        let (i, offset) = offset(i)?;
        return Ok((
            i,
            WindowKind::Tumbling {
                size: Some(first),
                offset,
            },
        ));
    }
    let (i, second) = length(i)?;
    let (i, offset) = offset(i)?;
    // Whichever comes first, the larger is the size.
    let (small, size) = if rough(first) <= rough(second) {
        (first, second)
    } else {
        (second, first)
    };
    let kind = if name.is_word(0, "HOP") {
        WindowKind::Hopping {
            size,
            advance: small,
            offset,
        }
    } else {
        WindowKind::Cumulate {
            step: small,
            size,
            offset,
        }
    };
    Ok((i, kind))
}

fn offset(i: Tokens<'_>) -> PResult<'_, Option<Interval>> {
    if !i.is_symbol(0, Symbol::Comma) {
        return Ok((i, None));
    }
    let (i, offset) = not_negative("a window's offset")(i.advance())?;
    Ok((i, Some(offset)))
}

/// Objects to a `MATCH_RECOGNIZE` that stands here.
pub(crate) fn refuse_pattern(i: Tokens<'_>) -> Result<(), nom::Err<Stop>> {
    let here = i.kind() == TokenKind::Word && i.is_word(0, "MATCH_RECOGNIZE");
    if here && i.is_symbol(1, Symbol::LeftParen) {
        let message = "MATCH_RECOGNIZE is not available yet";
        return Err(i.fatal_at(i.span(), SyntaxErrorKind::NotYet, message, None));
    }
    Ok(())
}
