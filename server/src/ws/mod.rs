//! `/ws`: topics and queries that go on, pushed as they change; and rows in, each batch acknowledged.

mod credit;
pub(crate) mod dashboard;
mod follow;
mod frames;
mod ingest;
mod lag;
mod request;

pub(crate) use dashboard::Dashboard;
pub(crate) use frames::Topics;
pub(crate) use lag::CommitTimes;

use crate::http::{ApiError, App, Place};
use crate::metrics::Gauge;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, State};
use axum::response::Response;
use bytes::Bytes;
use frames::Label;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use ingest::{Batches, Taken};
use request::{Action, Request};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Bytes of a message that a client sends.
const MAX_MESSAGE: usize = 256 << 10;
/// Messages that a client may send in a second, pings among them; batches of rows are bounded by credit.
const MAX_MESSAGES: u32 = 200;
/// Time for a farewell when the server ends: for a place in the queue, and for all that waits there to be written.
const FAREWELL: Duration = Duration::from_secs(2);
/// Time in which a client must have taken what was written to it.
const WRITE_TIME: Duration = Duration::from_secs(20);
/// Frames that are written together.
const TOGETHER: usize = 64;

/// Upgrades a request.
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(place): Extension<Place>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a WebSocket did not come to be"))
        .on_upgrade(async move |socket| {
            serve(app, socket).await;
            // Kept until here: the server waits for it when it ends, and no other connection takes it meanwhile.
            drop(place);
        })
}

