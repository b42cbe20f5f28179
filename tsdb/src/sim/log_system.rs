//! The log and the manifest together, doing what an engine does with them: commit, flush to segments, merge segments,
//! cut the log. The model knows every commit; each has its own number and bytes that follow from it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use tsdb_types::{Lsn, SegmentId, TenantId};

use super::{Mutant, Rng, SimClock, Stop, SyncEvent, SyncKind, System};
use crate::clock::Clock;
use crate::io::Disk;
use crate::manifest::{Edit, Manifest, Owned, SegmentEntry};
use crate::wal::{Log, LogConfig, Preparer, Record, SectionKind, recover};

const OWNED: [Owned; 1] = [Owned {
    dir: "segments",
    suffix: ".seg",
}];
const FILE_BYTES: u64 = 16 << 10;

fn fails(part: &'static str) -> impl Fn(&SyncEvent<'_>) -> bool {
    move |sync| sync.name.starts_with(part)
}

/// Every sync that the log, the manifest and the segments of this system do, one by one.
pub(super) const MUTANTS: [Mutant; 10] = [
    Mutant {
        name: "a group of commits",
        skips: |sync| sync.kind == SyncKind::Queued,
    },
    Mutant {
        name: "a prepared log file",
        skips: |sync| sync.kind == SyncKind::File && sync.first && fails("wal/")(sync),
    },
    Mutant {
        name: "the cut of a torn end",
        skips: |sync| {
            sync.kind == SyncKind::File && !sync.first && sync.zeros && fails("wal/")(sync)
        },
    },
    Mutant {
        name: "commits that the last run left unsynced",
        skips: |sync| {
            sync.kind == SyncKind::File && !sync.first && !sync.zeros && fails("wal/")(sync)
        },
    },
    Mutant {
        name: "the log's directory",
        skips: |sync| sync.kind == SyncKind::Dir && sync.name == "wal",
    },
    Mutant {
        name: "a new manifest file",
        skips: |sync| sync.kind == SyncKind::File && sync.first && fails("manifest/MANIFEST")(sync),
    },
    Mutant {
        name: "an edit of the manifest",
        skips: |sync| {
            sync.kind == SyncKind::File && !sync.first && fails("manifest/MANIFEST")(sync)
        },
    },
    Mutant {
        name: "CURRENT",
        skips: |sync| sync.kind == SyncKind::File && fails("manifest/CURRENT")(sync),
    },
    Mutant {
        name: "the manifest's directory after a new file",
        skips: |sync| sync.kind == SyncKind::Dir && sync.name == "manifest" && !sync.renames,
    },
    Mutant {
        name: "the manifest's directory after the rename of CURRENT",
        skips: |sync| sync.kind == SyncKind::Dir && sync.name == "manifest" && sync.renames,
    },
];

/// Those of the segments.
pub(super) const SEGMENT_MUTANTS: [Mutant; 2] = [
    Mutant {
        name: "a segment file",
        skips: |sync| sync.kind == SyncKind::File && fails("segments/")(sync),
    },
    Mutant {
        name: "the segments' directory",
        skips: |sync| sync.kind == SyncKind::Dir && sync.name == "segments",
    },
];

#[derive(Default)]
pub(super) struct Model {
    /// Number of each commit that was given to the log and may still turn up.
    commits: BTreeMap<Lsn, u64>,
    /// Everything up to here was acknowledged.
    acked: Lsn,
    next_number: u64,
}

pub(super) struct LogSystem {
    disk: Arc<dyn Disk>,
    clock: Arc<SimClock>,
    log: Log,
    preparer: Preparer,
    manifest: Manifest,
}

fn disk_stop(e: impl Display) -> Stop {
    Stop::Disk(e.to_string())
}

fn bytes_of(number: u64) -> Vec<u8> {
    let mut rng = Rng::new(number);
    let len = match rng.below(10) {
        0 => rng.index(24 << 10),
        1..4 => rng.index(6000),
        _ => rng.index(200),
    };
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|_| rng.bits() as u8));
    bytes
}

