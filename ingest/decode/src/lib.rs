//! From bytes to rows: decoders, what may come in at all, and what is kept of what is refused.
//!
//! Hostile bytes give errors with their place, never a panic, and memory in proportion to the body. No sockets, no files.

pub mod admission;
mod bound;
mod convert;
pub mod csv;
pub mod dead_letter;
mod format;
pub mod json;
pub mod line_protocol;
pub mod metric;
mod names;
pub mod number;
mod otlp;
mod receiver;
mod remote_write;
mod row;
#[cfg(test)]
mod row_tests;
mod time_text;
pub mod typed;
mod wire;
mod writer;

pub use bound::MAX_REQUEST_BYTES;
pub use format::{OnCells, ValueFormat, Wait};
pub use receiver::Receiver;
pub use row::{Cell, DecodedRows, RefusedRow, RowContext, RowReason};
pub use time_text::{Precision, parse_time};
pub use writer::{Cells, MAX_COLUMNS, Writer};
