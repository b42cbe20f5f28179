//! What is committed, and who is told.

use crate::Error;
use crate::ledger::{Advance, KeyedReply};
use std::sync::Arc;
use tsdb_types::{Batch, BatchBuilder, Lsn, StreamId};

/// Rows of one stream in a request.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Finished columns; what decoders make of many rows, on their own thread.
    Sealed(Batch),
    /// A few rows, which the commit merges with others of the same group.
    Small(BatchBuilder),
}

/// From this many rows on a decoder should seal them itself.
pub const SEAL_ROWS: usize = 512;

impl Rows {
    /// Seals when there are many rows; `None` when there is none.
    #[must_use]
    pub fn from_builder(builder: BatchBuilder) -> Option<Rows> {
        match builder.rows() {
            0 => None,
            n if n < SEAL_ROWS => Some(Rows::Small(builder)),
            _ => builder.finish().map(Rows::Sealed),
        }
    }

    /// The stream they are of.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        match self {
            Rows::Sealed(batch) => batch.stream,
            Rows::Small(builder) => builder.stream,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Rows::Sealed(batch) => batch.rows,
            Rows::Small(builder) => builder.rows(),
        }
    }

    pub(crate) fn byte_len(&self) -> usize {
        match self {
            Rows::Sealed(batch) => batch.byte_len(),
            Rows::Small(builder) => builder.byte_len(),
        }
    }
}

/// A request: takes effect as a whole, in one commit.
#[derive(Debug, Default)]
pub struct Request {
    /// Rows, of any streams.
    pub rows: Vec<Rows>,
    /// Whether time is to move on although no row came: views may close windows up to the commit's wall time.
    pub tick: bool,
    /// How far the sources were taken that the rows come from. A request that holds anything taken before is refused with
    /// [`Error::TakenAlready`].
    pub advances: Vec<Advance>,
    /// The reply, when the request bears a key: it must not take effect twice, and is refused with [`Error::KeyTaken`].
    pub keyed: Option<KeyedReply>,
}

impl Request {
    /// A request of rows alone.
    #[must_use]
    pub fn of(rows: Vec<Rows>) -> Request {
        Request {
            rows,
            ..Request::default()
        }
    }

    pub(crate) fn byte_len(&self) -> usize {
        let rows: usize = self.rows.iter().map(Rows::byte_len).sum();
        let advances = self.advances.iter().map(|a| 64 + a.partition.len());
        rows + advances.sum::<usize>() + self.keyed.as_ref().map_or(0, |k| 64 + k.reply.len())
    }
}

/// Told when a request is durable and visible, or why it will never be. Runs on the commit thread: hand the answer
/// on, do no work.
pub type Done = Box<dyn FnOnce(Result<Lsn, Error>) + Send>;

/// One commit as its followers see it.
#[derive(Debug)]
pub struct Commit {
    /// Its place in the log.
    pub lsn: Lsn,
    /// The writer's wall clock at the commit, nanoseconds since the epoch: the only clock that followers may read.
    pub wall_ns: i64,
    /// Rows, in log order; several batches may be of one stream.
    pub batches: Vec<Arc<Batch>>,
    /// Whether this is (also) a tick.
    pub tick: bool,
}

/// Follows the log.
pub trait CommitObserver: Send + Sync {
    /// Called for each commit in log order, under the lock that makes it visible: push it to a queue and return.
    fn on_commit(&self, commit: &Arc<Commit>);
}
