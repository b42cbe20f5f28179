//! Which partitions are read, from where, and who has claimed what.

use super::audit::RECREATED;
use super::claims::Claims;
use super::client::Consumer;
use super::debts::Debt;
use super::group::Membership;
use super::headers::headers;
use super::spec::KafkaSpec;
use super::topic_id::Question;
use crate::decode::Wait;
use crate::source::pipe::Pipe;
use crate::source::status::SourceState;
use crate::source::{Header, Record, Start};
use hashbrown::HashMap;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// How long a question to the brokers may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A partition; its number is that of its slot in the pipe.
pub(super) struct Part {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// It is ours to read.
    pub(super) owned: bool,
    /// It stands still, for a reason that its status tells.
    pub(super) stopped: bool,
    /// Where reading began; a logical offset until the first record has come.
    pub(super) base: Offset,
    /// Of a group: the committed offset, below which all is claimed.
    pub(super) claimed: Option<u64>,
    pub(super) claims: Claims,
    /// A claim was refused, or its answer did not come: the broker may have it.
    pub(super) doubt: bool,
}

/// What the reading thread and librdkafka's callbacks share.
pub(super) struct Core {
    pub(super) spec: KafkaSpec,
    /// Names this database among the members of a group.
    pub(super) member: String,
    pub(super) pipe: Pipe,
    pub(super) parts: Vec<Part>,
    pub(super) by_topic: HashMap<String, Vec<Option<usize>>, ahash::RandomState>,
    /// The partition of the last message.
    pub(super) last: usize,
    /// The partition whose end was asked for last.
    pub(super) asked: usize,
    /// What was read and not sent is lost: partitions must be read again.
    pub(super) rewind: bool,
    /// A partition may have lost the place where we are.
    pub(super) audit: bool,
    /// Nothing is to be read, whatever partitions we are given.
    pub(super) resting: bool,
    /// The last trouble with the connection that the brokers' silence alone does not tell: a refused login, say.
    pub(super) trouble: Option<String>,
    /// The consumer is of no more use.
    pub(super) fatal: Option<String>,
    pub(super) membership: Membership,
    /// Ranges of partitions that are others' by now.
    pub(super) debts: Vec<Debt>,
}

impl Core {
    pub(super) fn new(spec: KafkaSpec, member: &str, pipe: Pipe) -> Core {
        Core {
            spec,
            member: member.into(),
            pipe,
            parts: Vec::new(),
            by_topic: HashMap::default(),
            last: 0,
            asked: 0,
            rewind: false,
            audit: false,
            resting: false,
            trouble: None,
            fatal: None,
            membership: Membership::default(),
            debts: Vec::new(),
        }
    }

    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<usize> {
        let of_topic = self.by_topic.get(topic)?;
        *of_topic.get(usize::try_from(partition).ok()?)?
    }

    /// Makes a partition known.
    pub(super) fn part(&mut self, topic: &str, partition: i32, origin: &str) -> usize {
        let slot = self.pipe.slot(&format!("{topic}/{partition}"), origin);
        if slot == self.parts.len() {
            self.parts.push(Part {
                topic: topic.into(),
                partition,
                owned: false,
                stopped: false,
                base: Offset::Beginning,
                claimed: None,
                claims: Claims::default(),
                doubt: false,
            });
            let of_topic = self.by_topic.entry(topic.into()).or_default();
            let at = usize::try_from(partition).unwrap_or(0);
            if of_topic.len() <= at {
                of_topic.resize(at + 1, None);
            }
            of_topic[at] = Some(slot);
        }
        slot
    }

    /// Whether a partition is read already.
    pub(super) fn owns(&self, topic: &str, partition: i32) -> bool {
        self.find(topic, partition)
            .is_some_and(|slot| self.parts[slot].owned)
    }

    /// Whether any partition is read.
    pub(super) fn owns_any(&self) -> bool {
        self.parts.iter().any(|p| p.owned)
    }

    /// Takes a message.
    ///
    /// # Errors
    /// When it can't be decoded now.
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Wait> {
        let (topic, partition) = (message.topic(), message.partition());
        let same = |p: &Part| p.partition == partition && p.topic == topic;
        let slot = if self.parts.get(self.last).is_some_and(same) {
            self.last
        } else {
            let Some(slot) = self.find(topic, partition) else {
                return Ok(());
            };
            self.last = slot;
            slot
        };
        let part = &mut self.parts[slot];
        // What was fetched before a partition was revoked, stopped or is to be read again.
        if !part.owned || part.stopped || self.rewind {
            return Ok(());
        }
        let offset = message.offset();
        if !matches!(part.base, Offset::Offset(_)) {
            part.base = Offset::Offset(offset);
        }
        let named = headers(message);
        let headers: Vec<Header<'_>> = named.iter().map(|(n, v)| (n.as_ref(), *v)).collect();
        let record = Record {
            key: message.key(),
            value: message.payload(),
            headers: &headers,
            time_ns: message
                .timestamp()
                .to_millis()
                .and_then(|ms| ms.checked_mul(1_000_000)),
            topic,
            partition,
            offset: offset.cast_unsigned(),
        };
        self.pipe.push(slot, &record)
    }

