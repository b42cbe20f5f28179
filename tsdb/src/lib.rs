//! Tidemill's storage engine: log, head, segments, manifest, recovery and scans.
//!
//! It knows nothing of SQL, sockets or Kafka. One log orders everything; whatever else there is follows it and knows
//! the LSN it has reached. See `docs/architecture.md`.

pub mod catalog;
pub mod clock;
mod engine;
mod error;
mod head;
pub mod inspect;
pub mod io;
pub mod ledger;
pub mod manifest;
pub mod scan;
pub mod segment;
pub mod sim;
pub mod wal;

pub use catalog::{
    Catalog, DEFAULT_DATABASE, Late, Object, PayloadReader, PayloadWriter, SeriesSet, SeriesTable,
    Stream, StreamDef, StreamOptions, TABLE_DELETED, TABLE_KEY, TagColumn, TooOld,
};
pub use engine::{
    Commit, CommitObserver, Done, Engine, EngineConfig, EngineMetrics, OnSifted, QueueDepth,
    Request, RowTransform, Rows, SEAL_ROWS, Sifted, Snapshot, StorageStats, StreamStorage, pick,
};
pub use error::Error;
pub use scan::{
    LastSpec, Scan, ScanBatch, ScanSpec, ScanStats, Vector, VectorValues, ZoneOp, ZonePredicate,
    ZoneValue,
};
pub use tsdb_types as types;
pub use tsdb_types::{
    Batch, BatchBuilder, Column, ColumnBuilder, ColumnDef, ColumnId, DataType, Lsn, Role, Schema,
    SegmentId, SeriesId, StreamId, TimeRange, Timestamp, Values,
};
