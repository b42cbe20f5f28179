//! What an edit can say, and its bytes. All integers are little-endian; numbers of kinds are permanent.

use bytes::Bytes;
use tsdb_types::{Lsn, SegmentId, TenantId};

/// What a file that is no segment is for. The manifest itself looks at none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKind(pub u8);

impl FileKind {
    /// A snapshot of the catalog.
    pub const CATALOG: FileKind = FileKind(1);
    /// A snapshot of a stream's series.
    pub const SERIES: FileKind = FileKind(2);
    /// A slice of a view's state.
    pub const CHECKPOINT: FileKind = FileKind(3);
    /// How far sources were taken, and keys of requests.
    pub const LEDGER: FileKind = FileKind(4);
}

/// A live segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Its id; never used again once it was named.
    pub id: SegmentId,
    /// Whose rows it holds.
    pub tenant: TenantId,
    /// File name, relative to the data directory.
    pub name: String,
    /// What the engine wants to know without opening it.
    pub meta: Bytes,
}

/// A live file of another kind, known by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// What it is for.
    pub kind: FileKind,
    /// Whose it is.
    pub tenant: TenantId,
    /// File name, relative to the data directory.
    pub name: String,
    /// The commit up to which it reaches.
    pub lsn: Lsn,
    /// What the engine wants to know without opening it.
    pub meta: Bytes,
}

/// One change of what lives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edit {
    /// A segment lives from now on.
    AddSegment(SegmentEntry),
    /// A segment is dead.
    RemoveSegment(SegmentId),
    /// Every commit up to here is in segments and snapshots.
    Flushed(Lsn),
    /// A file lives from now on.
    AddFile(FileEntry),
    /// A file, by its name, is dead.
    RemoveFile(String),
    /// Ids below this were used.
    NextSegment(SegmentId),
    /// Edits may have been lost: files that nothing names are kept.
    KeepUnnamed,
}

const ADD_SEGMENT: u8 = 1;
const REMOVE_SEGMENT: u8 = 2;
const FLUSHED: u8 = 3;
const ADD_FILE: u8 = 4;
const REMOVE_FILE: u8 = 5;
const NEXT_SEGMENT: u8 = 6;
const KEEP_UNNAMED: u8 = 7;

impl Edit {
    /// Appends `{kind u8, reserved [u8; 3], tenant u32, len u32, body}`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, tenant) = match self {
            Edit::AddSegment(entry) => (ADD_SEGMENT, entry.tenant),
            Edit::RemoveSegment(_) => (REMOVE_SEGMENT, TenantId(0)),
            Edit::Flushed(_) => (FLUSHED, TenantId(0)),
            Edit::AddFile(entry) => (ADD_FILE, entry.tenant),
            Edit::RemoveFile(_) => (REMOVE_FILE, TenantId(0)),
            Edit::NextSegment(_) => (NEXT_SEGMENT, TenantId(0)),
            Edit::KeepUnnamed => (KEEP_UNNAMED, TenantId(0)),
        };
        out.extend_from_slice(&[kind, 0, 0, 0]);
        out.extend_from_slice(&tenant.0.to_le_bytes());
        let len_at = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Edit::AddSegment(entry) => {
                out.extend_from_slice(&entry.id.0.to_le_bytes());
                put_bytes(out, entry.name.as_bytes());
                out.extend_from_slice(&entry.meta);
            }
            Edit::RemoveSegment(id) | Edit::NextSegment(id) => {
                out.extend_from_slice(&id.0.to_le_bytes());
            }
            Edit::Flushed(lsn) => out.extend_from_slice(&lsn.0.to_le_bytes()),
            Edit::AddFile(entry) => {
                out.push(entry.kind.0);
                out.extend_from_slice(&entry.lsn.0.to_le_bytes());
                put_bytes(out, entry.name.as_bytes());
                out.extend_from_slice(&entry.meta);
            }
            Edit::RemoveFile(name) => out.extend_from_slice(name.as_bytes()),
            Edit::KeepUnnamed => {}
        }
        // A body of 4 GiB can't be: the frame around it is refused far below that.
        let len = u32::try_from(out.len() - len_at - 4).unwrap_or(u32::MAX);
        out[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Reads an edit from the front of `bytes` and moves `bytes` behind it; `None` when there is no well-formed one.
    pub(super) fn decode(bytes: &mut Bytes) -> Option<Edit> {
        let head = bytes.get(..12)?;
        let (kind, reserved) = (head[0], &head[1..4]);
        if reserved != [0; 3] {
            return None;
        }
        let tenant = TenantId(u32::from_le_bytes(head[4..8].try_into().ok()?));
        let len = u32::from_le_bytes(head[8..12].try_into().ok()?) as usize;
        let end = len.checked_add(12)?;
        if end > bytes.len() {
            return None;
        }
        let mut body = bytes.split_to(end).split_off(12);
        let edit = match kind {
            ADD_SEGMENT => Edit::AddSegment(SegmentEntry {
                id: SegmentId(take_u64(&mut body)?),
                tenant,
                name: take_name(&mut body)?,
                meta: std::mem::take(&mut body),
            }),
            REMOVE_SEGMENT => Edit::RemoveSegment(SegmentId(take_u64(&mut body)?)),
            FLUSHED => Edit::Flushed(Lsn(take_u64(&mut body)?)),
            ADD_FILE => Edit::AddFile(FileEntry {
                kind: FileKind(take(&mut body, 1)?[0]),
                tenant,
                lsn: Lsn(take_u64(&mut body)?),
                name: take_name(&mut body)?,
                meta: std::mem::take(&mut body),
            }),
            REMOVE_FILE => Edit::RemoveFile(text(&std::mem::take(&mut body))?),
            NEXT_SEGMENT => Edit::NextSegment(SegmentId(take_u64(&mut body)?)),
            KEEP_UNNAMED => Edit::KeepUnnamed,
            _ => return None,
        };
        body.is_empty().then_some(edit)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // Names are at most 255 bytes: `ManifestState::apply` refuses others before anything is encoded.
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

fn take_u64(bytes: &mut Bytes) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?[..].try_into().ok()?))
}

fn take_name(bytes: &mut Bytes) -> Option<String> {
    let len = u16::from_le_bytes(take(bytes, 2)?[..].try_into().ok()?);
    text(&take(bytes, usize::from(len))?)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}
