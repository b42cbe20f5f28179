//! What can go wrong in an operator.

/// Why an operator can't be built, or can't go on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The query asks for what continuous evaluation does not offer.
    #[error("{0}")]
    Unsupported(String),
    /// An expression can't be planned or fails on a row.
    #[error("{0}")]
    Expression(String),
    /// A sum does not fit the type that it is declared to have.
    #[error(
        "the sum in column '{column}' does not fit {data_type}; cast its argument to DECIMAL or DOUBLE"
    )]
    Overflow {
        /// The aggregate's column.
        column: String,
        /// The type of the column.
        data_type: String,
    },
    /// Saved state does not belong to this query, or is damaged.
    #[error("saved state is unusable: {0}")]
    State(&'static str),
}

impl From<datafusion::error::DataFusionError> for StreamError {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        StreamError::Expression(crate::error::plain(error.find_root()))
    }
}

impl From<arrow::error::ArrowError> for StreamError {
    fn from(error: arrow::error::ArrowError) -> Self {
        StreamError::Expression(error.to_string())
    }
}
