//! What earlier rows taught: which column a member's raw name means, and which member follows which.

use crate::number::load8;
use ahash::RandomState;
use hashbrown::HashMap;
use tsdb::types::{ColumnDef, ColumnId, DataType, Role};

/// No member.
pub(super) const NONE: u32 = u32::MAX;
/// After so many rows that were not taken only each so many-th is tried.
const PATIENCE: u32 = 16;
/// Bytes of names that are remembered; past it all are learnt anew.
const MAX_BYTES: usize = 1 << 20;

/// What a member's value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: the stream has no such column, and only nulls came.
    Absent,
    /// The event time.
    Time,
    /// Part of the series key.
    Tag,
    /// A value of the column's type.
    Field,
}

/// A member as rows spell it.
#[derive(Debug)]
pub(super) struct Field {
    /// `"name":`
    raw: Box<[u8]>,
    /// Its first eight bytes, or all there are.
    head: u64,
    mask: u64,
    /// Its last eight bytes, when there are so many.
    tail: u64,
    pub kind: Kind,
    /// The column, and its place in the schema.
    pub column: ColumnId,
    pub data_type: DataType,
    /// The member that followed it last time.
    next: u32,
}

impl Field {
    /// The place behind `"name":` when that stands at `at`.
    #[inline(always)]
    fn strip(&self, text: &[u8], at: usize) -> Option<usize> {
        let end = at + self.raw.len();
        let equal = match load8(text, at) {
            Some(word) if (word ^ self.head) & self.mask != 0 => false,
            Some(_) if self.raw.len() <= 8 => true,
            Some(_) if self.raw.len() <= 16 => load8(text, end - 8) == Some(self.tail),
            _ => text.get(at..end) == Some(&self.raw),
        };
        equal.then_some(end)
    }
}

/// The members of a stream's rows, by raw name.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    list: Vec<Field>,
    by_name: HashMap<Box<[u8]>, u32, RandomState>,
    first: u32,
    bytes: usize,
    /// Rows in a row that were not taken.
    pub(super) misses: u32,
}

impl Fields {
    /// Forgets all: what names mean may have changed.
    pub fn clear(&mut self) {
        self.list.clear();
        self.by_name.clear();
        (self.first, self.bytes, self.misses) = (0, 0, 0);
    }

    /// Whether a row that went the other way is worth learning from: not each, where all do.
    pub fn learns(&self) -> bool {
        self.misses <= PATIENCE || self.misses % PATIENCE == 1
    }

    /// Whether the next row is worth a try.
    #[inline(always)]
    pub(super) fn tries(&self) -> bool {
        self.misses < PATIENCE || self.misses.is_multiple_of(PATIENCE)
    }

    /// The member whose name stands at `at`, and where the text behind its colon starts. `last` is the member before
    /// it; what followed that one last time is tried first.
    #[inline(always)]
    pub(super) fn find(&mut self, text: &[u8], at: usize, last: u32) -> Option<(u32, usize)> {
        let guess = self.list.get(last as usize).map_or(self.first, |f| f.next);
        if let Some(field) = self.list.get(guess as usize)
            && let Some(end) = field.strip(text, at)
        {
            return Some((guess, end));
        }
        self.search(text, at, last)
    }

    #[inline(never)]
    fn search(&mut self, text: &[u8], at: usize, last: u32) -> Option<(u32, usize)> {
        if text.get(at) != Some(&b'"') {
            return None;
        }
        let end = super::scan::string_end(text, at + 1)?;
        let found = *self.by_name.get(&text[at + 1..end])?;
        let colon = super::scan::skip(text, end + 1);
        if text.get(colon) != Some(&b':') {
            return None;
        }
        match self.list.get_mut(last as usize) {
            Some(field) => field.next = found,
            None => self.first = found,
        }
        Some((found, colon + 1))
    }

    /// Names that are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The member of that number.
    #[inline(always)]
    pub(super) fn get(&self, index: u32) -> Option<&Field> {
        self.list.get(index as usize)
    }

    /// Learns what a name without escapes means: a column, or none as yet.
    pub fn learn(&mut self, name: &str, column: Option<&ColumnDef>) {
        if self.by_name.contains_key(name.as_bytes()) {
            return;
        }
        self.bytes += name.len() * 2 + 160;
        if self.bytes > MAX_BYTES {
            self.clear();
            self.bytes = name.len() * 2 + 160;
        }
        let raw: Box<[u8]> = [b"\"", name.as_bytes(), b"\":"].concat().into();
        let short = raw.len().min(8);
        let mut head = [0; 8];
        head[..short].copy_from_slice(&raw[..short]);
        let index = self.list.len() as u32;
        self.list.push(Field {
            head: u64::from_le_bytes(head),
            mask: u64::MAX >> (64 - 8 * short),
            tail: load8(&raw, raw.len().saturating_sub(8)).unwrap_or(0),
            raw,
            kind: match column.map(|c| c.role) {
                None => Kind::Absent,
                Some(Role::Time) => Kind::Time,
                Some(Role::Tag) => Kind::Tag,
                Some(Role::Field) => Kind::Field,
            },
            column: column.map_or(ColumnId(0), |c| c.id),
            data_type: column.map_or(DataType::Bool, |c| c.data_type),
            next: index + 1,
        });
        self.by_name.insert(name.as_bytes().into(), index);
    }
}
