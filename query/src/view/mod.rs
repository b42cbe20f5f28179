//! Continuous views: one worker thread per view follows the log.
//!
//! The map: [`runtime`] keeps all views; [`launch`] restores them and starts their workers; [`catalog`] creates, reads and drops them;
//! [`sharing`] lets queries subscribe; [`hub`] hands each commit to the views over its streams;
//! [`worker`] is the thread of one view and owns its state, [`emit`] its part that deals with subscribers,
//! [`reading`] the one that answers reads, [`saving`] the one that writes checkpoints; [`state`] is what a view computes; [`subscription`] carries changes to whoever
//! subscribed; [`checkpoint`] and [`definition`] are the two durable forms.
//!
//! What must hold: whatever is sent to a worker is sent under the engine's apply lock, so a read, a repair or a new
//! view stands exactly between two commits, and a view at LSN n is its query over the rows visible at n.

mod catalog;
mod checkpoint;
mod config;
mod definition;
mod emit;
mod feed;
mod hub;
mod launch;
mod reading;
mod runtime;
pub mod saved;
mod saving;
mod sharing;
mod state;
mod subscription;
mod ticker;
mod worker;

#[cfg(test)]
mod tests;

pub use config::ViewConfig;
pub use feed::{RowFeed, key_columns};
pub use hub::{Trace, Tracer};
pub use runtime::{ViewMetrics, ViewRuntime};
pub use subscription::{Frame, Subscription};
