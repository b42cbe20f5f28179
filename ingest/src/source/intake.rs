//! From messages to rows of one stream.
//!
//! - A bad message is a dead letter in the same request, never an error: the partition goes on.
//! - Where the stream's event time is the undeclared `time`, a message's own time is its rows' event time; one that
//!   can't be (negative, more than a day ahead) is not trusted, and the clock's is taken.
//! - A tombstone says that a key has no value any more. A table's row of that key goes. A stream only ever gains rows, so
//!   it is counted and skipped; where the key is a column, the deletion is an event worth a row: one without values, at the
//!   message's time.

use super::format::Format;
use super::include::{Include, shown};
use super::letters::SourceLetters;
use super::record::Record;
use super::table_key::TableKey;
use crate::dead_letter::Origin;
use crate::decode::line_protocol::{LineContext, LineRows};
use crate::decode::{
    Cell, Cells, Precision, Receiver, RefusedRow, RowReason, ValueFormat, Wait, Writer, csv, json,
};
use std::borrow::Cow;
use std::sync::Arc;
use tsdb::types::{DataType, Role};
use tsdb::{Catalog, Rows, Stream};

/// Bytes of a message's value at most, unless told otherwise.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// A message so far ahead of the clock does not tell the time.
const AHEAD_NS: i64 = 86_400_000_000_000;
/// Text of messages after which their rows are sealed.
const SEAL_BYTES: usize = 32 << 20;
/// Text of messages, and rows, after which their memory is counted anew.
const COUNT_BYTES: usize = 256 << 10;
const COUNT_ROWS: usize = 1_024;

/// Everything since the last call.
#[derive(Default)]
pub struct Taken {
    /// Rows for one request, dead letters among them.
    pub rows: Vec<Rows>,
    /// Rows of the stream.
    pub accepted: usize,
    /// Rows that became dead letters.
    pub rejected: usize,
    /// Tombstones that were skipped.
    pub skipped: usize,
    /// Why the last of the rejected rows was.
    pub last_error: Option<String>,
}

/// How values are decoded.
enum Values {
    Json,
    Csv {
        /// The columns, by how many values there are.
        columns: Vec<Vec<String>>,
        delimiter: u8,
    },
    Lines(Precision, Box<LineRows>),
    Text,
    Raw,
    Custom(Box<dyn ValueFormat>),
}

/// Turns messages into rows of one stream. One per worker thread.
pub struct Intake {
    values: Values,
    parts: Parts,
    sink: Sink,
    /// Of a table.
    table: Option<TableKey>,
    /// Whether rows without event time get the message's.
    fills: bool,
    max_message: usize,
    /// The clock at the last message.
    now_ns: i64,
    held: Held,
}

/// The parts of messages besides their values.
struct Parts {
    include: Include,
    /// Their columns, as of a schema of `width` columns.
    targets: Vec<Option<(DataType, Role)>>,
    width: usize,
}

impl Parts {
    /// The cells that a message's rows get.
    fn cells<'r>(
        &'r mut self,
        writer: &Writer,
        record: &Record<'r>,
        time: i64,
    ) -> Vec<(Cow<'r, str>, Cell<'r>)> {
        if self.include.is_empty() {
            return Vec::new();
        }
        let schema = writer.schema();
        if self.width != schema.columns.len() {
            self.width = schema.columns.len();
            self.targets = self.include.targets(schema);
        }
        self.include.cells(record, &self.targets, time)
    }
}

/// Where rows and letters go, and how many there are.
struct Sink {
    catalog: Arc<Catalog>,
    stream: Arc<Stream>,
    source: &'static str,
    writer: Writer,
    letters: SourceLetters,
    line_rows: usize,
    accepted: usize,
    rejected: usize,
    skipped: usize,
    last_error: Option<String>,
}

/// The memory that rows hold, counted now and then.
#[derive(Default)]
struct Held {
    bytes: usize,
    /// Rows then.
    rows: usize,
    /// Text since.
    fed: usize,
    /// Text since rows were sealed.
    unsealed: usize,
}

