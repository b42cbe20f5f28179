//! Rows over a WebSocket: each batch is answered by an `ack` once it is durable and visible, or by an `error`.
//!
//! Batches are decoded and handed to the log in the order in which they came, and then waited for side by side.

use super::credit::{BYTES, Credit, Excess, FRAMES, Grant};
use super::frames;
use crate::http::{Accepted, ApiError, App, Batch, BatchForm, Hold, prepare};
use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A frame of rows.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default, borrow)]
    stream: Option<Cow<'a, str>>,
    /// A list of objects.
    #[serde(default, borrow)]
    rows: Option<&'a RawValue>,
    /// The form of `data`.
    #[serde(default, borrow)]
    format: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    data: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    db: Option<Cow<'a, str>>,
    /// The unit of integer times.
    #[serde(default, borrow)]
    precision: Option<Cow<'a, str>>,
    #[serde(default)]
    create: bool,
    /// What makes a repeat of the batch known as such.
    #[serde(default, borrow)]
    key: Option<Cow<'a, str>>,
}

/// What a frame is answered by, whatever else it holds.
#[derive(Deserialize)]
struct Named {
    id: Option<String>,
}

#[derive(Serialize)]
struct Ack<'a> {
    r#type: &'static str,
    id: &'a str,
    #[serde(flatten)]
    accepted: &'a Accepted,
    /// Whether the batch was stored before, under its key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
}

/// What becomes of a frame.
pub(super) enum Taken {
    /// It has been or will be answered.
    Answered,
    /// The client sends more than it may, whatever it is told.
    End(&'static str),
}

/// The batches of one connection.
pub(super) struct Batches {
    app: Arc<App>,
    queue: mpsc::Sender<Utf8Bytes>,
    /// There once the client has sent its first batch.
    credit: Option<Arc<Mutex<Credit>>>,
    waiting: JoinSet<()>,
}

impl Batches {
    pub(super) fn new(app: Arc<App>, queue: mpsc::Sender<Utf8Bytes>) -> Batches {
        Batches {
            app,
            queue,
            credit: None,
            waiting: JoinSet::new(),
        }
    }

    /// Takes a frame of rows.
    pub(super) async fn take(&mut self, text: &str) -> Taken {
        let arrived = Instant::now();
        let credit = match &self.credit {
            Some(credit) => credit.clone(),
            None => {
                let credit = Arc::new(Mutex::new(Credit::default()));
                self.credit = Some(credit.clone());
                let all = Grant {
                    bytes: BYTES,
                    frames: FRAMES,
                };
                send(&self.queue, granted(all)).await;
                credit
            }
        };
        while self.waiting.try_join_next().is_some() {}
        let frame: Result<Frame<'_>, _> = serde_json::from_str(text);
        let id = match &frame {
            Ok(frame) => frame.id.clone(),
            // What is wrong with the rest of it is to be told to whoever waits for this one.
            Err(_) => serde_json::from_str(text).ok().and_then(|Named { id }| id),
        };
        let within = credit.lock().take(text.len());
        if let Err(excess) = within {
            let error = ApiError::new(
                429,
                "no_credit",
                "the batch is beyond the credit, and nothing of it is stored",
            );
            let error = error.hint("wait for a credit frame: it says how much more may be sent");
            send(&self.queue, failed(id.as_deref(), &error)).await;
            return match excess {
                Excess::Refuse => Taken::Answered,
                Excess::End => Taken::End("batches beyond the credit were sent again and again"),
            };
        }
        let bytes = text.len();
        let (frame, id) = match (frame, id) {
            (Ok(frame), Some(id)) => (frame, id),
            (frame, id) => {
                let error = ApiError::bad(match frame {
                    Err(error) => format!("the frame is not understood: {error}"),
                    Ok(_) => "a batch needs an \"id\", by which it is answered".to_owned(),
                });
                send(&self.queue, failed(id.as_deref(), &error)).await;
                done(&self.queue, &credit, bytes).await;
                return Taken::Answered;
            }
        };
        match self.hand_over(&frame, bytes, arrived).await {
            Ok(stored) => {
                let queue = self.queue.clone();
                self.waiting.spawn(async move {
                    let answer = match stored.await {
                        Ok((accepted, replayed)) => acked(&id, &accepted, replayed),
                        Err(error) => failed(Some(&id), &error),
                    };
                    send(&queue, answer).await;
                    done(&queue, &credit, bytes).await;
                });
            }
            Err(error) => {
                send(&self.queue, failed(Some(&id), &error)).await;
                done(&self.queue, &credit, bytes).await;
            }
        }
        Taken::Answered
    }

    /// Decodes a batch and hands it to the log; the future is ready when it is stored.
    async fn hand_over(
        &self,
        frame: &Frame<'_>,
        bytes: usize,
        arrived: Instant,
    ) -> Result<impl Future<Output = Result<(Accepted, bool), ApiError>> + Send + use<>, ApiError>
    {
        let hold = Hold::of(&self.app.body_limits.budget, bytes)?;
        let data: &[u8] = match (frame.rows, &frame.data) {
            (Some(rows), None) => rows.get().as_bytes(),
            (None, Some(data)) => data.as_bytes(),
            _ => return Err(ApiError::bad("a batch has either \"rows\" or \"data\"")),
        };
        let form = match (frame.rows, frame.format.as_deref()) {
            (Some(_), None) => BatchForm::Json,
            (None, Some("line_protocol")) => BatchForm::Lines,
            (None, Some("csv")) => BatchForm::Csv,
            (None, Some("ndjson")) => BatchForm::NdJson,
            _ => {
                let error = ApiError::bad("\"data\" has a \"format\", \"rows\" has none");
                return Err(error.hint("formats are line_protocol, csv and ndjson"));
            }
        };
        let batch = Batch {
            db: frame.db.as_deref().unwrap_or(tsdb::DEFAULT_DATABASE),
            stream: frame.stream.as_deref(),
            create: frame.create,
            precision: frame.precision.as_deref(),
            key: frame.key.as_deref(),
            form,
            data,
        };
        let prepared = prepare(&self.app, &batch).await?;
        let stored = prepared.submit(&self.app, arrived)?;
        Ok(async move {
            let stored = stored.await;
            drop(hold);
            stored
        })
    }

    /// Waits until every batch is answered.
    pub(super) async fn finish(&mut self) {
        while self.waiting.join_next().await.is_some() {}
    }
}

async fn done(queue: &mpsc::Sender<Utf8Bytes>, credit: &Mutex<Credit>, bytes: usize) {
    let grant = credit.lock().done(bytes);
    if let Some(grant) = grant {
        send(queue, granted(grant)).await;
    }
}

async fn send(queue: &mpsc::Sender<Utf8Bytes>, text: Utf8Bytes) {
    // The writer has gone: the connection is about to end.
    let _ = queue.send(text).await;
}

fn granted(grant: Grant) -> Utf8Bytes {
    let Grant { bytes, frames } = grant;
    format!("{{\"type\":\"credit\",\"bytes\":{bytes},\"frames\":{frames}}}").into()
}

fn failed(id: Option<&str>, error: &ApiError) -> Utf8Bytes {
    frames::error(None, id, &error.to_json())
}

fn acked(id: &str, accepted: &Accepted, replayed: bool) -> Utf8Bytes {
    let ack = Ack {
        r#type: "ack",
        id,
        accepted,
        replayed,
    };
    match serde_json::to_string(&ack) {
        Ok(text) => text.into(),
        Err(error) => failed(Some(id), &ApiError::new(500, "internal", error.to_string())),
    }
}
