//! Refused rows as rows: the stream `dead_letters` of the same database, in the same commit as the good ones.

use std::fmt::{Display, Write};
use tsdb::types::{BatchBuilder, ColumnId, DataType, Role, SeriesId};
use tsdb::{Catalog, Error, Rows, StreamDef, StreamOptions};

/// The stream's name.
pub const STREAM: &str = "dead_letters";
/// Letters of one request at most; one more tells how many rows were refused besides.
pub const MAX_LETTERS: usize = 10_000;
/// Bytes of a refused row that are kept.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// Bytes of a reason that are kept: it may hold a value of any length.
pub const MAX_REASON: usize = 4 << 10;
/// Bytes of all refused rows of a request that are kept.
pub const MAX_PAYLOADS: usize = 32 << 20;

/// Its columns behind `time`.
const COLUMNS: [(&str, Role); 5] = [
    ("stream", Role::Tag),
    ("source", Role::Tag),
    ("position", Role::Field),
    ("reason", Role::Field),
    ("payload", Role::Field),
];

/// Columns that letters of a source's messages have besides: what a replay needs. The hex is there when the payload is
/// no text.
const MESSAGE_COLUMNS: [(&str, DataType); 4] = [
    ("key", DataType::Utf8),
    ("message_time", DataType::Timestamp),
    ("headers", DataType::Utf8),
    ("payload_hex", DataType::Utf8),
];

/// The first part of a text, at most so many bytes of it.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Where a request's rows come from and were to go.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// Where the stream of letters is found, and made by the first letter.
    pub catalog: &'a Catalog,
    /// The database.
    pub db: &'a str,
    /// The stream that the rows were for.
    pub stream: &'a str,
    /// Where they came from: `http`, `kafka`, ..
    pub source: &'a str,
    /// The commit's time, in nanoseconds.
    pub now_ns: i64,
}

/// What a replay of a message needs besides its value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// Its key: text, else hex.
    pub key: Option<&'a str>,
    /// Its own time, in nanoseconds.
    pub time_ns: Option<i64>,
    /// Its headers, as the text of a JSON object.
    pub headers: Option<&'a str>,
}

/// One refused row.
pub struct Letter<'a> {
    /// Its place at its source: `row 17`, `topic/3@99`.
    pub position: &'a dyn Display,
    /// Why it was refused.
    pub reason: &'a dyn Display,
    /// What it was.
    pub payload: &'a [u8],
    /// What came with it, when it came from a source of messages.
    pub message: Option<Message<'a>>,
}

/// The letters of one request, written as its rows are refused.
pub struct Letters<'a> {
    origin: Origin<'a>,
    pad: Pad,
}

impl<'a> Letters<'a> {
    /// No letter yet.
    #[must_use]
    pub fn new(origin: Origin<'a>) -> Letters<'a> {
        Letters {
            origin,
            pad: Pad::default(),
        }
    }

    /// Writes a letter, or counts it when there are many: the row's place at its source (`row 17`, `topic/3@99`), why
    /// it was refused, and what it was, as far as it is text.
    pub fn add(&mut self, position: &dyn Display, reason: &dyn Display, payload: &[u8]) {
        let letter = Letter {
            position,
            reason,
            payload: &payload[..payload.len().min(MAX_PAYLOAD)],
            message: None,
        };
        self.pad.add(&self.origin, &letter);
    }

    /// Tells of further rows that were refused, and are not kept.
    pub fn leave_out(&mut self, rows: usize) {
        self.pad.leave_out(&self.origin, rows);
    }

    /// The rows for the request that refused them; `None` when there is no letter.
    ///
    /// # Errors
    /// When the database has a stream of that name that does not take letters: they are lost then.
    pub fn finish(mut self) -> Result<Option<Rows>, Error> {
        self.pad.finish(&self.origin)
    }
}

/// Letters under way, apart from where they come from.
#[derive(Default)]
pub struct Pad {
    sheet: Option<Result<Sheet, Error>>,
    payloads: usize,
    left_out: usize,
    /// Text that is put together for each letter.
    text: String,
}

impl Pad {
    /// Whether a letter with such a payload would only be counted. [`Pad::finish`] makes room.
    pub fn full(&self, payload: usize) -> bool {
        match &self.sheet {
            Some(Ok(sheet)) => {
                sheet.batch.rows() >= MAX_LETTERS || self.payloads + payload > MAX_PAYLOADS
            }
            _ => false,
        }
    }

    /// Bytes of the letters.
    pub fn bytes(&self) -> usize {
        match &self.sheet {
            Some(Ok(sheet)) => sheet.batch.byte_len(),
            _ => 0,
        }
    }

