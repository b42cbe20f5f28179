//! Opens the manifest: finds the state, makes it durable in a new file, and clears away what nothing names.

use std::io;
use std::sync::Arc;

use super::format::{self, Frame, Scanned, VERSION, parse_file_name};
use super::state::ManifestState;
use super::{Manifest, ManifestError, make_current, write_new};
use crate::io::Disk;

/// Files that the engine makes and the manifest names: those of `dir` that end in `suffix`. Such files (and their
/// half-written `.tmp` forms) are removed when nothing names them; others are left alone.
#[derive(Clone, Copy, Debug)]
pub struct Owned {
    /// Directory, relative to the data directory.
    pub dir: &'static str,
    /// End of the name, with its dot.
    pub suffix: &'static str,
}

/// A live file that can't be used. It stays named, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What opening has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Live files that are missing or empty.
    pub quarantined: Vec<Quarantined>,
    /// Files that nothing named, now removed.
    pub removed: Vec<String>,
    /// What of the manifest itself could not be read, in words.
    pub damage: Vec<String>,
}

/// The state as read, before it is written anew.
#[derive(Default)]
struct Read {
    state: ManifestState,
    seq: u64,
    damage: Vec<String>,
}

impl Manifest {
    /// Opens the manifest in the directory `manifest` of `disk`, or makes an empty one.
    ///
    /// # Errors
    /// When the disk fails, or the manifest is of a newer version. Damage is no error: it is reported.
    pub fn open(
        disk: &Arc<dyn Disk>,
        owned: &[Owned],
    ) -> Result<(Manifest, OpenReport), ManifestError> {
        disk.create_dir("manifest")
            .map_err(|e| ManifestError::named("make", "manifest", e))?;
        let entries = disk
            .list("manifest")
            .map_err(|e| ManifestError::named("list", "manifest", e))?;
        let mut ids: Vec<u64> = entries
            .iter()
            .filter_map(|entry| {
                parse_file_name(entry.name.strip_suffix(".damaged").unwrap_or(&entry.name))
            })
            .collect();
        ids.sort_unstable();
        let next_id = ids.last().map_or(1, |last| last + 1);
        let present: Vec<u64> = entries
            .iter()
            .filter_map(|entry| parse_file_name(&entry.name))
            .collect();

        let mut read = read_current(disk.as_ref(), &present)?;
        read.state.keep_unnamed |= !read.damage.is_empty();
        let seq = read.seq + 1;
        let written = write_new(disk.as_ref(), next_id, seq, &read.state)?;
        make_current(disk.as_ref(), next_id)?;
        let manifest = Manifest {
            disk: disk.clone(),
            state: read.state,
            file: written.file,
            file_id: next_id,
            seq,
            end: written.len,
            room: written.len,
            snapshot_len: written.len,
            poison: None,
        };
        let mut report = OpenReport {
            damage: read.damage,
            ..OpenReport::default()
        };
        manifest.retire(&present, &report.damage);
        manifest.check_files(&mut report);
        manifest.sweep(owned, &mut report)?;
        Ok((manifest, report))
    }

    /// Removes the manifest files of earlier runs, or sets them aside when something in them can't be read.
    fn retire(&self, ids: &[u64], damage: &[String]) {
        for id in ids {
            let name = format::file_name(*id);
            let retired = if damage.is_empty() {
                self.disk.remove(&name)
            } else {
                self.disk.rename(&name, &format!("{name}.damaged"))
            };
            if let Err(error) = retired {
                // It only holds space; the next start tries again.
                tracing::warn!(file = name, %error, "can't clear an old manifest away");
            }
        }
    }

    fn check_files(&self, report: &mut OpenReport) {
        let segments = self.state.segments.values().map(|entry| &entry.name);
        for name in segments.chain(self.state.files.keys()) {
            let reason = match self.disk.open(name).and_then(|file| file.len()) {
                Ok(0) => "it is empty".to_owned(),
                Ok(_) => continue,
                Err(e) if e.kind() == io::ErrorKind::NotFound => "it is missing".to_owned(),
                Err(e) => e.to_string(),
            };
            report.quarantined.push(Quarantined {
                name: name.clone(),
                reason,
            });
        }
    }

