//! The log's writer: a state machine that turns records into durable writes and completions into acknowledgements.
//!
//! Records gather in a buffer, the open group. A flush closes it: it is padded to a block and handed to the queue as
//! one write with its sync. Up to [`MAX_GROUPS`] groups are in flight; a group is durable when it and all before it
//! are. A group spans files only where the log moves to its next file.
//!
//! Two syncs of one file may run at once, and the kernel reports a failed write-back once per *open file*: the sync of
//! a later group could take the error that belongs to an earlier one, whose own sync then succeeds. So groups
//! alternate between two separately opened handles, each of which is told of every error.

use std::collections::VecDeque;
use std::sync::Arc;

use tsdb_types::Lsn;

use super::files::{Files, Prepared};
use super::format::{ALIGN, BLOCK, FileHeader, MAX_BODY, RECORD_HEADER, RecordHeader, RecordKind};
use super::{RecordBuilder, WalError};
use crate::io::{Completion, DurableWrite, File, Queue};

/// Groups that may be in flight: one syncs while the next is being written.
pub const MAX_GROUPS: usize = 2;
/// After so long without a commit a mark records what is durable.
pub const SILENCE_NS: u64 = 10_000_000;
/// Buffers above this size are given back to the allocator after use.
const MAX_KEPT_BUFFER: usize = 8 << 20;

/// Bytes of a closed part of the open group that belongs to a file which is full.
struct Run {
    handles: [Arc<dyn File>; 2],
    offset: u64,
    data: Vec<u8>,
}

struct Group {
    token: u64,
    last_lsn: Lsn,
    /// Writes not yet completed.
    left: usize,
}

/// The writer of one run of the program. See the module's page for what it does.
pub struct Writer {
    files: Arc<Files>,
    epoch: u64,
    current: Option<Prepared>,
    /// Offset in the current file of the first byte of `buffer`; a multiple of a block.
    base: u64,
    buffer: Vec<u8>,
    /// Earlier parts of the open group.
    runs: Vec<Run>,
    groups: VecDeque<Group>,
    next_token: u64,
    last_lsn: Lsn,
    durable_lsn: Lsn,
    /// The highest `durable_lsn` that a record has been given.
    vouched: Lsn,
    quiet_since: u64,
    kept_buffers: Vec<Vec<u8>>,
    written_bytes: u64,
    poison: Option<String>,
}

impl Writer {
    /// A writer whose first commit will be the one after `last_lsn`; everything up to there is durable.
    pub(super) fn new(files: Arc<Files>, epoch: u64, last_lsn: Lsn) -> Writer {
        Writer {
            files,
            epoch,
            current: None,
            base: 0,
            buffer: Vec::new(),
            runs: Vec::new(),
            groups: VecDeque::new(),
            next_token: 0,
            last_lsn,
            durable_lsn: last_lsn,
            vouched: Lsn(0),
            quiet_since: 0,
            kept_buffers: Vec::new(),
            written_bytes: 0,
            poison: None,
        }
    }

    /// The last commit taken.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }

    /// Every commit up to here is durable.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.durable_lsn
    }

    /// Bytes handed to the queue so far, padding included.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Bytes of the open group.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() + self.runs.iter().map(|run| run.data.len()).sum::<usize>()
    }

    /// Groups handed to the queue and not yet durable.
    #[must_use]
    pub fn groups_in_flight(&self) -> usize {
        self.groups.len()
    }

    /// Takes a commit into the open group and gives it its LSN. It is durable once [`Writer::durable_lsn`] has reached
    /// that.
    ///
    /// # Errors
    /// `TooLarge`, and `NoFile` when the next file can't be made: then this commit is not taken, and the writer is as
    /// before. `Poisoned` for good after a failed write.
    pub fn append(
        &mut self,
        wall_ns: i64,
        build: impl FnOnce(&mut RecordBuilder<'_>),
    ) -> Result<Lsn, WalError> {
        let lsn = self.last_lsn.next();
        self.append_record(RecordKind::Commit, lsn, wall_ns, build)?;
        self.last_lsn = lsn;
        Ok(lsn)
    }

    fn append_record(
        &mut self,
        kind: RecordKind,
        lsn: Lsn,
        wall_ns: i64,
        build: impl FnOnce(&mut RecordBuilder<'_>),
    ) -> Result<(), WalError> {
        self.check_poison()?;
        let start = self.buffer.len();
        self.buffer.resize(start + RECORD_HEADER, 0);
        let mut builder = RecordBuilder::new(&mut self.buffer);
        build(&mut builder);
        let sections = builder.finish();
        let body_len = self.buffer.len() - start - RECORD_HEADER;
        debug_assert!(body_len.is_multiple_of(ALIGN));
        let (Some(sections), Some(len)) = (sections, fitting_len(body_len)) else {
            self.buffer.truncate(start);
            return Err(WalError::TooLarge {
                got: body_len,
                limit: MAX_BODY,
            });
        };
        let next_commit = match kind {
            RecordKind::Commit => lsn,
            RecordKind::Mark => lsn.next(),
        };
        let start = self.place(start, next_commit)?;
        let Some(current) = &self.current else {
            unreachable!("`place` has made sure of a file");
        };
        let header = RecordHeader {
            kind,
            sections,
            lsn,
            durable_lsn: self.durable_lsn,
            wall_ns,
            epoch: self.epoch,
            body_len: len,
            body_crc: crc32fast::hash(&self.buffer[start + RECORD_HEADER..]),
        };
        let bytes = header.encode(current.id, self.base + start as u64);
        self.buffer[start..start + RECORD_HEADER].copy_from_slice(&bytes);
        self.vouched = self.durable_lsn;
        Ok(())
    }

    /// Makes sure that the record which begins at `start` of the buffer lies in a file that can hold it, moving to the
    /// next file (whose first commit is `next_commit`) if it must. Returns where the record begins now. On an error the record is gone from the buffer.
    fn place(&mut self, start: usize, next_commit: Lsn) -> Result<usize, WalError> {
        if let Some(current) = &self.current
            && self.base + self.buffer.len() as u64 <= current.len
        {
            return Ok(start);
        }
        let record = self.buffer.len() - start;
        let min_len = (BLOCK + record).next_multiple_of(BLOCK) as u64;
        let next = match self.files.take(min_len, next_commit) {
            Ok(next) => next,
            Err(e) => {
                self.buffer.truncate(start);
                return Err(e);
            }
        };
        let mut buffer = self.kept_buffers.pop().unwrap_or_default();
        let header = FileHeader {
            file_id: next.id,
            epoch: self.epoch,
            first_lsn: next_commit,
        };
        header.encode(&mut buffer);
        buffer.extend_from_slice(&self.buffer[start..]);
        self.buffer.truncate(start);
        self.close_run();
        self.current = Some(next);
        self.base = 0;
        self.buffer = buffer;
        Ok(BLOCK)
    }

    /// Moves what the buffer holds for the current file to the group's runs, padded to a block.
    fn close_run(&mut self) {
        let Some(current) = &self.current else { return };
        if self.buffer.is_empty() {
            return;
        }
        let fresh = self.kept_buffers.pop().unwrap_or_default();
        let mut data = std::mem::replace(&mut self.buffer, fresh);
        // A file's length is a multiple of a block too, so what fits unpadded also fits padded.
        data.resize(data.len().next_multiple_of(BLOCK), 0);
        let offset = self.base;
        self.base += data.len() as u64;
        self.runs.push(Run {
            handles: current.handles.clone(),
            offset,
            data,
        });
    }

    /// Hands the open group to `queue`, unless it is empty or [`MAX_GROUPS`] are in flight; returns whether it did.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn start_flush(&mut self, queue: &mut dyn Queue) -> Result<bool, WalError> {
        self.check_poison()?;
        if self.groups.len() >= MAX_GROUPS {
            return Ok(false);
        }
        self.close_run();
        if self.runs.is_empty() {
            return Ok(false);
        }
        let token = self.next_token;
        self.next_token += 1;
        self.groups.push_back(Group {
            token,
            last_lsn: self.last_lsn,
            left: self.runs.len(),
        });
        for run in self.runs.drain(..) {
            let [even, odd] = run.handles;
            let file = if token.is_multiple_of(2) { even } else { odd };
            let write = DurableWrite {
                file,
                offset: run.offset,
                data: run.data,
            };
            self.written_bytes += write.data.len() as u64;
            queue.submit(write, token);
        }
        Ok(true)
    }

    /// Takes a completion in; `now_ns` is monotonic time. Returns what is durable now.
    ///
    /// # Errors
    /// `Poisoned` when this or an earlier write failed. What is durable stays where it was before the failure, also
    /// if completions of earlier groups come later: a failed write-back may have hit their bytes.
    pub fn on_completion(&mut self, completion: Completion, now_ns: u64) -> Result<Lsn, WalError> {
        let Completion {
            token,
            result,
            data,
        } = completion;
        self.keep_buffer(data);
        self.quiet_since = now_ns;
        if let Err(e) = result
            && self.poison.is_none()
        {
            self.poison = Some(format!("writing or syncing it failed: {e}"));
        }
        self.check_poison()?;
        for group in &mut self.groups {
            if group.token == token {
                group.left -= 1;
            }
        }
        while let Some(group) = self.groups.front()
            && group.left == 0
        {
            self.durable_lsn = group.last_lsn;
            self.groups.pop_front();
        }
        Ok(self.durable_lsn)
    }

    /// After [`SILENCE_NS`] without anything to do, takes an empty record that says what is durable; returns whether
    /// it did. Without it, a damaged last commit could not be told from one that was never finished.
    ///
    /// # Errors
    /// Those of [`Writer::append`].
    pub fn idle(&mut self, wall_ns: i64, now_ns: u64) -> Result<bool, WalError> {
        self.check_poison()?;
        let silent = now_ns.saturating_sub(self.quiet_since) >= SILENCE_NS;
        Ok(silent && self.mark(wall_ns)?)
    }

    /// Takes an empty record that says what is durable, if nothing is open or in flight and no record has said it.
    pub(super) fn mark(&mut self, wall_ns: i64) -> Result<bool, WalError> {
        let said = self.vouched >= self.durable_lsn;
        if said || !self.groups.is_empty() || self.pending_bytes() > 0 {
            return Ok(false);
        }
        self.append_record(RecordKind::Mark, self.last_lsn, wall_ns, |_| {})?;
        Ok(true)
    }

    fn keep_buffer(&mut self, mut data: Vec<u8>) {
        if data.capacity() <= MAX_KEPT_BUFFER && self.kept_buffers.len() < MAX_GROUPS + 1 {
            data.clear();
            self.kept_buffers.push(data);
        }
    }

    fn check_poison(&self) -> Result<(), WalError> {
        match &self.poison {
            None => Ok(()),
            Some(reason) => Err(WalError::Poisoned {
                reason: reason.clone(),
            }),
        }
    }
}

fn fitting_len(body_len: usize) -> Option<u32> {
    if body_len <= MAX_BODY {
        u32::try_from(body_len).ok()
    } else {
        None
    }
}
