//! Which commits of a log count, and what is missing.

use super::Problem;
use super::wal::{Stray, WalFile, WalRecord};
use crate::wal::format::{BLOCK, RecordKind};
use tsdb_types::Lsn;

/// What all files together amount to.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// The highest LSN that was synced for certain, by what the log itself says.
    pub durable: Lsn,
    /// First and last commit that a start would keep.
    pub kept: Option<(Lsn, Lsn)>,
    /// Intact commits behind the torn end, which a start would cut.
    pub cut: u64,
    /// The file and the byte in it where the torn end begins, if there are any.
    pub end: Option<(u64, u64)>,
    /// What is lost or damaged.
    pub damage: Vec<Problem>,
    /// What is only the end of an unfinished write.
    pub notes: Vec<Problem>,
}

impl Judgement {
    /// Whether what lies there is behind the torn end.
    #[must_use]
    pub fn is_cut(&self, file: u64, offset: u64) -> bool {
        self.end.is_some_and(|end| (file, offset) >= end)
    }

    /// The last commit that exists or once did.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.kept
            .map_or(self.durable, |kept| kept.1.max(self.durable))
    }
}

/// Puts the commits of all files in order. Those at or below `floor` are not needed: what they did is in segments.
#[must_use]
pub fn judge(files: &[WalFile], floor: Lsn) -> Judgement {
    let durable = files.iter().map(WalFile::durable_lsn).fold(floor, Lsn::max);
    let mut judge = Judge {
        out: Judgement {
            durable,
            ..Judgement::default()
        },
        floor,
        expected: None,
        last: (String::new(), 0),
    };
    for file in files {
        judge.file(file);
    }
    judge.finish()
}

/// The next LSN; hostile bytes may claim the last one there is.
fn after(lsn: Lsn) -> Lsn {
    Lsn(lsn.0.saturating_add(1))
}

struct Judge {
    out: Judgement,
    floor: Lsn,
    /// The LSN that comes next.
    expected: Option<Lsn>,
    /// Where the last commit that counts ends.
    last: (String, u64),
}

impl Judge {
    fn file(&mut self, file: &WalFile) {
        self.out.damage.extend(file.damage.iter().cloned());
        let mut strays = file.strays.iter().peekable();
        for record in &file.records {
            let mut before = Vec::new();
            while let Some(stray) = strays.next_if(|s| s.bytes.start < record.offset) {
                before.push(stray);
            }
            if record.header.kind == RecordKind::Commit {
                self.commit(file, record);
            }
            // What lies ahead of a record that counts was written and synced before it.
            for stray in before {
                self.stray(file, stray, self.out.end.is_none());
            }
            if self.out.end.is_none() {
                self.last = (
                    file.name.clone(),
                    record.offset + record.header.record_len() as u64,
                );
            }
        }
        let block_end = file.end().next_multiple_of(BLOCK as u64);
        let last_is_durable = file
            .records
            .last()
            .is_some_and(|r| r.header.lsn <= self.out.durable);
        for stray in strays {
            // A group is durable as a whole, and padded with zeros; behind it lie leftovers of an earlier use, but for
            // what has this file's own header.
            let in_group = stray.bytes.start < block_end;
            let lost = stray.lsn.is_some_and(|lsn| lsn <= self.out.durable);
            if in_group || stray.own || stray.lsn.is_some() {
                let damage = lost || stray.own || (in_group && last_is_durable);
                self.stray(file, stray, damage && self.out.end.is_none());
            }
        }
    }

    fn stray(&mut self, file: &WalFile, stray: &Stray, damage: bool) {
        let len = stray.bytes.end - stray.bytes.start;
        let what = match stray.lsn {
            Some(lsn) => {
                format!("the record of commit {lsn} ({len} bytes) is not what was written")
            }
            None if stray.own => "a record's header is not what was written".into(),
            None => format!("{len} bytes are neither a record nor zeros"),
        };
        let problem = Problem::at(&file.name, stray.bytes.start, what);
        if damage {
            self.out.damage.push(problem);
        } else {
            self.out.notes.push(problem);
        }
    }

    fn commit(&mut self, file: &WalFile, record: &WalRecord) {
        if self.out.end.is_some() {
            self.out.cut += 1;
            return;
        }
        let lsn = record.header.lsn;
        let expected = self.expected.unwrap_or(after(self.floor).min(lsn));
        if lsn < expected {
            let what = format!("commit {lsn} is there twice");
            self.out
                .damage
                .push(Problem::at(&file.name, record.offset, what));
        }
        if lsn > expected {
            let missing_to = Lsn(lsn.0 - 1);
            self.lose(expected, missing_to.min(self.out.durable));
            if missing_to > self.out.durable {
                self.out.end = Some((file.id, record.offset));
                self.out.cut += 1;
                let what = format!(
                    "the log's torn end: commit {} was never finished, so a start cuts {lsn} and what follows",
                    after(self.out.durable).max(expected)
                );
                self.out
                    .notes
                    .push(Problem::at(&file.name, record.offset, what));
                return;
            }
        }
        let first = self.out.kept.map_or(lsn, |kept| kept.0);
        self.out.kept = Some((first, lsn));
        self.expected = Some(after(lsn));
    }

    /// Commits that are missing: no loss at or below the floor.
    fn lose(&mut self, first: Lsn, last: Lsn) {
        let first = first.max(after(self.floor));
        if first > last {
            return;
        }
        let (file, offset) = self.last.clone();
        let what = match last.0 - first.0 {
            0 => format!("commit {first} was durable and is lost"),
            _ => format!("commits {first} to {last} were durable and are lost"),
        };
        self.out.damage.push(match file.is_empty() {
            true => Problem::of("wal", what),
            false => Problem::at(file, offset, what),
        });
    }

    fn finish(mut self) -> Judgement {
        let next = self.expected.unwrap_or(after(self.floor));
        if self.out.end.is_none() {
            self.lose(next, self.out.durable);
        }
        self.out
    }
}
