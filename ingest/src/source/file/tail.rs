//! One file that is read: up to its end, and on when it grows.

use super::identity::{Head, Identity, first_bytes};
use super::input::{Packing, first_line};
use super::lines::Lines;
use super::spec::{FileSpec, Truncation};
use crate::source::control::{Ended, Wish};
use crate::source::flow::Flow;
use crate::source::{MAX_MESSAGE_BYTES, Record};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Bytes of a header line at most.
const MAX_HEADER: usize = 1 << 20;

/// What the log knows of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Its name when it was first seen.
    pub(super) name: String,
    pub(super) generation: u32,
    pub(super) origin: String,
    pub(super) next: u64,
}

/// Where a file is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Under the name that it had when it was first seen.
    Named,
    /// Under another one, whether that is read or not.
    Renamed,
    /// Nowhere.
    Gone,
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something was read; there may be more.
    Read,
    /// There is nothing now.
    Nothing,
}

/// Length and last change of a file: when they are what they were, so is the file.
type Stamp = (u64, i64, i64);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

pub(super) struct Tail {
    pub(super) identity: Identity,
    pub(super) path: PathBuf,
    pub(super) place: Place,
    /// It may have grown while it was closed.
    pub(super) look: bool,
    pub(super) file: Option<File>,
    name: String,
    generation: u32,
    slot: usize,
    packing: Packing,
    head: Head,
    /// Of a compressed file that was read to its end: its length then.
    whole: Option<u64>,
    lines: Lines,
    /// Of a compressed file: what reads it, and how many bytes of it were read before.
    unpacking: Option<(Box<dyn Read + Send>, u64)>,
    /// The file as it was when its first bytes were checked last, or when it was read to its end.
    checked: Option<Stamp>,
    ended: Option<Stamp>,
    columns: Option<Vec<String>>,
    stopped: bool,
    /// It is gone, and was read to its end.
    over: bool,
    read_at: Instant,
}

impl Tail {
    pub(super) fn new(
        identity: Identity,
        path: PathBuf,
        place: Place,
        known: Known,
        flow: &mut Flow<'_>,
    ) -> Tail {
        let Known {
            name,
            generation,
            origin,
            next,
        } = known;
        // `len-hash`, and the compressed length behind it when the file was read to its end.
        let mut parts = origin.splitn(3, '-');
        let head = [parts.next(), parts.next()].map(Option::unwrap_or_default);
        let whole = parts.next().and_then(|w| w.parse().ok());
        let slot = flow
            .pipe
            .slot(&identity.partition(&name, generation), &origin);
        flow.pipe.restart(slot, next);
        flow.pipe.partition(slot).stop(None);
        if flow.pipe.taken(slot).is_none() {
            // So that it is known under another name, although nothing of it was taken before it was renamed.
            flow.pipe.mark(slot);
        }
        Tail {
            identity,
            packing: Packing::of(&name),
            head: Head::parse(&head.join("-")).unwrap_or_default(),
            path,
            place,
            look: true,
            file: None,
            name,
            generation,
            slot,
            whole,
            lines: Lines::new(next, MAX_MESSAGE_BYTES),
            unpacking: None,
            checked: None,
            ended: None,
            columns: None,
            stopped: false,
            over: false,
            read_at: Instant::now(),
        }
    }

    /// Place of the first byte that was not read.
    pub(super) fn end(&self) -> u64 {
        self.lines.end()
    }

    /// Whether the file, as found in its directory, has changed since it was read.
    pub(super) fn has_changed(&self, metadata: &Metadata) -> bool {
        self.ended != Some(stamp(metadata))
    }

    pub(super) fn is_plain(&self) -> bool {
        self.packing == Packing::Plain
    }

    /// Whether nothing more is to come of it, and all that has come is in the log.
    pub(super) fn is_over(&self, flow: &Flow<'_>) -> bool {
        let over =
            self.over || (self.place == Place::Gone && (self.stopped || self.file.is_none()));
        over && flow.pipe.is_durable(self.slot)
    }

    /// What was read of it, and the log did not take, is read again.
    pub(super) fn read_again(&mut self, flow: &mut Flow<'_>) {
        let taken = flow.pipe.taken(self.slot);
        let next = taken.unwrap_or(0);
        flow.pipe.restart(self.slot, next);
        if taken.is_none() {
            flow.pipe.mark(self.slot);
        }
        self.lines = Lines::new(next, MAX_MESSAGE_BYTES);
        self.unpacking = None;
        // Whether the log knows that it was read to its end, reading it again tells.
        self.whole = None;
        self.ended = None;
        self.over = false;
        self.look = true;
    }

    fn is_quiet(&self, time: Duration) -> bool {
        self.read_at.elapsed() >= time
    }

    /// Its name when it was first seen.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Name of its partition.
    pub(super) fn partition(&self) -> String {
        self.identity.partition(&self.name, self.generation)
    }

