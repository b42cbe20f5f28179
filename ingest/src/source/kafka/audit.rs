//! Whether partitions and topics still are what they were, and how far they reach.

use super::client::{Consumer, Statistics};
use super::core::{Core, PATIENCE};
use super::topic_id::Question;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;

/// Partitions whose ends are asked for at a time.
const ENDS: usize = 64;

impl Core {
    /// Stops a partition: nothing more is read of it until the source starts anew.
    pub(super) fn stop(&mut self, slot: usize, why: String) {
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
        for slot in owned.iter().copied() {
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
        } else {
            // Something was out of place, and nothing is: librdkafka itself does not read on from there.
            self.fatal = Some("its places are to be looked up anew".into());
        }
        Ok(())
    }

    /// Asks what the topics are by now; `None` where none is known.
    pub(super) fn ask_for_topics<'c>(&self, consumer: &'c Consumer) -> Option<Question<'c>> {
        let names: Vec<&str> = self.by_topic.keys().map(String::as_str).collect();
        (!names.is_empty()).then(|| Question::ask(consumer, &names, PATIENCE))
    }

    /// Stops the partitions whose topics are others by now, under the same names.
    pub(super) fn compare_topics(
        &mut self,
        consumer: &Consumer,
        ids: &HashMap<String, String>,
    ) -> KafkaResult<()> {
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

    /// Asks where partitions end: of those that are not fetched the statistics don't tell. A few at a time, in turn.
    pub(super) fn ask_for_ends(&mut self, consumer: &Consumer) {
        let owned = self.parts.iter().filter(|p| p.owned).count();
        for _ in 0..owned.min(ENDS) {
            self.asked = (self.asked + 1) % self.parts.len();
            let part = &self.parts[self.asked];
            if !part.owned {
                continue;
            }
            match consumer.fetch_watermarks(&part.topic, part.partition, PATIENCE) {
                Ok((_, end)) => self.pipe.partition(self.asked).set_end(end.cast_unsigned()),
                Err(error) => {
                    tracing::debug!(%error, "where a partition ends can't be learnt now");
                    return;
                }
            }
        }
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
}

pub(super) const RECREATED: &str = "the topic was deleted and made anew since: its offsets mean other records now. Drop the stream and \
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
