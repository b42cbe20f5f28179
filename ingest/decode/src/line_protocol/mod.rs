//! InfluxDB line protocol. A measurement is a stream, its tags are tag columns, its fields columns; the event time
//! column is `time`. Streams and columns come to be as lines name them.

pub(crate) mod cache;
mod fast;
mod line;
mod refused;
mod session;
mod slow;
#[cfg(test)]
mod tests;

pub use refused::{LINE_AT, refused_lines};
pub use session::{LineRows, LinesTaken};

use super::Precision;
use crate::admission::Rejection;
use crate::dead_letter::MAX_LETTERS;
use cache::{Cache, Caches};
use line::Item;
use parking_lot::Mutex;
use std::ops::Range;
use tsdb::{Catalog, Rows, TooOld};

/// Errors that are kept with their line; the others are only counted.
pub const MAX_ERRORS: usize = 100;
/// Bytes of a bad line that are kept.
const MAX_TEXT: usize = 512;

/// What a body is decoded against.
#[derive(Clone, Copy)]
pub struct LineContext<'a> {
    /// Where streams are found and made.
    pub catalog: &'a Catalog,
    /// The database; the caller has made sure that it may be written.
    pub db: &'a str,
    /// The unit of times.
    pub precision: Precision,
    /// The time of rows that carry none, in nanoseconds.
    pub now_ns: i64,
}

