//! Cuts connections that do not send a request's head in time, the first or the next one.
//!
//! A timer for each request, as hyper sets it, is a box and an entry in the runtime's wheel: much for a request that
//! takes microseconds. Here each connection has a stamp, and one task looks at all of them now and then.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Looks in a second.
const TICKS: u32 = 4;

/// A request is at hand.
const BUSY: u32 = 0;
/// The connection has been cut: no request begins any more.
const CUT: u32 = u32::MAX;

/// All connections whose heads are awaited.
pub(super) struct Heads {
    /// Looks so far, and one: the stamp of a connection that begins to wait now.
    now: AtomicU32,
    /// Looks that a connection may wait.
    limit: u32,
    all: Mutex<Vec<Weak<Wait>>>,
}

/// One connection's stamp.
pub(super) struct Wait {
    heads: Arc<Heads>,
    /// The look since which a head is awaited, [`BUSY`] or [`CUT`].
    since: AtomicU32,
    task: OnceLock<AbortHandle>,
}

impl Heads {
    pub(super) fn new(seconds: u64) -> Arc<Heads> {
        let limit = u32::try_from(seconds).unwrap_or(u32::MAX);
        Arc::new(Heads {
            now: AtomicU32::new(1),
            limit: limit.saturating_mul(TICKS),
            all: Mutex::default(),
        })
    }

    /// A connection that has just been accepted.
    pub(super) fn connection(self: &Arc<Self>) -> Arc<Wait> {
        let wait = Arc::new(Wait {
            heads: self.clone(),
            since: AtomicU32::new(self.now.load(Ordering::Relaxed)),
            task: OnceLock::new(),
        });
        self.all.lock().push(Arc::downgrade(&wait));
        wait
    }

    /// Looks at all connections until the task is ended.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / TICKS);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        let before = self.now.load(Ordering::Relaxed);
        // Years on, the count begins anew; the two marks are left out. Stamps of before then wait once more.
        let now = if before >= CUT - 1 { 1 } else { before + 1 };
        self.now.store(now, Ordering::Relaxed);
        self.all.lock().retain(|wait| {
            let wait = wait.upgrade();
            wait.as_ref().inspect(|w| w.cut_if_late(now)).is_some()
        });
    }
}

impl Wait {
    /// The connection's task, which is ended when a head is late.
    pub(super) fn task(&self, task: AbortHandle) {
        // It is set once, by whoever started the task.
        let _ = self.task.set(task);
    }

    /// A head has come whole. False when that was too late.
    pub(super) fn begin(&self) -> bool {
        let begin = |since| (since != CUT).then_some(BUSY);
        self.since
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin)
            .is_ok()
    }

    /// The answer is ready; the next head is awaited when all of it has been handed on.
    pub(super) fn end(self: Arc<Self>, response: Response) -> Response {
        // What is there already is handed on at once.
        if response.body().size_hint().exact().is_some() {
            self.await_next();
            return response;
        }
        response.map(|body| {
            Body::new(Lasting {
                body,
                _ends: Ends(self),
            })
        })
    }

    fn await_next(&self) {
        let now = self.heads.now.load(Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
    }

    fn cut_if_late(&self, now: u32) {
        let since = self.since.load(Ordering::Relaxed);
        let late = now.checked_sub(since).is_some_and(|n| n > self.heads.limit);
        if since == BUSY || since == CUT || !late {
            return;
        }
        // A head that comes at this very moment wins or finds the mark: no request is cut once it has begun.
        let cut = self
            .since
            .compare_exchange(since, CUT, Ordering::Relaxed, Ordering::Relaxed);
        if cut.is_ok()
            && let Some(task) = self.task.get()
        {
            tracing::debug!("a connection that sent no head in time is cut");
            task.abort();
        }
    }
}

/// Ends the wait for an answer's last byte.
struct Ends(Arc<Wait>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.await_next();
    }
}

/// A body that lasts: the connection waits for no head meanwhile.
struct Lasting {
    body: Body,
    _ends: Ends,
}

impl http_body::Body for Lasting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(heads: &Heads, n: u32) {
        for _ in 0..n {
            heads.look();
        }
    }

    #[test]
    fn a_head_that_is_late_is_cut_and_none_before() {
        let heads = Heads::new(2);
        let (waits, busy) = (heads.connection(), heads.connection());
        assert!(busy.begin());
        looks(&heads, 2 * TICKS);
        assert!(waits.begin(), "in time");
        waits.await_next();
        looks(&heads, 2 * TICKS + 1);
        assert!(!waits.begin(), "too late");
        assert_eq!(busy.since.load(Ordering::Relaxed), BUSY);
        looks(&heads, 100);
        busy.await_next();
        looks(&heads, 1);
        assert!(busy.begin());
    }

    #[test]
    fn an_answer_that_lasts_is_no_wait() {
        let heads = Heads::new(1);
        let wait = heads.connection();
        assert!(wait.begin());
        let pieces = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let response = wait.clone().end(Response::new(Body::from_stream(pieces)));
        looks(&heads, 100);
        drop(response);
        looks(&heads, TICKS);
        assert!(wait.begin(), "the wait has begun with the end of the body");
        let response = wait.clone().end(Response::new(Body::from("all")));
        looks(&heads, TICKS + 1);
        assert!(!wait.begin(), "a body that is there already is no reason");
        drop(response);
    }

    #[test]
    fn connections_that_have_ended_are_forgotten() {
        let heads = Heads::new(1);
        drop(heads.connection());
        let kept = heads.connection();
        looks(&heads, 1);
        assert_eq!(heads.all.lock().len(), 1);
        drop(kept);
    }
}
