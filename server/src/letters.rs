//! Dead letters decoded anew, as the sources that refused them would.

use ingest::decode::json::JsonFormat;
use ingest::decode::line_protocol::{LINE_AT, LineContext, LineDecoder};
use ingest::decode::metric::{MetricContext, MetricDecoder};
use ingest::decode::{Precision, RefusedRow, RowContext, csv, json};
use ingest::source::{CSV_COLUMNS_HEADER, Intake, Record, Sources};
use query::{Letter, LetterDecoder};
use std::collections::HashMap;
use std::sync::Arc;
use tsdb::types::StreamId;
use tsdb::{Engine, Rows, Stream};

/// The kinds of sources whose letters are messages.
const OF_MESSAGES: [&str; 4] = ["kafka", "nats", "mqtt", "file"];
/// Those whose letters are points of metrics.
const OF_METRICS: [&str; 2] = ["remote_write", "otlp"];

/// What takes messages, by the stream that they are for.
type Intakes = HashMap<StreamId, Result<Intake, String>>;

/// Decodes letters.
pub(crate) struct Letters {
    engine: Engine,
    sources: Arc<Sources>,
    lines: LineDecoder,
    samples: MetricDecoder,
}

impl Letters {
    pub(crate) fn new(engine: Engine, sources: Arc<Sources>) -> Letters {
        Letters {
            engine,
            sources,
            lines: LineDecoder::new(),
            samples: MetricDecoder::new(),
        }
    }

