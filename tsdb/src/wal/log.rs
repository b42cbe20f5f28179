//! The log as the engine holds it: the writer, its queue and its files.

use std::sync::Arc;
use std::time::Duration;

use tsdb_types::Lsn;

use super::files::Files;
use super::{Preparer, Record, RecordBuilder, WalError, Writer};
use crate::clock::Clock;
use crate::io::{Queue, Waker};

/// Settings of the log.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// Length of a log file. A larger record gets a file of its own size.
    pub file_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            file_bytes: 64 << 20,
        }
    }
}

/// The write-ahead log of one run of the program, made by [`super::recover`]. One thread drives it.
pub struct Log {
    writer: Writer,
    queue: Box<dyn Queue>,
    files: Arc<Files>,
    clock: Arc<dyn Clock>,
    done: Vec<crate::io::Completion>,
}

impl Log {
    pub(super) fn new(
        files: Arc<Files>,
        epoch: u64,
        last_lsn: Lsn,
        clock: Arc<dyn Clock>,
    ) -> Result<Log, WalError> {
        let queue = files
            .disk()
            .queue()
            .map_err(|e| WalError::io("make a queue for", "wal", e))?;
        Ok(Log {
            writer: Writer::new(files.clone(), epoch, last_lsn),
            queue,
            files,
            clock,
            done: Vec::new(),
        })
    }

    /// Takes a commit and gives it the next LSN; see [`Writer::append`].
    ///
    /// # Errors
    /// Those of [`Writer::append`].
    pub fn append(
        &mut self,
        wall_ns: i64,
        build: impl FnOnce(&mut RecordBuilder<'_>),
    ) -> Result<Lsn, WalError> {
        self.writer.append(wall_ns, build)
    }

    /// Starts writing what was appended, unless two groups are in flight; returns whether it did.
    ///
    /// # Errors
    /// `Poisoned` after a failed write.
    pub fn flush(&mut self) -> Result<bool, WalError> {
        self.writer.start_flush(self.queue.as_mut())
    }

    /// Waits until a group has completed, the timeout has passed or the waker was called, then returns what is
    /// durable. With nothing in flight it waits for the latter two.
    ///
    /// # Errors
    /// `Poisoned` when a write has failed.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Lsn, WalError> {
        self.collect(1, timeout)
    }

    /// Takes in what has completed without waiting, and returns what is durable.
    ///
    /// # Errors
    /// `Poisoned` when a write has failed.
    pub fn poll(&mut self) -> Result<Lsn, WalError> {
        self.collect(0, None)
    }

    fn collect(&mut self, min: usize, timeout: Option<Duration>) -> Result<Lsn, WalError> {
        self.queue
            .wait(min, timeout, &mut self.done)
            .map_err(|e| WalError::io("wait for", "wal", e))?;
        let now = self.clock.monotonic_ns();
        let mut outcome = Ok(self.writer.durable_lsn());
        for completion in self.done.drain(..) {
            let result = self.writer.on_completion(completion, now);
            if outcome.is_ok() {
                outcome = result;
            }
        }
        outcome
    }

    /// Makes everything appended so far durable before it returns.
    ///
    /// # Errors
    /// `Poisoned` when a write has failed.
    pub fn sync(&mut self) -> Result<Lsn, WalError> {
        while self.writer.pending_bytes() > 0 || self.writer.groups_in_flight() > 0 {
            if !self.flush()? {
                self.collect(1, None)?;
            }
        }
        Ok(self.writer.durable_lsn())
    }

    /// To be called when there was nothing to do: after 10 ms of silence it writes an empty record that says what is
    /// durable. Returns whether it did; the write completes like any other.
    ///
    /// # Errors
    /// Those of [`Log::append`].
    pub fn idle(&mut self) -> Result<bool, WalError> {
        let marked = self
            .writer
            .idle(self.clock.wall_ns(), self.clock.monotonic_ns())?;
        Ok(marked && self.flush()?)
    }

    /// Syncs, and writes down that all is durable. For an orderly end.
    ///
    /// # Errors
    /// Those of [`Log::append`].
    pub fn close(mut self) -> Result<Lsn, WalError> {
        self.sync()?;
        self.writer.mark(self.clock.wall_ns())?;
        self.sync()
    }

    /// Lets go of files whose records are all at or below `floor`. Only after whatever replaces them is durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn truncate_below(&mut self, floor: Lsn) -> Result<(), WalError> {
        self.files.truncate_below(floor)
    }

    /// Reads the retained commits `from ..= to` in order, while the log goes on. `to` must be durable.
    ///
    /// # Errors
    /// `NotRetained` when one of them isn't there (any more, or readable).
    pub fn read(&self, from: Lsn, to: Lsn) -> Result<Vec<Record>, WalError> {
        if to > self.writer.durable_lsn() {
            return Err(WalError::NotRetained { wanted: to });
        }
        self.files.read(from, to, usize::MAX)
    }

    /// The last commit taken.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.writer.last_lsn()
    }

    /// Every commit up to here is durable.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.writer.durable_lsn()
    }

    /// Bytes appended and not yet handed to the disk.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.writer.pending_bytes()
    }

    /// Groups being written or synced: at 2, [`Log::flush`] has to wait.
    #[must_use]
    pub fn groups_in_flight(&self) -> usize {
        self.writer.groups_in_flight()
    }

    /// Bytes of the files that hold records, and of those kept ready for the next ones.
    #[must_use]
    pub fn disk_bytes(&self) -> (u64, u64) {
        self.files.bytes()
    }

    /// Whether the next file is ready, so that a full one costs no commit any time.
    #[must_use]
    pub fn has_ready_file(&self) -> bool {
        self.files.has_ready()
    }

    /// Bytes handed to the disk so far, padding included.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.writer.written_bytes()
    }

    /// Prepares files ahead, from another thread.
    #[must_use]
    pub fn preparer(&self) -> Preparer {
        Preparer(self.files.clone())
    }

    /// Ends a [`Log::wait`] from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.queue.waker()
    }
}
