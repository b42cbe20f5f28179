//! Columns by pcodec, for data that is written once and seldom read.
//!
//! It finds its own differences and bins and writes its own framing; here it only gets a length
//! in front, so that it can stand inside other payloads.

use crate::error::{CodecError, Result};
use crate::wire::{Reader, put_varint};
use pco::data_types::Number;

/// Above this the gain is small and the time is not.
const LEVEL: usize = 8;

fn failed(error: pco::errors::PcoError) -> CodecError {
    CodecError::Compressor {
        library: "pco",
        reason: error.to_string(),
    }
}

/// Appends the length of pcodec's output and the output.
pub(crate) fn encode<T: Number>(values: &[T], out: &mut Vec<u8>) -> Result<()> {
    let config = pco::ChunkConfig::default().with_compression_level(LEVEL);
    let packed = pco::standalone::simple_compress(values, &config).map_err(failed)?;
    put_varint(out, packed.len() as u64);
    out.extend_from_slice(&packed);
    Ok(())
}

/// Appends `rows` numbers to `out`.
pub(crate) fn decode<T: Number + Default>(
    reader: &mut Reader<'_>,
    rows: usize,
    out: &mut Vec<T>,
) -> Result<()> {
    let length = reader.count(reader.left(), "length of pcodec data")?;
    let packed = reader.bytes(length, "pcodec data")?;
    let start = out.len();
    out.resize(start + rows, T::default());
    let progress =
        pco::standalone::simple_decompress_into(packed, &mut out[start..]).map_err(failed)?;
    // Less than asked for, or more behind it.
    if progress.n_processed != rows || !progress.finished {
        return Err(CodecError::Field {
            what: "rows of pcodec data",
            got: progress.n_processed as u64,
            allowed: rows as u64,
        });
    }
    Ok(())
}
