//! Any bytes as a remote-write request of either version (the first byte says which): samples and refusals, and the same
//! ones again once the decoder has learnt the series. Text is a dead letter's payload besides.
#![no_main]

use ingest::admission::Rejection;
use ingest::decode::metric::{DecodedMetrics, MetricContext, MetricDecoder, Version};
use libfuzzer_sys::fuzz_target;
use tsdb::{Catalog, Rows};

fn bytes(decoded: Result<DecodedMetrics, Rejection>) -> Result<(usize, usize, Vec<u8>), u16> {
    let decoded = decoded.map_err(|r| r.status)?;
    let mut out = Vec::new();
    for rows in decoded.rows {
        let batch = match rows {
            Rows::Sealed(batch) => Some(batch),
            Rows::Small(rows) => rows.finish(),
        };
        batch.expect("a batch without rows").encode(&mut out);
    }
    Ok((decoded.samples, decoded.rejected, out))
}

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let version = if first & 1 == 0 { Version::V1 } else { Version::V2 };
    let catalog = Catalog::default();
    let ctx = MetricContext { catalog: &catalog, db: "default", now_ns: 1, source: "fuzz" };
    let decoder = MetricDecoder::new();
    let cold = bytes(decoder.remote_write(body, version, &ctx));
    let warm = bytes(decoder.remote_write(body, version, &ctx));
    let fresh = bytes(MetricDecoder::new().remote_write(body, version, &ctx));
    assert_eq!(cold.as_ref().map(|c| (c.0, c.1)), warm.as_ref().map(|w| (w.0, w.1)));
    // As a letter's payload it is rows or words.
    if let Ok(text) = std::str::from_utf8(body) {
        let is_read = || decoder.letter("m", text, &ctx).is_ok();
        assert_eq!(is_read(), is_read());
    }
    // Streams come in order of first sight in the request, which the cache does not change; neither may the bytes.
    assert_eq!(warm, fresh);
});
