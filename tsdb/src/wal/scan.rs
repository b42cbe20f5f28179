//! Finds the intact records of one log file.
//!
//! The scan judges bytes only: which of the records count is for [`super::recover`] to say. It goes on behind damage,
//! so that what is readable there is found. A record counts only in the place it was written to, by the run that wrote
//! the file: its CRC covers file and offset, and its epoch must be the file's. So neither leftovers of a recycled file
//! nor a payload made to look like a record can pass; the body of a damaged record is skipped where its header is
//! intact.

use bytes::Bytes;
use tsdb_types::Lsn;

use super::format::{
    self, ALIGN, BadFileHeader, FIRST_RECORD, FileHeader, RECORD_HEADER, RECORD_MAGIC,
    RecordHeader, RecordKind, VERSION, file_name,
};
use super::{Record, WalError};
use crate::io::{Disk, is_damaged};

/// An intact commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub lsn: Lsn,
    pub wall_ns: i64,
    /// Offset of the record's header.
    pub offset: usize,
    pub body_len: u32,
    pub sections: u16,
}

impl Found {
    pub fn len(&self) -> usize {
        RECORD_HEADER + self.body_len as usize
    }

    pub fn record(&self, map: &Bytes) -> Record {
        let body = self.offset + RECORD_HEADER;
        Record {
            lsn: self.lsn,
            wall_ns: self.wall_ns,
            sections: self.sections,
            body: map.slice(body..body + self.body_len as usize),
        }
    }
}

/// What a file holds.
pub(super) struct Scanned {
    pub id: u64,
    pub map: Bytes,
    pub commits: Vec<Found>,
    /// The highest `durable_lsn` in an intact record header.
    pub durable: Lsn,
    /// The run that wrote the file, if anything intact says so.
    pub epoch: Option<u64>,
    /// Whether it has an intact record of any kind.
    pub used: bool,
    /// Why it could not be read.
    pub unreadable: Option<String>,
}

impl Scanned {
    fn new(id: u64, map: Bytes) -> Scanned {
        Scanned {
            id,
            map,
            commits: Vec::new(),
            durable: Lsn(0),
            epoch: None,
            used: false,
            unreadable: None,
        }
    }

    pub fn into_records(self) -> impl Iterator<Item = Record> {
        let map = self.map;
        self.commits
            .into_iter()
            .map(move |found| found.record(&map))
    }
}

/// Reads log file `id`. One that the disk won't read comes back empty, with the reason.
///
/// # Errors
/// `NewerVersion`.
pub(super) fn scan_file(disk: &dyn Disk, id: u64) -> Result<Scanned, WalError> {
    let name = file_name(id);
    match disk.open(&name).and_then(|file| file.map()) {
        Ok(map) => {
            let scanned = scan(id, map.clone())?;
            if is_damaged(&map) {
                return Ok(Scanned {
                    unreadable: Some("a part of it could not be read".into()),
                    ..Scanned::new(id, Bytes::new())
                });
            }
            Ok(scanned)
        }
        Err(e) => Ok(Scanned {
            unreadable: Some(e.to_string()),
            ..Scanned::new(id, Bytes::new())
        }),
    }
}

/// Reads the bytes of log file `id`.
///
/// # Errors
/// `NewerVersion`.
pub(super) fn scan(id: u64, map: Bytes) -> Result<Scanned, WalError> {
    let mut found = Scanned::new(id, map.clone());
    found.epoch = match FileHeader::decode(&map, id) {
        Ok(header) => Some(header.epoch),
        Err(BadFileHeader::Invalid) => None,
        Err(BadFileHeader::Newer(got)) => {
            return Err(WalError::NewerVersion {
                name: file_name(id),
                got,
                known: VERSION,
            });
        }
    };
    let mut pos = usize::try_from(FIRST_RECORD).unwrap_or(usize::MAX);
    while let Some(at) = next_magic(&map, pos) {
        pos = at + take_record(&mut found, at).unwrap_or(ALIGN);
    }
    Ok(found)
}

/// The first multiple of [`ALIGN`] from `pos` on where a record might begin.
fn next_magic(map: &[u8], pos: usize) -> Option<usize> {
    let words = map.get(pos..)?.chunks_exact(ALIGN);
    let magic = u64::from(RECORD_MAGIC);
    let index = words.into_iter().position(|word| {
        let mut bytes = [0; ALIGN];
        bytes.copy_from_slice(word);
        u64::from_le_bytes(bytes) & 0xffff_ffff == magic
    })?;
    Some(pos + index * ALIGN)
}

/// Looks at the record that may begin at `at`; returns how many bytes are accounted for.
fn take_record(found: &mut Scanned, at: usize) -> Option<usize> {
    let header = RecordHeader::decode(&found.map[at..], found.id, at as u64)?;
    let body = found
        .map
        .get(at + RECORD_HEADER..at + header.record_len())?;
    let intact =
        crc32fast::hash(body) == header.body_crc && format::sections_fit(body, header.sections);
    // A file whose own header is lost belongs to the run of its first intact record.
    let epoch = match found.epoch {
        Some(epoch) => epoch,
        None if intact => header.epoch,
        None => return None,
    };
    if header.epoch != epoch {
        return None;
    }
    found.epoch = Some(epoch);
    found.durable = found.durable.max(header.durable_lsn);
    if intact {
        found.used = true;
        if header.kind == RecordKind::Commit {
            found.commits.push(Found {
                lsn: header.lsn,
                wall_ns: header.wall_ns,
                offset: at,
                body_len: header.body_len,
                sections: header.sections,
            });
        }
    }
    Some(header.record_len())
}
