//! Whether a segment's bytes bear out what its index, the manifest and the catalog say.

use super::index::{ChunkMeta, Group, Kind, SERIES, TIME};
use super::inspect::{bad_header, told};
use super::read::{decode_chunk, read_index};
use super::{HEADER, SegmentMeta};
use crate::Stream;
use crate::inspect::Problem;
use crate::scan::{Vector, VectorValues};
use std::sync::Arc;
use tsdb_types::{DataType, SegmentId, StreamId};

/// What is known of the streams whose rows a segment may hold; `None` for one that was dropped.
pub(crate) type StreamOf<'a> = &'a dyn Fn(StreamId) -> Option<Arc<Stream>>;

/// Reads all of a segment file and compares it with itself, with what the manifest says, and with the catalog. `found`
/// is told of each damage, `decoded` of the rows and chunks of each group.
pub(crate) fn check(
    name: &str,
    meta: &SegmentMeta,
    bytes: &[u8],
    stream_of: StreamOf<'_>,
    found: &mut dyn FnMut(Problem),
    decoded: &mut dyn FnMut(u64, u64),
) {
    if bytes.len() as u64 != meta.bytes {
        let what = format!(
            "the file has {} bytes, {} according to the manifest",
            bytes.len(),
            meta.bytes
        );
        found(Problem::of(name, what));
    }
    if let Some(problem) = bad_header(name, meta.id, bytes) {
        found(problem);
    }
    let (groups, index_at) = match read_index(meta.id, bytes) {
        Ok(read) => read,
        Err(error) => return found(told(name, error)),
    };
    check_layout(name, &groups, index_at, found);
    check_totals(name, meta, &groups, found);
    let mut last: Option<(StreamId, SortKey)> = None;
    for group in &groups {
        let mut checker = GroupChecker {
            name,
            id: meta.id,
            bytes,
            group,
            stream: stream_of(group.stream),
            found,
        };
        // Without its partition length a stream has no order over groups.
        if let Some((first, end)) = checker.check()
            && checker.stream.is_some()
        {
            if last.is_some_and(|(s, row)| s == group.stream && row > first) {
                let at = group.chunks.first().map_or(0, |c| c.offset);
                let what = "a row group begins with a row that belongs before the last group's";
                found(Problem::at(name, at, what));
            }
            last = Some((group.stream, end));
        }
        decoded(u64::from(group.rows), group.chunks.len() as u64);
    }
}

/// Chunks must fill the file from the header to the index, without holes and overlaps.
fn check_layout(name: &str, groups: &[Group], index_at: u64, found: &mut dyn FnMut(Problem)) {
    let mut spans: Vec<(u64, u64)> = groups
        .iter()
        .flat_map(|g| &g.chunks)
        .map(|c| (c.offset, u64::from(c.len)))
        .collect();
    spans.sort_unstable();
    let mut end = HEADER as u64;
    for (offset, len) in spans.into_iter().chain([(index_at, 0)]) {
        if offset != end {
            let what = format!("the next chunk (or the index) begins at {offset} instead");
            return found(Problem::at(name, end, what));
        }
        end += len;
    }
}

/// What the manifest says of each stream must be what the row groups add up to.
fn check_totals(name: &str, meta: &SegmentMeta, groups: &[Group], found: &mut dyn FnMut(Problem)) {
    for group in groups {
        if meta.streams.iter().all(|s| s.stream != group.stream) {
            let what = format!(
                "holds rows of stream {}, unknown to the manifest",
                group.stream
            );
            return found(Problem::of(name, what));
        }
    }
    for s in &meta.streams {
        let of: Vec<&Group> = groups.iter().filter(|g| g.stream == s.stream).collect();
        let rows: u64 = of.iter().map(|g| u64::from(g.rows)).sum();
        let bytes: u64 = of
            .iter()
            .flat_map(|g| &g.chunks)
            .map(|c| u64::from(c.len))
            .sum();
        let time = (
            of.iter().map(|g| g.min_time).min().unwrap_or(0),
            of.iter().map(|g| g.max_time).max().unwrap_or(0),
        );
        if (rows, bytes, time) != (s.rows, s.bytes, (s.min_time, s.max_time)) {
            let what = format!(
                "stream {}: {rows} rows of {bytes} bytes in {}..={}; the manifest has {} of {} in {}..={}",
                s.stream, time.0, time.1, s.rows, s.bytes, s.min_time, s.max_time
            );
            found(Problem::of(name, what));
        }
    }
}

/// Partition, series, event time: the order of rows in a segment.
type SortKey = (i64, u32, i64);

struct GroupChecker<'a> {
    name: &'a str,
    id: SegmentId,
    bytes: &'a [u8],
    group: &'a Group,
    stream: Option<Arc<Stream>>,
    found: &'a mut dyn FnMut(Problem),
}

