//! Any bytes as an Avro message of schemas with every type: decoded or refused, and again the same way. Any text as a
//! schema.
#![no_main]

use ingest::schemas::avro::AvroDecoder;
use ingest::schemas::{SchemaKind, SchemaSource};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const SCHEMAS: [&str; 2] = [
    r#"{"type":"record","name":"R","fields":[
        {"name":"list","type":{"type":"array","items":["null","R",{"type":"array","items":"null"}]}},
        {"name":"map","type":{"type":"map","values":{"type":"map","values":"bytes"}}},
        {"name":"big","type":{"type":"bytes","logicalType":"big-decimal"}},
        {"name":"next","type":["null","R"]},
        {"name":"wide","type":{"type":"bytes","logicalType":"decimal","precision":77,"scale":3}}]}"#,
    r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":["null","int","double"]},{"name":"b","type":"float"},{"name":"c","type":"string"},
        {"name":"d","type":{"type":"enum","name":"E","symbols":["A","B"]}},
        {"name":"e","type":{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}},
        {"name":"f","type":{"type":"fixed","name":"D","size":12,"logicalType":"duration"}},
        {"name":"g","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"h","type":{"type":"int","logicalType":"date"}},
        {"name":"i","type":{"type":"long","logicalType":"time-micros"}},
        {"name":"j","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"k","type":["null",{"type":"record","name":"In","fields":[{"name":"x","type":"boolean"}]}]}]}"#,
];

static DECODERS: LazyLock<Vec<AvroDecoder>> = LazyLock::new(|| {
    let decoder = |text: &&str| AvroDecoder::new(&SchemaSource::new(SchemaKind::Avro, *text)).unwrap();
    SCHEMAS.iter().map(decoder).collect()
});

fuzz_target!(|message: &[u8]| {
    for decoder in DECODERS.iter() {
        // A NaN is not itself, so what is compared is the text.
        let run = || format!("{:?}", decoder.decode(message));
        assert_eq!(run(), run());
    }
    if let Ok(text) = std::str::from_utf8(message) {
        if let Ok(decoder) = AvroDecoder::new(&SchemaSource::new(SchemaKind::Avro, text)) {
            let _ = decoder.decode(&[0; 64]);
        }
    }
});
