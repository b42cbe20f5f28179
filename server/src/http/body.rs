//! Reading a request's body: bounded as sent, bounded once decompressed.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, header};
use ingest::admission::{self, Encoding, Limits, Rejection};
use std::time::Duration;

/// What a body may be.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimits {
    pub(crate) sent: usize,
    pub(crate) decoded: usize,
    pub(crate) time: Duration,
}

/// The whole body, decompressed.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    limits: BodyLimits,
) -> Result<Bytes, Rejection> {
    let encoding = match headers.get(header::CONTENT_ENCODING) {
        None => Encoding::Identity,
        Some(value) => Encoding::from_header(Some(value.to_str().unwrap_or("?")))?,
    };
    let whole = sent(body, limits).await?;
    if encoding == Encoding::Identity {
        return Ok(whole);
    }
    let bounds = Limits {
        body: limits.sent,
        decoded: limits.decoded,
    };
    let unpack = move || {
        admission::decompress(&whole, encoding, &bounds).map(|b| Bytes::from(b.into_owned()))
    };
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
async fn sent(mut body: Incoming, limits: BodyLimits) -> Result<Bytes, Rejection> {
    let announced = body.size_hint().lower();
    if announced > limits.sent as u64 {
        return Err(too_large(limits.sent));
    }
    // Small bodies come with their heads: no timer is set up for them.
    if let Some(frame) = futures::FutureExt::now_or_never(body.frame()) {
        let Some(frame) = frame else {
            return Ok(Bytes::new());
        };
        let first = frame.map_err(broken)?.into_data().unwrap_or_default();
        if body.is_end_stream() {
            return if first.len() > limits.sent {
                Err(too_large(limits.sent))
            } else {
                Ok(first)
            };
        }
        let rest = gather(body, first, announced, limits.sent);
        return tokio::time::timeout(limits.time, rest)
            .await
            .map_err(|_| slow(limits.time))?;
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let all = gather(body, Bytes::new(), announced, limits.sent);
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
    limit: usize,
) -> Result<Bytes, Rejection> {
    let mut whole = BytesMut::new();
    let mut data = first;
    loop {
        if whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        if !data.is_empty() {
            if whole.is_empty() && body.is_end_stream() {
                return Ok(data);
            }
            if whole.capacity() == 0 {
                whole.reserve(
                    usize::try_from(announced)
                        .unwrap_or(limit)
                        .min(PROMISED)
                        .max(data.len()),
                );
            }
            whole.extend_from_slice(&data);
        }
        match body.frame().await {
            Some(frame) => data = frame.map_err(broken)?.into_data().unwrap_or_default(),
            None => return Ok(whole.freeze()),
        }
    }
}
