//! Accumulators: one per aggregate of a query, each with one slot per group.
//!
//! Every state can be merged with another of its kind, in any order and with the same result (float sums to
//! rounding), so panes can be shared, sessions can merge, and late rows need nothing special.

mod accumulator;
mod feed;
mod finish;
mod heavy;
mod number;
mod order;
mod sketch;
mod slots;
mod value;

pub(crate) use accumulator::{Accumulator, Argument};
pub use heavy::LIST_CAP;
pub(crate) use heavy::percentile;
pub use number::FloatSum;
pub(crate) use number::{Extreme, float_from_order, float_order};
pub(crate) use order::SeriesOrder;
pub use sketch::Sketch;
pub(crate) use value::{Value, build_array};

/// The group id of a row that belongs to no group: it was filtered out.
pub(crate) const NONE: u32 = u32::MAX;