    /// Letters.
    pub fn rows(&self) -> usize {
        match &self.sheet {
            Some(Ok(sheet)) => sheet.batch.rows(),
            _ => 0,
        }
    }

    /// Writes a letter, or counts it when there are many.
    pub fn add(&mut self, origin: &Origin<'_>, letter: &Letter<'_>) {
        let full = self.full(letter.payload.len());
        let sheet = self.sheet.get_or_insert_with(|| Sheet::new(origin));
        let Ok(sheet) = sheet else { return };
        if full {
            self.left_out += 1;
            return;
        }
        self.payloads += letter.payload.len();
        sheet.batch.begin_row(origin.now_ns, sheet.series);
        sheet.write(0, letter.position, &mut self.text);
        sheet.write(1, letter.reason, &mut self.text);
        sheet.push(2, &String::from_utf8_lossy(letter.payload));
        if let Some(message) = &letter.message {
            sheet.push_message(origin, message, letter.payload, &mut self.text);
        }
    }

    /// Counts refused rows of which no letter is kept.
    pub fn leave_out(&mut self, origin: &Origin<'_>, rows: usize) {
        self.sheet.get_or_insert_with(|| Sheet::new(origin));
        self.left_out += rows;
    }

    /// The rows of the letters; `None` when there is none.
    ///
    /// # Errors
    /// When the stream does not take letters: they are lost then.
    pub fn finish(&mut self, origin: &Origin<'_>) -> Result<Option<Rows>, Error> {
        self.payloads = 0;
        let left_out = std::mem::take(&mut self.left_out);
        let Some(sheet) = self.sheet.take() else {
            return Ok(None);
        };
        let mut sheet = sheet?;
        if left_out > 0 {
            sheet.batch.begin_row(origin.now_ns, sheet.series);
            sheet.push(0, "further rows");
            sheet.push(1, &format!("{left_out} more rows were refused"));
        }
        Ok(Rows::from_builder(sheet.batch))
    }
}

/// Rows of the stream.
struct Sheet {
    batch: BatchBuilder,
    series: SeriesId,
    texts: [ColumnId; 3],
    /// Columns for what came with messages, made by the first letter of one: [`MESSAGE_COLUMNS`].
    message: Option<[Option<ColumnId>; 4]>,
}

impl Sheet {
    fn new(origin: &Origin<'_>) -> Result<Sheet, Error> {
        let define = || StreamDef {
            columns: vec![("time".into(), DataType::Timestamp, Role::Time)],
            options: StreamOptions::default(),
        };
        let stream = origin.catalog.ensure_stream(origin.db, STREAM, define)?;
        let wanted = COLUMNS.map(|(name, role)| (name, DataType::Utf8, role));
        let schema = stream.ensure_columns(&wanted)?;
        let id = |name: &str| {
            let column = schema.column(name).map(|c| c.id);
            column.ok_or_else(|| Error::InvalidDefinition(format!("{STREAM} has no column {name}")))
        };
        let [of, source, position, reason, payload] = COLUMNS.map(|c| id(c.0));
        let mut tags = [(of?, origin.stream), (source?, origin.source)];
        tags.sort_unstable_by_key(|t| t.0);
        Ok(Sheet {
            batch: BatchBuilder::new(stream.id),
            series: stream.series().resolve(&tags),
            texts: [position?, reason?, payload?],
            message: None,
        })
    }

    fn write(&mut self, i: usize, what: &dyn Display, text: &mut String) {
        text.clear();
        // Writing to a String can't fail.
        let _ = write!(text, "{what}");
        self.push(i, text);
    }

    fn push(&mut self, i: usize, text: &str) {
        self.push_text(self.texts[i], text);
    }

    fn push_text(&mut self, column: ColumnId, text: &str) {
        if let Some(column) = self.batch.column(column, DataType::Utf8)
            && !column.push_str(text)
        {
            // Past 4 GiB of text the letter stays, without this part of it.
            column.push_null();
        }
    }

