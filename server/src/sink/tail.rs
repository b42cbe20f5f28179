//! The commits of one stream, from any place in the log on: out of memory while the sink keeps up, out of the log's files
//! when it does not, so that a slow topic costs memory up to a bound and makes nobody wait.

use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;
use tsdb::types::{Lsn, StreamId};
use tsdb::{Commit, CommitObserver, Engine, Error};

/// Bytes of commits that wait in memory for one sink.
const QUEUE_BYTES: usize = 32 << 20;
/// Bytes of log that are read at once.
const READ_BYTES: usize = 8 << 20;

#[derive(Default)]
struct Queue {
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    /// The last commit that was looked at.
    seen: Lsn,
    /// Commits have been left out, or none were wanted yet.
    overrun: bool,
}

/// Where one sink's commits come in.
struct Tap {
    stream: StreamId,
    queue: Mutex<Queue>,
    ready: Notify,
}

/// What a commit with rows of the stream holds, others' rows too: all of it is kept. Nothing without any.
fn size(commit: &Commit, stream: StreamId) -> usize {
    match commit.batches.iter().any(|b| b.stream == stream) {
        true => commit.batches.iter().map(|b| b.byte_len()).sum(),
        false => 0,
    }
}

impl Tap {
    fn push(&self, commit: &Arc<Commit>) {
        let bytes = size(commit, self.stream);
        let mut queue = self.queue.lock();
        queue.seen = commit.lsn;
        if bytes == 0 || queue.overrun {
            return;
        }
        if queue.bytes > 0 && queue.bytes + bytes > QUEUE_BYTES {
            queue.commits.clear();
            (queue.bytes, queue.overrun) = (0, true);
        } else {
            queue.bytes += bytes;
            queue.commits.push_back(commit.clone());
        }
        drop(queue);
        self.ready.notify_one();
    }
}

/// All sinks' entrances. Runs on the commit thread: it pushes to queues and does no work.
#[derive(Default)]
pub(super) struct Hub(RwLock<Vec<Arc<Tap>>>);

