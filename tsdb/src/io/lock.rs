//! Who may use a data directory: one writer, or any number of readers.
//!
//! The lock is the kernel's (`flock`) on the file `LOCK`, not the file's existence: it is gone with the last process
//! that holds it, however that ends. Whoever owns a [`super::Disk`] holds it alone; readers that never write
//! ([`DirLock::shared`]) exclude writers only.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

/// The file that is locked.
const NAME: &str = "LOCK";
/// A number of a process has no more digits than fit in here.
const MAX_NOTE: u64 = 32;

/// A held lock; letting it go unlocks.
#[derive(Debug)]
pub struct DirLock {
    // Closing the file is what unlocks.
    _file: File,
}

impl DirLock {
    /// Takes the directory for one writer, and notes in the file which process that is.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process (or another user of this one) has it, with words for the
    /// user; else what the disk said.
    pub fn exclusive(root: &Path) -> io::Result<DirLock> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join(NAME))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&mut file)),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        // Only a help for people: a full disk is found where it matters.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(DirLock { _file: file })
    }

    /// Keeps writers out of a directory that is only read. `None` where there is no lock file: no writer has ever been
    /// there, and a reader makes no file.
    ///
    /// # Errors
    /// As [`DirLock::exclusive`].
    pub fn shared(root: &Path) -> io::Result<Option<DirLock>> {
        let mut file = match File::open(root.join(NAME)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(DirLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(taken(&mut file)),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

/// What to tell who comes second.
fn taken(file: &mut File) -> io::Error {
    let mut note = String::new();
    // Empty, cut short or unreadable: then the process is not named.
    let _ = file.take(MAX_NOTE).read_to_string(&mut note);
    let who = match note.trim().parse::<u32>() {
        Ok(process) => format!(" (the last to write in it was process {process})"),
        Err(_) => String::new(),
    };
    io::Error::new(
        io::ErrorKind::WouldBlock,
        format!("another process uses it{who}; end that process first, or name another directory"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_excludes_everybody_and_readers_exclude_writers() {
        let dir = tempfile::tempdir().unwrap();
        assert!(DirLock::shared(dir.path()).unwrap().is_none());
        assert!(!dir.path().join(NAME).exists(), "a reader makes no file");

        let writer = DirLock::exclusive(dir.path()).unwrap();
        for refused in [
            DirLock::exclusive(dir.path()).map(|_| ()),
            DirLock::shared(dir.path()).map(|_| ()),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let process = format!("was process {})", std::process::id());
            assert!(error.to_string().contains(&process), "{error}");
        }
        drop(writer);

        let readers = [(), ()].map(|()| DirLock::shared(dir.path()).unwrap().unwrap());
        assert!(DirLock::exclusive(dir.path()).is_err());
        drop(readers);
        DirLock::exclusive(dir.path()).unwrap();
    }
}
