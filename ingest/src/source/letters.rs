//! The dead letters of a source: none is left out, however many there are.

use super::include::{headers_json, shown};
use super::record::Record;
use crate::dead_letter::{Letter, MAX_PAYLOAD, Message, Origin, Pad, STREAM};
use std::fmt;
use tsdb::Rows;

/// Bytes of a payload that are kept: all of a message that is within its limit. A longer one is cut to
/// [`MAX_PAYLOAD`].
const MAX_WHOLE: usize = 16 << 20;

/// The header by which a letter of CSV tells the columns that its file's first line had named: once for each, in their order.
pub const CSV_COLUMNS_HEADER: &str = "csv_columns";

/// Where a message lies: `topic/partition@offset`.
struct Position<'r, 'a>(&'r Record<'a>);

impl fmt::Display for Position<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.0.topic, self.0.partition, self.0.offset)
    }
}

/// Letters that wait for their request.
#[derive(Default)]
pub(super) struct SourceLetters {
    pad: Pad,
    done: Vec<Rows>,
    done_rows: usize,
    done_bytes: usize,
    /// The first refusal of the stream of letters itself.
    lost: Option<String>,
    /// The columns of values, where a line above them has named them.
    columns: Vec<String>,
}

impl SourceLetters {
    /// Sets the columns that letters tell from now on.
    pub fn set_columns(&mut self, names: &[String]) {
        self.columns = names.to_vec();
    }

    pub fn add(
        &mut self,
        origin: &Origin<'_>,
        record: &Record<'_>,
        reason: &dyn fmt::Display,
        payload: &[u8],
    ) {
        let payload = match payload.len() {
            0..=MAX_WHOLE => payload,
            _ => &payload[..MAX_PAYLOAD],
        };
        if self.pad.full(payload.len()) {
            self.seal(origin);
        }
        let key = record.key.map(shown);
        let columns = self.columns.iter();
        let mut named = record.headers.to_vec();
        named.extend(columns.map(|name| (CSV_COLUMNS_HEADER, Some(name.as_bytes()))));
        let headers = headers_json(&named);
        let letter = Letter {
            position: &Position(record),
            reason,
            payload,
            message: Some(Message {
                key: key.as_deref(),
                time_ns: record.time_ns.filter(|t| *t >= 0),
                headers: headers.as_deref(),
            }),
        };
        self.pad.add(origin, &letter);
    }

    fn seal(&mut self, origin: &Origin<'_>) {
        let (rows, bytes) = (self.pad.rows(), self.pad.bytes());
        match self.pad.finish(origin) {
            Ok(letters) => {
                self.done_rows += rows;
                self.done_bytes += bytes;
                self.done.extend(letters);
            }
            Err(error) => {
                let why = format!("refused rows are not kept: \"{STREAM}\" takes none ({error})");
                self.lost.get_or_insert(why);
            }
        }
    }

    pub fn rows(&self) -> usize {
        self.done_rows + self.pad.rows()
    }

    pub fn bytes(&self) -> usize {
        self.done_bytes + self.pad.bytes()
    }

    /// Takes all letters, and why some are lost if so.
    pub fn take(&mut self, origin: &Origin<'_>) -> (Vec<Rows>, Option<String>) {
        self.seal(origin);
        (self.done_rows, self.done_bytes) = (0, 0);
        (std::mem::take(&mut self.done), self.lost.take())
    }
}
