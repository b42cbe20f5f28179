//! Ingest: sources, decoders, admission and dead letters.
//!
//! Bytes come in, rows of streams go out, with the reason for each row that was refused. Nothing here touches a socket
//! or a file; nothing here knows SQL.

pub mod admission;
pub mod dead_letter;
pub mod decode;
