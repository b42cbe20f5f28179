//! What lies in a data directory, read without an engine and without a byte changed.
//!
//! Nothing here recovers: what a start would cut, remove or write anew is only told. [`DataDir`] has no function that
//! writes, and holds the directory's lock shared, so that no server changes it meanwhile. Bytes are judged one file at a
//! time, by functions of the bytes alone; [`verify`] compares the files with each other.

mod catalog;
mod judge;
mod streams;
mod verify;
pub mod wal;

pub use crate::manifest::inspect::{ManifestFile, ManifestFrame, ManifestReport};
pub use crate::segment::inspect::{ChunkColumn, ChunkReport, GroupReport, SegmentReport};
pub use catalog::{CatalogFile, CatalogReport, EntryCounts};
pub use judge::{Judgement, judge};
pub use streams::{StreamReport, WalStream};
pub use verify::{Checked, Findings, verify};

use crate::io::{DirEntry, DirLock, is_safe_name};
use crate::{Error, SegmentId, catalog::Catalog};
use bytes::Bytes;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Something that is not as it was written, or worth knowing of a file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the data directory.
    pub file: String,
    /// The byte where it begins, where that can be told.
    pub offset: Option<u64>,
    /// What it is, in words.
    pub what: String,
}

impl Problem {
    /// One of a whole file.
    pub fn of(file: impl Into<String>, what: impl Into<String>) -> Problem {
        Problem {
            file: file.into(),
            offset: None,
            what: what.into(),
        }
    }

    /// One at a byte of a file.
    pub fn at(file: impl Into<String>, offset: u64, what: impl Into<String>) -> Problem {
        Problem {
            offset: Some(offset),
            ..Problem::of(file, what)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{}: at byte {offset}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// A data directory, open for reading alone.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: Option<DirLock>,
}

/// The directories that a database has; one of the first two is there from the first start on.
const DIRS: [&str; 5] = ["manifest", "wal", "catalog", "segments", "checkpoints"];

impl DataDir {
    /// Opens a data directory that no server uses now.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be read, holds no database, or is in use.
    pub fn open(root: &Path) -> Result<DataDir, Error> {
        let context = || format!("read the data directory {}", root.display());
        let failed = |e: io::Error| Error::io(context(), &e);
        std::fs::read_dir(root).map_err(failed)?;
        let dir = DataDir {
            root: root.to_path_buf(),
            _lock: DirLock::shared(root).map_err(failed)?,
        };
        if DIRS[..2].iter().any(|name| root.join(name).is_dir()) {
            Ok(dir)
        } else {
            Err(Error::Io {
                context: context(),
                message: "there is no database in it".into(),
            })
        }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files of one of its directories, sorted by name; none when there is no such directory.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self, dir: &str) -> Result<Vec<DirEntry>, Error> {
        let failed = |e: io::Error| Error::io(format!("list {dir}"), &e);
        let entries = match std::fs::read_dir(self.root.join(dir)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let meta = entry.metadata().map_err(failed)?;
            if let (true, Ok(name)) = (meta.is_file(), entry.file_name().into_string()) {
                let len = meta.len();
                found.push(DirEntry { name, len });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// A file's bytes, copied: a place that the device won't read is an error here, where a map would be a signal.
    ///
    /// # Errors
    /// What is wrong with the file, told as a problem of it.
    pub fn read(&self, name: &str) -> Result<Bytes, Problem> {
        if !is_safe_name(name) {
            return Err(Problem::of(name, "is not a name of the data directory"));
        }
        let mut bytes = Vec::new();
        let read = File::open(self.root.join(name)).and_then(|mut file| {
            // Only a hint; reading takes what there is.
            let len = file.metadata().map_or(0, |m| m.len());
            bytes.reserve(usize::try_from(len).unwrap_or(0));
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => Ok(bytes.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Problem::of(name, "is missing")),
            Err(e) => {
                let what = format!("can't be read: {e}");
                Err(Problem::at(name, bytes.len() as u64, what))
            }
        }
    }

    /// A file's bytes, mapped: for files of which only parts are looked at.
    fn map(&self, name: &str) -> Result<Bytes, Problem> {
        if !is_safe_name(name) {
            return Err(Problem::of(name, "is not a name of the data directory"));
        }
        let unreadable = |e: io::Error| Problem::of(name, format!("can't be read: {e}"));
        let file = File::open(self.root.join(name)).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.len() == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: the file is only read here, and the lock keeps those out who might write to it; they never truncate
        // or change a segment that has its name.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(unreadable)?;
        Ok(Bytes::from_owner(map))
    }

    /// Bytes of all files that [`verify`] reads.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn bytes(&self) -> Result<u64, Error> {
        let mut bytes = 0;
        for dir in DIRS {
            bytes += self.list(dir)?.iter().map(|file| file.len).sum::<u64>();
        }
        Ok(bytes)
    }

    /// The manifest.
    ///
    /// # Errors
    /// [`Error::Io`] when its directory can't be listed. Damage is told in the report.
    pub fn manifest(&self) -> Result<ManifestReport, Error> {
        crate::manifest::inspect::read(self)
    }

    /// What exists, by the catalog files alone; the log may define more.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn catalog(&self, manifest: &ManifestReport) -> Result<CatalogReport, Error> {
        catalog::read(self, manifest)
    }

    /// The log's files.
    ///
    /// # Errors
    /// [`Error::Io`] when its directory can't be listed. Damage is told in the files.
    pub fn wal(&self) -> Result<Vec<wal::WalFile>, Error> {
        wal::read(self)
    }

    /// A segment's index: what it says, without a look at the values.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn segment(&self, id: SegmentId, name: &str) -> Result<SegmentReport, Problem> {
        let bytes = self.map(name)?;
        crate::segment::inspect::report(name, id, &bytes)
    }

    /// The streams and their rows, in segments and in the log behind them.
    ///
    /// # Errors
    /// [`Error::Io`]. What can't be read is left out, and told in the reports of the parts.
    pub fn streams(
        &self,
        manifest: &ManifestReport,
        catalog: &Catalog,
        wal: &[wal::WalFile],
        judged: &Judgement,
    ) -> Result<Vec<StreamReport>, Error> {
        streams::read(self, manifest, catalog, wal, judged)
    }
}

#[cfg(test)]
mod tests;
