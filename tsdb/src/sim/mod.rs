//! A disk and a clock that live in memory and go wrong on purpose, repeatably from a seed.
//!
//! [`SimDisk`] keeps apart what programs see and what the device holds. Until they are synced, written sectors may be
//! kept, lost, torn in the middle or filled with garbage by a power cut, in any combination; so may creations, renames
//! and removals until their directory is synced. Writes of the log's queue run and complete in any order. Power can be
//! cut at every operation ([`SimDisk::cut_after`]), operations can fail, and a failed sync loses what it should have
//! stored while later reads still show it, as kernels do.
//!
//! A [`Mutant`] makes the disk skip one kind of sync while it reports success. [`drive`] runs a [`System`] through
//! crashes and asks it, after each, whether everything that it acknowledged is there: a system whose syncs are all
//! needed fails under each of its mutants.

mod clock;
mod crash;
mod disk;
mod driver;
mod queue;
mod rng;
mod state;

pub use clock::SimClock;
pub use disk::SimDisk;
pub use driver::{Failure, Options, Stats, Stop, System, drive, seeds};
pub use rng::Rng;
pub use state::{Mutant, SyncEvent, SyncKind};

#[cfg(test)]
mod log_system;
#[cfg(test)]
mod tests;
