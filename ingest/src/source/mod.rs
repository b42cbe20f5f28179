//! Where events come from besides HTTP: what each source hands over is a [`Record`], and an [`Intake`] makes rows of it.

mod format;
mod include;
mod intake;
#[cfg(test)]
mod intake_tests;
mod letters;
mod record;

pub use format::Format;
pub use include::{Include, IncludeError};
pub use intake::{Intake, MAX_MESSAGE_BYTES, Taken};
pub use record::{Header, Record};
