//! Opens the log: finds what counts, cuts the torn end, and makes a [`Log`] that goes on behind it.
//!
//! The intact records are put in order; LSNs are dense, so damage shows as missing ones. Every record says what was
//! durable when it was written, and the highest such claim, D, decides: a commit at or below D was synced, so it is
//! missing because of damage, and the readable rest stays; one above D was never acknowledged, so it and all behind it
//! are the torn end, which is cut.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tsdb_types::Lsn;

use super::files::{Files, Live};
use super::format::{BLOCK, file_name, parse_file_name};
use super::scan::{Found, Scanned, scan_file};
use super::{Log, LogConfig, Record, WalError};
use crate::clock::Clock;
use crate::io::Disk;

/// Something that the log once held and can't give back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// Commits that were durable and can't be read. The files they lay in are kept.
    Lost {
        /// The missing commits.
        lsns: RangeInclusive<u64>,
    },
    /// A commit's LSN turned up twice, as it can when a disk lies about a sync; the later one was kept.
    Conflict {
        /// The LSN.
        lsn: Lsn,
    },
    /// A file that the disk won't read.
    Unreadable {
        /// The file.
        name: String,
        /// What the disk said.
        reason: String,
    },
}

/// The commits that recovery has found, mapped and not copied.
pub struct RecoveredLog {
    maps: Vec<Bytes>,
    /// Index of the map, and the commit.
    commits: Vec<(usize, Found)>,
    damage: Vec<Damage>,
    cut: u64,
}

impl RecoveredLog {
    /// All retained commits in log order, also those at or below the floor.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.records_from(Lsn(0))
    }

    /// The retained commits at or above `from`, in log order.
    pub fn records_from(&self, from: Lsn) -> impl Iterator<Item = Record> + '_ {
        let start = self.commits.partition_point(|(_, found)| found.lsn < from);
        self.commits[start..]
            .iter()
            .map(|(map, found)| found.record(&self.maps[*map]))
    }

    /// First and last retained commit.
    #[must_use]
    pub fn retained(&self) -> Option<(Lsn, Lsn)> {
        let (first, last) = (self.commits.first()?, self.commits.last()?);
        Some((first.1.lsn, last.1.lsn))
    }

    /// What is missing above the floor.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Commits that were intact, but behind a torn one, and have been cut with it.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }
}

/// Opens the log in the directory `wal` of `disk`. Commits at or below `floor` may be missing: what they did is durable
/// elsewhere.
///
/// # Errors
/// When the disk fails at listing, cutting or syncing, or holds files of a newer version. Damage is no error: it is
/// reported in [`RecoveredLog::damage`].
pub fn recover(
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    config: LogConfig,
    floor: Lsn,
) -> Result<(RecoveredLog, Log), WalError> {
    disk.create_dir("wal")
        .map_err(|e| WalError::io("make the directory of", "wal", e))?;
    let (ids, next_id) = list(disk.as_ref())?;
    let mut files = Vec::new();
    for id in &ids {
        files.push(scan_file(disk.as_ref(), *id)?);
    }
    let unsettled = first_unsettled(&files, durable_of(&files, floor));
    files.truncate(unsettled);
    for id in &ids[unsettled..] {
        settle(disk.as_ref(), *id)?;
        files.push(scan_file(disk.as_ref(), *id)?);
    }
    let durable = durable_of(&files, floor);
    let order = put_in_order(&files, durable, floor);
    cut(disk.as_ref(), &files, &order.cut)?;

    let epoch = next_epoch(&files, clock.wall_ns());
    let file_bytes = config.file_bytes.max(2 * BLOCK as u64);
    let file_bytes = file_bytes.next_multiple_of(BLOCK as u64);
    let manager = Arc::new(Files::new(disk.clone(), file_bytes, next_id));
    let (live, spares) = sort_files(disk.as_ref(), &files, &order, file_bytes);
    manager.adopt(live, spares);
    let log = Log::new(manager, epoch, order.last, clock.clone())?;
    let recovered = RecoveredLog {
        maps: files.into_iter().map(|file| file.map).collect(),
        commits: order.kept,
        damage: order.damage,
        cut: order.cut.len() as u64,
    };
    Ok((recovered, log))
}

/// The ids of the log's files in order, and the first that no file has ever had in its name here.
fn list(disk: &dyn Disk) -> Result<(Vec<u64>, u64), WalError> {
    let entries = disk
        .list("wal")
        .map_err(|e| WalError::io("list", "wal", e))?;
    let mut ids = Vec::new();
    let mut next = 1;
    for entry in entries {
        let id = parse_file_name(&entry.name);
        let aside = entry
            .name
            .strip_suffix(".damaged")
            .and_then(parse_file_name);
        if let Some(taken) = id.or(aside) {
            next = next.max(taken.saturating_add(1));
        }
        ids.extend(id);
    }
    ids.sort_unstable();
    Ok((ids, next))
}

fn durable_of(files: &[Scanned], floor: Lsn) -> Lsn {
    files.iter().map(|file| file.durable).fold(floor, Lsn::max)
}

/// The first file that might hold something else than what is read of it: the last run may have been killed before a
/// sync, or stopped because one failed. Commits up to `durable` are vouched for. From the file of the last of these on,
/// neither a commit nor the absence of one (an earlier recovery may have been about to cut it) can be trusted.
fn first_unsettled(files: &[Scanned], durable: Lsn) -> usize {
    files
        .iter()
        .rposition(|file| {
            file.commits
                .first()
                .is_some_and(|found| found.lsn <= durable)
        })
        .unwrap_or(0)
}

