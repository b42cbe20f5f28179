//! Dead letters decoded anew, as the sources that refused them would.

use ingest::decode::json::JsonFormat;
use ingest::decode::line_protocol::{LineContext, LineDecoder};
use ingest::decode::{Precision, RefusedRow, RowContext, csv, json};
use query::{Letter, LetterDecoder};
use std::sync::Arc;
use tsdb::{Engine, Rows, Stream};

/// Decodes letters.
pub(crate) struct Letters {
    engine: Engine,
    lines: LineDecoder,
}

impl Letters {
    pub(crate) fn new(engine: Engine) -> Letters {
        Letters {
            engine,
            lines: LineDecoder::new(),
        }
    }

    /// The rows that one letter becomes.
    fn letter(&self, db: &str, letter: &Letter) -> Result<Vec<Rows>, String> {
        let payload = letter.payload.trim();
        if payload.is_empty() {
            return Err("nothing of it was kept".to_owned());
        }
        let catalog = self.engine.catalog();
        let stream = catalog.stream(db, &letter.stream);
        let stream = stream.ok_or_else(|| format!("there is no stream \"{}\"", letter.stream))?;
        if payload.starts_with(['{', '[']) {
            let decode = |ctx: &RowContext, refused: &mut dyn FnMut(RefusedRow<'_>)| {
                json::decode(payload.as_bytes(), JsonFormat::Document, ctx, refused)
            };
            return self.rows(stream, decode);
        }
        let option = |name: &str| {
            let extra = &stream.options.extra;
            extra
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
        };
        let format = option("value_format");
        if stream.options.merge || format.as_deref() == Some("line_protocol") {
            return self.line(db, payload);
        }
        match option("csv_columns") {
            Some(columns) => {
                let body = format!("{columns}\n{payload}\n");
                let decode = |ctx: &RowContext, refused: &mut dyn FnMut(RefusedRow<'_>)| {
                    csv::decode(body.as_bytes(), ctx, refused)
                };
                self.rows(stream, decode)
            }
            None => Err(
                "only JSON, lines, and CSV whose columns are declared can be read again".to_owned(),
            ),
        }
    }

    /// Rows of a stream. A letter is replayed as a whole: one row that is refused keeps all of it.
    fn rows<D>(&self, stream: Arc<Stream>, decode: D) -> Result<Vec<Rows>, String>
    where
        D: FnOnce(
            &RowContext,
            &mut dyn FnMut(RefusedRow<'_>),
        ) -> Result<ingest::decode::DecodedRows, ingest::admission::Rejection>,
    {
        let ctx = RowContext::new(stream, self.engine.clock().wall_ns());
        let mut why = None;
        let mut refused = |row: RefusedRow<'_>| {
            if why.is_none() {
                why = Some(row.reason.to_string());
            }
        };
        let decoded = decode(&ctx, &mut refused).map_err(|e| e.message)?;
        match why {
            Some(why) => Err(why),
            None if decoded.rows.is_empty() => Err("it holds no row".to_owned()),
            None => Ok(decoded.rows),
        }
    }

    /// A line's rows. Its unit is not known any more: the size of its time tells, as it does in JSON.
    fn line(&self, db: &str, line: &str) -> Result<Vec<Rows>, String> {
        let ctx = LineContext {
            catalog: self.engine.catalog(),
            db,
            precision: unit(line),
            now_ns: self.engine.clock().wall_ns(),
        };
        let decoded = self
            .lines
            .decode(line.as_bytes(), &ctx)
            .map_err(|e| e.message)?;
        if let Some(error) = decoded.errors.first() {
            return Err(error.reason.to_string());
        }
        if let Some((_, why)) = decoded.too_old.first() {
            return Err(why.to_string());
        }
        if decoded.rows.is_empty() {
            return Err("it holds no row".to_owned());
        }
        Ok(decoded.rows)
    }
}

/// The unit of a line's time by its size.
fn unit(line: &str) -> Precision {
    let time = line.rsplit(' ').next().and_then(|t| t.parse::<i64>().ok());
    match time.map_or(u64::MAX, i64::unsigned_abs) {
        0..100_000_000_000 => Precision::Seconds,
        100_000_000_000..100_000_000_000_000 => Precision::Millis,
        100_000_000_000_000..100_000_000_000_000_000 => Precision::Micros,
        _ => Precision::Nanos,
    }
}

impl LetterDecoder for Letters {
    fn decode(&self, db: &str, letters: &[Letter]) -> Vec<Result<Vec<Rows>, String>> {
        letters.iter().map(|l| self.letter(db, l)).collect()
    }
}
