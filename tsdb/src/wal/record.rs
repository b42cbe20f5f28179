//! A record while it is built, and once it is read.

use bytes::Bytes;
use tsdb_types::{Lsn, TenantId};

use super::format::{self, SectionKind};

/// Collects the sections of one record, right in the buffer that is written to disk.
pub struct RecordBuilder<'a> {
    out: &'a mut Vec<u8>,
    sections: u16,
    overflow: bool,
}

impl<'a> RecordBuilder<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> RecordBuilder<'a> {
        RecordBuilder {
            out,
            sections: 0,
            overflow: false,
        }
    }

    /// Adds a section whose payload is `pieces`, one behind the other.
    pub fn section(&mut self, kind: SectionKind, tenant: TenantId, pieces: &[&[u8]]) {
        self.section_with(kind, tenant, |out| {
            out.reserve(pieces.iter().map(|piece| piece.len()).sum());
            for piece in pieces {
                out.extend_from_slice(piece);
            }
        });
    }

    /// Adds a section whose payload is what `encode` appends. It must not touch what is there already. The payload
    /// begins at a multiple of 8 bytes, in the buffer as later in the mapped file.
    pub fn section_with(
        &mut self,
        kind: SectionKind,
        tenant: TenantId,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.out.len();
        format::begin_section(self.out, kind, tenant);
        encode(self.out);
        assert!(
            self.out.len() >= start + format::SECTION_HEADER,
            "an encoder may only append"
        );
        format::end_section(self.out, start);
        match self.sections.checked_add(1) {
            Some(sections) => self.sections = sections,
            None => self.overflow = true,
        }
    }

    /// Number of sections, unless there are more than a record can count.
    pub(super) fn finish(self) -> Option<u16> {
        (!self.overflow).then_some(self.sections)
    }
}

/// A part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it holds; may be a kind that a newer version has introduced.
    pub kind: SectionKind,
    /// Whose it is.
    pub tenant: TenantId,
    /// The payload: a slice of the mapped file.
    pub payload: Bytes,
}

/// A commit read back from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub lsn: Lsn,
    /// The writer's wall time.
    pub wall_ns: i64,
    /// Number of sections; the body was checked to hold exactly so many.
    pub(super) sections: u16,
    /// All sections; a slice of the mapped file.
    pub(super) body: Bytes,
}

impl Record {
    /// Bytes of its sections.
    pub(super) fn byte_len(&self) -> usize {
        self.body.len()
    }

    /// The sections in the order in which they were added. The payloads share the file's mapping.
    pub fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        let mut pos = 0;
        (0..self.sections).map_while(move |_| {
            let span = format::next_section(&self.body, &mut pos)?;
            Some(Section {
                kind: span.kind,
                tenant: span.tenant,
                payload: self.body.slice(span.start..span.start + span.len),
            })
        })
    }
}
