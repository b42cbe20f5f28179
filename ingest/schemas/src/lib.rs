//! Schemas of messages: how messages name theirs, where schemas are kept, and formats that are read by them.

pub mod avro;
pub mod builtin;
mod cache;
mod client;
pub mod compat;
mod deep;
#[cfg(test)]
mod evolution_tests;
mod format;
pub mod json_schema;
pub mod protobuf;
mod resolver;
mod schema_bounds;
mod source;
#[cfg(test)]
mod tests;
mod text;
pub mod wire;

pub use client::RegistryClient;
pub use format::{OPTIONS, Registries, columns, kind_of, value_format};
pub use resolver::{Missing, Resolver};
pub use source::{Dependency, SchemaKind, SchemaSource};
pub use wire::SchemaId;

use crate::protobuf::ProtobufSchema;
use crate::text::base64;

/// A Protobuf schema as a serialised `FileDescriptorProto` in base64, which some clients want in place of its text.
///
/// # Errors
/// What is wrong with the schema, in words.
pub fn protobuf_descriptor(source: &SchemaSource) -> Result<String, String> {
    ProtobufSchema::new(source).map(|schema| base64(&schema.descriptor()))
}
