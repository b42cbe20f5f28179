//! `SELECT`, from its list to its named windows.

use nom::Parser;
use nom::combinator::opt;
use nom::sequence::preceded;

use super::basic::{comma_list, ident, kw, named, object_name, parens};
use super::clauses::name_list;
use super::expr::{expr, over_spec};
use super::input::{PResult, Stop, Tokens};
use super::query::at_query;
use super::statement::at_sample;
use super::table::table_ref;
use super::window::{at_event_window, event_window};
use crate::ast::{Distinct, Ident, LatestOn, NamedWindow, ObjectName, Place, Select, SelectItem};
use crate::keyword::can_be_bare_alias;
use crate::token::{Symbol, TokenKind};

/// `SELECT ..` up to and without `ORDER BY`
pub(crate) fn select(i: Tokens<'_>) -> PResult<'_, Select> {
    let (i, _) = kw("SELECT")(i)?;
    let distinct_at = Place(i.span());
    let (i, distinct) = distinct(i)?;
    let (i, items) = comma_list(item).parse(i)?;
    let (i, from) = opt(preceded(kw("FROM"), comma_list(table_ref))).parse(i)?;
    let mut select = Select {
        distinct,
        distinct_at,
        items,
        from: from.unwrap_or_default(),
        latest_on: None,
        selection: None,
        window: None,
        group_by: Vec::new(),
        having: None,
        named_windows: Vec::new(),
        qualify: None,
    };
    let i = latest_or_window(i, &mut select)?;
    let (i, selection) = opt(preceded(kw("WHERE"), expr)).parse(i)?;
    select.selection = selection;
    let i = latest_or_window(i, &mut select)?;
    let (i, group_by) = opt(preceded(kw("GROUP BY"), comma_list(expr))).parse(i)?;
    select.group_by = group_by.unwrap_or_default();
    let i = latest_or_window(i, &mut select)?;
    let (i, having) = opt(preceded(kw("HAVING"), expr)).parse(i)?;
    select.having = having;
    let i = latest_or_window(i, &mut select)?;
    let (i, named_windows) = opt(preceded(kw("WINDOW"), comma_list(named_window))).parse(i)?;
    select.named_windows = named_windows.unwrap_or_default();
    let (i, qualify) = opt(preceded(kw("QUALIFY"), expr)).parse(i)?;
    select.qualify = qualify;
    Ok((i, select))
}

/// `DISTINCT`, `DISTINCT ON (..)`; `ALL` is the default.
fn distinct(i: Tokens<'_>) -> PResult<'_, Option<Distinct>> {
    if i.is_word(0, "ALL") {
        return Ok((i.advance(), None));
    }
    if !i.is_word(0, "DISTINCT") {
        return Ok((i, None));
    }
    let i = i.advance();
    if i.is_word(0, "ON") && i.is_symbol(1, Symbol::LeftParen) {
        let (i, exprs) = parens(comma_list(expr)).parse(i.advance())?;
        return Ok((i, Some(Distinct::On(exprs))));
    }
    Ok((i, Some(Distinct::All)))
}

/// `*`, `t.*`, `expr [[AS] alias]`
fn item(i: Tokens<'_>) -> PResult<'_, SelectItem> {
    let at = Place(i.span());
    if i.is_symbol(0, Symbol::Star) {
        return wildcard(i.advance(), None, at);
    }
    if at_qualified_wildcard(i) {
        let (i, of) = object_name(i, "a table")?;
        return wildcard(i.advance().advance(), Some(of), at);
    }
    let (i, expr) = expr(i)?;
    let (i, alias) = alias(i)?;
    Ok((i, SelectItem::Expr { expr, alias }))
}

/// `[AS] alias`
pub(crate) fn alias(i: Tokens<'_>) -> PResult<'_, Option<Ident>> {
    if i.is_word(0, "AS") {
        let (i, alias) = named(i.advance(), "an alias")?;
        return Ok((i, Some(alias)));
    }
    let bare = match i.kind() {
        TokenKind::Word => can_be_bare_alias(i.text()) && !at_sample(i),
        TokenKind::Quoted => true,
        _ => false,
    };
    if bare {
        let (i, alias) = ident(i)?;
        return Ok((i, Some(alias)));
    }
    i.note("AS");
    Ok((i, None))
}

/// Whether `a.b.*` stands here.
fn at_qualified_wildcard(i: Tokens<'_>) -> bool {
    let mut ahead = 0;
    while matches!(i.peek(ahead).kind, TokenKind::Word | TokenKind::Quoted)
        && i.is_symbol(ahead + 1, Symbol::Dot)
    {
        ahead += 2;
    }
    ahead > 0 && i.is_symbol(ahead, Symbol::Star)
}

/// What may stand behind a star: `EXCEPT (a, b)`. `EXCEPT (SELECT ..)` is something else.
fn wildcard(i: Tokens<'_>, of: Option<ObjectName>, at: Place) -> PResult<'_, SelectItem> {
    let listed = i.is_any_word(0, &["EXCEPT", "EXCLUDE"])
        && i.is_symbol(1, Symbol::LeftParen)
        && !at_query(i.advance().advance())
        && !i.is_symbol(2, Symbol::LeftParen);
    let (i, except) = if listed {
        name_list(i.advance())?
    } else {
        (i, Vec::new())
    };
    Ok((i, SelectItem::Wildcard { of, except, at }))
}

/// `LATEST ON` and a window over event time stand anywhere behind `FROM`, each at most once.
fn latest_or_window<'a>(
    mut i: Tokens<'a>,
    select: &mut Select,
) -> Result<Tokens<'a>, nom::Err<Stop>> {
    loop {
        if i.is_phrase("LATEST ON") {
            if select.latest_on.is_some() {
                return Err(i.fatal("LATEST ON is given twice"));
            }
            let (rest, latest_on) = latest_on(i)?;
            select.latest_on = Some(latest_on);
            i = rest;
        } else if at_event_window(i) {
            if select.window.is_some() {
                return Err(i.fatal("the WINDOW clause is given twice"));
            }
            let (rest, window) = event_window(i)?;
            select.window = Some(window);
            i = rest;
        } else {
            return Ok(i);
        }
    }
}

/// `LATEST ON ts PARTITION BY a, b`
fn latest_on(i: Tokens<'_>) -> PResult<'_, LatestOn> {
    let (i, ts) = preceded(kw("LATEST ON"), expr).parse(i)?;
    let (i, partition_by) = preceded(kw("PARTITION BY"), comma_list(expr)).parse(i)?;
    Ok((i, LatestOn { ts, partition_by }))
}

/// `w AS (..)`
fn named_window(i: Tokens<'_>) -> PResult<'_, NamedWindow> {
    let (i, name) = named(i, "a window's name")?;
    let (i, spec) = preceded(kw("AS"), over_spec).parse(i)?;
    Ok((i, NamedWindow { name, spec }))
}
