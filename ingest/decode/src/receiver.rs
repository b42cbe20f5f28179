//! Where the rows of one body or message go: the writer, or whoever is told why a row is none.

use super::row::{RefusedRow, RowReason};
use super::writer::{Cells, Writer};

/// Takes the rows of one body or message.
pub struct Receiver<'w, 'f> {
    writer: &'w mut Writer,
    /// Cells that each row gets besides its own.
    more: Cells<'w, 'w>,
    on_refused: &'w mut (dyn FnMut(RefusedRow<'_>) + 'f),
    /// Rows taken.
    pub accepted: usize,
    /// Rows refused.
    pub rejected: usize,
    full: bool,
    /// Whether plain rows may take the fast path.
    pub fast: bool,
}

impl<'w, 'f> Receiver<'w, 'f> {
    /// For the rows of a body; [`Writer::begin`] has been called for it.
    pub fn new(
        writer: &'w mut Writer,
        more: Cells<'w, 'w>,
        on_refused: &'w mut (dyn FnMut(RefusedRow<'_>) + 'f),
    ) -> Receiver<'w, 'f> {
        Receiver {
            writer,
            more,
            on_refused,
            accepted: 0,
            rejected: 0,
            full: false,
            fast: true,
        }
    }

    /// Takes the next row, or what stands in its place. False when the rows take too much and no more is wanted.
    pub fn take(&mut self, cells: Result<Cells<'_, '_>, RowReason>, text: &[u8]) -> bool {
        if self.full {
            return false;
        }
        match cells.and_then(|cells| self.writer.append(cells, self.more)) {
            Ok(()) => self.appended(),
            Err(reason) => self.refuse(reason, text),
        }
    }

    /// Counts a row that was appended.
    #[inline(always)]
    pub fn appended(&mut self) -> bool {
        self.accepted += 1;
        self.full = !self.writer.count();
        !self.full
    }

    /// Where rows go, and the cells that each gets besides its own.
    #[inline(always)]
    pub fn writer(&mut self) -> (&mut Writer, Cells<'w, 'w>) {
        (self.writer, self.more)
    }

    /// Tells of a row that is none.
    pub fn refuse(&mut self, reason: RowReason, text: &[u8]) -> bool {
        self.rejected += 1;
        (self.on_refused)(RefusedRow {
            row: self.accepted + self.rejected,
            reason,
            payload: text,
        });
        true
    }

    /// Whether rows were left out because those before take too much.
    pub fn full(&self) -> bool {
        self.full
    }
}
