//! Samples of metrics, as Prometheus' remote write and OTLP bring them. A metric is a stream, its labels are tag columns,
//! the event time column is `time`, and a sample's number is `value`. Streams and columns come to be as samples name
//! them, and rows of one series and time merge, so that a request that is sent again changes nothing.
//!
//! | column | type | of |
//! |---|---|---|
//! | `value` | DOUBLE, bit for bit (Prometheus' stale marker is a NaN with a payload) | samples, gauges, sums |
//! | `start_time` | TIMESTAMP | what has it: since when a sum or histogram counts |
//! | `histogram.count`, `.sum`, `.min`, `.max` | DOUBLE | histograms |
//! | `histogram.schema`, `.zero_threshold`, `.zero_count` | BIGINT, DOUBLE | exponential histograms |
//! | `histogram.buckets` | STRING | JSON: `{"positive":[[index,count],..],"negative":[..]}`, or `[count,..]` with bounds |
//! | `histogram.bounds` | STRING | JSON: upper bounds of explicit buckets |
//! | `histogram.reset_hint` | STRING | `yes`, `no` or `gauge`, where Prometheus says so |
//! | `summary.count`, `.sum`, `.quantiles` | DOUBLE, STRING | summaries; JSON `[[quantile,value],..]` |
//!
//! Labels of these names get the prefix `exported_`. What metrics are about goes to the stream [`METADATA`] whenever it is
//! news, exemplars to [`EXEMPLARS`].

mod columns;
mod known;
pub(super) mod letter;
mod pen;
mod refused;
#[cfg(test)]
pub(super) mod rows;
mod sifted;
pub(super) mod text;

pub use super::otlp::reply::{self, Form};
pub use super::remote_write::Version;
pub use known::Learned;
pub use sifted::SiftedLetters;

pub(super) use columns::{Cell, Column, Tag};
pub(super) use pen::{Fault, Pen};

use super::line_protocol::cache::Cache;
use super::wire::Malformed;
use super::{otlp, remote_write};
use crate::admission::Rejection;
use ahash::RandomState;
use hashbrown::HashMap;
use known::Known;
use parking_lot::Mutex;
use pen::Layout;
use tsdb::{Catalog, Rows, TooOld};

/// The stream of what metrics are: `metric` (tag), `type`, `help`, `unit`; a row whenever one of them is news.
pub const METADATA: &str = "metric_metadata";
/// The stream of exemplars: `metric` and `series` (tags; labels as JSON), `value`, `labels` (as JSON).
pub const EXEMPLARS: &str = "metric_exemplars";

/// What a request is decoded against.
#[derive(Clone, Copy)]
pub struct MetricContext<'a> {
    /// Where streams are found and made.
    pub catalog: &'a Catalog,
    /// The database; the caller has made sure that it may be written.
    pub db: &'a str,
    /// The commit's time, in nanoseconds.
    pub now_ns: i64,
    /// What dead letters name as their source.
    pub source: &'static str,
}

