//! Any bytes as an OTLP request, in protobuf and in JSON (the first byte says which): points and refusals, and the same
//! ones again once the decoder has learnt the series.
#![no_main]

use ingest::decode::metric::{Form, MetricContext, MetricDecoder};
use libfuzzer_sys::fuzz_target;
use tsdb::Catalog;

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let form = if first & 1 == 0 { Form::Protobuf } else { Form::Json };
    let catalog = Catalog::default();
    let ctx = MetricContext { catalog: &catalog, db: "default", now_ns: 1, source: "fuzz" };
    let decoder = MetricDecoder::new();
    let run = || {
        let decoded = decoder.otlp(body, form, &ctx).map_err(|r| r.status);
        decoded.map(|d| (d.samples, d.histograms, d.exemplars, d.rejected))
    };
    assert_eq!(run(), run());
});
