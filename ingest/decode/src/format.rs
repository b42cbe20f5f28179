//! Formats of single messages: bytes in, rows of named cells out.

use super::row::{Cell, RowReason};
use std::borrow::Cow;
use std::time::Duration;

/// Told of each row of a message, or why it is none.
pub type OnCells<'f> = dyn FnMut(Result<&[(Cow<'_, str>, Cell<'_>)], RowReason>) + 'f;

/// A message can't be decoded *now*: nothing is wrong with it, but what tells its form can't be reached. It must be
/// offered again, so the partition waits; it is no dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Wait {
    /// What can't be reached, and why.
    pub reason: String,
    /// How long to wait before the same message is offered again.
    pub after: Duration,
}

/// Decodes the values of messages. One decoder serves one stream on one thread, and may keep what it has learned.
///
/// It may block, so it is never called by a thread of an async runtime.
pub trait ValueFormat: Send {
    /// Calls `rows` for each row of a message, in order: once for most formats, more often for a list of rows.
    ///
    /// # Errors
    /// [`Wait`]; then `rows` has not been called.
    fn decode(&mut self, value: &[u8], rows: &mut OnCells<'_>) -> Result<(), Wait>;
}