    /// Reads it no further.
    pub(super) fn stop(&mut self, flow: &Flow<'_>, why: &str) {
        self.stopped = true;
        self.file = None;
        self.unpacking = None;
        let path = self.path.display();
        tracing::error!(%path, why, "the file is read no further");
        let why = format!("{path}: {why}");
        flow.pipe.partition(self.slot).stop(Some(why));
    }

    /// Notes what is wrong with it now and may be right later.
    pub(super) fn trouble(&self, flow: &Flow<'_>, why: &str) {
        let why = format!("{}: {why}", self.path.display());
        let partition = flow.pipe.partition(self.slot);
        if partition.trouble().as_ref() != Some(&why) {
            tracing::warn!(why, "a file can't be read now");
            partition.stop(Some(why));
        }
    }

    /// Reads a chunk and hands its lines on.
    ///
    /// # Errors
    /// When rows can't be taken; what is wrong with the file is told by its partition.
    pub(super) fn step(
        &mut self,
        flow: &mut Flow<'_>,
        spec: &FileSpec,
        chunk: &mut [u8],
    ) -> Result<Step, Ended> {
        if self.stopped {
            return Ok(Step::Nothing);
        }
        let Some(file) = &self.file else {
            return Ok(Step::Nothing);
        };
        self.look = false;
        let read = file.metadata().and_then(|metadata| {
            if !self.check(&metadata, flow, spec)? {
                return Ok((metadata, None));
            }
            let n = match self.packing {
                Packing::Plain => self.read(chunk)?,
                _ => self.unpack(&metadata, flow, spec, chunk)?,
            };
            Ok((metadata, n))
        });
        let (metadata, n) = match read {
            Ok(read) => read,
            Err(error) => {
                self.trouble(flow, &error.to_string());
                return Ok(Step::Nothing);
            }
        };
        let Some(n) = n else {
            // When it is to be read from its start, then now.
            return Ok(if self.look { Step::Read } else { Step::Nothing });
        };
        if n > 0 {
            self.read_at = Instant::now();
            self.lines.feed(&chunk[..n]);
            if self.is_plain() && self.lines.end() == metadata.len() {
                self.ended = Some(stamp(&metadata));
            }
            self.hand_on(flow, spec, false)?;
            return Ok(Step::Read);
        }
        self.ended = Some(stamp(&metadata));
        if !self.is_plain() {
            self.unpacking = None;
            self.hand_on(flow, spec, true)?;
            self.note_whole(flow, metadata.len());
        } else if self.place != Place::Named && self.is_quiet(spec.quiet) {
            // Whoever has renamed or removed it may have been about to end the line that it had begun; not any more.
            self.hand_on(flow, spec, true)?;
            self.over = self.place == Place::Gone;
        }
        Ok(Step::Nothing)
    }

    /// The next bytes of a file that is not compressed.
    fn read(&self, chunk: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        loop {
            match file.read_at(chunk, self.lines.end()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(Some),
            }
        }
    }

    /// The next bytes of a compressed file; `None` when it is not to be read now.
    fn unpack(
        &mut self,
        metadata: &Metadata,
        flow: &mut Flow<'_>,
        spec: &FileSpec,
        chunk: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let now = stamp(metadata);
        if self.whole == Some(metadata.len()) || metadata.len() == 0 {
            self.ended = Some(now);
        }
        if self.ended == Some(now) {
            self.over = self.place == Place::Gone;
            return Ok(None);
        }
        let Some(file) = &self.file else {
            return Ok(None);
        };
        if self.unpacking.is_none() {
            let age = metadata
                .modified()
                .ok()
                .and_then(|m| SystemTime::now().duration_since(m).ok());
            if age.is_some_and(|a| a < spec.quiet) {
                // Whoever writes it has not done yet.
                return Ok(None);
            }
            // What was not given as a line is read again.
            self.lines = Lines::new(self.lines.at(), MAX_MESSAGE_BYTES);
            self.unpacking = Some((self.packing.reader(file)?, 0));
        }
        let Some((reader, at)) = &mut self.unpacking else {
            return Ok(None);
        };
        loop {
            let skip = self.lines.end() - *at;
            let len = chunk
                .len()
                .min(usize::try_from(skip).unwrap_or(usize::MAX).max(1));
            let to = match skip {
                0 => &mut *chunk,
                _ => &mut chunk[..len],
            };
            match reader.read(to) {
                Ok(0) if skip > 0 => {
                    self.ended = Some(now);
                    self.truncated(flow, spec, "it is shorter than it was read");
                    return Ok(None);
                }
                Ok(n) => {
                    *at += n as u64;
                    if skip == 0 {
                        return Ok(Some(n));
                    }
                    if flow.wish() == Wish::End {
                        return Ok(None);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.unpacking = None;
                    self.ended = Some(now);
                    if e.kind() == io::ErrorKind::UnexpectedEof {
                        let why = "it ends in the middle; it is read on when it has changed";
                        return Err(io::Error::new(e.kind(), why));
                    }
                    self.stop(flow, &e.to_string());
                    return Ok(None);
                }
            }
        }
    }

    /// Looks whether what was read is still there; false when there is nothing to read on.
    fn check(
        &mut self,
        metadata: &Metadata,
        flow: &mut Flow<'_>,
        spec: &FileSpec,
    ) -> io::Result<bool> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        if self.checked == Some(stamp(metadata)) {
            return Ok(true);
        }
        let bytes = first_bytes(file)?;
        if !self.head.begins(&bytes) {
            if self.checked.is_none() && !self.identity.is_certain() {
                // Another file has been given the numbers of the old one.
                self.restart(flow);
            } else {
                self.truncated(
                    flow,
                    spec,
                    "it begins with other bytes than when it was read",
                );
            }
            return Ok(false);
        }
        if self.is_plain() {
            let len = metadata.len();
            if len < self.lines.end() {
                let why = format!(
                    "it was read up to byte {} and has {len} now: it was truncated",
                    self.lines.end()
                );
                self.truncated(flow, spec, &why);
                return Ok(false);
            }
            flow.pipe.partition(self.slot).set_end(len);
        }
        if self.head.is_short() {
            self.head = Head::of(&bytes);
            let origin = self.head.to_string();
            flow.pipe.slot(&self.partition(), &origin);
        }
        self.checked = Some(stamp(metadata));
        if flow.pipe.partition(self.slot).trouble().is_some() {
            flow.pipe.partition(self.slot).stop(None);
        }
        Ok(true)
    }

