//! Any bytes as a line-protocol body: rows and errors, and the same ones again once the decoder has learnt the keys
//! and names and takes the fast path.
#![no_main]

use ingest::admission::Rejection;
use ingest::decode::Precision;
use ingest::decode::line_protocol::{Decoded, LineContext, LineDecoder};
use libfuzzer_sys::fuzz_target;
use tsdb::{Catalog, Rows};

fn bytes(decoded: Result<Decoded, Rejection>) -> (usize, usize, Vec<u8>) {
    let decoded = decoded.expect("a body of the fuzzer is small");
    let mut out = Vec::new();
    let mut all = decoded.rows;
    // In which order streams come says nothing; the rows of one keep theirs.
    all.sort_by_key(Rows::stream);
    for rows in all {
        let batch = match rows {
            Rows::Sealed(batch) => Some(batch),
            Rows::Small(rows) => rows.finish(),
        };
        batch.expect("a batch without rows").encode(&mut out);
    }
    (decoded.accepted, decoded.rejected, out)
}

fuzz_target!(|body: &[u8]| {
    let catalog = Catalog::default();
    let ctx = LineContext { catalog: &catalog, db: "default", precision: Precision::Nanos, now_ns: 1 };
    let decoder = LineDecoder::new();
    let cold = bytes(decoder.decode(body, &ctx));
    let warm = bytes(decoder.decode(body, &ctx));
    let fresh = bytes(LineDecoder::new().decode(body, &ctx));
    assert_eq!((cold.0, cold.1), (warm.0, warm.1));
    // What the cache knows must not change the bytes.
    assert_eq!(warm, fresh);
});
