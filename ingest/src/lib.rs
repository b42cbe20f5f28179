//! Ingest: sources and sinks.
//!
//! Messages come in, rows of streams go out, with the reason for each that was refused; nothing here knows SQL. What decodes touches
//! no sockets and no files, and is a crate of its own, [`decode`]; so are formats that are read by schemas, with the registry and a
//! client of one, [`schemas`].

pub mod sink;
pub mod source;

pub use ingest_decode as decode;
pub use ingest_decode::{admission, dead_letter};
pub use ingest_schemas as schemas;
