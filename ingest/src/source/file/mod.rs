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

use super::SourceState;
use super::control::{Control, Ended, Wish};
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
/// First and longest time until what could not be taken is read again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Reads until `control` tells to end.
pub(crate) fn run(
    spec: &FileSpec,
    control: &Control,
    make_pipe: &dyn Fn() -> Result<Pipe, Ended>,
) -> Result<(), Ended> {
    let mut flow = Flow::new(make_pipe()?, control);
    let mut watch = Watch {
        files: Files::new(spec, &flow)?,
        news: News::of(&spec.directory),
        listed: None,
        looked: None,
        more: false,
    };
    let mut pause = PAUSE.0;
    loop {
        match watch.turn(&mut flow, control) {
            Ok(Turn::End) => return Ok(()),
            Ok(_) => pause = PAUSE.0,
            Err(Ended::Retry(why)) => {
                // The files stay open: one that was removed meanwhile is to be had nowhere else.
                flow.pipe.clear();
                watch.files.read_again(&mut flow);
                flow.pipe.status().set(SourceState::Waiting, Some(why));
                control.wait(pause);
                pause = (pause * 2).min(PAUSE.1);
                if control.wish() == Wish::End {
                    return Err(Ended::Told);
                }
            }
            Err(other) => return Err(other),
        }
    }
}

/// The files and when they were looked at.
struct Watch<'s> {
    files: Files<'s>,
    news: News,
    listed: Option<Instant>,
    looked: Option<Instant>,
    /// There may be more to read.
    more: bool,
}

impl Watch<'_> {
    fn turn(&mut self, flow: &mut Flow<'_>, control: &Control) -> Result<Turn, Ended> {
        let due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
        match flow.turn()? {
            Turn::End => {
                flow.pipe.finish()?;
                return Ok(Turn::End);
            }
            Turn::Rest => return Ok(Turn::Rest),
            Turn::Read => {}
        }
        if self.news.names.swap(false, Ordering::Relaxed) || due(self.listed, LIST) {
            self.files.scan(flow)?;
            self.listed = Some(Instant::now());
            self.more = true;
        }
        if self.more || due(self.looked, LOOK) {
            self.more = self.files.step(flow)?;
            if self.more {
                return Ok(Turn::Read);
            }
            self.looked = Some(Instant::now());
        }
        flow.quiet()?;
        self.more = self.news.wait(flow.patience(), control);
        Ok(Turn::Read)
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
