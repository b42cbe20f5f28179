//! Accepting connections and ending them in order.

use super::heads::{Heads, Wait};
use super::{Gate, WS_PATH};
use crate::metrics::Metrics;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
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
    let heads = Heads::new(gate.config.limits.header_seconds);
    let watch = tokio::spawn(heads.clone().watch());
    let mut builder = http1::Builder::new();
    builder
        // The heads are timed here: see there.
        .header_read_timeout(None)
        .max_buf_size(READ_BYTES)
        .max_header_size(HEAD_BYTES);
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
                let served = Served {
                    gate: gate.clone(),
                    place,
                    wait: heads.connection(),
                };
                spawn(&builder, stream, Arc::new(served), stop.clone());
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
    watch.abort();
}

/// What a connection's requests share.
struct Served {
    gate: Arc<Gate>,
    place: Place,
    wait: Arc<Wait>,
}

/// A head that came too late: the connection has been cut.
#[derive(Debug, thiserror::Error)]
#[error("the request's head came too late")]
struct Late;

async fn answer(
    served: Arc<Served>,
    mut request: hyper::Request<Incoming>,
) -> Result<Response, Late> {
    if !served.wait.begin() {
        return Err(Late);
    }
    if request.uri().path() == WS_PATH {
        request.extensions_mut().insert(served.place.clone());
    }
    let response = served.gate.answer(request).await;
    Ok(served.wait.clone().end(response))
}

fn spawn(
    builder: &http1::Builder,
    stream: TcpStream,
    served: Arc<Served>,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no delay could not be set");
    }
    let kept = served.clone();
    let service = hyper::service::service_fn(move |request| answer(served.clone(), request));
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let wait = kept.wait.clone();
    let task = tokio::spawn(async move {
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
    wait.task(task.abort_handle());
}
