//! Ledger files: all positions as of a flush, and the keys that came since the flush before.

use super::format::{Reader, decode_keys, decode_positions, encode_keys, encode_positions};
use super::{Advance, KEY_LIFE_NS, KeyedReply, MAX_KEYS};
use crate::Error;
use tsdb_types::Lsn;

/// Where the files lie.
pub(crate) const DIRECTORY: &str = "ledger";

const MAGIC: [u8; 8] = *b"TDMLLDG\n";
const VERSION: u16 = 1;
/// Bytes before the body: magic, version, reserved (2), LSN (8), checksum of all else.
const HEADER: usize = 24;

/// A key with the commit that it came with.
pub(crate) type DatedKey = (Lsn, i64, KeyedReply);

/// The bytes of a file: header, length of the positions (u32), positions, then for each commit that has keys
/// `{lsn u64, wall_ns i64, length u32, keys}`.
pub(crate) fn encode(lsn: Lsn, positions: &[Advance], keys: &[DatedKey]) -> Vec<u8> {
    let mut body = vec![0; 4];
    encode_positions(positions, &mut body);
    let len = (body.len() - 4) as u32;
    body[..4].copy_from_slice(&len.to_le_bytes());
    for commit in keys.chunk_by(|a, b| a.0 == b.0) {
        body.extend_from_slice(&commit[0].0.0.to_le_bytes());
        body.extend_from_slice(&commit[0].1.to_le_bytes());
        let at = body.len();
        body.extend_from_slice(&[0; 4]);
        encode_keys(commit.iter().map(|k| &k.2), &mut body);
        let len = (body.len() - at - 4) as u32;
        body[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }
    let mut out = Vec::with_capacity(HEADER + body.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&lsn.0.to_le_bytes());
    let crc = checksum(&out, &body);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&body);
    out
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize()
}

/// Reads the file `name` of the flush at `lsn`.
///
/// # Errors
/// [`Error::Corrupt`] for bytes that are not what was written.
pub(crate) fn decode(
    name: &str,
    lsn: Lsn,
    bytes: &[u8],
) -> Result<(Vec<Advance>, Vec<DatedKey>), Error> {
    let damaged = |what, offset: usize| Error::Corrupt {
        file: name.into(),
        what,
        offset: offset as u64,
    };
    let (header, body) = bytes
        .split_at_checked(HEADER)
        .ok_or_else(|| damaged("length", 0))?;
    let (fields, crc) = header.split_at(HEADER - 4);
    if crc != checksum(fields, body).to_le_bytes() {
        return Err(damaged("ledger", 0));
    }
    let known = fields[..8] == MAGIC && fields[8..12] == [VERSION as u8, 0, 0, 0];
    if !known || fields[12..20] != lsn.0.to_le_bytes() {
        return Err(damaged("ledger header", 0));
    }
    let mut reader = Reader(body);
    let mut part = || {
        let at = HEADER + body.len() - reader.0.len();
        let len = reader.array().map(u32::from_le_bytes);
        let bytes = len.and_then(|len| reader.take(len as usize));
        bytes.ok_or_else(|| damaged("ledger entry", at))
    };
    let positions = decode_positions(part()?).map_err(|at| damaged("position", HEADER + 4 + at))?;
    let mut keys = Vec::new();
    while !reader.0.is_empty() {
        let at = HEADER + body.len() - reader.0.len();
        let one = |reader: &mut Reader<'_>| {
            let (lsn, wall_ns) = (reader.u64()?, reader.u64()?.cast_signed());
            let len = u32::from_le_bytes(reader.array()?);
            let keys = decode_keys(reader.take(len as usize)?).ok()?;
            Some((Lsn(lsn), wall_ns, keys))
        };
        let (lsn, wall_ns, found) = one(&mut reader).ok_or_else(|| damaged("key", at))?;
        keys.extend(found.into_iter().map(|k| (lsn, wall_ns, k)));
    }
    Ok((positions, keys))
}

/// What the manifest keeps of a file: how many keys it holds, and the wall time of the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileMeta {
    pub(crate) keys: u64,
    pub(crate) newest_ns: i64,
}

impl FileMeta {
    pub(crate) fn of(keys: &[DatedKey]) -> FileMeta {
        FileMeta {
            keys: keys.len() as u64,
            newest_ns: keys.iter().map(|k| k.1).max().unwrap_or(i64::MIN),
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        [self.keys.to_le_bytes(), self.newest_ns.to_le_bytes()].concat()
    }

    /// What can't be read holds as much as can be: such a file is kept.
    pub(crate) fn decode(bytes: &[u8]) -> FileMeta {
        let mut reader = Reader(bytes);
        let read = |reader: &mut Reader<'_>| Some((reader.u64()?, reader.u64()?.cast_signed()));
        read(&mut reader).map_or(
            FileMeta {
                keys: 1,
                newest_ns: i64::MAX,
            },
            |(keys, newest_ns)| FileMeta { keys, newest_ns },
        )
    }
}

/// Which of the older files, given newest first, are needed no more: their positions are in the newest file, and their
/// keys are too old, or too many have come since.
pub(crate) fn outlived<'a>(
    newest: FileMeta,
    older: impl Iterator<Item = (&'a str, FileMeta)>,
    now_ns: i64,
) -> Vec<String> {
    let mut keys = newest.keys;
    let mut gone = Vec::new();
    for (name, meta) in older {
        let alive = meta.keys > 0
            && now_ns.saturating_sub(meta.newest_ns) <= KEY_LIFE_NS
            && keys < MAX_KEYS as u64;
        keys = keys.saturating_add(meta.keys);
        if !alive {
            gone.push(name.to_owned());
        }
    }
    gone
}
