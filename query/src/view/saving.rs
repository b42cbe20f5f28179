//! A worker and its checkpoints.
//!
//! A state is saved slice by slice, one between two messages, so that neither commits nor reads wait for a large one; a
//! thread of its own writes them. Each slice says as of which commit it is.

use super::checkpoint::{Draft, Head};
use super::worker::Worker;
use crate::stream::SavedSlice;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tsdb::io::Disk;
use tsdb::types::Lsn;

/// Where a view's checkpoints go.
#[derive(Clone, Debug)]
pub(super) struct Saving {
    /// Names the files.
    pub id: u64,
    /// Says what they are of.
    pub hash: u64,
    /// Holds the log.
    pub owner: String,
}

/// A checkpoint on its way. Dropped before its last slice, it comes to nothing.
pub(super) struct Sweep {
    slices: Sender<Slice>,
    /// The first key of the next slice.
    from: u32,
    heap: usize,
    lists_cut: usize,
}

/// What the writing thread is told.
enum Slice {
    Next(Vec<u8>),
    /// That was all.
    End,
}

impl Worker {
    /// Begins to save the state, which is at this LSN, unless it is being saved.
    pub(super) fn checkpoint(&mut self, lsn: Lsn) {
        let Some(saving) = self.saving.clone() else {
            return;
        };
        if self.sweep.is_some() || self.writer.as_ref().is_some_and(|w| !w.is_finished()) {
            return;
        }
        self.join_writer();
        self.lsn = self.lsn.max(lsn);
        let head = Head {
            hash: saving.hash,
            lsn: self.lsn,
            watermark: self.state.watermark,
        };
        let (slices, received) = channel();
        let engine = self.engine.clone();
        let write = move || match write(engine.disk(), saving.id, head, &received) {
            Ok(true) => engine.hold_wal(&saving.owner, Some(head.lsn)),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "a view's state could not be saved"),
        };
        let thread = std::thread::Builder::new().name("checkpoint".into());
        match thread.spawn(write) {
            Ok(thread) => self.writer = Some(thread),
            Err(error) => {
                tracing::error!(%error, "the checkpoint thread could not be started");
                return;
            }
        }
        self.sweep = Some(Sweep {
            slices,
            from: 0,
            heap: 0,
            lists_cut: 0,
        });
        self.save_slice();
    }

    /// Saves the next slice, if the state is being saved.
    pub(super) fn save_slice(&mut self) {
        let Some(mut sweep) = self.sweep.take() else {
            return;
        };
        let most = self.tap.config.slice_groups;
        let slice = match self.state.operator() {
            Some(operator) => operator.save_slice(sweep.from, most, self.lsn.0),
            None => SavedSlice::default(),
        };
        sweep.heap += slice.heap;
        sweep.lists_cut += slice.lists_cut;
        // When the disk fails the thread has ended, and has said so.
        let mut sent =
            slice.bytes.is_empty() || sweep.slices.send(Slice::Next(slice.bytes)).is_ok();
        match slice.next {
            Some(from) if sent => {
                sweep.from = from;
                self.sweep = Some(sweep);
            }
            Some(_) => {}
            None => {
                sent &= sweep.slices.send(Slice::End).is_ok();
                if sent {
                    self.note_sizes(&sweep);
                }
            }
        }
    }

    fn note_sizes(&self, sweep: &Sweep) {
        let flat = self.state.operator().map_or(0, |o| o.flat());
        let (status, order) = (&self.status, Ordering::Relaxed);
        status.bytes.store((flat + sweep.heap) as u64, order);
        status.lists_cut.store(sweep.lists_cut as u64, order);
    }

    /// Saves the state at this LSN to the last slice, and waits until that is done.
    pub(super) fn checkpoint_now(&mut self, lsn: Lsn) {
        // One that is on its way is of an older state.
        self.sweep = None;
        self.join_writer();
        self.checkpoint(lsn);
        while self.sweep.is_some() {
            self.save_slice();
        }
        self.join_writer();
    }

    pub(super) fn join_writer(&mut self) {
        let writer: Option<JoinHandle<()>> = self.writer.take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("writing a checkpoint has panicked");
        }
    }
}

/// Writes slices as they come; false when they ceased to come before the last one.
fn write(
    disk: &Arc<dyn Disk>,
    view: u64,
    head: Head,
    slices: &Receiver<Slice>,
) -> io::Result<bool> {
    let mut draft = Draft::begin(disk, view, head)?;
    loop {
        match slices.recv() {
            Ok(Slice::Next(bytes)) => draft.slice(&bytes)?,
            Ok(Slice::End) => {
                draft.finish(disk)?;
                return Ok(true);
            }
            Err(_) => {
                draft.abandon(disk)?;
                return Ok(false);
            }
        }
    }
}