impl CommitObserver for Hub {
    fn on_commit(&self, commit: &Arc<Commit>) {
        for tap in self.0.read().iter() {
            tap.push(commit);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the log's files.
    Log,
    /// There, up to the commit behind which the queue begins.
    LogUpTo(Lsn),
    Queue,
}

/// Follows the log.
pub(super) struct Tail {
    engine: Engine,
    hub: Arc<Hub>,
    tap: Arc<Tap>,
    place: Place,
    at: Lsn,
}

impl Tail {
    /// From behind `at` on.
    pub fn new(engine: Engine, hub: Arc<Hub>, stream: StreamId, at: Lsn) -> Tail {
        let queue = Queue {
            overrun: true,
            ..Queue::default()
        };
        let tap = Arc::new(Tap {
            stream,
            queue: Mutex::new(queue),
            ready: Notify::new(),
        });
        hub.0.write().push(tap.clone());
        Tail {
            engine,
            hub,
            tap,
            place: Place::Log,
            at,
        }
    }

    /// The commit up to which all was taken.
    pub fn at(&self) -> Lsn {
        self.at
    }

    /// The next commits, some of them without rows of the stream, and none of them when there are no more: then
    /// [`Tail::ready`] is to be awaited.
    ///
    /// # Errors
    /// When the log no longer has them.
    pub fn take(&mut self) -> Result<Vec<Arc<Commit>>, Error> {
        match self.place {
            Place::Log => {
                let commits = self.engine.read_log(self.at, READ_BYTES)?;
                if let Some(last) = commits.last() {
                    self.at = last.lsn;
                }
                // Near the end: from here on commits wait in memory. Those up to here are in the files.
                if self.engine.published().0.saturating_sub(self.at.0) < 64 {
                    let base = self.engine.barrier(|snapshot| {
                        let mut queue = self.tap.queue.lock();
                        queue.commits.clear();
                        (queue.bytes, queue.overrun) = (0, false);
                        queue.seen = snapshot.lsn();
                        snapshot.lsn()
                    });
                    self.place = Place::LogUpTo(base);
                }
                Ok(commits)
            }
            Place::LogUpTo(base) if self.at < base => {
                let mut commits = self.engine.read_log(self.at, READ_BYTES)?;
                commits.retain(|c| c.lsn <= base);
                if let Some(last) = commits.last() {
                    self.at = last.lsn;
                }
                Ok(commits)
            }
            Place::LogUpTo(_) | Place::Queue => {
                self.place = Place::Queue;
                let mut queue = self.tap.queue.lock();
                if queue.overrun {
                    self.place = Place::Log;
                    drop(queue);
                    return self.take();
                }
                queue.bytes = 0;
                self.at = self.at.max(queue.seen);
                Ok(queue.commits.drain(..).collect())
            }
        }
    }

    /// Returns when there may be more to take.
    pub async fn ready(&self) {
        self.tap.ready.notified().await;
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.hub.0.write().retain(|t| !Arc::ptr_eq(t, &self.tap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb::types::{BatchBuilder, DataType, Role};
    use tsdb::{EngineConfig, Request, Rows, StreamDef};

    #[test]
    fn every_commit_of_the_stream_comes_once_from_files_and_memory() {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig {
            wal_file_bytes: 256 << 10,
            ..EngineConfig::new(dir.path())
        };
        let engine = Engine::open(&config).unwrap();
        let column = |n: &str, t, r| (n.to_owned(), t, r);
        let def = StreamDef {
            columns: vec![column("time", DataType::Timestamp, Role::Time)],
            ..StreamDef::default()
        };
        let create = |name| {
            engine
                .catalog()
                .create_stream("default", name, &def)
                .unwrap()
        };
        let (ours, other) = (create("ours"), create("other"));
        engine.hold_wal("test", Some(engine.published()));
        let start = engine.published();
        let hub = Arc::new(Hub::default());
        engine.attach(hub.clone(), |_| ());
        let mut wanted = Vec::new();
        let mut write = |n: i64| {
            for i in 0..n {
                let stream = if i % 3 == 0 { &other } else { &ours };
                let mut b = BatchBuilder::new(stream.id);
                b.begin_row(i, stream.series().resolve(&[]));
                let lsn = engine.commit(Request::of(vec![Rows::Small(b)])).unwrap();
                if i % 3 != 0 {
                    wanted.push(lsn);
                }
            }
        };
        write(200);
        let mut tail = Tail::new(engine.clone(), hub, ours.id, start);
        let mut got = Vec::new();
        let take = |tail: &mut Tail, got: &mut Vec<Lsn>| {
            while tail.at() < engine.published() {
                for commit in tail.take().unwrap() {
                    if size(&commit, ours.id) > 0 {
                        got.push(commit.lsn);
                    }
                }
            }
        };
        take(&mut tail, &mut got);
        write(50);
        take(&mut tail, &mut got);
        assert_eq!(tail.place, Place::Queue);
        // Left behind, it goes back to the files.
        write(20);
        {
            let mut queue = tail.tap.queue.lock();
            queue.commits.clear();
            (queue.bytes, queue.overrun) = (0, true);
        }
        write(100);
        take(&mut tail, &mut got);
        write(7);
        take(&mut tail, &mut got);
        assert_eq!(got, wanted);
        // Rows of others that come in the same commit are kept with it, and count.
        let row = |stream: &Arc<tsdb::Stream>, n: i64| {
            let mut b = BatchBuilder::new(stream.id);
            (0..n).for_each(|i| b.begin_row(i, stream.series().resolve(&[])));
            Rows::Small(b)
        };
        let both = Request::of(vec![row(&ours, 1), row(&other, 10_000)]);
        engine.commit(both).unwrap();
        let counted = tail.tap.queue.lock().bytes;
        let commit = tail.take().unwrap().pop().unwrap();
        let own = commit.batches.iter().find(|b| b.stream == ours.id);
        assert_eq!(commit.batches.len(), 2);
        assert!(counted > own.unwrap().byte_len());
        let hub = tail.hub.clone();
        drop(tail);
        assert!(hub.0.read().is_empty());
    }
}
