//! The manifest's frames; `docs/formats/manifest.md` describes them and changes together with this file.

use bytes::Bytes;

use super::{BLOCK, Edit, ManifestError};

/// Names the manifest file in use.
pub(super) const CURRENT: &str = "manifest/CURRENT";
/// `CURRENT` before its rename.
pub(super) const CURRENT_TMP: &str = "manifest/CURRENT.tmp";
/// Format version in the file header.
pub(super) const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"TIDEMAN\n";
pub(super) const HEADER: usize = 32;
const FRAME_MAGIC: [u8; 4] = *b"EDIT";
pub(super) const FRAME_HEADER: usize = 32;
pub(super) const ALIGN: usize = 8;
/// The most bytes that the edits of a frame may have.
const MAX_FRAME: usize = 1 << 28;

/// What a frame's edits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The whole state; everything before it is void.
    Snapshot,
    /// Changes.
    Edit,
}

/// A frame read back.
#[derive(Debug)]
pub(super) struct Found {
    pub seq: u64,
    pub frame: Frame,
    pub edits: Vec<Edit>,
}

/// What a manifest file holds.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// In order of their sequence numbers, without repetition.
    pub frames: Vec<Found>,
    /// The header can't be read; the frames speak for themselves.
    pub bad_header: bool,
    /// The version in the header, when it is a newer one.
    pub newer: Option<u16>,
}

/// Name of manifest file `id`.
pub(super) fn file_name(id: u64) -> String {
    format!("manifest/MANIFEST-{id:08}")
}

/// The number in the name (without directory) of a manifest file.
pub(super) fn parse_file_name(name: &str) -> Option<u64> {
    let id = name.strip_prefix("MANIFEST-")?.parse().ok()?;
    (file_name(id).strip_prefix("manifest/") == Some(name)).then_some(id)
}

/// The contents of `CURRENT`.
pub(super) fn current(id: u64) -> String {
    let name = format!("MANIFEST-{id:08}");
    let crc = crc32fast::hash(name.as_bytes());
    format!("{name} {crc:08x}\n")
}

/// The number of the manifest file that the contents of `CURRENT` name.
pub(super) fn parse_current(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let id = parse_file_name(text.split(' ').next()?)?;
    (current(id) == text).then_some(id)
}

/// The header of manifest file `id`.
pub(super) fn header(id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&id.to_le_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.resize(HEADER, 0);
    out
}

fn frame(
    id: u64,
    offset: u64,
    seq: u64,
    kind: Frame,
    body: &[u8],
    count: u32,
) -> Result<Vec<u8>, ManifestError> {
    let too_large = || {
        ManifestError::Invalid(format!(
            "{} bytes of edits are more than the limit of {MAX_FRAME}",
            body.len()
        ))
    };
    if body.len() > MAX_FRAME {
        return Err(too_large());
    }
    let len = u32::try_from(body.len()).map_err(|_| too_large())?;
    let mut out = Vec::with_capacity(FRAME_HEADER + body.len() + ALIGN);
    out.extend_from_slice(&FRAME_MAGIC);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.push(match kind {
        Frame::Snapshot => 1,
        Frame::Edit => 2,
    });
    out.extend_from_slice(&[0; 7]);
    let crc = crc(id, offset, &out, body);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
    Ok(out)
}

/// The frame of `edits` for `offset` of manifest file `id`, and a second one in a block of its own, so that one bad
/// block can't take both.
pub(super) fn twice(
    id: u64,
    offset: u64,
    seq: u64,
    kind: Frame,
    edits: &[Edit],
) -> Result<Vec<u8>, ManifestError> {
    let mut body = Vec::new();
    for edit in edits {
        edit.encode(&mut body);
    }
    let count = u32::try_from(edits.len())
        .map_err(|_| ManifestError::Invalid("too many edits at once".into()))?;
    let mut out = frame(id, offset, seq, kind, &body, count)?;
    let in_block = usize::try_from(offset % BLOCK as u64).unwrap_or(0);
    out.resize((in_block + out.len()).next_multiple_of(BLOCK) - in_block, 0);
    let second = offset + out.len() as u64;
    out.extend(frame(id, second, seq, kind, &body, count)?);
    Ok(out)
}

fn crc(id: u64, offset: u64, head: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&id.to_le_bytes());
    crc.update(&offset.to_le_bytes());
    crc.update(head);
    crc.update(body);
    crc.finalize()
}

/// Reads manifest file `id`: every intact frame, also those behind damage.
pub(super) fn scan(id: u64, bytes: &Bytes) -> Scanned {
    let mut found = Scanned::default();
    check_header(id, bytes, &mut found);
    let mut pos = HEADER;
    while let Some(rest) = bytes.get(pos..)
        && rest.len() >= FRAME_HEADER
    {
        match read_frame(id, bytes, pos) {
            Some((frame, len)) => {
                // The second copy has the number of the first.
                if found.frames.last().is_none_or(|last| last.seq < frame.seq) {
                    found.frames.push(frame);
                }
                pos += len;
            }
            None => pos += ALIGN,
        }
    }
    found
}

pub(super) fn check_header(id: u64, bytes: &[u8], found: &mut Scanned) {
    let intact = bytes.get(..HEADER).filter(|header| {
        header[..8] == MAGIC && header[24..28] == crc32fast::hash(&header[..24]).to_le_bytes()
    });
    match intact {
        Some(header) => {
            let version = u16::from_le_bytes([header[8], header[9]]);
            found.newer = (version > VERSION).then_some(version);
            found.bad_header = header[16..24] != id.to_le_bytes();
        }
        None => found.bad_header = true,
    }
}

/// The intact frame at `pos`, and how many bytes it takes.
pub(super) fn read_frame(id: u64, bytes: &Bytes, pos: usize) -> Option<(Found, usize)> {
    let head = bytes.get(pos..pos + FRAME_HEADER)?;
    if head[..4] != FRAME_MAGIC {
        return None;
    }
    let len = u32::from_le_bytes(head[4..8].try_into().ok()?) as usize;
    if len > MAX_FRAME {
        return None;
    }
    let start = pos + FRAME_HEADER;
    let body = bytes.get(start..start + len)?;
    let stored = u32::from_le_bytes(head[28..32].try_into().ok()?);
    if stored != crc(id, pos as u64, &head[..28], body) {
        return None;
    }
    let frame = match head[20] {
        1 => Frame::Snapshot,
        2 => Frame::Edit,
        _ => return None,
    };
    let count = u32::from_le_bytes(head[16..20].try_into().ok()?);
    let mut rest = bytes.slice(start..start + len);
    let mut edits = Vec::new();
    for _ in 0..count {
        edits.push(Edit::decode(&mut rest)?);
    }
    let found = Found {
        seq: u64::from_le_bytes(head[8..16].try_into().ok()?),
        frame,
        edits,
    };
    let taken = (FRAME_HEADER + len).next_multiple_of(ALIGN);
    rest.is_empty().then_some((found, taken))
}
