use super::intake_tests::make;
use super::pipe::Pipe;
use super::{Format, Include, Intake, Record, SourceStatus};
use crate::dead_letter;
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tsdb::types::{DataType, Role, StreamId};
use tsdb::{ColumnId, Engine, EngineConfig, Error, RowTransform, Rows, ScanSpec};

const PARTITIONS: [&str; 2] = ["a", "b"];

/// Refuses rows whose text begins with `bad`, as a derived stream refuses what it can't be computed from.
struct Picky(StreamId);

impl RowTransform for Picky {
    fn concerns(&self, stream: StreamId) -> bool {
        stream == self.0
    }

    fn apply(&self, rows: Vec<Rows>, _: i64) -> Result<Vec<Rows>, Error> {
        for rows in &rows {
            let batch = match rows.clone() {
                Rows::Sealed(batch) => batch,
                Rows::Small(builder) => builder.finish().unwrap(),
            };
            if batch.stream != self.0 {
                continue;
            }
            let text = batch.column(ColumnId(1)).unwrap();
            if (0..batch.rows).any(|i| text.str_at(i).starts_with(b"bad")) {
                return Err(Error::Refused("1 / 0".into()));
            }
        }
        Ok(rows)
    }

    fn check(&self, rows: Vec<Rows>, wall_ns: i64) -> Result<(), Error> {
        self.apply(rows, wall_ns).map(drop)
    }
}

/// The texts of two columns of a stream, in order.
fn texts(engine: &Engine, stream: &str, columns: [&str; 2]) -> Vec<String> {
    let Some(stream) = engine.catalog().stream("default", stream) else {
        return Vec::new();
    };
    let id = |c: &str| stream.schema().column(c).unwrap().id;
    let spec = ScanSpec {
        columns: columns.map(id).to_vec(),
        ..ScanSpec::default()
    };
    let mut all = Vec::new();
    let snapshot = engine.snapshot();
    let scan = snapshot.scan(&stream, spec).unwrap();
    scan.read_all(&mut |b| {
        for i in 0..b.rows {
            let text = |c: usize| {
                let column = b.columns[c].as_ref().unwrap();
                String::from_utf8(column.str_at(i).to_vec()).unwrap()
            };
            all.push(format!("{} {}", text(0), text(1)));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever messages a transform refuses, and however they are split into batches: they are dead letters, and all others
    /// are rows, each once.
    #[test]
    fn a_refused_message_stops_nobody(
        messages in proptest::collection::vec((0..2usize, prop::bool::weighted(0.2)), 1..120),
        batch in 1..40usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(&EngineConfig::new(folder.path())).unwrap();
        let columns = [
            ("time", DataType::Timestamp, Role::Time),
            ("value", DataType::Utf8, Role::Field),
        ];
        let stream = make(engine.catalog(), &columns);
        engine.set_transform(Some(Arc::new(Picky(stream.id))));
        let status = Arc::new(SourceStatus::new("default", "s", "kafka", String::new()));
        // What the partitions hold, in order of arrival: partition, offset, text.
        let (mut ends, mut all) = ([0, 0], Vec::new());
        for (i, (partition, bad)) in messages.iter().enumerate() {
            let text = format!("{}{i}", if *bad { "bad" } else { "good" });
            all.push((*partition, ends[*partition], text));
            ends[*partition] += 1;
        }
        let mut attempts = 0;
        'again: loop {
            attempts += 1;
            prop_assert!(attempts <= all.len() + 1, "no end");
            let intake = Intake::new(
                engine.catalog().clone(),
                stream.clone(),
                Format::parse("text").unwrap(),
                Include::default(),
                "kafka",
            );
            let mut pipe = Pipe::new(engine.clone(), stream.clone(), intake, status.clone());
            let slots = PARTITIONS.map(|name| {
                let slot = pipe.slot(name, "");
                let next = pipe.taken(slot).unwrap_or(0);
                pipe.restart(slot, next);
                slot
            });
            let starts = slots.map(|s| pipe.reached(s));
            let mut n = 0;
            for (partition, offset, text) in &all {
                if *offset < starts[*partition] {
                    continue;
                }
                let record = Record {
                    value: Some(text.as_bytes()),
                    topic: PARTITIONS[*partition],
                    offset: *offset,
                    ..Record::default()
                };
                pipe.push(slots[*partition], &record).unwrap();
                n += 1;
                if n % batch == 0 {
                    pipe.send();
                    if pipe.settle(Duration::ZERO).is_err() {
                        pipe.clear();
                        continue 'again;
                    }
                }
            }
            match pipe.finish() {
                Ok(()) => break,
                Err(error) => prop_assert!(matches!(error, Error::Refused(_)), "{}", error),
            }
            pipe.clear();
        }
        let expected = |bad: bool| {
            let mut kept: Vec<String> = all
                .iter()
                .filter(|(_, _, text)| text.starts_with("bad") == bad)
                .map(|(partition, offset, text)| match bad {
                    true => format!("{text} {}/0@{offset}", PARTITIONS[*partition]),
                    false => format!("{text} {text}"),
                })
                .collect();
            kept.sort();
            kept
        };
        prop_assert_eq!(texts(&engine, "s", ["value", "value"]), expected(false));
        let letters = texts(&engine, dead_letter::STREAM, ["payload", "position"]);
        prop_assert_eq!(letters, expected(true));
    }
}

/// A partition that went to another and came back is told of again, with what comes of it from then on.
#[test]
fn a_partition_that_was_forgotten_is_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(&EngineConfig::new(folder.path())).unwrap();
    let stream = make(
        engine.catalog(),
        &[
            ("time", DataType::Timestamp, Role::Time),
            ("value", DataType::Utf8, Role::Field),
        ],
    );
    let status = Arc::new(SourceStatus::new("default", "s", "kafka", String::new()));
    let format = Format::parse("text").unwrap();
    let catalog = engine.catalog().clone();
    let intake = Intake::new(catalog, stream.clone(), format, Include::default(), "kafka");
    let mut pipe = Pipe::new(engine.clone(), stream, intake, status.clone());
    let slot = pipe.slot("a", "");
    pipe.restart(slot, 0);
    status.forget("a");
    assert!(status.partitions().is_empty());
    assert_eq!(pipe.slot("a", ""), slot);
    pipe.partition(slot).set_end(5);
    assert_eq!(status.lag(), Some(5));
    for offset in 0..2 {
        let record = Record {
            value: Some(b"x"),
            topic: "a",
            offset,
            ..Record::default()
        };
        pipe.push(slot, &record).unwrap();
    }
    pipe.finish().unwrap();
    assert_eq!(status.lag(), Some(3));
}
