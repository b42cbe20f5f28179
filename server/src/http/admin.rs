//! `/api/v1/admin`: what an operator asks for.

use super::App;
use super::reply::{ApiError, json_of};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

#[derive(Serialize)]
struct Done {
    lsn: u64,
    elapsed_ms: f64,
}

/// `POST /api/v1/admin/flush`: all rows in memory are in segments when it returns.
pub(crate) async fn flush(State(app): State<Arc<App>>) -> Response {
    let started = Instant::now();
    let engine = app.engine.clone();
    match tokio::task::spawn_blocking(move || engine.flush()).await {
        Ok(Ok(())) => {
            let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
            json_of(&Done {
                lsn: app.engine.published().0,
                elapsed_ms,
            })
        }
        Ok(Err(error)) => ApiError::from(error).into_response(),
        Err(_) => ApiError::new(500, "internal", "the flush has panicked").into_response(),
    }
}

/// `POST /api/v1/admin/compact`: a flush writes segments in their final form, so that is what there is to do.
pub(crate) async fn compact(state: State<Arc<App>>) -> Response {
    flush(state).await
}

#[derive(Serialize)]
struct Storage {
    lsn: u64,
    rows: u64,
    /// Log files that hold records.
    wal_bytes: u64,
    /// Log files kept ready to be written again: they hold nothing.
    wal_ready_bytes: u64,
    segment_bytes: u64,
    segments: u64,
    index_bytes: u64,
    /// Rows in memory.
    head_bytes: u64,
    streams: Vec<StreamStorage>,
    /// What could not be read when the database was opened, in words.
    damage: Vec<String>,
}

#[derive(Serialize)]
struct StreamStorage {
    database: String,
    name: String,
    rows: u64,
    /// Rows that are in memory and in the log only.
    head_rows: u64,
    segment_bytes: u64,
    series: u32,
}

/// `GET /api/v1/admin/storage`.
pub(crate) async fn storage(State(app): State<Arc<App>>) -> Response {
    let lsn = app.engine.published().0;
    let stats = app.engine.storage();
    let catalog = app.engine.catalog();
    let named = stats.streams.iter().filter_map(|s| {
        let stream = catalog.stream_by_id(s.stream)?;
        Some(StreamStorage {
            database: stream.db.clone(),
            name: stream.name.clone(),
            rows: s.rows,
            head_rows: s.head_rows,
            segment_bytes: s.bytes,
            series: stream.series().len(),
        })
    });
    json_of(&Storage {
        lsn,
        rows: stats.streams.iter().map(|s| s.rows).sum(),
        wal_bytes: stats.wal_bytes,
        wal_ready_bytes: stats.wal_ready_bytes,
        segment_bytes: stats.segment_bytes,
        segments: stats.segments,
        index_bytes: stats.index_bytes,
        head_bytes: stats.head_bytes,
        streams: named.collect(),
        damage: app.engine.damage(),
    })
}
