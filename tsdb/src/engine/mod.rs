//! The engine: one log, one writer, and what follows it.

mod committer;
mod flush;
mod oneshot;
mod recover;
mod request;
mod shared;
mod state;
mod transform;

pub(crate) use flush::{OWNED, read_catalog_file};
pub use request::{Commit, CommitObserver, Done, Request, Rows, SEAL_ROWS};
pub use shared::{EngineMetrics, QueueDepth};
pub use state::Snapshot;
pub use transform::{OnSifted, RowTransform, Sifted, pick};

use crate::Error;
use crate::catalog::Catalog;
use crate::clock::{Clock, SystemClock};
use crate::io::{Disk, IoKind, open_disk};
use crate::ledger::Ledger;
use crate::wal::LogConfig;
use parking_lot::Mutex;
use recover::{Parts, commit_of, look_after_files};
use shared::Shared;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use transform::Sieve;
use tsdb_types::{Lsn, StreamId};

/// How an engine is to be opened.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where the data lies; made if it is not there.
    pub data_dir: PathBuf,
    /// How the log is written.
    pub io: IoKind,
    /// Bytes of rows in memory above which writes are refused until a flush has made room.
    pub head_bytes: u64,
    /// Bytes of rows in memory at which a flush starts.
    pub flush_bytes: u64,
    /// Length of a log file.
    pub wal_file_bytes: u64,
    /// Who holds the log from which LSN on before anybody can ask for it; see [`Engine::hold_wal`]. The engine may let go of
    /// log as soon as it is open.
    pub held: Vec<(String, Lsn)>,
}

impl EngineConfig {
    /// Defaults for a data directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> EngineConfig {
        EngineConfig {
            data_dir: data_dir.into(),
            io: IoKind::Auto,
            head_bytes: 1 << 30,
            flush_bytes: 192 << 20,
            wal_file_bytes: LogConfig::default().file_bytes,
            held: Vec::new(),
        }
    }
}

/// Requests that wait for the log may hold this many bytes.
const QUEUE_BYTES: u64 = 256 << 20;

/// A database, open. Clones share it; it is closed by [`Engine::close`], or when the last clone goes.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Recovered commits, for followers that are behind; until [`Engine::recovery_done`].
    replay: Mutex<Vec<Arc<Commit>>>,
}

impl Engine {
    /// Opens a database with the host's disk and clock, and recovers it.
    ///
    /// # Errors
    /// When the directory can't be used or holds files of a newer version.
    pub fn open(config: &EngineConfig) -> Result<Engine, Error> {
        let context = || format!("open the data directory {}", config.data_dir.display());
        let disk = open_disk(config.io, &config.data_dir).map_err(|e| Error::io(context(), &e))?;
        Engine::open_on(disk, Arc::new(SystemClock::new()), config)
    }

