//! What can go wrong in the engine, worded by what the caller must do.

use tsdb_types::{DataType, StreamId};

/// An error of the storage engine.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stream of that name is there already.
    #[error("stream \"{0}\" exists already")]
    StreamExists(String),
    /// No stream of that name.
    #[error("stream \"{0}\" not found")]
    StreamNotFound(String),
    /// An unquoted name fits several streams that differ in case only.
    #[error("\"{name}\" is ambiguous: {}; quote the name you mean", candidates.join(", "))]
    AmbiguousName {
        /// What was asked for.
        name: String,
        /// What it may mean.
        candidates: Vec<String>,
    },
    /// A definition that can't be.
    #[error("{0}")]
    InvalidDefinition(String),
    /// A column is there already with another type or role.
    #[error("column \"{column}\" is {have}, not {got}")]
    TypeConflict {
        /// The column's name.
        column: String,
        /// Its type, or its role where that differs.
        have: String,
        /// What the writer brought.
        got: String,
    },
    /// Rows for a stream that was dropped or never was.
    #[error("no stream has the id {0}")]
    UnknownStream(StreamId),
    /// The head or the queue is full; retry after a moment.
    #[error("the write buffer is full ({used} of {bound} bytes); retry in a moment")]
    Overloaded {
        /// Bytes held.
        used: u64,
        /// Bytes allowed.
        bound: u64,
    },
    /// A request whose rows are more than one commit can hold; send it in parts.
    #[error(
        "the request makes a commit of {got} bytes, and one holds at most {limit}; send it in parts"
    )]
    TooLarge {
        /// Bytes of the commit, or its limit when it has too many parts.
        got: usize,
        /// The most that there can be.
        limit: usize,
    },
    /// A row is not one that its stream, table or a stream derived from it can take. Sending it again does not help;
    /// others of the same request may be sent without it.
    #[error("{0}")]
    Refused(String),
    /// Rows that can't be taken for a reason that is not theirs; it must be seen to first.
    #[error("{0}")]
    Unready(String),
    /// A source brings what was taken from it before; it goes on at `next`.
    #[error("{partition} was taken up to {next} already")]
    TakenAlready {
        /// The source's partition.
        partition: String,
        /// The first place that was not taken.
        next: u64,
    },
    /// What a source has brought before was not taken, so neither is this: the source begins again behind what was.
    #[error("what {partition} had before {after} was not taken")]
    OutOfOrder {
        /// The source's partition.
        partition: String,
        /// Where the request before this one was to end.
        after: u64,
    },
    /// A request of the same key was taken, or is on its way: its reply is in the ledger once it is durable.
    #[error("a request of this key has been taken already")]
    KeyTaken,
    /// The disk has no room for the next log file; writes are taken again once there is.
    #[error("the disk takes no more log: {0}; make room and write again")]
    NoRoom(String),
    /// An earlier write or sync failed; nothing is acknowledged until a restart has recovered the log.
    #[error("the log is poisoned by an earlier failure ({0}); restart the server to recover")]
    Poisoned(String),
    /// The engine is closing.
    #[error("the engine is closed")]
    Closed,
    /// A part of a file does not carry what was written there.
    #[error("{file}: damaged {what} at byte {offset}")]
    Corrupt {
        /// The file's name.
        file: String,
        /// Which part.
        what: &'static str,
        /// Where it starts.
        offset: u64,
    },
    /// The operating system refused.
    #[error("{context}: {message}")]
    Io {
        /// What was being done, to which file.
        context: String,
        /// The system's words.
        message: String,
    },
}

impl Error {
    /// An I/O error with what was being done.
    #[must_use]
    pub fn io(context: impl Into<String>, error: &std::io::Error) -> Error {
        Error::Io {
            context: context.into(),
            message: error.to_string(),
        }
    }

    pub(crate) fn type_conflict(column: &str, have: DataType, got: DataType) -> Error {
        Error::TypeConflict {
            column: column.into(),
            have: have.to_string(),
            got: got.to_string(),
        }
    }
}

impl From<crate::wal::WalError> for Error {
    fn from(error: crate::wal::WalError) -> Error {
        match error {
            crate::wal::WalError::Poisoned { reason } => Error::Poisoned(reason),
            crate::wal::WalError::TooLarge { got, limit } => Error::TooLarge { got, limit },
            error @ crate::wal::WalError::NoFile { .. } => Error::NoRoom(error.to_string()),
            other => Error::Io {
                context: "write-ahead log".into(),
                message: other.to_string(),
            },
        }
    }
}

impl From<crate::manifest::ManifestError> for Error {
    fn from(error: crate::manifest::ManifestError) -> Error {
        match error {
            crate::manifest::ManifestError::Poisoned { reason } => Error::Poisoned(reason),
            other => Error::Io {
                context: "manifest".into(),
                message: other.to_string(),
            },
        }
    }
}
