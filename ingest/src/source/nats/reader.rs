//! The reading thread: finds the stream, reads from behind what the log has, and notices whatever would make a hole.

use super::spec::NatsSpec;
use crate::source::Start;
use crate::source::control::Ended;
use crate::source::flow::{Flow, Turn};
use crate::source::{Header, Record, SourceState};
use async_nats::jetstream::consumer::pull::{self, Stream as Messages};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::stream::{Info, RetentionPolicy};
use async_nats::jetstream::{self, Context, Message};
use async_nats::{Client, Event};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a question to the server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the stream is looked after.
const LOOK: Duration = Duration::from_secs(5);
/// How often at most it is asked over a gap whether what lay there is gone.
const ASK: Duration = Duration::from_millis(100);
/// Messages and bytes that the server may send ahead.
const AHEAD: (usize, usize) = (2048, 16 << 20);

fn retry(error: impl Display) -> Ended {
    Ended::Retry(error.to_string())
}

/// Reads until it is told to end.
pub(super) async fn read(spec: &NatsSpec, flow: &mut Flow<'_>) -> Result<(), Ended> {
    let lost: Arc<Mutex<Option<String>>> = Arc::default();
    let client = connect(spec, lost.clone()).await?;
    let context = match &spec.domain {
        Some(domain) => jetstream::with_domain(client.clone(), domain),
        None => jetstream::new(client.clone()),
    };
    let name = match &spec.stream {
        Some(name) => name.clone(),
        None => {
            let subject = spec.subjects.first().cloned().unwrap_or_default();
            let found = context.stream_by_subject(subject.as_str()).await;
            found.map_err(|e| {
                Ended::Retry(format!("no stream holds the subject '{subject}': {e}"))
            })?
        }
    };
    let info = stream_info(&context, &name).await?;
    let mut reader = Reader {
        spec,
        context,
        flow,
        origin: info.created.unix_timestamp_nanos().to_string(),
        slot: 0,
        name,
        received: 0,
        based: false,
        doubt: None,
        asked: Instant::now(),
    };
    let mut consumer = reader.begin(&info).await?;
    let ahead = client.server_info().max_payload.saturating_mul(2);
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(AHEAD.0)
        .max_bytes_per_batch(AHEAD.1.max(ahead))
        .expires(Duration::from_secs(30))
        .heartbeat(PATIENCE)
        .messages()
        .await
        .map_err(retry)?;
    reader.read(&mut consumer, &mut messages, &lost).await
}

async fn connect(spec: &NatsSpec, lost: Arc<Mutex<Option<String>>>) -> Result<Client, Ended> {
    let note = move |event: Event| {
        match &event {
            Event::Disconnected | Event::Closed => {
                lost.lock()
                    .get_or_insert_with(|| "the connection is lost".into());
            }
            Event::SlowConsumer(_) => {
                lost.lock()
                    .get_or_insert_with(|| "messages were left out on the way".into());
            }
            Event::ServerError(error) => {
                lost.lock().get_or_insert_with(|| error.to_string());
            }
            _ => tracing::debug!(%event, "nats"),
        }
        std::future::ready(())
    };
    spec.connect_options()
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .event_callback(note)
        .connect(spec.servers())
        .await
        .map_err(retry)
}

async fn stream_info(context: &Context, name: &str) -> Result<Info, Ended> {
    let stream = context.get_stream(name).await;
    let stream = stream.map_err(|e| Ended::Retry(format!("the stream '{name}': {e}")))?;
    Ok(stream.cached_info().clone())
}

struct Reader<'a, 'f> {
    spec: &'a NatsSpec,
    context: Context,
    flow: &'a mut Flow<'f>,
    name: String,
    /// When the stream was made: one of the same name that is made later is another.
    origin: String,
    slot: usize,
    /// Messages that this consumer has given.
    received: u64,
    /// Reading began at a place that is known: whatever lies behind it is to come.
    based: bool,
    /// A place behind which something was missing, and the server was not asked yet what that was.
    doubt: Option<u64>,
    asked: Instant,
}

