//! Schemas of messages: how messages name theirs, where schemas are kept, and formats that are read by them.

mod cache;
mod client;
pub mod compat;
mod format;
mod resolver;
mod source;
#[cfg(test)]
mod tests;
pub mod wire;

pub use client::RegistryClient;
pub use format::{OPTIONS, Registries, columns, kind_of, value_format};
pub use resolver::{Missing, Resolver};
pub use source::{Dependency, SchemaKind, SchemaSource};
pub use wire::SchemaId;
