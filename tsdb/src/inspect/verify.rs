//! Reads everything that a data directory holds, checks every checksum, decodes every value, and compares the files
//! with each other.

use super::catalog::{self, CatalogReport, EntryCounts};
use super::wal::{self, WalFile, WalRecord, section_name};
use super::{DataDir, Judgement, ManifestReport, Problem, judge};
use crate::Error;
use crate::catalog::Catalog;
use crate::engine::OWNED;
use crate::ledger;
use crate::manifest::FileKind;
use crate::segment::{self, SegmentMeta};
use crate::wal::SectionKind;
use crate::wal::format::SectionSpan;
use bytes::Bytes;
use std::collections::BTreeSet;
use tsdb_types::{Batch, Column, DataType, Lsn, Values};

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Edits of the manifest.
    pub edits: u64,
    /// Catalog files.
    pub catalog_files: u64,
    /// Log records, marks among them.
    pub wal_records: u64,
    /// Rows in them.
    pub wal_rows: u64,
    /// Segments.
    pub segments: u64,
    /// Chunks decoded.
    pub chunks: u64,
    /// Rows in segments.
    pub rows: u64,
}

/// What came of it.
#[derive(Default)]
pub struct Findings {
    /// What is lost, or not what was written.
    pub damage: Vec<Problem>,
    /// What a start would clear away or has set aside: no damage.
    pub notes: Vec<Problem>,
    /// How much was looked at.
    pub checked: Checked,
    /// What exists, by the catalog files and the log.
    pub catalog: Catalog,
    /// The last commit that a start would find.
    pub last_lsn: Lsn,
}

/// Verifies all but the files of other layers (the views' checkpoints). `progress` is told of the bytes of each step as
/// they are done; together they come near [`DataDir::bytes`].
///
/// # Errors
/// [`Error::Io`] when a directory can't be listed. A file that can't be read is damage.
pub fn verify(dir: &DataDir, progress: &mut dyn FnMut(u64)) -> Result<Findings, Error> {
    let manifest = dir.manifest()?;
    let mut verifier = Verifier {
        dir,
        progress,
        out: Findings::default(),
    };
    verifier.manifest(&manifest);
    let mut catalog = verifier.catalog_files(&manifest);
    verifier.wal(&manifest, &mut catalog)?;
    verifier.segments(&manifest, &catalog.catalog);
    verifier.other_files(&manifest)?;
    let mut findings = verifier.out;
    findings.catalog = catalog.catalog;
    Ok(findings)
}

struct Verifier<'a> {
    dir: &'a DataDir,
    progress: &'a mut dyn FnMut(u64),
    out: Findings,
}

