//! What can go wrong with the log.

use std::io;

use tsdb_types::Lsn;

/// An error of the write-ahead log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// An earlier write or sync failed: nothing more can be acknowledged; a restart recovers what is durable.
    #[error("the log takes no more writes until a restart, because {reason}")]
    Poisoned {
        /// What failed first.
        reason: String,
    },
    /// No room (or no permission) for the next log file. The record was not taken; a later one may be.
    #[error("can't prepare log file {name}: {source}")]
    NoFile {
        /// The file.
        name: String,
        /// What the disk said.
        source: io::Error,
    },
    /// A record of more bytes than the format can hold.
    #[error("a commit of {got} bytes is larger than the log's limit of {limit}")]
    TooLarge {
        /// Bytes of the record's body.
        got: usize,
        /// The most that a body may have.
        limit: usize,
    },
    /// A file operation failed while reading, cutting or recycling the log.
    #[error("can't {what} log file {name}: {source}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        name: String,
        /// What the disk said.
        source: io::Error,
    },
    /// The log's files were written by a newer version.
    #[error("log file {name} has format version {got}; this program reads up to {known}")]
    NewerVersion {
        /// The file.
        name: String,
        /// Its version.
        got: u16,
        /// The highest known one.
        known: u16,
    },
    /// Records were asked for that the log no longer has, or does not have yet.
    #[error("the log holds no record {wanted}")]
    NotRetained {
        /// The first of the missing records.
        wanted: Lsn,
    },
}

impl WalError {
    pub(crate) fn io(what: &'static str, name: &str, source: io::Error) -> WalError {
        WalError::Io {
            what,
            name: name.to_owned(),
            source,
        }
    }
}
