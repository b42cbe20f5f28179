//! Where events come from besides HTTP: what each source hands over is a [`Record`], and an [`Intake`] makes rows of it.

mod control;
pub mod file;
mod flow;
mod format;
mod include;
mod intake;
#[cfg(test)]
mod intake_tests;
pub mod kafka;
mod letters;
pub mod mqtt;
pub mod nats;
#[cfg(test)]
mod peers;
mod pipe;
#[cfg(test)]
mod pipe_tests;
#[cfg(test)]
mod poison_tests;
mod record;
mod runtime;
mod spec;
mod start;
mod status;
mod table_key;

pub use format::Format;
pub use include::{Include, IncludeError};
pub use intake::{Intake, MAX_MESSAGE_BYTES, Taken};
pub use letters::CSV_COLUMNS_HEADER;
pub use record::{Header, Record};
pub use runtime::{FormatMaker, Sources, SourcesConfig, member};
pub use start::Start;
pub use status::{PartitionStatus, SourceState, SourceStatus};
