//! Rows on their way into the server's HTTP port: sent again while it is busy, counted once they are durable.

use crate::sql::client::{Ack, Client, ClientError};
use anyhow::bail;
use bytes::Bytes;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// What has been sent, for the line that tells of it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Flights, host samples and purchases that this run was told are durable.
    pub flights: AtomicU64,
    /// See `flights`.
    pub samples: AtomicU64,
    /// See `flights`.
    pub purchases: AtomicU64,
    /// The latest commit.
    pub lsn: AtomicU64,
    /// The replay's event time in seconds since the epoch; 0 before the first flight.
    pub clock: AtomicI64,
    /// All flights that are in the database.
    pub replayed: AtomicU64,
}

impl Progress {
    /// Rows of this run.
    pub(super) fn events(&self) -> u64 {
        [&self.flights, &self.samples, &self.purchases]
            .iter()
            .map(|n| n.load(Ordering::Relaxed))
            .sum()
    }
}

/// Told when the demo is to end.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The two ends: what tells it, and what is told.
    pub(super) fn pair() -> (watch::Sender<bool>, Stop) {
        let (tell, told) = watch::channel(false);
        (tell, Stop(told))
    }

    /// Whether the end has come.
    pub(super) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the end, at most so long; tells whether it came.
    pub(super) async fn within(&mut self, time: Duration) -> bool {
        // A sender that is gone without a word can tell nothing any more: that is the end, too.
        tokio::time::timeout(time, self.0.wait_for(|stop| *stop))
            .await
            .is_ok()
    }
}

/// Sends rows to a stream until they are durable; `None` when the end came while the server was busy: then they are
/// not in the database.
pub(super) async fn send(
    client: &Client,
    stop: &mut Stop,
    stream: &str,
    content_type: &str,
    rows: Bytes,
) -> anyhow::Result<Option<Ack>> {
    loop {
        match client.ingest(stream, content_type, rows.clone()).await {
            Ok(ack) if ack.rejected == 0 => return Ok(Some(ack)),
            Ok(ack) => {
                let first = ack
                    .errors
                    .first()
                    .map(|e| format!(": row {}: {}", e.row, e.reason));
                bail!(
                    "{stream}: {} rows were rejected{}",
                    ack.rejected,
                    first.unwrap_or_default()
                );
            }
            // Nothing of the request was taken.
            Err(ClientError::Refused(busy)) if matches!(busy.status, 429 | 503) => {
                let pause = Duration::from_secs(busy.retry_after.unwrap_or(1).clamp(1, 10));
                if stop.within(pause).await {
                    return Ok(None);
                }
            }
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!("writing to {stream}")));
            }
        }
    }
}
