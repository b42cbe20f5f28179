//! One sink's connection.

use super::KafkaSinkSpec;
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How long one answer of the brokers is waited for, at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is asked what became of records.
const GRAIN: Duration = Duration::from_millis(1);
/// How long records on their way may take. Nothing is lost when they take longer: they are sent anew.
const DELIVERY: Duration = Duration::from_secs(45);

/// How far a sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// All commits up to this one are in the topic.
    pub lsn: u64,
    /// Transactions of the sink so far.
    pub serial: u64,
}

/// Why a link is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// To be tried again after a while, with a new link.
    Retry(String),
    /// Another producer has taken the sink's name, or the brokers have given this one up.
    Fenced(String),
    /// The settings can't be.
    Wrong(String),
    /// A record is larger than `message.max.bytes`. Nothing else is the matter.
    TooLarge(String),
}

/// What librdkafka tells besides.
#[derive(Default)]
struct Context {
    /// The first record that could not be delivered.
    lost: Mutex<Option<KafkaError>>,
    /// The last trouble of the connection.
    last: Mutex<Option<String>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "kafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        *self.last.lock() = Some(reason.to_owned());
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.lost.lock().get_or_insert_with(|| error.clone());
        }
    }
}

/// A connection to a sink's topic. It is used by one thread, and given up at the first trouble.
pub struct KafkaLink {
    producer: BaseProducer<Context>,
    consumer: BaseConsumer<Context>,
    group: ConsumerGroupMetadata,
    topic: String,
    exactly_once: bool,
    open: bool,
}

impl KafkaLink {
    /// Connects, makes the topic if it is not there, ends what an earlier link has left open, and tells how far the sink
    /// is; `None` when the brokers know of no progress. `stop` is asked now and then, and ends the attempt.
    ///
    /// # Errors
    /// Why there is no link.
    pub fn connect(
        spec: &KafkaSinkSpec,
        stop: &dyn Fn() -> bool,
    ) -> Result<(KafkaLink, Option<Progress>), Trouble> {
        let wrong = |e: KafkaError| Trouble::Wrong(e.to_string());
        let producer: BaseProducer<Context> = spec
            .producer()
            .create_with_context(Context::default())
            .map_err(wrong)?;
        let consumer: BaseConsumer<Context> = spec
            .consumer()
            .create_with_context(Context::default())
            .map_err(wrong)?;
        let group = consumer
            .group_metadata()
            .ok_or_else(|| Trouble::Wrong("the progress has no group".into()))?;
        let link = KafkaLink {
            producer,
            consumer,
            group,
            topic: spec.topic.clone(),
            exactly_once: spec.exactly_once,
            open: false,
        };
        link.ensure_topic(spec, stop)?;
        if link.exactly_once {
            link.init(stop)?;
        }
        let progress = link.progress()?;
        Ok((link, progress))
    }

    /// Begins a transaction, which ends with [`KafkaLink::commit`].
    ///
    /// # Errors
    /// Why there is none.
    pub fn begin(&mut self) -> Result<(), Trouble> {
        if self.exactly_once {
            self.producer
                .begin_transaction()
                .map_err(|e| self.trouble(&e))?;
        }
        self.open = true;
        Ok(())
    }

