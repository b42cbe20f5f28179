//! Schemas of messages: how messages name theirs, where schemas are kept, and formats that are read by them.

pub mod builtin;
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

use crate::decode::base64;
use crate::decode::protobuf::ProtobufSchema;

/// A Protobuf schema as a serialised `FileDescriptorProto` in base64, which some clients want in place of its text.
///
/// # Errors
/// What is wrong with the schema, in words.
pub fn protobuf_descriptor(source: &SchemaSource) -> Result<String, String> {
    ProtobufSchema::new(source).map(|schema| base64(&schema.descriptor()))
}
