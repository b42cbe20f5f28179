//! What queries need of continuous views.

use crate::bind::windowed::ContinuousQuery;
use crate::error::QueryError;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use std::sync::Arc;
use tsdb::Snapshot;
use tsdb::types::StreamId;

/// A view as queries see it.
#[derive(Clone, Debug)]
pub struct ViewInfo {
    /// Its database.
    pub db: String,
    /// Its name.
    pub name: String,
    /// Its query, whose output columns are the view's; `None` when its definition can't be run.
    pub query: Option<Arc<ContinuousQuery>>,
    /// The text of its query.
    pub sql: String,
    /// How it is: `running`, `lagging`, `stopped: ..`, `broken: ..`.
    pub state: String,
    /// The commit it has reached.
    pub lsn: u64,
    /// Groups it holds.
    pub rows: u64,
    /// Its watermark in nanoseconds, once there is one.
    pub watermark: Option<i64>,
}

impl ViewInfo {
    /// Its query.
    ///
    /// # Errors
    /// Why it can't be run.
    pub fn runnable(&self) -> Result<&Arc<ContinuousQuery>, QueryError> {
        self.query
            .as_ref()
            .ok_or_else(|| QueryError::Exec(format!("view \"{}\" is {}", self.name, self.state)))
    }
}

/// Keeps views. Implemented by the view runtime.
pub trait Views: Send + Sync {
    /// All views.
    fn list(&self) -> Vec<ViewInfo>;

    /// The view of exactly that name.
    fn get(&self, db: &str, name: &str) -> Option<ViewInfo>;

    /// Creates a view over what is there and what is to come. Blocks until it has caught up.
    ///
    /// # Errors
    /// [`QueryError::Conflict`] when there is one of that name and it is not to be replaced.
    fn create(
        &self,
        db: &str,
        name: &str,
        query: ContinuousQuery,
        sql: &str,
        replace: bool,
    ) -> Result<(), QueryError>;

    /// Drops a view; false when there is none of that name.
    ///
    /// # Errors
    /// When it cannot be dropped now.
    fn drop_view(&self, db: &str, name: &str) -> Result<bool, QueryError>;

    /// Ends what follows a stream that has been dropped.
    fn stream_dropped(&self, stream: StreamId);

    /// Asks for a view's rows exactly as of `snapshot`. Called between two commits, so it must not wait; the rows come
    /// with the future.
    fn ask(
        &self,
        db: &str,
        name: &str,
        snapshot: &Snapshot,
    ) -> BoxFuture<'static, Result<Vec<RecordBatch>, QueryError>>;
}
