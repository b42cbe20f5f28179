//! The log as it lies on disk. `docs/formats/wal.md` has the bytes, and the rules by which missing commits are a loss
//! or the torn end of a log; [`crate::wal::recover`] acts on them, this only tells.

use super::{DataDir, Problem};
use crate::Error;
use crate::wal::format::{
    ALIGN, BLOCK, BadFileHeader, FileHeader, RECORD_HEADER, RecordHeader, RecordKind, SectionSpan,
    VERSION, next_section, parse_file_name, sections_fit,
};
use crate::wal::format::{SectionKind, file_name};
use std::ops::Range;
use tsdb_types::Lsn;

/// An intact record.
#[derive(Clone, Debug)]
pub struct WalRecord {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its header.
    pub header: RecordHeader,
    /// Its sections, their places counted from the beginning of the body.
    pub sections: Vec<SectionSpan>,
}

impl WalRecord {
    /// Where its body begins in the file.
    #[must_use]
    pub fn body_at(&self) -> usize {
        self.offset as usize + RECORD_HEADER
    }
}

/// Bytes that are neither zeros nor an intact record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Where in the file.
    pub bytes: Range<u64>,
    /// The commit whose record this was, where its header is intact and its body not.
    pub lsn: Option<Lsn>,
    /// Whether it is the damaged header of a record that was written here under the file's present name.
    pub own: bool,
}

/// One log file.
#[derive(Clone, Debug, Default)]
pub struct WalFile {
    /// The number in its name.
    pub id: u64,
    /// Its name, relative to the data directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its header, if it is intact and this file's own.
    pub header: Option<FileHeader>,
    /// Its intact records, in file order.
    pub records: Vec<WalRecord>,
    /// What else is not zero, in file order. Behind the last record these may be leftovers of an earlier use.
    pub strays: Vec<Stray>,
    /// What is wrong with the file as such.
    pub damage: Vec<Problem>,
}

impl WalFile {
    /// The commits among its records.
    pub fn commits(&self) -> impl DoubleEndedIterator<Item = &WalRecord> {
        let commit = |r: &&WalRecord| r.header.kind == RecordKind::Commit;
        self.records.iter().filter(commit)
    }

    /// First and last LSN.
    #[must_use]
    pub fn lsns(&self) -> Option<(Lsn, Lsn)> {
        let (first, last) = (self.commits().next()?, self.commits().next_back()?);
        Some((first.header.lsn, last.header.lsn))
    }

    /// The highest LSN that a record here vouches for as synced.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        let durable = self.records.iter().map(|r| r.header.durable_lsn);
        durable.max().unwrap_or(Lsn(0))
    }

    /// Whether no record was ever written to it under this name: it waits to be used, anew or again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.records.is_empty() && self.header.is_none()
    }

    /// Where its last record ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        let end = |r: &WalRecord| r.offset + r.header.record_len() as u64;
        self.records.last().map_or(BLOCK as u64, end)
    }
}

/// The name of a kind of section.
#[must_use]
pub fn section_name(kind: SectionKind) -> Option<&'static str> {
    Some(match kind {
        SectionKind::ROWS => "rows",
        SectionKind::CATALOG => "catalog",
        SectionKind::SERIES => "series",
        SectionKind::POSITIONS => "positions",
        SectionKind::IDEMPOTENCY => "idempotency",
        SectionKind::TICK => "tick",
        SectionKind::DELETE => "delete",
        SectionKind::REPAIR => "repair",
        SectionKind::DEAD_LETTER => "dead letters",
        _ => return None,
    })
}

/// Reads all log files.
pub(super) fn read(dir: &DataDir) -> Result<Vec<WalFile>, Error> {
    let files = ids(dir)?.into_iter().map(|id| {
        let name = file_name(id);
        match dir.read(&name) {
            Ok(bytes) => scan(id, &bytes),
            Err(problem) => unreadable(id, problem),
        }
    });
    Ok(files.collect())
}

