//! The log's bytes; `docs/formats/wal.md` describes them and changes together with this file. All integers are
//! little-endian.

use tsdb_types::{Lsn, TenantId};

/// Groups begin at multiples of this: no device writes less than a sector of at most 4 KiB at once, so a torn write
/// of a new group can't harm an older one.
pub const BLOCK: usize = 4096;
/// Where a file's first record begins; the block before it holds the file header.
pub const FIRST_RECORD: u64 = BLOCK as u64;
/// Format version in the file header.
pub const VERSION: u16 = 1;
/// Bytes of a record header.
pub const RECORD_HEADER: usize = 56;
/// Bytes of a section header.
pub const SECTION_HEADER: usize = 16;
/// Records and sections begin at multiples of this.
pub const ALIGN: usize = 8;
/// The most bytes that a record's body may have.
pub const MAX_BODY: usize = 1 << 30;

const FILE_MAGIC: [u8; 8] = *b"TIDEWAL\n";
const FILE_HEADER: usize = 48;
/// First bytes of a record. No byte is zero, so it can't begin inside padding.
pub const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"RCRD");

/// What a section holds. The numbers are permanent; the log itself looks at none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionKind(pub u8);

impl SectionKind {
    /// Rows of a stream: a batch in its wire form.
    pub const ROWS: SectionKind = SectionKind(1);
    /// A change of the catalog.
    pub const CATALOG: SectionKind = SectionKind(2);
    /// New series of a stream.
    pub const SERIES: SectionKind = SectionKind(3);
    /// How far sources have been read.
    pub const POSITIONS: SectionKind = SectionKind(4);
    /// Keys of requests that must not take effect twice.
    pub const IDEMPOTENCY: SectionKind = SectionKind(5);
    /// Time moves on without rows.
    pub const TICK: SectionKind = SectionKind(6);
    /// Rows to hide.
    pub const DELETE: SectionKind = SectionKind(7);
    /// A recomputed part of a view.
    pub const REPAIR: SectionKind = SectionKind(8);
    /// Rejected rows.
    pub const DEAD_LETTER: SectionKind = SectionKind(9);
}

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A commit; takes an LSN.
    Commit,
    /// Carries `durable_lsn` alone, after a silence; its LSN is that of the last commit before it.
    Mark,
}

impl RecordKind {
    fn code(self) -> u8 {
        match self {
            RecordKind::Commit => 1,
            RecordKind::Mark => 2,
        }
    }

    fn from_code(code: u8) -> Option<RecordKind> {
        match code {
            1 => Some(RecordKind::Commit),
            2 => Some(RecordKind::Mark),
            _ => None,
        }
    }
}

/// The first bytes of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The number in the file's name.
    pub file_id: u64,
    /// The run that wrote the file; no two runs have the same.
    pub epoch: u64,
    /// LSN of the file's first commit.
    pub first_lsn: Lsn,
}

/// Why a file header can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFileHeader {
    /// Not one, or damaged, or another file's.
    Invalid,
    /// Of a version that this program doesn't know.
    Newer(u16),
}

impl FileHeader {
    /// Appends the header and pads it to a block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&FILE_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.file_id.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.first_lsn.0.to_le_bytes());
        let crc = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        debug_assert_eq!(out.len() - start, FILE_HEADER);
        out.resize(start + BLOCK, 0);
    }

    /// Reads the header of the file that is named `file_id`.
    ///
    /// # Errors
    /// When it is damaged, another file's, or of a newer version.
    pub fn decode(bytes: &[u8], file_id: u64) -> Result<FileHeader, BadFileHeader> {
        let header = bytes.get(..FILE_HEADER).ok_or(BadFileHeader::Invalid)?;
        if header[..8] != FILE_MAGIC || u32_at(header, 40) != crc32fast::hash(&header[..40]) {
            return Err(BadFileHeader::Invalid);
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if version > VERSION {
            return Err(BadFileHeader::Newer(version));
        }
        let found = FileHeader {
            file_id: u64_at(header, 16),
            epoch: u64_at(header, 24),
            first_lsn: Lsn(u64_at(header, 32)),
        };
        if version == 0 || found.file_id != file_id {
            return Err(BadFileHeader::Invalid);
        }
        Ok(found)
    }
}

/// The first bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What for.
    pub kind: RecordKind,
    /// Number of sections in the body.
    pub sections: u16,
    /// The commit's place.
    pub lsn: Lsn,
    /// The highest LSN known to be synced when this was written.
    pub durable_lsn: Lsn,
    /// The writer's wall time.
    pub wall_ns: i64,
    /// The run that wrote it.
    pub epoch: u64,
    /// Bytes of the body, padding of its last section included.
    pub body_len: u32,
    /// CRC of the body.
    pub body_crc: u32,
}

