//! One answer, from the commit thread to whoever waits, as a future or blocking.

use crate::Error;
use parking_lot::{Condvar, Mutex};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tsdb_types::Lsn;

type Answer = Result<Lsn, Error>;

#[derive(Default)]
struct Slot {
    answer: Option<Answer>,
    waker: Option<Waker>,
    gone: bool,
}

#[derive(Default)]
struct Cell {
    slot: Mutex<Slot>,
    answered: Condvar,
}

/// Where the answer goes in.
pub(crate) struct Sender(Arc<Cell>);

/// Where it comes out.
pub(crate) struct Receiver(Arc<Cell>);

pub(crate) fn channel() -> (Sender, Receiver) {
    let cell = Arc::new(Cell::default());
    (Sender(cell.clone()), Receiver(cell))
}

impl Sender {
    pub(crate) fn send(self, answer: Answer) {
        self.0.slot.lock().answer = Some(answer);
    }
}

impl Drop for Sender {
    /// Wakes the receiver, also when the answer was never sent.
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.slot.lock();
            slot.gone = true;
            self.0.answered.notify_one();
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Receiver {
    pub(crate) fn wait(self) -> Answer {
        let mut slot = self.0.slot.lock();
        while slot.answer.is_none() && !slot.gone {
            self.0.answered.wait(&mut slot);
        }
        slot.answer.take().unwrap_or(Err(Error::Closed))
    }
}

impl Future for Receiver {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut slot = self.0.slot.lock();
        match slot.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None if slot.gone => Poll::Ready(Err(Error::Closed)),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
