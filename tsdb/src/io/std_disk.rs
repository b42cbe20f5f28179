//! The host's files through plain calls: `pwrite`, `fdatasync`, `mmap`.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use super::map_guard::GuardedMap;
use super::{Completion, DirEntry, DirLock, Disk, DurableWrite, File, Queue, Waker, is_safe_name};

/// Zeros are written in pieces of this many bytes.
const ZEROS: usize = 1 << 20;
/// Threads that write for a queue: the log has two groups in flight, and the second is written while the first syncs.
const WORKERS: usize = 2;

/// A data directory of the host, locked against every other user for as long as this lives.
#[derive(Debug)]
pub struct StdDisk {
    root: PathBuf,
    /// Held until the disk is closed.
    lock: Mutex<Option<DirLock>>,
}

impl StdDisk {
    /// Takes `root`, making it (with its parents) unless it is there.
    ///
    /// # Errors
    /// When the directory can't be made, or is in use: see [`DirLock::exclusive`].
    pub fn new(root: &Path) -> io::Result<StdDisk> {
        fs::create_dir_all(root)?;
        Ok(StdDisk {
            root: root.to_path_buf(),
            lock: Mutex::new(Some(DirLock::exclusive(root)?)),
        })
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        if is_safe_name(name) {
            Ok(self.root.join(name))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name:?} is not a name of the data directory"),
            ))
        }
    }

    fn dir_path(&self, dir: &str) -> io::Result<PathBuf> {
        if dir.is_empty() {
            Ok(self.root.clone())
        } else {
            self.path(dir)
        }
    }
}

impl Disk for StdDisk {
    fn kind(&self) -> &'static str {
        "std"
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.path(dir)?;
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&path)?;
        // The new names lie in the directories above, up to the root.
        let mut parent = path.parent();
        while let Some(dir) = parent {
            fs::File::open(dir)?.sync_all()?;
            if dir == self.root {
                break;
            }
            parent = dir.parent();
        }
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(name)?)?;
        Ok(Arc::new(StdFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path(name)?)?;
        Ok(Arc::new(StdFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name)?)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let entries = match fs::read_dir(self.dir_path(dir)?) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let meta = entry.metadata()?;
            // A name that is no UTF-8 is none of ours.
            if let (true, Ok(name)) = (meta.is_file(), entry.file_name().into_string()) {
                found.push(DirEntry {
                    name,
                    len: meta.len(),
                });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(self.dir_path(dir)?)?.sync_all()
    }

    fn close(&self) {
        *self.lock.lock() = None;
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        Ok(Box::new(StdQueue::new()?))
    }
}

struct StdFile(fs::File);

impl File for StdFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let start = self.len()?;
        if start >= len {
            return Ok(());
        }
        // Reserving first keeps the file in few extents and finds a full disk before anything is written. The zeros
        // that follow turn the reserved extents into written ones, here rather than under a commit's fdatasync.
        let wanted = i64::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a plain call on a descriptor that `self` holds open; no memory is passed.
        let reserved = unsafe { libc::fallocate(self.0.as_raw_fd(), 0, 0, wanted) };
        if reserved != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() == Some(libc::ENOSPC) {
                return Err(error);
            }
        }
        let zeros = vec![0u8; ZEROS.min(usize::try_from(len - start).unwrap_or(ZEROS))];
        let mut at = start;
        while at < len {
            let piece = zeros
                .len()
                .min(usize::try_from(len - at).unwrap_or(zeros.len()));
            self.0.write_all_at(&zeros[..piece], at)?;
            at += piece as u64;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn drop_cache(&self) -> io::Result<()> {
        // SAFETY: a plain call on a descriptor that `self` holds open; no memory is passed.
        let failed =
            unsafe { libc::posix_fadvise(self.0.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        match failed {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    fn map(&self) -> io::Result<Bytes> {
        if self.len()? == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: the engine owns its data directory (a lock keeps other instances out) and never writes into a range that
        // it has handed out as bytes.
        let map = unsafe { GuardedMap::new(&self.0)? };
        Ok(Bytes::from_owner(map))
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.0.as_raw_fd())
    }
}

enum Event {
    Done(Completion),
    Wake,
}

/// Runs the writes on threads of its own, so that the caller can fill the next group meanwhile.
struct StdQueue {
    // `None` only while dropping: its end is what stops the workers.
    jobs: Option<Sender<(DurableWrite, u64)>>,
    events: Receiver<Event>,
    waker: Waker,
    woken: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    in_flight: usize,
}

impl StdQueue {
    fn new() -> io::Result<StdQueue> {
        let (jobs, todo) = unbounded::<(DurableWrite, u64)>();
        let (done, events) = unbounded();
        let woken = Arc::new(AtomicBool::new(false));
        let waker = {
            let (done, woken) = (done.clone(), woken.clone());
            Waker::new(move || {
                if !woken.swap(true, Ordering::AcqRel) {
                    // A queue that is gone has nobody to wake.
                    let _ = done.send(Event::Wake);
                }
            })
        };
        let mut workers = Vec::with_capacity(WORKERS);
        for _ in 0..WORKERS {
            let (todo, done) = (todo.clone(), done.clone());
            let worker = std::thread::Builder::new()
                .name("wal-write".into())
                .spawn(move || work(&todo, &done))?;
            workers.push(worker);
        }
        Ok(StdQueue {
            jobs: Some(jobs),
            events,
            waker,
            woken,
            workers,
            in_flight: 0,
        })
    }
}

/// Writes and syncs until the queue is gone.
fn work(todo: &Receiver<(DurableWrite, u64)>, done: &Sender<Event>) {
    for (write, token) in todo {
        let file = &write.file;
        let result = file
            .write_at(write.offset, &write.data)
            .and_then(|()| file.sync_queued());
        let completion = Completion {
            token,
            result,
            data: write.data,
        };
        if done.send(Event::Done(completion)).is_err() {
            return;
        }
    }
}

impl Queue for StdQueue {
    fn submit(&mut self, write: DurableWrite, token: u64) {
        self.in_flight += 1;
        // The workers end only after `jobs` is gone.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send((write, token));
        }
    }

    fn wait(
        &mut self,
        min: usize,
        timeout: Option<Duration>,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        let deadline = timeout.map(|t| Instant::now() + t);
        let needed = match self.in_flight {
            0 => min,
            in_flight => min.min(in_flight),
        };
        let mut got = 0;
        loop {
            let event = if got >= needed {
                match self.events.try_recv() {
                    Ok(event) => event,
                    Err(_) => return Ok(()),
                }
            } else {
                let received = match deadline {
                    Some(deadline) => self.events.recv_deadline(deadline).ok(),
                    // The waker kept in `self` holds a sender: the channel can't be disconnected.
                    None => self.events.recv().ok(),
                };
                match received {
                    Some(event) => event,
                    None => return Ok(()),
                }
            };
            match event {
                Event::Done(completion) => {
                    self.in_flight -= 1;
                    got += 1;
                    out.push(completion);
                }
                Event::Wake => {
                    self.woken.store(false, Ordering::Release);
                    return Ok(());
                }
            }
        }
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl Drop for StdQueue {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // It has nothing to say that a completion didn't say.
            let _ = worker.join();
        }
    }
}
