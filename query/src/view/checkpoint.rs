//! Files of saved state: `checkpoints/<view>-<lsn>.ck`.
//!
//! `magic "TMCK", version u32, tenant u32, definition hash u64, lsn u64, watermark 4 x i64`, then slices, each `length u64,
//! bytes`, then `0 u64, CRC-32 u32` of all before. Little-endian. The LSN and the watermark are those of the first slice;
//! the others may be of later commits. A file is complete before it has its name, and the older ones of the view are
//! removed only then.

use crate::stream::watermark::Watermark;
use std::io;
use std::sync::Arc;
use tsdb::io::{Disk, File};
use tsdb::types::Lsn;

const DIR: &str = "checkpoints";
const MAGIC: &[u8; 4] = b"TMCK";
const VERSION: u32 = 2;
const HEAD: usize = 4 + 4 + 4 + 8 + 8 + 32;

/// What a checkpoint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The definition.
    pub hash: u64,
    /// The log is replayed from here on.
    pub lsn: Lsn,
    pub watermark: Watermark,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.lsn.0.to_le_bytes());
        for v in self.watermark.parts() {
            out.extend_from_slice(&v.to_le_bytes());
        }
        out
    }

    /// `None` when the bytes are of another version.
    fn decode(bytes: &[u8; HEAD]) -> Option<Head> {
        let u64_at = |i: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[i..i + 8]);
            u64::from_le_bytes(number)
        };
        if &bytes[..4] != MAGIC || bytes[4..8] != VERSION.to_le_bytes() || bytes[8..12] != [0; 4] {
            return None;
        }
        let parts = [28, 36, 44, 52].map(|i| u64_at(i) as i64);
        Some(Head {
            hash: u64_at(12),
            lsn: Lsn(u64_at(20)),
            watermark: Watermark::from_parts(parts),
        })
    }
}

/// A saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub head: Head,
    /// Slices, each behind its length as u64.
    pub slices: Vec<u8>,
}

/// A checkpoint that is being written.
pub(super) struct Draft {
    file: Arc<dyn File>,
    part: String,
    name: String,
    len: u64,
    crc: crc32fast::Hasher,
    head: Head,
    view: u64,
}

impl Draft {
    pub fn begin(disk: &Arc<dyn Disk>, view: u64, head: Head) -> io::Result<Draft> {
        disk.create_dir(DIR)?;
        let part = format!("{DIR}/{view:016x}.part");
        // Left behind by a crash, if it is there at all.
        let _ = disk.remove(&part);
        let mut draft = Draft {
            file: disk.create(&part)?,
            part,
            name: format!("{DIR}/{view:016x}-{:016x}.ck", head.lsn.0),
            len: 0,
            crc: crc32fast::Hasher::new(),
            head,
            view,
        };
        draft.append(&head.encode())?;
        Ok(draft)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.len, bytes)?;
        self.crc.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Adds a slice, which is not empty.
    pub fn slice(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(&(bytes.len() as u64).to_le_bytes())?;
        self.append(bytes)
    }

    /// Makes the checkpoint durable, and removes the older ones of the view.
    pub fn finish(mut self, disk: &Arc<dyn Disk>) -> io::Result<()> {
        self.append(&0u64.to_le_bytes())?;
        let crc = self.crc.clone().finalize();
        self.append(&crc.to_le_bytes())?;
        self.file.sync_data()?;
        disk.rename(&self.part, &self.name)?;
        disk.sync_dir(DIR)?;
        for (lsn, old) in list(disk, self.view)? {
            if lsn < self.head.lsn.0 {
                disk.remove(&old)?;
            }
        }
        Ok(())
    }

    /// Gives it up.
    pub fn abandon(self, disk: &Arc<dyn Disk>) -> io::Result<()> {
        disk.remove(&self.part)
    }
}

impl Checkpoint {
    /// `None` when the bytes are damaged or of another version.
    pub fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc32fast::hash(body).to_le_bytes() != crc {
            return None;
        }
        let (head, slices) = body.split_first_chunk::<HEAD>()?;
        Some(Checkpoint {
            head: Head::decode(head)?,
            slices: slices.strip_suffix(&[0; 8])?.to_vec(),
        })
    }

    /// The newest valid checkpoint of a view.
    pub fn newest(disk: &Arc<dyn Disk>, view: u64, hash: u64) -> Option<Checkpoint> {
        let files = list(disk, view).ok()?;
        files.iter().rev().find_map(|(lsn, name)| {
            let found = read(disk, name);
            if found.is_none() {
                tracing::warn!(file = %name, "a checkpoint is damaged and left aside");
            }
            found.filter(|c| c.head.lsn.0 == *lsn && c.head.hash == hash)
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
    use tsdb::io::StdDisk;

    #[test]
    fn any_changed_byte_and_any_cut_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(StdDisk::new(dir.path()).unwrap());
        let head = Head {
            hash: 7,
            lsn: Lsn(9),
            watermark: Watermark::new(5),
        };
        let mut draft = Draft::begin(&disk, 3, head).unwrap();
        draft.slice(&[1; 40]).unwrap();
        draft.slice(&[2; 40]).unwrap();
        draft.finish(&disk).unwrap();
        let found = Checkpoint::newest(&disk, 3, 7).unwrap();
        assert_eq!(found.head, head);
        assert_eq!(found.slices.len(), 2 * (8 + 40));
        assert!(Checkpoint::newest(&disk, 3, 8).is_none());
        let bytes = std::fs::read(dir.path().join(&list(&disk, 3).unwrap()[0].1)).unwrap();
        assert_eq!(Checkpoint::decode(&bytes), Some(found));
        for i in 0..bytes.len() {
            assert_eq!(Checkpoint::decode(&bytes[..i]), None);
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            assert_eq!(Checkpoint::decode(&bad), None);
        }
    }
}
