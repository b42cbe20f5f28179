//! Column types.

use nom::Parser;
use nom::branch::alt;
use nom::combinator::{map, opt, value};

use super::basic::{flag, kw, sym};
use super::input::{PResult, Tokens};
use crate::ast::DataType;
use crate::token::{Symbol, TokenKind};

/// How deep arrays of arrays may go.
const MAX_ARRAY_DEPTH: usize = 8;

/// Types to suggest for a misspelt one.
pub(super) const COMMON: [&str; 13] = [
    "BIGINT",
    "INT",
    "INTEGER",
    "SMALLINT",
    "DOUBLE",
    "FLOAT",
    "DECIMAL",
    "STRING",
    "VARCHAR",
    "BOOLEAN",
    "TIMESTAMP",
    "DATE",
    "ARRAY",
];

/// A type: `BIGINT`, `DECIMAL(10, 2)`, `ARRAY<STRING>`, `STRING[]`
pub(crate) fn data_type(i: Tokens<'_>) -> PResult<'_, DataType> {
    nested_type(i, 0)
}

fn nested_type(i: Tokens<'_>, depth: usize) -> PResult<'_, DataType> {
    let (mut i, mut data_type) = if i.is_word(0, "ARRAY") {
        array_type(i, depth)?
    } else {
        scalar_type(i)?
    };
    let mut height = array_height(&data_type);
    while i.is_symbol(0, Symbol::LeftBracket) && i.is_symbol(1, Symbol::RightBracket) {
        height += 1;
        if depth + height > MAX_ARRAY_DEPTH {
            return Err(i.fatal(format!("arrays nest at most {MAX_ARRAY_DEPTH} deep")));
        }
        data_type = DataType::Array(Box::new(data_type));
        i = i.advance().advance();
    }
    Ok((i, data_type))
}

fn array_height(data_type: &DataType) -> usize {
    match data_type {
        DataType::Array(of) => 1 + array_height(of),
        _ => 0,
    }
}

/// `ARRAY<T>`
fn array_type(start: Tokens<'_>, depth: usize) -> PResult<'_, DataType> {
    if depth == MAX_ARRAY_DEPTH {
        return Err(start.fatal(format!("arrays nest at most {MAX_ARRAY_DEPTH} deep")));
    }
    let (i, _) = sym(Symbol::Lt)(start.advance())?;
    let (i, of) = nested_type(i, depth + 1)?;
    let (i, _) = sym(Symbol::Gt)(i)?;
    Ok((i, DataType::Array(Box::new(of))))
}

fn scalar_type(i: Tokens<'_>) -> PResult<'_, DataType> {
    if i.kind() != TokenKind::Word {
        return i.expected("a type");
    }
    let rest = i.advance();
    let simple = match i.text().to_ascii_uppercase().as_str() {
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "TINYINT" => DataType::TinyInt,
        "SMALLINT" | "INT2" => DataType::SmallInt,
        "INT" | "INTEGER" | "INT4" => DataType::Int,
        "BIGINT" | "LONG" | "INT8" => DataType::BigInt,
        "UTINYINT" => DataType::UTinyInt,
        "USMALLINT" => DataType::USmallInt,
        "UINT" | "UINTEGER" => DataType::UInt,
        "UBIGINT" | "ULONG" => DataType::UBigInt,
        "FLOAT" | "REAL" | "FLOAT4" => DataType::Real,
        "FLOAT8" => DataType::Double,
        "DOUBLE" => return value(DataType::Double, flag("PRECISION")).parse(rest),
        "DECIMAL" | "NUMERIC" => return decimal(rest),
        "STRING" | "TEXT" | "VARCHAR" | "CHAR" => return string_type(rest),
        "CHARACTER" => return string_type(flag("VARYING")(rest)?.0),
        "BYTES" | "BYTEA" | "VARBINARY" | "BLOB" => DataType::Bytes,
        "TIMESTAMP" => return timestamp(rest),
        "TIMESTAMPTZ" => DataType::Timestamp {
            precision: None,
            with_zone: true,
        },
        "DATE" => DataType::Date,
        "TIME" => DataType::Time,
        "INTERVAL" => DataType::Interval,
        _ => return i.expected("a type"),
    };
    Ok((rest, simple))
}

/// An unsigned number of at most `max`, in parentheses.
fn length<'a>(max: u32) -> impl Fn(Tokens<'a>) -> PResult<'a, u32> {
    move |i| {
        if i.kind() != TokenKind::Integer {
            return i.expected("a number");
        }
        match i.text().parse::<u32>() {
            Ok(number) if number <= max => Ok((i.advance(), number)),
            _ => Err(i.fatal(format!("this must be at most {max}"))),
        }
    }
}

fn string_type(i: Tokens<'_>) -> PResult<'_, DataType> {
    map(opt(in_parens(length(u32::MAX))), |length| {
        DataType::String { length }
    })
    .parse(i)
}

/// `( p )`, where a parenthesis that is there must go on as `p`.
fn in_parens<'a, T>(
    p: impl Fn(Tokens<'a>) -> PResult<'a, T>,
) -> impl Fn(Tokens<'a>) -> PResult<'a, T> {
    move |i| {
        let (i, _) = sym(Symbol::LeftParen)(i)?;
        let (i, inner) = p(i)?;
        let (i, _) = sym(Symbol::RightParen)(i)?;
        Ok((i, inner))
    }
}

fn decimal(i: Tokens<'_>) -> PResult<'_, DataType> {
    if !i.is_symbol(0, Symbol::LeftParen) {
        return Ok((i, DataType::Decimal(None)));
    }
    // 38 digits are what 128 bits hold.
    let start = i.advance();
    let (i, precision) = length(38)(start)?;
    if precision == 0 {
        return Err(start.fatal("a decimal has at least one digit"));
    }
    let (i, scale) = if i.is_symbol(0, Symbol::Comma) {
        length(precision)(i.advance())?
    } else {
        (i, 0)
    };
    let (i, _) = sym(Symbol::RightParen)(i)?;
    // Both are at most 38.
    Ok((i, DataType::Decimal(Some((precision as u8, scale as i8)))))
}

fn timestamp(i: Tokens<'_>) -> PResult<'_, DataType> {
    let (i, precision) = opt(in_parens(length(9))).parse(i)?;
    let zone = alt((
        value(true, kw("WITH TIME ZONE")),
        value(false, kw("WITHOUT TIME ZONE")),
    ));
    let (i, with_zone) = map(opt(zone), |zone| zone.unwrap_or(false)).parse(i)?;
    let precision = precision.map(|digits| digits as u8);
    Ok((
        i,
        DataType::Timestamp {
            precision,
            with_zone,
        },
    ))
}