    /// Sends a record; one without a value says that its key is no more. Waits while the queue is full.
    ///
    /// # Errors
    /// Why it can't be sent.
    pub fn put(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Trouble> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic);
        (record.key, record.payload) = (key, value);
        let begun = Instant::now();
        loop {
            let (error, unsent) = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(unsent) => unsent,
            };
            match error.rdkafka_error_code() {
                Some(Code::QueueFull) => {}
                Some(Code::MessageSizeTooLarge) => {
                    let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                    return Err(Trouble::TooLarge(format!(
                        "the record has {bytes} bytes, more than kafka.message.max.bytes allows"
                    )));
                }
                _ => return Err(self.trouble(&error)),
            }
            record = unsent;
            self.hear();
            self.check(begun)?;
        }
    }

    /// Makes what was sent since [`KafkaLink::begin`] visible together with the progress. After an error it may be either:
    /// the next link tells.
    ///
    /// # Errors
    /// Why it may not be.
    pub fn commit(&mut self, progress: Progress) -> Result<(), Trouble> {
        let begun = Instant::now();
        self.producer.poll(Duration::ZERO);
        while self.producer.in_flight_count() > 0 {
            self.hear();
            self.check(begun)?;
        }
        self.check(begun)?;
        let offsets = self.offsets(progress).map_err(|e| self.trouble(&e))?;
        if self.exactly_once {
            let sent = self
                .producer
                .send_offsets_to_transaction(&offsets, &self.group, PATIENCE)
                .and_then(|()| self.producer.commit_transaction(2 * PATIENCE));
            sent.map_err(|e| self.trouble(&e))?;
        } else {
            self.consumer
                .commit(&offsets, CommitMode::Sync)
                .map_err(|e| self.trouble(&e))?;
        }
        self.open = false;
        Ok(())
    }

    /// Waits a moment, and hears what became of records. The client waits in grains of 100 ms, and when it is told to poll for less
    /// than 2 ms it keeps a processor busy for as long.
    fn hear(&self) {
        std::thread::sleep(GRAIN);
        self.producer.poll(Duration::ZERO);
    }

    /// Whether a record is lost or all takes too long.
    fn check(&self, begun: Instant) -> Result<(), Trouble> {
        if let Some(lost) = self.producer.context().lost.lock().take() {
            if lost.rdkafka_error_code() == Some(Code::MessageSizeTooLarge) {
                return Err(Trouble::Wrong(
                    "the topic takes no records as large as kafka.message.max.bytes allows: raise the topic's \
                     max.message.bytes, or lower that"
                        .into(),
                ));
            }
            return Err(Trouble::Retry(self.explained(&lost.to_string())));
        }
        if begun.elapsed() > DELIVERY {
            let late = format!("records were not taken in {} s", DELIVERY.as_secs());
            return Err(Trouble::Retry(self.explained(&late)));
        }
        Ok(())
    }

    fn offsets(&self, progress: Progress) -> Result<TopicPartitionList, KafkaError> {
        let mut offsets = TopicPartitionList::new();
        let next = i64::try_from(progress.lsn.saturating_add(1)).unwrap_or(i64::MAX);
        let mut place = offsets.add_partition(&self.topic, 0);
        place.set_offset(Offset::Offset(next))?;
        place.set_metadata(progress.serial.to_string());
        Ok(offsets)
    }

    /// What the group has committed.
    fn progress(&self) -> Result<Option<Progress>, Trouble> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, 0);
        let found = self
            .consumer
            .committed_offsets(asked, PATIENCE)
            .map_err(|e| self.trouble(&e))?;
        let Some(place) = found.find_partition(&self.topic, 0) else {
            return Ok(None);
        };
        place.error().map_err(|e| self.trouble(&e))?;
        let Offset::Offset(next) = place.offset() else {
            return Ok(None);
        };
        let lsn = u64::try_from(next)
            .unwrap_or(0)
            .checked_sub(1)
            .ok_or_else(|| Trouble::Wrong("the progress in Kafka is not a sink's".into()))?;
        let serial = place.metadata().parse();
        let serial = serial.map_err(|_| {
            Trouble::Wrong(format!(
                "the progress in Kafka is not a sink's: it says '{}'",
                place.metadata()
            ))
        })?;
        Ok(Some(Progress { lsn, serial }))
    }

    /// Shuts out earlier producers of the sink, and ends what they have left open.
    fn init(&self, stop: &dyn Fn() -> bool) -> Result<(), Trouble> {
        loop {
            let error = match self.producer.init_transactions(PATIENCE) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let goes_on = matches!(&error, KafkaError::Transaction(e) if e.is_retriable());
            // The brokers may still be ending what was left open.
            let busy = error.rdkafka_error_code() == Some(Code::ConcurrentTransactions);
            if !(goes_on && busy) || stop() {
                return Err(self.trouble(&error));
            }
        }
    }

    fn ensure_topic(&self, spec: &KafkaSinkSpec, stop: &dyn Fn() -> bool) -> Result<(), Trouble> {
        if self.has_topic()? {
            return Ok(());
        }
        let refused = |why: String| {
            Trouble::Retry(format!(
                "there is no topic \"{}\", and it can't be made: {why}",
                spec.topic
            ))
        };
        let admin: AdminClient<_> = spec
            .base(&[])
            .create()
            .map_err(|e: KafkaError| Trouble::Wrong(e.to_string()))?;
        let topic = NewTopic::new(
            &spec.topic,
            spec.partitions.unwrap_or(-1),
            TopicReplication::Fixed(spec.replicas.unwrap_or(-1)),
        );
        let options = AdminOptions::new()
            .request_timeout(Some(PATIENCE))
            .operation_timeout(Some(PATIENCE));
        let made = futures::executor::block_on(admin.create_topics([&topic], &options));
        let made = made.map_err(|e| refused(e.to_string()))?;
        for one in made {
            match one {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(refused(code.to_string())),
            }
        }
        tracing::info!(topic = spec.topic, "a sink's topic has been made");
        let begun = Instant::now();
        while !self.has_topic()? {
            if begun.elapsed() > PATIENCE || stop() {
                return Err(refused("it does not come to be".into()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether the topic is there and has a leader for its progress.
    fn has_topic(&self) -> Result<bool, Trouble> {
        let metadata = self
            .producer
            .client()
            .fetch_metadata(Some(&self.topic), PATIENCE)
            .map_err(|e| self.trouble(&e))?;
        let Some(topic) = metadata.topics().first() else {
            return Ok(false);
        };
        match topic.error().map(Code::from) {
            None => Ok(!topic.partitions().is_empty()),
            Some(Code::UnknownTopicOrPartition | Code::LeaderNotAvailable | Code::UnknownTopic) => {
                Ok(false)
            }
            Some(code) => Err(Trouble::Retry(format!("topic \"{}\": {code}", self.topic))),
        }
    }

    /// What an error means for the link.
    fn trouble(&self, error: &KafkaError) -> Trouble {
        let code = error.rdkafka_error_code();
        let text = match error {
            KafkaError::Transaction(e) => e.string(),
            other => other.to_string(),
        };
        let text = self.explained(&text);
        match code {
            Some(Code::ProducerFenced | Code::InvalidProducerEpoch | Code::Fenced) => {
                Trouble::Fenced(text)
            }
            _ => Trouble::Retry(text),
        }
    }

    /// With what is known of the connection.
    fn explained(&self, what: &str) -> String {
        let last = self.producer.context().last.lock().take();
        match last.or_else(|| self.consumer.context().last.lock().take()) {
            Some(last) if !what.contains(&last) => format!("{what} ({last})"),
            _ => what.to_owned(),
        }
    }
}

impl Drop for KafkaLink {
    fn drop(&mut self) {
        // Readers need not wait until the transaction times out; when that fails the next link ends it.
        if self.open && self.exactly_once {
            let purge = rdkafka::producer::PurgeConfig::default().queue().inflight();
            self.producer.purge(purge);
            let _ = self.producer.abort_transaction(Duration::from_secs(1));
        }
    }
}
