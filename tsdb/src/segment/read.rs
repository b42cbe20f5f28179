//! Reading a segment: pruning by the index, then decoding what is left.

use super::index::{self, ChunkMeta, Group, Kind, SERIES, TIME};
use super::{FOOTER, HEADER, MAGIC, SegmentMeta, VERSION, checksum, file_name};
use crate::Error;
use crate::io::is_damaged;
use crate::scan::{ScanBatch, ScanSpec, ScanStats, Vector, VectorValues, selection};
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tsdb_types::{ColumnId, DataType, SegmentId, StreamId, TimeRange};

/// Gives the mapped bytes of a segment's file when they are first wanted.
pub(crate) type Mapper = Box<dyn Fn() -> std::io::Result<Bytes> + Send + Sync>;
/// Removes a segment's file.
pub(crate) type Remover = Box<dyn Fn() -> std::io::Result<()> + Send + Sync>;

/// An immutable segment. Opening one reads nothing; the index is read when it is first scanned.
pub struct Segment {
    /// What the manifest says of it.
    pub meta: SegmentMeta,
    /// Tells this segment from every other one in the process, those of other databases too.
    pub(super) uid: u64,
    mapper: Mapper,
    opened: OnceLock<Arc<Opened>>,
    opening: Mutex<()>,
    remover: Remover,
    /// Nothing names it any more: its file goes with the last who reads from it.
    unused: AtomicBool,
    pub(super) finding_ends: Mutex<()>,
}

pub(super) struct Opened {
    bytes: Bytes,
    pub(super) groups: Vec<Group>,
}

static UIDS: AtomicU64 = AtomicU64::new(0);

/// Bounds what a damaged length can make us allocate for an index.
const MAX_INDEX: u64 = 1 << 30;

impl Segment {
    pub(crate) fn new(meta: SegmentMeta, mapper: Mapper, remover: Remover) -> Segment {
        Segment {
            meta,
            uid: UIDS.fetch_add(1, Ordering::Relaxed),
            mapper,
            opened: OnceLock::new(),
            opening: Mutex::new(()),
            remover,
            unused: AtomicBool::new(false),
            finding_ends: Mutex::new(()),
        }
    }

    /// Lets the file go with the last who holds the segment. Only once the manifest has durably forgotten it.
    pub(crate) fn remove_when_unused(&self) {
        self.unused.store(true, Ordering::Release);
    }

    fn corrupt(&self, what: &'static str, offset: u64) -> Error {
        corrupt(self.meta.id, what, offset)
    }

