//! What the simulated device holds, and what programs see of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::Rng;

/// Unsynced bytes are lost or kept in pieces of this size.
pub(super) const SECTOR: usize = 512;

/// What a sync is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// `File::sync_data`.
    File,
    /// The sync of a queued write.
    Queued,
    /// `Disk::sync_dir`.
    Dir,
}

/// A sync that is about to happen, for a mutant to judge.
#[derive(Clone, Copy, Debug)]
pub struct SyncEvent<'a> {
    /// Which call.
    pub kind: SyncKind,
    /// Name of the file or directory.
    pub name: &'a str,
    /// Whether the file has never been synced before.
    pub first: bool,
    /// Whether every unsynced sector of the file is zero.
    pub zeros: bool,
    /// Whether a rename in this directory waits for the sync.
    pub renames: bool,
}

/// One kind of sync that the disk pretends to do.
#[derive(Clone, Copy)]
pub struct Mutant {
    /// What it leaves out.
    pub name: &'static str,
    /// Whether this sync is one of those.
    pub skips: fn(&SyncEvent<'_>) -> bool,
}

#[derive(Default)]
pub(super) struct Inode {
    /// The name that it was made or opened with last, for mutants.
    pub name: String,
    /// What reads return.
    pub seen: Vec<u8>,
    /// What the device holds.
    pub durable: Vec<u8>,
    /// Sectors written and not synced.
    pub dirty: BTreeSet<usize>,
    /// Sectors that a failed sync has dropped: seen, not dirty, and not on the device.
    pub lost: BTreeSet<usize>,
    /// Failed syncs; each handle reports each of them once.
    pub failures: u64,
    pub synced: bool,
}

impl Inode {
    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if data.is_empty() {
            return;
        }
        let old_len = self.seen.len();
        if old_len < end {
            self.seen.resize(end, 0);
        }
        self.seen[offset..end].copy_from_slice(data);
        let from = offset.min(old_len);
        for sector in from / SECTOR..end.div_ceil(SECTOR) {
            self.dirty.insert(sector);
            self.lost.remove(&sector);
        }
    }

    /// Stores a sector on the device as it is seen.
    pub fn store(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.seen.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.seen[start..end]);
    }

    fn only_zeros_unsynced(&self) -> bool {
        self.dirty.iter().all(|sector| {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.seen.len());
            self.seen[start..end].iter().all(|b| *b == 0)
        })
    }
}

/// A change of the names, waiting for its directory's sync.
#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Link {
        name: String,
        inode: usize,
    },
    Rename {
        from: String,
        to: String,
        inode: usize,
    },
    Unlink {
        name: String,
    },
}

impl NameOp {
    pub fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameOp::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            NameOp::Rename { from, to, inode } => {
                // It moves this file, also if the name was given to another one or never stored.
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            NameOp::Unlink { name } => {
                names.remove(name);
            }
        }
    }

    fn dir(&self) -> &str {
        let name = match self {
            NameOp::Link { name, .. } | NameOp::Unlink { name } => name,
            NameOp::Rename { to, .. } => to,
        };
        dir_of(name)
    }
}

pub(super) fn dir_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

pub(super) struct State {
    pub rng: Rng,
    pub inodes: Vec<Inode>,
    pub names: BTreeMap<String, usize>,
    pub durable_names: BTreeMap<String, usize>,
    pub pending: Vec<NameOp>,
    /// Counts crashes and kills: handles of earlier ones are dead.
    pub generation: u64,
    pub ops: u64,
    pub cut_at: Option<u64>,
    pub powered: bool,
    pub fail_percent: u64,
    pub mutant: Option<Mutant>,
    pub skipped: u64,
    pub violation: Option<String>,
}

/// Whether an operation is to take effect, and how it ends.
pub(super) enum Fate {
    Works,
    /// Power goes during the operation: its effects may or may not have begun.
    Cut,
    Fails,
}

fn power_is_off() -> io::Error {
    io::Error::other("simulated power cut")
}

pub(super) fn injected() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

