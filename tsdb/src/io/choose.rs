//! Which disk a data directory gets.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Disk, StdDisk, UringDisk};

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoKind {
    /// Through io_uring where a probe shows that it works, else plainly.
    #[default]
    Auto,
    /// Through io_uring, or not at all.
    Uring,
    /// With plain calls.
    Std,
}

/// Opens the data directory `root`, making it unless it is there. It is locked as long as the disk lives.
///
/// # Errors
/// When the directory can't be made or another process uses it, or when io_uring is asked for by name and doesn't work.
pub fn open_disk(kind: IoKind, root: &Path) -> io::Result<Arc<dyn Disk>> {
    let files = StdDisk::new(root)?;
    if kind == IoKind::Std {
        return Ok(Arc::new(files));
    }
    match UringDisk::probe(&files) {
        Ok(()) => Ok(Arc::new(UringDisk::new(files))),
        Err(e) if kind == IoKind::Uring => Err(e),
        Err(reason) => {
            tracing::info!(%reason, "io_uring does not work here; the log is written with plain calls");
            Ok(Arc::new(files))
        }
    }
}