/// Why a sample is refused; the others of its request are kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricReason {
    /// Something is not as the format wants it.
    #[error("{0}")]
    Invalid(&'static str),
    /// A label given twice.
    #[error("duplicate label \"{0}\"")]
    DuplicateLabel(String),
    /// Labels out of order.
    #[error("label \"{0}\" stands behind one that is greater; labels must be sorted")]
    Unsorted(String),
    /// A name or value beyond the limit.
    #[error("{0} of more than {1} bytes")]
    TooLong(&'static str, usize),
    /// More parts than the limit.
    #[error("more than {1} {0}")]
    TooMany(&'static str, usize),
    /// A label whose column is there for something else.
    #[error("label \"{name}\" can't be: the name belongs to {taken}")]
    NameTaken {
        /// The label.
        name: String,
        /// What has it.
        taken: &'static str,
    },
    /// A time that nanoseconds can't hold.
    #[error("timestamp {0} ms is out of range")]
    TimeRange(i64),
    /// The stream takes no rows from so long ago.
    #[error("{0}")]
    TooOld(TooOld),
    /// The catalog refused the stream or the columns.
    #[error("{0}")]
    Catalog(String),
}

/// What a request held.
#[derive(Default)]
pub struct DecodedMetrics {
    /// All rows, those of exemplars, metadata and dead letters among them.
    pub rows: Vec<Rows>,
    /// Samples, gauges, sums and summaries that are kept.
    pub samples: usize,
    /// Histograms that are kept.
    pub histograms: usize,
    /// Exemplars that are kept.
    pub exemplars: usize,
    /// Samples, histograms and exemplars that were refused.
    pub rejected: usize,
    /// The first refusals, in words.
    pub errors: Vec<String>,
    /// Give it to [`MetricDecoder::learn`] once the rows are committed.
    pub learned: Learned,
}

/// What one thread's requests have taught about a database.
#[derive(Default)]
struct Memory {
    cache: Cache,
    layouts: Vec<Layout>,
    scratch: Scratch,
}

/// Buffers that are used again.
#[derive(Default)]
pub(super) struct Scratch {
    pub key: Vec<u8>,
    pub histogram: remote_write::Histogram,
    pub groups: otlp::Groups,
}

/// Most databases with a memory.
const MAX_DATABASES: usize = 64;

/// The decoder of all formats of metrics. Shared by all connections: each call takes a memory out of the pool and puts it
/// back, so there are as many as threads that decode at once, and they stay warm.
pub struct MetricDecoder {
    pool: Mutex<Vec<HashMap<String, Memory, RandomState>>>,
    keep: usize,
    known: Known,
}

impl Default for MetricDecoder {
    fn default() -> Self {
        MetricDecoder {
            pool: Mutex::default(),
            keep: std::thread::available_parallelism().map_or(2, usize::from),
            known: Known::default(),
        }
    }
}

impl From<Malformed> for Rejection {
    fn from(error: Malformed) -> Rejection {
        Rejection::new(400, "bad_request", error.to_string())
    }
}

impl MetricDecoder {
    /// A decoder that knows nothing yet.
    #[must_use]
    pub fn new() -> MetricDecoder {
        MetricDecoder::default()
    }

    /// Decodes a body of Prometheus' remote write, decompressed.
    ///
    /// # Errors
    /// 400 for bytes that are no such message, 413 when the rows would take more than [`super::MAX_REQUEST_BYTES`] in
    /// columns; then none is kept.
    pub fn remote_write(
        &self,
        body: &[u8],
        version: Version,
        ctx: &MetricContext<'_>,
    ) -> Result<DecodedMetrics, Rejection> {
        self.run(ctx, |pen, scratch| {
            remote_write::decode(body, version, pen, scratch)
        })
    }

    /// Decodes an `ExportMetricsServiceRequest` of OTLP. Durations and numbers are those of protobuf's JSON mapping with
    /// OTLP's exceptions (hexadecimal ids, enums as integers).
    ///
    /// # Errors
    /// As [`MetricDecoder::remote_write`].
    pub fn otlp(
        &self,
        body: &[u8],
        form: Form,
        ctx: &MetricContext<'_>,
    ) -> Result<DecodedMetrics, Rejection> {
        self.run(ctx, |pen, scratch| otlp::decode(body, form, pen, scratch))
    }

    /// Remembers the metadata that a request has brought. Only once its rows are committed: what was not stored must be
    /// news again.
    pub fn learn(&self, learned: Learned) {
        self.known.keep(learned);
    }

    fn run(
        &self,
        ctx: &MetricContext<'_>,
        decode: impl FnOnce(&mut Pen<'_, '_>, &mut Scratch) -> Result<(), Rejection>,
    ) -> Result<DecodedMetrics, Rejection> {
        let mut all = self.pool.lock().pop().unwrap_or_default();
        if all.len() >= MAX_DATABASES && !all.contains_key(ctx.db) {
            all.clear();
        }
        let memory = all.entry_ref(ctx.db).or_default();
        memory.cache.begin(ctx.now_ns);
        let mut pen = Pen::new(&mut memory.cache, &mut memory.layouts, &self.known, ctx);
        let decoded = decode(&mut pen, &mut memory.scratch).and_then(|()| pen.finish());
        if decoded.is_err() {
            memory.cache.abandon();
        }
        let mut pool = self.pool.lock();
        if pool.len() < self.keep {
            pool.push(all);
        }
        decoded
    }
}
