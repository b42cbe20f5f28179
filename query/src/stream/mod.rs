//! Streaming operators: rows in, grouped and windowed rows out.
//!
//! The same operator keeps a view up to date commit by commit and answers a windowed query over a snapshot, so the
//! two can't disagree. It never reads a clock: what it holds is a function of the rows it was given.
//!
//! The map: [`block`] is what comes in; [`plan`] compiles a bound query; [`evaluate`] runs its expressions over the
//! rows that count; [`input`] holds their values; [`window`] maps times to panes and panes to windows ([`zoned`]: days of a time zone); [`keys`] and
//! [`groups`] hand out dense ids; [`grouping`] finds each row's group; [`agg`] holds the accumulators, one slot per group
//! id; [`operator`] drives them, [`freeze`] drops what is over; [`read`] hands out rows that [`narrow`] finds in the form that [`shape`] gives; [`watermark`] says when windows close.

pub mod agg;
pub mod block;
mod changes;
mod codec;
mod error;
mod evaluate;
mod expression;
mod freeze;
mod grouping;
mod groups;
mod input;
mod keys;
mod narrow;
mod operator;
mod output;
mod plan;
mod read;
mod repair;
mod row_plan;
mod save;
mod session;
mod shape;
pub mod watermark;
mod window;
mod zoned;

#[cfg(test)]
mod tests;

pub use block::{RowBlock, Tags};
pub use changes::Changes;
pub(crate) use codec::{Reader, Writer};
pub use error::StreamError;
pub(crate) use evaluate::read_columns;
pub(crate) use expression::{holds, is_volatile, physical, project};
pub use narrow::narrows;
pub use operator::{Operator, OperatorStats};
pub use plan::Plan;
pub use read::Read;
pub use repair::Repair;
pub use row_plan::RowPlan;
pub use save::SavedSlice;
