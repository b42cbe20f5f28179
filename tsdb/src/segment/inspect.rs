//! A segment as it lies on disk: what its index says.

use super::index::{self, ChunkMeta, Group, Kind, SERIES, TIME};
use super::read::read_index;
use super::{HEADER, VERSION};
use crate::Error;
use crate::inspect::Problem;
use crate::scan::ZoneValue;
use tsdb_codec::Encoding;
use tsdb_types::{ColumnId, SegmentId, StreamId};

/// What a chunk is a column of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkColumn {
    /// A field of the stream.
    Field(ColumnId),
    /// The event times.
    Time,
    /// The series ids.
    Series,
}

/// One column of one row group.
#[derive(Clone, Copy, Debug)]
pub struct ChunkReport {
    /// Which column.
    pub column: ChunkColumn,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes, null flags and values.
    pub bytes: u32,
    /// Bytes of the null flags.
    pub null_bytes: u32,
    /// How the values are coded; `None` for a tag that no codec has.
    pub encoding: Option<Encoding>,
    /// Null rows.
    pub nulls: u32,
    /// Least and greatest value, of integers and floats.
    pub range: Option<(ZoneValue, ZoneValue)>,
    /// Sum, of integers.
    pub sum: Option<i128>,
}

/// A run of rows of one stream, all columns.
#[derive(Clone, Debug)]
pub struct GroupReport {
    /// The stream.
    pub stream: StreamId,
    /// Rows.
    pub rows: u32,
    /// Least and greatest event time.
    pub time: (i64, i64),
    /// First and last series.
    pub series: (u32, u32),
    /// The columns that are not all null.
    pub chunks: Vec<ChunkReport>,
}

/// A segment file.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// Its length.
    pub bytes: u64,
    /// Bytes of the index and the footer.
    pub index_bytes: u64,
    /// Its row groups.
    pub groups: Vec<GroupReport>,
}

/// What the index of a segment file says; no value is decoded.
///
/// # Errors
/// What is wrong with header, footer or index.
pub(crate) fn report(name: &str, id: SegmentId, bytes: &[u8]) -> Result<SegmentReport, Problem> {
    if let Some(problem) = bad_header(name, id, bytes) {
        return Err(problem);
    }
    let (groups, index_at) = read_index(id, bytes).map_err(|e| told(name, e))?;
    Ok(SegmentReport {
        bytes: bytes.len() as u64,
        index_bytes: bytes.len() as u64 - index_at,
        groups: groups.iter().map(|g| report_group(g, bytes)).collect(),
    })
}

fn report_group(group: &Group, bytes: &[u8]) -> GroupReport {
    GroupReport {
        stream: group.stream,
        rows: group.rows,
        time: (group.min_time, group.max_time),
        series: (group.min_series, group.max_series),
        chunks: group
            .chunks
            .iter()
            .map(|c| report_chunk(c, bytes))
            .collect(),
    }
}

fn report_chunk(chunk: &ChunkMeta, bytes: &[u8]) -> ChunkReport {
    let first = chunk.offset as usize + chunk.validity_len as usize;
    let coded = chunk.len > chunk.validity_len;
    let (min, max) = (chunk.zone.min, chunk.zone.max);
    ChunkReport {
        column: match chunk.column {
            TIME => ChunkColumn::Time,
            SERIES => ChunkColumn::Series,
            id => ChunkColumn::Field(id),
        },
        offset: chunk.offset,
        bytes: chunk.len,
        null_bytes: chunk.validity_len,
        // The index was checked: a chunk lies inside the file.
        encoding: coded.then(|| bytes[first]).and_then(Encoding::from_tag),
        nulls: chunk.zone.nulls,
        range: match chunk.kind {
            Kind::Int => Some((ZoneValue::Int(min as i64), ZoneValue::Int(max as i64))),
            Kind::Float => Some((
                ZoneValue::Float(f64::from_bits(min)),
                ZoneValue::Float(f64::from_bits(max)),
            )),
            Kind::Int128 | Kind::Str => None,
        },
        sum: (chunk.kind == Kind::Int).then_some(chunk.zone.sum),
    }
}

pub(super) fn bad_header(name: &str, id: SegmentId, bytes: &[u8]) -> Option<Problem> {
    let Some(header) = bytes.get(..HEADER) else {
        let what = format!("{} bytes are no segment", bytes.len());
        return Some(Problem::of(name, what));
    };
    let problem = |what: String| Some(Problem::at(name, 0, what));
    if header[HEADER - 4..] != crc32fast::hash(&header[..HEADER - 4]).to_le_bytes() {
        return problem("the header's checksum does not fit".into());
    }
    match index::decode_header(header) {
        None => problem("this is no segment".into()),
        Some((found, _)) if found != id => problem(format!("this is segment {found}, not {id}")),
        Some((_, VERSION)) => None,
        Some((_, version)) => problem(format!("the format version is {version}, not {VERSION}")),
    }
}

/// An error of the reader, without the file's name, which the problem has already.
pub(super) fn told(name: &str, error: Error) -> Problem {
    match error {
        Error::Corrupt { what, offset, .. } => Problem::at(name, offset, format!("damaged {what}")),
        other => Problem::of(name, other.to_string()),
    }
}
