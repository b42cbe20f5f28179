//! The simulated disk behind the [`Disk`] and [`File`] traits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::queue::SimQueue;
use super::state::{Inode, NameOp, SECTOR, State, SyncKind, dir_of};
use super::{Mutant, Rng};
use crate::io::{DirEntry, Disk, File, Queue, is_safe_name};

/// A seeded disk in memory; see the module's page. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty disk whose misfortunes all follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            inodes: Vec::new(),
            names: Default::default(),
            durable_names: Default::default(),
            pending: Vec::new(),
            generation: 0,
            ops: 0,
            cut_at: None,
            powered: true,
            fail_percent: 0,
            mutant: None,
            skipped: 0,
            violation: None,
        })))
    }

    /// Operations so far that could change something.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// Cuts the power at the `n`th operation from now (1 is the next), in its middle. From then on everything fails
    /// until [`SimDisk::lose_power`].
    pub fn cut_after(&self, n: u64) {
        let mut state = self.0.lock();
        state.cut_at = Some(state.ops + n.max(1));
    }

    /// Lets writes, syncs and changes of names fail in `percent` of 100 cases.
    pub fn fail(&self, percent: u64) {
        self.0.lock().fail_percent = percent;
    }

    /// Pretends one kind of sync from now on.
    pub fn mutate(&self, mutant: Option<Mutant>) {
        self.0.lock().mutant = mutant;
    }

    /// Syncs that the mutant has skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.0.lock().skipped
    }

    /// A broken rule of use that no crash would show, if one was broken.
    #[must_use]
    pub fn violation(&self) -> Option<String> {
        self.0.lock().violation.clone()
    }

    /// Whether the power is on.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.0.lock().powered
    }

    /// Takes the power away (unless it is gone) and brings it back: unsynced changes survive or don't. Handles from
    /// before are dead.
    pub fn lose_power(&self) {
        self.0.lock().lose_power();
    }

    /// The process is killed, the host lives on: unsynced changes are still seen, and still unsynced.
    pub fn kill(&self) {
        let mut state = self.0.lock();
        if state.powered {
            state.restart();
        } else {
            state.lose_power();
        }
    }

    /// Overwrites bytes on the device behind everybody's back.
    ///
    /// # Errors
    /// When there is no such file, or not so long.
    pub fn corrupt(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.0.lock();
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let inode = &mut state.inodes[inode];
        change(&mut inode.seen);
        inode.durable.clone_from(&inode.seen);
        inode.dirty.clear();
        inode.lost.clear();
        Ok(())
    }

    /// A disk of its own with the same contents, all of them durable, and new misfortunes.
    #[must_use]
    pub fn copy(&self, seed: u64) -> SimDisk {
        let copy = SimDisk::new(seed);
        {
            let state = self.0.lock();
            let mut to = copy.0.lock();
            for (name, inode) in &state.names {
                let from = &state.inodes[*inode];
                let index = to.inodes.len();
                to.inodes.push(Inode {
                    name: name.clone(),
                    seen: from.seen.clone(),
                    durable: from.seen.clone(),
                    synced: true,
                    ..Inode::default()
                });
                to.names.insert(name.clone(), index);
            }
            to.durable_names = to.names.clone();
        }
        copy
    }

    fn handle(&self, state: &mut State, name: &str, inode: usize) -> Arc<dyn File> {
        state.inodes[inode].name = name.to_owned();
        Arc::new(SimFile {
            disk: self.clone(),
            inode,
            generation: state.generation,
            reported: AtomicU64::new(state.inodes[inode].failures),
        })
    }
}

fn check(name: &str) -> io::Result<()> {
    if is_safe_name(name) {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

impl Disk for SimDisk {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        // Directories need no making here: names carry their paths.
        check(dir)?;
        self.0.lock().check_power()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check(name)?;
        let mut state = self.0.lock();
        state.check_power()?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&mut state, name, inode))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check(name)?;
        let mut state = self.0.lock();
        state.check_power()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change_names(NameOp::Link {
            name: name.to_owned(),
            inode,
        })?;
        Ok(self.handle(&mut state, name, inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check(from)?;
        check(to)?;
        let mut state = self.0.lock();
        state.check_power()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        state.change_names(NameOp::Rename { from, to, inode })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check(name)?;
        let mut state = self.0.lock();
        state.check_power()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(NameOp::Unlink {
            name: name.to_owned(),
        })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let state = self.0.lock();
        state.check_power()?;
        let of_dir = state.names.iter().filter(|(name, _)| dir_of(name) == dir);
        Ok(of_dir
            .map(|(name, inode)| DirEntry {
                name: name.rsplit('/').next().unwrap_or(name).to_owned(),
                len: state.inodes[*inode].seen.len() as u64,
            })
            .collect())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.0.lock().sync_dir(dir)
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        let mut state = self.0.lock();
        state.check_power()?;
        Ok(Box::new(SimQueue::new(state.rng.bits())))
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    generation: u64,
    reported: AtomicU64,
}

impl SimFile {
    fn with<R>(&self, act: impl FnOnce(&mut State) -> io::Result<R>) -> io::Result<R> {
        let mut state = self.disk.0.lock();
        state.check_power()?;
        if state.generation != self.generation {
            return Err(io::Error::other("a handle of a process that is dead"));
        }
        act(&mut state)
    }

    fn sync(&self, kind: SyncKind) -> io::Result<()> {
        self.with(|state| {
            let mut reported = self.reported.load(Ordering::SeqCst);
            let result = state.sync(self.inode, kind, &mut reported);
            self.reported.store(reported, Ordering::SeqCst);
            result
        })
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.inodes[self.inode].seen.len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            let bytes = usize::try_from(offset)
                .ok()
                .and_then(|start| state.inodes[self.inode].seen.get(start..)?.get(..buf.len()))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state| state.write(self.inode, offset, data))
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            let wanted = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
            let start = state.inodes[self.inode].seen.len();
            let zeros = vec![0; wanted.saturating_sub(start)];
            state.write(self.inode, start as u64, &zeros)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(SyncKind::File)
    }

    fn sync_queued(&self) -> io::Result<()> {
        self.sync(SyncKind::Queued)
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.with(|state| {
            let inode = &mut state.inodes[self.inode];
            for sector in std::mem::take(&mut inode.lost) {
                let start = sector * SECTOR;
                let end = (start + SECTOR).min(inode.seen.len());
                if start >= end {
                    continue;
                }
                let held = inode.durable.len().clamp(start, end);
                inode.seen[start..held].copy_from_slice(&inode.durable[start..held]);
                inode.seen[held..end].fill(0);
            }
            Ok(())
        })
    }

    fn map(&self) -> io::Result<Bytes> {
        self.with(|state| Ok(Bytes::copy_from_slice(&state.inodes[self.inode].seen)))
    }
}
