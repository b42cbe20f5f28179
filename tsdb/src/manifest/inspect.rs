//! The manifest as it lies on disk, frame by frame: read and told, never written. `docs/formats/manifest.md` has the
//! bytes; [`super::open`] is what acts on them.

use super::format::{self, Frame};
use super::{Edit, ManifestState};
use crate::Error;
use crate::inspect::{DataDir, Problem};
use bytes::Bytes;

/// One edit (or the snapshot) of a manifest file.
#[derive(Clone, Debug)]
pub struct ManifestFrame {
    /// Its number.
    pub seq: u64,
    /// Where its first intact copy begins.
    pub offset: u64,
    /// Whether it is the whole state, and makes void what came before.
    pub snapshot: bool,
    /// Intact copies, 1 or 2.
    pub copies: u8,
    /// What it says.
    pub edits: Vec<Edit>,
}

/// One manifest file.
#[derive(Clone, Debug)]
pub struct ManifestFile {
    /// Its name, relative to the data directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Whether `CURRENT` names it.
    pub current: bool,
    /// Its frames, in file order.
    pub frames: Vec<ManifestFrame>,
}

/// The manifest.
#[derive(Clone, Debug, Default)]
pub struct ManifestReport {
    /// What lives, as the next start will find it.
    pub state: ManifestState,
    /// The files; more than one when a start was interrupted.
    pub files: Vec<ManifestFile>,
    /// What is damaged.
    pub damage: Vec<Problem>,
    /// What a start would clear away, or found damaged once.
    pub notes: Vec<Problem>,
}

pub(crate) fn read(dir: &DataDir) -> Result<ManifestReport, Error> {
    let entries = dir.list("manifest")?;
    let mut report = ManifestReport::default();
    let has_current = entries.iter().any(|e| e.name == "CURRENT");
    let current = match has_current {
        true => match dir.read(format::CURRENT) {
            Ok(bytes) => format::parse_current(&bytes),
            Err(problem) => {
                report.damage.push(problem);
                None
            }
        },
        false => None,
    };
    let mut best: Option<(bool, u64, ManifestState)> = None;
    for entry in &entries {
        let name = format!("manifest/{}", entry.name);
        let Some(id) = format::parse_file_name(&entry.name) else {
            if entry.name != "CURRENT" {
                report.notes.push(Problem::of(name, leftover(&entry.name)));
            }
            continue;
        };
        let bytes = match dir.read(&name) {
            Ok(bytes) => bytes,
            Err(problem) => {
                report.damage.push(problem);
                continue;
            }
        };
        let is_current = current == Some(id);
        let mut scanned = scan(id, &bytes);
        if is_current || current.is_none() {
            report.damage.append(&mut scanned.damage);
            report.notes.append(&mut scanned.notes);
        } else {
            let note = "is of an earlier run; the next start removes it";
            report.notes.push(Problem::of(&name, note));
        }
        let newest = scanned.frames.last().map_or(0, |f| f.seq);
        if best
            .as_ref()
            .is_none_or(|b| (b.0, b.1) < (is_current, newest))
        {
            best = Some((is_current, newest, scanned.state));
        }
        report.files.push(ManifestFile {
            name,
            bytes: entry.len,
            current: is_current,
            frames: scanned.frames,
        });
    }
    if !report.files.iter().any(|f| f.current) && (has_current || !report.files.is_empty()) {
        report.damage.push(Problem::of(
            format::CURRENT,
            "names no manifest file that is there",
        ));
    }
    report.state = best.map(|b| b.2).unwrap_or_default();
    if report.state.keep_unnamed {
        report.notes.push(Problem::of(
            "manifest",
            "edits were lost once; files that nothing names are kept since",
        ));
    }
    Ok(report)
}

fn leftover(name: &str) -> &'static str {
    if name.ends_with(".damaged") {
        "was found damaged by an earlier start and set aside"
    } else {
        "is no file of the manifest"
    }
}

/// What the bytes of one manifest file say.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub frames: Vec<ManifestFrame>,
    pub state: ManifestState,
    pub damage: Vec<Problem>,
    pub notes: Vec<Problem>,
}

