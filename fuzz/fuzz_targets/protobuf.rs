//! Any bytes as a Protobuf message with every type: decoded or refused, and again the same way. Any text as a schema.
#![no_main]

use ingest::schemas::protobuf::{ProtobufDecoder, ProtobufSchema};
use ingest::schemas::{SchemaKind, SchemaSource};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const SCHEMA: &str = r#"
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
message All {
  enum Color { NONE = 0; RED = 1; }
  message Inner { string a = 1; optional int32 b = 2; repeated Inner more = 3; }
  double d = 1; float f = 2; int32 i = 3; uint64 u = 4; sint64 z = 5; fixed32 x = 6; sfixed64 y = 7; bool b = 8;
  string s = 9; bytes r = 10; Color c = 11; Inner inner = 12; All self = 13; repeated int32 p = 14;
  map<string, Inner> m = 15; oneof one { string left = 16; Inner right = 17; }
  google.protobuf.Timestamp at = 18; google.protobuf.Duration took = 19; google.protobuf.Int64Value w = 20;
  google.protobuf.Struct free = 21; repeated double ds = 22;
}"#;

fn decoder(text: &str) -> Option<ProtobufDecoder> {
    let schema = ProtobufSchema::new(&SchemaSource::new(SchemaKind::Protobuf, text)).ok()?;
    ProtobufDecoder::new(&schema.message(&[0])?).ok()
}

static DECODER: LazyLock<ProtobufDecoder> = LazyLock::new(|| decoder(SCHEMA).unwrap());

fuzz_target!(|message: &[u8]| {
    // A NaN is not itself, so what is compared is the text.
    let run = || format!("{:?}", DECODER.decode(message));
    assert_eq!(run(), run());
    if let Some(decoder) = std::str::from_utf8(message).ok().and_then(decoder) {
        let _ = decoder.decode(&[8; 64]);
    }
});
