//! Reading a request's body: bounded as sent, bounded once decompressed, and bounded together with all others.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::{HeaderMap, header};
use ingest::admission::{self, Encoding, Limits, Rejection};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What a body may be.
#[derive(Clone)]
pub(crate) struct BodyLimits {
    pub(crate) sent: usize,
    pub(crate) decoded: usize,
    pub(crate) time: Duration,
    pub(crate) budget: Arc<Budget>,
}

/// Bodies up to this length are not counted: the number of connections bounds them, and most requests are small.
const UNCOUNTED: usize = 64 << 10;

/// Memory that all bodies may take together.
pub(crate) struct Budget {
    used: AtomicUsize,
    bound: usize,
}

impl Budget {
    pub(crate) fn new(bound: usize) -> Budget {
        Budget {
            used: AtomicUsize::new(0),
            bound,
        }
    }

    /// Bytes that are taken now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.bound);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }
}

/// What one body has taken of the budget; it is given back with it.
pub(crate) struct Hold {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Hold {
    fn new(budget: &Arc<Budget>) -> Hold {
        Hold {
            budget: budget.clone(),
            bytes: 0,
        }
    }

    /// Takes so many bytes, few as they may be.
    ///
    /// # Errors
    /// 503 when there is no room.
    pub(crate) fn of(budget: &Arc<Budget>, bytes: usize) -> Result<Hold, Rejection> {
        let mut hold = Hold::new(budget);
        if hold.grow(bytes) {
            Ok(hold)
        } else {
            Err(admission::no_room())
        }
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.budget.take(bytes);
        self.bytes += if taken { bytes } else { 0 };
        taken
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A whole body, decompressed.
pub(crate) struct Body {
    bytes: Bytes,
    _hold: Option<Hold>,
}

impl Body {
    fn small(bytes: Bytes) -> Body {
        Body { bytes, _hold: None }
    }
}

impl Deref for Body {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// Blocks of snappy up to this length are unpacked where they are: it takes less time than to change threads.
const AT_ONCE: usize = 64 << 10;

/// The whole body, decompressed as its header says.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    limits: &BodyLimits,
) -> Result<Body, Rejection> {
    let encoding = match headers.get(header::CONTENT_ENCODING) {
        None => Encoding::Identity,
        Some(value) => Encoding::from_header(Some(value.to_str().unwrap_or("?")))?,
    };
    read_as(encoding, body, limits).await
}

/// The whole body, decompressed.
pub(crate) async fn read_as(
    encoding: Encoding,
    body: Incoming,
    limits: &BodyLimits,
) -> Result<Body, Rejection> {
    let whole = sent(body, limits).await?;
    if encoding == Encoding::Identity {
        return Ok(whole);
    }
    let bounds = Limits {
        body: limits.sent,
        decoded: limits.decoded,
    };
    let mut hold = Hold::new(&limits.budget);
    let at_once = encoding == Encoding::Snappy && whole.len() <= AT_ONCE;
    let unpack = move || {
        let unpacked =
            admission::decompress(&whole, encoding, &bounds, &mut |more| hold.grow(more))?;
        Ok(Body {
            bytes: Bytes::from(unpacked.into_owned()),
            _hold: Some(hold),
        })
    };
    if at_once {
        return unpack();
    }
    // A thread of its own: a large body takes long to unpack, and connections share few threads.
    match tokio::task::spawn_blocking(unpack).await {
        Ok(result) => result,
        Err(_) => Err(rejection(
            500,
            "internal",
            "the body could not be unpacked".into(),
        )),
    }
}

fn rejection(status: u16, code: &'static str, message: String) -> Rejection {
    Rejection {
        status,
        code,
        message,
        retry_after: None,
    }
}

fn too_large(limit: usize) -> Rejection {
    rejection(
        413,
        "body_too_large",
        format!("a body may have at most {limit} bytes; send smaller batches"),
    )
}

fn slow(limit: Duration) -> Rejection {
    rejection(
        408,
        "timeout",
        format!("the body did not come within {} s", limit.as_secs()),
    )
}

fn broken(error: hyper::Error) -> Rejection {
    rejection(400, "bad_request", format!("the body ended early: {error}"))
}

/// The body as sent. One frame is taken as it is; several are gathered.
async fn sent(mut body: Incoming, limits: &BodyLimits) -> Result<Body, Rejection> {
    let announced = body.size_hint().lower();
    if announced > limits.sent as u64 {
        return Err(too_large(limits.sent));
    }
    let mut first = Bytes::new();
    // Small bodies come with their heads: no timer is set up for them.
    if let Some(frame) = futures::FutureExt::now_or_never(body.frame()) {
        let Some(frame) = frame else {
            return Ok(Body::small(first));
        };
        first = frame.map_err(broken)?.into_data().unwrap_or_default();
        if body.is_end_stream() && first.len() <= UNCOUNTED {
            return if first.len() > limits.sent {
                Err(too_large(limits.sent))
            } else {
                Ok(Body::small(first))
            };
        }
    } else if body.is_end_stream() {
        return Ok(Body::small(first));
    }
    let all = gather(body, first, announced, limits);
    tokio::time::timeout(limits.time, all)
        .await
        .map_err(|_| slow(limits.time))?
}

/// Memory that a promised length alone may take; more comes as bytes do.
const PROMISED: usize = 8 << 20;

async fn gather(
    mut body: Incoming,
    first: Bytes,
    announced: u64,
    limits: &BodyLimits,
) -> Result<Body, Rejection> {
    let mut whole = BytesMut::new();
    let mut hold = Hold::new(&limits.budget);
    let mut data = first;
    loop {
        let len = whole.len() + data.len();
        if len > limits.sent {
            return Err(too_large(limits.sent));
        }
        if !data.is_empty() {
            // The only frame needs no copy.
            let only = whole.is_empty() && body.is_end_stream();
            if whole.is_empty() && !only {
                let promised = usize::try_from(announced).unwrap_or(limits.sent);
                let room = promised.min(PROMISED).max(len);
                if !hold.grow(room) {
                    return Err(admission::no_room());
                }
                whole.reserve(room);
            } else if len > hold.bytes && !hold.grow(len - hold.bytes) {
                return Err(admission::no_room());
            }
            if only {
                return Ok(Body {
                    bytes: data,
                    _hold: Some(hold),
                });
            }
            whole.extend_from_slice(&data);
        }
        match body.frame().await {
            Some(frame) => data = frame.map_err(broken)?.into_data().unwrap_or_default(),
            None => {
                return Ok(Body {
                    bytes: whole.freeze(),
                    _hold: Some(hold),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_of_the_budget_is_given_back() {
        let budget = Arc::new(Budget::new(100));
        let mut a = Hold::new(&budget);
        assert!(a.grow(60) && a.grow(40) && !a.grow(1));
        assert!(!Hold::new(&budget).grow(usize::MAX));
        assert_eq!(budget.used(), 100);
        drop(a);
        assert_eq!(budget.used(), 0);
        assert!(Hold::new(&budget).grow(100));
    }
}
