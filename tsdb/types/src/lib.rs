//! Tidemill's shared vocabulary: ids, times, schemas and columnar batches.
//!
//! A [`Batch`] has one form in the write-ahead log, in the head and in scans: narrow little-endian columns in
//! reference-counted bytes. A log record's bytes *are* the head's columns; recovery copies nothing.

mod batch;
mod builder;
mod column;
mod fnv;
mod ids;
mod schema;

pub use batch::{Batch, BatchError};
pub use builder::{BatchBuilder, ColumnBuilder};
pub use column::{Column, Values};
pub use fnv::Fnv;
pub use ids::{ColumnId, Lsn, SegmentId, SeriesId, StreamId, TenantId, TimeRange, Timestamp};
pub use schema::{ColumnDef, DataType, Role, Schema};
