//! Formats of single messages: bytes in, rows of named cells out.

use super::row::{Cell, RowReason};
use std::borrow::Cow;

/// Told of each row of a message, or why it is none.
pub type OnCells<'f> = dyn FnMut(Result<&[(Cow<'_, str>, Cell<'_>)], RowReason>) + 'f;

/// Decodes the values of messages. One decoder serves one stream on one thread, and may keep what it has learned.
pub trait ValueFormat: Send {
    /// Calls `rows` for each row of a message, in order: once for most formats, more often for a list of rows.
    fn decode(&mut self, value: &[u8], rows: &mut OnCells<'_>);
}
