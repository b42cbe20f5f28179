//! Any bytes as a CSV body: each row is accepted or refused, and again the same way once the stream has the columns that
//! rows have made.
#![no_main]

use ingest::decode::RowContext;
use ingest::decode::csv::{decode, infer_stream};
use libfuzzer_sys::fuzz_target;
use tsdb::Catalog;

fuzz_target!(|body: &[u8]| {
    let Ok(stream) = Catalog::default().create_stream("default", "s", &infer_stream(body)) else { return };
    let ctx = RowContext::new(stream, 1);
    let run = || {
        let mut refused = Vec::new();
        let decoded = decode(body, &ctx, &mut |r| refused.push((r.row, r.reason)));
        (decoded.map(|d| d.accepted), refused)
    };
    // A row may be refused for another reason once a later one has made its column, or for the first time.
    let _ = run();
    assert_eq!(run(), run());
});
