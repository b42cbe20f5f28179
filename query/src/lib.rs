//! The query layer: binding, history, continuous views.
//!
//! [`QueryEngine`] takes statements. [`bind`] makes plans of them, [`history`] answers from a snapshot, [`stream`]
//! holds the operators that history and views share.

pub mod bind;
pub mod engine;
pub mod error;
pub mod history;
pub mod stream;
pub mod types;
pub mod view;

pub use engine::{
    NewSink, Output, QueryConfig, QueryEngine, RowStream, Session, SinkBoard, SinkFrom, SinkInfo,
    SourceBoard, SourceInfo, SourcePartition,
    ViewInfo, Views,
};
pub use error::QueryError;
pub use query_lang as lang;

#[cfg(test)]
mod tests;
