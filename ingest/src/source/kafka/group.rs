//! A member's part in its group: partitions come and go, and in the end it leaves.

use super::client::Consumer;
use super::core::Core;
use super::reader::IDLE;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use std::time::{Duration, Instant};

/// How long a group may take to let go of a member that leaves.
const FAREWELL: Duration = Duration::from_secs(2);

/// Whether partitions are taken on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Membership {
    /// They are.
    #[default]
    Member,
    /// No more: those that still come are declined, and those that were taken on are given back.
    Leaving,
    /// The consumer is about to be closed.
    Left,
    /// The consumer is being closed, and has given back all at once.
    Closed,
}

impl Core {
    /// The group gives us partitions, or takes them away. It waits for our answer, also when the consumer is to be closed.
    pub(super) fn rebalance(
        &mut self,
        consumer: &Consumer,
        given: bool,
        partitions: &TopicPartitionList,
    ) {
        let (group, lost) = (self.spec.group.as_deref(), consumer.assignment_lost());
        let (count, membership) = (partitions.count(), self.membership);
        tracing::debug!(
            group,
            given,
            partitions = count,
            lost,
            ?membership,
            "rebalance"
        );
        let outcome = match self.membership {
            Membership::Member if given => self.assigned(consumer, partitions),
            Membership::Member => self.revoked(consumer, partitions, lost),
            Membership::Leaving if given => consumer.incremental_assign(&TopicPartitionList::new()),
            Membership::Leaving => self.give_back(consumer, partitions),
            // librdkafka takes any answer for that to give back all, and to all that it has asked. Once it has one, the group
            // may end: what is asked of it then gets no answer, ever (librdkafka 2.12).
            Membership::Left => {
                self.membership = Membership::Closed;
                consumer.unassign()
            }
            Membership::Closed => Ok(()),
        };
        if let Err(error) = outcome {
            let what = if given { "taken on" } else { "given back" };
            self.fatal
                .get_or_insert(format!("partitions can't be {what}: {error}"));
        }
    }

    fn assigned(
        &mut self,
        consumer: &Consumer,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<()> {
        let none = TopicPartitionList::new();
        if partitions.count() == 0 {
            return consumer.incremental_assign(&none);
        }
        let list = match self.begin(consumer, partitions) {
            Ok(list) => list,
            Err(error) => {
                self.fatal = Some(format!("where partitions begin can't be learnt: {error}"));
                return consumer.incremental_assign(&none);
            }
        };
        match consumer.incremental_assign(&list) {
            Ok(()) => self.own(consumer, partitions, &list),
            // None of them is an answer, too.
            Err(error) => consumer.incremental_assign(&none).and(Err(error)),
        }
    }

    /// What was read of the partitions and can be claimed still is ours; the rest is another's.
    fn revoked(
        &mut self,
        consumer: &Consumer,
        partitions: &TopicPartitionList,
        lost: bool,
    ) -> KafkaResult<()> {
        if lost || self.claim(consumer).is_err() {
            self.pipe.clear();
            self.rewind = true;
        } else {
            self.pipe.send();
        }
        self.give_back(consumer, partitions)
    }

    /// Gives back those of the partitions that were taken on: where some can't be read, not all of them were, and to name one
    /// that was not is an error.
    fn give_back(
        &mut self,
        consumer: &Consumer,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<()> {
        let (mut held, all) = (TopicPartitionList::new(), consumer.assignment());
        for element in partitions.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            if let Ok(all) = &all
                && all.find_partition(topic, partition).is_some()
            {
                held.add_partition(topic, partition);
            }
            let Some(slot) = self.find(topic, partition) else {
                continue;
            };
            self.parts[slot].owned = false;
            if self.parts[slot].doubt {
                // What we have claimed of it the broker alone knows by now: a new consumer asks before it joins.
                self.fatal
                    .get_or_insert("whether a claim was taken is not known".into());
            }
            self.pipe.status().forget(&format!("{topic}/{partition}"));
        }
        consumer.incremental_unassign(&held).and(all.map(|_| ()))
    }
}

/// Leaves the group, so that the others need not wait until they miss us, and so that nothing is left to be asked when the consumer
/// is closed.
///
/// What was read and not claimed stays theirs.
pub(super) fn leave(consumer: &Consumer) {
    let core = &consumer.context().core;
    {
        let mut core = core.lock();
        if core.spec.group.is_none() {
            return;
        }
        core.pipe.clear();
        core.membership = Membership::Leaving;
    }
    consumer.unsubscribe();
    let until = Instant::now() + FAREWELL;
    loop {
        let begun = Instant::now();
        let came = consumer.poll(IDLE).is_some();
        let owns = core.lock().owns_any();
        // Polling ends early for whatever there was.
        let quiet = !came && begun.elapsed() >= IDLE;
        if (quiet && !owns) || Instant::now() >= until {
            break;
        }
    }
    core.lock().membership = Membership::Left;
}
