//! Columns by pcodec, for data that is written once and seldom read.
//!
//! It finds its own differences and bins. Here its wrapped format is used, whose parts can be
//! looked at one by one: two of its features take memory by a number in the payload and not by
//! what is decoded, and are refused beyond what the encoder uses.

use crate::error::{CodecError, Result};
use crate::wire::{Reader, put_varint};
use pco::data_types::Number;
use pco::metadata::DeltaEncoding;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, PagingSpec};

/// Above this the gain is small and the time is not.
const LEVEL: usize = 8;
/// The largest window of values to look back on that the encoder uses, as a power of two.
const MAX_WINDOW_LOG: u32 = 15;
/// The mode with a dictionary of distinct numbers, which the encoder does not use: the lowest
/// four bits of a chunk's metadata.
const DICTIONARY_MODE: u8 = 4;

fn failed(error: pco::errors::PcoError) -> CodecError {
    CodecError::Compressor {
        library: "pco",
        reason: error.to_string(),
    }
}

fn refused(reason: &str) -> CodecError {
    CodecError::Compressor {
        library: "pco",
        reason: reason.to_owned(),
    }
}

/// Appends the length of pcodec's output and the output: its header, the metadata of one chunk,
/// and one page.
pub(crate) fn encode<T: Number>(values: &[T], out: &mut Vec<u8>) -> Result<()> {
    let mut packed = Vec::new();
    if !values.is_empty() {
        let config = ChunkConfig::default()
            .with_compression_level(LEVEL)
            .with_paging_spec(PagingSpec::Exact(vec![values.len()]));
        let file = FileCompressor::default();
        file.write_header(&mut packed).map_err(failed)?;
        let mut chunk = file.chunk_compressor(values, &config).map_err(failed)?;
        chunk.write_meta(&mut packed).map_err(failed)?;
        chunk.write_page(0, &mut packed).map_err(failed)?;
    }
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
    let mut rest = packed;
    if rows > 0 {
        let (file, metadata) = FileDecompressor::new(packed).map_err(failed)?;
        if metadata.first().is_some_and(|b| b & 15 == DICTIONARY_MODE) {
            return Err(refused("a dictionary is not allowed"));
        }
        let (mut chunk, page) = file.chunk_decompressor::<T, _>(metadata).map_err(failed)?;
        match &chunk.meta().delta_encoding {
            DeltaEncoding::Lookback { config, .. } if config.window_n_log > MAX_WINDOW_LOG => {
                return Err(refused("the window to look back on is too large"));
            }
            _ => {}
        }
        let mut page = chunk.page_decompressor(page, rows).map_err(failed)?;
        let start = out.len();
        out.resize(start + rows, T::default());
        let progress = page.read(&mut out[start..]).map_err(failed)?;
        if progress.n_processed != rows {
            return Err(refused("too few numbers"));
        }
        rest = page.into_src();
    }
    match rest.len() {
        0 => Ok(()),
        left => Err(CodecError::Trailing { left }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the encoder writes must pass the decoder's limits, whatever it finds in the data.
    #[test]
    fn long_columns_stay_within_the_limits() {
        let rows = 200_000i64;
        let columns: [Vec<i64>; 3] = [
            (0..rows)
                .map(|i| (i % 5000) * (i % 5000) * 7919 % 1_000_003)
                .collect(),
            (0..rows).map(|i| (i * 31) % 7 * 1_000_000_007).collect(),
            (0..rows).map(|i| i * i).collect(),
        ];
        for column in columns {
            let mut bytes = Vec::new();
            encode(&column, &mut bytes).unwrap();
            let mut out: Vec<i64> = Vec::new();
            let mut reader = Reader::new(&bytes);
            decode(&mut reader, column.len(), &mut out).unwrap();
            reader.finish().unwrap();
            assert_eq!(out, column);
        }
    }

    #[test]
    fn a_dictionary_is_refused() {
        let mut bytes = Vec::new();
        encode(&[1i64, 2, 3, 4], &mut bytes).unwrap();
        let (_, metadata) = FileDecompressor::new(&bytes[1..]).unwrap();
        let at = bytes.len() - metadata.len();
        bytes[at] = bytes[at] & 0xf0 | DICTIONARY_MODE;
        let error = decode::<i64>(&mut Reader::new(&bytes), 4, &mut Vec::new()).unwrap_err();
        assert_eq!(error, refused("a dictionary is not allowed"));
    }
}
