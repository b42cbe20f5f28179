//! Queries that go on, over HTTP: server-sent events or lines, one for each row that comes or goes.

use super::App;
use super::accept::Wanted;
use super::reply::ApiError;
use super::sql::{internal, typed};
use crate::encode::{Epoch, Tail, Writer, json_objects, rfc3339};
use arrow::record_batch::RecordBatch;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use parking_lot::Mutex;
use query::bind::windowed::ContinuousQuery;
use query::view::{Frame, Subscription};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;

/// How often a client hears how far the query has come although nothing changed.
const PROGRESS: Duration = Duration::from_secs(5);

/// Counts the different queries that go on for clients: each is work at every commit, whoever asked for it.
pub(crate) struct LiveQueries {
    open: Mutex<HashMap<String, usize>>,
    limit: usize,
}

/// One client's part in a query; the query's place is free once the last of them is gone.
pub(crate) struct Part {
    of: Arc<LiveQueries>,
    query: String,
}

impl LiveQueries {
    pub(crate) fn new(limit: usize) -> LiveQueries {
        LiveQueries {
            open: Mutex::default(),
            limit,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// Equal queries count once.
    fn join(self: &Arc<Self>, query: String) -> Result<Part, ApiError> {
        let mut open = self.open.lock();
        if open.len() >= self.limit && !open.contains_key(&query) {
            let message = format!(
                "there are {} different queries with EMIT going on, and no more are allowed",
                open.len()
            );
            return Err(ApiError {
                retry_after: Some(10),
                ..ApiError::new(429, "too_many_queries", message)
                    .hint("subscribe to a view, which many share, or raise limits.live_queries")
            });
        }
        *open.entry(query.clone()).or_default() += 1;
        Ok(Part {
            of: self.clone(),
            query,
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut open = self.of.open.lock();
        if let Some(clients) = open.get_mut(&self.query) {
            *clients -= 1;
            if *clients == 0 {
                open.remove(&self.query);
            }
        }
    }
}

/// A subscription to a query, and its part in it.
pub(crate) struct Attached {
    subscription: Subscription,
    part: Part,
}

impl Attached {
    /// The subscription, and what is to be kept as long as it.
    pub(crate) fn into_parts(self) -> (Subscription, Part) {
        (self.subscription, self.part)
    }
}

/// Subscribes to a bound query. It reads all history first, on a thread of its own.
pub(crate) async fn attach(
    app: &Arc<App>,
    query: ContinuousQuery,
    sql: String,
) -> Result<Attached, ApiError> {
    let part = app.live_queries.join(format!("{query:?}"))?;
    let views = app.views.clone();
    let subscribe = move || {
        let subscription = views.subscribe_query(query, &sql)?;
        Ok::<_, ApiError>(Attached { subscription, part })
    };
    let subscribed = tokio::task::spawn_blocking(subscribe).await;
    subscribed.map_err(|_| ApiError::new(500, "internal", "the query's operator has panicked"))?
}

fn timed_out(app: &App) -> ApiError {
    let seconds = app.config.limits.query_seconds;
    ApiError::new(
        408,
        "timeout",
        format!("the query had no first answer within its time limit of {seconds} s"),
    )
}

/// Replies to a query with EMIT: as a stream when that is what the client accepts, else with its rows as of now.
pub(super) async fn reply(
    app: &Arc<App>,
    query: ContinuousQuery,
    sql: String,
    notices: Vec<String>,
    wanted: Wanted,
    epoch: Option<Epoch>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let end = started + Duration::from_secs(app.config.limits.query_seconds);
    let attached = timeout_at(end.into(), attach(app, query, sql));
    let subscription = attached.await.map_err(|_| timed_out(app))??;
    match wanted {
        Wanted::Answer(_) => {
            let now = now(subscription, notices, wanted, epoch, started);
            timeout_at(end.into(), now)
                .await
                .map_err(|_| timed_out(app))?
        }
        Wanted::Lines => Ok(typed(
            stream(app, subscription, Shape::Lines, epoch),
            "application/x-ndjson",
        )),
        Wanted::Events => Ok(typed(
            stream(app, subscription, Shape::Events, epoch),
            "text/event-stream",
        )),
    }
}

/// The first snapshot as an answer that ends.
async fn now(
    attached: Attached,
    mut notices: Vec<String>,
    wanted: Wanted,
    epoch: Option<Epoch>,
    started: Instant,
) -> Result<Response, ApiError> {
    let (mut subscription, _part) = attached.into_parts();
    let form = wanted.form();
    let mut writer = Writer::new(form, epoch, subscription.columns()).map_err(internal)?;
    let lsn = loop {
        match subscription.next().await.as_deref() {
            Some(Frame::Snapshot { seq, rows }) => {
                writer.batch(rows).map_err(internal)?;
                break *seq;
            }
            Some(Frame::Closed { reason }) => {
                return Err(ApiError::new(422, "execution", reason.clone()));
            }
            Some(_) => {}
            None => return Err(ApiError::new(503, "closing", "the query has ended")),
        }
    };
    notices.push("these are the rows as of now; accept text/event-stream or application/x-ndjson, or use /ws, to follow".into());
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    writer
        .finish(&Tail {
            lsn,
            lagging: false,
            elapsed_ms,
            message: None,
            notices: &notices,
        })
        .map_err(internal)?;
    Ok(typed(writer.take().into(), form.content_type()))
}

#[derive(Clone, Copy)]
enum Shape {
    /// `{"op":"insert","seq":5,"row":{..}}`
    Lines,
    /// `event: insert`, `id: 5`, `data: {..}`
    Events,
}

impl Shape {
    /// Each row of a batch under an operation's name.
    fn rows(
        self,
        op: &str,
        seq: u64,
        batch: &RecordBatch,
        epoch: Option<Epoch>,
        out: &mut Vec<u8>,
    ) {
        match self {
            Shape::Lines => {
                let before = format!("{{\"op\":\"{op}\",\"seq\":{seq},\"row\":");
                json_objects(batch, epoch, before.as_bytes(), b"}\n", out);
            }
            Shape::Events => {
                let before = format!("event: {op}\nid: {seq}\ndata: ");
                json_objects(batch, epoch, before.as_bytes(), b"\n\n", out);
            }
        }
    }

    /// An operation without a row.
    fn note(self, op: &str, seq: u64, rest: &str, out: &mut Vec<u8>) {
        // Writing to a Vec can't fail.
        let _ = match self {
            Shape::Lines => writeln!(out, "{{\"op\":\"{op}\",\"seq\":{seq}{rest}}}"),
            Shape::Events => write!(
                out,
                "event: {op}\nid: {seq}\ndata: {{\"seq\":{seq}{rest}}}\n\n"
            ),
        };
    }
}

/// The frames of a subscription as text, until it ends or the server does.
fn stream(app: &Arc<App>, attached: Attached, shape: Shape, epoch: Option<Epoch>) -> Body {
    let state = Some((app.clone(), attached, app.stop.clone()));
    Body::from_stream(futures::stream::unfold(state, move |state| async move {
        let (app, mut attached, mut stop) = state?;
        let subscription = &mut attached.subscription;
        let mut out = Vec::new();
        let frame = tokio::select! {
            frame = subscription.next() => frame,
            _ = tokio::time::sleep(PROGRESS) => {
                shape.note("progress", subscription.seq(), &watermark(subscription), &mut out);
                return Some((Ok(out.into()), Some((app, attached, stop))));
            }
            _ = stop.changed() => None,
        };
        let mut goes_on = true;
        match frame.as_deref() {
            Some(Frame::Snapshot { seq, rows }) => {
                shape.note("snapshot", *seq, "", &mut out);
                shape.rows("insert", *seq, rows, epoch, &mut out);
            }
            Some(Frame::Changes {
                seq,
                insert,
                retract,
                ..
            }) => {
                shape.rows("retract", *seq, retract, epoch, &mut out);
                shape.rows("insert", *seq, insert, epoch, &mut out);
                app.commit_times
                    .pushed(*seq, &app.metrics.pushes, app.engine.clock().wall_ns());
            }
            Some(Frame::Gap { to, .. }) => shape.note("gap", *to, "", &mut out),
            Some(Frame::Closed { reason }) => {
                let reason = format!(",\"reason\":{}", serde_json::Value::from(reason.as_str()));
                shape.note("closing", subscription.seq(), &reason, &mut out);
                goes_on = false;
            }
            None => {
                shape.note(
                    "closing",
                    subscription.seq(),
                    ",\"reason\":\"the server is shutting down\"",
                    &mut out,
                );
                goes_on = false;
            }
        }
        let piece: Result<Bytes, std::convert::Infallible> = Ok(out.into());
        Some((piece, goes_on.then_some((app, attached, stop))))
    }))
}

fn watermark(subscription: &Subscription) -> String {
    let Some(ns) = subscription.watermark() else {
        return String::new();
    };
    let mut text = b",\"watermark\":\"".to_vec();
    rfc3339(ns, &mut text);
    text.push(b'"');
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_queries_count_once_and_a_place_is_given_back() {
        let queries = Arc::new(LiveQueries::new(2));
        let a = queries.join("a".into()).ok().unwrap();
        let again = queries.join("a".into()).ok().unwrap();
        let b = queries.join("b".into()).ok().unwrap();
        let refused = queries.join("c".into()).err().unwrap();
        assert_eq!((refused.status, refused.retry_after), (429, Some(10)));
        assert!(queries.join("b".into()).is_ok());
        drop(a);
        assert_eq!(queries.len(), 2);
        drop(again);
        assert!(queries.join("c".into()).is_ok());
        drop(b);
        assert_eq!(queries.len(), 0);
    }
}
