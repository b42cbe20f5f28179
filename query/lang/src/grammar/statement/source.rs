//! `REPLAY`, `PAUSE`, `RESUME`: what is said of sources.

use nom::Parser;
use nom::combinator::{map, opt};
use nom::sequence::preceded;

use super::super::basic::{kw, table_name};
use super::super::expr::expr;
use super::super::input::{PResult, Tokens};
use crate::ast::{ObjectName, StatementKind};

/// `DEAD LETTERS [FROM stream] [WHERE ..]`
pub(crate) fn replay(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, _) = kw("DEAD LETTERS")(i)?;
    let (i, stream) = opt(preceded(kw("FROM"), a_stream)).parse(i)?;
    let (i, predicate) = opt(preceded(kw("WHERE"), expr)).parse(i)?;
    Ok((i, StatementKind::ReplayDeadLetters { stream, predicate }))
}

/// `SOURCE stream`
pub(crate) fn pause(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let rule = preceded(kw("SOURCE"), a_stream);
    map(rule, |stream| StatementKind::PauseSource { stream }).parse(i)
}

/// `SOURCE stream`
pub(crate) fn resume(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let rule = preceded(kw("SOURCE"), a_stream);
    map(rule, |stream| StatementKind::ResumeSource { stream }).parse(i)
}

fn a_stream(i: Tokens<'_>) -> PResult<'_, ObjectName> {
    table_name(i, "a stream")
}
