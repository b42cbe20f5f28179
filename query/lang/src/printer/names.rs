//! Names, constants and types.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{DataType, Ident, Literal, ObjectName};
use crate::keyword::is_reserved;
use crate::token::{continues_word, starts_word};

/// Whether a word reads as one unquoted.
pub(super) fn is_word(text: &str) -> bool {
    text.starts_with(starts_word) && text.chars().all(continues_word)
}

/// Text between quotes, those inside doubled.
pub(super) fn quoted(f: &mut Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        if c == quote {
            f.write_char(quote)?;
        }
        f.write_char(c)?;
    }
    f.write_char(quote)
}

impl Display for Ident {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.quoted || !is_word(&self.value) || is_reserved(&self.value) {
            quoted(f, &self.value, '"')
        } else {
            f.write_str(&self.value)
        }
    }
}

/// A column's name where it is declared: unquoted ones may have dots.
pub(super) struct Declared<'a>(pub &'a Ident);

impl Display for Declared<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Ident { value, quoted, .. } = self.0;
        if !*quoted
            && value
                .split('.')
                .all(|part| is_word(part) && !is_reserved(part))
        {
            f.write_str(value)
        } else {
            self.0.fmt(f)
        }
    }
}

impl Display for ObjectName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index == 0 {
                write!(f, "{part}")?;
            } else if !part.quoted && is_word(&part.value) {
                // Behind a dot nothing is reserved.
                write!(f, ".{}", part.value)?;
            } else {
                f.write_char('.')?;
                quoted(f, &part.value, '"')?;
            }
        }
        Ok(())
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let with = |f: &mut Formatter<'_>, before: &str, text: &str| {
            f.write_str(before)?;
            quoted(f, text, '\'')
        };
        match self {
            Literal::Null => f.write_str("NULL"),
            Literal::Boolean(true) => f.write_str("TRUE"),
            Literal::Boolean(false) => f.write_str("FALSE"),
            Literal::Integer(number) => write!(f, "{number}"),
            Literal::Decimal(text) | Literal::Float(text) => f.write_str(text),
            Literal::String(text) => quoted(f, text, '\''),
            Literal::Bytes(bytes) => {
                f.write_str("X'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
                f.write_str("'")
            }
            Literal::Timestamp(text) => with(f, "TIMESTAMP ", text),
            Literal::Date(text) => with(f, "DATE ", text),
            Literal::Time(text) => with(f, "TIME ", text),
            Literal::Interval(interval) => write!(f, "INTERVAL '{interval}'"),
        }
    }
}

impl Display for DataType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = match self {
            DataType::Boolean => "BOOLEAN",
            DataType::TinyInt => "TINYINT",
            DataType::SmallInt => "SMALLINT",
            DataType::Int => "INT",
            DataType::BigInt => "BIGINT",
            DataType::UTinyInt => "UTINYINT",
            DataType::USmallInt => "USMALLINT",
            DataType::UInt => "UINT",
            DataType::UBigInt => "UBIGINT",
            DataType::Real => "REAL",
            DataType::Double => "DOUBLE",
            DataType::Decimal(None) => "DECIMAL",
            DataType::Decimal(Some((precision, scale))) => {
                return write!(f, "DECIMAL({precision}, {scale})");
            }
            DataType::String { length: None } => "STRING",
            DataType::String {
                length: Some(length),
            } => return write!(f, "VARCHAR({length})"),
            DataType::Bytes => "BYTES",
            DataType::Timestamp {
                precision,
                with_zone,
            } => {
                f.write_str("TIMESTAMP")?;
                if let Some(precision) = precision {
                    write!(f, "({precision})")?;
                }
                if *with_zone { " WITH TIME ZONE" } else { "" }
            }
            DataType::Date => "DATE",
            DataType::Time => "TIME",
            DataType::Interval => "INTERVAL",
            DataType::Array(of) => return write!(f, "ARRAY<{of}>"),
        };
        f.write_str(text)
    }
}
