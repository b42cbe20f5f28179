//! Immutable files of sorted rows. See `docs/formats/segment.md` for every byte.
//!
//! Rows of a stream lie in order of (partition, series, event time, log order), cut into row groups; a chunk is one
//! column of one row group. The index at the end carries a zone map per chunk.

mod build;
pub(crate) mod check;
mod gather;
mod index;
pub(crate) mod inspect;
mod last;
mod read;
mod sort;

pub(crate) use build::SegmentBuilder;
pub(crate) use last::{GroupBounds, SeriesEnds};
pub use read::Segment;

use tsdb_types::{SegmentId, StreamId};

/// First bytes of a segment file and of its footer.
pub(crate) const MAGIC: [u8; 8] = *b"TDMLSEG\n";
/// Format version.
pub(crate) const VERSION: u16 = 1;
/// Bytes before the first chunk.
pub(crate) const HEADER: usize = 40;
/// Bytes behind the index.
pub(crate) const FOOTER: usize = 36;
/// Rows in a row group at most.
pub(crate) const GROUP_ROWS: usize = 16_384;

/// The name of a segment's file in `segments/`.
pub(crate) fn file_name(id: SegmentId) -> String {
    format!("{:08}.seg", id.0)
}

/// A checksum that binds bytes to their file and place, so that a stale or misplaced block is not taken for this one.
pub(crate) fn checksum(id: SegmentId, offset: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.0.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Rows of one stream in a segment: what the manifest knows without opening the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRows {
    /// The stream.
    pub stream: StreamId,
    /// Rows.
    pub rows: u64,
    /// Least event time.
    pub min_time: i64,
    /// Greatest event time.
    pub max_time: i64,
    /// Bytes of its chunks.
    pub bytes: u64,
}

/// What the manifest says of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentMeta {
    /// The segment.
    pub id: SegmentId,
    /// Length of the file.
    pub bytes: u64,
    /// Streams in it, in order of their ids.
    pub streams: Vec<StreamRows>,
}

impl SegmentMeta {
    /// The manifest's form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20 + self.streams.len() * 36);
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&(self.streams.len() as u32).to_le_bytes());
        for s in &self.streams {
            out.extend_from_slice(&s.stream.0.to_le_bytes());
            for v in [s.rows, s.min_time as u64, s.max_time as u64, s.bytes] {
                out.extend_from_slice(&v.to_le_bytes());
            }
        }
        out
    }

    /// The inverse of [`SegmentMeta::encode`]; `None` for other bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<SegmentMeta> {
        let u32_at = |i: usize| Some(u32::from_le_bytes(bytes.get(i..i + 4)?.try_into().ok()?));
        let u64_at = |i: usize| Some(u64::from_le_bytes(bytes.get(i..i + 8)?.try_into().ok()?));
        let count = u32_at(16)? as usize;
        if bytes.len() != count.checked_mul(36)?.checked_add(20)? {
            return None;
        }
        let mut streams = Vec::with_capacity(count);
        for at in (20..bytes.len()).step_by(36) {
            streams.push(StreamRows {
                stream: StreamId(u32_at(at)?),
                rows: u64_at(at + 4)?,
                min_time: u64_at(at + 12)? as i64,
                max_time: u64_at(at + 20)? as i64,
                bytes: u64_at(at + 28)?,
            });
        }
        Some(SegmentMeta {
            id: SegmentId(u64_at(0)?),
            bytes: u64_at(8)?,
            streams,
        })
    }
}

#[cfg(test)]
mod last_tests;
#[cfg(test)]
mod tests;
