//! The reading thread: takes what the broker sends, and acknowledges what is durable.

use super::spec::MqttSpec;
use crate::source::control::{Control, Ended, Wish};
use crate::source::flow::{Flow, IDLE, Turn};
use crate::source::pipe::Pipe;
use crate::source::{Record, SourceState};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, Outgoing, Publish, QoS,
    SubscribeFilter, SubscribeReasonCode,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages that wait for this thread at most, and their bytes, in KiB.
const WAITING: (usize, u32) = (4096, 64 << 10);
/// Requests to the broker that wait to be written.
const REQUESTS: usize = 1024;
/// How long it may take to connect, and to take leave.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the connection tells.
enum News {
    /// It stands; whether the broker knows us still.
    Connected(bool),
    /// The answer to our subscription: whether all of it was granted.
    Subscribed(bool),
    Message(Publish, OwnedSemaphorePermit),
    Lost(String),
}

/// Reads until it is told to end.
pub(super) fn run(
    spec: &MqttSpec,
    member: &str,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
) -> Result<(), Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("mqtt")
        .enable_all()
        .build()
        .map_err(|e| Ended::Retry(e.to_string()))?;
    let result = loop {
        let pipe = make_pipe()?;
        let stream = pipe.stream().clone();
        // Another stream of the same name begins with a session of its own.
        let id = format!("tidemill-{member}-{}", stream.id.0);
        let result = connected(spec, &id, control, pipe, &runtime);
        if control.wish() == Wish::End && stream.is_dropped() {
            forget(spec, &id, &runtime);
        }
        if result.is_err() || control.wish() == Wish::End {
            break result;
        }
    };
    runtime.shutdown_background();
    result
}

/// Reads over one connection, which is left while the source is to pause: the broker keeps what comes then.
fn connected(
    spec: &MqttSpec,
    id: &str,
    control: &Control,
    pipe: Pipe,
    runtime: &Runtime,
) -> Result<(), Ended> {
    let mut flow = Flow::new(pipe, control);
    let slot = flow.pipe.slot(&spec.topics.join(","), "");
    let taken = flow.pipe.taken(slot);
    flow.pipe.restart(slot, taken.unwrap_or(0));
    if control.wish() == Wish::Pause {
        flow.pipe.status().set(SourceState::Paused, None);
        while control.wish() == Wish::Pause {
            control.wait(PATIENCE);
        }
    }
    if control.wish() == Wish::End {
        return Ok(());
    }
    let (client, mut events) = AsyncClient::new(spec.connect_options(id, false), REQUESTS);
    let mut network = events.network_options();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(PATIENCE.as_secs());
    events.set_network_options(network);
    let (tell, news) = channel(WAITING.0);
    let connection = runtime.spawn(listen(events, tell));
    let mut reader = Reader {
        spec,
        flow,
        slot,
        next: taken.unwrap_or(0),
        known: taken.is_some(),
        connected: false,
        client,
        news,
        owed: VecDeque::new(),
    };
    let result = runtime.block_on(reader.read());
    if result.is_ok() && reader.connected {
        runtime.block_on(reader.leave());
    }
    connection.abort();
    result
}

/// Has the broker forget us.
fn forget(spec: &MqttSpec, id: &str, runtime: &Runtime) {
    let (client, mut events) = AsyncClient::new(spec.connect_options(id, true), REQUESTS);
    let clean = async {
        while let Ok(event) = events.poll().await {
            match event {
                Event::Incoming(Incoming::ConnAck(_)) => drop(client.try_disconnect()),
                Event::Outgoing(Outgoing::Disconnect) => return true,
                _ => {}
            }
        }
        false
    };
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, clean).await });
    if done != Ok(true) {
        tracing::warn!(
            broker = spec.host,
            client = id,
            "the broker keeps the session of a dropped stream until it expires"
        );
    }
}

/// Tells what happens on the connection, until it is lost.
async fn listen(mut events: EventLoop, tell: Sender<News>) {
    let room = Arc::new(Semaphore::new(WAITING.1 as usize));
    loop {
        let news = match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(ack))) => News::Connected(ack.session_present),
            Ok(Event::Incoming(Incoming::SubAck(ack))) => News::Subscribed(
                ack.return_codes
                    .iter()
                    .all(|c| *c != SubscribeReasonCode::Failure),
            ),
            Ok(Event::Incoming(Incoming::Publish(message))) => {
                let kib = u32::try_from(message.payload.len() / 1024 + 1).unwrap_or(WAITING.1);
                let room = room.clone().acquire_many_owned(kib.min(WAITING.1)).await;
                // The semaphore is never closed.
                let Ok(room) = room else { return };
                News::Message(message, room)
            }
            // Also behind our own leave-taking: the broker ends the connection when it has read what we wrote. Whoever ends
            // it with something unread takes that back.
            Ok(_) => continue,
            Err(error) => News::Lost(words(&error)),
        };
        let over = matches!(news, News::Lost(_));
        if tell.send(news).await.is_err() || over {
            return;
        }
    }
}

fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses us: {code:?}"),
        other => other.to_string(),
    }
}

struct Reader<'a, 'f> {
    spec: &'a MqttSpec,
    flow: Flow<'f>,
    slot: usize,
    /// The number of the next message, over all runs.
    next: u64,
    /// The subscription was made in an earlier run.
    known: bool,
    /// The broker has answered.
    connected: bool,
    client: AsyncClient,
    news: Receiver<News>,
    /// Messages that are to be acknowledged once they are durable: their numbers and the broker's.
    owed: VecDeque<(u64, u16)>,
}

impl Reader<'_, '_> {
    /// Reads until it is told to pause or to end; all that was taken is durable then.
    async fn read(&mut self) -> Result<(), Ended> {
        while !self.connected {
            if self.flow.wish() != Wish::Run {
                return Ok(());
            }
            match tokio::time::timeout(IDLE, self.news.recv()).await {
                Ok(Some(News::Connected(session))) => self.subscribe(session)?,
                Ok(Some(News::Lost(why))) => return Err(Ended::Retry(why)),
                Ok(_) => return Err(Ended::Retry("the connection is lost".into())),
                Err(_) => {}
            }
        }
        loop {
            let turn = self.flow.turn()?;
            self.acknowledge();
            match turn {
                Turn::End => {
                    self.flow.pipe.finish()?;
                    return Ok(());
                }
                Turn::Rest if self.flow.pipe.status().state().0 == SourceState::Paused => {
                    self.flow.pipe.finish()?;
                    return Ok(());
                }
                Turn::Rest => continue,
                Turn::Read => {}
            }
            let patience = self.flow.patience();
            let news = match patience.is_zero() {
                true => self.news.try_recv().ok(),
                false => {
                    let next = tokio::time::timeout(patience, self.news.recv()).await;
                    match next {
                        Ok(None) => return Err(Ended::Retry("the connection is lost".into())),
                        Ok(news) => news,
                        Err(_) => None,
                    }
                }
            };
            match news {
                None => self.flow.quiet()?,
                // A connection begins once.
                Some(News::Connected(_)) => {}
                Some(News::Subscribed(true)) => {
                    // Whoever subscribes again is sent the retained messages again: that it is done goes into the log.
                    self.flow.pipe.mark(self.slot);
                }
                Some(News::Subscribed(false)) => {
                    return Err(Ended::Failed(format!(
                        "the broker does not let us subscribe to {}",
                        self.spec.topics.join(", ")
                    )));
                }
                Some(News::Message(message, _room)) => self.take(&message)?,
                Some(News::Lost(why)) => return Err(Ended::Retry(why)),
            }
        }
    }

    fn subscribe(&mut self, session: bool) -> Result<(), Ended> {
        self.connected = true;
        if session && self.known {
            return Ok(());
        }
        if self.known {
            let stream = &self.flow.pipe.status().stream;
            tracing::warn!(
                stream,
                "the broker has lost our session, and what it kept for us"
            );
        }
        let filters = self
            .spec
            .topics
            .iter()
            .map(|t| SubscribeFilter::new(t.clone(), QoS::AtLeastOnce));
        self.client
            .try_subscribe_many(filters)
            .map_err(|e| Ended::Retry(e.to_string()))
    }

    fn take(&mut self, message: &Publish) -> Result<(), Ended> {
        let number = self.next;
        let record = Record {
            value: Some(&message.payload),
            topic: &message.topic,
            offset: number,
            ..Record::default()
        };
        self.flow.push(self.slot, &record)?;
        self.next += 1;
        if message.qos != QoS::AtMostOnce {
            self.owed.push_back((number, message.pkid));
        }
        self.flow.took()
    }

    /// Acknowledges what is durable, in the order in which it came.
    fn acknowledge(&mut self) {
        let Some((first, _)) = self.owed.front() else {
            return;
        };
        let durable = self.flow.pipe.taken(self.slot).unwrap_or(0);
        if *first >= durable {
            return;
        }
        while let Some((_, packet)) = self.owed.front().filter(|(n, _)| *n < durable) {
            let mut message = Publish::new("", QoS::AtLeastOnce, Vec::new());
            message.pkid = *packet;
            // With many requests waiting it is for the next time.
            if self.client.try_ack(&message).is_err() {
                return;
            }
            self.owed.pop_front();
        }
    }

    /// Writes what is to be written still, and takes leave. What comes meanwhile the broker sends again.
    async fn leave(&mut self) {
        let leave = async {
            while !self.owed.is_empty() {
                self.acknowledge();
                if let Ok(None) = tokio::time::timeout(IDLE / 10, self.news.recv()).await {
                    return;
                }
            }
            while self.client.try_disconnect().is_err() {
                if self.news.recv().await.is_none() {
                    return;
                }
            }
            while self.news.recv().await.is_some() {}
        };
        if tokio::time::timeout(PATIENCE, leave).await.is_err() {
            tracing::warn!(
                "the broker was left without a word; it will send again what it has not heard of"
            );
        }
    }
}
