//! Tests that span crates, in one binary.

mod demo;
mod house;
mod shell;