    /// Opens a database on a given disk and clock.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        config: &EngineConfig,
    ) -> Result<Engine, Error> {
        let Parts {
            shared,
            committer,
            flusher,
            preparer,
            replay,
        } = Parts::recover(disk, clock, config)?;
        let inner = Inner {
            shared: shared.clone(),
            threads: Mutex::default(),
            replay: Mutex::new(replay),
        };
        inner.spawn("commit", move || committer.run())?;
        inner.spawn("flush", move || flusher.run())?;
        inner.spawn("log-files", move || look_after_files(&shared, &preparer))?;
        Ok(Engine {
            inner: Arc::new(inner),
        })
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.shared().catalog
    }

    /// How far sources were taken, and the replies to requests that bore a key.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared().ledger
    }

    /// The disk that the database lies on, for followers that keep files of their own.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.shared().disk
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared().clock
    }

    /// Lets a transform change the rows of every request submitted from now on; `None` lets them pass as they are.
    pub fn set_transform(&self, transform: Option<Arc<dyn RowTransform>>) {
        self.shared().transforms.set(transform);
    }

    /// Commits a request; `done` is told once it is durable and visible, or why it never will be. Rows that the engine's
    /// transform concerns are changed first, on this thread.
    pub fn submit(&self, mut request: Request, done: Done) {
        let shared = self.shared();
        let taken = self
            .admit(&request)
            .and_then(|()| shared.transforms.apply(&mut request, shared.clock.as_ref()));
        if let Err(error) = taken {
            return done(Err(error));
        }
        if let Err((_, done)) = self.shared().queue.push((request, done)) {
            done(Err(Error::Closed));
        }
    }

    /// Whether the engine's transform would take these rows, alone in a request; nothing is committed.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is something wrong with a row, [`Error::Unready`] when no row can be taken now.
    pub fn check(&self, rows: Vec<Rows>) -> Result<(), Error> {
        let shared = self.shared();
        shared.transforms.check(rows, shared.clock.as_ref())
    }

    /// Whether the engine's transform has anything to do with these rows.
    #[must_use]
    pub fn concerns(&self, rows: &[Rows]) -> bool {
        self.shared().transforms.concern(rows)
    }

    /// Leaves out the rows that the engine's transform would refuse, and tells of each; nothing is committed. For requests
    /// that nobody sends again in part. Each refused row takes the transform some twenty looks.
    ///
    /// # Errors
    /// [`Error::Refused`] when there are thousands of them.
    pub fn sift(&self, rows: Vec<Rows>, on_refused: OnSifted<'_>) -> Result<Sifted, Error> {
        let shared = self.shared();
        if !self.concerns(&rows) {
            return Ok(Sifted {
                rows,
                ..Sifted::default()
            });
        }
        let check = |rows: Rows| shared.transforms.check(vec![rows], shared.clock.as_ref());
        let (mut sieve, mut seen) = (Sieve::new(&check, on_refused), HashMap::new());
        for rows in rows {
            match self.catalog().stream_by_id(rows.stream()) {
                Some(stream) => {
                    let seen: &mut usize = seen.entry(stream.id).or_default();
                    let before = *seen;
                    *seen += rows.count();
                    sieve.add(rows, before, &stream.schema())?;
                }
                // The commit says so.
                None => sieve.sifted.rows.push(rows),
            }
        }
        Ok(sieve.sifted)
    }

    /// Whether the request's rows may be taken now.
    fn admit(&self, request: &Request) -> Result<(), Error> {
        if request.rows.is_empty() && request.advances.is_empty() && request.keyed.is_none() {
            return Ok(());
        }
        let shared = self.shared();
        let (head, queued) = (
            shared.metrics.head_bytes.load(Ordering::Relaxed),
            shared.queue.bytes(),
        );
        if head + queued >= shared.head_bound {
            return Err(Error::Overloaded {
                used: head + queued,
                bound: shared.head_bound,
            });
        }
        if queued >= QUEUE_BYTES {
            return Err(Error::Overloaded {
                used: queued,
                bound: QUEUE_BYTES,
            });
        }
        Ok(())
    }

    /// What waits to be written to the log now.
    #[must_use]
    pub fn queued(&self) -> QueueDepth {
        self.shared().queue.depth()
    }

    /// How full the head is, 0 to 1 and above.
    #[must_use]
    pub fn pressure(&self) -> f64 {
        let head =
            self.shared().metrics.head_bytes.load(Ordering::Relaxed) + self.shared().queue.bytes();
        head as f64 / self.shared().head_bound as f64
    }

    /// Commits a request and waits.
    ///
    /// # Errors
    /// Why it is not durable.
    pub fn commit(&self, request: Request) -> Result<Lsn, Error> {
        let (sender, receiver) = oneshot::channel();
        self.submit(request, Box::new(move |result| sender.send(result)));
        receiver.wait()
    }

    /// Commits a request; the future is ready when it is durable and visible. The request is handed over at once, also
    /// if the future is never polled.
    pub fn commit_async(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Lsn, Error>> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        self.submit(request, Box::new(move |result| sender.send(result)));
        receiver
    }

    /// The highest LSN that is durable and visible.
    #[must_use]
    pub fn published(&self) -> Lsn {
        Lsn(self.shared().metrics.published.load(Ordering::Acquire))
    }

    /// The database as of now, all streams at one LSN.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let version = self.shared().published.lock().version.clone();
        Snapshot::new(version, self.shared().catalog.clone())
    }

    /// Runs `f` exactly between two commits: what it sends to a follower's queue comes behind every commit up to the
    /// snapshot's and ahead of every later one. `f` must be quick; commits wait for it.
    pub fn barrier<R>(&self, f: impl FnOnce(&Snapshot) -> R) -> R {
        let published = self.shared().published.lock();
        let snapshot = Snapshot::new(published.version.clone(), self.shared().catalog.clone());
        f(&snapshot)
    }

    /// Lets an observer follow the log from the current LSN on, after running `f` at exactly that point.
    pub fn attach<R>(
        &self,
        observer: Arc<dyn CommitObserver>,
        f: impl FnOnce(&Snapshot) -> R,
    ) -> R {
        let mut published = self.shared().published.lock();
        let snapshot = Snapshot::new(published.version.clone(), self.shared().catalog.clone());
        let result = f(&snapshot);
        published.observers.push(observer);
        result
    }

    /// Recovered commits after `from`, in log order; `None` when the log no longer has all of them. Only for use
    /// right after opening, before [`Engine::recovery_done`] and any commit.
    #[must_use]
    pub fn replay_after(&self, from: Lsn) -> Option<Vec<Arc<Commit>>> {
        let replay = self.inner.replay.lock();
        let wanted: Vec<Arc<Commit>> = replay.iter().filter(|c| c.lsn > from).cloned().collect();
        let first = wanted.first().map_or(self.published().next(), |c| c.lsn);
        let dense = wanted.windows(2).all(|w| w[0].lsn.next() == w[1].lsn);
        (first == from.next() && dense).then_some(wanted)
    }

    /// Lets go of the recovered commits that were kept for [`Engine::replay_after`].
    pub fn recovery_done(&self) {
        self.inner.replay.lock().clear();
    }

    /// Reads published commits after `from` back from the log's files, in order, while the log goes on: at least one if
    /// there is any, and no more than make up `max_bytes`, but for the last one. Empty when `from` is the newest.
    ///
    /// # Errors
    /// When the log no longer has the first of them (see [`Engine::hold_wal`]), or one can't be read.
    pub fn read_log(&self, from: Lsn, max_bytes: usize) -> Result<Vec<Arc<Commit>>, Error> {
        let to = self.published();
        let records = self
            .shared()
            .log_files
            .read(from.next(), to, max_bytes.max(1))?;
        let commits = records.iter().map(|r| commit_of(r).map(Arc::new));
        commits.collect()
    }

    /// Bytes of the log's files that hold commits after `lsn`: what a hold there keeps on disk.
    #[must_use]
    pub fn log_bytes_after(&self, lsn: Lsn) -> u64 {
        self.shared().log_files.bytes_after(lsn)
    }

    /// Keeps the log after `floor` for `owner`, in place of what it held before; `None` lets go.
    pub fn hold_wal(&self, owner: &str, floor: Option<Lsn>) {
        let mut holds = self.shared().holds.lock();
        match floor {
            Some(lsn) => holds.insert(owner.to_owned(), lsn),
            None => holds.remove(owner),
        };
    }

    /// Writes all rows in memory to segments and waits for it.
    ///
    /// # Errors
    /// Why it failed; the rows are still in memory and in the log then.
    pub fn flush(&self) -> Result<(), Error> {
        self.shared().flush_signal.request_and_wait()
    }

    /// Bytes and rows, in all and per stream.
    #[must_use]
    pub fn storage(&self) -> StorageStats {
        let version = self.shared().published.lock().version.clone();
        let m = self.metrics();
        let mut stats = StorageStats {
            wal_bytes: m.wal_bytes.load(Ordering::Relaxed),
            wal_ready_bytes: m.wal_ready_bytes.load(Ordering::Relaxed),
            head_bytes: m.head_bytes.load(Ordering::Relaxed),
            segments: version.segments.len() as u64,
            segment_bytes: version.segments.iter().map(|s| s.meta.bytes).sum(),
            ..StorageStats::default()
        };
        for dir in ["manifest", "catalog", "ledger"] {
            // A directory that can't be listed now counts as empty; the next look will tell.
            stats.index_bytes += self
                .disk()
                .list(dir)
                .map_or(0, |files| files.iter().map(|f| f.len).sum());
        }
        let snapshot = Snapshot::new(version.clone(), self.catalog().clone());
        for stream in self.catalog().streams() {
            let stored = version
                .segments
                .iter()
                .flat_map(|s| &s.meta.streams)
                .filter(|s| s.stream == stream.id);
            let (rows, bytes) = stored.fold((0, 0), |(r, b), s| (r + s.rows, b + s.bytes));
            let all = snapshot.row_count(stream.id);
            stats.streams.push(StreamStorage {
                stream: stream.id,
                rows: all,
                bytes,
                head_rows: all - rows,
            });
        }
        stats
    }

    /// What could not be read when the database was opened, in words; empty for a sound one.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        self.shared().damage.lock().clone()
    }

    /// Counters.
    #[must_use]
    pub fn metrics(&self) -> &EngineMetrics {
        &self.shared().metrics
    }

    /// Takes no more requests, commits those at hand, closes the log in order, and gives the data directory up. Returns
    /// when all threads have ended. Followers that write files of their own must have ended before.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn spawn(&self, name: &str, f: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(f);
        self.threads
            .lock()
            .push(thread.map_err(|e| Error::io(format!("start the {name} thread"), &e))?);
        Ok(())
    }

    fn close(&self) {
        self.shared.queue.close();
        self.shared.flush_signal.close();
        self.shared.prepare_signal.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine has panicked");
            }
        }
        // Followers that still hold the disk only read from it.
        self.shared.disk.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Bytes and rows of the database.
#[derive(Clone, Debug, Default)]
pub struct StorageStats {
    /// Log files that hold records.
    pub wal_bytes: u64,
    /// Log files kept ready for the next records.
    pub wal_ready_bytes: u64,
    /// Segments, all in all.
    pub segment_bytes: u64,
    /// How many segments.
    pub segments: u64,
    /// Catalog files and manifest.
    pub index_bytes: u64,
    /// Rows in memory, in bytes.
    pub head_bytes: u64,
    /// Per stream.
    pub streams: Vec<StreamStorage>,
}

/// Bytes and rows of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamStorage {
    /// The stream.
    pub stream: StreamId,
    /// Rows.
    pub rows: u64,
    /// Bytes of its chunks in segments.
    pub bytes: u64,
    /// Rows that are in memory and in the log only.
    pub head_rows: u64,
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