/// Makes sure that what will be read of a file is what the device holds. Nothing of it may be mapped.
fn settle(disk: &dyn Disk, id: u64) -> Result<(), WalError> {
    let name = file_name(id);
    disk.open(&name)
        .and_then(|file| {
            file.sync_data()?;
            file.drop_cache()
        })
        .map_err(|e| WalError::io("sync", &name, e))
}

/// The judgement over all commits found.
#[derive(Default)]
struct Order {
    kept: Vec<(usize, Found)>,
    cut: Vec<(usize, Found)>,
    damage: Vec<Damage>,
    /// Indexes of the files that damage lies in.
    damaged: Vec<usize>,
    /// The last commit that exists or once did.
    last: Lsn,
}

impl Order {
    fn last_kept(&self) -> Option<(usize, Lsn)> {
        self.kept.last().map(|(file, found)| (*file, found.lsn))
    }

    /// Notes that `first ..= last` are missing though they were durable, somewhere in `files`.
    fn lose(&mut self, first: Lsn, last: Lsn, files: RangeInclusive<usize>) {
        self.damage.push(Damage::Lost {
            lsns: first.0..=last.0,
        });
        self.damaged.extend(files);
    }

    /// Takes the next commit in file order; returns false when the log ends before it.
    fn take(&mut self, index: usize, found: Found, durable: Lsn, floor: Lsn) -> bool {
        let (from_file, mut expected) = match self.last_kept() {
            Some((file, lsn)) => (file, lsn.next()),
            None => (0, floor.next().min(found.lsn)),
        };
        if found.lsn < expected {
            self.damage.push(Damage::Conflict { lsn: found.lsn });
            self.damaged.extend([from_file, index]);
            while self.last_kept().is_some_and(|(_, lsn)| lsn >= found.lsn) {
                self.kept.pop();
            }
            expected = found.lsn;
        }
        if expected < found.lsn {
            // What is missing at or below the floor is no loss; nothing before such a hole is of use to anybody.
            if expected <= floor {
                self.kept.clear();
                expected = floor.next();
            }
            let missing_to = Lsn(found.lsn.0 - 1);
            let lost_to = missing_to.min(durable);
            if expected <= lost_to {
                self.lose(expected, lost_to, from_file..=index);
            }
            if missing_to > durable {
                return false;
            }
        }
        self.kept.push((index, found));
        true
    }
}

fn put_in_order(files: &[Scanned], durable: Lsn, floor: Lsn) -> Order {
    let mut order = Order::default();
    let mut ended = false;
    for (index, file) in files.iter().enumerate() {
        if let Some(reason) = &file.unreadable {
            order.damaged.push(index);
            order.damage.push(Damage::Unreadable {
                name: file_name(file.id),
                reason: reason.clone(),
            });
        }
        for found in &file.commits {
            ended = ended || !order.take(index, *found, durable, floor);
            if ended {
                order.cut.push((index, *found));
            }
        }
    }
    let already_lost = order.damage.iter().filter_map(|damage| match damage {
        Damage::Lost { lsns } => Some(Lsn(*lsns.end())),
        _ => None,
    });
    let kept = order.last_kept();
    let seen = kept.map_or(floor, |(_, lsn)| lsn.max(floor));
    let seen = already_lost.fold(seen, Lsn::max);
    if durable > seen && !files.is_empty() {
        let from_file = kept.map_or(0, |(file, _)| file);
        order.lose(seen.next(), durable, from_file..=files.len() - 1);
    }
    order.last = durable.max(seen);
    order
}

/// Overwrites the commits behind the torn one with zeros, durably: their LSNs will be given to others.
fn cut(disk: &dyn Disk, files: &[Scanned], cut: &[(usize, Found)]) -> Result<(), WalError> {
    for of_file in cut.chunk_by(|a, b| a.0 == b.0) {
        let name = file_name(files[of_file[0].0].id);
        disk.open(&name)
            .and_then(|file| {
                for (_, found) in of_file {
                    file.write_at(found.offset as u64, &vec![0; found.len()])?;
                }
                file.sync_data()
            })
            .map_err(|e| WalError::io("cut", &name, e))?;
    }
    Ok(())
}

/// An epoch above all that were found, which nobody who writes rows can guess.
fn next_epoch(files: &[Scanned], wall_ns: i64) -> u64 {
    let newest = files.iter().filter_map(|file| file.epoch).max();
    let run = newest.map_or(1, |epoch| (epoch >> 32) + 1);
    let salt = crc32fast::hash(&wall_ns.to_le_bytes());
    (run << 32) | u64::from(salt)
}

/// Files to keep with their first commit, and those that can be written anew. The rest is removed, unless there is
/// damage: then nothing is.
fn sort_files(
    disk: &dyn Disk,
    files: &[Scanned],
    order: &Order,
    file_bytes: u64,
) -> (Vec<Live>, Vec<u64>) {
    let mut live = Vec::new();
    let mut spares = Vec::new();
    let mut kept = order.kept.iter().peekable();
    let mut next_commit = kept
        .peek()
        .map_or(order.last.next(), |(_, found)| found.lsn);
    for (index, file) in files.iter().enumerate() {
        let first_lsn = next_commit;
        let mut mapped = false;
        while let Some((_, found)) = kept.next_if(|(of_file, _)| *of_file == index) {
            mapped = true;
            next_commit = found.lsn.next();
        }
        let damaged = order.damaged.contains(&index);
        if file.used || damaged || !order.damage.is_empty() {
            live.push(Live {
                id: file.id,
                len: file.map.len() as u64,
                first_lsn,
                mapped,
                damaged,
            });
        } else if file.map.len() as u64 == file_bytes {
            spares.push(file.id);
        } else if let Err(error) = disk.remove(&file_name(file.id)) {
            // It only holds space; the next start tries again.
            tracing::warn!(file = file_name(file.id), %error, "can't remove an unused log file");
        }
    }
    (live, spares)
}
