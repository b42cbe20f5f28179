//! What queries need of continuous views.

use crate::bind::windowed::ContinuousQuery;
use crate::error::QueryError;
use arrow::record_batch::RecordBatch;
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation};
use datafusion::logical_expr::Expr;
use futures::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;
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
    /// Ranges of event time in nanoseconds, `[start, end)`, whose windows await a repair.
    pub pending: Vec<(i64, i64)>,
}

/// What a query wants of a view.
#[derive(Clone, Debug)]
pub struct ViewRead {
    /// Places of columns; all when absent.
    pub projection: Option<Vec<usize>>,
    /// Conditions over the view's columns. Rows that don't meet all of them may be left out.
    pub filters: Vec<Expr>,
    /// As many rows are enough.
    pub limit: Option<usize>,
    /// What rows on their way are accounted to.
    pub memory: Arc<dyn MemoryPool>,
}

/// A few rows, and what they are accounted for until they are taken.
pub type ViewSlice = Result<(RecordBatch, MemoryReservation), QueryError>;

/// A view's answer to a read.
#[derive(Debug)]
pub struct ViewAnswer {
    /// The commit at which the rows stand.
    pub lsn: u64,
    /// The view has not reached the snapshot that it was asked for: the rows are older.
    pub lagging: bool,
    /// As [`ViewInfo::pending`]; the rows of these windows may be wrong.
    pub pending: Vec<(i64, i64)>,
    /// The rows, as they come.
    pub rows: UnboundedReceiver<ViewSlice>,
}

/// Asks for rows as of a snapshot. Called between two commits, so that it must not wait; the answer comes with the
/// future.
pub type ViewReader =
    Box<dyn FnOnce(&Snapshot) -> BoxFuture<'static, Result<ViewAnswer, QueryError>> + Send>;

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

    /// Creates a view over what is there and what is to come; `columns` are names for the first of the query's columns.
    /// Blocks until it has caught up.
    ///
    /// # Errors
    /// [`QueryError::Conflict`] when there is one of that name and it is not to be replaced.
    fn create(
        &self,
        db: &str,
        name: &str,
        query: ContinuousQuery,
        sql: &str,
        columns: &[String],
        replace: bool,
    ) -> Result<(), QueryError>;

    /// Drops a view; false when there is none of that name.
    ///
    /// # Errors
    /// When it cannot be dropped now.
    fn drop_view(&self, db: &str, name: &str) -> Result<bool, QueryError>;

    /// Ends what follows a stream that has been dropped.
    fn stream_dropped(&self, stream: StreamId);

    /// Prepares to read a view.
    ///
    /// # Errors
    /// When there is no such view, or it can't be run.
    fn reader(&self, db: &str, name: &str, read: &ViewRead) -> Result<ViewReader, QueryError>;
}
