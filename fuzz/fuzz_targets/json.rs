//! Any bytes as a JSON body, as lines and as a document: each row is accepted or refused, and again the same way.
#![no_main]

use ingest::decode::RowContext;
use ingest::decode::json::{JsonFormat, decode, infer_stream};
use libfuzzer_sys::fuzz_target;
use tsdb::Catalog;

fuzz_target!(|body: &[u8]| {
    for format in [JsonFormat::Lines, JsonFormat::Document] {
        let stream = Catalog::default().create_stream("default", "s", &infer_stream(body, format));
        let Ok(stream) = stream else { continue };
        let ctx = RowContext::new(stream, 1);
        let run = || {
            let mut refused = Vec::new();
            let decoded = decode(body, format, &ctx, &mut |r| refused.push((r.row, r.reason)));
            (decoded.map(|d| d.accepted), refused)
        };
        assert_eq!(run(), run());
    }
});
