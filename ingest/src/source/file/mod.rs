//! Files of the server's own machine, line by line, as they grow.
//!
//! A file is known by what it is, not by its name: it is read to its end under whatever name it was given meanwhile. How
//! far each was taken lies in the log record of its rows. A line counts once it has its end; the last one of a compressed
//! file, and of one that was renamed or removed and is quiet since, also without.

mod files;
mod identity;
mod input;
mod lines;
mod spec;
mod tail;
#[cfg(test)]
mod tests;

pub use spec::{FileSpec, Truncation};

use super::control::{Control, Ended};
use super::flow::{Flow, Turn};
use super::pipe::Pipe;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use files::Files;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the directory is listed, whether the system tells of changes or not.
const LIST: Duration = Duration::from_secs(2);
/// How often open files are looked at without that.
const LOOK: Duration = Duration::from_millis(500);

/// Reads until `control` tells to end.
pub(crate) fn run(
    spec: &FileSpec,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
) -> Result<(), Ended> {
    let mut flow = Flow::new(make_pipe()?, control);
    let mut files = Files::new(spec, &flow)?;
    let news = News::of(&spec.directory);
    let (mut listed, mut looked) = (None::<Instant>, None::<Instant>);
    let due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
    let mut more = false;
    loop {
        match flow.turn()? {
            Turn::End => {
                flow.pipe.finish()?;
                return Ok(());
            }
            Turn::Rest => continue,
            Turn::Read => {}
        }
        if news.names.swap(false, Ordering::Relaxed) || due(listed, LIST) {
            files.scan(&mut flow)?;
            listed = Some(Instant::now());
            more = true;
        }
        if more || due(looked, LOOK) {
            more = files.step(&mut flow)?;
            if more {
                continue;
            }
            looked = Some(Instant::now());
        }
        flow.quiet()?;
        more = news.wait(flow.patience(), control);
    }
}

/// What the system tells of a directory.
struct News {
    /// Something has changed.
    any: Receiver<()>,
    /// Files have come, gone or been renamed.
    names: Arc<AtomicBool>,
    /// Without it there is no news, and the files are looked at now and then.
    _watcher: Option<RecommendedWatcher>,
}

impl News {
    fn of(directory: &Path) -> News {
        let (tell, any) = bounded(1);
        let names = Arc::new(AtomicBool::new(false));
        let watcher = watch(directory, tell, names.clone());
        if let Err(error) = &watcher {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "the system does not tell of changes; looking for them now and then");
        }
        News {
            any,
            names,
            _watcher: watcher.ok(),
        }
    }

    /// Waits so long at most; true when there is news.
    fn wait(&self, time: Duration, control: &Control) -> bool {
        if time.is_zero() {
            return self.any.try_recv().is_ok();
        }
        match self.any.recv_timeout(time) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                control.wait(time);
                false
            }
        }
    }
}

fn watch(
    directory: &Path,
    tell: Sender<()>,
    names: Arc<AtomicBool>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let kind = event.map(|e| e.kind).unwrap_or(EventKind::Any);
        match kind {
            // Our own reading.
            EventKind::Access(_) => return,
            EventKind::Modify(notify::event::ModifyKind::Data(_)) => {}
            _ => names.store(true, Ordering::Relaxed),
        }
        // One word is enough, however much has changed.
        let _ = tell.try_send(());
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
