//! Time moves on for streams without rows.

use super::runtime::ViewRuntime;
use crate::error::QueryError;
use crate::stream::watermark::IDLE_NS;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tsdb::Request;

impl ViewRuntime {
    /// Logs a tick when somebody waits for windows of an idle stream to close.
    pub(super) fn start_ticker(&self) -> Result<(), QueryError> {
        let (engine, hub, closing) = (self.engine.clone(), self.hub.clone(), self.closing.clone());
        let run = move || {
            let mut ticked = i64::MIN;
            while !closing.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(1));
                let now = engine.clock().wall_ns();
                let idle = |since: i64| now.saturating_sub(since) >= IDLE_NS;
                let due = hub.taps.read().iter().any(|t| {
                    t.awaits_close.load(Ordering::Relaxed)
                        && idle(t.last_rows.load(Ordering::Relaxed))
                });
                if due && idle(ticked) && !closing.load(Ordering::Relaxed) {
                    ticked = now;
                    let tick = Request {
                        tick: true,
                        ..Request::default()
                    };
                    engine.submit(tick, Box::new(|_| {}));
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("ticker".into())
            .spawn(run)
            .map_err(|e| QueryError::Internal(format!("start the ticker: {e}")))?;
        *self.ticker.lock() = Some(thread);
        Ok(())
    }
}