impl Intake {
    /// An intake for a stream. `source` names the kind of source in dead letters: `kafka`, `nats`, ..
    #[must_use]
    pub fn new(
        catalog: Arc<Catalog>,
        stream: Arc<Stream>,
        format: Format,
        include: Include,
        source: &'static str,
    ) -> Intake {
        let table = TableKey::of(&stream, &include);
        // A table's rows have no event time that anybody sees.
        let fills = table.is_some() || stream.schema().time().name == "time";
        let values = match format {
            Format::Json => Values::Json,
            Format::Csv { columns, delimiter } => Values::Csv {
                columns: csv_columns(columns, &stream, &include, fills),
                delimiter,
            },
            Format::LineProtocol { precision } => Values::Lines(precision, Box::default()),
            Format::Text => Values::Text,
            Format::Raw => Values::Raw,
            Format::Custom(format) => Values::Custom(format),
        };
        include.add_columns(&stream);
        Intake {
            values,
            parts: Parts {
                include,
                targets: Vec::new(),
                width: 0,
            },
            sink: Sink {
                catalog,
                source,
                writer: Writer::new(stream.clone(), None),
                stream,
                letters: SourceLetters::default(),
                line_rows: 0,
                accepted: 0,
                rejected: 0,
                skipped: 0,
                last_error: None,
            },
            table,
            fills,
            max_message: MAX_MESSAGE_BYTES,
            now_ns: 0,
            held: Held::default(),
        }
    }

