//! Which partitions are read, from where, and who has claimed what.

use super::claims::Claims;
use super::client::{Consumer, Statistics};
use super::spec::{KafkaSpec, Start};
use super::topic_id::topic_ids;
use crate::decode::Wait;
use crate::source::pipe::Pipe;
use crate::source::status::SourceState;
use crate::source::{Header, Record};
use hashbrown::HashMap;
use rdkafka::consumer::{CommitMode, Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// How long a question to the brokers may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A partition; its number is that of its slot in the pipe.
struct Part {
    topic: String,
    partition: i32,
    /// It is ours to read.
    owned: bool,
    /// It stands still, for a reason that its status tells.
    stopped: bool,
    /// Where reading began; a logical offset until the first record has come.
    base: Offset,
    /// Of a group: the committed offset, below which all is claimed.
    claimed: Option<u64>,
    claims: Claims,
}

/// A range that this member has claimed and not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What the reading thread and librdkafka's callbacks share.
pub(super) struct Core {
    pub(super) spec: KafkaSpec,
    /// Names this database among the members of a group.
    member: String,
    pub(super) pipe: Pipe,
    parts: Vec<Part>,
    by_topic: HashMap<String, Vec<Option<usize>>, ahash::RandomState>,
    /// The partition of the last message.
    last: usize,
    /// What was read and not sent is lost: partitions must be read again.
    pub(super) rewind: bool,
    /// A partition may have lost the place where we are.
    pub(super) audit: bool,
    /// The consumer is of no more use.
    pub(super) fatal: Option<String>,
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
            rewind: false,
            audit: false,
            fatal: None,
            debts: Vec::new(),
        }
    }

    fn find(&self, topic: &str, partition: i32) -> Option<usize> {
        let of_topic = self.by_topic.get(topic)?;
        *of_topic.get(usize::try_from(partition).ok()?)?
    }

    /// Makes a partition known.
    fn part(&mut self, topic: &str, partition: i32, origin: &str) -> usize {
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
        let headers: Vec<Header<'_>> = match message.headers() {
            Some(headers) => headers.iter().map(|h| (h.key, h.value)).collect(),
            None => Vec::new(),
        };
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
    fn begin(
        &mut self,
        consumer: &Consumer,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<TopicPartitionList> {
        let committed = match self.spec.group {
            Some(_) => Some(consumer.committed_offsets(partitions.clone(), PATIENCE)?),
            None => None,
        };
        let elements = partitions.elements();
        let mut topics: Vec<&str> = elements.iter().map(|e| e.topic()).collect();
        topics.sort_unstable();
        topics.dedup();
        let ids = topic_ids(consumer, &topics, PATIENCE);
        let mut fresh = Vec::new();
        for element in &elements {
            let (topic, partition) = (element.topic(), element.partition());
            let id = ids.get(topic).map_or("", String::as_str);
            let slot = self.part(topic, partition, id);
            let old = self.pipe.origin_taken(slot);
            let part = &mut self.parts[slot];
            part.owned = true;
            part.stopped = false;
            part.claims = Claims::default();
            part.claimed = None;
            let of_group = committed
                .as_ref()
                .and_then(|c| c.find_partition(topic, partition));
            if let Some(element) = &of_group
                && let Offset::Offset(offset) = element.offset()
            {
                part.claims = Claims::parse(element.metadata());
                part.claimed = Some(offset.cast_unsigned());
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
            if let Start::Time(ms) = self.spec.start {
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
        Ok(())
    }

    /// The group has given us partitions.
    pub(super) fn assigned(&mut self, consumer: &Consumer, partitions: &TopicPartitionList) {
        let list = match self.begin(consumer, partitions) {
            Ok(list) => list,
            Err(error) => {
                self.fatal = Some(format!("where partitions begin can't be learnt: {error}"));
                TopicPartitionList::new()
            }
        };
        let outcome = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative if list.count() > 0 => {
                consumer.incremental_assign(&list)
            }
            RebalanceProtocol::Cooperative => {
                // The group waits for an answer, also where no partition of it can be read.
                consumer.incremental_assign(&TopicPartitionList::new())
            }
            _ => consumer.assign(&list),
        };
        if let Err(error) = outcome {
            self.fatal
                .get_or_insert(format!("partitions can't be taken on: {error}"));
        }
    }

    /// The group takes partitions away. What was read of them and can be claimed still is ours; the rest is another's.
    pub(super) fn revoked(&mut self, consumer: &Consumer, partitions: &TopicPartitionList) {
        if consumer.assignment_lost() || self.claim(consumer).is_err() {
            self.pipe.clear();
            self.rewind = true;
        } else {
            self.pipe.send();
        }
        for element in partitions.elements() {
            if let Some(slot) = self.find(element.topic(), element.partition()) {
                self.parts[slot].owned = false;
                self.pipe
                    .status()
                    .forget(&format!("{}/{}", element.topic(), element.partition()));
            }
        }
        let outcome = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
            _ => consumer.unassign(),
        };
        if let Err(error) = outcome {
            self.fatal
                .get_or_insert(format!("partitions can't be given back: {error}"));
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
        for (slot, from, next) in self.pipe.spans() {
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
        consumer.commit(&list, CommitMode::Sync)?;
        for (slot, next) in claimed {
            self.parts[slot].claimed = Some(next);
        }
        Ok(())
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
            consumer.seek_partitions(list, PATIENCE)?;
        }
        Ok(())
    }

    /// What was claimed of a partition and not taken.
    fn debt(&self, slot: usize) -> Option<Debt> {
        let part = &self.parts[slot];
        let (from, to) = part.claims.of(&self.member, part.claimed?)?;
        let from = self.pipe.taken(slot).unwrap_or(0).max(from);
        (from < to).then(|| Debt {
            topic: part.topic.clone(),
            partition: part.partition,
            from,
            to,
        })
    }

    /// What an earlier run has claimed and not taken, of the partitions given.
    pub(super) fn old_debts(
        &mut self,
        consumer: &Consumer,
        partitions: TopicPartitionList,
    ) -> KafkaResult<Vec<Debt>> {
        let committed = consumer.committed_offsets(partitions, PATIENCE)?;
        let mut debts = Vec::new();
        for element in committed.elements() {
            let Offset::Offset(offset) = element.offset() else {
                continue;
            };
            let slot = self.part(element.topic(), element.partition(), "");
            let part = &mut self.parts[slot];
            part.claims = Claims::parse(element.metadata());
            part.claimed = Some(offset.cast_unsigned());
            debts.extend(self.debt(slot));
        }
        Ok(debts)
    }

    /// Takes partitions on for the sake of a debt alone.
    pub(super) fn begin_debts(&mut self, consumer: &Consumer, debts: &[Debt]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for debt in debts {
            let slot = self.part(&debt.topic, debt.partition, "");
            self.parts[slot].owned = true;
            self.parts[slot].base = Offset::Offset(debt.from.cast_signed());
            self.pipe.restart(slot, debt.from);
            list.add_partition_offset(&debt.topic, debt.partition, self.parts[slot].base)?;
        }
        consumer.assign(&list)
    }

    /// Whether a debt is settled as far as reading goes.
    pub(super) fn is_read(&self, debt: &Debt) -> bool {
        self.find(&debt.topic, debt.partition)
            .is_some_and(|slot| self.pipe.reached(slot) >= debt.to)
    }

    /// Notes that a partition's owner has read up to a place, though no record of ours lies before it.
    pub(super) fn skip_to(&mut self, topic: &str, partition: i32, next: u64) {
        if let Some(slot) = self.find(topic, partition) {
            self.pipe.skip_to(slot, next);
        }
    }

    /// Stops a partition: nothing more is read of it until the source starts anew.
    fn stop(&mut self, slot: usize, why: String) {
        let part = &mut self.parts[slot];
        part.stopped = true;
        let (topic, partition) = (&part.topic, part.partition);
        tracing::error!(topic, partition, why, "the partition has stopped");
        self.pipe.partition(slot).stop(Some(why));
    }

    /// Looks which partitions no longer have the place where we are, and stops them.
    pub(super) fn look_after_places(&mut self, consumer: &Consumer) -> KafkaResult<()> {
        self.audit = false;
        let owned: Vec<usize> = (0..self.parts.len())
            .filter(|s| self.parts[*s].owned && !self.parts[*s].stopped)
            .collect();
        let mut stopped = TopicPartitionList::new();
        for slot in owned {
            let (topic, partition) = (self.parts[slot].topic.clone(), self.parts[slot].partition);
            let (low, high) = match consumer.fetch_watermarks(&topic, partition, PATIENCE) {
                Ok(marks) => marks,
                Err(error) if is_unknown(&error) => {
                    self.stop(slot, "the topic is gone".into());
                    stopped.add_partition(&topic, partition);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let at = self.pipe.reached(slot).cast_signed();
            let why = match self.parts[slot].base {
                // It begins wherever the partition does.
                Offset::Beginning if at == 0 => continue,
                _ if at < low => format!(
                    "the records from {at} on were to be read next, and the topic begins at {low} now: it was truncated, \
                     or its retention is too short"
                ),
                _ if at > high => format!(
                    "the records from {at} on were to be read next, and the topic ends at {high}: it was recreated or \
                     truncated"
                ),
                _ => continue,
            };
            self.stop(slot, format!("{why}. {AFTER_STOP}"));
            stopped.add_partition(&topic, partition);
        }
        if stopped.count() > 0 {
            consumer.pause(&stopped)?;
        }
        Ok(())
    }

    /// Stops the partitions whose topics are others by now, under the same names.
    pub(super) fn look_after_topics(&mut self, consumer: &Consumer) -> KafkaResult<()> {
        let mut topics: Vec<String> = self.by_topic.keys().cloned().collect();
        topics.sort_unstable();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let ids = topic_ids(consumer, &names, PATIENCE);
        let mut stopped = TopicPartitionList::new();
        for slot in 0..self.parts.len() {
            let part = &self.parts[slot];
            let other = ids.get(&part.topic).is_some_and(|id| {
                !self.pipe.origin(slot).is_empty() && **id != **self.pipe.origin(slot)
            });
            if part.owned && !part.stopped && other {
                stopped.add_partition(&part.topic.clone(), part.partition);
                self.stop(slot, RECREATED.into());
            }
        }
        if stopped.count() > 0 {
            // What waits of them was read under the old name.
            self.pipe.clear();
            self.rewind = true;
            consumer.pause(&stopped)?;
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

    pub(super) fn note_ends(&mut self, statistics: &Statistics<'_>) {
        for (topic, of_topic) in &statistics.topics {
            for (partition, known) in &of_topic.partitions {
                let end = [known.ls_offset, known.hi_offset]
                    .into_iter()
                    .find(|o| *o >= 0);
                if let (Some(end), Some(slot)) = (end, self.find(topic, *partition))
                    && self.parts[slot].owned
                {
                    self.pipe.partition(slot).set_end(end.cast_unsigned());
                }
            }
        }
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
                self.pipe
                    .status()
                    .set(SourceState::Waiting, Some(format!("{code}: {reason}")));
            }
            _ => tracing::debug!(%error, reason, "kafka"),
        }
    }
}

const RECREATED: &str = "the topic was deleted and made anew since: its offsets mean other records now. Drop the stream and \
                         create it again to read the new topic";
const AFTER_STOP: &str = "Drop the stream and create it again to start from what is there";

/// Whether an error says that there is no such topic or partition.
pub(super) fn is_unknown(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
        )
    )
}