impl State {
    /// Counts an operation that changes something and decides how it ends.
    fn fate(&mut self) -> io::Result<Fate> {
        if !self.powered {
            return Err(power_is_off());
        }
        self.ops += 1;
        if self.cut_at.is_some_and(|cut| self.ops >= cut) {
            self.powered = false;
            return Ok(Fate::Cut);
        }
        Ok(if self.rng.chance(self.fail_percent) {
            Fate::Fails
        } else {
            Fate::Works
        })
    }

    pub fn check_power(&self) -> io::Result<()> {
        if self.powered {
            Ok(())
        } else {
            Err(power_is_off())
        }
    }

    pub fn write(&mut self, inode: usize, offset: u64, data: &[u8]) -> io::Result<()> {
        let fate = self.fate()?;
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let done = match fate {
            Fate::Works | Fate::Cut => data.len(),
            Fate::Fails => self.rng.index(data.len() + 1),
        };
        self.inodes[inode].write(offset, &data[..done]);
        match fate {
            Fate::Works => Ok(()),
            Fate::Cut => Err(power_is_off()),
            Fate::Fails => Err(injected()),
        }
    }

    /// `reported` is how many failures this handle has told of.
    pub fn sync(&mut self, index: usize, kind: SyncKind, reported: &mut u64) -> io::Result<()> {
        let fate = self.fate()?;
        let State {
            inodes,
            rng,
            mutant,
            ..
        } = self;
        let inode = &mut inodes[index];
        match fate {
            Fate::Works => {}
            Fate::Cut => return Err(power_is_off()),
            Fate::Fails => {
                for sector in std::mem::take(&mut inode.dirty) {
                    if rng.chance(50) {
                        inode.store(sector);
                    } else {
                        inode.lost.insert(sector);
                    }
                }
                inode.failures += 1;
            }
        }
        if *reported < inode.failures {
            *reported = inode.failures;
            return Err(injected());
        }
        let event = SyncEvent {
            kind,
            name: &inode.name,
            first: !inode.synced,
            zeros: inode.only_zeros_unsynced(),
            renames: false,
        };
        inode.synced = true;
        if mutant.is_some_and(|mutant| (mutant.skips)(&event)) {
            self.skipped += 1;
            return Ok(());
        }
        if kind == SyncKind::Queued && inode.durable.len() < inode.seen.len() {
            self.violation = Some(format!(
                "a queued sync of {} had to store {} bytes of new length: the file was not prepared",
                inode.name,
                inode.seen.len() - inode.durable.len()
            ));
        }
        for sector in std::mem::take(&mut inode.dirty) {
            inode.store(sector);
        }
        // The length is kept apart from the bytes: it is stored also where a failed sync has lost them.
        let len = inode.seen.len().max(inode.durable.len());
        inode.durable.resize(len, 0);
        Ok(())
    }

    pub fn change_names(&mut self, op: NameOp) -> io::Result<()> {
        let fate = self.fate()?;
        if let Fate::Fails = fate {
            return Err(injected());
        }
        op.apply(&mut self.names);
        if let NameOp::Rename { to, inode, .. } = &op {
            self.inodes[*inode].name.clone_from(to);
        }
        self.pending.push(op);
        match fate {
            Fate::Cut => Err(power_is_off()),
            _ => Ok(()),
        }
    }

    pub fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        match self.fate()? {
            Fate::Works => {}
            Fate::Cut => return Err(power_is_off()),
            Fate::Fails => return Err(injected()),
        }
        let event = SyncEvent {
            kind: SyncKind::Dir,
            name: dir,
            first: false,
            zeros: false,
            renames: self
                .pending
                .iter()
                .any(|op| op.dir() == dir && matches!(op, NameOp::Rename { .. })),
        };
        if self.mutant.is_some_and(|mutant| (mutant.skips)(&event)) {
            self.skipped += 1;
            return Ok(());
        }
        let (now, later) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|op: &NameOp| op.dir() == dir);
        self.pending = later;
        for op in &now {
            op.apply(&mut self.durable_names);
        }
        Ok(())
    }
}