async fn serve(app: Arc<App>, socket: WebSocket) {
    let _counted = Gauge::new(&app.metrics.sockets);
    let (sink, mut stream) = socket.split();
    let (queue, frames) = mpsc::channel(app.config.limits.subscriber_frames);
    let mut writer = tokio::spawn(write(app.clone(), sink, frames));
    let mut connection = Connection {
        app: app.clone(),
        batches: Batches::new(app.clone(), queue.clone()),
        queue,
        subscriptions: HashMap::new(),
    };
    let mut stop = app.stop.clone();
    let (mut second, mut messages) = (Instant::now(), 0);
    let silence = Duration::from_secs(app.config.limits.socket_seconds);
    let mut heard = Instant::now();
    let reason = loop {
        let message = tokio::select! {
            message = stream.next() => message,
            _ = stop.changed() => break Some("the server is shutting down"),
            // The writer ends alone when the client takes nothing.
            _ = &mut writer => break None,
            _ = tokio::time::sleep_until(heard + silence) => {
                app.metrics.subscribers_cut.fetch_add(1, Ordering::Relaxed);
                break Some("nothing was heard from the client, not even a pong");
            }
        };
        heard = Instant::now();
        if second.elapsed() >= Duration::from_secs(1) {
            (second, messages) = (Instant::now(), 0);
        }
        messages += 1;
        if messages > MAX_MESSAGES {
            break Some("too many messages");
        }
        match message {
            Some(Ok(Message::Text(text))) => match connection.take(text.as_str()).await {
                After::Next => {}
                After::Batch => messages -= 1,
                After::End(reason) => break Some(reason),
            },
            Some(Ok(Message::Binary(_))) => {
                connection.refuse(&ApiError::bad("frames are text")).await
            }
            // The library has answered a ping by itself, and a pong has been heard.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(error)) if is_too_long(&error) => {
                break Some("a message may have at most 256 KiB");
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
        }
    };
    connection.end();
    // What was handed to the log is answered, if the client still reads.
    if reason.is_some() {
        let _ = tokio::time::timeout(FAREWELL, connection.batches.finish()).await;
    }
    if let Some(reason) = reason {
        // A client that reads nothing gets no farewell either.
        let farewell = connection.queue.send(frames::closing_all(reason));
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
    drop(connection);
    if !writer.is_finished() && tokio::time::timeout(FAREWELL, &mut writer).await.is_err() {
        writer.abort();
    }
}

/// Writes frames as they come, all that wait in one go, and a ping now and then, which the client's library answers.
async fn write(
    app: Arc<App>,
    mut sink: SplitSink<WebSocket, Message>,
    mut frames: mpsc::Receiver<Utf8Bytes>,
) {
    let mut ready = Vec::with_capacity(TOGETHER);
    let every = Duration::from_secs(app.config.limits.socket_seconds) / 3;
    let mut ping = interval_at(Instant::now() + every, every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = tokio::select! {
            many = frames.recv_many(&mut ready, TOGETHER) => {
                if many == 0 {
                    break;
                }
                false
            }
            _ = ping.tick() => true,
        };
        let write = async {
            if due {
                sink.feed(Message::Ping(Bytes::new())).await?;
            }
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

/// Whether the library has refused a message for its length.
fn is_too_long(error: &axum::Error) -> bool {
    use std::error::Error;
    // The library's own error type is not among axum's: its words have to do.
    error
        .source()
        .is_some_and(|e| e.to_string().contains("Space limit exceeded"))
}

/// What follows a message.
enum After {
    /// The next one.
    Next,
    /// The next one; this was a batch of rows.
    Batch,
    /// The connection ends.
    End(&'static str),
}

/// One client's subscriptions and batches.
struct Connection {
    app: Arc<App>,
    batches: Batches,
    queue: mpsc::Sender<Utf8Bytes>,
    subscriptions: HashMap<Name, AbortHandle>,
}

/// What a client calls a subscription: its topic, and the id that it gave. One of the same name takes the other's place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    topic: String,
    id: Option<String>,
}

impl Name {
    /// Whether a request to unsubscribe means this one: by its topic, by its id, or by both.
    fn is_meant(&self, topics: &[String], id: Option<&String>) -> bool {
        let by_topic = topics.contains(&self.topic);
        let by_id = id.is_some() && self.id.as_ref() == id;
        match (topics.is_empty(), id) {
            (false, Some(_)) => by_topic && by_id,
            _ => by_topic || by_id,
        }
    }
}

impl Connection {
    async fn take(&mut self, text: &str) -> After {
        let request: Request = match serde_json::from_str(text) {
            Ok(request) => request,
            Err(error) => {
                let error = ApiError::bad(format!("the frame is not understood: {error}"))
                    .hint(r#"for instance {"action":"subscribe","topics":["dashboard:metrics"]}"#);
                self.refuse(&error).await;
                return After::Next;
            }
        };
        match request.action {
            Action::Ingest => {
                return match self.batches.take(text).await {
                    Taken::Answered => After::Batch,
                    Taken::End(reason) => After::End(reason),
                };
            }
            Action::Ping => self.say("{\"type\":\"pong\"}".into()).await,
            Action::Subscribe => self.subscribe(request).await,
            Action::Unsubscribe => {
                self.subscriptions.retain(|name, task| {
                    let goes = name.is_meant(&request.topics, request.id.as_ref());
                    if goes {
                        task.abort();
                    }
                    !goes
                });
            }
        }
        After::Next
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
            let name = Name {
                topic: id.clone(),
                id: Some(id.clone()),
            };
            if self.has_room(&name).await {
                let task = follow::sql(self.app.clone(), id, sql, db, self.queue.clone());
                self.start(name, task);
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
            let name = Name {
                topic,
                id: request.id.clone(),
            };
            if self.has_room(&name).await {
                let label = Label {
                    topic: name.topic.clone(),
                    id: name.id.clone(),
                };
                let task = follow::topic(
                    self.app.clone(),
                    label,
                    db.clone(),
                    request.resume,
                    self.queue.clone(),
                );
                self.start(name, task);
            }
        }
    }

    async fn has_room(&mut self, name: &Name) -> bool {
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
        let text = frames::error(Some(&name.topic), name.id.as_deref(), &error.to_json());
        self.say(text).await;
        false
    }

    /// Starts a subscription, in place of one of the same name.
    fn start(&mut self, name: Name, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(before) = self.subscriptions.remove(&name) {
            before.abort();
        }
        let app = self.app.clone();
        let task = tokio::spawn(async move {
            let _counted = Gauge::new(&app.metrics.subscriptions);
            task.await;
        });
        self.subscriptions.insert(name, task.abort_handle());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_meant_by_its_topic_or_its_id() {
        let name = |topic: &str, id: Option<&str>| Name {
            topic: topic.into(),
            id: id.map(str::to_owned),
        };
        let (plain, named) = (name("view:a", None), name("view:a", Some("1")));
        let (topics, id) = (["view:a".to_owned()], "1".to_owned());
        assert!(plain.is_meant(&topics, None) && named.is_meant(&topics, None));
        assert!(named.is_meant(&[], Some(&id)) && !plain.is_meant(&[], Some(&id)));
        assert!(named.is_meant(&topics, Some(&id)) && !plain.is_meant(&topics, Some(&id)));
        assert!(!named.is_meant(&["view:b".into()], Some(&id)));
        assert!(!plain.is_meant(&[], None) && !named.is_meant(&[], None));
    }
}
