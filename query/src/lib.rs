//! The query layer: binding, history, continuous views.
//!
//! [`QueryEngine`] takes statements. [`bind`] makes plans of them, [`history`] answers from a snapshot, [`stream`]
//! holds the operators that history and views share.

pub mod bind;
pub mod engine;
pub mod error;
pub mod history;
mod rows;
pub mod stream;
pub mod table;
pub mod transform;
pub mod types;
pub mod view;

pub use engine::{
    Clauses, Keyed, Letter, LetterDecoder, Message, NewSink, Output, QueryConfig, QueryEngine,
    RowStream, Session, SinkBoard, SinkFrom, SinkInfo, SourceBoard, SourceInfo, SourcePartition,
    ViewInfo, Views,
};
pub use error::QueryError;
pub use query_lang as lang;

#[cfg(test)]
mod tests;