    /// Sets how long a message's value may be, in bytes; [`MAX_MESSAGE_BYTES`] unless told.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Intake {
        self.max_message = bytes;
        self
    }

    /// The columns that a line of CSV names.
    ///
    /// # Errors
    /// When it can't be; also where values are no CSV.
    pub fn csv_header(&self, line: &[u8]) -> Result<Vec<String>, String> {
        match &self.values {
            Values::Csv { delimiter, .. } => {
                csv::header_line(line, *delimiter).map_err(|e| e.to_string())
            }
            _ => Err("there are header lines in CSV only".into()),
        }
    }

    /// Sets the columns of the messages that follow, where they are CSV.
    pub fn set_csv_columns(&mut self, names: &[String]) {
        if let Values::Csv { columns, .. } = &mut self.values
            && (columns.len() != 1 || columns[0] != names)
        {
            *columns = vec![names.to_vec()];
            self.sink.letters.set_columns(names);
        }
    }

    /// Decodes one message that is met at `now_ns`. A bad one becomes a dead letter with its position
    /// (`topic/partition@offset`).
    ///
    /// # Errors
    /// When it can't be decoded now, though nothing is wrong with it; it has left nothing behind and must be offered
    /// again. Only a [`Format::Custom`] says so.
    pub fn push(&mut self, record: &Record<'_>, now_ns: i64) -> Result<(), Wait> {
        self.now_ns = now_ns;
        if self.held.unsealed > SEAL_BYTES {
            self.sink.writer.seal();
            self.held.unsealed = 0;
        }
        let time = event_time(record.time_ns, now_ns);
        let fill = (self.fills || record.value.is_none()).then_some(time);
        self.sink.writer.begin(now_ns, fill);
        self.sink.writer.grant();
        let keyed = self.parts.include.has_key() && record.key.is_some();
        let more = self.parts.cells(&self.sink.writer, record, time);
        let result = match record.value {
            None => {
                match &self.table {
                    Some(key) => match key.deletion(record, &more) {
                        Ok(row) => self.sink.tombstone(record, Some(&row), now_ns),
                        Err(reason) => self.sink.refuse(record, reason, &[], now_ns),
                    },
                    None => {
                        let row = keyed.then_some(more.as_slice());
                        self.sink.tombstone(record, row, now_ns);
                    }
                }
                Ok(())
            }
            Some(value) if value.len() > self.max_message => {
                let reason = RowReason::TooLong(value.len(), self.max_message);
                self.sink.refuse(record, reason, value, now_ns);
                Ok(())
            }
            Some(value) => {
                let clock = Clock { now_ns, time };
                self.sink
                    .decode(&mut self.values, record, value, &more, clock)
            }
        };
        self.fed(record.value.map_or(0, <[u8]>::len));
        result
    }

    /// A message that can't be taken after all: a dead letter with the reason.
    pub(super) fn refuse(&mut self, record: &Record<'_>, why: String) {
        let value = record.value.unwrap_or_default();
        self.sink
            .refuse(record, RowReason::Unfit(why), value, self.now_ns);
    }

    /// Rows that wait, dead letters among them.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sink.writer.rows() + self.sink.line_rows + self.sink.letters.rows()
    }

    /// Bytes of memory that they hold, nearly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let rows = self.rows().saturating_sub(self.held.rows);
        let width = self.sink.writer.schema().columns.len();
        self.held.bytes + self.held.fed + rows * (width * 8 + 12)
    }

    /// Whether nothing waits: no rows, and no counts to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let s = &self.sink;
        self.rows() == 0 && s.accepted + s.rejected + s.skipped == 0
    }

    /// Everything since the last call, ready for a request.
    pub fn take(&mut self) -> Taken {
        self.held = Held::default();
        let sink = &mut self.sink;
        let mut rows = sink.writer.take();
        if let Values::Lines(_, lines) = &mut self.values {
            rows.extend(lines.take());
        }
        sink.line_rows = 0;
        let origin = Origin {
            catalog: &sink.catalog,
            db: &sink.stream.db,
            stream: &sink.stream.name,
            source: sink.source,
            now_ns: self.now_ns,
        };
        let (letters, lost) = sink.letters.take(&origin);
        rows.extend(letters);
        Taken {
            rows,
            accepted: std::mem::take(&mut sink.accepted),
            rejected: std::mem::take(&mut sink.rejected),
            skipped: std::mem::take(&mut sink.skipped),
            last_error: lost.or(sink.last_error.take()),
        }
    }

    /// Counts a message's text, and now and then the memory that rows hold.
    #[inline]
    fn fed(&mut self, bytes: usize) {
        self.held.fed += bytes;
        self.held.unsealed += bytes;
        let rows = self.rows();
        if self.held.fed >= COUNT_BYTES || rows >= self.held.rows + COUNT_ROWS {
            let lines = match &self.values {
                Values::Lines(_, lines) => lines.bytes(),
                _ => 0,
            };
            self.held.bytes = self.sink.writer.bytes() + lines + self.sink.letters.bytes();
            (self.held.rows, self.held.fed) = (rows, 0);
        }
    }
}

/// When a message is met, and its rows' time where they have none.
#[derive(Clone, Copy)]
struct Clock {
    now_ns: i64,
    time: i64,
}