impl Reader<'_, '_> {
    /// Makes a consumer that begins behind what the log has.
    async fn begin(&mut self, info: &Info) -> Result<Consumer<pull::Config>, Ended> {
        if info.config.retention != RetentionPolicy::Limits {
            return Err(Ended::Failed(format!(
                "the stream '{}' gives its messages away once they are acknowledged; only those with retention 'limits' can \
                 be read again after a fault",
                self.name
            )));
        }
        self.slot = self.flow.pipe.slot(&self.name, &self.origin);
        let before = self.flow.pipe.origin_taken(self.slot);
        if before.is_some_and(|b| !b.is_empty() && *b != *self.origin) {
            return Err(self.stop(RECREATED.into()));
        }
        let deliver_policy = self.start(info)?;
        let filter_subject = match self.spec.subjects.as_slice() {
            [one] => one.clone(),
            _ => String::new(),
        };
        let config = pull::Config {
            description: Some("tidemill".into()),
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subjects: match filter_subject.is_empty() {
                true => self.spec.subjects.clone(),
                false => Vec::new(),
            },
            filter_subject,
            inactive_threshold: Duration::from_secs(60),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self.context.create_consumer_on_stream(config, &self.name);
        let consumer = consumer.await.map_err(retry)?;
        // The stream may have been made anew just before the consumer.
        let now = stream_info(&self.context, &self.name).await?;
        if now.created != info.created {
            return Err(retry("the stream was made anew"));
        }
        self.note_end(&now);
        Ok(consumer)
    }

    fn start(&mut self, info: &Info) -> Result<DeliverPolicy, Ended> {
        let (first, end) = (info.state.first_sequence, info.state.last_sequence + 1);
        let pipe = &mut self.flow.pipe;
        let from = match (pipe.taken(self.slot), self.spec.start) {
            (Some(next), _) => {
                let why = self.hole(next, first).or_else(|| {
                    (next > end).then(|| {
                        format!("the message {next} was to be read next, and the stream ends before {end}: it has lost some")
                    })
                });
                if let Some(why) = why {
                    return Err(self.stop(format!("{why}. {AFTER_STOP}")));
                }
                next
            }
            (None, Start::Latest) => end,
            (None, Start::Earliest) => {
                pipe.restart(self.slot, 0);
                return Ok(DeliverPolicy::All);
            }
            (None, Start::Time(ns)) => {
                pipe.restart(self.slot, 0);
                let after = i128::from(ns) - info.created.unix_timestamp_nanos();
                return Ok(match u64::try_from(after) {
                    Ok(after) => DeliverPolicy::ByStartTime {
                        start_time: info.created + Duration::from_nanos(after),
                    },
                    // The stream is younger.
                    Err(_) => DeliverPolicy::All,
                });
            }
        };
        let pipe = &mut self.flow.pipe;
        pipe.restart(self.slot, from);
        pipe.partition(self.slot).stop(None);
        if pipe.taken(self.slot).is_none() {
            // It stays the beginning, although nothing may come before the next start.
            pipe.mark(self.slot);
        }
        self.based = true;
        Ok(DeliverPolicy::ByStartSequence {
            start_sequence: from.max(1),
        })
    }

    /// Why what lies between two places is missing.
    fn hole(&self, next: u64, first: u64) -> Option<String> {
        (next < first).then(|| {
            format!(
                "the messages from {next} on were to be read next, and the stream begins at {first} now: it was purged, or \
                 its limits are too low"
            )
        })
    }

    fn stop(&self, why: String) -> Ended {
        self.flow.pipe.partition(self.slot).stop(Some(why.clone()));
        Ended::Failed(format!("the stream '{}': {why}", self.name))
    }

    async fn read(
        &mut self,
        consumer: &mut Consumer<pull::Config>,
        messages: &mut Messages,
        lost: &Mutex<Option<String>>,
    ) -> Result<(), Ended> {
        let mut looked = Instant::now();
        loop {
            let turn = self.flow.turn()?;
            if turn == Turn::End {
                self.flow.pipe.finish()?;
                return Ok(());
            }
            if let Some(why) = lost.lock().take() {
                return Err(Ended::Retry(why));
            }
            if looked.elapsed() >= LOOK {
                self.look(consumer).await?;
                looked = Instant::now();
            }
            if turn == Turn::Rest {
                continue;
            }
            let patience = self.flow.patience();
            let next = match patience.is_zero() {
                true => messages.next().now_or_never(),
                false => tokio::time::timeout(patience, messages.next()).await.ok(),
            };
            match next {
                None => {
                    self.flow.quiet()?;
                    if self.doubt.is_some() && self.asked.elapsed() >= ASK {
                        self.ask().await?;
                    }
                }
                Some(Some(Ok(message))) => self.take(&message).await?,
                Some(Some(Err(error))) => return Err(retry(error)),
                Some(None) => return Err(retry("the subscription has ended")),
            }
        }
    }

    async fn take(&mut self, message: &Message) -> Result<(), Ended> {
        let info = message.info().map_err(retry)?;
        if info.consumer_sequence != self.received + 1 {
            return Err(retry("messages were lost on the way"));
        }
        self.received += 1;
        let at = info.stream_sequence;
        let reached = self.flow.pipe.reached(self.slot);
        if self.based && at > reached && self.spec.subjects.is_empty() {
            // Single messages may be deleted; those that were purged would go unnoticed.
            self.doubt.get_or_insert(reached);
            if self.asked.elapsed() >= ASK {
                self.ask().await?;
            }
        }
        self.based = true;
        let headers: Vec<Header<'_>> = match &message.headers {
            Some(headers) => headers
                .iter()
                .flat_map(|(name, values)| {
                    values.iter().map(move |v| {
                        let name: &str = name.as_ref();
                        (name, Some(v.as_str().as_bytes()))
                    })
                })
                .collect(),
            None => Vec::new(),
        };
        let record = Record {
            value: Some(&message.payload),
            headers: &headers,
            time_ns: i64::try_from(info.published.unix_timestamp_nanos()).ok(),
            topic: message.subject.as_str(),
            offset: at,
            ..Record::default()
        };
        self.flow.push(self.slot, &record)?;
        self.flow
            .pipe
            .partition(self.slot)
            .set_end((at + 1).saturating_add(info.pending));
        self.flow.took()
    }

