//! The write-ahead log: what a commit is once it is durable. `docs/formats/wal.md` has the bytes.
//!
//! What must hold:
//! - a record is acknowledged only after its own group *and every earlier one* has been written and synced;
//! - groups begin on a fresh [`format::BLOCK`], so that no write touches a block that holds synced records;
//! - a file is never appended to by a later run of the program: each run begins a new file with a new epoch;
//! - LSNs are dense: a missing one at or below the highest `durable_lsn` found is damage, above it the torn end;
//! - an error of a write or sync poisons the log: nothing is acknowledged after it, also not what seems to be synced.
//!
//! [`Writer`] decides, a [`crate::io::Queue`] acts, [`Log`] drives the one with the other; there are no threads here.

mod error;
mod files;
pub mod format;
mod log;
mod record;
mod recover;
mod scan;
mod writer;

pub use error::WalError;
pub use files::Preparer;
pub use format::SectionKind;
pub use log::{Log, LogConfig};
pub use record::{Record, RecordBuilder, Section};
pub use recover::{Damage, RecoveredLog, recover};
pub use writer::Writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