    pub(super) fn open(&self) -> Result<&Arc<Opened>, Error> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let _one_at_a_time = self.opening.lock();
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let bytes = (self.mapper)()
            .map_err(|e| Error::io(format!("map {}", file_name(self.meta.id)), &e))?;
        let opened = Arc::new(self.read_index(bytes)?);
        Ok(self.opened.get_or_init(|| opened))
    }

    fn read_index(&self, bytes: Bytes) -> Result<Opened, Error> {
        if bytes.len() as u64 != self.meta.bytes || bytes.len() < HEADER + FOOTER {
            return Err(self.corrupt("length", bytes.len() as u64));
        }
        match index::decode_header(&bytes) {
            Some((found, VERSION)) if found == self.meta.id => {}
            _ => return Err(self.corrupt("header", 0)),
        }
        let (groups, at) = read_index(self.meta.id, &bytes)?;
        if is_damaged(&bytes) {
            return Err(self.corrupt("index", at));
        }
        Ok(Opened { bytes, groups })
    }

    /// The places of a stream's row groups in the index; empty when the segment has no row of it.
    pub(crate) fn groups(&self, stream: StreamId) -> Result<Range<usize>, Error> {
        if self.meta.streams.iter().all(|s| s.stream != stream) {
            return Ok(0..0);
        }
        let groups = &self.open()?.groups;
        let from = groups.partition_point(|g| g.stream < stream);
        let to = groups.partition_point(|g| g.stream <= stream);
        Ok(from..to)
    }

    /// The greatest ids of series and columns that a stream's rows use.
    pub(crate) fn greatest_ids(&self, stream: StreamId) -> Result<(u32, ColumnId), Error> {
        let groups = self.groups(stream)?;
        let groups = &self.open()?.groups[groups];
        let series = groups.iter().map(|g| g.max_series).max().unwrap_or(0);
        let columns = groups.iter().flat_map(|g| &g.chunks).map(|c| c.column);
        let column = columns.filter(|c| *c < TIME).max().unwrap_or(ColumnId(0));
        Ok((series, column))
    }

    /// Reads row groups; rows come in segment order.
    pub(crate) fn scan(
        &self,
        groups: Range<usize>,
        spec: &ScanSpec,
        types: &[DataType],
        stats: &ScanStats,
        sink: &mut dyn FnMut(ScanBatch) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let opened = self.open()?.clone();
        for group in &opened.groups[groups] {
            let wanted = wanted_chunks(group, &spec.columns);
            ScanStats::add(&stats.chunks_total, wanted);
            if prune(group, spec) {
                ScanStats::add(&stats.chunks_pruned, wanted);
                continue;
            }
            let Some(batch) = self.read_group(&opened, group, spec, types, stats)? else {
                ScanStats::add(&stats.chunks_pruned, wanted - 2);
                continue;
            };
            if sink(batch).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The admitted rows of one group; `None` when time and series leave none, and then no other chunk was touched.
    fn read_group(
        &self,
        opened: &Opened,
        group: &Group,
        spec: &ScanSpec,
        types: &[DataType],
        stats: &ScanStats,
    ) -> Result<Option<ScanBatch>, Error> {
        let (time, series) = self.read_keys(opened, group, stats)?;
        let range = spec.time.unwrap_or(TimeRange::ALL);
        let rows = selection(
            &time,
            &series,
            spec,
            range.covers(group.min_time, group.max_time),
        );
        if rows.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let wanted = spec.columns.iter().copied().zip(types.iter().copied());
        let columns = self.read_columns(opened, group, wanted, rows.as_deref(), stats)?;
        Ok(Some(match rows {
            None => ScanBatch {
                rows: time.len(),
                time,
                series,
                columns,
            },
            Some(rows) => ScanBatch {
                rows: rows.len(),
                time: rows.iter().map(|r| time[*r as usize]).collect(),
                series: rows.iter().map(|r| series[*r as usize]).collect(),
                columns,
            },
        }))
    }

    /// Event times and series of a group's rows.
    pub(super) fn read_keys(
        &self,
        opened: &Opened,
        group: &Group,
        stats: &ScanStats,
    ) -> Result<(Vec<i64>, Vec<u32>), Error> {
        let time = self.key_column(opened, group, TIME, stats)?;
        let series = if group.min_series == group.max_series {
            vec![group.min_series; group.rows as usize]
        } else {
            self.key_column(opened, group, SERIES, stats)?
                .into_iter()
                .map(|s| s as u32)
                .collect()
        };
        Ok((time, series))
    }

    /// Field columns of a group, of all its rows or of some; `None` where all rows of the group are null.
    pub(super) fn read_columns(
        &self,
        opened: &Opened,
        group: &Group,
        columns: impl Iterator<Item = (ColumnId, DataType)>,
        rows: Option<&[u32]>,
        stats: &ScanStats,
    ) -> Result<Vec<Option<Vector>>, Error> {
        columns
            .map(|(id, data_type)| {
                let Some(chunk) = group.chunk(id) else {
                    return Ok(None);
                };
                let vector = self.decode(opened, chunk, group.rows as usize, data_type)?;
                ScanStats::add(&stats.chunks_decoded, 1);
                Ok(Some(match rows {
                    Some(rows) => vector.select(rows),
                    None => vector,
                }))
            })
            .collect()
    }

    pub(super) fn key_column(
        &self,
        opened: &Opened,
        group: &Group,
        id: ColumnId,
        stats: &ScanStats,
    ) -> Result<Vec<i64>, Error> {
        let chunk = group.chunk(id).ok_or_else(|| self.corrupt("index", 0))?;
        let vector = self.decode(opened, chunk, group.rows as usize, DataType::Int64)?;
        ScanStats::add(&stats.chunks_decoded, 1);
        match vector.values {
            VectorValues::Int(values) => Ok(values),
            _ => Err(self.corrupt("index", 0)),
        }
    }

    fn decode(
        &self,
        opened: &Opened,
        chunk: &ChunkMeta,
        rows: usize,
        data_type: DataType,
    ) -> Result<Vector, Error> {
        decode_chunk(self.meta.id, &opened.bytes, chunk, rows, data_type)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.forget_ends();
        if self.unused.load(Ordering::Acquire)
            && let Err(error) = (self.remover)()
        {
            // The next start removes what nothing names.
            tracing::warn!(%error, file = file_name(self.meta.id), "an expired segment could not be removed");
        }
    }
}

fn corrupt(id: SegmentId, what: &'static str, offset: u64) -> Error {
    Error::Corrupt {
        file: file_name(id),
        what,
        offset,
    }
}

/// The row groups that a segment's index tells of, and where the index begins.
pub(super) fn read_index(id: SegmentId, bytes: &[u8]) -> Result<(Vec<Group>, u64), Error> {
    let at = bytes.len().saturating_sub(FOOTER);
    let footer = bytes.get(at..).filter(|f| f.len() == FOOTER);
    let footer = footer.ok_or_else(|| corrupt(id, "length", bytes.len() as u64))?;
    let u64_at = |i: usize| {
        let mut b = [0; 8];
        b.copy_from_slice(&footer[i..i + 8]);
        u64::from_le_bytes(b)
    };
    let (offset, len, raw) = (u64_at(0), u64_at(8), u64_at(16));
    let crc = u32::from_le_bytes([footer[24], footer[25], footer[26], footer[27]]);
    if footer[28..] != MAGIC || offset.checked_add(len) != Some(at as u64) || raw > MAX_INDEX {
        return Err(corrupt(id, "footer", at as u64));
    }
    let packed = &bytes[offset as usize..at];
    if checksum(id, offset, packed) != crc {
        return Err(corrupt(id, "index", offset));
    }
    let damaged = || corrupt(id, "index", offset);
    let plain = if len == raw {
        packed.to_vec()
    } else {
        zstd::bulk::decompress(packed, raw as usize).map_err(|_| damaged())?
    };
    if plain.len() as u64 != raw {
        return Err(corrupt(id, "footer", at as u64));
    }
    let groups = index::decode(&plain, offset).ok_or_else(damaged)?;
    Ok((groups, offset))
}

/// The values of a chunk that the index of this very file tells of.
pub(super) fn decode_chunk(
    id: SegmentId,
    file: &[u8],
    chunk: &ChunkMeta,
    rows: usize,
    data_type: DataType,
) -> Result<Vector, Error> {
    let damaged = || corrupt(id, "chunk", chunk.offset);
    // The index was checked: a chunk lies inside the file, its null flags inside the chunk.
    let bytes = &file[chunk.offset as usize..chunk.offset as usize + chunk.len as usize];
    if checksum(id, chunk.offset, bytes) != chunk.crc {
        return Err(damaged());
    }
    let (flags, payload) = bytes.split_at(chunk.validity_len as usize);
    let validity = if flags.is_empty() {
        None
    } else {
        let mut valid = Vec::with_capacity(rows);
        tsdb_codec::decode_bool(flags, rows, &mut valid).map_err(|_| damaged())?;
        let mut bits = vec![0u8; rows.div_ceil(8)];
        valid
            .iter()
            .enumerate()
            .for_each(|(i, v)| bits[i / 8] |= u8::from(*v) << (i % 8));
        Some(bits)
    };
    let values = match chunk.kind {
        Kind::Int => {
            let mut out = Vec::with_capacity(rows);
            tsdb_codec::decode_i64(payload, rows, &mut out).map_err(|_| damaged())?;
            VectorValues::Int(out)
        }
        Kind::Float => {
            let mut out = Vec::with_capacity(rows);
            tsdb_codec::decode_f64(payload, rows, &mut out).map_err(|_| damaged())?;
            VectorValues::Float(out)
        }
        Kind::Int128 => {
            let mut out = Vec::with_capacity(rows);
            tsdb_codec::decode_i128(payload, rows, &mut out).map_err(|_| damaged())?;
            VectorValues::Int128(out)
        }
        Kind::Str => {
            let (mut offsets, mut data) = (Vec::with_capacity(rows + 1), Vec::new());
            tsdb_codec::decode_bytes(payload, rows, chunk.text as usize, &mut offsets, &mut data)
                .map_err(|_| damaged())?;
            if std::str::from_utf8(&data).is_err() {
                return Err(damaged());
            }
            VectorValues::Str {
                offsets: offsets.iter().map(|o| *o as i32).collect(),
                data,
            }
        }
    };
    let fits = match (&values, data_type) {
        (VectorValues::Float(_), t) => t == DataType::Float64,
        (VectorValues::Int128(_), t) => matches!(t, DataType::Decimal { .. }),
        (VectorValues::Str { .. }, t) => t == DataType::Utf8,
        (VectorValues::Int(_), t) => !matches!(
            t,
            DataType::Float64 | DataType::Utf8 | DataType::Decimal { .. }
        ),
    };
    // The checksum was right, but the bytes may have gone between it and the decoder.
    if fits && !is_damaged(bytes) {
        Ok(Vector { values, validity })
    } else {
        Err(damaged())
    }
}

/// Chunks of a group that hold the columns, event times and series.
pub(super) fn wanted_chunks(group: &Group, columns: &[ColumnId]) -> usize {
    columns
        .iter()
        .filter(|c| group.chunk(**c).is_some())
        .count()
        + 2
}

/// Whether no row of the group can matter.
fn prune(group: &Group, spec: &ScanSpec) -> bool {
    let range = spec.time.unwrap_or(TimeRange::ALL);
    if !range.overlaps(group.min_time, group.max_time) {
        return true;
    }
    if let Some(set) = &spec.series
        && !set.intersects(group.min_series, group.max_series)
    {
        return true;
    }
    spec.prune.iter().any(|p| match group.chunk(p.column) {
        // All null: no comparison holds.
        None => true,
        Some(c) => match c.kind {
            Kind::Int => !p.may_hold_int(c.zone.min as i64, c.zone.max as i64),
            Kind::Float => {
                !p.may_hold_float(f64::from_bits(c.zone.min), f64::from_bits(c.zone.max))
            }
            Kind::Int128 | Kind::Str => false,
        },
    })
}
