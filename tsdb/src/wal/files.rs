//! The log's files: preparing the next one, letting go of those that nobody needs.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tsdb_types::Lsn;

use super::format::file_name;
use super::scan::scan_file;
use super::{Record, WalError};
use crate::io::{Disk, File};

/// Files kept for reuse instead of being removed: what a flush lets go of at the usual settings, so that a steady load
/// overwrites files rather than making new ones.
pub(super) const MAX_SPARES: usize = 6;

/// A file that is ready to be written: its bytes exist on disk, and its name is durable.
pub(super) struct Prepared {
    pub id: u64,
    pub len: u64,
    /// Two handles on the one file; see [`super::writer`].
    pub handles: [Arc<dyn File>; 2],
}

/// A file that holds records.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub id: u64,
    pub len: u64,
    pub first_lsn: Lsn,
    /// Slices of its mapping may be held: it must not be written again.
    pub mapped: bool,
    /// It holds damage: it must not disappear.
    pub damaged: bool,
}

#[derive(Default)]
struct State {
    next_id: u64,
    ready: VecDeque<Prepared>,
    /// Ids of full-sized files whose contents nobody needs.
    spares: VecDeque<u64>,
    /// In order of id, the file being written last.
    live: Vec<Live>,
}

/// The log's files. Shared by the writer and by whoever prepares files for it.
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    file_len: u64,
    state: Mutex<State>,
    /// Held while a file is being made, so that two threads don't make one each.
    making: Mutex<()>,
}

impl Files {
    pub fn new(disk: Arc<dyn Disk>, file_len: u64, next_id: u64) -> Files {
        Files {
            disk,
            file_len,
            state: Mutex::new(State {
                next_id,
                ..State::default()
            }),
            making: Mutex::new(()),
        }
    }

    /// Takes over what recovery found: files with records, and full-sized ones without any.
    pub fn adopt(&self, live: Vec<Live>, spares: Vec<u64>) {
        let mut state = self.state.lock();
        state.live = live;
        state.spares = spares.into();
    }

    /// Makes a file ready unless one is.
    pub fn prepare(&self) -> Result<bool, WalError> {
        let _making = self.making.lock();
        if !self.state.lock().ready.is_empty() {
            return Ok(false);
        }
        let prepared = self.make(self.file_len)?;
        self.state.lock().ready.push_back(prepared);
        Ok(true)
    }