impl RecordHeader {
    /// The header's bytes at `offset` of file `file_id`: both are part of its CRC, and the CRC covers the body's.
    #[must_use]
    pub fn encode(&self, file_id: u64, offset: u64) -> [u8; RECORD_HEADER] {
        let mut out = [0u8; RECORD_HEADER];
        out[..4].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
        out[4] = self.kind.code();
        out[6..8].copy_from_slice(&self.sections.to_le_bytes());
        out[8..16].copy_from_slice(&self.lsn.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.durable_lsn.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.wall_ns.to_le_bytes());
        out[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        out[40..44].copy_from_slice(&self.body_len.to_le_bytes());
        out[44..48].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = header_crc(&out[..52], file_id, offset);
        out[52..56].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header at `offset` of file `file_id`; `None` when there is no intact one of that very place.
    #[must_use]
    pub fn decode(bytes: &[u8], file_id: u64, offset: u64) -> Option<RecordHeader> {
        let header = bytes.get(..RECORD_HEADER)?;
        if u32_at(header, 0) != RECORD_MAGIC
            || u32_at(header, 52) != header_crc(&header[..52], file_id, offset)
        {
            return None;
        }
        let reserved_are_zero = header[5] == 0 && u32_at(header, 48) == 0;
        let found = RecordHeader {
            kind: RecordKind::from_code(header[4])?,
            sections: u16::from_le_bytes([header[6], header[7]]),
            lsn: Lsn(u64_at(header, 8)),
            durable_lsn: Lsn(u64_at(header, 16)),
            wall_ns: u64_at(header, 24).cast_signed(),
            epoch: u64_at(header, 32),
            body_len: u32_at(header, 40),
            body_crc: u32_at(header, 44),
        };
        let sane = found.body_len as usize <= MAX_BODY
            && (found.body_len as usize).is_multiple_of(ALIGN)
            && found.durable_lsn <= found.lsn;
        (reserved_are_zero && sane).then_some(found)
    }

    /// Bytes of the whole record.
    #[must_use]
    pub fn record_len(&self) -> usize {
        RECORD_HEADER + self.body_len as usize
    }
}

fn header_crc(header: &[u8], file_id: u64, offset: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file_id.to_le_bytes());
    crc.update(&offset.to_le_bytes());
    crc.update(header);
    crc.finalize()
}

/// Appends a section header with a length of zero, to be set by [`end_section`].
pub fn begin_section(out: &mut Vec<u8>, kind: SectionKind, tenant: TenantId) {
    out.extend_from_slice(&[kind.0, 0, 0, 0]);
    out.extend_from_slice(&tenant.0.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
}

/// Sets the length of the section whose header begins at `start`, and pads it. The caller keeps bodies below
/// [`MAX_BODY`].
pub fn end_section(out: &mut Vec<u8>, start: usize) {
    let len = out.len() - start - SECTION_HEADER;
    // A body that long is refused when its record is sealed, so that the capped length is never written.
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    out[start + 8..start + 12].copy_from_slice(&len.to_le_bytes());
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// One section's place in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionSpan {
    /// What it holds.
    pub kind: SectionKind,
    /// Whose.
    pub tenant: TenantId,
    /// First byte of the payload.
    pub start: usize,
    /// Bytes of the payload.
    pub len: usize,
}

/// Reads the section that begins at `*pos` and moves `*pos` behind it; `None` when it doesn't fit.
#[must_use]
pub fn next_section(body: &[u8], pos: &mut usize) -> Option<SectionSpan> {
    let header = body.get(*pos..pos.checked_add(SECTION_HEADER)?)?;
    if header[1..4] != [0; 3] || u32_at(header, 12) != 0 {
        return None;
    }
    let start = *pos + SECTION_HEADER;
    let len = u32_at(header, 8) as usize;
    let end = start.checked_add(len)?.checked_next_multiple_of(ALIGN)?;
    if end > body.len() {
        return None;
    }
    *pos = end;
    Some(SectionSpan {
        kind: SectionKind(header[0]),
        tenant: TenantId(u32_at(header, 4)),
        start,
        len,
    })
}

/// Whether `body` is exactly `count` well-formed sections.
#[must_use]
pub fn sections_fit(body: &[u8], count: u16) -> bool {
    let mut pos = 0;
    (0..count).all(|_| next_section(body, &mut pos).is_some()) && pos == body.len()
}

/// Name of log file `id`.
#[must_use]
pub fn file_name(id: u64) -> String {
    format!("wal/{id:08}.wal")
}

/// The number in the name (without directory) of a log file.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let id = digits.parse().ok()?;
    (file_name(id).strip_prefix("wal/") == Some(name)).then_some(id)
}

// Both are called with ranges inside of slices whose length was checked.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