impl Verifier<'_> {
    fn damage(&mut self, problem: Problem) {
        self.out.damage.push(problem);
    }

    /// Reads a file; one that can't be is told of.
    fn read(&mut self, name: &str) -> Option<Bytes> {
        match self.dir.read(name) {
            Ok(bytes) => {
                self.out.checked.files += 1;
                self.out.checked.bytes += bytes.len() as u64;
                Some(bytes)
            }
            Err(problem) => {
                self.damage(problem);
                None
            }
        }
    }

    fn manifest(&mut self, manifest: &ManifestReport) {
        self.out.damage.extend(manifest.damage.iter().cloned());
        self.out.notes.extend(manifest.notes.iter().cloned());
        for file in &manifest.files {
            self.out.checked.files += 1;
            self.out.checked.bytes += file.bytes;
            self.out.checked.edits += file.frames.len() as u64;
            (self.progress)(file.bytes);
        }
    }

    fn catalog_files(&mut self, manifest: &ManifestReport) -> CatalogReport {
        let mut catalog = CatalogReport::default();
        for entry in catalog::entries(manifest) {
            let Some(bytes) = self.read(&entry.name) else {
                continue;
            };
            if entry.lsn > manifest.state.flushed {
                let what = format!(
                    "is of commit {}, and only {} are flushed",
                    entry.lsn, manifest.state.flushed
                );
                self.damage(Problem::of(&entry.name, what));
            }
            catalog.add(entry, &bytes);
            self.out.checked.catalog_files += 1;
            (self.progress)(bytes.len() as u64);
        }
        self.out.damage.append(&mut catalog.damage);
        catalog
    }

    /// Twice over the log: which commits count is known only when all files have been seen.
    fn wal(&mut self, manifest: &ManifestReport, catalog: &mut CatalogReport) -> Result<(), Error> {
        let mut files = Vec::new();
        for id in wal::ids(self.dir)? {
            let file = match self.dir.read(&crate::wal::format::file_name(id)) {
                Ok(bytes) => wal::scan(id, &bytes),
                Err(problem) => wal::unreadable(id, problem),
            };
            self.out.checked.files += 1;
            self.out.checked.bytes += file.bytes;
            self.out.checked.wal_records += file.records.len() as u64;
            (self.progress)(file.bytes / 2);
            files.push(file);
        }
        let judgement = judge(&files, manifest.state.flushed);
        self.out.damage.extend(judgement.damage.iter().cloned());
        self.out.notes.extend(judgement.notes.iter().cloned());
        self.out.last_lsn = judgement.last_lsn();
        for file in &files {
            self.wal_sections(file, &judgement, catalog);
            (self.progress)(file.bytes - file.bytes / 2);
        }
        Ok(())
    }

    fn wal_sections(&mut self, file: &WalFile, judged: &Judgement, catalog: &mut CatalogReport) {
        let counts = |r: &&WalRecord| !judged.is_cut(file.id, r.offset);
        let mut records = file.commits().filter(counts).peekable();
        if records.peek().is_none() {
            return;
        }
        // Told of already, if it can't be read.
        let Ok(bytes) = self.dir.read(&file.name) else {
            return;
        };
        for record in records {
            for section in &record.sections {
                let start = record.body_at() + section.start;
                let Some(payload) = bytes.get(start..start + section.len) else {
                    // The file has changed since it was scanned.
                    self.damage(Problem::at(
                        &file.name,
                        start as u64,
                        "the file is shorter now",
                    ));
                    return;
                };
                let payload = bytes.slice_ref(payload);
                if let Err((at, what)) = self.section(section, &payload, catalog) {
                    let what = format!("commit {}: {what}", record.header.lsn);
                    self.damage(Problem::at(&file.name, (start + at) as u64, what));
                }
            }
        }
    }

    /// Decodes a section, or says where in it what is wrong.
    fn section(
        &mut self,
        section: &SectionSpan,
        payload: &Bytes,
        catalog: &mut CatalogReport,
    ) -> Result<(), (usize, String)> {
        match section.kind {
            SectionKind::CATALOG => {
                catalog
                    .take(payload, &mut EntryCounts::default())
                    .map_err(|at| {
                        let what = "a catalog entry can't be read, or does not fit what is there";
                        (at, what.into())
                    })
            }
            SectionKind::ROWS => {
                let mut pos = 0;
                let batch = Batch::decode(payload, &mut pos).map_err(|e| (pos, e.to_string()))?;
                if pos != payload.len() {
                    return Err((pos, "bytes follow the end of a batch".into()));
                }
                self.out.checked.wal_rows += batch.rows as u64;
                check_batch(&batch, catalog).map_err(|what| (0, what))
            }
            SectionKind::POSITIONS => ledger::decode_positions(payload)
                .map(drop)
                .map_err(|at| (at, "a source's position can't be read".into())),
            SectionKind::IDEMPOTENCY => ledger::decode_keys(payload)
                .map(drop)
                .map_err(|at| (at, "a request's key can't be read".into())),
            kind => match section_name(kind) {
                Some(_) => Ok(()),
                None => Err((0, format!("a section of the unknown kind {}", kind.0))),
            },
        }
    }

    fn segments(&mut self, manifest: &ManifestReport, catalog: &Catalog) {
        for entry in manifest.state.segments.values() {
            let Some(meta) = SegmentMeta::decode(&entry.meta).filter(|m| m.id == entry.id) else {
                let what = format!("what it says of {} can't be read", entry.name);
                self.damage(Problem::of("manifest", what));
                continue;
            };
            let Some(bytes) = self.read(&entry.name) else {
                continue;
            };
            let (mut found, mut rows, mut chunks) = (Vec::new(), 0, 0);
            segment::check::check(
                &entry.name,
                &meta,
                &bytes,
                &|id| catalog.stream_by_id(id),
                &mut |problem| found.push(problem),
                &mut |r, c| (rows, chunks) = (rows + r, chunks + c),
            );
            self.out.damage.append(&mut found);
            self.out.checked.segments += 1;
            self.out.checked.rows += rows;
            self.out.checked.chunks += chunks;
            (self.progress)(bytes.len() as u64);
        }
    }

    /// Files of other kinds must be there if they are named; those that nothing names are told of.
    fn other_files(&mut self, manifest: &ManifestReport) -> Result<(), Error> {
        let state = &manifest.state;
        let others = state.files.values().filter(|f| f.kind != FileKind::CATALOG);
        for entry in others {
            let Some(bytes) = self.read(&entry.name) else {
                continue;
            };
            if bytes.is_empty() {
                self.damage(Problem::of(&entry.name, "is empty"));
            } else if entry.kind == FileKind::LEDGER
                && let Err(error) = ledger::decode_file(&entry.name, entry.lsn, &bytes)
            {
                self.damage(Problem::of(&entry.name, error.to_string()));
            }
        }
        let named: BTreeSet<&str> = state
            .segments
            .values()
            .map(|s| s.name.as_str())
            .chain(state.files.keys().map(String::as_str))
            .collect();
        for owned in OWNED {
            for entry in self.dir.list(owned.dir)? {
                let name = format!("{}/{}", owned.dir, entry.name);
                if manifest.files.is_empty() {
                    self.damage(Problem::of(name, "the manifest that named it is missing"));
                } else if !named.contains(name.as_str()) {
                    let what = match state.keep_unnamed {
                        true => "is named by nothing; it may have been lost with an edit",
                        false => "is named by nothing; the next start removes it if it is its own",
                    };
                    self.out.notes.push(Problem::of(name, what));
                }
            }
        }
        for entry in self.dir.list("wal")? {
            if entry.name.ends_with(".damaged") {
                let what = "was found damaged by an earlier start and set aside";
                self.out
                    .notes
                    .push(Problem::of(format!("wal/{}", entry.name), what));
            }
        }
        Ok(())
    }
}