    fn sweep(&self, owned: &[Owned], report: &mut OpenReport) -> Result<(), ManifestError> {
        if self.state.keep_unnamed {
            return Ok(());
        }
        let named: std::collections::BTreeSet<&str> = self
            .state
            .segments
            .values()
            .map(|entry| entry.name.as_str())
            .chain(self.state.files.keys().map(String::as_str))
            .collect();
        for Owned { dir, suffix } in owned {
            let entries = self
                .disk
                .list(dir)
                .map_err(|e| ManifestError::named("list", dir, e))?;
            for entry in entries {
                let ours = entry.name.ends_with(suffix)
                    || entry
                        .name
                        .strip_suffix(".tmp")
                        .is_some_and(|name| name.ends_with(suffix));
                let name = format!("{dir}/{}", entry.name);
                if !ours || named.contains(name.as_str()) {
                    continue;
                }
                match self.disk.remove(&name) {
                    Ok(()) => report.removed.push(name),
                    Err(error) => {
                        tracing::warn!(file = name, %error, "can't remove a file that nothing names");
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads the manifest file that `CURRENT` names; if it can't be told which one that is, the one with the newest edit.
fn read_current(disk: &dyn Disk, present: &[u64]) -> Result<Read, ManifestError> {
    let current = disk.open(format::CURRENT).and_then(|file| file.map());
    let named = match &current {
        Ok(bytes) => format::parse_current(bytes),
        Err(_) => None,
    };
    if let Some(id) = named
        && present.contains(&id)
    {
        return Ok(add_up(id, scan(disk, id)?));
    }
    let mut best: Option<Read> = None;
    for id in present {
        let read = add_up(*id, scan(disk, *id)?);
        if best.as_ref().is_none_or(|best| read.seq > best.seq) {
            best = Some(read);
        }
    }
    let mut best = best.unwrap_or_default();
    let never_used = best.state == ManifestState::default();
    match current {
        // The first start was interrupted before anything was named.
        Err(e) if e.kind() == io::ErrorKind::NotFound && never_used => best.damage.clear(),
        Err(e) => best
            .damage
            .push(format!("{} can't be read: {e}", format::CURRENT)),
        Ok(_) => best.damage.push(format!(
            "{} names no manifest that is there",
            format::CURRENT
        )),
    }
    Ok(best)
}

fn scan(disk: &dyn Disk, id: u64) -> Result<Scanned, ManifestError> {
    let bytes = disk
        .open(&format::file_name(id))
        .and_then(|file| file.map())
        .map_err(|e| ManifestError::io("read", id, e))?;
    let scanned = format::scan(id, &bytes);
    match scanned.newer {
        None => Ok(scanned),
        Some(got) => Err(ManifestError::NewerVersion {
            name: format::file_name(id),
            got,
            known: VERSION,
        }),
    }
}

/// Applies the frames of a manifest file. A frame that is not there shows as a hole in the numbers, unless it is the
/// last one: then both of its copies are gone, and it was never finished.
fn add_up(id: u64, scanned: Scanned) -> Read {
    let mut read = Read::default();
    let name = format::file_name(id);
    if scanned.bad_header {
        read.damage.push(format!("{name} has a damaged header"));
    }
    if scanned
        .frames
        .first()
        .is_none_or(|first| first.frame != Frame::Snapshot)
    {
        read.damage
            .push(format!("{name} does not begin with a snapshot"));
    }
    for (index, frame) in scanned.frames.iter().enumerate() {
        if index > 0 && frame.seq != read.seq + 1 {
            read.damage.push(format!(
                "{name} has lost edits {} to {}",
                read.seq + 1,
                frame.seq - 1
            ));
        }
        if frame.frame == Frame::Snapshot {
            read.state = ManifestState::default();
        }
        for edit in &frame.edits {
            if let Err(reason) = read.state.apply(edit) {
                read.damage
                    .push(format!("{name}, edit {}: {reason}", frame.seq));
            }
        }
        read.seq = frame.seq;
    }
    read
}
