//! From bytes to rows. Hostile bytes give errors with their place, never a panic, and memory in proportion to the body.

pub mod line_protocol;
mod number;
mod time_text;

pub use time_text::{Precision, parse_time};
