//! What one request's rows may take in memory. A column is as long as its batch, whatever is in it, so a short body
//! with many names is a large table: a megabyte of lines, each with a name of its own, would be gigabytes.

use crate::admission::Rejection;
use tsdb::Rows;
use tsdb::types::BatchBuilder;

/// Rows of a batch at most.
pub(super) const SEAL_ROWS: usize = 65_536;
/// Cells (rows times columns of their stream) of a request's rows that are not sealed yet, over all streams. In memory
/// such a cell takes up to 8 bytes, 16 in a wide decimal column.
pub(super) const SEAL_CELLS: usize = 4 << 20;
/// Bytes that the columns of one request may take.
pub const MAX_REQUEST_BYTES: usize = 256 << 20;
/// From so many cells on a batch is sealed, few as its rows may be: the commit merges those that are not, and what it
/// merges gets the columns of all.
const WIDE_CELLS: usize = 64 << 10;
/// What rows that are not sealed may come to, text and all.
const MAX_WAITING: usize = 128 << 20;
/// What a column takes besides its values.
const COLUMN_BYTES: usize = 128;

/// Counts the columns of one request.
#[derive(Debug)]
pub(super) struct Bound {
    cells: usize,
    bytes: usize,
    /// What `bytes` may come to.
    limit: usize,
}

impl Default for Bound {
    fn default() -> Self {
        Bound {
            cells: 0,
            bytes: 0,
            limit: MAX_REQUEST_BYTES,
        }
    }
}

impl Bound {
    /// Allows so much for what is to come, whatever there is already: for messages of a source, whose rows wait for one
    /// another as long as their owner likes.
    #[inline]
    pub fn grant(&mut self) {
        self.limit = self.bytes.saturating_add(MAX_REQUEST_BYTES + MAX_WAITING);
    }

    /// Bytes of what is sealed.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts cells that are about to be, and tells whether all rows are to be sealed first.
    #[inline(always)]
    pub fn add(&mut self, cells: usize) -> bool {
        self.cells = self.cells.saturating_add(cells);
        self.cells > SEAL_CELLS
    }

    /// Makes finished rows of those of a stream of `width` columns.
    pub fn seal(&mut self, rows: BatchBuilder, width: usize, out: &mut Vec<Rows>) {
        let cells = rows.rows() * width;
        self.cells = self.cells.saturating_sub(cells);
        let rows = if cells >= WIDE_CELLS {
            rows.finish().map(Rows::Sealed)
        } else {
            Rows::from_builder(rows)
        };
        self.bytes += match &rows {
            None => 0,
            Some(Rows::Sealed(batch)) => batch.byte_len() + batch.columns.len() * COLUMN_BYTES,
            Some(Rows::Small(rows)) => rows.byte_len() + width * COLUMN_BYTES,
        };
        out.extend(rows);
    }

    /// Everything has been sealed.
    pub fn none_wait(&mut self) {
        self.cells = 0;
    }

    /// Whether what was sealed so far is within the bound.
    ///
    /// # Errors
    /// 413.
    pub fn check(&self) -> Result<(), Rejection> {
        if self.bytes <= self.limit {
            return Ok(());
        }
        Err(too_large())
    }
}

/// The answer to rows beyond the bound.
pub(super) fn too_large() -> Rejection {
    let message = format!(
        "the rows take more than {} MiB in columns, one for each name and as long as all rows; send fewer rows \
         or fewer different names at once",
        MAX_REQUEST_BYTES >> 20
    );
    Rejection::new(413, "rows_too_large", message)
}
