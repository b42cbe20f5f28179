//! Constants as written.

use super::Interval;

/// A constant. Numbers that are no integers stay text, so that no digit is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// `NULL`
    Null,
    /// `TRUE`, `FALSE`
    Boolean(bool),
    /// Digits alone, `42` (or `0x2A`). In expressions never negative: the sign is an operator; option
    /// values may be.
    Integer(i128),
    /// Digits with a point, or more digits than an `i128` holds: `10.50`. Signed as for integers.
    Decimal(String),
    /// A number with an exponent: `1.5e3`. Signed as for integers.
    Float(String),
    /// `'text'`, with doubled quotes undone.
    String(String),
    /// `X'0AFF'`
    Bytes(Vec<u8>),
    /// `TIMESTAMP '2026-01-01 00:00:00'`; the text is not checked here.
    Timestamp(String),
    /// `DATE '2026-01-01'`; the text is not checked here.
    Date(String),
    /// `TIME '10:00:00'`; the text is not checked here.
    Time(String),
    /// `INTERVAL '1' MINUTE` in any spelling.
    Interval(Interval),
}
