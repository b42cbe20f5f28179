//! MQTT 3.1.1, through rumqttc: at least once.
//!
//! MQTT has no positions. The broker keeps what was sent at QoS 1 until it is acknowledged, in a session that outlives the
//! connection; a message is acknowledged once its rows are durable, so none is lost. What the broker sends again after a
//! fault can't be told from another message that looks alike, so it counts again. The log keeps how many messages were
//! taken; that there was one tells that the session's subscription is made.

mod reader;
mod spec;
#[cfg(test)]
mod tests;

pub use spec::MqttSpec;

use super::control::{Control, Ended};
use super::pipe::Pipe;

/// Reads until `control` tells to end. `member` names this database among the broker's other clients.
pub(crate) fn run(
    spec: &MqttSpec,
    member: &str,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
) -> Result<(), Ended> {
    reader::run(spec, member, control, make_pipe)
}