impl Sink {
    fn decode(
        &mut self,
        values: &mut Values,
        record: &Record<'_>,
        value: &[u8],
        more: Cells<'_, '_>,
        clock: Clock,
    ) -> Result<(), Wait> {
        if let Values::Lines(precision, lines) = values {
            self.lines(*precision, lines, record, value, clock);
            return Ok(());
        }
        let Sink {
            catalog,
            stream,
            source,
            writer,
            letters,
            last_error,
            ..
        } = self;
        let origin = Origin {
            catalog,
            db: &stream.db,
            stream: &stream.name,
            source,
            now_ns: clock.now_ns,
        };
        let mut on_refused = |refused: RefusedRow<'_>| {
            letters.add(&origin, record, &refused.reason, refused.payload);
            *last_error = Some(refused.reason.to_string());
        };
        let mut rows = Receiver::new(writer, more, &mut on_refused);
        let result = match values {
            Values::Json => {
                json::receive(value, json::JsonFormat::Document, &mut rows);
                Ok(())
            }
            Values::Csv { columns, delimiter } => {
                csv::receive(value, columns, *delimiter, &mut rows);
                Ok(())
            }
            Values::Text | Values::Raw => {
                text(value, matches!(values, Values::Raw), &mut rows);
                Ok(())
            }
            Values::Custom(format) => format.decode(value, &mut |cells| {
                rows.take(cells, value);
            }),
            // Taken above.
            Values::Lines(..) => Ok(()),
        };
        if rows.full() {
            rows.refuse(RowReason::TooMuch(rows.accepted), value);
        } else if rows.accepted + rows.rejected == 0 && value.trim_ascii().is_empty() {
            rows.refuse(RowReason::Empty, value);
        }
        self.accepted += rows.accepted;
        self.rejected += rows.rejected;
        result
    }

    fn lines(
        &mut self,
        precision: Precision,
        lines: &mut LineRows,
        record: &Record<'_>,
        value: &[u8],
        clock: Clock,
    ) {
        let db = self.stream.clone();
        let catalog = self.catalog.clone();
        let ctx = LineContext {
            catalog: &catalog,
            db: &db.db,
            precision,
            now_ns: clock.time,
        };
        let taken = lines.push(value, &ctx, clock.now_ns, &mut |reason, line| {
            self.refuse(record, RowReason::Line(reason), line, clock.now_ns);
        });
        if taken.full {
            let reason = RowReason::TooMuch(taken.accepted);
            self.refuse(record, reason, value, clock.now_ns);
        } else if value.trim_ascii().is_empty() {
            self.refuse(record, RowReason::Empty, value, clock.now_ns);
        }
        self.accepted += taken.accepted;
        self.line_rows += taken.accepted;
    }

    /// A message without a value: a row of its parts, or nothing.
    fn tombstone(&mut self, record: &Record<'_>, row: Option<Cells<'_, '_>>, now_ns: i64) {
        match row.map(|cells| self.writer.append(&[], cells)) {
            Some(Ok(())) => {
                self.accepted += 1;
                self.writer.count();
            }
            Some(Err(reason)) => self.refuse(record, reason, &[], now_ns),
            None => self.skipped += 1,
        }
    }

    fn refuse(&mut self, record: &Record<'_>, reason: RowReason, payload: &[u8], now_ns: i64) {
        let origin = Origin {
            catalog: &self.catalog,
            db: &self.stream.db,
            stream: &self.stream.name,
            source: self.source,
            now_ns,
        };
        self.letters.add(&origin, record, &reason, payload);
        self.rejected += 1;
        self.last_error = Some(reason.to_string());
    }
}

/// A message's own time where it can be, else the clock's.
fn event_time(of_message: Option<i64>, now_ns: i64) -> i64 {
    let trusted = |t: &i64| *t > 0 && *t <= now_ns.saturating_add(AHEAD_NS);
    of_message.filter(trusted).unwrap_or(now_ns)
}

/// The one cell of a message that is text.
fn text(value: &[u8], raw: bool, rows: &mut Receiver<'_, '_>) {
    let text = match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) if raw => shown(value),
        Err(_) => {
            rows.refuse(RowReason::NotUtf8, value);
            return;
        }
    };
    rows.take(Ok(&[(Cow::Borrowed("value"), Cell::Str(text))]), value);
}

/// The columns of CSV values: those told, else the stream's own, with and without a time that need not be declared.
fn csv_columns(
    told: Vec<String>,
    stream: &Stream,
    include: &Include,
    fills: bool,
) -> Vec<Vec<String>> {
    if !told.is_empty() {
        return vec![told];
    }
    let schema = stream.schema();
    let own = schema.columns.iter().filter(|c| !include.feeds(&c.name));
    let names = |time: bool| -> Vec<String> {
        let kept = own.clone().filter(|c| time || c.role != Role::Time);
        kept.map(|c| c.name.clone()).collect()
    };
    match fills {
        true => vec![names(false), names(true)],
        false => vec![names(true)],
    }
}
