//! What a sink has sent of a view: which keys the topic has, and with what value, as of each transaction.
//!
//! `sinks/<epoch>.sent`: `magic "TMSK", version u32, epoch u64`, then frames: `length u32, CRC-32 u32` of the payload, and the
//! payload: `serial u64`, then entries: `present u8, hash u64` (FNV-1a of the value), `length u32, key`. Little-endian.
//!
//! A transaction's frames are durable before it is committed, so the brokers' word for the last serial that was committed
//! makes of the file exactly what readers see. Frames behind it are of a transaction that came to nothing.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tsdb::io::{Disk, File};
use tsdb::types::Fnv;

const DIR: &str = "sinks";
const MAGIC: &[u8; 4] = b"TMSK";
const VERSION: u32 = 1;
/// A frame is written when it has come to so many bytes.
const FRAME: usize = 256 << 10;
/// A file is written anew when it is longer than this and than twice what it was.
const LONG: u64 = 16 << 20;

/// Keys that the topic has, with the hash of the value; without one where that is not known.
pub(super) type Sent = HashMap<Box<[u8]>, Option<u64>, ahash::RandomState>;

/// Tells a record's value from others.
pub(super) fn hash(value: &[u8]) -> u64 {
    Fnv::of(value)
}

/// The journal of one sink, open for writing.
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    epoch: u64,
    file: Arc<dyn File>,
    len: u64,
    /// How long it was when it was last written anew.
    least: u64,
    frame: Vec<u8>,
    serial: u64,
}

fn name(epoch: u64) -> String {
    format!("{DIR}/{epoch:016x}.sent")
}

fn head(epoch: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out
}

impl Journal {
    /// Reads what was sent up to transaction `committed`, and goes on behind it. With `unsure` the keys of a transaction
    /// that was not committed count as sent with an unknown value; without, nobody has seen them. When journal and brokers
    /// differ by more than one transaction, one of both has lost something: then no value is known, or, with `strict`,
    /// nothing is done and `None` comes back.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(
        disk: &Arc<dyn Disk>,
        epoch: u64,
        committed: u64,
        unsure: bool,
        strict: bool,
    ) -> io::Result<Option<(Journal, Sent)>> {
        disk.create_dir(DIR)?;
        let (mut sent, mut last, mut whole) = (Sent::default(), 0, true);
        let mut open: Vec<Box<[u8]>> = Vec::new();
        let bytes = read(disk, epoch)?;
        if let Some(bytes) = &bytes {
            let body = bytes.strip_prefix(&head(epoch)[..]);
            let mut rest = body.unwrap_or_default();
            while let Some((serial, entries)) = next_frame(&mut rest) {
                last = serial.max(last);
                for (key, value) in entries {
                    match value {
                        _ if serial > committed => open.push(key),
                        Some(_) => drop(sent.insert(key, value)),
                        None => drop(sent.remove(&key)),
                    }
                }
            }
            whole = body.is_some() && rest.is_empty() && last == committed;
        }
        let lost = !(last == committed || last == committed + 1);
        if lost && strict {
            return Ok(None);
        }
        if lost {
            sent.values_mut().for_each(|v| *v = None);
        }
        if lost || unsure {
            sent.extend(open.into_iter().map(|key| (key, None)));
        }
        let journal = match bytes {
            Some(bytes) if whole => {
                let len = bytes.len() as u64;
                Journal {
                    file: disk.open(&name(epoch))?,
                    disk: disk.clone(),
                    epoch,
                    len,
                    least: len,
                    frame: Vec::new(),
                    serial: committed,
                }
            }
            _ => Journal::anew(disk, epoch, committed, &sent)?,
        };
        Ok(Some((journal, sent)))
    }

    /// A file that holds what was sent up to a transaction, in place of the one there was.
    fn anew(disk: &Arc<dyn Disk>, epoch: u64, serial: u64, sent: &Sent) -> io::Result<Journal> {
        let part = format!("{DIR}/{epoch:016x}.part");
        // Left behind by a crash, if it is there at all.
        let _ = disk.remove(&part);
        let file = disk.create(&part)?;
        let head = head(epoch);
        file.write_at(0, &head)?;
        let mut journal = Journal {
            disk: disk.clone(),
            epoch,
            file,
            len: head.len() as u64,
            least: 0,
            frame: Vec::new(),
            serial,
        };
        journal.begin(serial);
        for (key, value) in sent {
            // A value that is not known differs from all others, but for one in 2^64.
            journal.note(key, Some(value.unwrap_or(0)))?;
        }
        journal.sync()?;
        disk.rename(&part, &name(epoch))?;
        disk.sync_dir(DIR)?;
        journal.least = journal.len;
        Ok(journal)
    }

    /// Begins a transaction's entries.
    pub fn begin(&mut self, serial: u64) {
        self.serial = serial;
        self.frame.clear();
        self.frame.extend_from_slice(&[0; 8]);
        self.frame.extend_from_slice(&serial.to_le_bytes());
    }

    /// Notes a key that the transaction gives a value of that hash, or takes away.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&mut self, key: &[u8], value: Option<u64>) -> io::Result<()> {
        self.frame.push(u8::from(value.is_some()));
        self.frame
            .extend_from_slice(&value.unwrap_or(0).to_le_bytes());
        self.frame
            .extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.frame.extend_from_slice(key);
        if self.frame.len() >= FRAME {
            self.write()?;
            self.begin(self.serial);
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let payload = &self.frame[8..];
        let (len, crc) = (payload.len() as u32, crc(payload));
        self.frame[..4].copy_from_slice(&len.to_le_bytes());
        self.frame[4..8].copy_from_slice(&crc.to_le_bytes());
        self.file.write_at(self.len, &self.frame)?;
        self.len += self.frame.len() as u64;
        Ok(())
    }

    /// Makes the transaction's entries durable: it may be committed now.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        self.frame.clear();
        self.file.sync_data()
    }

    /// What was sent, all transactions so far being committed.
    ///
    /// # Errors
    /// When the disk refuses, or no longer has it.
    pub fn sent(&mut self) -> io::Result<Sent> {
        let found = Journal::open(&self.disk, self.epoch, self.serial, false, true)?;
        let (journal, sent) =
            found.ok_or_else(|| io::Error::other("the journal of a sink is damaged"))?;
        *self = journal;
        Ok(sent)
    }

    /// Writes the file anew when most of it is old; all transactions so far must be committed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn tidy(&mut self) -> io::Result<()> {
        if self.len > LONG && self.len > 2 * self.least {
            let sent = self.sent()?;
            *self = Journal::anew(&self.disk, self.epoch, self.serial, &sent)?;
        }
        Ok(())
    }
}

