//! From syntax tree to plan.

pub mod windowed;
