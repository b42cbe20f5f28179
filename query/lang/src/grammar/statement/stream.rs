//! `CREATE STREAM ..`

use nom::Parser;
use nom::combinator::{map, opt};
use nom::sequence::preceded;

use super::super::basic::{comma_list, flag, kw, sym, table_name};
use super::super::expr::{expr, literal};
use super::super::input::{PResult, Tokens};
use super::super::interval::not_negative;
use super::super::query::QUERY_DEPTH;
use super::super::select::select;
use super::columns::{column, column_name};
use super::options::{check_unique, with_options};
use crate::ast::{ColumnDef, CreateStream, Literal, Sample, SqlOption, StatementKind};
use crate::token::{Symbol, TokenKind};

/// `[IF NOT EXISTS] name [(columns)] [WITH (options)] [WHERE ..] [SAMPLE ..] [PRIORITY ..]`, or with
/// `AS SELECT .. [SAMPLE ..]` behind the options.
pub(crate) fn stream(i: Tokens<'_>) -> PResult<'_, StatementKind> {
    let (i, if_not_exists) = flag("IF NOT EXISTS")(i)?;
    let (i, name) = table_name(i, "a stream")?;
    let (i, columns, mut options) = elements(i)?;
    let (i, given) = with_options(i)?;
    options.extend(given);
    check_unique(i, &options)?;
    let mut create = CreateStream {
        name,
        columns,
        options,
        if_not_exists,
        derived: None,
        filter: None,
        sample: None,
        priority: None,
    };
    let i = if i.is_word(0, "AS") {
        if !create.columns.is_empty() {
            return Err(i.fatal("the columns of a derived stream are those of its SELECT"));
        }
        let _depth = i.deeper(QUERY_DEPTH)?;
        let (i, made) = select(i.advance())?;
        create.derived = Some(Box::new(made));
        let (i, sample) = opt(sample).parse(i)?;
        create.sample = sample;
        i
    } else {
        i.note("AS");
        let (i, filter) = opt(preceded(kw("WHERE"), expr)).parse(i)?;
        let (i, sample) = opt(sample).parse(i)?;
        let (i, priority) = opt(preceded(kw("PRIORITY"), expr)).parse(i)?;
        (create.filter, create.sample, create.priority) = (filter, sample, priority);
        i
    };
    Ok((i, StatementKind::CreateStream(Box::new(create))))
}

/// One element of a stream's column list.
enum Element {
    Column(ColumnDef),
    /// `WATERMARK FOR ts AS ts - INTERVAL ..`, which says the same as two options.
    Watermark(Vec<SqlOption>),
}

/// `(columns)`, if they are there: the columns, and the options that stand among them.
#[allow(clippy::type_complexity, reason = "a place and two lists, used once")]
fn elements(
    mut i: Tokens<'_>,
) -> Result<(Tokens<'_>, Vec<ColumnDef>, Vec<SqlOption>), nom::Err<super::super::input::Stop>> {
    let (mut columns, mut options) = (Vec::new(), Vec::new());
    if !i.is_symbol(0, Symbol::LeftParen) {
        i.note("`(`");
        return Ok((i, columns, options));
    }
    loop {
        // Behind the parenthesis or a comma.
        let (rest, element) = element(i.advance())?;
        match element {
            Element::Column(column) => columns.push(column),
            Element::Watermark(said) => options.extend(said),
        }
        i = rest;
        if !i.is_symbol(0, Symbol::Comma) {
            break;
        }
    }
    i.note("`,`");
    (i, _) = sym(Symbol::RightParen)(i)?;
    Ok((i, columns, options))
}

fn element(i: Tokens<'_>) -> PResult<'_, Element> {
    if i.is_phrase("WATERMARK FOR") {
        map(watermark, Element::Watermark).parse(i)
    } else {
        map(column, Element::Column).parse(i)
    }
}

/// `WATERMARK FOR ts AS ts [- interval]`: the event time and its disorder.
fn watermark(start: Tokens<'_>) -> PResult<'_, Vec<SqlOption>> {
    let (i, _) = kw("WATERMARK FOR")(start)?;
    let at = i;
    let (i, column) = column_name(i)?;
    let (again, _) = kw("AS")(i)?;
    let (i, same) = column_name(again)?;
    if !same.matches(&column.value) {
        return Err(again.fatal("the watermark must be the column itself, less an interval"));
    }
    let mut options = vec![SqlOption {
        name: "event_time".to_owned(),
        name_span: start.span(),
        value: Literal::String(column.value),
        value_span: at.span(),
    }];
    if !i.is_symbol(0, Symbol::Minus) {
        i.note("-");
        return Ok((i, options));
    }
    let at = i.advance();
    let (i, disorder) = not_negative("the disorder")(at)?;
    options.push(SqlOption {
        name: "disorder".to_owned(),
        name_span: start.span(),
        value: Literal::Interval(disorder),
        value_span: at.span(),
    });
    Ok((i, options))
}

/// Whether `SAMPLE n` stands here: before an alias could be meant by the word.
pub(crate) fn at_sample(i: Tokens<'_>) -> bool {
    i.is_word(0, "SAMPLE")
        && matches!(
            i.peek(1).kind,
            TokenKind::Integer | TokenKind::HexInteger | TokenKind::Decimal | TokenKind::Float
        )
}

/// `SAMPLE n PERCENT [BY a, b]`
fn sample(start: Tokens<'_>) -> PResult<'_, Sample> {
    let (at, _) = kw("SAMPLE")(start)?;
    if !matches!(at.kind(), TokenKind::Integer | TokenKind::Decimal) {
        return at.expected("a number");
    }
    let (i, percent) = literal(at, "a number")?;
    // Enough digits are compared: what is closer to 0 or to 100 than these tell means the same.
    let value: f64 = at.text().parse().unwrap_or(f64::NAN);
    if !(value > 0.0 && value <= 100.0) {
        return Err(at.fatal("a sample is above 0 and at most 100 percent"));
    }
    let (i, _) = kw("PERCENT")(i)?;
    let (i, by) = opt(preceded(kw("BY"), comma_list(expr))).parse(i)?;
    Ok((
        i,
        Sample {
            percent,
            by: by.unwrap_or_default(),
            span: i.span_since(start),
        },
    ))
}
