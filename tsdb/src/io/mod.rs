//! Files as an argument: every byte that the engine reads or writes passes through a [`Disk`].
//!
//! Three disks exist: the host's files with plain calls ([`StdDisk`]), the same files with the log written through
//! io_uring ([`UringDisk`]), and the simulated one of [`crate::sim`], which loses power. The log's state machine can't
//! tell them apart.
//!
//! What a disk promises, and all that it promises:
//! - bytes written are durable once a `sync_data` that *started after* the write finished has returned `Ok`;
//! - a created, renamed or removed name is durable once a `sync_dir` of its directory has returned `Ok`;
//! - a rename is atomic; nothing else is.
//!
//! After a sync has failed, nothing may be assumed of the file's unsynced bytes, and a second sync proves nothing.

mod choose;
mod lock;
mod map_guard;
mod std_disk;
mod uring;

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use choose::{IoKind, open_disk};
pub use lock::DirLock;
pub use map_guard::{is_damaged, map_faults};
pub use std_disk::StdDisk;
pub use uring::UringDisk;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Name inside the directory, without its path.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
}

/// A tree of files. Names are relative to the data directory, with `/` between the parts.
pub trait Disk: Send + Sync {
    /// What does the work: `std`, `io_uring`, `simulated`.
    fn kind(&self) -> &'static str;

    /// Makes a directory (and its parents) unless it is there, durably.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Makes a new, empty file; fails with `AlreadyExists` when the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Renames a file, replacing what `to` named. Atomic; durable after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Unlinks a file. Open handles and maps of it stay readable.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The files of a directory, sorted by name; empty when there is no such directory.
    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>>;

    /// Makes the directory's creations, renames and removals durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Gives the data directory up, so that others may open it: nothing is written through this disk any more.
    fn close(&self) {}

    /// A queue of durable writes for the log. Each call makes a queue of its own.
    fn queue(&self) -> io::Result<Box<dyn Queue>>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`; `UnexpectedEof` when the file ends before.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`, growing the file where needed.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Extends the file to `len` bytes with zeros that are really written: a later overwrite allocates nothing.
    fn preallocate(&self, len: u64) -> io::Result<()>;

    /// Makes the bytes written so far (and the length that they need) durable.
    fn sync_data(&self) -> io::Result<()>;

    /// The sync of a [`DurableWrite`]. Like [`File::sync_data`], but the file's length must be durable already, so that
    /// the device stores data alone.
    fn sync_queued(&self) -> io::Result<()> {
        self.sync_data()
    }

    /// Forgets cached bytes that are not waiting to be written: what is read afterwards comes from the device. After a
    /// failed write-back the cache still shows what was never stored. Does nothing to bytes that are mapped.
    fn drop_cache(&self) -> io::Result<()>;

    /// The file's bytes, mapped where the disk can. Should the file be cut short, or its device fail to read it, zeros
    /// stand in for what can't be had: [`is_damaged`] tells, and is to be asked after the bytes were used.
    fn map(&self) -> io::Result<Bytes>;

    /// The descriptor, for disks that hand operations to the kernel themselves.
    fn raw_fd(&self) -> Option<RawFd> {
        None
    }
}

/// A write that is complete only once its bytes are durable.
pub struct DurableWrite {
    /// Where to.
    pub file: Arc<dyn File>,
    /// Byte offset in the file.
    pub offset: u64,
    /// What; handed back with the completion, so that the buffer can be used again.
    pub data: Vec<u8>,
}

/// The end of a [`DurableWrite`].
#[derive(Debug)]
pub struct Completion {
    /// What [`Queue::submit`] was given.
    pub token: u64,
    /// `Ok` only when every byte was written and synced.
    pub result: io::Result<()>,
    /// The write's buffer.
    pub data: Vec<u8>,
}

/// Writes in flight. They may run and complete in any order.
pub trait Queue: Send {
    /// Starts a write; it is reported by [`Queue::wait`], also when it can't be started.
    fn submit(&mut self, write: DurableWrite, token: u64);

    /// Collects completions into `out`: returns once `min` of them have come (or all, if fewer are in flight), the
    /// timeout has passed, or somebody has called the waker. `min` 0 only looks; with nothing in flight, a wait for
    /// 1 is a wait for the waker.
    fn wait(
        &mut self,
        min: usize,
        timeout: Option<Duration>,
        out: &mut Vec<Completion>,
    ) -> io::Result<()>;

    /// Ends the current or else the next [`Queue::wait`] early, from any thread.
    fn waker(&self) -> Waker;

    /// Writes submitted and not yet reported.
    fn in_flight(&self) -> usize;
}

/// Ends a [`Queue::wait`] from another thread. Calls between two waits count as one.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Waker {
        Waker(Arc::new(wake))
    }

    /// Ends the current or next wait.
    pub fn wake(&self) {
        (self.0)();
    }
}

/// Whether `name` is one that the engine itself could have made: relative parts of letters, digits, `_`, `-` and `.`,
/// none empty and none starting with a dot. Names read back from a file are checked with this before they are used.
#[must_use]
pub fn is_safe_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        })
}

#[cfg(test)]
mod tests;
