//! Kafka, through librdkafka.
//!
//! A [`KafkaLink`] sends records in transactions, and puts how far the sink is into each of them, as the offset of a
//! consumer group that has no members: what a read_committed reader sees and what the next run goes on from can't be torn
//! apart, whatever dies when. A new link first ends what an earlier one of the same sink has left open.

mod link;
mod spec;
#[cfg(test)]
mod tests;

pub use link::{KafkaLink, Progress, Trouble};
pub use spec::KafkaSinkSpec;
