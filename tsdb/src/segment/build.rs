//! Sorting, encoding and laying out rows.

use super::gather::Gathered;
use super::index::{self, ChunkMeta, Group, Kind, SERIES, TIME, ZoneMap};
use super::{FOOTER, GROUP_ROWS, HEADER, MAGIC, SegmentMeta, StreamRows, VERSION, checksum, sort};
use crate::scan::{Vector, VectorValues};
use std::sync::Arc;
use tsdb_types::{Batch, ColumnId, DataType, SegmentId, StreamId};

/// A segment being laid out in memory.
pub(crate) struct SegmentBuilder {
    id: SegmentId,
    out: Vec<u8>,
    groups: Vec<Group>,
    streams: Vec<StreamRows>,
}

impl SegmentBuilder {
    /// Begins the file of segment `id`, of tenant 0.
    pub(crate) fn new(id: SegmentId) -> SegmentBuilder {
        let mut out = Vec::with_capacity(1 << 20);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&id.0.to_le_bytes());
        out.resize(HEADER - 4, 0);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        SegmentBuilder {
            id,
            out,
            groups: Vec::new(),
            streams: Vec::new(),
        }
    }

    /// Adds all rows of a stream, given in log order. Streams come in order of their ids, each at most once; `type_of`
    /// gives the types of their field columns.
    pub(crate) fn add(
        &mut self,
        stream: StreamId,
        partition_ns: i64,
        batches: &[Arc<Batch>],
        type_of: &dyn Fn(ColumnId) -> DataType,
    ) {
        let sorted = sort::sort(batches, partition_ns);
        if sorted.order.is_empty() {
            return;
        }
        let mut ids: Vec<ColumnId> = batches
            .iter()
            .flat_map(|b| b.columns.iter().map(|c| c.0))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let (first_group, before) = (self.groups.len(), self.out.len());
        self.lay_out_groups(stream, &sorted);
        // Column by column over all groups: one concatenated column in memory at a time.
        let mut gathered = Gathered::default();
        for id in ids {
            gathered.fill(batches, id, type_of(id), sorted.order.len());
            let mut at = 0;
            for g in first_group..self.groups.len() {
                let rows = &sorted.order[at..at + self.groups[g].rows as usize];
                at += rows.len();
                let starts = run_starts(rows, &sorted.series);
                self.add_chunk(g, id, &gathered.select(rows), &starts);
            }
        }
        let mut at = 0;
        for g in first_group..self.groups.len() {
            let rows = &sorted.order[at..at + self.groups[g].rows as usize];
            at += rows.len();
            let starts = run_starts(rows, &sorted.series);
            let int = |values: Vec<i64>| Vector {
                values: VectorValues::Int(values),
                validity: None,
            };
            let time = int(rows.iter().map(|r| sorted.time[*r as usize]).collect());
            let series = int(rows
                .iter()
                .map(|r| i64::from(sorted.series[*r as usize]))
                .collect());
            self.add_chunk(g, TIME, &time, &starts);
            self.add_chunk(g, SERIES, &series, &[]);
        }
        let groups = &self.groups[first_group..];
        self.streams.push(StreamRows {
            stream,
            rows: sorted.order.len() as u64,
            min_time: groups.iter().map(|g| g.min_time).min().unwrap_or(0),
            max_time: groups.iter().map(|g| g.max_time).max().unwrap_or(0),
            bytes: (self.out.len() - before) as u64,
        });
    }

    fn lay_out_groups(&mut self, stream: StreamId, sorted: &sort::Sorted) {
        let ends = sorted
            .partitions
            .iter()
            .skip(1)
            .copied()
            .chain([sorted.order.len()]);
        for (from, to) in sorted.partitions.iter().copied().zip(ends) {
            for rows in sorted.order[from..to].chunks(GROUP_ROWS) {
                let times = rows.iter().map(|r| sorted.time[*r as usize]);
                self.groups.push(Group {
                    stream,
                    rows: rows.len() as u32,
                    min_time: times.clone().min().unwrap_or(0),
                    max_time: times.max().unwrap_or(0),
                    // Within a partition rows are in order of their series.
                    min_series: sorted.series[rows[0] as usize],
                    max_series: sorted.series[rows[rows.len() - 1] as usize],
                    chunks: Vec::new(),
                });
            }
        }
    }

    fn add_chunk(&mut self, group: usize, column: ColumnId, vector: &Vector, starts: &[u32]) {
        let rows = self.groups[group].rows as usize;
        let nulls = vector
            .validity
            .as_ref()
            .map_or(0, |_| (0..rows).filter(|i| !vector.is_valid(*i)).count());
        if nulls == rows {
            return;
        }
        let offset = self.out.len();
        if nulls > 0 {
            let valid: Vec<bool> = (0..rows).map(|i| vector.is_valid(i)).collect();
            tsdb_codec::encode_bool(&valid, &mut self.out);
        }
        let validity_len = self.out.len() - offset;
        let (kind, text, min, max, sum) = self.encode_values(vector, nulls > 0, starts);
        let bytes = &self.out[offset..];
        let crc = checksum(self.id, offset as u64, bytes);
        self.groups[group].chunks.push(ChunkMeta {
            column,
            kind,
            offset: offset as u64,
            len: bytes.len() as u32,
            validity_len: validity_len as u32,
            crc,
            text,
            zone: ZoneMap {
                nulls: nulls as u32,
                min,
                max,
                sum,
            },
        });
    }

    fn encode_values(
        &mut self,
        vector: &Vector,
        nulls: bool,
        starts: &[u32],
    ) -> (Kind, u32, u64, u64, i128) {
        match &vector.values {
            VectorValues::Int(values) => {
                let (mut min, mut max, mut sum) = (i64::MAX, i64::MIN, 0i128);
                for (i, v) in values.iter().enumerate() {
                    if !nulls || vector.is_valid(i) {
                        (min, max, sum) = (min.min(*v), max.max(*v), sum + i128::from(*v));
                    }
                }
                if nulls {
                    // A null repeats the value before it, so that it costs next to nothing.
                    let (mut filled, mut last) = (values.clone(), min);
                    for (i, v) in filled.iter_mut().enumerate() {
                        if vector.is_valid(i) {
                            last = *v
                        } else {
                            *v = last
                        }
                    }
                    tsdb_codec::encode_i64_runs(&filled, starts, &mut self.out);
                } else {
                    tsdb_codec::encode_i64_runs(values, starts, &mut self.out);
                }
                (Kind::Int, 0, min as u64, max as u64, sum)
            }
            VectorValues::Float(values) => {
                let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
                for (_, v) in values
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| !nulls || vector.is_valid(*i))
                {
                    if v.is_nan() {
                        (min, max) = (f64::NEG_INFINITY, f64::INFINITY);
                        break;
                    }
                    (min, max) = (min.min(*v), max.max(*v));
                }
                tsdb_codec::encode_f64_runs(values, starts, &mut self.out);
                (Kind::Float, 0, min.to_bits(), max.to_bits(), 0)
            }
            VectorValues::Int128(values) => {
                tsdb_codec::encode_i128(values, &mut self.out);
                (Kind::Int128, 0, 0, 0, 0)
            }
            VectorValues::Str { offsets, data } => {
                let offsets: Vec<u32> = offsets.iter().map(|o| *o as u32).collect();
                tsdb_codec::encode_bytes(&offsets, data, &mut self.out);
                (Kind::Str, data.len() as u32, 0, 0, 0)
            }
        }
    }

    /// The whole file and what the manifest says of it; `None` when no row was added.
    pub(crate) fn finish(mut self) -> Option<(SegmentMeta, Vec<u8>)> {
        if self.groups.is_empty() {
            return None;
        }
        let raw = index::encode(&self.groups);
        // Compressing into memory fails only for want of memory; the raw form is as readable.
        let packed = zstd::bulk::compress(&raw, 3).unwrap_or_else(|_| raw.clone());
        let offset = self.out.len() as u64;
        let crc = checksum(self.id, offset, &packed);
        self.out.extend_from_slice(&packed);
        let footer = self.out.len();
        for v in [offset, packed.len() as u64, raw.len() as u64] {
            self.out.extend_from_slice(&v.to_le_bytes());
        }
        self.out.extend_from_slice(&crc.to_le_bytes());
        self.out.extend_from_slice(&MAGIC);
        debug_assert_eq!(self.out.len() - footer, FOOTER);
        let meta = SegmentMeta {
            id: self.id,
            bytes: self.out.len() as u64,
            streams: self.streams,
        };
        Some((meta, self.out))
    }
}

/// Rows at which a group begins another series.
fn run_starts(rows: &[u32], series: &[u32]) -> Vec<u32> {
    let of = |i: usize| series[rows[i] as usize];
    (0..rows.len())
        .filter(|i| *i == 0 || of(*i) != of(*i - 1))
        .map(|i| i as u32)
        .collect()
}
