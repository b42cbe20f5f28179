//! Any bytes as a CSV body: each row is accepted or refused, and again the same way.
#![no_main]

use ingest::decode::RowContext;
use ingest::decode::csv::{decode, infer_stream};
use libfuzzer_sys::fuzz_target;
use tsdb::Catalog;

fuzz_target!(|body: &[u8]| {
    let Ok(stream) = Catalog::default().create_stream("default", "s", &infer_stream(body)) else { return };
    let ctx = RowContext::new(stream, 1);
    let first = decode(body, &ctx);
    let again = decode(body, &ctx);
    assert_eq!((first.accepted, first.errors), (again.accepted, again.errors));
});