    /// Asks whether what was missing is gone for good.
    async fn ask(&mut self) -> Result<(), Ended> {
        self.asked = Instant::now();
        let Some(doubt) = self.doubt.take() else {
            return Ok(());
        };
        let info = stream_info(&self.context, &self.name).await?;
        match self.hole(doubt, info.state.first_sequence) {
            Some(why) => Err(self.stop(format!("{why}. {AFTER_STOP}"))),
            None => Ok(()),
        }
    }

    fn note_end(&self, info: &Info) {
        let partition = self.flow.pipe.partition(self.slot);
        // Of a filter it is not known how many of those messages it means.
        if self.spec.subjects.is_empty() || partition.end().is_none() {
            partition.set_end(info.state.last_sequence + 1);
        }
    }

    /// Looks whether the stream is what it was, and how far it is.
    async fn look(&mut self, consumer: &mut Consumer<pull::Config>) -> Result<(), Ended> {
        let info = stream_info(&self.context, &self.name).await?;
        if info.created.unix_timestamp_nanos().to_string() != self.origin {
            return Err(self.stop(RECREATED.into()));
        }
        self.note_end(&info);
        if self.flow.pipe.status().state().0 != SourceState::Running || self.flow.pipe.has_batch() {
            return Ok(());
        }
        // Where nothing of ours is waiting, all that the stream holds was considered. This goes into the log, so that others'
        // messages which are gone by the next start are not missed then.
        let end = info.state.last_sequence + 1;
        if !self.spec.subjects.is_empty() && end > self.flow.pipe.reached(self.slot) {
            let ours = consumer.info().await.map_err(retry)?;
            if ours.num_pending == 0 && ours.delivered.consumer_sequence == self.received {
                self.flow.pipe.skip_to(self.slot, end);
                self.flow.pipe.mark(self.slot);
                self.flow.pipe.partition(self.slot).set_end(end);
            }
        }
        Ok(())
    }
}

const RECREATED: &str = "the stream was deleted and made anew since: its sequences mean other messages now. Drop the \
                         stream here and create it again to read the new one";
const AFTER_STOP: &str = "Drop the stream here and create it again to start from what is there";
