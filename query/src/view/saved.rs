//! Saved states as tools see them: the frame around a state, not the state itself, which only its view can read.

use super::checkpoint::{Checkpoint, Head};
use super::definition::Definition;
use super::saving::Saving;
use tsdb::Object;
use tsdb::types::Lsn;

/// What a file of `checkpoints/` says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// Hash of the definition that it belongs to.
    pub definition: u64,
    /// The log is replayed from here on.
    pub lsn: Lsn,
    /// The watermark, in nanoseconds; `None` before any row.
    pub watermark: Option<i64>,
    /// Slices of state; a view that only chooses and computes rows has none.
    pub slices: usize,
    /// Bytes of them.
    pub bytes: u64,
}

impl SavedState {
    /// Reads a file whole.
    ///
    /// # Errors
    /// In words, when it is damaged or of another version.
    pub fn read(bytes: &[u8]) -> Result<SavedState, &'static str> {
        let Some(Checkpoint { head, slices }) = Checkpoint::decode(bytes) else {
            return Err("it is no checkpoint of this version, or damaged");
        };
        let Head {
            hash,
            lsn,
            watermark,
        } = head;
        let (mut rest, mut count, mut state) = (slices.as_slice(), 0, 0u64);
        while !rest.is_empty() {
            let cut = || {
                let (len, behind) = rest.split_first_chunk::<8>()?;
                let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
                behind.split_at_checked(len)
            };
            let (slice, behind) = cut().ok_or("a slice is longer than the file")?;
            (count, state, rest) = (count + 1, state + slice.len() as u64, behind);
        }
        Ok(SavedState {
            definition: hash,
            lsn,
            watermark: Some(watermark.at()).filter(|w| *w != i64::MIN),
            slices: count,
            bytes: state,
        })
    }
}

/// The number that names a view's files, and the hash of its present definition; `None` for a definition that this
/// version can't read.
#[must_use]
pub fn identity(view: &Object) -> Option<(u64, u64)> {
    let definition = Definition::decode(&view.payload)?;
    let saving = Saving::of(&view.db, &view.name, &definition);
    Some((saving.id, saving.hash))
}
