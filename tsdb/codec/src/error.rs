//! What can be wrong with encoded bytes, or with a request to encode.

use crate::Encoding;

/// Why a payload was refused, or a codec could not take a column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The payload ends before a field that must be there.
    #[error("payload ends inside {what}: {needed} bytes needed, {left} left")]
    Truncated {
        /// The field being read.
        what: &'static str,
        /// Bytes that the field takes.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// Bytes remain after the last field.
    #[error("{left} bytes follow the end of the payload")]
    Trailing {
        /// Bytes that remain.
        left: usize,
    },
    /// The codec byte is not known, or does not belong at this place.
    #[error("codec tag {tag} is not one for {place}")]
    Tag {
        /// The byte found.
        tag: u8,
        /// What was being decoded.
        place: &'static str,
    },
    /// A field holds a value that no encoder writes.
    #[error("{what} is {got}, allowed is {allowed}")]
    Field {
        /// The field.
        what: &'static str,
        /// Its value.
        got: u64,
        /// The bound or the exact value it had to have.
        allowed: u64,
    },
    /// The decoded column would be larger than the caller allows.
    #[error("decoded text needs {got} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes that the payload asks for.
        got: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// The codec asked for cannot hold these values.
    #[error("{encoding:?} cannot hold these values: {why}")]
    NotApplicable {
        /// The codec asked for.
        encoding: Encoding,
        /// The reason.
        why: &'static str,
    },
    /// An embedded compressor refused its part of the payload.
    #[error("{library}: {reason}")]
    Compressor {
        /// `zstd` or `pco`.
        library: &'static str,
        /// Its message.
        reason: String,
    },
}

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, CodecError>;
