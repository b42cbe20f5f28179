//! NATS JetStream, through async-nats.
//!
//! How far a stream was taken lies in the log record of its rows: the server keeps no state for us, and each run reads
//! from the sequence behind the last one that is durable here. A stream that was purged further, or made anew under the
//! same name, stops and says so.

mod reader;
mod spec;
#[cfg(test)]
mod tests;

pub use spec::NatsSpec;

use super::control::{Control, Ended};
use super::flow::Flow;
use super::pipe::Pipe;

/// Reads until `control` tells to end.
pub(crate) fn run(
    spec: &NatsSpec,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
) -> Result<(), Ended> {
    let mut flow = Flow::new(make_pipe()?, control);
    // The connection has a thread of its own: it answers its server also while this one waits for the log.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("nats")
        .enable_all()
        .build()
        .map_err(|e| Ended::Retry(e.to_string()))?;
    let result = runtime.block_on(reader::read(spec, &mut flow));
    runtime.shutdown_background();
    result
}
