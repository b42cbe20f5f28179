//! The reading thread: polls, decodes, claims, sends; and gets back to order after whatever went wrong.

use super::audit::is_unknown;
use super::client::{Consumer, Context};
use super::core::{Core, PATIENCE};
use super::debts::{settle_debts, settle_old_debts};
use super::group::leave;
use super::spec::{KafkaSpec, Matcher, Topics};
use super::topic_id::Question;
use crate::source::control::{Control, Ended, Wish};
use crate::source::pipe::Pipe;
use crate::source::status::{SourceState, SourceStatus};
use parking_lot::{Mutex, MutexGuard};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for a message when nothing else is to be done.
pub(super) const IDLE: Duration = Duration::from_millis(50);
/// How often new partitions and topics are looked for, and whether the old ones are what they were.
const LOOK: Duration = Duration::from_secs(5);
/// So many messages are taken before it is asked whether the log has room again, and what else is to be done.
const ROUND: u32 = 64;
/// From so many rows on a batch is sent as soon as the log has nothing else to do, although more is waiting.
const WORTH: usize = 512;
/// How long to wait before trying again what has failed.
const PAUSE: Duration = Duration::from_millis(200);

impl From<KafkaError> for Ended {
    fn from(error: KafkaError) -> Ended {
        Ended::Retry(error.to_string())
    }
}

/// Reads until it is told to end.
pub(super) fn run(
    spec: &KafkaSpec,
    member: &str,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
) -> Result<(), Ended> {
    let matcher = spec.matcher().map_err(Ended::Failed)?;
    let pipe = make_pipe()?;
    // Another stream, of another name or of this one made anew, has places of its own, and so claims of its own.
    let member = &format!("{member}.{}", pipe.stream().id.0);
    if spec.group.is_some() {
        settle_old_debts(spec, member, control, make_pipe, &matcher)?;
    }
    let status = pipe.status().clone();
    let consumer = consumer(spec, member, pipe)?;
    let mut reader = Reader {
        consumer: &consumer,
        spec,
        member,
        matcher,
        control,
        make_pipe,
        status,
        looked: None,
        question: None,
    };
    if let Some(topics) = reader.subscription() {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names)?;
    }
    let ended = reader.read();
    leave(&consumer);
    ended
}

pub(super) fn consumer(spec: &KafkaSpec, member: &str, pipe: Pipe) -> Result<Consumer, Ended> {
    let context = Context {
        core: Mutex::new(Core::new(spec.clone(), member, pipe)),
    };
    // A setting that librdkafka does not know, or that can't be, is the user's to mend.
    spec.config()
        .create_with_context(context)
        .map_err(|e| Ended::Failed(e.to_string()))
}

struct Reader<'a> {
    consumer: &'a Consumer,
    spec: &'a KafkaSpec,
    member: &'a str,
    matcher: Matcher,
    control: &'a Control,
    make_pipe: &'a dyn Fn() -> Result<Pipe, Ended>,
    status: Arc<SourceStatus>,
    /// When topics were looked at last.
    looked: Option<Instant>,
    /// What the topics are was asked and not answered yet.
    question: Option<Question<'a>>,
}