/// The ids of the log files, in order.
pub(super) fn ids(dir: &DataDir) -> Result<Vec<u64>, Error> {
    let entries = dir.list("wal")?;
    let mut ids: Vec<u64> = entries
        .iter()
        .filter_map(|e| parse_file_name(&e.name))
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// A file of which nothing can be read.
pub(super) fn unreadable(id: u64, problem: Problem) -> WalFile {
    WalFile {
        id,
        name: file_name(id),
        damage: vec![problem],
        ..WalFile::default()
    }
}

/// Reads the bytes of log file `id`.
#[must_use]
pub fn scan(id: u64, bytes: &[u8]) -> WalFile {
    let mut file = WalFile {
        id,
        name: file_name(id),
        bytes: bytes.len() as u64,
        ..WalFile::default()
    };
    let newer = match FileHeader::decode(bytes, id) {
        Ok(header) => {
            file.header = Some(header);
            None
        }
        Err(BadFileHeader::Invalid) => None,
        Err(BadFileHeader::Newer(version)) => Some(version),
    };
    let mut epoch = file.header.map(|h| h.epoch);
    let mut pos = BLOCK;
    while pos + ALIGN <= bytes.len() {
        pos += match record(id, bytes, pos, epoch) {
            Ok(record) => {
                epoch = Some(record.header.epoch);
                let len = record.header.record_len();
                file.records.push(record);
                len
            }
            Err(header) => stray(
                &mut file.strays,
                bytes,
                pos,
                header.map(|h| (h.lsn, h.record_len())),
            ),
        };
    }
    check_header(&mut file, bytes, newer);
    let next = file.end().next_multiple_of(BLOCK as u64);
    if let Some(first) = file.strays.iter_mut().find(|s| s.bytes.start == next)
        && let Some(epoch) = epoch
    {
        first.own = is_damaged_header(id, bytes, next, epoch);
    }
    file
}

/// Ids that a file may have had before it was used again, as many as are tried.
const FORMER_IDS: u64 = 100_000;

/// Whether the record header at the beginning of a block is one that this file's run wrote here, with something changed
/// since: it lies in one sector, so that no write can have left half of it. What a former use of the file has left fits
/// that use's id instead.
fn is_damaged_header(id: u64, bytes: &[u8], at: u64, epoch: u64) -> bool {
    let Some(header) = bytes.get(at as usize..at as usize + RECORD_HEADER) else {
        return false;
    };
    let mut mended = header.to_vec();
    mended[32..40].copy_from_slice(&epoch.to_le_bytes());
    if mended != header {
        return RecordHeader::decode(&mended, id, at).is_some();
    }
    let former = id.saturating_sub(FORMER_IDS)..id;
    RecordHeader::decode(header, id, at).is_none()
        && !former
            .into_iter()
            .any(|id| RecordHeader::decode(header, id, at).is_some())
}

/// The intact record at `pos`, or the header of one whose body is not.
fn record(
    id: u64,
    bytes: &[u8],
    pos: usize,
    epoch: Option<u64>,
) -> Result<WalRecord, Option<RecordHeader>> {
    let header = RecordHeader::decode(&bytes[pos..], id, pos as u64).ok_or(None)?;
    if epoch.is_some_and(|epoch| epoch != header.epoch) {
        return Err(None);
    }
    let body = bytes.get(pos + RECORD_HEADER..pos + header.record_len());
    let body = body.filter(|b| crc32fast::hash(b) == header.body_crc);
    let body = body.filter(|b| sections_fit(b, header.sections));
    let body = body.ok_or((epoch.is_some()).then_some(header))?;
    let mut at = 0;
    Ok(WalRecord {
        offset: pos as u64,
        header,
        sections: std::iter::from_fn(|| next_section(body, &mut at)).collect(),
    })
}

/// Notes what lies at `pos` unless it is zeros; gives the bytes that are accounted for.
fn stray(strays: &mut Vec<Stray>, bytes: &[u8], pos: usize, header: Option<(Lsn, usize)>) -> usize {
    let len = header.map_or(ALIGN, |h| h.1).min(bytes.len() - pos);
    if header.is_none() && bytes[pos..pos + len] == [0; ALIGN][..len] {
        return len;
    }
    let range = pos as u64..(pos + len) as u64;
    match strays.last_mut() {
        // A record has zeros inside: what lies within one header's length is one damage.
        Some(last)
            if header.is_none()
                && last.lsn.is_none()
                && range.start - last.bytes.end < RECORD_HEADER as u64 =>
        {
            last.bytes.end = range.end;
        }
        _ => strays.push(Stray {
            bytes: range,
            lsn: header.map(|h| h.0),
            own: false,
        }),
    }
    len
}

/// A file that has records begins with a header and zeros up to the first block's end.
fn check_header(file: &mut WalFile, bytes: &[u8], newer: Option<u16>) {
    if let Some(version) = newer {
        let what = format!("has format version {version}; this program reads up to {VERSION}");
        return file.damage.push(Problem::at(&file.name, 8, what));
    }
    if !bytes.len().is_multiple_of(BLOCK) && !file.is_ready() {
        let what = "the file is not made of whole blocks; it was cut short";
        let problem = Problem::at(&file.name, bytes.len() as u64, what);
        file.damage.push(problem);
    }
    let mut tell = |what: String| file.damage.push(Problem::at(&file.name, 0, what));
    match file.header {
        None if !file.records.is_empty() => {
            tell("the file header is not what was written; its records are intact".into());
        }
        Some(_) if bytes[44..BLOCK.min(bytes.len())].iter().any(|b| *b != 0) => {
            tell("the file header is followed by something else than zeros".into());
        }
        _ => {}
    }
}
