//! Tests that span crates, in one binary.

mod crash;
mod data;
mod demo;
mod house;
mod load;
mod shell;
