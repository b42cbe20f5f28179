//! Tests that span crates, in one binary.

mod crash;
mod demo;
mod house;
mod shell;
