//! What can go wrong with the manifest.

use std::io;

use super::format::file_name;

/// An error of the manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// An earlier write failed, so it is unknown what the disk holds; a restart finds out.
    #[error("the manifest takes no more edits until a restart, because it failed: {reason}")]
    Poisoned {
        /// What failed first.
        reason: String,
    },
    /// An edit contradicts the state. It was not applied.
    #[error("an edit of the manifest is refused: {0}")]
    Invalid(String),
    /// A file operation failed.
    #[error("can't {what} {name}: {source}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        name: String,
        /// What the disk said.
        source: io::Error,
    },
    /// The manifest was written by a newer version.
    #[error("{name} has format version {got}; this program reads up to {known}")]
    NewerVersion {
        /// The file.
        name: String,
        /// Its version.
        got: u16,
        /// The highest known one.
        known: u16,
    },
}

impl ManifestError {
    pub(super) fn io(what: &'static str, id: u64, source: io::Error) -> ManifestError {
        ManifestError::named(what, &file_name(id), source)
    }

    pub(super) fn named(what: &'static str, name: &str, source: io::Error) -> ManifestError {
        ManifestError::Io {
            what,
            name: name.to_owned(),
            source,
        }
    }
}
