//! How a reading thread feeds its pipe: in small batches when little comes, in large ones under load, and not at all while
//! the log is full or somebody wants it to rest.

use super::Record;
use super::control::{Control, Ended, Wish};
use super::pipe::Pipe;
use super::status::SourceState;
use std::time::Duration;

/// How long a reader waits for a message when nothing else is to be done.
pub(super) const IDLE: Duration = Duration::from_millis(50);
/// So many messages are taken before it is asked whether the log has room again.
const ROUND: u32 = 64;
/// From so many rows on a batch is sent as soon as the log has nothing else to do, although more is waiting.
const WORTH: usize = 512;

/// What a reader is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// To read.
    Read,
    /// To read nothing; a moment has passed already.
    Rest,
    /// To finish.
    End,
}

/// A pipe and when to send what is in it.
pub(super) struct Flow<'a> {
    pub(super) pipe: Pipe,
    control: &'a Control,
    round: u32,
}

impl<'a> Flow<'a> {
    pub(super) fn new(pipe: Pipe, control: &'a Control) -> Flow<'a> {
        Flow {
            pipe,
            control,
            round: 0,
        }
    }

    /// What is to be done now, by what is wanted and by how full the write buffer is.
    pub(super) fn turn(&mut self) -> Result<Turn, Ended> {
        match self.control.wish() {
            Wish::End => Ok(Turn::End),
            Wish::Pause => self.rest(SourceState::Paused),
            Wish::Run if self.pipe.is_pressed() => self.rest(SourceState::Pressed),
            Wish::Run => {
                if self.pipe.status().state().0 != SourceState::Running {
                    self.pipe.status().set(SourceState::Running, None);
                }
                Ok(Turn::Read)
            }
        }
    }

    fn rest(&mut self, state: SourceState) -> Result<Turn, Ended> {
        self.pipe.status().set(state, None);
        self.quiet()?;
        let busy = self.pipe.has_batch() || !self.pipe.is_idle();
        let soon = busy || state == SourceState::Pressed;
        let time = if soon { IDLE / 10 } else { IDLE };
        self.control.wait(time);
        Ok(Turn::Rest)
    }

    /// Takes a message; see [`Pipe::push`].
    pub(super) fn push(&mut self, slot: usize, record: &Record<'_>) -> Result<(), Ended> {
        if let Err(wait) = self.pipe.push(slot, record) {
            self.pipe.finish()?;
            return Err(Ended::Retry(wait.reason));
        }
        Ok(())
    }

    /// A message was taken, and more may be waiting: sends the batch if it is worth it, or must be.
    pub(super) fn took(&mut self) -> Result<(), Ended> {
        self.round += 1;
        let full = self.pipe.is_full();
        if !full && self.round < ROUND {
            return Ok(());
        }
        self.round = 0;
        self.pipe.settle(Duration::ZERO)?;
        if full {
            while !self.pipe.has_room() {
                if self.pipe.is_pressed() {
                    // The next turn is to rest.
                    return Ok(());
                }
                self.pipe.settle(IDLE)?;
            }
            self.pipe.send();
        } else if self.pipe.is_idle() && self.pipe.rows() >= WORTH {
            self.pipe.send();
        }
        Ok(())
    }

    /// Nothing more is waiting: sends what is at hand if the log has room, else waits a moment for it.
    pub(super) fn quiet(&mut self) -> Result<(), Ended> {
        self.round = 0;
        self.pipe.idle();
        self.pipe.settle(Duration::ZERO)?;
        if self.pipe.has_batch() {
            if self.pipe.has_room() {
                self.pipe.send();
            } else {
                self.pipe.settle(Duration::from_millis(1))?;
            }
        }
        Ok(())
    }

    /// How long to wait for a message after [`Flow::quiet`].
    pub(super) fn patience(&self) -> Duration {
        match (self.pipe.has_batch(), self.pipe.is_idle()) {
            (true, _) => Duration::ZERO,
            (false, false) => Duration::from_millis(1),
            (false, true) => IDLE,
        }
    }

    /// What is wanted of the reader.
    pub(super) fn wish(&self) -> Wish {
        self.control.wish()
    }
}

impl Drop for Flow<'_> {
    /// Whoever reads next goes on from what the log has: nothing must be on its way to it then.
    fn drop(&mut self) {
        self.pipe.clear();
    }
}