    /// The rows that one letter becomes.
    fn letter(
        &self,
        db: &str,
        letter: &Letter,
        intakes: &mut Intakes,
    ) -> Result<Vec<Rows>, String> {
        let is_line = letter.source == "http" && letter.position.starts_with(LINE_AT);
        if is_line && letter.stream.is_empty() {
            // Its measurement was no stream then.
            return self.line(db, kept(letter)?);
        }
        if let Some(source) = OF_METRICS.into_iter().find(|s| *s == letter.source) {
            return self.sample(db, letter, source);
        }
        let catalog = self.engine.catalog();
        let stream = catalog.stream(db, &letter.stream);
        let stream = stream.ok_or_else(|| format!("there is no stream \"{}\"", letter.stream))?;
        if OF_MESSAGES.contains(&letter.source.as_str()) {
            let intake = intakes
                .entry(stream.id)
                .or_insert_with(|| self.sources.intake(&stream));
            let has_header =
                letter.source == "file" && stream.options.kept("csv_header") == Some("true");
            return self.message(letter, intake.as_mut().map_err(|e| e.clone())?, has_header);
        }
        let payload = kept(letter)?;
        if is_line {
            return self.line(db, payload);
        }
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

    /// The rows of a message, as the source takes it. What came with it comes again; its place is the one that it had. Where files
    /// name their columns, the letter does.
    fn message(
        &self,
        letter: &Letter,
        intake: &mut Intake,
        has_header: bool,
    ) -> Result<Vec<Rows>, String> {
        let part = &letter.message;
        let value = match &part.value_hex {
            Some(hex) => bytes(hex).ok_or("its bytes were not kept")?,
            None => letter.payload.clone().into_bytes(),
        };
        let mut headers: serde_json::Map<String, serde_json::Value> = match &part.headers {
            Some(text) => serde_json::from_str(text).map_err(|e| format!("its headers: {e}"))?,
            None => serde_json::Map::new(),
        };
        if has_header {
            let columns = headers.remove(CSV_COLUMNS_HEADER);
            let columns = columns.ok_or("the line that names its columns was not kept")?;
            let names: Vec<String> = match columns {
                serde_json::Value::Array(all) => all
                    .iter()
                    .filter_map(|n| n.as_str())
                    .map(str::to_owned)
                    .collect(),
                one => one.as_str().map(str::to_owned).into_iter().collect(),
            };
            intake.set_csv_columns(&names);
        }
        let mut named = Vec::new();
        for (name, value) in &headers {
            let all = match value {
                serde_json::Value::Array(all) => all.as_slice(),
                one => std::slice::from_ref(one),
            };
            named.extend(
                all.iter()
                    .map(|v| (name.as_str(), v.as_str().map(str::as_bytes))),
            );
        }
        let (topic, partition, offset) = place(&letter.position);
        let record = Record {
            key: part.key.as_deref().map(str::as_bytes),
            value: Some(&value),
            headers: &named,
            time_ns: part.time_ns,
            topic,
            partition,
            offset,
        };
        let pushed = intake.push(&record, self.engine.clock().wall_ns());
        let taken = intake.take();
        pushed.map_err(|wait| wait.reason)?;
        match taken.last_error {
            Some(why) => Err(why),
            None if taken.rows.is_empty() => Err("it holds no row".to_owned()),
            None => Ok(taken.rows),
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

    /// The rows of a point of a metric. One that is no stream is made one, as its samples would do it.
    fn sample(&self, db: &str, letter: &Letter, source: &'static str) -> Result<Vec<Rows>, String> {
        if letter.payload.is_empty() {
            return Err("nothing of it was kept".to_owned());
        }
        let ctx = MetricContext {
            catalog: self.engine.catalog(),
            db,
            now_ns: self.engine.clock().wall_ns(),
            source,
        };
        self.samples.letter(&letter.stream, &letter.payload, &ctx)
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
        if decoded.rows.is_empty() {
            return Err("it holds no row".to_owned());
        }
        Ok(decoded.rows)
    }
}

/// The text that is kept of a row that came by HTTP.
fn kept(letter: &Letter) -> Result<&str, String> {
    let payload = letter.payload.trim();
    if payload.is_empty() {
        return Err("nothing of it was kept".to_owned());
    }
    if payload.contains(char::REPLACEMENT_CHARACTER) {
        return Err("it was no UTF-8, and its bytes were not kept".to_owned());
    }
    Ok(payload)
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

/// The parts of a message's position, `topic/partition@offset`.
fn place(position: &str) -> (&str, i32, u64) {
    let parts = position.rsplit_once('@').and_then(|(place, offset)| {
        let (topic, partition) = place.rsplit_once('/')?;
        Some((topic, partition.parse().ok()?, offset.parse().ok()?))
    });
    parts.unwrap_or((position, 0, 0))
}

/// What hex stands for.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16);
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

impl LetterDecoder for Letters {
    fn decode(&self, db: &str, letters: &[Letter]) -> Vec<Result<Vec<Rows>, String>> {
        let mut intakes = Intakes::new();
        letters
            .iter()
            .map(|l| self.letter(db, l, &mut intakes))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingest::source::SourcesConfig;
    use tsdb::types::{DataType, Role};

    /// A message is taken again with all that came with it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_message_is_taken_as_its_source_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(&tsdb::EngineConfig::new(dir.path())).unwrap();
        let column = |n: &str, t, r| (n.to_owned(), t, r);
        let extra = [
            ("kafka_topic", "t"),
            ("value_format", "csv"),
            ("csv_columns", "a,b"),
            ("include", "key as k, header:h as h, offset as o"),
        ];
        let def = tsdb::StreamDef {
            columns: vec![
                column("time", DataType::Timestamp, Role::Time),
                column("a", DataType::Utf8, Role::Field),
                column("b", DataType::Int64, Role::Field),
            ],
            options: tsdb::StreamOptions {
                extra: extra.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
                ..tsdb::StreamOptions::default()
            },
        };
        let stream = engine
            .catalog()
            .create_stream("default", "s", &def)
            .unwrap();
        let sources = Sources::new(engine.clone(), SourcesConfig::default()).unwrap();
        let letters = Letters::new(engine.clone(), Arc::new(sources));
        let time_ns = 1_700_000_000_000_000_000;
        let letter = |payload: &str, value_hex: Option<&str>| Letter {
            stream: "s".into(),
            source: "kafka".into(),
            position: "t/3@99".into(),
            reason: "it was another type then".into(),
            payload: payload.into(),
            message: query::Message {
                key: Some("key".into()),
                time_ns: Some(time_ns),
                headers: Some(r#"{"h":["x","y"]}"#.into()),
                value_hex: value_hex.map(str::to_owned),
            },
        };
        // `{"` begins a CSV value as well as anything; hex is what was there where the payload is not.
        let tried = letters.decode(
            "default",
            &[
                letter("{x,7", None),
                letter("\u{fffd},8", Some("ff2c38")),
                letter("z,eight", None),
            ],
        );
        assert!(
            tried[1].as_ref().unwrap_err().contains("UTF-8"),
            "{tried:?}"
        );
        assert!(
            tried[2].as_ref().unwrap_err().contains("\"b\""),
            "{tried:?}"
        );
        let rows = tried.into_iter().next().unwrap().unwrap();
        let lsn = engine.commit(tsdb::Request::of(rows)).unwrap();
        assert!(lsn.0 > 0);
        let schema = stream.schema();
        let id = |n: &str| schema.column(n).unwrap().id;
        let spec = tsdb::ScanSpec {
            columns: ["a", "k", "h", "o"].map(id).to_vec(),
            ..tsdb::ScanSpec::default()
        };
        let snapshot = engine.snapshot();
        let mut seen = Vec::new();
        let scan = snapshot.scan(&stream, spec).unwrap();
        scan.read_all(&mut |batch| {
            let text = |c: usize| {
                let column = batch.columns[c].as_ref().unwrap();
                String::from_utf8(column.str_at(0).to_vec()).unwrap()
            };
            let offset = batch.columns[3].as_ref().unwrap().i64_at(0);
            seen.push((batch.rows, [text(0), text(1), text(2)], offset));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        let wanted = ["{x", "key", "y"].map(str::to_owned);
        assert_eq!(seen, [(1, wanted, 99)]);
    }

    /// The lines of a file are read by the names above them, whatever the stream's own order.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_line_of_a_file_is_read_by_the_names_that_stood_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(&tsdb::EngineConfig::new(dir.path())).unwrap();
        let extra = [
            ("file_path", "/nowhere/a.csv"),
            ("file_format", "csv"),
            ("csv_header", "true"),
        ];
        let def = tsdb::StreamDef {
            columns: vec![
                ("time".to_owned(), DataType::Timestamp, Role::Time),
                ("a".to_owned(), DataType::Utf8, Role::Field),
                ("b".to_owned(), DataType::Int64, Role::Field),
            ],
            options: tsdb::StreamOptions {
                extra: extra.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
                ..tsdb::StreamOptions::default()
            },
        };
        let catalog = engine.catalog();
        let stream = catalog.create_stream("default", "s", &def).unwrap();
        let sources = Sources::new(engine.clone(), SourcesConfig::default()).unwrap();
        let sources = Arc::new(sources);
        // As the source of the file refuses it.
        let mut intake = sources.intake(&stream).unwrap();
        let names = intake.csv_header(b"b,a").unwrap();
        intake.set_csv_columns(&names);
        let record = Record {
            value: Some(b"seven,x"),
            topic: "a.csv",
            offset: 4,
            ..Record::default()
        };
        intake.push(&record, 1).unwrap();
        let refused = tsdb::Request::of(intake.take().rows);
        engine.commit(refused).unwrap();
        let kept = catalog.stream("default", "dead_letters").unwrap();
        let column = kept.schema().column("headers").unwrap().id;
        let texts = |stream: &tsdb::Stream, column| {
            let spec = tsdb::ScanSpec {
                columns: vec![column],
                ..tsdb::ScanSpec::default()
            };
            let (snapshot, mut texts) = (engine.snapshot(), Vec::new());
            let scan = snapshot.scan(stream, spec).unwrap();
            scan.read_all(&mut |batch| {
                let column = batch.columns[0].as_ref().unwrap();
                let text = |i| String::from_utf8(column.str_at(i).to_vec()).unwrap();
                texts.extend((0..batch.rows).map(text));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
            texts
        };
        let headers = texts(&kept, column);
        let letters = Letters::new(engine.clone(), sources);
        let letter = |payload: &str, headers: Option<String>| Letter {
            stream: "s".into(),
            source: "file".into(),
            position: "a.csv/0@4".into(),
            reason: "b is no number".into(),
            payload: payload.into(),
            message: query::Message {
                headers,
                ..query::Message::default()
            },
        };
        let tried = letters.decode(
            "default",
            &[letter("7,x", Some(headers[0].clone())), letter("8,y", None)],
        );
        let why = tried[1].as_ref().unwrap_err();
        assert!(why.contains("names its columns"), "{why}");
        let rows = tried.into_iter().next().unwrap().unwrap();
        engine.commit(tsdb::Request::of(rows)).unwrap();
        let a = stream.schema().column("a").unwrap().id;
        assert_eq!(texts(&stream, a), ["x"]);
    }

    /// A point is the row that it would have been, once nothing is against it any more.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_point_of_a_metric_is_taken_as_if_it_came_now() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(&tsdb::EngineConfig::new(dir.path())).unwrap();
        let sources = Sources::new(engine.clone(), SourcesConfig::default()).unwrap();
        let letters = Letters::new(engine.clone(), Arc::new(sources));
        let letter = |source: &str, payload: &str| Letter {
            stream: "up".into(),
            source: source.into(),
            position: "series 1".into(),
            reason: "label \"job\" can't be: the name belongs to a field".into(),
            payload: payload.into(),
            message: query::Message::default(),
        };
        let whole = r#"{"labels":{"job":"a"},"time":5,"values":{"value":"+Inf"}}"#;
        let tried = letters.decode(
            "default",
            &[
                letter("remote_write", whole),
                letter("otlp", whole),
                letter("otlp", r#"up{"job":"a"} 1.5 5"#),
                letter("remote_write", ""),
            ],
        );
        let whys: Vec<Option<&str>> = tried
            .iter()
            .map(|t| t.as_ref().err().map(String::as_str))
            .collect();
        assert_eq!(whys[..2], [None, None]);
        assert!(whys[2].unwrap().contains("in words"), "{whys:?}");
        assert!(whys[3].unwrap().contains("nothing"), "{whys:?}");
        let rows: Vec<Rows> = tried.into_iter().flatten().flatten().collect();
        engine.commit(tsdb::Request::of(rows)).unwrap();
        let stream = engine.catalog().stream("default", "up").unwrap();
        let job = stream.schema().column("job").unwrap().id;
        assert_eq!(stream.series().len(), 1);
        let value = stream.series().tag_value(tsdb::SeriesId(0), job);
        assert_eq!(value.as_deref(), Some("a"));
    }

    #[test]
    fn a_position_and_hex_are_read() {
        assert_eq!(place("a/b.c/3@99"), ("a/b.c", 3, 99));
        assert_eq!(place("row 7"), ("row 7", 0, 0));
        assert_eq!(bytes("00ffA0"), Some(vec![0, 255, 160]));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("zz"), None);
    }
}
