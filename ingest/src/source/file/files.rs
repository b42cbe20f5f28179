//! All files of a source: which there are, and whose turn it is.

use super::identity::Identity;
use super::spec::FileSpec;
use super::tail::{Known, Place, Step, Tail};
use crate::source::control::Ended;
use crate::source::flow::Flow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files that are kept open at most. Of the others it is known only that they grow, until they are read again.
const MAX_OPEN: usize = 256;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// A file of the directory.
struct Entry {
    name: String,
    path: PathBuf,
    wanted: bool,
    metadata: Metadata,
}

pub(super) struct Files<'s> {
    spec: &'s FileSpec,
    /// The directories below which files may be read, without links.
    roots: Vec<PathBuf>,
    tails: Vec<Tail>,
    /// What the log knew of files when the source began.
    known: HashMap<Identity, Known>,
    /// Open files, those that were opened first in front.
    open: VecDeque<Identity>,
    /// Whose turn it is, and up to where it goes.
    turn: usize,
    until: Option<u64>,
    /// How many had nothing, one after the other.
    idle: usize,
    chunk: Vec<u8>,
    pub(super) max_open: usize,
}

impl<'s> Files<'s> {
    /// Finds out what was read before.
    ///
    /// # Errors
    /// When the directory is not there, or not allowed.
    pub(super) fn new(spec: &'s FileSpec, flow: &Flow<'_>) -> Result<Files<'s>, Ended> {
        let directory = fs::canonicalize(&spec.directory)
            .map_err(|e| Ended::Retry(format!("{}: {e}", spec.directory.display())))?;
        let roots: Vec<PathBuf> = spec
            .roots
            .iter()
            .filter_map(|r| fs::canonicalize(r).ok())
            .collect();
        if !roots.iter().any(|r| directory.starts_with(r)) {
            return Err(Ended::Failed(format!(
                "{} lies below none of the directories that the server's configuration allows to read from (file_roots)",
                directory.display()
            )));
        }
        let mut known: HashMap<Identity, Known> = HashMap::new();
        for (partition, position) in flow.pipe.positions() {
            let Some((name, identity, generation)) = Identity::parse(&partition) else {
                continue;
            };
            let of_file = known.entry(identity).or_default();
            if generation > of_file.generation {
                *of_file = Known {
                    name: name.into(),
                    generation,
                    origin: position.origin.to_string(),
                    next: position.next,
                };
            }
        }
        Ok(Files {
            spec,
            roots,
            tails: Vec::new(),
            known,
            open: VecDeque::new(),
            turn: 0,
            until: None,
            idle: 0,
            chunk: vec![0; CHUNK],
            max_open: MAX_OPEN,
        })
    }

    /// Looks which files there are. New ones are read behind the others: those that were renamed since they were read
    /// before come first, the others by name.
    ///
    /// # Errors
    /// When the directory can't be listed.
    pub(super) fn scan(&mut self, flow: &mut Flow<'_>) -> Result<(), Ended> {
        let directory = &self.spec.directory;
        let listing = fs::read_dir(directory);
        let listing = listing.map_err(|e| Ended::Retry(format!("{}: {e}", directory.display())))?;
        let mut found: HashMap<Identity, Entry> = HashMap::new();
        for item in listing.filter_map(Result::ok) {
            let path = item.path();
            // It may be gone already, or a link to nothing.
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            if !metadata.is_file() {
                continue;
            }
            let entry = Entry {
                name: item.file_name().to_string_lossy().into_owned(),
                wanted: self.spec.matches(item.file_name().as_bytes()),
                path,
                metadata,
            };
            let identity = Identity::of(&entry.metadata);
            match found.get(&identity) {
                // Of two names for one file, that which is read counts, and the first of those.
                Some(other) if (!other.wanted, &other.name) <= (!entry.wanted, &entry.name) => {}
                _ => {
                    found.insert(identity, entry);
                }
            }
        }
        for tail in &mut self.tails {
            match found.remove(&tail.identity) {
                Some(entry) => {
                    tail.place = match entry.wanted && entry.name == tail.name() {
                        true => Place::Named,
                        false => Place::Renamed,
                    };
                    tail.look |= tail.file.is_none() && tail.has_changed(&entry.metadata);
                    tail.path = entry.path;
                }
                None => tail.place = Place::Gone,
            }
        }
        let mut fresh: Vec<(Identity, Entry)> = found
            .into_iter()
            .filter(|(identity, entry)| entry.wanted || self.known.contains_key(identity))
            .collect();
        fresh.sort_by_key(|(_, e)| {
            let age = e.metadata.modified().ok().filter(|_| !e.wanted);
            (e.wanted, age, e.name.clone())
        });
        for (identity, entry) in fresh {
            let known = self.known.get(&identity).cloned().unwrap_or_else(|| Known {
                name: entry.name.clone(),
                generation: 1,
                ..Known::default()
            });
            let place = match entry.wanted && entry.name == known.name {
                true => Place::Named,
                false => Place::Renamed,
            };
            self.tails
                .push(Tail::new(identity, entry.path, place, known, flow));
        }
        self.forget(flow);
        Ok(())
    }

    /// Has all files be read again from where the log has taken them to.
    pub(super) fn read_again(&mut self, flow: &mut Flow<'_>) {
        self.tails.iter_mut().for_each(|tail| tail.read_again(flow));
        (self.turn, self.until, self.idle) = (0, None, 0);
    }

    /// Leaves out files that are gone.
    fn forget(&mut self, flow: &Flow<'_>) {
        let mut gone = HashSet::new();
        self.tails.retain(|tail| {
            let over = tail.is_over(flow);
            if over {
                flow.pipe.status().forget(&tail.partition());
                gone.insert(tail.identity);
            }
            !over
        });
        if gone.is_empty() {
            return;
        }
        self.known.retain(|identity, _| !gone.contains(identity));
        self.open.retain(|identity| !gone.contains(identity));
        (self.turn, self.until, self.idle) = (0, None, 0);
    }

    /// Reads a chunk of the file whose turn it is. False when no file has more than was read.
    ///
    /// # Errors
    /// When rows can't be taken.
    pub(super) fn step(&mut self, flow: &mut Flow<'_>) -> Result<bool, Ended> {
        while self.idle < self.tails.len() {
            if self.turn >= self.tails.len() {
                self.turn = 0;
            }
            self.open_next(flow);
            let tail = &mut self.tails[self.turn];
            let step = tail.step(flow, self.spec, &mut self.chunk)?;
            // A file that grows as fast as it is read does not keep the others waiting.
            let passed = self.until.is_some_and(|u| tail.end() >= u);
            let read = step == Step::Read;
            if !read || passed {
                self.turn += 1;
                self.until = None;
                self.idle = if read { 0 } else { self.idle + 1 };
            }
            if read {
                self.idle = 0;
                return Ok(true);
            }
        }
        self.idle = 0;
        self.forget(flow);
        Ok(false)
    }

    /// Opens the file whose turn it is, if there is something new in it, and closes another for it if there are many.
    fn open_next(&mut self, flow: &Flow<'_>) {
        let tail = &mut self.tails[self.turn];
        if tail.file.is_none() && tail.look && tail.place != Place::Gone {
            match open(&tail.path, tail.identity, &self.roots) {
                Ok(Opened::File(file)) => {
                    tail.file = Some(file);
                    self.open.push_back(tail.identity);
                }
                Ok(Opened::Another) => tail.look = false,
                Ok(Opened::Forbidden(path)) => {
                    let why = format!(
                        "it is {}, which lies below none of the directories in file_roots",
                        path.display()
                    );
                    tail.look = false;
                    tail.stop(flow, &why);
                }
                Err(error) => {
                    tail.look = false;
                    tail.trouble(flow, &error.to_string());
                }
            }
        }
        let tail = &self.tails[self.turn];
        if self.until.is_none() && tail.is_plain() {
            let len = tail.file.as_ref().and_then(|f| f.metadata().ok());
            self.until = len.map(|m| m.len());
        }
        if self.open.len() > self.max_open
            && let Some(oldest) = self.open.pop_front()
        {
            if oldest == self.tails[self.turn].identity {
                self.open.push_back(oldest);
            } else if let Some(tail) = self.tails.iter_mut().find(|t| t.identity == oldest) {
                let now = tail.file.take().and_then(|f| f.metadata().ok());
                tail.look |= now.is_none_or(|m| tail.has_changed(&m));
            }
        }
    }
}

enum Opened {
    File(File),
    /// The name is another file's by now.
    Another,
    /// It lies elsewhere.
    Forbidden(PathBuf),
}

/// Opens a file if it is that one, and below one of the roots.
fn open(path: &Path, identity: Identity, roots: &[PathBuf]) -> std::io::Result<Opened> {
    let file = OpenOptions::new()
        .read(true)
        // Nothing is to be waited for, should it be something else than a file by now.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || Identity::of(&metadata) != identity {
        return Ok(Opened::Another);
    }
    let real = real_path(path, &file)?;
    if roots.iter().any(|r| real.starts_with(r)) {
        Ok(Opened::File(file))
    } else {
        Ok(Opened::Forbidden(real))
    }
}

/// Where an open file lies, without links. The system is asked for what was opened: a path could mean another by now.
#[cfg(target_os = "linux")]
fn real_path(_: &Path, file: &File) -> std::io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn real_path(path: &Path, _: &File) -> std::io::Result<PathBuf> {
    fs::canonicalize(path)
}
