//! Rows of one stream, columnar.

use crate::{Column, ColumnId, StreamId, TimeRange};
use bytes::Bytes;

/// Why bytes are not a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("a batch is cut short")]
    Truncated,
    /// A part has a value that no writer makes.
    #[error("a batch has an invalid {0}")]
    Invalid(&'static str),
}

/// Rows of one stream. Tags are not here but behind the series ids.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The stream.
    pub stream: StreamId,
    /// Rows in every column.
    pub rows: usize,
    /// Event times in nanoseconds; never null.
    pub time: Column,
    /// Series ids; never null, all 0 in a stream without tags.
    pub series: Column,
    /// Field columns that have at least one value here, in order of their ids; the others are all null.
    pub columns: Vec<(ColumnId, Column)>,
    /// Least event time.
    pub min_time: i64,
    /// Greatest event time.
    pub max_time: i64,
}

/// More rows than this in one batch is refused: a bound that decoders of hostile bytes can rely on.
const MAX_ROWS: usize = 16 << 20;

impl Batch {
    /// The field column of that id, if any row here has a value for it.
    #[must_use]
    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        let i = self.columns.binary_search_by_key(&id, |c| c.0).ok()?;
        Some(&self.columns[i].1)
    }

    /// Whether a row may lie in `range`.
    #[must_use]
    pub fn overlaps(&self, range: &TimeRange) -> bool {
        range.overlaps(self.min_time, self.max_time)
    }

    /// Bytes that the columns take in memory, near enough for accounting.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.time.byte_len()
            + self.series.byte_len()
            + self
                .columns
                .iter()
                .map(|(_, c)| c.byte_len() + 64)
                .sum::<usize>()
            + 192
    }

    /// The bytes that its columns lie in.
    pub fn buffers(&self) -> impl Iterator<Item = &Bytes> {
        let columns = self.columns.iter().map(|(_, c)| c);
        [&self.time, &self.series]
            .into_iter()
            .chain(columns)
            .flat_map(Column::buffers)
    }

    /// Appends the wire form of `docs/formats/wal.md`, "rows".
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.byte_len() + 64);
        out.extend_from_slice(&self.stream.0.to_le_bytes());
        out.extend_from_slice(&(self.rows as u32).to_le_bytes());
        out.extend_from_slice(&self.min_time.to_le_bytes());
        out.extend_from_slice(&self.max_time.to_le_bytes());
        out.extend_from_slice(&(self.columns.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        self.time.encode(out);
        self.series.encode(out);
        for (id, column) in &self.columns {
            out.extend_from_slice(&id.0.to_le_bytes());
            column.encode(out);
        }
    }

    /// Reads the wire form at `*pos` without copying values, and moves `*pos` behind it.
    ///
    /// # Errors
    /// When the bytes end early or hold what [`Batch::encode`] never writes.
    pub fn decode(bytes: &Bytes, pos: &mut usize) -> Result<Batch, BatchError> {
        let head = bytes
            .get(*pos..pos.saturating_add(28))
            .ok_or(BatchError::Truncated)?;
        let u32_at =
            |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let i64_at = |i: usize| {
            let mut b = [0; 8];
            b.copy_from_slice(&head[i..i + 8]);
            i64::from_le_bytes(b)
        };
        let (stream, rows) = (StreamId(u32_at(0)), u32_at(4) as usize);
        let (min_time, max_time) = (i64_at(8), i64_at(16));
        let count = usize::from(u16::from_le_bytes([head[24], head[25]]));
        if rows == 0 || rows > MAX_ROWS {
            return Err(BatchError::Invalid("row count"));
        }
        *pos += 28;
        let time = Column::decode(bytes, pos, rows)?;
        let series = Column::decode(bytes, pos, rows)?;
        let ints =
            |c: &Column| matches!(c.values, crate::Values::Int { .. }) && c.validity.is_none();
        if !ints(&time) || !ints(&series) {
            return Err(BatchError::Invalid("time or series column"));
        }
        let mut columns: Vec<(ColumnId, Column)> = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            let id = bytes.get(*pos..*pos + 2).ok_or(BatchError::Truncated)?;
            let id = ColumnId(u16::from_le_bytes([id[0], id[1]]));
            *pos += 2;
            if columns.last().is_some_and(|(last, _)| *last >= id) {
                return Err(BatchError::Invalid("column order"));
            }
            columns.push((id, Column::decode(bytes, pos, rows)?));
        }
        Ok(Batch {
            stream,
            rows,
            time,
            series,
            columns,
            min_time,
            max_time,
        })
    }
}