    fn push_message(
        &mut self,
        origin: &Origin<'_>,
        message: &Message<'_>,
        payload: &[u8],
        text: &mut String,
    ) {
        let [key, time, headers, hex] = *self.message.get_or_insert_with(|| {
            let stream = origin.catalog.stream(origin.db, STREAM);
            MESSAGE_COLUMNS.map(|(name, data_type)| {
                // Where a column of that name is something else, letters do without.
                let wanted = [(name, data_type, Role::Field)];
                let schema = stream.as_ref()?.ensure_columns(&wanted).ok()?;
                schema.column(name).map(|c| c.id)
            })
        });
        if let (Some(column), Some(key)) = (key, message.key) {
            self.push_text(column, key);
        }
        if let (Some(column), Some(headers)) = (headers, message.headers) {
            self.push_text(column, headers);
        }
        if let (Some(column), Some(ns)) = (time, message.time_ns)
            && let Some(column) = self.batch.column(column, DataType::Timestamp)
        {
            column.push_i64(ns);
        }
        if let Some(column) = hex
            && std::str::from_utf8(payload).is_err()
        {
            text.clear();
            push_hex(text, payload);
            self.push_text(column, text);
        }
    }
}

/// Appends bytes in hex.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    text.reserve(bytes.len() * 2);
    for b in bytes {
        text.push(DIGITS[usize::from(b >> 4)]);
        text.push(DIGITS[usize::from(b & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb::types::Batch;

    fn origin(catalog: &Catalog) -> Origin<'_> {
        Origin {
            catalog,
            db: "default",
            stream: "s",
            source: "http",
            now_ns: 5,
        }
    }

    fn batch(rows: Option<Rows>) -> Batch {
        match rows {
            Some(Rows::Small(rows)) => rows.finish().unwrap(),
            Some(Rows::Sealed(batch)) => batch,
            None => panic!("no rows"),
        }
    }

    fn text(catalog: &Catalog, batch: &Batch, column: &str, row: usize) -> String {
        let stream = catalog.stream("default", STREAM).unwrap();
        let id = stream.schema().column(column).unwrap().id;
        String::from_utf8(batch.column(id).unwrap().str_at(row).to_vec()).unwrap()
    }

    #[test]
    fn letters_are_rows_of_their_own_stream() {
        let catalog = Catalog::default();
        let none = Letters::new(origin(&catalog));
        assert!(none.finish().unwrap().is_none());
        assert!(catalog.streams().is_empty(), "no letter, no stream");
        for _ in 0..2 {
            let mut letters = Letters::new(origin(&catalog));
            letters.add(&"row 1", &"why", b"{");
            letters.add(&"row 9", &"why", b"\xff");
            let batch = batch(letters.finish().unwrap());
            let stream = catalog.stream("default", STREAM).unwrap();
            assert_eq!((batch.rows, batch.min_time, batch.max_time), (2, 5, 5));
            assert_eq!(text(&catalog, &batch, "position", 1), "row 9");
            assert_eq!(text(&catalog, &batch, "payload", 0), "{");
            let series = SeriesId(batch.series.i64_at(1) as u32);
            let source = stream.schema().column("source").unwrap().id;
            assert_eq!(
                stream.series().tag_value(series, source).as_deref(),
                Some("http")
            );
            assert_eq!(stream.series().len(), 1);
        }
    }

    #[test]
    fn past_many_letters_the_rest_is_one_that_counts() {
        let catalog = Catalog::default();
        let mut letters = Letters::new(origin(&catalog));
        for i in 0..MAX_LETTERS + 7 {
            letters.add(&i, &"why", b"x");
        }
        let batch = batch(letters.finish().unwrap());
        assert_eq!(batch.rows, MAX_LETTERS + 1);
        assert_eq!(
            text(&catalog, &batch, "reason", MAX_LETTERS),
            "7 more rows were refused"
        );
    }

    #[test]
    fn the_payloads_of_a_request_are_bounded() {
        let catalog = Catalog::default();
        let mut letters = Letters::new(origin(&catalog));
        let long = vec![b'x'; 2 * MAX_PAYLOAD];
        let fit = MAX_PAYLOADS / MAX_PAYLOAD;
        for i in 0..fit + 3 {
            letters.add(&i, &"why", &long);
        }
        let batch = batch(letters.finish().unwrap());
        assert_eq!(batch.rows, fit + 1);
        assert_eq!(text(&catalog, &batch, "payload", 0).len(), MAX_PAYLOAD);
        assert_eq!(
            text(&catalog, &batch, "reason", fit),
            "3 more rows were refused"
        );
    }

    #[test]
    fn a_stream_that_takes_no_letters_is_told() {
        let catalog = Catalog::default();
        let define = StreamDef {
            columns: vec![
                ("time".into(), DataType::Timestamp, Role::Time),
                ("reason".into(), DataType::Int64, Role::Field),
            ],
            options: StreamOptions::default(),
        };
        catalog.create_stream("default", STREAM, &define).unwrap();
        let mut letters = Letters::new(origin(&catalog));
        letters.add(&"row 1", &"why", b"{");
        assert!(letters.finish().is_err());
    }
}