    /// Begins to read partitions that are ours from now on, and gives those that can be, with their offsets.
    pub(super) fn begin(
        &mut self,
        consumer: &Consumer,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<TopicPartitionList> {
        let elements = partitions.elements();
        let mut topics: Vec<&str> = elements.iter().map(|e| e.topic()).collect();
        topics.sort_unstable();
        topics.dedup();
        let question = (!topics.is_empty()).then(|| Question::ask(consumer, &topics, PATIENCE));
        let committed = match self.spec.group {
            Some(_) => Some(consumer.committed_offsets(partitions.clone(), PATIENCE)?),
            None => None,
        };
        let ids = question
            .and_then(|q| q.answer(PATIENCE))
            .unwrap_or_default();
        let mut fresh = Vec::new();
        for element in &elements {
            let (topic, partition) = (element.topic(), element.partition());
            let id = ids.get(topic).map_or("", String::as_str);
            let slot = self.part(topic, partition, id);
            let old = self.pipe.origin_taken(slot);
            let part = &mut self.parts[slot];
            part.stopped = false;
            part.doubt = false;
            part.claims = Claims::default();
            part.claimed = None;
            let of_group = committed
                .as_ref()
                .and_then(|c| c.find_partition(topic, partition));
            if let Some(element) = &of_group {
                element.error()?;
                if let Offset::Offset(offset) = element.offset() {
                    part.claims = Claims::parse(element.metadata());
                    part.claimed = Some(offset.cast_unsigned());
                }
            }
            if id.is_empty() && old.as_ref().is_some_and(|old| !old.is_empty()) {
                // Whether the topic is still the same one can't be told now.
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::RequestTimedOut));
            }
            let recreated = old.is_some_and(|old| !id.is_empty() && !old.is_empty() && *old != *id);
            let next = self.next_of(slot);
            match next {
                _ if recreated => self.stop(slot, RECREATED.into()),
                Some(next) => {
                    self.parts[slot].base = Offset::Offset(next.cast_signed());
                    self.pipe.restart(slot, next);
                    self.pipe.partition(slot).stop(None);
                }
                None => fresh.push(slot),
            }
        }
        self.begin_fresh(consumer, &fresh)?;
        let mut out = TopicPartitionList::new();
        for element in &elements {
            let Some(slot) = self.find(element.topic(), element.partition()) else {
                continue;
            };
            let part = &self.parts[slot];
            if !part.stopped {
                out.add_partition_offset(&part.topic, part.partition, part.base)?;
            }
        }
        Ok(out)
    }

    /// Where a partition goes on that was read before, by us or by another member of the group.
    fn next_of(&mut self, slot: usize) -> Option<u64> {
        let taken = self.pipe.taken(slot);
        let part = &self.parts[slot];
        let Some(committed) = part.claimed else {
            return taken;
        };
        // A claim may have reached the broker although its answer did not reach us: what was not taken of it is owed.
        let Some(debt) = self.debt(slot) else {
            return Some(committed);
        };
        if part.claims.is_owner(&self.member) {
            return Some(debt.from);
        }
        self.debts.push(debt);
        self.rewind = true;
        Some(committed)
    }

    /// Finds where partitions begin that nobody has read before.
    fn begin_fresh(&mut self, consumer: &Consumer, slots: &[usize]) -> KafkaResult<()> {
        if slots.is_empty() {
            return Ok(());
        }
        let mut times = TopicPartitionList::new();
        for slot in slots {
            let part = &mut self.parts[*slot];
            part.base = Offset::Beginning;
            if let Start::Time(ns) = self.spec.start {
                let ms = ns / 1_000_000;
                times.add_partition_offset(&part.topic, part.partition, Offset::Offset(ms))?;
            }
        }
        if self.spec.start == Start::Earliest {
            for slot in slots {
                self.pipe.restart(*slot, 0);
                self.pipe.partition(*slot).stop(None);
            }
            return Ok(());
        }
        let found = match self.spec.start {
            Start::Time(_) => Some(consumer.offsets_for_times(times, PATIENCE)?),
            _ => None,
        };
        for slot in slots {
            let part = &self.parts[*slot];
            let of_time = found
                .as_ref()
                .and_then(|f| f.find_partition(&part.topic, part.partition));
            let next = match of_time.map(|e| e.offset()) {
                Some(Offset::Offset(offset)) => offset,
                _ => {
                    consumer
                        .fetch_watermarks(&part.topic, part.partition, PATIENCE)?
                        .1
                }
            };
            self.parts[*slot].base = Offset::Offset(next);
            self.pipe.restart(*slot, next.cast_unsigned());
            self.pipe.partition(*slot).stop(None);
            // It stays the beginning, although nothing may come before the next start.
            self.pipe.mark(*slot);
        }
        Ok(())
    }

    /// Reads partitions that belong to nobody else.
    pub(super) fn add(
        &mut self,
        consumer: &Consumer,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<()> {
        let list = self.begin(consumer, partitions)?;
        if list.count() > 0 {
            consumer.incremental_assign(&list)?;
        }
        self.own(consumer, partitions, &list)
    }

    /// Partitions are ours, and those of `list` were assigned.
    pub(super) fn own(
        &mut self,
        consumer: &Consumer,
        partitions: &TopicPartitionList,
        list: &TopicPartitionList,
    ) -> KafkaResult<()> {
        for element in partitions.elements() {
            if let Some(slot) = self.find(element.topic(), element.partition()) {
                self.parts[slot].owned = true;
            }
        }
        match self.resting && list.count() > 0 {
            true => consumer.pause(list),
            false => Ok(()),
        }
    }

    /// Claims what the batch at hand holds, where members share partitions.
    ///
    /// # Errors
    /// When it may be another's: it must not be taken then.
    pub(super) fn claim(&mut self, consumer: &Consumer) -> KafkaResult<()> {
        if self.spec.group.is_none() {
            return Ok(());
        }
        let (mut list, mut claimed) = (TopicPartitionList::new(), Vec::new());
        let spans: Vec<_> = self.pipe.spans().collect();
        for (slot, from, next) in spans {
            let part = &mut self.parts[slot];
            if part.claimed.is_some_and(|c| c >= next) {
                continue;
            }
            part.claims
                .take_over(&self.member, part.claimed.unwrap_or(from));
            let mut element = list.add_partition(&part.topic, part.partition);
            element.set_offset(Offset::Offset(next.cast_signed()))?;
            element.set_metadata(part.claims.text());
            claimed.push((slot, next));
        }
        if claimed.is_empty() {
            return Ok(());
        }
        // Fenced, but not told yet: a group that is empty by then would take even this, and forget who has claimed more.
        if consumer.assignment_lost() {
            return Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::IllegalGeneration,
            ));
        }
        let outcome = consumer.commit(&list, CommitMode::Sync);
        for (slot, next) in claimed {
            self.parts[slot].doubt = outcome.is_err();
            if outcome.is_ok() {
                self.parts[slot].claimed = Some(next);
            }
        }
        outcome
    }

    /// Reads again what was read and not taken, once all that was sent has been answered.
    pub(super) fn read_again(&mut self, consumer: &Consumer) -> KafkaResult<()> {
        self.pipe.clear();
        let mut list = TopicPartitionList::new();
        for slot in 0..self.parts.len() {
            let taken = self.pipe.taken(slot);
            let part = &self.parts[slot];
            if !part.owned {
                self.debts.extend(self.debt(slot));
                continue;
            }
            if part.stopped {
                continue;
            }
            let from = match (part.base, taken) {
                (Offset::Offset(base), Some(taken)) => base.max(taken.cast_signed()),
                (Offset::Offset(base), None) => base,
                (_, Some(taken)) => taken.cast_signed(),
                (_, None) => 0,
            };
            let offset = match part.base {
                logical if from == 0 && !matches!(logical, Offset::Offset(_)) => logical,
                _ => Offset::Offset(from),
            };
            list.add_partition_offset(&part.topic, part.partition, offset)?;
            self.pipe.restart(slot, from.cast_unsigned());
        }
        self.rewind = false;
        if list.count() > 0 {
            let found = consumer.seek_partitions(list, PATIENCE)?;
            found.elements().iter().try_for_each(|e| e.error())?;
        }
        Ok(())
    }

    /// All partitions that are read, for pausing and resuming.
    pub(super) fn reading(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for part in self.parts.iter().filter(|p| p.owned && !p.stopped) {
            list.add_partition(&part.topic, part.partition);
        }
        list
    }

    pub(super) fn note_error(&mut self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        match code {
            RDKafkaErrorCode::Fatal => self.fatal = Some(reason.to_owned()),
            RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SSL => {
                let why = format!("{code}: {reason}");
                if code != RDKafkaErrorCode::AllBrokersDown {
                    self.trouble = Some(why.clone());
                }
                self.pipe.status().set(SourceState::Waiting, Some(why));
            }
            _ => tracing::debug!(%error, reason, "kafka"),
        }
    }
}
