//! A worker and those who read its view.

use super::runtime::exec;
use super::state::{Program, State};
use super::worker::{Snap, Worker};
use crate::engine::{ViewAnswer, ViewRead, ViewSlice};
use crate::error::QueryError;
use crate::stream::Read;
use arrow::record_batch::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tsdb::types::Lsn;

/// A view's whole answer is kept until the view changes if it has at most as many rows.
const CACHED_ROWS: usize = 64 * 1024;

/// A read on its way to a worker.
#[derive(Debug)]
pub(super) struct Request {
    read: Read,
    /// All rows and columns are wanted.
    whole: bool,
    memory: Arc<dyn MemoryPool>,
    /// The commit at which the rows are wanted.
    asked: Lsn,
    reply: oneshot::Sender<Result<ViewAnswer, QueryError>>,
}

/// Who waits for the answer to a [`Request`].
pub(super) type Reply = oneshot::Receiver<Result<ViewAnswer, QueryError>>;

impl Request {
    pub fn new(program: &Program, wanted: &ViewRead) -> Result<(Request, Reply), QueryError> {
        let Program::Aggregate(plan) = program else {
            let message = "a view without state is read from its stream";
            return Err(QueryError::Internal(message.to_string()));
        };
        let projection = wanted.projection.as_deref();
        let read = Read::new(plan, projection, &wanted.filters, wanted.limit).map_err(exec)?;
        let (reply, answer) = oneshot::channel();
        let request = Request {
            read,
            whole: projection.is_none() && wanted.filters.is_empty() && wanted.limit.is_none(),
            memory: Arc::clone(&wanted.memory),
            asked: Lsn(0),
            reply,
        };
        Ok((request, answer))
    }

    /// Says at which commit the rows are wanted.
    pub fn at(self, asked: Lsn) -> Request {
        Request { asked, ..self }
    }

    /// Whoever asked has gone.
    fn is_idle(&self) -> bool {
        self.reply.is_closed()
    }

    pub fn refuse(self, why: QueryError) {
        // Whoever asked may be gone.
        let _ = self.reply.send(Err(why));
    }

    /// Sends the rows of a state, or those of a whole answer that was kept; gives the rows of a whole answer back, if
    /// they are few enough to be kept.
    fn answer(
        self,
        state: &State,
        lsn: u64,
        lagging: bool,
        kept: Option<&[RecordBatch]>,
    ) -> Option<Vec<RecordBatch>> {
        let (tx, rows) = unbounded_channel();
        let answer = ViewAnswer {
            lsn,
            lagging,
            pending: state.pending(),
            rows,
        };
        if self.reply.send(Ok(answer)).is_err() {
            return None;
        }
        if let Some(kept) = kept.filter(|_| self.whole) {
            let _ = kept
                .iter()
                .try_for_each(|slice| send(&self.memory, &tx, slice.clone()));
            return None;
        }
        let mut all = self.whole.then(Vec::new);
        let mut count = 0;
        let read = state.read(&self.read, &mut |slice| {
            count += slice.num_rows();
            if count > CACHED_ROWS {
                all = None;
            }
            if let Some(all) = &mut all {
                all.push(slice.clone());
            }
            let flow = send(&self.memory, &tx, slice);
            if flow.is_break() {
                all = None;
            }
            flow
        });
        if let Err(e) = read {
            let _ = tx.send(Err(QueryError::Exec(e.to_string())));
            return None;
        }
        all
    }
}

/// Sends rows, accounted for until they are taken. It breaks when nobody wants more, or when there are too many already.
fn send(
    memory: &Arc<dyn MemoryPool>,
    tx: &UnboundedSender<ViewSlice>,
    slice: RecordBatch,
) -> ControlFlow<()> {
    let held = MemoryConsumer::new("rows of a view").register(memory);
    let sent = match held.try_grow(slice.get_array_memory_size()) {
        Ok(()) => tx.send(Ok((slice, held))).is_ok(),
        Err(e) => {
            // Whoever asked may be gone.
            let _ = tx.send(Err(QueryError::from(e)));
            false
        }
    };
    match sent {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    }
}

impl Worker {
    /// Answers in turn: at the snapshot's LSN, unless commits have been left out.
    pub(super) fn read(&mut self, snapshot: &Snap, request: Request) {
        if request.is_idle() {
            return;
        }
        if let Err(e) = self.come_to(snapshot) {
            return request.refuse(exec(e));
        }
        let kept = self.cache.as_deref();
        let all = request.answer(&self.state, self.lsn.0, self.stale, kept);
        if all.is_some() {
            self.cache = all;
        }
    }

    /// Answers reads out of turn, with the rows as they are, whatever commits wait.
    pub(super) fn read_urgent(&self) {
        if !self.built {
            // There are no rows yet: these reads wait for the first ones.
            return;
        }
        while let Ok(request) = self.urgent.try_recv() {
            self.read_now(request);
        }
    }

    pub(super) fn read_now(&self, request: Request) {
        let stopped = self.status.stopped.lock().clone();
        if let Some(reason) = stopped {
            request.refuse(stopped_error(&reason));
        } else if !request.is_idle() {
            // The view may have caught up since it was asked.
            let lagging = self.lsn != request.asked;
            request.answer(&self.state, self.lsn.0, lagging, self.cache.as_deref());
        }
    }
}

/// What a stopped view answers.
pub(super) fn stopped_error(reason: &str) -> QueryError {
    QueryError::Exec(format!("the view has stopped: {reason}"))
}
