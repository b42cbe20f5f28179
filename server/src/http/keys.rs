//! `Idempotency-Key`: a request that is sent again changes nothing, and gets the reply of the first.
//!
//! The reply lies in the commit of the request's rows, so neither can be there without the other. What is here makes a
//! repeat wait for a first that is on its way.

use super::{ApiError, App};
use crate::hash::Hasher;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use tsdb::ledger::{KeptReply, KeyedReply, MAX_REPLY};

/// The header of a request that may be sent again.
const HEADER: &str = "idempotency-key";
/// The header of a reply that was kept.
const REPLAYED: &str = "idempotency-replayed";
/// Bytes of a key.
const MAX_KEY: usize = 255;

type UnderWay = Arc<Mutex<HashMap<u128, watch::Receiver<()>>>>;

/// The keyed requests that are on their way.
#[derive(Default)]
pub(crate) struct Keys(UnderWay);

/// A key with what it is scoped by, and what its request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    key: u128,
    request: u128,
}

impl Asked {
    /// The same for the query engine, which lets `reply` write what is kept.
    pub(crate) fn of_session(self, reply: fn(&str, &[String]) -> Vec<u8>) -> query::Keyed {
        let Asked { key, request } = self;
        query::Keyed {
            key,
            request,
            reply,
        }
    }

    /// Whether its reply is kept.
    pub(crate) fn is_kept(self, app: &App) -> bool {
        app.engine.ledger().reply(self.key).is_some()
    }

    /// A key is scoped by tenant and route; `request` is all that makes the request what it is.
    pub(crate) fn new(route: &str, key: &str, request: &[&[u8]]) -> Result<Asked, ApiError> {
        if key.is_empty() || key.len() > MAX_KEY {
            let message = format!("an idempotency key has 1 to {MAX_KEY} characters");
            return Err(ApiError::bad(message));
        }
        let tenant = 0u32.to_le_bytes();
        Ok(Asked {
            key: Hasher::of(&[&tenant, route.as_bytes(), key.as_bytes()]),
            request: Hasher::of(request),
        })
    }
}

/// Whether a request is the first of its key.
pub(crate) enum Begun<T = Option<Turn>> {
    /// It is, or it has no key. Others of its key wait for the turn to be dropped.
    First(T),
    /// It was answered before.
    Repeat(KeptReply),
}

/// The first of its key, as long as it lives.
pub(crate) struct Turn {
    asked: Asked,
    under_way: UnderWay,
    /// Dropped with the turn, which wakes those who wait.
    _end: watch::Sender<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.asked.key);
    }
}

impl Turn {
    /// What was asked.
    pub(crate) fn asked(&self) -> Asked {
        self.asked
    }

    /// The reply, to be committed with the rows. `shorten` makes it shorter while it is too long to be kept; false when
    /// it can't.
    pub(crate) fn keyed<T: Serialize>(
        &self,
        reply: &mut T,
        shorten: impl Fn(&mut T) -> bool,
    ) -> Result<KeyedReply, ApiError> {
        loop {
            let text = serde_json::to_vec(reply).map_err(super::sql::internal)?;
            if text.len() <= MAX_REPLY || !shorten(reply) {
                return Ok(KeyedReply {
                    key: self.asked.key,
                    request: self.asked.request,
                    reply: Bytes::from(text),
                });
            }
        }
    }
}

/// Begins a request that may bear a key: `head` and `body` are what it is, its path is its route.
pub(crate) async fn begin(
    app: &App,
    head: &http::request::Parts,
    body: &[u8],
) -> Result<Begun, ApiError> {
    let Some(key) = named(&head.headers)? else {
        return Ok(Begun::First(None));
    };
    let kind = head.headers.get(header::CONTENT_TYPE);
    let parts = [
        head.uri.query().unwrap_or("").as_bytes(),
        kind.map_or(b"".as_slice(), HeaderValue::as_bytes),
        body,
    ];
    let asked = Asked::new(head.uri.path(), key, &parts)?;
    Ok(match wait(app, asked).await? {
        Begun::First(turn) => Begun::First(Some(turn)),
        Begun::Repeat(kept) => Begun::Repeat(kept),
    })
}

/// The key that a request bears.
pub(crate) fn named(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    let text = value.to_str();
    let text = text.map_err(|_| ApiError::bad("an idempotency key is visible ASCII"))?;
    Ok(Some(text.trim()))
}

/// Waits until no other request of the key is on its way.
pub(crate) async fn wait(app: &App, asked: Asked) -> Result<Begun<Turn>, ApiError> {
    loop {
        let first = {
            let mut under_way = app.keys.0.lock();
            match under_way.get(&asked.key) {
                Some(first) => Some(first.clone()),
                None => {
                    let (end, wait) = watch::channel(());
                    under_way.insert(asked.key, wait);
                    drop(under_way);
                    let turn = Turn {
                        asked,
                        under_way: app.keys.0.clone(),
                        _end: end,
                    };
                    // Asked with the turn at hand: whoever had it before has committed.
                    return match app.engine.ledger().reply(asked.key) {
                        None => Ok(Begun::First(turn)),
                        Some(kept) if kept.request == asked.request => Ok(Begun::Repeat(kept)),
                        Some(_) => Err(mismatch()),
                    };
                }
            }
        };
        if let Some(mut first) = first {
            // It ends when its sender is dropped, which is an error here and good news.
            let _ = first.changed().await;
        }
    }
}

fn mismatch() -> ApiError {
    ApiError::new(
        422,
        "key_reused",
        "the idempotency key was used for another request",
    )
    .hint("a key names one request: the same path, parameters, content type and body")
}

/// A reply that was kept, with the LSN of its commit.
pub(crate) fn read<T: DeserializeOwned>(
    kept: &KeptReply,
    set_lsn: impl FnOnce(&mut T, u64),
) -> Result<T, ApiError> {
    let mut reply: T = serde_json::from_slice(&kept.reply).map_err(super::sql::internal)?;
    set_lsn(&mut reply, kept.lsn.0);
    Ok(reply)
}

/// Says that a reply is that of an earlier request, if so.
pub(crate) fn marked(mut response: Response, repeated: bool) -> Response {
    if repeated {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, yes);
    }
    response
}