    /// The next file, of at least `min_len` bytes. Its first record will be `first_lsn`.
    pub fn take(&self, min_len: u64, first_lsn: Lsn) -> Result<Prepared, WalError> {
        let prepared = if min_len <= self.file_len {
            self.prepare()?;
            self.state.lock().ready.pop_front()
        } else {
            None
        };
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => {
                let _making = self.making.lock();
                // Ids follow the order of records. What is ready has a lower id, and waits for a new one.
                let mut state = self.state.lock();
                let passed_over: Vec<u64> = state.ready.drain(..).map(|ready| ready.id).collect();
                state.spares.extend(passed_over);
                drop(state);
                self.make(min_len.max(self.file_len))?
            }
        };
        self.state.lock().live.push(Live {
            id: prepared.id,
            len: prepared.len,
            first_lsn,
            mapped: false,
            damaged: false,
        });
        Ok(prepared)
    }

    /// Called with `making` held.
    fn make(&self, len: u64) -> Result<Prepared, WalError> {
        let (id, spare) = {
            let mut state = self.state.lock();
            let id = state.next_id;
            state.next_id += 1;
            let spare = (len == self.file_len)
                .then(|| state.spares.pop_front())
                .flatten();
            (id, spare)
        };
        let name = file_name(id);
        let made = match spare {
            Some(spare) => self.recycle(spare, &name),
            None => self.fill(&name, len),
        };
        match made {
            Ok(handles) => Ok(Prepared { id, len, handles }),
            Err(source) => {
                // Half a file would only hold space that the next try needs; recovery removes it if this fails too.
                let _ = self.disk.remove(&name);
                Err(WalError::NoFile { name, source })
            }
        }
    }

    fn recycle(&self, spare: u64, name: &str) -> io::Result<[Arc<dyn File>; 2]> {
        self.disk.rename(&file_name(spare), name)?;
        self.disk.sync_dir("wal")?;
        self.open_both(name)
    }

    fn fill(&self, name: &str, len: u64) -> io::Result<[Arc<dyn File>; 2]> {
        let file = self.disk.create(name)?;
        file.preallocate(len)?;
        file.sync_data()?;
        self.disk.sync_dir("wal")?;
        self.open_both(name)
    }

    fn open_both(&self, name: &str) -> io::Result<[Arc<dyn File>; 2]> {
        Ok([self.disk.open(name)?, self.disk.open(name)?])
    }

    /// Lets go of the files whose records are all at or below `floor`. The last file always stays.
    pub fn truncate_below(&self, floor: Lsn) -> Result<(), WalError> {
        loop {
            let (file, recycle) = {
                let mut state = self.state.lock();
                let dead = match state.live.as_slice() {
                    [_, next, ..] => next.first_lsn <= floor.next(),
                    _ => false,
                };
                if !dead {
                    return Ok(());
                }
                let file = state.live.remove(0);
                let recycle = !file.mapped
                    && !file.damaged
                    && file.len == self.file_len
                    && state.spares.len() + state.ready.len() < MAX_SPARES;
                if recycle {
                    state.spares.push_back(file.id);
                }
                (file, recycle)
            };
            let name = file_name(file.id);
            if file.damaged {
                // Nothing damaged is deleted: somebody may still read what is left of it.
                let aside = format!("{name}.damaged");
                self.disk
                    .rename(&name, &aside)
                    .map_err(|e| WalError::io("set aside", &name, e))?;
            } else if !recycle {
                // Not synced: a file that comes back after a crash lies below the floor and is removed again.
                self.disk
                    .remove(&name)
                    .map_err(|e| WalError::io("remove", &name, e))?;
            }
        }
    }

    /// The files that may hold records from `from` on, marked as mapped, so that none of them is written again.
    pub fn retain_from(&self, from: Lsn) -> Result<Vec<Live>, WalError> {
        let mut state = self.state.lock();
        let first = state.live.partition_point(|file| file.first_lsn <= from);
        match first.checked_sub(1) {
            Some(first) => {
                for file in &mut state.live[first..] {
                    file.mapped = true;
                }
                Ok(state.live[first..].to_vec())
            }
            None => Err(WalError::NotRetained { wanted: from }),
        }
    }

    /// Reads the retained commits `from ..= to` in order, of which all are durable; no more than make up `max_bytes`, but
    /// for the last one.
    pub fn read(&self, from: Lsn, to: Lsn, max_bytes: usize) -> Result<Vec<Record>, WalError> {
        let (mut records, mut wanted, mut bytes) = (Vec::new(), from, 0);
        if from > to {
            return Ok(records);
        }
        for file in self.retain_from(from)? {
            if file.first_lsn > to {
                break;
            }
            for record in scan_file(self.disk.as_ref(), file.id)?.into_records() {
                if record.lsn < from || record.lsn > to {
                    continue;
                }
                if record.lsn != wanted {
                    return Err(WalError::NotRetained { wanted });
                }
                wanted = wanted.next();
                bytes += record.byte_len();
                records.push(record);
                if bytes >= max_bytes {
                    return Ok(records);
                }
            }
        }
        if wanted <= to {
            return Err(WalError::NotRetained { wanted });
        }
        Ok(records)
    }

    /// Bytes of the files that hold commits after `lsn`.
    pub fn bytes_after(&self, lsn: Lsn) -> u64 {
        let state = self.state.lock();
        let first = state
            .live
            .partition_point(|file| file.first_lsn <= lsn.next());
        let held = &state.live[first.saturating_sub(1)..];
        held.iter().map(|file| file.len).sum()
    }

    /// Bytes of the files that hold records, and of those kept for the next ones.
    pub fn bytes(&self) -> (u64, u64) {
        let state = self.state.lock();
        let live = state.live.iter().map(|file| file.len).sum();
        let idle = state.ready.len() + state.spares.len();
        (live, idle as u64 * self.file_len)
    }

    /// Whether the next file can be had without touching the disk.
    pub fn has_ready(&self) -> bool {
        !self.state.lock().ready.is_empty()
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
}

/// Prepares log files ahead of the writer, from any thread.
#[derive(Clone)]
pub struct Preparer(pub(super) Arc<Files>);

impl Preparer {
    /// Makes the next file ready unless it is: returns whether there was something to do. To be called now and then
    /// from a thread that may wait for the disk; without it the writer makes the file itself, and commits wait.
    ///
    /// # Errors
    /// When there is no room for it. The log goes on until its current file is full.
    pub fn prepare_next(&self) -> Result<bool, WalError> {
        self.0.prepare()
    }

    /// Lets go of files whose records are all at or below `floor`. Only after whatever replaces them is durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn truncate_below(&self, floor: Lsn) -> Result<(), WalError> {
        self.0.truncate_below(floor)
    }

    /// Reads retained commits while the log goes on: `from ..= to` in order, of which all are durable; no more than make
    /// up `max_bytes`, but for the last one.
    ///
    /// # Errors
    /// `NotRetained` when one of them isn't there (any more, or readable).
    pub fn read(&self, from: Lsn, to: Lsn, max_bytes: usize) -> Result<Vec<Record>, WalError> {
        self.0.read(from, to, max_bytes)
    }

    /// Bytes of the files that hold commits after `lsn`.
    #[must_use]
    pub fn bytes_after(&self, lsn: Lsn) -> u64 {
        self.0.bytes_after(lsn)
    }

    /// Bytes of the files that hold records, and of those kept for the next ones.
    #[must_use]
    pub fn disk_bytes(&self) -> (u64, u64) {
        self.0.bytes()
    }
}
