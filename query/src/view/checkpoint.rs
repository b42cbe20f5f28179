//! Files of saved state: `checkpoints/<view>-<lsn>.ck`.
//!
//! `magic "TMCK", version u32, tenant u32, definition hash u64, lsn u64, watermark 4 x i64, state length u64, state,
//! CRC-32 u32` of all before. Little-endian. A file is complete before it has its name, and the older ones of the view
//! are removed only then.

use crate::stream::watermark::Watermark;
use std::io;
use std::sync::Arc;
use tsdb::io::Disk;
use tsdb::types::Lsn;

const DIR: &str = "checkpoints";
const MAGIC: &[u8; 4] = b"TMCK";
const VERSION: u32 = 1;
const HEAD: usize = 4 + 4 + 4 + 8 + 8 + 32 + 8;

/// A view's state at an LSN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub hash: u64,
    pub lsn: Lsn,
    pub watermark: Watermark,
    pub state: Vec<u8>,
}

impl Checkpoint {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.state.len() + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.lsn.0.to_le_bytes());
        for v in self.watermark.parts() {
            out.extend_from_slice(&v.to_le_bytes());
        }
        out.extend_from_slice(&(self.state.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.state);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` when the bytes are damaged or of another version.
    fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc32fast::hash(body).to_le_bytes() != crc || body.len() < HEAD {
            return None;
        }
        let u64_at = |i: usize| -> Option<u64> {
            Some(u64::from_le_bytes(body.get(i..i + 8)?.try_into().ok()?))
        };
        if &body[..4] != MAGIC || body[4..8] != VERSION.to_le_bytes() || body[8..12] != [0; 4] {
            return None;
        }
        let mut parts = [0; 4];
        for (i, part) in parts.iter_mut().enumerate() {
            *part = u64_at(28 + i * 8)? as i64;
        }
        let state = &body[HEAD..];
        if u64_at(60)? != state.len() as u64 {
            return None;
        }
        Some(Checkpoint {
            hash: u64_at(12)?,
            lsn: Lsn(u64_at(20)?),
            watermark: Watermark::from_parts(parts),
            state: state.to_vec(),
        })
    }

    /// Makes the checkpoint durable, and removes the older ones of the view.
    pub fn write(&self, disk: &Arc<dyn Disk>, view: u64) -> io::Result<()> {
        disk.create_dir(DIR)?;
        let name = format!("{DIR}/{view:016x}-{:016x}.ck", self.lsn.0);
        let part = format!("{DIR}/{view:016x}.part");
        // Left behind by a crash, if it is there at all.
        let _ = disk.remove(&part);
        let file = disk.create(&part)?;
        file.write_at(0, &self.encode())?;
        file.sync_data()?;
        disk.rename(&part, &name)?;
        disk.sync_dir(DIR)?;
        for (lsn, old) in list(disk, view)? {
            if lsn < self.lsn.0 {
                disk.remove(&old)?;
            }
        }
        Ok(())
    }

    /// The newest valid checkpoint of a view.
    pub fn newest(disk: &Arc<dyn Disk>, view: u64, hash: u64) -> Option<Checkpoint> {
        let files = list(disk, view).ok()?;
        files.iter().rev().find_map(|(lsn, name)| {
            let found = read(disk, name);
            if found.is_none() {
                tracing::warn!(file = %name, "a checkpoint is damaged and left aside");
            }
            found.filter(|c| c.lsn.0 == *lsn && c.hash == hash)
        })
    }

    /// Removes the files of views that are not among these: a crash left them behind.
    pub fn sweep(disk: &Arc<dyn Disk>, views: &[u64]) -> io::Result<()> {
        disk.create_dir(DIR)?;
        for entry in disk.list(DIR)? {
            let id = entry.name.get(..16);
            let id = id.and_then(|id| u64::from_str_radix(id, 16).ok());
            if id.is_some_and(|id| !views.contains(&id)) {
                disk.remove(&format!("{DIR}/{}", entry.name))?;
            }
        }
        Ok(())
    }

    /// Removes all checkpoints of a view.
    pub fn remove_all(disk: &Arc<dyn Disk>, view: u64) -> io::Result<()> {
        for (_, name) in list(disk, view)? {
            disk.remove(&name)?;
        }
        Ok(())
    }
}

fn read(disk: &Arc<dyn Disk>, name: &str) -> Option<Checkpoint> {
    let file = disk.open(name).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
    file.read_at(0, &mut bytes).ok()?;
    Checkpoint::decode(&bytes)
}

/// The checkpoints of a view: LSN and path, oldest first.
fn list(disk: &Arc<dyn Disk>, view: u64) -> io::Result<Vec<(u64, String)>> {
    let prefix = format!("{view:016x}-");
    let mut out: Vec<(u64, String)> = disk
        .list(DIR)?
        .into_iter()
        .filter_map(|e| {
            let lsn = e.name.strip_prefix(&prefix)?.strip_suffix(".ck")?;
            let lsn = u64::from_str_radix(lsn, 16).ok()?;
            Some((lsn, format!("{DIR}/{}", e.name)))
        })
        .collect();
    out.sort_unstable();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_and_any_cut_is_found() {
        let checkpoint = Checkpoint {
            hash: 7,
            lsn: Lsn(9),
            watermark: Watermark::new(5),
            state: (0..100).collect(),
        };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        for i in 0..bytes.len() {
            assert_eq!(Checkpoint::decode(&bytes[..i]), None);
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            assert_eq!(Checkpoint::decode(&bad), None);
        }
    }
}
