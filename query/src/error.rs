//! Why a statement has no answer.

use query_lang::ast::Span;
use query_lang::ast::line_column;
use query_lang::{SyntaxError, SyntaxErrorKind};
use std::time::Duration;

/// Why a statement has no answer. Lines and columns count from 1 in the text of the whole request.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not SQL as Tidemill knows it.
    #[error("{0}")]
    Syntax(SyntaxError),
    /// The text is SQL, but its names or types do not fit together.
    #[error("line {line}, column {column}: {message}{}", hinted(.hint))]
    Bind {
        /// What is wrong.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What might help.
        hint: Option<String>,
    },
    /// Something named does not exist.
    #[error("line {line}, column {column}: {message}{}", hinted(.hint))]
    NotFound {
        /// What is missing.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The nearest name there is.
        hint: Option<String>,
    },
    /// The text is in the language, and Tidemill cannot do it yet.
    #[error("line {line}, column {column}: {message}")]
    NotYet {
        /// What cannot be done.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// The statement contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The time limit passed.
    #[error("the query ran into its time limit of {0:?}")]
    TimedOut(Duration),
    /// A bound on memory or rows was reached.
    #[error("{0}")]
    TooLarge(String),
    /// The query is well formed and cannot be computed over this data.
    #[error("{0}")]
    Exec(String),
    /// The engine takes no more work just now.
    #[error("{0}")]
    Busy(String),
    /// Stored data could not be read or written.
    #[error("{0}")]
    Storage(String),
    /// A fault of Tidemill's own.
    #[error("internal error: {0}")]
    Internal(String),
}

fn hinted(hint: &Option<String>) -> String {
    hint.as_ref()
        .map_or_else(String::new, |h| format!(" ({h})"))
}

impl QueryError {
    /// A short name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            QueryError::Syntax(e) if e.kind == SyntaxErrorKind::NotYet => "not_yet",
            QueryError::Syntax(_) => "syntax",
            QueryError::Bind { .. } => "bind",
            QueryError::NotFound { .. } => "not_found",
            QueryError::NotYet { .. } => "not_yet",
            QueryError::Conflict(_) => "conflict",
            QueryError::TimedOut(_) => "timeout",
            QueryError::TooLarge(_) => "too_large",
            QueryError::Exec(_) => "execution",
            QueryError::Busy(_) => "busy",
            QueryError::Storage(_) => "storage",
            QueryError::Internal(_) => "internal",
        }
    }

    /// The HTTP status that says the same.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self {
            QueryError::Syntax(_) | QueryError::Bind { .. } | QueryError::NotYet { .. } => 400,
            QueryError::NotFound { .. } => 404,
            QueryError::TimedOut(_) => 408,
            QueryError::Conflict(_) => 409,
            QueryError::TooLarge(_) | QueryError::Exec(_) => 422,
            QueryError::Busy(_) => 503,
            QueryError::Storage(_) | QueryError::Internal(_) => 500,
        }
    }

    /// Line and column of what is wrong, where there is such a place.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        match self {
            QueryError::Syntax(e) => Some((e.line, e.column)),
            QueryError::Bind { line, column, .. }
            | QueryError::NotFound { line, column, .. }
            | QueryError::NotYet { line, column, .. } => Some((*line, *column)),
            _ => None,
        }
    }

    /// What might help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            QueryError::Syntax(e) => e.hint.as_deref(),
            QueryError::Bind { hint, .. } | QueryError::NotFound { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// The message alone, without position and hint.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            QueryError::Syntax(e) => e.message.clone(),
            QueryError::Bind { message, .. }
            | QueryError::NotFound { message, .. }
            | QueryError::NotYet { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }
}

impl From<SyntaxError> for QueryError {
    fn from(e: SyntaxError) -> Self {
        QueryError::Syntax(e)
    }
}

impl From<datafusion::error::DataFusionError> for QueryError {
    fn from(e: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError as E;
        match e.find_root() {
            E::ResourcesExhausted(m) => {
                let first = m.lines().next().unwrap_or_default();
                QueryError::TooLarge(format!(
                    "the query needs more memory than it may take: {first}"
                ))
            }
            E::External(inner) => match inner.downcast_ref::<QueryError>() {
                Some(own) => own.clone(),
                None => QueryError::Storage(inner.to_string()),
            },
            E::Internal(m) => QueryError::Internal(m.clone()),
            root => QueryError::Exec(plain(root)),
        }
    }
}

/// A DataFusion error's own words, without the kind it puts before them.
pub(crate) fn plain(e: &datafusion::error::DataFusionError) -> String {
    use datafusion::error::DataFusionError as E;
    match e {
        E::Plan(m) | E::Execution(m) | E::NotImplemented(m) | E::Configuration(m) => m.clone(),
        E::ArrowError(e, _) => e.to_string(),
        E::SchemaError(e, _) => e.to_string(),
        E::Context(_, e) | E::Diagnostic(_, e) => plain(e),
        E::Collection(all) if !all.is_empty() => plain(&all[0]),
        other => other.strip_backtrace(),
    }
}

/// What kind of objection the binder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindErrorKind {
    /// Names or types do not fit.
    Bind,
    /// A named thing is missing.
    NotFound,
    /// Not there yet.
    NotYet,
    /// Stored data could not be read while binding.
    Storage,
}

/// An objection with its place in the text, which it does not know.
#[derive(Debug, Clone)]
pub struct BindError {
    /// What kind.
    pub kind: BindErrorKind,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What might help.
    pub hint: Option<String>,
}

impl BindError {
    /// Names or types that do not fit.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            kind: BindErrorKind::Bind,
            message: message.into(),
            span,
            hint: None,
        }
    }

    /// A missing thing.
    pub fn not_found(span: Span, message: impl Into<String>) -> Self {
        Self {
            kind: BindErrorKind::NotFound,
            ..Self::new(span, message)
        }
    }

    /// Something that is not there yet.
    pub fn not_yet(span: Span, what: impl std::fmt::Display) -> Self {
        Self {
            kind: BindErrorKind::NotYet,
            ..Self::new(span, format!("{what} is not available yet"))
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// DataFusion's objection to what stands at `span`.
    pub fn from_df(span: Span, e: &datafusion::error::DataFusionError) -> Self {
        Self::new(span, plain(e))
    }

    /// The public error, with the place counted in `sql`.
    #[must_use]
    pub fn locate(self, sql: &str) -> QueryError {
        let (line, column) = line_column(sql, self.span.start);
        let BindError {
            kind,
            message,
            hint,
            ..
        } = self;
        match kind {
            BindErrorKind::Bind => QueryError::Bind {
                message,
                line,
                column,
                hint,
            },
            BindErrorKind::NotFound => QueryError::NotFound {
                message,
                line,
                column,
                hint,
            },
            BindErrorKind::NotYet => QueryError::NotYet {
                message,
                line,
                column,
            },
            BindErrorKind::Storage => QueryError::Storage(message),
        }
    }
}

/// What the binder returns.
pub type BindResult<T> = Result<T, BindError>;