/// Whether there is a journal, and what it says.
fn read(disk: &Arc<dyn Disk>, epoch: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(&name(epoch)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

type Entry = (Box<[u8]>, Option<u64>);

/// The next frame: serial and entries; `None` at the end, or where it is torn.
fn next_frame(rest: &mut &[u8]) -> Option<(u64, Vec<Entry>)> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let (sum, after) = after.split_first_chunk::<4>()?;
    let (payload, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    if crc(payload) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (serial, mut body) = payload.split_first_chunk::<8>()?;
    let mut entries = Vec::new();
    while let Some((present, more)) = body.split_first() {
        let (value, more) = more.split_first_chunk::<8>()?;
        let (len, more) = more.split_first_chunk::<4>()?;
        let (key, more) = more.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let value = (*present != 0).then_some(u64::from_le_bytes(*value));
        entries.push((key.into(), value));
        body = more;
    }
    *rest = after;
    Some((u64::from_le_bytes(*serial), entries))
}

/// CRC-32 as in zlib.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Removes what is kept of sinks other than these.
pub(super) fn sweep(disk: &Arc<dyn Disk>, epochs: &[u64]) -> io::Result<()> {
    for entry in disk.list(DIR)? {
        let id = entry.name.get(..16);
        let id = id.and_then(|id| u64::from_str_radix(id, 16).ok());
        if id.is_some_and(|id| !epochs.contains(&id)) {
            disk.remove(&format!("{DIR}/{}", entry.name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb::io::StdDisk;

    fn write(journal: &mut Journal, entries: &[(&str, Option<u64>)]) {
        journal.begin(journal.serial + 1);
        for (key, value) in entries {
            journal.note(key.as_bytes(), *value).unwrap();
        }
        journal.sync().unwrap();
    }

    fn shown(sent: &Sent) -> Vec<(String, Option<u64>)> {
        let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
        let mut all: Vec<_> = sent.iter().map(|(k, v)| (text(k), *v)).collect();
        all.sort();
        all
    }

    fn pairs(all: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
        all.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()
    }

    #[test]
    fn what_was_committed_is_what_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(StdDisk::new(dir.path()).unwrap());
        let open =
            |committed, unsure, strict| Journal::open(&disk, 5, committed, unsure, strict).unwrap();
        let (mut journal, sent) = open(0, false, true).unwrap();
        assert!(sent.is_empty());
        write(&mut journal, &[("a", Some(1)), ("b", Some(2))]);
        write(&mut journal, &[("a", None), ("c", Some(3))]);
        assert_eq!(
            shown(&journal.sent().unwrap()),
            pairs(&[("b", Some(2)), ("c", Some(3))])
        );
        let (mut journal, sent) = open(2, false, true).unwrap();
        assert_eq!(shown(&sent), pairs(&[("b", Some(2)), ("c", Some(3))]));
        // A transaction that was not committed has not been, and its number is free again.
        write(&mut journal, &[("b", None), ("d", Some(4))]);
        let file = dir.path().join(name(5));
        let before = std::fs::read(&file).unwrap();
        let (mut journal, sent) = open(2, false, true).unwrap();
        assert_eq!(shown(&sent), pairs(&[("b", Some(2)), ("c", Some(3))]));
        write(&mut journal, &[("e", Some(5))]);
        let (_, sent) = open(3, false, true).unwrap();
        assert_eq!(
            shown(&sent),
            pairs(&[("b", Some(2)), ("c", Some(3)), ("e", Some(5))])
        );
        // Or it may have been.
        std::fs::write(&file, &before).unwrap();
        let (_, sent) = open(2, true, false).unwrap();
        assert_eq!(
            shown(&sent),
            pairs(&[("b", None), ("c", Some(3)), ("d", None)])
        );
        // The brokers have forgotten, or the file has.
        for committed in [0, 1, 7] {
            std::fs::write(&file, &before).unwrap();
            if committed < 2 {
                let lost = open(committed, false, true);
                assert_eq!(lost.is_none(), committed < 2);
            }
            let (_, sent) = open(committed, false, false).unwrap();
            assert!(sent.values().all(Option::is_none) && sent.contains_key(&b"c"[..]));
            // Once told, journal and brokers agree again, and no value is that of a row.
            let (_, sent) = open(committed, false, true).unwrap();
            assert!(sent.values().all(|v| *v == Some(0)) && sent.contains_key(&b"c"[..]));
        }
    }

    #[test]
    fn a_torn_end_is_of_a_transaction_that_was_not_committed() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(StdDisk::new(dir.path()).unwrap());
        let (mut journal, _) = Journal::open(&disk, 5, 0, false, true).unwrap().unwrap();
        write(&mut journal, &[("a", Some(1))]);
        let file = dir.path().join(name(5));
        let whole = std::fs::read(&file).unwrap().len();
        write(&mut journal, &[("b", Some(2))]);
        let bytes = std::fs::read(&file).unwrap();
        for cut in whole..=bytes.len() {
            std::fs::write(&file, &bytes[..cut]).unwrap();
            let (mut journal, sent) = Journal::open(&disk, 5, 1, false, true).unwrap().unwrap();
            assert_eq!(shown(&sent), pairs(&[("a", Some(1))]), "{cut}");
            write(&mut journal, &[("c", Some(3))]);
            let (_, sent) = Journal::open(&disk, 5, 2, false, true).unwrap().unwrap();
            assert_eq!(
                shown(&sent),
                pairs(&[("a", Some(1)), ("c", Some(3))]),
                "{cut}"
            );
        }
        // Of what was committed nothing may be missing.
        std::fs::write(&file, &bytes[..whole - 1]).unwrap();
        assert!(Journal::open(&disk, 5, 2, false, true).unwrap().is_none());
        sweep(&disk, &[5]).unwrap();
        assert!(file.exists());
        sweep(&disk, &[6]).unwrap();
        assert!(!file.exists());
    }
}