impl Reader<'_> {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.consumer.context().core.lock()
    }

    /// What a member of a group subscribes to; `None` where partitions are not shared.
    fn subscription(&self) -> Option<Vec<String>> {
        self.spec.group.as_ref()?;
        Some(match &self.spec.topics {
            Topics::Named(names) => names.clone(),
            Topics::Matching(pattern) => vec![format!("^({pattern})$")],
        })
    }

    fn read(&mut self) -> Result<(), Ended> {
        loop {
            match self.control.wish() {
                Wish::End => return self.end(),
                Wish::Pause => self.pause(SourceState::Paused)?,
                Wish::Run if self.core().pipe.is_pressed() => self.pause(SourceState::Pressed)?,
                Wish::Run if self.core().resting => self.resume()?,
                Wish::Run => {}
            }
            self.look()?;
            self.mend()?;
            self.take_some()?;
        }
    }

    /// Takes what has come, at most a round of it, and sends what is to be sent.
    fn take_some(&mut self) -> Result<(), Ended> {
        let mut wait = match self.core().pipe.has_batch() {
            true => Duration::ZERO,
            false => IDLE,
        };
        for _ in 0..ROUND {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let mut core = self.core();
                    let taken = core.take(&message);
                    let full = core.pipe.is_full();
                    drop((core, message));
                    if let Err(wait) = taken {
                        return self.wait(&wait);
                    }
                    if full {
                        return self.pass_on(true);
                    }
                }
                Some(Err(error)) => return self.trouble(&error),
                None => return self.send(),
            }
            wait = Duration::ZERO;
        }
        self.pass_on(false)
    }

    /// Amid messages: sends the batch if it is worth it, or must be.
    fn pass_on(&mut self, full: bool) -> Result<(), Ended> {
        let mut core = self.core();
        let settled = core.pipe.settle(Duration::ZERO);
        if !full && settled.is_ok() {
            let ready = core.pipe.is_idle() && core.pipe.rows() >= WORTH;
            drop(core);
            return if ready { self.send() } else { Ok(()) };
        }
        drop(core);
        self.settled(settled)?;
        loop {
            let mut core = self.core();
            // With a full batch at hand, the log is waited for; with a full write buffer, at the head of the loop.
            if core.rewind || core.pipe.has_room() || core.pipe.is_pressed() {
                break;
            }
            let settled = core.pipe.settle(Duration::from_millis(20));
            drop(core);
            self.settled(settled)?;
        }
        self.send()
    }

    /// Sends what is at hand if the log has room, else waits a moment for it.
    fn send(&mut self) -> Result<(), Ended> {
        let mut core = self.core();
        core.pipe.idle();
        let mut settled = core.pipe.settle(Duration::ZERO);
        if settled.is_ok() && core.pipe.has_batch() && !core.rewind {
            if core.pipe.has_room() {
                if let Err(error) = core.claim(self.consumer) {
                    // The group is in motion, or has gone on without us: what is not claimed is not ours.
                    let why = format!("a claim was refused: {error}");
                    self.status.set(SourceState::Waiting, Some(why));
                    core.rewind = true;
                } else {
                    core.pipe.send();
                }
            } else {
                settled = core.pipe.settle(Duration::from_millis(1));
            }
        }
        let running = !core.resting && (core.owns_any() || self.spec.group.is_some());
        drop(core);
        if settled.is_ok() && running {
            self.note_running();
        }
        self.settled(settled)
    }

    fn note_running(&self) {
        if self.status.state().0 == SourceState::Starting {
            self.status.set(SourceState::Running, None);
        }
    }

    /// A batch was refused: what it held is read again.
    fn settled(&mut self, settled: Result<(), tsdb::Error>) -> Result<(), Ended> {
        let Err(error) = settled else { return Ok(()) };
        match error {
            tsdb::Error::TakenAlready { .. } | tsdb::Error::OutOfOrder { .. } => {
                tracing::info!(%error, "reading on from there");
            }
            tsdb::Error::Refused(_) => {
                tracing::info!(%error, "looking for the message that is at fault");
                // Should none of them be by itself, it comes here again and again.
                self.control.wait(PAUSE / 10);
            }
            tsdb::Error::Poisoned(_) => return Err(Ended::Failed(error.to_string())),
            tsdb::Error::Closed => return Err(Ended::Retry(error.to_string())),
            _ => {
                self.status
                    .set(SourceState::Waiting, Some(error.to_string()));
                self.control.wait(PAUSE);
            }
        }
        self.core().rewind = true;
        Ok(())
    }

    /// What callbacks and failures have left to be done.
    fn mend(&mut self) -> Result<(), Ended> {
        let mut core = self.core();
        if let Some(why) = core.fatal.take() {
            return Err(Ended::Retry(why));
        }
        if core.audit {
            core.look_after_places(self.consumer)?;
        }
        if core.rewind {
            core.read_again(self.consumer)?;
            let debts = std::mem::take(&mut core.debts);
            drop(core);
            if self.status.state().0 == SourceState::Waiting {
                self.status.set(SourceState::Running, None);
            }
            if !debts.is_empty() {
                settle_debts(self.spec, self.member, self.control, self.make_pipe, debts)?;
            }
        }
        Ok(())
    }

    fn trouble(&mut self, error: &KafkaError) -> Result<(), Ended> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.core().audit = true;
                Ok(())
            }
            _ if is_unknown(error) => {
                if self.spec.group.is_none() {
                    self.core().audit = true;
                }
                self.status
                    .set(SourceState::Waiting, Some(error.to_string()));
                self.control.wait(PAUSE);
                Ok(())
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                Err(Ended::Retry(error.to_string()))
            }
            _ => {
                tracing::debug!(%error, "kafka");
                Ok(())
            }
        }
    }

    /// Looks for new topics and partitions now and then, and whether the old ones are what they were.
    fn look(&mut self) -> Result<(), Ended> {
        if let Some(ids) = self
            .question
            .as_ref()
            .and_then(|q| q.answer(Duration::ZERO))
        {
            self.question = None;
            self.core().compare_topics(self.consumer, &ids)?;
        }
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        let first = self.looked.replace(Instant::now()).is_none();
        if self.spec.group.is_none()
            && let Err(error) = self.look_for_partitions()
        {
            let why = self.explained(&error);
            if first {
                return Err(Ended::Retry(why));
            }
            self.status.set(SourceState::Waiting, Some(why));
        }
        let mut core = self.core();
        if core.resting {
            core.ask_for_ends(self.consumer);
        }
        drop(core);
        if !first && self.question.is_none() {
            let question = self.core().ask_for_topics(self.consumer);
            self.question = question;
        }
        Ok(())
    }

    /// An error, with what librdkafka has told of the connection meanwhile.
    fn explained(&self, error: &KafkaError) -> String {
        // Its words wait until somebody polls; nothing is assigned that could be lost so, or it is read again.
        for _ in 0..ROUND {
            if let Some(Ok(_)) = self.consumer.poll(Duration::ZERO) {
                self.core().rewind = true;
            }
        }
        match self.core().trouble.take() {
            Some(trouble) => format!("{error}: {trouble}"),
            None => error.to_string(),
        }
    }

    fn look_for_partitions(&mut self) -> KafkaResult<()> {
        let found = partitions(self.consumer, self.spec, &self.matcher)?;
        let mut core = self.core();
        let mut fresh = TopicPartitionList::new();
        for element in found.elements() {
            if !core.owns(element.topic(), element.partition()) {
                fresh.add_partition(element.topic(), element.partition());
            }
        }
        if fresh.count() > 0 {
            core.add(self.consumer, &fresh)?;
        }
        let any = core.owns_any();
        drop(core);
        if any {
            if self.status.state().0 == SourceState::Waiting {
                self.status.set(SourceState::Running, None);
            }
        } else {
            let what = self.spec.endpoint();
            self.status.set(
                SourceState::Waiting,
                Some(format!("there is no such topic yet: {what}")),
            );
            // Whoever declares a stream before its topic does not want to wait long for it.
            self.looked = Some(Instant::now() - LOOK + PAUSE * 5);
        }
        Ok(())
    }

    /// Reads no further, until whatever it was that made us stop is over.
    fn pause(&mut self, state: SourceState) -> Result<(), Ended> {
        let mut core = self.core();
        if !core.resting {
            core.resting = true;
            self.consumer.pause(&core.reading())?;
        }
        drop(core);
        self.status.set(state, None);
        self.send()?;
        self.control.wait(Duration::from_millis(5));
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Ended> {
        let mut core = self.core();
        core.resting = false;
        self.consumer.resume(&core.reading())?;
        drop(core);
        self.status.set(SourceState::Running, None);
        Ok(())
    }

    /// A message can't be decoded now: what came before it is sent, and it is read again later.
    fn wait(&mut self, wait: &crate::decode::Wait) -> Result<(), Ended> {
        self.send()?;
        self.status
            .set(SourceState::Waiting, Some(wait.reason.clone()));
        let list = self.core().reading();
        self.consumer.pause(&list)?;
        let until = Instant::now() + wait.after;
        while Instant::now() < until && self.control.wish() == Wish::Run {
            // Keeps our place in the group.
            if let Some(Err(error)) = self.consumer.poll(IDLE) {
                self.trouble(&error)?;
            }
            let settled = self.core().pipe.settle(Duration::ZERO);
            self.settled(settled)?;
        }
        self.consumer.resume(&self.core().reading())?;
        self.core().rewind = true;
        Ok(())
    }

    /// Takes what is at hand.
    fn end(&mut self) -> Result<(), Ended> {
        let mut core = self.core();
        if !core.rewind && core.claim(self.consumer).is_ok() {
            core.pipe.finish()?;
        } else {
            core.pipe.clear();
        }
        Ok(())
    }
}

/// The partitions that are meant, as the brokers know them now.
pub(super) fn partitions(
    consumer: &Consumer,
    spec: &KafkaSpec,
    matcher: &dyn Fn(&str) -> bool,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    let names: Vec<Option<&str>> = match &spec.topics {
        Topics::Named(names) => names.iter().map(|n| Some(n.as_str())).collect(),
        Topics::Matching(_) => vec![None],
    };
    for name in names {
        let metadata = consumer.fetch_metadata(name, PATIENCE)?;
        for topic in metadata.topics() {
            if !matcher(topic.name()) {
                continue;
            }
            if let Some(error) = topic.error() {
                let code = RDKafkaErrorCode::from(error);
                match code {
                    RDKafkaErrorCode::UnknownTopicOrPartition => continue,
                    _ => return Err(KafkaError::MetadataFetch(code)),
                }
            }
            for partition in topic.partitions() {
                list.add_partition(topic.name(), partition.id());
            }
        }
    }
    Ok(list)
}
