//! Formats of messages that are read by a schema: the one that each message names, or one for all.

use super::wire::{split, split_indexes};
use super::{Missing, RegistryClient, Resolver, SchemaId, SchemaKind, SchemaSource};
use crate::avro::AvroDecoder;
use crate::json_schema::JsonSchemaDecoder;
use crate::protobuf::{ProtobufDecoder, ProtobufSchema};
use ingest_decode::{OnCells, RowReason, ValueFormat, Wait};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tsdb::types::DataType;

/// Schemas that one decoder keeps ready.
const MAX_READY: usize = 256;

/// What formats need from the server.
#[derive(Clone)]
pub struct Registries {
    /// Where requests to registries elsewhere run.
    pub runtime: Handle,
    /// The registry within the server, if there is one.
    pub builtin: Option<Arc<dyn Resolver>>,
}

/// The options that [`value_format`] knows.
pub const OPTIONS: [&str; 4] = [
    "value_format",
    "schema_registry",
    "value_schema",
    "value_message",
];

/// The format that a stream's options ask for; see [`OPTIONS`]:
/// - `value_format`: `avro`, `protobuf` or `json_schema`;
/// - `schema_registry`: a URL, or `builtin`, which is meant when there is none;
/// - `value_schema`: the schema's text, for messages that name none;
/// - `value_message`: with Protobuf the full name of the message: all messages must be it.
///
/// Other options are not looked at.
///
/// # Errors
/// What is wrong with the options, in words.
pub fn value_format(
    options: &[(String, String)],
    registries: &Registries,
) -> Result<Box<dyn ValueFormat>, String> {
    let option = |name: &str| {
        let mut found = options.iter().rev();
        let found = found.find(|o| o.0.eq_ignore_ascii_case(name));
        found.map(|o| o.1.as_str())
    };
    let name = option("value_format").unwrap_or_default();
    let kind = kind_of(name).ok_or_else(|| {
        format!(
            "value_format '{name}' has no schema; those with one are avro, protobuf and json_schema"
        )
    })?;
    let message = option("value_message").map(str::to_owned);
    if message.is_some() && kind != SchemaKind::Protobuf {
        return Err("value_message is for value_format 'protobuf'".into());
    }
    let from = match (option("value_schema"), option("schema_registry")) {
        (Some(_), Some(_)) => {
            return Err("value_schema is for messages that name no schema: leave out either it or schema_registry".into());
        }
        (Some(text), None) => {
            let source = SchemaSource::new(kind, text);
            let mut ready = Ready::new(&source, message.as_deref())?;
            ready.prepare()?;
            Schemas::Fixed(ready)
        }
        (None, Some(url)) if !url.eq_ignore_ascii_case("builtin") => Schemas::Named(Arc::new(
            RegistryClient::new(url, registries.runtime.clone())?,
        )),
        (None, _) => Schemas::Named(
            registries
                .builtin
                .clone()
                .ok_or("there is no built-in schema registry here: name one in schema_registry")?,
        ),
    };
    Ok(Box::new(SchemaFormat {
        kind,
        message,
        from,
        ready: HashMap::new(),
    }))
}

/// The kind of schema that a `value_format` has; `None` for formats without one.
#[must_use]
pub fn kind_of(value_format: &str) -> Option<SchemaKind> {
    match value_format.trim().to_ascii_lowercase().as_str() {
        "avro" => Some(SchemaKind::Avro),
        "protobuf" => Some(SchemaKind::Protobuf),
        "json_schema" => Some(SchemaKind::Json),
        _ => None,
    }
}

/// The columns that a schema's rows have, for a stream that is declared by it. A Protobuf file's first message is
/// meant unless one is named.
///
/// # Errors
/// What is wrong with the schema, in words.
pub fn columns(
    source: &SchemaSource,
    message: Option<&str>,
) -> Result<Vec<(String, DataType)>, String> {
    let mut ready = Ready::new(source, message)?;
    ready.prepare()?;
    Ok(match &ready {
        Ready::Avro(decoder) => decoder.columns().to_vec(),
        Ready::Json(decoder) => decoder.columns().to_vec(),
        Ready::Protobuf { decoders, .. } => decoders
            .values()
            .next()
            .map(|d| d.columns().to_vec())
            .unwrap_or_default(),
    })
}

enum Schemas {
    /// Each message names its schema.
    Named(Arc<dyn Resolver>),
    /// All have this one.
    Fixed(Ready),
}

struct SchemaFormat {
    kind: SchemaKind,
    message: Option<String>,
    from: Schemas,
    ready: HashMap<SchemaId, Result<Ready, String>>,
}

/// A schema, ready to decode.
enum Ready {
    Avro(AvroDecoder),
    Json(JsonSchemaDecoder),
    Protobuf {
        schema: ProtobufSchema,
        /// Decoders by the indexes that lead to their message.
        decoders: HashMap<Vec<u32>, ProtobufDecoder>,
        /// The only message that is taken.
        only: Option<String>,
    },
}

