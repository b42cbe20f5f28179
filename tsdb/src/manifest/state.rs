//! What the edits add up to.

use std::collections::BTreeMap;

use tsdb_types::{Lsn, SegmentId};

use super::{Edit, FileEntry, SegmentEntry};
use crate::io::is_safe_name;

/// What lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestState {
    /// Every commit up to here is in segments and snapshots.
    pub flushed: Lsn,
    /// Live segments.
    pub segments: BTreeMap<SegmentId, SegmentEntry>,
    /// Live files of other kinds, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// The first id that no segment has had.
    pub next_segment: SegmentId,
    /// Edits may have been lost: files that nothing names are kept.
    pub keep_unnamed: bool,
}

impl ManifestState {
    /// Whether a live file has this name.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.segments.values().any(|entry| entry.name == name)
    }

    /// Applies one edit, or says why it can't be.
    pub(super) fn apply(&mut self, edit: &Edit) -> Result<(), String> {
        match edit {
            Edit::AddSegment(entry) => {
                self.check_new_name(&entry.name)?;
                let id = entry.id;
                let Some(next) = id.0.checked_add(1) else {
                    return Err(format!("segment id {id} is too high"));
                };
                if self.segments.contains_key(&id) {
                    return Err(format!("segment {id} lives already"));
                }
                self.next_segment = self.next_segment.max(SegmentId(next));
                self.segments.insert(id, entry.clone());
            }
            Edit::RemoveSegment(id) => {
                if self.segments.remove(id).is_none() {
                    return Err(format!("there is no segment {id} to remove"));
                }
            }
            Edit::Flushed(lsn) => {
                if *lsn < self.flushed {
                    return Err(format!("{lsn} is below {}, which is flushed", self.flushed));
                }
                self.flushed = *lsn;
            }
            Edit::AddFile(entry) => {
                self.check_new_name(&entry.name)?;
                self.files.insert(entry.name.clone(), entry.clone());
            }
            Edit::RemoveFile(name) => {
                if self.files.remove(name).is_none() {
                    return Err(format!("there is no file {name:?} to remove"));
                }
            }
            Edit::NextSegment(id) => self.next_segment = self.next_segment.max(*id),
            Edit::KeepUnnamed => self.keep_unnamed = true,
        }
        Ok(())
    }

    fn check_new_name(&self, name: &str) -> Result<(), String> {
        if !is_safe_name(name) {
            return Err(format!("{name:?} is not a name of the data directory"));
        }
        if self.names(name) {
            return Err(format!("{name:?} is named already"));
        }
        Ok(())
    }

    /// The edits that make this state from an empty one.
    pub(super) fn edits(&self) -> Vec<Edit> {
        let mut edits = vec![
            Edit::Flushed(self.flushed),
            Edit::NextSegment(self.next_segment),
        ];
        edits.extend(self.keep_unnamed.then_some(Edit::KeepUnnamed));
        edits.extend(self.segments.values().cloned().map(Edit::AddSegment));
        edits.extend(self.files.values().cloned().map(Edit::AddFile));
        edits
    }
}
