//! Rows of named cells, as JSON, CSV and most formats of messages have them, and why one is refused.

use super::Precision;
use super::bound::too_large;
use super::line_protocol::LineReason;
use super::receiver::Receiver;
use super::writer::Writer;
use crate::admission::Rejection;
use std::borrow::Cow;
use std::sync::Arc;
use tsdb::types::DataType;
use tsdb::{Rows, Stream, TooOld};

pub(super) use super::convert::{Value, instant};

/// What rows are decoded against.
#[derive(Clone)]
pub struct RowContext {
    /// The stream.
    pub stream: Arc<Stream>,
    /// The commit's time, in nanoseconds.
    pub now_ns: i64,
    /// The unit of integer times; by their size when it is not declared.
    pub unit: Option<Precision>,
    /// Whether a row without event time gets `now_ns`; it is refused otherwise.
    pub fill_time: bool,
}

impl RowContext {
    /// Integer times by size; a stream whose event time is the undeclared `time` fills it in, and so does a table, whose is
    /// `_time`.
    #[must_use]
    pub fn new(stream: Arc<Stream>, now_ns: i64) -> RowContext {
        let fill_time = matches!(stream.schema().time().name.as_str(), "time" | "_time");
        RowContext {
            stream,
            now_ns,
            unit: None,
            fill_time,
        }
    }
}

/// Why a row was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowReason {
    /// The text is not of its format.
    #[error("{0}")]
    Syntax(String),
    /// Bytes that are no UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A JSON value that is no object.
    #[error("a row must be an object")]
    NotAnObject,
    /// No value at all.
    #[error("a row without values")]
    Empty,
    /// Objects within objects beyond the limit.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// A name that no column can have.
    #[error("a column needs a name of 1 to 65535 bytes without NUL")]
    BadName,
    /// The stream would have too many columns.
    #[error("more than {0} columns")]
    TooManyColumns(usize),
    /// A CSV row that does not fit its header.
    #[error("{got} values where the header names {expected}")]
    Width {
        /// Columns of the header.
        expected: usize,
        /// Values of the row.
        got: usize,
    },
    /// A value that is not of its column's type.
    #[error("column \"{column}\" is {have}; {got}")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        have: String,
        /// What is wrong with the value.
        got: String,
    },
    /// A row that does not say when.
    #[error("no event time: \"{0}\" is missing")]
    NoTime(String),
    /// More text than a batch can hold.
    #[error("too much text in one request")]
    Full,
    /// The stream takes no rows from so long ago.
    #[error("{0}")]
    TooOld(TooOld),
    /// The catalog refused a column.
    #[error("{0}")]
    Catalog(String),
    /// A message of more bytes than the source takes.
    #[error("a message of {0} bytes; the source takes {1}")]
    TooLong(usize, usize),
    /// A message whose rows take too much memory; those before are kept.
    #[error("the rows of this message take too much memory, those behind row {0} are left out")]
    TooMuch(usize),
    /// What the rows are for does not take them: a filter, a table, a stream that is derived from them.
    #[error("{0}")]
    Unfit(String),
    /// A line of line protocol that is refused.
    #[error("{0}")]
    Line(LineReason),
}

/// A row that was refused; the others of its body are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow<'a> {
    /// Its place among the rows of the body, from 1 on; a CSV header is not counted.
    pub row: usize,
    /// Why.
    pub reason: RowReason,
    /// Its text.
    pub payload: &'a [u8],
}

/// Told of each refused row as it is met: a body may hold more of them than there is room to keep.
pub(super) type OnRefused<'f> = dyn FnMut(RefusedRow<'_>) + 'f;

/// What a body held.
#[derive(Default)]
pub struct DecodedRows {
    /// The rows, in order.
    pub rows: Vec<Rows>,
    /// How many.
    pub accepted: usize,
    /// How many were refused.
    pub rejected: usize,
}

/// One value, as its format has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// A JSON number's text.
    Number(&'a str),
    /// Text.
    Str(Cow<'a, str>),
    /// The JSON text of a list or a map.
    Array(Cow<'a, str>),
    /// CSV: text whose type only the column tells.
    Untyped(&'a str),
    /// A schema's 64-bit signed integer.
    Int(i64),
    /// A schema's 64-bit unsigned integer.
    UInt(u64),
    /// A schema's floating-point number.
    Float(f64),
    /// A schema's decimal: `unscaled` units of 10^-`scale`, of up to `precision` digits (1 to 38, `scale` at most that).
    Decimal {
        /// The units.
        unscaled: i128,
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// A schema's instant, in nanoseconds since the epoch.
    Time(i64),
    /// No value where the schema says which type it would have: the column comes to be.
    NullOf(DataType),
}

impl Cell<'_> {
    /// The same cell, with nothing borrowed. What its type holds by reference alone becomes text of its own.
    #[must_use]
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Bool(v) => Cell::Bool(v),
            Cell::Number(v) | Cell::Untyped(v) => Cell::Str(Cow::Owned(v.to_owned())),
            Cell::Str(v) => Cell::Str(Cow::Owned(v.into_owned())),
            Cell::Array(v) => Cell::Array(Cow::Owned(v.into_owned())),
            Cell::Int(v) => Cell::Int(v),
            Cell::UInt(v) => Cell::UInt(v),
            Cell::Float(v) => Cell::Float(v),
            Cell::Decimal {
                unscaled,
                precision,
                scale,
            } => Cell::Decimal {
                unscaled,
                precision,
                scale,
            },
            Cell::Time(v) => Cell::Time(v),
            Cell::NullOf(v) => Cell::NullOf(v),
        }
    }
}

/// Decodes one body: `each` hands its rows on.
///
/// # Errors
/// 413 when the rows would take more than [`super::MAX_REQUEST_BYTES`] in columns; then none is kept.
pub(super) fn decode_rows(
    ctx: &RowContext,
    on_refused: &mut OnRefused<'_>,
    each: &mut dyn FnMut(&mut Receiver<'_, '_>),
) -> Result<DecodedRows, Rejection> {
    let mut writer = Writer::new(ctx.stream.clone(), ctx.unit);
    writer.begin(ctx.now_ns, ctx.fill_time.then_some(ctx.now_ns));
    let mut rows = Receiver::new(&mut writer, &[], on_refused);
    each(&mut rows);
    let (accepted, rejected, full) = (rows.accepted, rows.rejected, rows.full());
    if !writer.seal() || full {
        return Err(too_large());
    }
    Ok(DecodedRows {
        rows: writer.take(),
        accepted,
        rejected,
    })
}
