//! Ingest: sources, decoders, admission and dead letters.
//!
//! Bytes come in, rows of streams go out, with the reason for each row that was refused. `source` and `sink` alone touch
//! sockets and files; nothing here knows SQL.

pub mod admission;
pub mod dead_letter;
pub mod decode;
pub mod schema_registry;
pub mod sink;
pub mod source;
