//! Queries that go on, over HTTP: server-sent events or lines, one for each row that comes or goes.

use super::App;
use super::accept::Wanted;
use super::reply::ApiError;
use super::sql::{internal, typed};
use crate::encode::{Epoch, Tail, Writer, json_objects, rfc3339};
use crate::ws::attach;
use arrow::record_batch::RecordBatch;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use query::bind::windowed::ContinuousQuery;
use query::view::{Frame, Subscription};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a client hears how far the query has come although nothing changed.
const PROGRESS: Duration = Duration::from_secs(5);

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
    let subscription = attach(app, query, sql).await?;
    match wanted {
        Wanted::Answer(_) => now(subscription, notices, wanted, epoch, started).await,
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
    mut subscription: Subscription,
    mut notices: Vec<String>,
    wanted: Wanted,
    epoch: Option<Epoch>,
    started: Instant,
) -> Result<Response, ApiError> {
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
fn stream(app: &Arc<App>, subscription: Subscription, shape: Shape, epoch: Option<Epoch>) -> Body {
    let state = Some((app.clone(), subscription, app.stop.clone()));
    Body::from_stream(futures::stream::unfold(state, move |state| async move {
        let (app, mut subscription, mut stop) = state?;
        let mut out = Vec::new();
        let frame = tokio::select! {
            frame = subscription.next() => frame,
            _ = tokio::time::sleep(PROGRESS) => {
                shape.note("progress", subscription.seq(), &watermark(&subscription), &mut out);
                return Some((Ok(out.into()), Some((app, subscription, stop))));
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
        Some((piece, goes_on.then_some((app, subscription, stop))))
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
