//! The pinned property: whatever the arrival order, the batches and the restarts, an operator's rows are those of a
//! naive model that knows nothing of operators.

mod changes;
mod filters;
mod model;
mod property;
mod setup;