/// Reads manifest file `id`.
pub(crate) fn scan(id: u64, bytes: &Bytes) -> Scan {
    let name = format::file_name(id);
    let mut scan = Scan::default();
    check_header(id, &name, bytes, &mut scan);
    let mut strays: Vec<(usize, usize)> = Vec::new();
    let (mut pos, mut written) = (format::HEADER, 0);
    while pos < bytes.len() {
        if let Some((found, len)) = format::read_frame(id, bytes, pos) {
            if let Some(at) = bad_padding(bytes, pos, len) {
                let what = "the zeros behind an edit are not zeros";
                scan.damage.push(Problem::at(&name, at as u64, what));
            }
            match scan.frames.last_mut() {
                Some(last) if last.seq == found.seq => last.copies = last.copies.saturating_add(1),
                Some(last) if last.seq > found.seq => {
                    let what = format!("edit {} comes behind edit {}", found.seq, last.seq);
                    scan.damage.push(Problem::at(&name, pos as u64, what));
                }
                _ => scan.frames.push(ManifestFrame {
                    seq: found.seq,
                    offset: pos as u64,
                    snapshot: found.frame == Frame::Snapshot,
                    copies: 1,
                    edits: found.edits,
                }),
            }
            pos += len;
            written = pos;
            continue;
        }
        let end = (pos + format::ALIGN).min(bytes.len());
        if bytes[pos..end].iter().any(|b| *b != 0) {
            match strays.last_mut() {
                // Zeros are common inside a frame: what lies this close is one damage.
                Some(last) if pos - last.1 < format::FRAME_HEADER => last.1 = end,
                _ => strays.push((pos, end)),
            }
        }
        pos = end;
    }
    judge(&name, &strays, written, &mut scan);
    scan
}

/// Where the frame at `pos`, of `len` bytes, is not filled up with zeros. The checksum does not cover these.
fn bad_padding(bytes: &[u8], pos: usize, len: usize) -> Option<usize> {
    let body = u32::from_le_bytes(bytes.get(pos + 4..pos + 8)?.try_into().ok()?);
    let end = pos + format::FRAME_HEADER + body as usize;
    let padding = bytes.get(end..(pos + len).min(bytes.len()))?;
    padding.iter().any(|b| *b != 0).then_some(end)
}

fn check_header(id: u64, name: &str, bytes: &Bytes, scan: &mut Scan) {
    let mut found = format::Scanned::default();
    format::check_header(id, bytes, &mut found);
    if let Some(version) = found.newer {
        let what = format!("has format version {version}, newer than this program");
        scan.damage.push(Problem::at(name, 8, what));
    }
    if !bytes.len().is_multiple_of(super::BLOCK) {
        let what = "the file is not made of whole blocks; it was cut short";
        scan.damage
            .push(Problem::at(name, bytes.len() as u64, what));
    }
    let rest = bytes.get(28..format::HEADER);
    if found.bad_header || rest.is_none_or(|zeros| zeros != [0; 4]) {
        scan.damage.push(Problem::at(
            name,
            0,
            "the file header is not what was written",
        ));
    }
}

/// Adds the frames up, and tells damage from a write that was never finished: that lies behind `written`, where the last
/// intact copy of an edit ends.
fn judge(name: &str, strays: &[(usize, usize)], written: usize, scan: &mut Scan) {
    let lone = scan.frames.last().is_none_or(|f| f.copies == 1);
    for (from, to) in strays {
        let text = |what| format!("{} bytes are {what}", to - from);
        if *from < written || lone {
            let what = text("neither an intact edit nor zeros");
            scan.damage.push(Problem::at(name, *from as u64, what));
        } else {
            let what = text("of an edit that was never finished");
            scan.notes.push(Problem::at(name, *from as u64, what));
        }
    }
    if scan.frames.first().is_none_or(|first| !first.snapshot) {
        scan.damage.push(Problem::at(
            name,
            format::HEADER as u64,
            "does not begin with a snapshot",
        ));
    }
    let mut last: Option<u64> = None;
    for frame in &scan.frames {
        // The numbers grow: `scan` has seen to that.
        if let Some(last) = last
            && frame.seq - last > 1
        {
            let what = format!("edits {} to {} are lost", last + 1, frame.seq - 1);
            scan.damage.push(Problem::at(name, frame.offset, what));
        }
        if frame.copies != 2 {
            let what = format!(
                "edit {} is there {} times instead of twice; nothing of it is lost",
                frame.seq, frame.copies
            );
            scan.damage.push(Problem::at(name, frame.offset, what));
        }
        if frame.snapshot {
            scan.state = ManifestState::default();
        }
        for edit in &frame.edits {
            if let Err(reason) = scan.state.apply(edit) {
                let what = format!("edit {}: {reason}", frame.seq);
                scan.damage.push(Problem::at(name, frame.offset, what));
            }
        }
        last = Some(frame.seq);
    }
}
