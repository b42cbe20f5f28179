//! The manifest: a log of edits that says which files live. `docs/formats/manifest.md` has the bytes.
//!
//! What must hold:
//! - a file is synced, and its directory too, before an edit names it; it is removed only after an edit that forgets it;
//! - an edit is applied whole or not at all, and is durable when [`Manifest::apply`] returns;
//! - each edit begins on a fresh block, so that writing it can't harm an older one that shares its sector;
//! - each edit is written twice, so that damage to its last bytes can't pass for an edit that was never finished;
//! - opening writes the state to a new manifest file: whatever was read is durable before anything builds on it;
//! - nothing is removed as unnamed while edits may be missing.

mod edit;
mod error;
mod format;
pub(crate) mod inspect;
mod open;
mod state;

use std::sync::Arc;

pub use edit::{Edit, FileEntry, FileKind, SegmentEntry};
pub use error::ManifestError;
pub use open::{OpenReport, Owned, Quarantined};
pub use state::ManifestState;

use crate::io::{Disk, File};

/// A manifest file is replaced once it has grown beyond this and beyond [`GROWTH`] times its snapshot.
const MIN_ROTATION: u64 = 1 << 20;
const GROWTH: u64 = 4;
/// Room is made ahead in steps of this, so that a full disk is found before an edit is half written.
const ROOM: u64 = 64 << 10;
/// Every write begins and ends at a multiple of this.
const BLOCK: usize = 4096;

/// The manifest of a data directory. One thread writes it.
pub struct Manifest {
    disk: Arc<dyn Disk>,
    state: ManifestState,
    file: Arc<dyn File>,
    file_id: u64,
    /// Sequence number of the last edit.
    seq: u64,
    /// Where the next edit goes.
    end: u64,
    /// Length of the file; zeros from `end` on.
    room: u64,
    snapshot_len: u64,
    poison: Option<String>,
}

impl Manifest {
    /// What lives.
    #[must_use]
    pub fn state(&self) -> &ManifestState {
        &self.state
    }

    /// Applies `edits` as one, durably.
    ///
    /// # Errors
    /// `Invalid` when an edit contradicts the state, `Io` when there is no room: nothing has changed then. `Poisoned`
    /// when it is unknown what the disk holds; a restart finds out.
    pub fn apply(&mut self, edits: &[Edit]) -> Result<(), ManifestError> {
        self.check_poison()?;
        let mut next = self.state.clone();
        for edit in edits {
            next.apply(edit).map_err(ManifestError::Invalid)?;
        }
        if self.end > MIN_ROTATION.max(self.snapshot_len * GROWTH) {
            self.rotate()?;
        }
        let seq = self.seq + 1;
        let mut frame = format::twice(self.file_id, self.end, seq, format::Frame::Edit, edits)?;
        frame.resize(frame.len().next_multiple_of(BLOCK), 0);
        let end = self.end + frame.len() as u64;
        self.make_room(end)?;
        let written = self
            .file
            .write_at(self.end, &frame)
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            return Err(self.poison(ManifestError::io("write", self.file_id, source)));
        }
        self.seq = seq;
        self.end = end;
        self.state = next;
        Ok(())
    }

    fn make_room(&mut self, end: u64) -> Result<(), ManifestError> {
        if end <= self.room {
            return Ok(());
        }
        let room = end.next_multiple_of(ROOM);
        self.file
            .preallocate(room)
            .map_err(|e| ManifestError::io("extend", self.file_id, e))?;
        self.room = room;
        Ok(())
    }

    /// Goes on in a new file that begins with the whole state.
    fn rotate(&mut self) -> Result<(), ManifestError> {
        let id = self.file_id + 1;
        let written = match write_new(self.disk.as_ref(), id, self.seq + 1, &self.state) {
            Ok(written) => written,
            Err(e) => {
                // Nothing names it yet, and the old file is as it was. A leftover is removed at the next start.
                let _ = self.disk.remove(&format::file_name(id));
                return Err(e);
            }
        };
        if let Err(e) = make_current(self.disk.as_ref(), id) {
            return Err(self.poison(e));
        }
        let old = format::file_name(self.file_id);
        self.file_id = id;
        self.seq += 1;
        self.file = written.file;
        self.end = written.len;
        self.room = written.len;
        self.snapshot_len = written.len;
        if let Err(error) = self.disk.remove(&old) {
            tracing::warn!(file = old, %error, "can't remove a replaced manifest");
        }
        Ok(())
    }

    fn poison(&mut self, error: ManifestError) -> ManifestError {
        self.poison = Some(error.to_string());
        error
    }

    /// # Errors
    /// `Poisoned` after a failure that left it unknown what the disk holds.
    pub fn check_poison(&self) -> Result<(), ManifestError> {
        match &self.poison {
            None => Ok(()),
            Some(reason) => Err(ManifestError::Poisoned {
                reason: reason.clone(),
            }),
        }
    }
}

struct Written {
    file: Arc<dyn File>,
    len: u64,
}

/// Writes manifest file `id` with `state` as its only content, durably, its name included.
fn write_new(
    disk: &dyn Disk,
    id: u64,
    seq: u64,
    state: &ManifestState,
) -> Result<Written, ManifestError> {
    let mut bytes = format::header(id);
    let at = bytes.len() as u64;
    bytes.extend(format::twice(
        id,
        at,
        seq,
        format::Frame::Snapshot,
        &state.edits(),
    )?);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    let write = || {
        let file = disk.create(&format::file_name(id))?;
        file.write_at(0, &bytes)?;
        file.sync_data()?;
        disk.sync_dir("manifest")?;
        Ok(file)
    };
    let file = write().map_err(|e| ManifestError::io("make", id, e))?;
    Ok(Written {
        file,
        len: bytes.len() as u64,
    })
}

/// Makes `CURRENT` name manifest file `id`, durably.
fn make_current(disk: &dyn Disk, id: u64) -> Result<(), ManifestError> {
    let switch = || {
        match disk.remove(format::CURRENT_TMP) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = disk.create(format::CURRENT_TMP)?;
        file.write_at(0, format::current(id).as_bytes())?;
        file.sync_data()?;
        disk.rename(format::CURRENT_TMP, format::CURRENT)?;
        disk.sync_dir("manifest")
    };
    switch().map_err(|e| ManifestError::io("switch to", id, e))
}

#[cfg(test)]
mod tests;
