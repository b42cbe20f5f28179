//! From bytes to rows. Hostile bytes give errors with their place, never a panic, and memory in proportion to the body.

pub mod avro;
mod bound;
mod convert;
pub mod csv;
mod deep;
#[cfg(test)]
mod evolution_tests;
mod format;
pub mod json;
pub mod json_schema;
pub mod line_protocol;
pub mod metric;
mod names;
mod number;
mod otlp;
pub mod protobuf;
mod receiver;
mod remote_write;
mod row;
#[cfg(test)]
mod row_tests;
mod schema_bounds;
mod text;
mod time_text;
mod typed;
mod wire;
mod writer;

pub use bound::MAX_REQUEST_BYTES;
pub use format::{OnCells, ValueFormat, Wait};
pub(crate) use receiver::Receiver;
pub use row::{Cell, DecodedRows, RefusedRow, RowContext, RowReason};
pub(crate) use text::{base64, uuid};
pub use time_text::{Precision, parse_time};
pub(crate) use writer::{Cells, Writer};