    fn truncated(&mut self, flow: &mut Flow<'_>, spec: &FileSpec, why: &str) {
        match spec.truncation {
            Truncation::Stop => {
                let why = format!(
                    "{why}. Drop the stream and create it again, or let file_truncation be 'restart', to read it from its \
                     start"
                );
                self.stop(flow, &why);
            }
            Truncation::Restart => {
                tracing::warn!(path = %self.path.display(), why, "reading the file from its start");
                self.restart(flow);
            }
        }
    }

    /// Reads it from its start, as another partition: places below those that were taken are new.
    fn restart(&mut self, flow: &mut Flow<'_>) {
        flow.pipe.status().forget(&self.partition());
        self.generation += 1;
        self.head = Head::default();
        self.slot = flow.pipe.slot(&self.partition(), &self.head.to_string());
        flow.pipe.restart(self.slot, 0);
        flow.pipe.mark(self.slot);
        self.lines = Lines::new(0, MAX_MESSAGE_BYTES);
        self.unpacking = None;
        self.whole = None;
        self.columns = None;
        self.checked = None;
        self.ended = None;
        self.look = true;
    }

    /// A compressed file was read to its end: this is noted in the log, so that it need not be read again to know.
    fn note_whole(&mut self, flow: &mut Flow<'_>, len: u64) {
        self.whole = Some(len);
        let origin = format!("{}-{len}", self.head);
        flow.pipe.slot(&self.partition(), &origin);
        flow.pipe.mark(self.slot);
        flow.pipe
            .partition(self.slot)
            .set_end(flow.pipe.reached(self.slot));
    }

    /// Hands on the lines that have their ends; with `all` also what is behind the last of them.
    fn hand_on(&mut self, flow: &mut Flow<'_>, spec: &FileSpec, all: bool) -> Result<(), Ended> {
        if spec.header && !self.has_columns(flow) {
            return Ok(());
        }
        if let Some(columns) = &self.columns {
            flow.pipe.csv_columns(columns);
        }
        loop {
            let whole = self.lines.line();
            let line = match whole {
                Some(line) => line,
                None if all => match self.lines.last() {
                    Some(line) => line,
                    None => return Ok(()),
                },
                None => return Ok(()),
            };
            let (slot, next) = (self.slot, line.next);
            if spec.header && line.at == 0 {
                match flow.pipe.csv_header(line.text) {
                    Ok(columns) => {
                        flow.pipe.csv_columns(&columns);
                        self.columns = Some(columns);
                    }
                    Err(why) => {
                        self.stop(flow, &format!("the header line: {why}"));
                        return Ok(());
                    }
                }
            } else if !line.text.trim_ascii().is_empty() {
                let record = Record {
                    value: Some(line.text),
                    topic: &self.name,
                    offset: line.at,
                    ..Record::default()
                };
                flow.push(slot, &record)?;
            }
            flow.pipe.skip_to(slot, next);
            flow.took()?;
        }
    }

    /// Learns the columns of a file that is read on in its middle. False when it has stopped over that.
    fn has_columns(&mut self, flow: &Flow<'_>) -> bool {
        if self.columns.is_some() || self.lines.at() == 0 {
            return true;
        }
        let Some(file) = &self.file else { return false };
        let line = first_line(self.packing, file, MAX_HEADER).map_err(|e| e.to_string());
        let line = line.and_then(|l| l.ok_or_else(|| "it has no end".to_owned()));
        match line.and_then(|l| flow.pipe.csv_header(&l)) {
            Ok(columns) => {
                self.columns = Some(columns);
                true
            }
            Err(why) => {
                self.stop(flow, &format!("the header line: {why}"));
                false
            }
        }
    }
}