/// Compares a batch with itself and with the catalog as of its commit.
fn check_batch(batch: &Batch, catalog: &CatalogReport) -> Result<(), String> {
    let (mut time, mut series) = (Vec::new(), Vec::new());
    batch.time.extend_i64(batch.rows, &mut time);
    batch.series.extend_i64(batch.rows, &mut series);
    let range = (time.iter().min().copied(), time.iter().max().copied());
    if range != (Some(batch.min_time), Some(batch.max_time)) {
        return Err("the event times are not in the range that the batch tells".into());
    }
    let Some(stream) = catalog.catalog.stream_by_id(batch.stream) else {
        // Of a stream that was dropped afterwards nothing is known any more.
        return match catalog.last_stream >= batch.stream {
            true => Ok(()),
            false => Err(format!(
                "rows of stream {}, which nothing has defined",
                batch.stream
            )),
        };
    };
    let known = i64::from(stream.series().len());
    if let Some(id) = series.iter().find(|id| **id < 0 || **id >= known) {
        return Err(format!("series {id} of stream {} is unknown", stream.name));
    }
    let schema = stream.schema();
    for (id, column) in &batch.columns {
        let fits = schema
            .columns
            .get(usize::from(id.0))
            .is_some_and(|def| fits(column, def.data_type, batch.rows));
        if !fits {
            return Err(format!(
                "column {id} does not fit the definition of stream {}",
                stream.name
            ));
        }
    }
    Ok(())
}

fn fits(column: &Column, data_type: DataType, rows: usize) -> bool {
    match (&column.values, data_type) {
        (Values::Float(_), t) => t == DataType::Float64,
        (Values::Int128(_), t) => matches!(t, DataType::Decimal { .. }),
        (Values::Str { .. }, DataType::Utf8) => {
            (0..rows).all(|i| std::str::from_utf8(column.str_at(i)).is_ok())
        }
        (Values::Str { .. }, _) => false,
        (Values::Int { .. }, t) => !matches!(t, DataType::Float64 | DataType::Utf8),
    }
}
