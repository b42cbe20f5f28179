//! Where a schema is found by what a message calls it.

use super::{SchemaId, SchemaSource};
use ingest_decode::Wait;
use std::sync::Arc;

/// Why there is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The registry does not know it, or can't make a schema of it: the message is wrong, and so will it be later.
    #[error("{0}")]
    Unknown(String),
    /// The registry can't be asked now: the message must wait.
    #[error(transparent)]
    Wait(#[from] Wait),
}

/// Finds schemas. It may block, so it is never called by a thread of an async runtime.
pub trait Resolver: Send + Sync {
    /// The schema of that name, with all that it refers to. A name means the same schema for ever, so callers may keep
    /// what they get.
    ///
    /// # Errors
    /// See [`Missing`].
    fn schema(&self, id: &SchemaId) -> Result<Arc<SchemaSource>, Missing>;
}