impl ValueFormat for SchemaFormat {
    fn decode(&mut self, value: &[u8], rows: &mut OnCells<'_>) -> Result<(), Wait> {
        let resolver = match &mut self.from {
            Schemas::Fixed(ready) => {
                ready.decode(value, false, rows);
                return Ok(());
            }
            Schemas::Named(resolver) => resolver,
        };
        let (id, payload) = match split(value) {
            Ok(parts) => parts,
            Err(reason) => {
                rows(Err(reason));
                return Ok(());
            }
        };
        if !self.ready.contains_key(&id) {
            let source = match resolver.schema(&id) {
                Ok(source) => source,
                Err(Missing::Wait(wait)) => return Err(wait),
                // Not kept here: it may be known later, and the resolver keeps it for a while.
                Err(Missing::Unknown(why)) => {
                    rows(Err(RowReason::Syntax(why)));
                    return Ok(());
                }
            };
            let ready = if source.kind == self.kind {
                Ready::new(&source, self.message.as_deref())
            } else {
                Err(format!("it is {} and not {}", source.kind, self.kind))
            };
            if self.ready.len() >= MAX_READY {
                self.ready.clear();
            }
            let ready = ready.map_err(|e| format!("schema {id} can't be used: {e}"));
            self.ready.insert(id, ready);
        }
        match self.ready.get_mut(&id) {
            Some(Ok(ready)) => ready.decode(payload, true, rows),
            Some(Err(why)) => rows(Err(RowReason::Syntax(why.clone()))),
            None => rows(Err(RowReason::Syntax(format!("schema {id} is not known")))),
        }
        Ok(())
    }
}

impl Ready {
    fn new(source: &SchemaSource, message: Option<&str>) -> Result<Ready, String> {
        Ok(match source.kind {
            SchemaKind::Avro => Ready::Avro(AvroDecoder::new(source)?),
            SchemaKind::Json => Ready::Json(JsonSchemaDecoder::new(source)?),
            SchemaKind::Protobuf => Ready::Protobuf {
                schema: ProtobufSchema::new(source)?,
                decoders: HashMap::new(),
                only: message.map(|m| m.trim_start_matches('.').to_owned()),
            },
        })
    }

    /// Makes what messages that name no schema need, so that it is told early if that can't be.
    fn prepare(&mut self) -> Result<(), String> {
        self.protobuf(&[]).map(|_| ())
    }

    /// The decoder of a message: of the one that these indexes lead to, or without any of the one that is named, else
    /// the file's first.
    fn protobuf(&mut self, indexes: &[u32]) -> Result<Option<&ProtobufDecoder>, String> {
        let Ready::Protobuf {
            schema,
            decoders,
            only,
        } = self
        else {
            return Ok(None);
        };
        if !decoders.contains_key(indexes) {
            let message = match (indexes, only.as_deref()) {
                ([], Some(name)) => schema
                    .message_named(name)
                    .ok_or_else(|| format!("the schema has no message {name}"))?,
                ([], None) => schema.message(&[0]).ok_or("the schema has no message")?,
                _ => schema
                    .message(indexes)
                    .ok_or_else(|| format!("the schema has no message at {indexes:?}"))?,
            };
            if let Some(only) = only.as_deref().filter(|o| *o != message.full_name()) {
                let name = message.full_name();
                return Err(format!("the message is {name}, and only {only} is taken"));
            }
            // There are as many as the schema has messages.
            decoders.insert(indexes.to_vec(), ProtobufDecoder::new(&message)?);
        }
        Ok(decoders.get(indexes))
    }

    fn decode(&mut self, payload: &[u8], framed: bool, rows: &mut OnCells<'_>) {
        match self {
            Ready::Avro(decoder) => match decoder.decode(payload) {
                Ok(cells) => rows(Ok(&cells)),
                Err(reason) => rows(Err(reason)),
            },
            Ready::Json(decoder) => decoder.decode(payload, &mut |row| match row {
                Ok(cells) => rows(Ok(&cells)),
                Err(reason) => rows(Err(reason)),
            }),
            Ready::Protobuf { .. } => {
                let parts = if framed {
                    split_indexes(payload)
                } else {
                    Ok((Vec::new(), payload))
                };
                let (indexes, payload) = match parts {
                    Ok(parts) => parts,
                    Err(reason) => return rows(Err(reason)),
                };
                let decoder = match self.protobuf(&indexes) {
                    Ok(Some(decoder)) => decoder,
                    Ok(None) => return,
                    Err(why) => return rows(Err(RowReason::Syntax(why))),
                };
                match decoder.decode(payload) {
                    Ok(cells) => rows(Ok(&cells)),
                    Err(reason) => rows(Err(reason)),
                }
            }
        }
    }
}
