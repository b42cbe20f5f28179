//! What this member has claimed of partitions and not taken, and how it is settled.

use super::claims::Claims;
use super::client::Consumer;
use super::core::{Core, PATIENCE};
use super::reader::{IDLE, consumer, partitions};
use super::spec::KafkaSpec;
use crate::source::Record;
use crate::source::control::{Control, Ended, Wish};
use crate::source::pipe::Pipe;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::{Message, Offset, TopicPartitionList};

/// A range that this member has claimed and not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Core {
    /// What was claimed of a partition and not taken.
    pub(super) fn debt(&self, slot: usize) -> Option<Debt> {
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
            element.error()?;
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

    /// Takes partitions on for the sake of a debt alone. Of a debt whose records are gone a dead letter is left.
    pub(super) fn begin_debts(&mut self, consumer: &Consumer, debts: &[Debt]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for debt in debts {
            let (low, high) = consumer.fetch_watermarks(&debt.topic, debt.partition, PATIENCE)?;
            let from = match high.cast_unsigned() < debt.to {
                true => debt.to,
                false => low.cast_unsigned().clamp(debt.from, debt.to),
            };
            let slot = self.part(&debt.topic, debt.partition, "");
            self.parts[slot].owned = true;
            self.parts[slot].base = Offset::Offset(from.cast_signed());
            self.pipe.restart(slot, debt.from);
            if from > debt.from {
                let why = format!(
                    "the records from {} on up to {from} were this server's to take, and the topic begins at {low} and ends at \
                     {high} now",
                    debt.from
                );
                tracing::error!(topic = debt.topic, partition = debt.partition, why);
                let record = Record {
                    topic: &debt.topic,
                    partition: debt.partition,
                    offset: debt.from,
                    ..Record::default()
                };
                self.pipe.write_off(slot, &record, from, why);
            }
            if from == debt.to {
                continue;
            }
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
}

/// Takes what an earlier run of this member has claimed and not taken: it may be gone from the group since.
pub(super) fn settle_old_debts(
    spec: &KafkaSpec,
    member: &str,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
    matcher: &dyn Fn(&str) -> bool,
) -> Result<(), Ended> {
    let consumer = consumer(spec, member, make_pipe()?)?;
    let all = partitions(&consumer, spec, matcher)?;
    if all.count() == 0 {
        return Ok(());
    }
    let debts = consumer.context().core.lock().old_debts(&consumer, all)?;
    if debts.is_empty() {
        return Ok(());
    }
    settle_debts(spec, member, control, make_pipe, debts)
}

/// Reads ranges that are claimed already, outside of the group.
pub(super) fn settle_debts(
    spec: &KafkaSpec,
    member: &str,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
    mut debts: Vec<Debt>,
) -> Result<(), Ended> {
    tracing::info!(
        partitions = debts.len(),
        "reading what was claimed and not taken before"
    );
    let alone = KafkaSpec {
        group: None,
        ..spec.clone()
    };
    let consumer = consumer(&alone, member, make_pipe()?)?;
    let core = &consumer.context().core;
    core.lock().begin_debts(&consumer, &debts)?;
    while !debts.is_empty() {
        if control.wish() == Wish::End {
            // They are still in the group's records: nothing more is to be claimed before they are taken.
            return Err(Ended::Told);
        }
        match consumer.poll(IDLE) {
            Some(Ok(message)) => {
                let (topic, partition) = (message.topic(), message.partition());
                let end = end_of_debt(&debts, topic, partition);
                let mut core = core.lock();
                match end {
                    Some(end) if message.offset().cast_unsigned() < end => {
                        core.take(&message).map_err(|w| Ended::Retry(w.reason))?;
                    }
                    // What lies between was never a record, or is gone. What follows the debt is another's, however far the log is.
                    Some(end) => core.skip_to(topic, partition, end),
                    None => {}
                }
                if core.pipe.is_full() {
                    core.pipe.finish()?;
                }
            }
            Some(Err(error)) => return Err(error.into()),
            None => {
                // At a partition's end nothing follows the markers of a transaction.
                let positions = consumer.position()?;
                let mut core = core.lock();
                for element in positions.elements() {
                    let (topic, partition) = (element.topic(), element.partition());
                    if let Offset::Offset(at) = element.offset()
                        && let Some(end) = end_of_debt(&debts, topic, partition)
                    {
                        core.skip_to(topic, partition, at.cast_unsigned().min(end));
                    }
                }
            }
        }
        let core = core.lock();
        debts.retain(|debt| !core.is_read(debt));
    }
    core.lock().pipe.finish()?;
    Ok(())
}

/// Where a partition's debt ends, if it has one.
fn end_of_debt(debts: &[Debt], topic: &str, partition: i32) -> Option<u64> {
    let debt = debts
        .iter()
        .find(|d| d.topic == topic && d.partition == partition);
    debt.map(|d| d.to)
}
