//! Refused rows as rows: the stream `dead_letters` of the same database, in the same commit as the good ones.

use tsdb::types::{BatchBuilder, DataType, Role};
use tsdb::{Catalog, Error, Rows, StreamDef, StreamOptions};

/// The stream's name.
pub const STREAM: &str = "dead_letters";

/// Its columns behind `time`.
const COLUMNS: [(&str, Role); 5] = [
    ("stream", Role::Tag),
    ("source", Role::Tag),
    ("position", Role::Field),
    ("reason", Role::Field),
    ("payload", Role::Field),
];

/// A refused row.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The stream that it was for.
    pub stream: &'a str,
    /// Where it came from: `http`, `kafka`, ..
    pub source: &'a str,
    /// Its place there: `row 17`, `topic/3@99`.
    pub position: &'a str,
    /// Why it was refused.
    pub reason: &'a str,
    /// What it was, as far as it is text.
    pub payload: &'a str,
}

/// The rows for the request that refused them; `None` when there is no letter.
///
/// # Errors
/// When the database has something else of that name.
pub fn rows<'a>(
    catalog: &Catalog,
    db: &str,
    letters: impl IntoIterator<Item = DeadLetter<'a>>,
    now_ns: i64,
) -> Result<Option<Rows>, Error> {
    let mut letters = letters.into_iter().peekable();
    if letters.peek().is_none() {
        return Ok(None);
    }
    let define = || StreamDef {
        columns: vec![("time".into(), DataType::Timestamp, Role::Time)],
        options: StreamOptions::default(),
    };
    let stream = catalog.ensure_stream(db, STREAM, define)?;
    let schema =
        stream.ensure_columns(&COLUMNS.map(|(name, role)| (name, DataType::Utf8, role)))?;
    let id = |name: &str| {
        let column = schema.column(name).map(|c| c.id);
        column.ok_or_else(|| Error::InvalidDefinition(format!("{STREAM} has no column {name}")))
    };
    let [source_stream, source, position, reason, payload] = COLUMNS.map(|c| id(c.0));
    let (source_stream, source) = (source_stream?, source?);
    let texts = [position?, reason?, payload?];
    let mut batch = BatchBuilder::new(stream.id);
    for letter in letters {
        let mut tags = [(source_stream, letter.stream), (source, letter.source)];
        tags.sort_unstable_by_key(|t| t.0);
        batch.begin_row(now_ns, stream.series().resolve(&tags));
        for (column, text) in texts
            .iter()
            .zip([letter.position, letter.reason, letter.payload])
        {
            if let Some(column) = batch.column(*column, DataType::Utf8)
                && !column.push_str(text)
            {
                // Past 4 GiB of text the letter stays, without this part of it.
                column.push_null();
            }
        }
    }
    Ok(Some(Rows::Small(batch)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb::types::SeriesId;

    #[test]
    fn letters_are_rows_of_their_own_stream() {
        let catalog = Catalog::default();
        assert!(rows(&catalog, "default", [], 5).unwrap().is_none());
        assert!(catalog.streams().is_empty(), "no letter, no stream");
        let letter = |position| DeadLetter {
            stream: "s",
            source: "http",
            position,
            reason: "why",
            payload: "{",
        };
        for _ in 0..2 {
            let letters = [letter("row 1"), letter("row 9")];
            let Some(Rows::Small(batch)) = rows(&catalog, "default", letters, 5).unwrap() else {
                panic!("no rows")
            };
            let batch = batch.finish().unwrap();
            let stream = catalog.stream("default", STREAM).unwrap();
            let schema = stream.schema();
            let column = |name: &str| schema.column(name).unwrap().id;
            assert_eq!((batch.rows, batch.min_time, batch.max_time), (2, 5, 5));
            assert_eq!(
                batch.column(column("position")).unwrap().str_at(1),
                b"row 9"
            );
            assert_eq!(batch.column(column("payload")).unwrap().str_at(0), b"{");
            let series = SeriesId(batch.series.i64_at(1) as u32);
            assert_eq!(
                stream
                    .series()
                    .tag_value(series, column("source"))
                    .as_deref(),
                Some("http")
            );
            assert_eq!(stream.series().len(), 1);
        }
    }
}
