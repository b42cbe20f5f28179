//! Kafka, through librdkafka.
//!
//! How far each partition was taken lies in the log record of its rows, so nothing is lost and nothing counted twice,
//! whatever dies when. Alone, a source reads every partition; as a member of a group it shares them, see [`claims`]. A
//! partition whose topic was truncated or made anew stops, and says so; no position is ever reset by itself.

mod audit;
mod claims;
mod client;
mod core;
mod debts;
mod group;
#[cfg(test)]
mod group_tests;
mod headers;
mod reader;
mod spec;
#[cfg(test)]
mod tests;
mod topic_id;

pub use spec::{KafkaSpec, Topics};

use super::control::{Control, Ended};
use super::pipe::Pipe;

/// Reads until `control` tells to end. `member` names this database among those that share a group.
pub(crate) fn run(
    spec: &KafkaSpec,
    member: &str,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
) -> Result<(), Ended> {
    reader::run(spec, member, control, make_pipe)
}