fn number_of(record: &Record) -> Result<u64, Stop> {
    let sections: Vec<_> = record.sections().collect();
    let wrong = || Stop::Wrong(format!("commit {} has other contents", record.lsn));
    let [section] = sections.as_slice() else {
        return Err(wrong());
    };
    let number = section.payload.get(..8).ok_or_else(wrong)?;
    let number = u64::from_le_bytes(number.try_into().map_err(|_| wrong())?);
    let right = section.kind == SectionKind::ROWS
        && section.tenant == TenantId(number as u32)
        && section.payload == bytes_of(number);
    if right { Ok(number) } else { Err(wrong()) }
}

impl Model {
    fn check(&self, lsn: Lsn, number: u64) -> Result<(), Stop> {
        if self.commits.get(&lsn) == Some(&number) {
            Ok(())
        } else {
            Err(Stop::Wrong(format!(
                "commit {lsn} has number {number}, expected {:?}",
                self.commits.get(&lsn)
            )))
        }
    }
}

/// A segment here is the commits' numbers, with a sum at its end.
fn segment_bytes(numbers: &[(Lsn, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (lsn, number) in numbers {
        out.extend_from_slice(&lsn.0.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&u64::from(crc).to_le_bytes());
    out
}

fn read_segment(disk: &dyn Disk, name: &str) -> Result<Vec<(Lsn, u64)>, Stop> {
    let bytes = disk
        .open(name)
        .and_then(|file| file.map())
        .map_err(disk_stop)?;
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
        .collect();
    let body = &bytes[..bytes.len().saturating_sub(8)];
    if words.last().copied() != Some(u64::from(crc32fast::hash(body))) {
        return Err(Stop::Wrong(format!("{name} is named and not intact")));
    }
    Ok(words[..words.len() - 1]
        .chunks_exact(2)
        .map(|pair| (Lsn(pair[0]), pair[1]))
        .collect())
}

impl LogSystem {
    fn write_segment(
        &mut self,
        id: SegmentId,
        numbers: &[(Lsn, u64)],
    ) -> Result<SegmentEntry, Stop> {
        let name = format!("segments/{id:08}.seg");
        let file = self.disk.create(&name).map_err(disk_stop)?;
        file.write_at(0, &segment_bytes(numbers))
            .map_err(disk_stop)?;
        file.sync_data().map_err(disk_stop)?;
        self.disk.sync_dir("segments").map_err(disk_stop)?;
        Ok(SegmentEntry {
            id,
            tenant: TenantId(0),
            name,
            meta: Bytes::from(numbers[0].0.0.to_le_bytes().to_vec()),
        })
    }

    fn flush(&mut self, rng: &mut Rng, model: &Model) -> Result<(), Stop> {
        let from = self.manifest.state().flushed.next();
        let durable = self.log.durable_lsn();
        if durable < from {
            return Ok(());
        }
        let to = Lsn(from.0 + rng.below(durable.0 - from.0 + 1));
        let mut numbers = Vec::new();
        let records = self.log.read(from, to).map_err(|e| match e {
            crate::wal::WalError::NotRetained { .. } => Stop::Wrong(e.to_string()),
            e => disk_stop(e),
        })?;
        for record in records {
            let number = number_of(&record)?;
            model.check(record.lsn, number)?;
            numbers.push((record.lsn, number));
        }
        let entry = self.write_segment(self.manifest.state().next_segment, &numbers)?;
        let edits = [Edit::AddSegment(entry), Edit::Flushed(to)];
        self.manifest.apply(&edits).map_err(disk_stop)?;
        let kept = Lsn(to.0.saturating_sub(rng.below(4)));
        self.log.truncate_below(kept).map_err(disk_stop)
    }

    fn merge(&mut self, rng: &mut Rng) -> Result<(), Stop> {
        let mut segments: Vec<SegmentEntry> =
            self.manifest.state().segments.values().cloned().collect();
        segments.sort_by(|a, b| a.meta.cmp(&b.meta));
        if segments.len() < 2 {
            return Ok(());
        }
        let first = rng.index(segments.len() - 1);
        let pair = &segments[first..first + 2];
        let mut numbers = Vec::new();
        for entry in pair {
            numbers.extend(read_segment(self.disk.as_ref(), &entry.name)?);
        }
        let entry = self.write_segment(self.manifest.state().next_segment, &numbers)?;
        let mut edits: Vec<Edit> = pair.iter().map(|old| Edit::RemoveSegment(old.id)).collect();
        edits.push(Edit::AddSegment(entry));
        self.manifest.apply(&edits).map_err(disk_stop)?;
        for old in pair {
            self.disk.remove(&old.name).map_err(disk_stop)?;
        }
        Ok(())
    }

    fn acknowledge(&mut self, durable: Lsn, model: &mut Model) {
        model.acked = model.acked.max(durable);
    }
}

impl System for LogSystem {
    type Model = Model;

    fn open(
        disk: &Arc<dyn Disk>,
        clock: &Arc<SimClock>,
        model: &mut Model,
    ) -> Result<LogSystem, Stop> {
        disk.create_dir("segments").map_err(disk_stop)?;
        let (manifest, report) = Manifest::open(disk, &OWNED).map_err(disk_stop)?;
        if !report.damage.is_empty() || !report.quarantined.is_empty() {
            return Err(Stop::Wrong(format!("the manifest is damaged: {report:?}")));
        }
        let mut seen: Vec<(Lsn, u64)> = Vec::new();
        for entry in manifest.state().segments.values() {
            seen.extend(read_segment(disk.as_ref(), &entry.name)?);
        }
        seen.sort_unstable();
        let flushed = manifest.state().flushed;
        if seen.len() as u64 != flushed.0 {
            return Err(Stop::Wrong(format!(
                "{} commits in segments, {flushed} flushed",
                seen.len()
            )));
        }
        let shared: Arc<dyn Clock> = clock.clone();
        let config = LogConfig {
            file_bytes: FILE_BYTES,
        };
        let (recovered, log) = recover(disk, &shared, config, flushed).map_err(disk_stop)?;
        if !recovered.damage().is_empty() {
            return Err(Stop::Wrong(format!(
                "the log is damaged: {:?}",
                recovered.damage()
            )));
        }
        let mut before: Option<Lsn> = None;
        for record in recovered.records() {
            if before.is_some_and(|before| record.lsn != before.next()) {
                return Err(Stop::Wrong(format!("{} follows {before:?}", record.lsn)));
            }
            before = Some(record.lsn);
            let number = number_of(&record)?;
            if record.lsn > flushed {
                seen.push((record.lsn, number));
            } else {
                model.check(record.lsn, number)?;
            }
        }
        for (index, (lsn, number)) in seen.iter().enumerate() {
            if *lsn != Lsn(index as u64 + 1) {
                return Err(Stop::Wrong(format!("{lsn} is in place {index}")));
            }
            model.check(*lsn, *number)?;
        }
        let last = Lsn(seen.len() as u64);
        if last < model.acked || log.last_lsn() != last {
            return Err(Stop::Wrong(format!(
                "{last} is the last commit (the log says {}), {} was acknowledged",
                log.last_lsn(),
                model.acked
            )));
        }
        // What recovery has shown must stay.
        model.acked = last;
        model.commits.split_off(&last.next());
        Ok(LogSystem {
            disk: disk.clone(),
            clock: clock.clone(),
            preparer: log.preparer(),
            log,
            manifest,
        })
    }

    fn step(&mut self, rng: &mut Rng, model: &mut Model) -> Result<(), Stop> {
        match rng.below(20) {
            0..8 => {
                let number = model.next_number;
                model.next_number += 1;
                let bytes = bytes_of(number);
                let wall = self.clock.wall_ns();
                let lsn = self
                    .log
                    .append(wall, |record| {
                        record.section(SectionKind::ROWS, TenantId(number as u32), &[&bytes]);
                    })
                    .map_err(disk_stop)?;
                model.commits.insert(lsn, number);
            }
            8..12 => {
                self.log.flush().map_err(disk_stop)?;
            }
            12..14 => {
                let durable = self.log.poll().map_err(disk_stop)?;
                self.acknowledge(durable, model);
            }
            14 => {
                let durable = self.log.sync().map_err(disk_stop)?;
                self.acknowledge(durable, model);
            }
            15 => {
                self.log.idle().map_err(disk_stop)?;
            }
            16 => {
                self.preparer.prepare_next().map_err(disk_stop)?;
            }
            17 | 18 => self.flush(rng, model)?,
            _ => self.merge(rng)?,
        }
        Ok(())
    }
}
