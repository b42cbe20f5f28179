//! Any lines as JSON messages: an intake that has learnt what names mean, and takes the fast path, gives what one
//! gives that has learnt nothing.
#![no_main]

use ingest::source::{Format, Include, Intake, Record};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tsdb::types::{DataType, Role};
use tsdb::{Catalog, Rows, Stream, StreamDef, StreamOptions};

/// When messages come.
const NOW: i64 = 1_700_000_000_000_000_000;

fn stream(catalog: &Catalog) -> Arc<Stream> {
    let decimal = DataType::Decimal { precision: 10, scale: 2 };
    let columns = [
        ("t", DataType::Timestamp, Role::Time),
        ("g", DataType::Utf8, Role::Tag),
        ("h", DataType::Utf8, Role::Tag),
        ("i", DataType::Int64, Role::Field),
        ("u", DataType::UInt64, Role::Field),
        ("f", DataType::Float64, Role::Field),
        ("d", decimal, Role::Field),
        ("b", DataType::Bool, Role::Field),
        ("s", DataType::Utf8, Role::Field),
        ("at", DataType::Timestamp, Role::Field),
        ("a_long_name_of_a_column", DataType::Utf8, Role::Field),
    ];
    let columns = columns.map(|(n, t, r)| (n.to_owned(), t, r)).to_vec();
    let def = StreamDef { columns, options: StreamOptions::default() };
    catalog.create_stream("default", "s", &def).expect("a sound definition")
}

/// What a message came to: its rows and letters, how many of each, and the last error.
type Told = (Vec<Vec<u8>>, usize, usize, Option<String>);

fn push(intake: &mut Intake, value: &[u8]) -> Told {
    let record = Record { value: Some(value), topic: "t", ..Record::default() };
    intake.push(&record, NOW).expect("JSON never waits");
    let taken = intake.take();
    let bytes = |rows| {
        let batch = match rows {
            Rows::Sealed(batch) => Some(batch),
            Rows::Small(rows) => rows.finish(),
        };
        let mut out = Vec::new();
        batch.expect("a batch without rows").encode(&mut out);
        out
    };
    (taken.rows.into_iter().map(bytes).collect(), taken.accepted, taken.rejected, taken.last_error)
}

fuzz_target!(|body: &[u8]| {
    let new = |catalog: &Arc<Catalog>, stream: &Arc<Stream>| {
        Intake::new(catalog.clone(), stream.clone(), Format::Json, Include::default(), "fuzz")
    };
    let (cold, warm) = (Arc::new(Catalog::default()), Arc::new(Catalog::default()));
    let (cold_stream, warm_stream) = (stream(&cold), stream(&warm));
    let mut learnt = new(&warm, &warm_stream);
    for _ in 0..2 {
        for value in body.split(|b| *b == 0) {
            let fresh = push(&mut new(&cold, &cold_stream), value);
            assert_eq!(push(&mut learnt, value), fresh);
        }
    }
    assert_eq!(cold_stream.schema(), warm_stream.schema());
});
