//! `/ws`: topics and queries that go on, pushed as they change.

pub(crate) mod dashboard;
mod follow;
mod frames;
mod lag;
mod request;

pub(crate) use dashboard::Dashboard;
pub(crate) use follow::attach;
pub(crate) use frames::Topics;
pub(crate) use lag::CommitTimes;

use crate::http::{ApiError, App};
use crate::metrics::Gauge;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use request::{Action, Request};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Bytes of a message that a client sends.
const MAX_MESSAGE: usize = 256 << 10;
/// Messages that a client may send in a second, pings among them.
const MAX_MESSAGES: u32 = 200;
/// Time in which a client must have taken what was written to it.
const WRITE_TIME: Duration = Duration::from_secs(20);
/// Frames that are written together.
const TOGETHER: usize = 64;

/// Upgrades a request.
pub(crate) async fn upgrade(State(app): State<Arc<App>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a WebSocket did not come to be"))
        .on_upgrade(move |socket| serve(app, socket))
}

async fn serve(app: Arc<App>, socket: WebSocket) {
    let _counted = Gauge::new(&app.metrics.sockets);
    let (sink, mut stream) = socket.split();
    let (queue, frames) = mpsc::channel(app.config.limits.subscriber_frames);
    let mut writer = tokio::spawn(write(app.clone(), sink, frames));
    let mut connection = Connection {
        app: app.clone(),
        queue,
        subscriptions: HashMap::new(),
    };
    let mut stop = app.stop.clone();
    let (mut second, mut messages) = (Instant::now(), 0);
    let reason = loop {
        let message = tokio::select! {
            message = stream.next() => message,
            _ = stop.changed() => break Some("the server is shutting down"),
            // The writer ends alone when the client takes nothing.
            _ = &mut writer => break None,
        };
        if second.elapsed() >= Duration::from_secs(1) {
            (second, messages) = (Instant::now(), 0);
        }
        messages += 1;
        if messages > MAX_MESSAGES {
            break Some("too many messages");
        }
        match message {
            Some(Ok(Message::Text(text))) => connection.take(text.as_str()).await,
            Some(Ok(Message::Binary(_))) => {
                connection.refuse(&ApiError::bad("frames are text")).await
            }
            // The library has answered a ping by itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
        }
    };
    connection.end();
    if let Some(reason) = reason {
        // A queue that is full has no room for a farewell either.
        let _ = connection.queue.try_send(frames::closing_all(reason));
    }
    drop(connection);
    if !writer.is_finished()
        && tokio::time::timeout(Duration::from_secs(2), &mut writer)
            .await
            .is_err()
    {
        writer.abort();
    }
}

/// Writes frames as they come, all that wait in one go.
async fn write(
    app: Arc<App>,
    mut sink: SplitSink<WebSocket, Message>,
    mut frames: mpsc::Receiver<Utf8Bytes>,
) {
    let mut ready = Vec::with_capacity(TOGETHER);
    while frames.recv_many(&mut ready, TOGETHER).await > 0 {
        let write = async {
            for text in ready.drain(..) {
                sink.feed(Message::Text(text)).await?;
            }
            sink.flush().await
        };
        match tokio::time::timeout(WRITE_TIME, write).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                app.metrics.subscribers_cut.fetch_add(1, Ordering::Relaxed);
                tracing::info!("a subscriber that does not read is cut");
                return;
            }
        }
    }
    let close = CloseFrame {
        code: close_code::AWAY,
        reason: Utf8Bytes::from_static("closing"),
    };
    // The client may have gone first.
    let _ = tokio::time::timeout(
        Duration::from_secs(1),
        sink.send(Message::Close(Some(close))),
    )
    .await;
}

/// One client's subscriptions.
struct Connection {
    app: Arc<App>,
    queue: mpsc::Sender<Utf8Bytes>,
    subscriptions: HashMap<String, AbortHandle>,
}

impl Connection {
    async fn take(&mut self, text: &str) {
        let request: Request = match serde_json::from_str(text) {
            Ok(request) => request,
            Err(error) => {
                let error = ApiError::bad(format!("the frame is not understood: {error}"))
                    .hint(r#"for instance {"action":"subscribe","topics":["dashboard:metrics"]}"#);
                return self.refuse(&error).await;
            }
        };
        match request.action {
            Action::Ping => self.say("{\"type\":\"pong\"}".into()).await,
            Action::Subscribe => self.subscribe(request).await,
            Action::Unsubscribe => {
                for name in request.topics.iter().chain(&request.id) {
                    self.stop(name);
                }
            }
        }
    }

    async fn subscribe(&mut self, request: Request) {
        let db = request
            .db
            .unwrap_or_else(|| tsdb::DEFAULT_DATABASE.to_owned());
        if let Some(sql) = request.sql {
            let Some(id) = request.id else {
                return self
                    .refuse(&ApiError::bad("a subscription to SQL needs an \"id\""))
                    .await;
            };
            if self.has_room(&id).await {
                let task = follow::sql(self.app.clone(), id.clone(), sql, db, self.queue.clone());
                self.start(id, task);
            }
            return;
        }
        if request.topics.is_empty() {
            return self
                .refuse(&ApiError::bad(
                    "\"topics\" names what to subscribe to, or \"sql\" asks it",
                ))
                .await;
        }
        for topic in request.topics {
            if self.has_room(&topic).await {
                let task = follow::topic(
                    self.app.clone(),
                    topic.clone(),
                    db.clone(),
                    request.resume,
                    self.queue.clone(),
                );
                self.start(topic, task);
            }
        }
    }

    async fn has_room(&mut self, name: &str) -> bool {
        self.subscriptions.retain(|_, task| !task.is_finished());
        let limit = self.app.config.limits.subscriptions;
        if self.subscriptions.len() < limit || self.subscriptions.contains_key(name) {
            return true;
        }
        let error = ApiError::new(
            429,
            "too_many",
            format!("a connection has at most {limit} subscriptions"),
        );
        self.say(frames::error(Some(name), None, &error.to_json()))
            .await;
        false
    }

    /// Starts a subscription, in place of one of the same name.
    fn start(&mut self, name: String, task: impl Future<Output = ()> + Send + 'static) {
        self.stop(&name);
        let app = self.app.clone();
        let task = tokio::spawn(async move {
            let _counted = Gauge::new(&app.metrics.subscriptions);
            task.await;
        });
        self.subscriptions.insert(name, task.abort_handle());
    }

    fn stop(&mut self, name: &str) {
        if let Some(task) = self.subscriptions.remove(name) {
            task.abort();
        }
    }

    fn end(&mut self) {
        for (_, task) in self.subscriptions.drain() {
            task.abort();
        }
    }

    async fn refuse(&self, error: &ApiError) {
        self.say(frames::error(None, None, &error.to_json())).await;
    }

    /// Waits for room: a client that sends and does not read waits for itself.
    async fn say(&self, text: Utf8Bytes) {
        // The writer has gone: the connection is about to end.
        let _ = self.queue.send(text).await;
    }
}
