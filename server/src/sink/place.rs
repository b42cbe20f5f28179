//! A copy of how far a sink of single rows is, by which the log is held before the brokers have been asked.
//!
//! `sinks/<epoch>.at`: `magic "TMSP", version u8, busy u8, reserved 2, lsn u64, CRC-32 u32` of all before. Little-endian.
//! `busy` says that transactions may have been committed since; else the copy is as good as the original.

use std::io;
use std::sync::Arc;
use tsdb::io::Disk;

const DIR: &str = "sinks";
const LEN: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub lsn: u64,
    pub busy: bool,
}

impl Place {
    fn encode(self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..4].copy_from_slice(b"TMSP");
        (out[4], out[5]) = (1, u8::from(self.busy));
        out[8..16].copy_from_slice(&self.lsn.to_le_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&out[..16]);
        out[16..].copy_from_slice(&crc.sum().to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; LEN]) -> Option<Place> {
        let mut lsn = [0; 8];
        lsn.copy_from_slice(&bytes[8..16]);
        let place = Place {
            lsn: u64::from_le_bytes(lsn),
            busy: bytes[5] != 0,
        };
        (place.encode() == *bytes).then_some(place)
    }

    /// The copy of a sink; `None` when there is none, or none that can be read.
    pub fn read(disk: &Arc<dyn Disk>, epoch: u64) -> Option<Place> {
        let file = disk.open(&format!("{DIR}/{epoch:016x}.at")).ok()?;
        let mut bytes = [0; LEN];
        file.read_at(0, &mut bytes).ok()?;
        Place::decode(&bytes)
    }

    /// Makes the copy durable.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(self, disk: &Arc<dyn Disk>, epoch: u64) -> io::Result<()> {
        disk.create_dir(DIR)?;
        let part = format!("{DIR}/{epoch:016x}.new");
        // Left behind by a crash, if it is there at all.
        let _ = disk.remove(&part);
        let file = disk.create(&part)?;
        file.write_at(0, &self.encode())?;
        file.sync_data()?;
        disk.rename(&part, &format!("{DIR}/{epoch:016x}.at"))?;
        disk.sync_dir(DIR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_comes_back_and_damage_is_seen() {
        for place in [(0, false), (7, true), (u64::MAX, false)] {
            let (lsn, busy) = place;
            let place = Place { lsn, busy };
            let bytes = place.encode();
            assert_eq!(Place::decode(&bytes), Some(place));
            for i in 0..LEN {
                let mut bad = bytes;
                bad[i] ^= 0x20;
                assert_eq!(Place::decode(&bad), None);
            }
        }
    }
}