/// Why a line was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineReason {
    /// The grammar wants something else here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A name or value of no bytes.
    #[error("empty {0}")]
    Empty(&'static str),
    /// A name or value beyond the limit.
    #[error("{0} longer than {1} bytes")]
    TooLong(&'static str, usize),
    /// More parts than the limit.
    #[error("more than {1} {0}")]
    TooMany(&'static str, usize),
    /// Bytes that are no UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A NUL byte where names are.
    #[error("{0} contains a NUL byte")]
    Nul(&'static str),
    /// A tag given twice.
    #[error("duplicate tag \"{0}\"")]
    DuplicateTag(String),
    /// A value of no type.
    #[error("invalid field value '{0}'")]
    Value(String),
    /// A string without its closing quote.
    #[error("unterminated string")]
    UnterminatedString,
    /// A time that is no integer.
    #[error("bad timestamp '{0}'")]
    Time(String),
    /// A time that nanoseconds can't hold.
    #[error("timestamp {0} is out of range in this precision")]
    TimeRange(i64),
    /// A value whose type is not the column's.
    #[error("field type conflict: field \"{field}\" is {got}, the column is {have}")]
    TypeConflict {
        /// The field.
        field: String,
        /// The type of the column.
        have: String,
        /// What the line brought.
        got: &'static str,
    },
    /// A name that is taken for something else in the stream.
    #[error("{what} \"{name}\" can't be: the name belongs to {taken}")]
    NameTaken {
        /// `tag` or `field`.
        what: &'static str,
        /// The name.
        name: String,
        /// What has it.
        taken: &'static str,
    },
    /// The stream takes no rows from so long ago.
    #[error("{0}")]
    TooOld(TooOld),
    /// The catalog refused the stream or the columns.
    #[error("{0}")]
    Catalog(String),
}

/// A line that was refused; the others of its body are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// Its place in the body, from 1 on.
    pub line: usize,
    /// Why.
    pub reason: LineReason,
    /// Its text, cut and made printable.
    pub text: String,
}

/// What a body held.
#[derive(Default)]
pub struct Decoded {
    /// The rows, per stream in the order of their lines.
    pub rows: Vec<Rows>,
    /// How many rows.
    pub accepted: usize,
    /// How many lines were refused.
    pub rejected: usize,
    /// The first of them, at most [`MAX_ERRORS`].
    pub errors: Vec<LineError>,
    /// Where the first of them stand in the body, and why they were refused: material for dead letters, at most [`MAX_LETTERS`].
    pub refused: Vec<(Range<usize>, LineReason)>,
}

/// The decoder. Shared by all connections: each call takes a cache out of the pool and puts it back, so there are as
/// many as threads that decode at once, they stay warm, and no call waits for another.
pub struct LineDecoder {
    pool: Mutex<Vec<Caches>>,
    keep: usize,
}

impl Default for LineDecoder {
    fn default() -> Self {
        let keep = std::thread::available_parallelism().map_or(2, usize::from);
        LineDecoder {
            pool: Mutex::default(),
            keep,
        }
    }
}

impl LineDecoder {
    /// A decoder that knows nothing yet.
    #[must_use]
    pub fn new() -> LineDecoder {
        LineDecoder::default()
    }

    /// Decodes a body. Bad lines are reported and leave nothing behind; good ones are kept.
    ///
    /// # Errors
    /// 413 when the rows would take more than [`super::MAX_REQUEST_BYTES`] in columns; then none is kept.
    pub fn decode(&self, body: &[u8], ctx: &LineContext<'_>) -> Result<Decoded, Rejection> {
        let mut caches = self.pool.lock().pop().unwrap_or_default();
        let decoded = decode_with(&mut caches, body, ctx);
        let mut pool = self.pool.lock();
        if pool.len() < self.keep {
            pool.push(caches);
        }
        decoded
    }
}

fn decode_with(
    caches: &mut Caches,
    body: &[u8],
    ctx: &LineContext<'_>,
) -> Result<Decoded, Rejection> {
    let cache = caches.database(ctx.db);
    cache.begin(ctx.now_ns);
    let decoded = lines(cache, body, ctx);
    if decoded.is_err() {
        cache.abandon();
    }
    decoded
}

fn lines(cache: &mut Cache, body: &[u8], ctx: &LineContext<'_>) -> Result<Decoded, Rejection> {
    let mut out = Decoded::default();
    let Decoded {
        rows,
        rejected,
        errors,
        refused,
        ..
    } = &mut out;
    // Line numbers are counted up to here, and only where an error needs one.
    let (mut counted, mut number) = (0, 1);
    out.accepted = each_line(cache, body, ctx, rows, &mut |range, reason| {
        *rejected += 1;
        if errors.len() < MAX_ERRORS {
            number += memchr::memchr_iter(b'\n', &body[counted..range.start]).count();
            counted = range.start;
            errors.push(LineError {
                line: number,
                reason: reason.clone(),
                text: shown(&body[range.clone()]),
            });
        }
        if refused.len() < MAX_LETTERS {
            refused.push((range, reason));
        }
    })
    .1?;
    cache.finish(&mut out.rows)?;
    Ok(out)
}

/// Appends the rows of a body's lines and tells of those that are none. Gives how many rows there are, and whether
/// they are too much: then the last lines were not read.
fn each_line(
    cache: &mut Cache,
    body: &[u8],
    ctx: &LineContext<'_>,
    out: &mut Vec<Rows>,
    on_bad: &mut dyn FnMut(Range<usize>, LineReason),
) -> (usize, Result<usize, Rejection>) {
    let (mut at, mut accepted) = (0, 0);
    while at < body.len() {
        let taken = match fast::line(cache, body, at, ctx) {
            Some((target, next)) => {
                at = next;
                Some(target)
            }
            None => {
                let start = at;
                let (item, next) = line::read(body, at);
                at = next;
                let result = match item {
                    Item::Blank => Ok(None),
                    Item::Bad(reason) => Err(reason),
                    Item::Line(line) => slow::line(cache, &line, ctx, out).map(Some),
                };
                result.unwrap_or_else(|reason| {
                    on_bad(start..next, reason);
                    None
                })
            }
        };
        if let Some(target) = taken {
            accepted += 1;
            if let Err(e) = cache.count_row(target, out) {
                return (accepted, Err(e));
            }
        }
    }
    (accepted, Ok(accepted))
}

/// A line as an error shows it.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(&line[..line.len().min(MAX_TEXT)]).into_owned()
}
