//! Columns to bytes and back: pure codecs, no I/O.
//!
//! Each `encode_*` function looks at a sample of the column, takes the codec that makes it smallest
//! among those that decode fast, and appends one self-describing payload: a codec tag
//! ([`Encoding`]) and what that codec writes. Each `decode_*` function appends the rows of one
//! payload. The count of rows is not in the payload: the caller knows it, and bounds it.
//! `docs/formats/codecs.md` describes every byte.
//!
//! Decoders are safe on hostile bytes: every length is checked, memory is bounded by the rows (and
//! bytes) that the caller allows, and an error leaves the output as it was. They do not detect
//! damage that makes another valid column; checksums are the segment's affair.

#![forbid(unsafe_code)]

mod alp;
mod boolean;
#[cfg(test)]
mod conformance;
mod decimal;
mod delta;
mod dictionary;
mod encoding;
mod error;
mod float;
mod for_bitpack;
mod gorilla;
mod huffman;
mod int;
mod pcodec;
mod rle;
mod text;
mod wire;

pub use boolean::{decode_bool, encode_bool};
pub use decimal::{decode_i128, encode_i128};
pub use dictionary::{DictionaryColumn, decode_dictionary};
pub use encoding::Encoding;
pub use error::{CodecError, Result};
pub use float::{decode_f64, encode_f64, encode_f64_runs, encode_f64_small, encode_f64_with};
pub use int::{
    Candidate, choose, decode_i64, encode_i64, encode_i64_runs, encode_i64_small, encode_i64_with,
};
pub use text::{decode_bytes, encode_bytes};
