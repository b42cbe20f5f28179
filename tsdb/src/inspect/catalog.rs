//! The catalog files, and what they add up to.

use super::{DataDir, ManifestReport, Problem};
use crate::Error;
use crate::catalog::{Catalog, Entry};
use crate::engine::read_catalog_file;
use crate::manifest::{FileEntry, FileKind};
use bytes::Bytes;
use tsdb_types::{Lsn, StreamId};

/// How many entries of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryCounts {
    /// Databases made.
    pub databases: u64,
    /// Streams made.
    pub streams: u64,
    /// Columns added to streams.
    pub columns: u64,
    /// New series.
    pub series: u64,
    /// Other objects made or changed: views.
    pub objects: u64,
    /// Streams and objects dropped.
    pub drops: u64,
}

/// One catalog file.
#[derive(Clone, Debug)]
pub struct CatalogFile {
    /// Its name, relative to the data directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The LSN of the flush that wrote it.
    pub lsn: Lsn,
    /// Its entries.
    pub entries: EntryCounts,
}

/// What the catalog files say.
#[derive(Default)]
pub struct CatalogReport {
    /// The files that the manifest names, in order.
    pub files: Vec<CatalogFile>,
    /// What exists by them.
    pub catalog: Catalog,
    /// The highest id that a stream was given; it may be dropped since.
    pub last_stream: StreamId,
    /// What is damaged.
    pub damage: Vec<Problem>,
}

pub(super) fn read(dir: &DataDir, manifest: &ManifestReport) -> Result<CatalogReport, Error> {
    let mut report = CatalogReport::default();
    for entry in entries(manifest) {
        match dir.read(&entry.name) {
            Ok(bytes) => report.add(entry, &bytes),
            Err(problem) => report.damage.push(problem),
        }
    }
    Ok(report)
}

/// The catalog files that the manifest names, in order.
pub(super) fn entries(manifest: &ManifestReport) -> Vec<&FileEntry> {
    let files = manifest.state.files.values();
    let mut files: Vec<&FileEntry> = files.filter(|f| f.kind == FileKind::CATALOG).collect();
    files.sort_by_key(|f| f.lsn);
    files
}

impl CatalogReport {
    /// Takes one file in.
    pub(super) fn add(&mut self, file: &FileEntry, bytes: &Bytes) {
        let entries = match read_catalog_file(&file.name, file.lsn, bytes) {
            Ok(entries) => entries,
            Err(Error::Corrupt { what, offset, .. }) => {
                let what = format!("damaged {what}");
                return self.damage.push(Problem::at(&file.name, offset, what));
            }
            Err(other) => return self.damage.push(Problem::of(&file.name, other.to_string())),
        };
        let at = bytes.len() - entries.len();
        let mut counts = EntryCounts::default();
        if let Err(offset) = self.take(entries, &mut counts) {
            let what = "an entry can't be read, or does not fit what is there";
            self.damage
                .push(Problem::at(&file.name, (at + offset) as u64, what));
        }
        self.files.push(CatalogFile {
            name: file.name.clone(),
            bytes: bytes.len() as u64,
            lsn: file.lsn,
            entries: counts,
        });
    }

    /// Applies entries and counts them; else the offset of the first that can't be.
    pub(super) fn take(&mut self, bytes: &[u8], counts: &mut EntryCounts) -> Result<(), usize> {
        self.catalog.restore(bytes)?;
        let mut rest = bytes;
        while let Some((entry, next)) = Entry::decode(rest) {
            match entry {
                Entry::Database { .. } => counts.databases += 1,
                Entry::Stream { id, .. } => {
                    counts.streams += 1;
                    self.last_stream = self.last_stream.max(id);
                }
                Entry::Columns { added, .. } => counts.columns += added.len() as u64,
                Entry::Series { .. } => counts.series += 1,
                Entry::Object { .. } => counts.objects += 1,
                Entry::DropStream { .. } | Entry::DropObject { .. } => counts.drops += 1,
            }
            rest = next;
        }
        Ok(())
    }
}
