//! A schema as text, with all that it refers to.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SchemaKind {
    /// Apache Avro.
    #[serde(rename = "AVRO")]
    Avro,
    /// Protocol Buffers.
    #[serde(rename = "PROTOBUF")]
    Protobuf,
    /// JSON Schema.
    #[serde(rename = "JSON")]
    Json,
}

impl SchemaKind {
    /// All there are, as registries spell them.
    pub const ALL: [SchemaKind; 3] = [SchemaKind::Json, SchemaKind::Protobuf, SchemaKind::Avro];

    /// The kind of that name, as registries spell it.
    #[must_use]
    pub fn of(name: &str) -> Option<SchemaKind> {
        SchemaKind::ALL
            .into_iter()
            .find(|k| k.to_string().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Protobuf => "PROTOBUF",
            SchemaKind::Json => "JSON",
        })
    }
}

/// A schema that another one needs, under the name by which that one refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// An Avro full name, the path of a Protobuf import, or the URI of a JSON Schema.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A schema's text and those that it needs, directly or by way of others, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaSource {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// What it needs; a schema stands behind those that it needs itself.
    pub dependencies: Vec<Dependency>,
}

impl SchemaSource {
    /// A schema that needs no other.
    #[must_use]
    pub fn new(kind: SchemaKind, text: impl Into<String>) -> SchemaSource {
        SchemaSource {
            kind,
            text: text.into(),
            dependencies: Vec::new(),
        }
    }
}