impl GroupChecker<'_> {
    fn tell(&mut self, offset: u64, what: impl Into<String>) {
        (self.found)(Problem::at(self.name, offset, what));
    }

    /// Decodes every chunk. Gives the sort keys of the first and the last row, where time and series can be read.
    fn check(&mut self) -> Option<(SortKey, SortKey)> {
        let (mut time, mut series) = (None, None);
        for chunk in &self.group.chunks {
            let Some(vector) = self.check_chunk(chunk) else {
                continue;
            };
            match (chunk.column, vector.values) {
                (TIME, VectorValues::Int(values)) => time = Some(values),
                (SERIES, VectorValues::Int(values)) => series = Some(values),
                _ => {}
            }
        }
        for (column, what) in [(TIME, "event times"), (SERIES, "series ids")] {
            if self.group.chunk(column).is_none() {
                let at = self
                    .group
                    .chunks
                    .first()
                    .map_or(HEADER as u64, |c| c.offset);
                self.tell(at, format!("a row group lacks its {what}"));
            }
        }
        self.check_order(&time?, &series?)
    }

    fn check_chunk(&mut self, chunk: &ChunkMeta) -> Option<Vector> {
        let data_type = self.type_of(chunk)?;
        let rows = self.group.rows as usize;
        let vector = match decode_chunk(self.id, self.bytes, chunk, rows, data_type) {
            Ok(vector) => vector,
            Err(error) => {
                let problem = told(self.name, error);
                (self.found)(problem);
                return None;
            }
        };
        let nulls = (0..rows).filter(|i| !vector.is_valid(*i)).count();
        if nulls as u64 != u64::from(chunk.zone.nulls) {
            let what = format!("{nulls} nulls, {} in the zone map", chunk.zone.nulls);
            self.tell(chunk.offset, what);
        }
        let zone = (chunk.zone.min, chunk.zone.max, chunk.zone.sum);
        if let Some(seen) = zone_of(&vector, rows)
            && !same_zone(chunk.kind, seen, zone)
        {
            self.tell(chunk.offset, "the zone map is not that of the values");
        }
        Some(vector)
    }

    /// The type that the catalog gives the chunk's column, or the one that its kind asks for.
    fn type_of(&mut self, chunk: &ChunkMeta) -> Option<DataType> {
        if chunk.column == TIME || chunk.column == SERIES {
            return Some(DataType::Int64);
        }
        let by_kind = match chunk.kind {
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Str => DataType::Utf8,
            Kind::Int128 => DataType::Decimal {
                precision: 38,
                scale: 0,
            },
        };
        let Some(stream) = &self.stream else {
            return Some(by_kind);
        };
        let schema = stream.schema();
        match schema.columns.get(usize::from(chunk.column.0)) {
            Some(column) => Some(column.data_type),
            None => {
                let what = format!(
                    "a chunk of column {}, of {} in stream {}",
                    chunk.column,
                    schema.columns.len(),
                    stream.name
                );
                self.tell(chunk.offset, what);
                None
            }
        }
    }

    fn check_order(&mut self, time: &[i64], series: &[i64]) -> Option<(SortKey, SortKey)> {
        let at = self.group.chunk(TIME).map_or(0, |c| c.offset);
        let range = |values: &[i64]| Some((*values.iter().min()?, *values.iter().max()?));
        let (g, known) = (self.group, self.stream.as_ref().map(|s| s.series().len()));
        if range(time) != Some((g.min_time, g.max_time)) {
            self.tell(at, "the event times are not in the range of the row group");
        }
        let (least, greatest) = range(series)?;
        if (least, greatest) != (i64::from(g.min_series), i64::from(g.max_series)) {
            self.tell(at, "the series ids are not in the range of the row group");
        }
        if let Some(known) = known
            && greatest >= i64::from(known)
        {
            let what = format!("series {greatest} is not one of the {known} that the catalog has");
            self.tell(at, what);
        }
        // A row group lies within one partition; which one can't be told of a stream that was dropped.
        let partition_ns = self.stream.as_ref().map(|s| s.options.partition_ns.max(1));
        let partition = |t: i64| partition_ns.map_or(0, |ns| t.div_euclid(ns));
        let key = |i: usize| (partition(time[i]), series[i] as u32, time[i]);
        if let Some(i) = (1..time.len()).find(|i| key(*i) < key(*i - 1)) {
            self.tell(
                at,
                format!("row {i} of the group belongs before the one ahead of it"),
            );
        }
        let (first, last) = (key(0), key(time.len() - 1));
        if first.0 != last.0 {
            self.tell(at, "a row group spans partitions");
        }
        Some((first, last))
    }
}

/// Least and greatest value and sum as a zone map has them; `None` for kinds without, and when all are null.
fn zone_of(vector: &Vector, rows: usize) -> Option<(u64, u64, i128)> {
    let valid = (0..rows).filter(|i| vector.is_valid(*i));
    match &vector.values {
        VectorValues::Int(values) => {
            let (mut min, mut max, mut sum) = (i64::MAX, i64::MIN, 0i128);
            for v in valid.map(|i| values[i]) {
                (min, max, sum) = (min.min(v), max.max(v), sum + i128::from(v));
            }
            (min <= max).then_some((min as u64, max as u64, sum))
        }
        VectorValues::Float(values) => {
            let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
            for v in valid.map(|i| values[i]) {
                if v.is_nan() {
                    (min, max) = (f64::NEG_INFINITY, f64::INFINITY);
                    break;
                }
                (min, max) = (min.min(v), max.max(v));
            }
            Some((min.to_bits(), max.to_bits(), 0))
        }
        VectorValues::Int128(_) | VectorValues::Str { .. } => None,
    }
}

fn same_zone(kind: Kind, seen: (u64, u64, i128), zone: (u64, u64, i128)) -> bool {
    match kind {
        // Zeros of both signs are equal, and which of them the least is told as does not matter.
        Kind::Float => {
            let equal = |a: u64, b: u64| a == b || f64::from_bits(a) == f64::from_bits(b);
            equal(seen.0, zone.0) && equal(seen.1, zone.1) && zone.2 == 0
        }
        _ => seen == zone,
    }
}
