//! What a statement yields.

use super::direct::DirectRows;
use super::run::too_many;
use crate::bind::windowed::ContinuousQuery;
use crate::error::QueryError;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tokio::sync::mpsc;

/// What a statement yields.
#[derive(Debug)]
pub enum Output {
    /// Rows.
    Rows {
        /// The columns; no column is a dictionary, names may repeat.
        schema: SchemaRef,
        /// The rows, as they are computed.
        rows: RowStream,
        /// The commit up to which everything is in the answer.
        lsn: u64,
        /// A view that was read is behind: `lsn` is the commit that it had reached.
        lagging: bool,
        /// What the user should know.
        notices: Vec<String>,
    },
    /// It is done.
    Done {
        /// What was done.
        message: String,
        /// The commit that contains it.
        lsn: u64,
        /// What the user should know.
        notices: Vec<String>,
    },
    /// A query that runs on: subscribe to it.
    Continuous {
        /// The bound query, with what it emits.
        query: Box<ContinuousQuery>,
        /// Its text.
        sql: String,
        /// What the user should know.
        notices: Vec<String>,
    },
}

/// Rows of a running query. Dropping it ends the query.
#[derive(Debug)]
pub struct RowStream {
    first: Option<RecordBatch>,
    rest: Rest,
}

/// Where the rows behind the first ones come from.
#[derive(Debug)]
enum Rest {
    Nothing,
    /// A plan that runs.
    Plan(mpsc::Receiver<Result<RecordBatch, QueryError>>),
    /// A view.
    View {
        rows: Box<DirectRows>,
        sent: usize,
        max_rows: usize,
    },
}

impl RowStream {
    pub(super) fn new(
        first: Option<RecordBatch>,
        rest: Option<mpsc::Receiver<Result<RecordBatch, QueryError>>>,
    ) -> Self {
        let rest = rest.map_or(Rest::Nothing, Rest::Plan);
        Self { first, rest }
    }

    pub(super) fn of(batch: RecordBatch) -> Self {
        Self {
            first: Some(batch),
            rest: Rest::Nothing,
        }
    }

    /// Rows of a view; returns with the first ones, so that early errors are the statement's.
    pub(super) async fn direct(rows: DirectRows, max_rows: usize) -> Result<Self, QueryError> {
        let mut stream = Self {
            first: None,
            rest: Rest::View {
                rows: Box::new(rows),
                sent: 0,
                max_rows,
            },
        };
        stream.first = stream.next().await.transpose()?;
        Ok(stream)
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// Why there are no more although the answer is not complete.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let received = match &mut self.rest {
            Rest::Nothing => return None,
            Rest::Plan(rows) => rows.recv().await,
            Rest::View {
                rows,
                sent,
                max_rows,
            } => match rows.next().await {
                Some(Ok(batch)) => {
                    *sent += batch.num_rows();
                    let fits = *sent <= *max_rows;
                    Some(fits.then_some(batch).ok_or_else(|| too_many(*max_rows)))
                }
                ended => ended,
            },
        };
        if !matches!(received, Some(Ok(_))) {
            self.rest = Rest::Nothing;
        }
        received
    }

    /// Lets all rows go by.
    ///
    /// # Errors
    /// As [`RowStream::next`].
    pub async fn drain(&mut self) -> Result<(), QueryError> {
        while let Some(batch) = self.next().await {
            batch?;
        }
        Ok(())
    }

    /// All rows.
    ///
    /// # Errors
    /// Why the answer is not complete.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut all = Vec::new();
        while let Some(batch) = self.next().await {
            all.push(batch?);
        }
        Ok(all)
    }
}
