//! Ingest: sources, decoders, admission and dead letters.
//!
//! Bytes come in, rows of streams go out, with the reason for each row that was refused. `source` alone touches sockets and
//! files; nothing here knows SQL.

pub mod admission;
pub mod dead_letter;
pub mod decode;
pub mod source;
