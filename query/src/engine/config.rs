//! Settings of the query engine, and of one client's statements.

use std::time::Duration;

/// Settings of the query engine.
#[derive(Clone, Debug)]
pub struct QueryConfig {
    /// Threads that queries run on; also the partitions of a plan.
    pub threads: usize,
    /// Queries that run at a time; more wait, within their time limit.
    pub concurrent: usize,
    /// Bytes that all queries together may hold.
    pub memory_bytes: usize,
    /// How long a query may run, unless its session says less.
    pub time_limit: Duration,
    /// Most rows of one answer.
    pub max_rows: usize,
    /// Rows that operators hand on at once.
    pub batch_rows: usize,
}

impl Default for QueryConfig {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 64));
        Self {
            threads,
            concurrent: 32,
            memory_bytes: 1 << 30,
            time_limit: Duration::from_secs(60),
            max_rows: 50_000_000,
            batch_rows: 8192,
        }
    }
}

/// On whose behalf and within which bounds statements run.
#[derive(Clone, Debug)]
pub struct Session {
    /// The database that unqualified names mean.
    pub db: String,
    /// The tenant; 0 unless said otherwise.
    pub tenant: u32,
    /// How long one statement may run; the engine's limit when absent or longer.
    pub time_limit: Option<Duration>,
    /// Most bytes one statement may hold; the engine's limit when absent or more.
    pub memory_limit: Option<usize>,
    /// The key of the request, if it bears one: a statement that changes something commits its reply under it.
    pub keyed: Option<Keyed>,
}

/// A request that must not take effect twice.
#[derive(Clone, Copy, Debug)]
pub struct Keyed {
    /// A hash of its key and of what that is scoped by.
    pub key: u128,
    /// A hash of the request.
    pub request: u128,
    /// Writes the reply that is kept, of its message and notices.
    pub reply: fn(&str, &[String]) -> Vec<u8>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            db: tsdb::DEFAULT_DATABASE.to_owned(),
            tenant: 0,
            time_limit: None,
            memory_limit: None,
            keyed: None,
        }
    }
}

impl Session {
    /// A session in that database.
    pub fn of(db: impl Into<String>) -> Self {
        Self {
            db: db.into(),
            ..Self::default()
        }
    }
}
