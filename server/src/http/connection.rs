//! Accepting connections and ending them in order.

use super::{Gate, WS_PATH};
use crate::metrics::Metrics;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Bytes read from a socket at once: a large body comes in few reads then.
const READ_BYTES: usize = 1 << 20;
/// Bytes of a request's head; a longer one is answered 431.
const HEAD_BYTES: usize = 64 << 10;
/// Time that requests at hand have to end when the server does.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// A connection's place among those that there may be at once. It is kept until the connection has ended, also when it
/// has become a WebSocket.
#[derive(Clone)]
pub(crate) struct Place(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Held>);

struct Held {
    _permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, metrics: Arc<Metrics>) -> Place {
        metrics.connections.fetch_add(1, Ordering::Relaxed);
        Place(Arc::new(Held {
            _permit: permit,
            metrics,
        }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts connections until told to stop, then waits for the requests at hand and for the
/// WebSockets, which are told.
pub(crate) async fn serve(listener: TcpListener, gate: Arc<Gate>, mut stop: watch::Receiver<bool>) {
    let limit = u32::try_from(gate.config.limits.connections)
        .unwrap_or(u32::MAX)
        .min(Semaphore::MAX_PERMITS as u32);
    let places = Arc::new(Semaphore::new(limit as usize));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(gate.config.limits.header_seconds))
        .max_buf_size(READ_BYTES)
        .max_header_size(HEAD_BYTES)
        .pipeline_flush(true);
    loop {
        let next = async {
            // Invariant: the semaphore is never closed.
            let permit = places
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is open");
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let place = Place::new(permit, gate.metrics.clone());
                spawn(&builder, stream, gate.clone(), place, stop.clone());
            }
            Err(error) => {
                // Too many open files and the like pass; a busy loop would not help them to.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    // Each connection holds a place until it has ended.
    if tokio::time::timeout(LAST_REQUESTS, places.acquire_many(limit))
        .await
        .is_err()
    {
        tracing::warn!("requests that did not end in time are cut");
    }
}

fn spawn(
    builder: &http1::Builder,
    stream: TcpStream,
    gate: Arc<Gate>,
    place: Place,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no delay could not be set");
    }
    let kept = place.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        let gate = gate.clone();
        if request.uri().path() == WS_PATH {
            request.extensions_mut().insert(place.clone());
        }
        async move { gate.answer(request).await }
    });
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::spawn(async move {
        let _kept = kept;
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}
