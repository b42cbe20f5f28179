//! The index of a segment: row groups, their chunks and zone maps.

use super::{HEADER, SegmentId, StreamId};
use tsdb_types::ColumnId;

/// In a chunk's column field: the series ids.
pub(crate) const SERIES: ColumnId = ColumnId(u16::MAX);
/// In a chunk's column field: the event times.
pub(crate) const TIME: ColumnId = ColumnId(u16::MAX - 1);

/// How a chunk's values are coded; the tags are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int = 1,
    Float = 2,
    Int128 = 3,
    Str = 4,
}

/// What is known of a chunk's values without decoding it. Nulls are counted, and no part of the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ZoneMap {
    /// Null rows.
    pub nulls: u32,
    /// Least value: the integer, or the bits of the float. Of no meaning for strings, decimals, and when all are null.
    pub min: u64,
    /// Greatest value, likewise. A NaN among floats makes the range all floats.
    pub max: u64,
    /// Sum of integers; 0 for other kinds.
    pub sum: i128,
}

/// One column of one row group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ChunkMeta {
    pub column: ColumnId,
    pub kind: Kind,
    pub offset: u64,
    pub len: u32,
    /// Bytes of the coded null flags before the values; 0 when no row is null.
    pub validity_len: u32,
    pub crc: u32,
    /// Bytes that decoded strings take; 0 for other kinds.
    pub text: u32,
    pub zone: ZoneMap,
}

/// A run of rows of one stream and partition, all columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub stream: StreamId,
    pub rows: u32,
    pub min_time: i64,
    pub max_time: i64,
    pub min_series: u32,
    pub max_series: u32,
    /// In order of column ids; series and time come last.
    pub chunks: Vec<ChunkMeta>,
}

impl Group {
    /// The chunk of a column; `None` when all its rows are null.
    pub(crate) fn chunk(&self, column: ColumnId) -> Option<&ChunkMeta> {
        let i = self
            .chunks
            .binary_search_by_key(&column, |c| c.column)
            .ok()?;
        Some(&self.chunks[i])
    }
}

/// Bytes of a group's fixed part and of a chunk's entry.
const GROUP: usize = 34;
const CHUNK: usize = 64;

/// The index's bytes before compression.
pub(crate) fn encode(groups: &[Group]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&(groups.len() as u32).to_le_bytes());
    for g in groups {
        out.extend_from_slice(&g.stream.0.to_le_bytes());
        out.extend_from_slice(&g.rows.to_le_bytes());
        out.extend_from_slice(&g.min_time.to_le_bytes());
        out.extend_from_slice(&g.max_time.to_le_bytes());
        out.extend_from_slice(&g.min_series.to_le_bytes());
        out.extend_from_slice(&g.max_series.to_le_bytes());
        // A stream has at most 65,536 columns, of which the event time is stored under its own mark.
        out.extend_from_slice(&(g.chunks.len() as u16).to_le_bytes());
        for c in &g.chunks {
            out.extend_from_slice(&c.column.0.to_le_bytes());
            out.extend_from_slice(&[c.kind as u8, 0]);
            out.extend_from_slice(&c.offset.to_le_bytes());
            for v in [c.len, c.validity_len, c.crc, c.text, c.zone.nulls] {
                out.extend_from_slice(&v.to_le_bytes());
            }
            out.extend_from_slice(&c.zone.min.to_le_bytes());
            out.extend_from_slice(&c.zone.max.to_le_bytes());
            out.extend_from_slice(&c.zone.sum.to_le_bytes());
        }
    }
    out
}

fn array<const N: usize>(bytes: &[u8], pos: &mut usize) -> Option<[u8; N]> {
    let part = bytes.get(*pos..pos.checked_add(N)?)?;
    *pos += N;
    part.try_into().ok()
}

/// Reads an index; `None` when it is not one, or names bytes outside of the chunks, which end at `end`.
pub(crate) fn decode(bytes: &[u8], end: u64) -> Option<Vec<Group>> {
    let pos = &mut 0;
    let u16 = |pos: &mut usize| array(bytes, pos).map(u16::from_le_bytes);
    let u32 = |pos: &mut usize| array(bytes, pos).map(u32::from_le_bytes);
    let u64 = |pos: &mut usize| array(bytes, pos).map(u64::from_le_bytes);
    let count = u32(pos)? as usize;
    // Bounds what a hostile count can make us allocate.
    let mut groups: Vec<Group> = Vec::with_capacity(count.min(bytes.len() / GROUP));
    for _ in 0..count {
        let (stream, rows) = (StreamId(u32(pos)?), u32(pos)?);
        let (min_time, max_time) = (u64(pos)? as i64, u64(pos)? as i64);
        let (min_series, max_series) = (u32(pos)?, u32(pos)?);
        let chunk_count = usize::from(u16(pos)?);
        if rows == 0
            || rows as usize > super::GROUP_ROWS
            || groups.last().is_some_and(|g| g.stream > stream)
        {
            return None;
        }
        let mut chunks: Vec<ChunkMeta> = Vec::with_capacity(chunk_count.min(bytes.len() / CHUNK));
        for _ in 0..chunk_count {
            let column = ColumnId(u16(pos)?);
            let kind = match array(bytes, pos)? {
                [1, 0] => Kind::Int,
                [2, 0] => Kind::Float,
                [3, 0] => Kind::Int128,
                [4, 0] => Kind::Str,
                _ => return None,
            };
            let offset = u64(pos)?;
            let (len, validity_len, crc, text, nulls) =
                (u32(pos)?, u32(pos)?, u32(pos)?, u32(pos)?, u32(pos)?);
            let (min, max) = (u64(pos)?, u64(pos)?);
            let sum = i128::from_le_bytes(array(bytes, pos)?);
            let inside = offset >= HEADER as u64
                && offset.checked_add(u64::from(len)).is_some_and(|e| e <= end);
            let ordered = chunks.last().is_none_or(|c| c.column < column);
            if !inside || !ordered || validity_len > len {
                return None;
            }
            let zone = ZoneMap {
                nulls,
                min,
                max,
                sum,
            };
            chunks.push(ChunkMeta {
                column,
                kind,
                offset,
                len,
                validity_len,
                crc,
                text,
                zone,
            });
        }
        groups.push(Group {
            stream,
            rows,
            min_time,
            max_time,
            min_series,
            max_series,
            chunks,
        });
    }
    (*pos == bytes.len()).then_some(groups)
}

/// The segment id and format version in a header; `None` when it is no header.
pub(crate) fn decode_header(bytes: &[u8]) -> Option<(SegmentId, u16)> {
    let pos = &mut 0;
    let magic: [u8; 8] = array(bytes, pos)?;
    let version = u16::from_le_bytes(array(bytes, pos)?);
    *pos = 16;
    let id = u64::from_le_bytes(array(bytes, pos)?);
    (magic == super::MAGIC).then_some((SegmentId(id), version))
}
