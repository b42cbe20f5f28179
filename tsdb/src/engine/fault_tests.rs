//! The engine with its threads, on a disk that fails when told to.

use super::tests::{def, rows, up_to, values};
use super::*;
use crate::io::{Completion, DirEntry, DurableWrite, File, Queue, StdDisk, Waker};
use crate::{BatchBuilder, ColumnId, DataType, Role, ScanSpec, SeriesId};
use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What fails now.
#[derive(Clone, Default)]
struct Switches {
    /// New names: there is no room for them.
    names: Arc<AtomicBool>,
    /// Syncs of the log.
    syncs: Arc<AtomicBool>,
}

struct FaultyDisk {
    inner: StdDisk,
    fails: Switches,
}

impl FaultyDisk {
    fn open(dir: &std::path::Path, fails: &Switches) -> Arc<dyn Disk> {
        Arc::new(FaultyDisk {
            inner: StdDisk::new(dir).unwrap(),
            fails: fails.clone(),
        })
    }

    fn room(&self) -> io::Result<()> {
        if self.fails.names.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn kind(&self) -> &'static str {
        "faulty"
    }
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.inner.create_dir(dir)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.inner.open(name)
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.room()?;
        self.inner.create(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.room()?;
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        Ok(Box::new(FaultyQueue {
            inner: self.inner.queue()?,
            fails: self.fails.clone(),
        }))
    }
}

struct FaultyQueue {
    inner: Box<dyn Queue>,
    fails: Switches,
}

impl Queue for FaultyQueue {
    fn submit(&mut self, write: DurableWrite, token: u64) {
        self.inner.submit(write, token);
    }
    fn wait(
        &mut self,
        min: usize,
        timeout: Option<Duration>,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        self.inner.wait(min, timeout, out)?;
        if self.fails.syncs.load(Ordering::Relaxed) {
            for completion in out {
                completion.result = Err(io::Error::from_raw_os_error(libc::EIO));
            }
        }
        Ok(())
    }
    fn waker(&self) -> Waker {
        self.inner.waker()
    }
    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}

fn open(dir: &std::path::Path, fails: &Switches) -> Engine {
    let config = EngineConfig {
        wal_file_bytes: 64 << 10,
        ..EngineConfig::new(dir)
    };
    let clock = Arc::new(SystemClock::new());
    Engine::open_on(FaultyDisk::open(dir, fails), clock, &config).unwrap()
}

/// A poisoned log once kept its failed groups in flight: no request was answered any more, and closing never ended.
#[test]
fn after_a_failed_sync_everyone_is_told_and_closing_ends() {
    let (dir, fails) = (tempfile::tempdir().unwrap(), Switches::default());
    let engine = open(dir.path(), &fails);
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    engine.commit(rows(&stream, 0..100, true)).unwrap();
    fails.syncs.store(true, Ordering::Relaxed);
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let (engine, stream) = (engine.clone(), stream.clone());
            std::thread::spawn(move || {
                for i in 0..20 {
                    let v = 1000 * (w + 1) + i;
                    let refused = engine.commit(rows(&stream, v..v + 1, true));
                    assert!(matches!(refused, Err(Error::Poisoned(_))), "{refused:?}");
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|w| w.join().unwrap());
    assert!(engine.metrics().poisoned.load(Ordering::Relaxed));
    engine.close();
    drop(engine);
    fails.syncs.store(false, Ordering::Relaxed);
    let engine = open(dir.path(), &fails);
    let stream = engine.catalog().stream("default", "s").unwrap();
    let found = values(&engine.snapshot(), &stream);
    assert_eq!(found[..100], up_to(100), "what was acknowledged is there");
}

/// A full disk once poisoned the log when the refused commit had brought a new series.
#[test]
fn a_full_disk_refuses_commits_and_takes_them_again_once_there_is_room() {
    let (dir, fails) = (tempfile::tempdir().unwrap(), Switches::default());
    let engine = open(dir.path(), &fails);
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    engine.commit(rows(&stream, 0..10, true)).unwrap();
    let mut acknowledged = up_to(10);
    fails.names.store(true, Ordering::Relaxed);
    let mut refused = 0;
    // One new column each, so that every refused commit had something for the catalog.
    for i in 1..200i64 {
        let column = format!("extra{i}");
        let added = [(column.as_str(), DataType::Int64, Role::Field)];
        stream.ensure_columns(&added).unwrap();
        match engine.commit(rows(&stream, i * 10..i * 10 + 10, i % 2 == 0)) {
            Ok(_) => acknowledged.extend(i * 10..i * 10 + 10),
            Err(Error::NoRoom(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 50, "{refused}");
    assert_eq!(
        values(&engine.snapshot(), &stream),
        acknowledged,
        "reads go on"
    );
    assert!(engine.flush().is_err());
    fails.names.store(false, Ordering::Relaxed);
    for i in 200..210 {
        engine
            .commit(rows(&stream, i * 10..i * 10 + 10, true))
            .unwrap();
        acknowledged.extend(i * 10..i * 10 + 10);
    }
    engine.flush().unwrap();
    assert_eq!(values(&engine.snapshot(), &stream), acknowledged);
    engine.close();
    drop(engine);
    let engine = open(dir.path(), &fails);
    let stream = engine.catalog().stream("default", "s").unwrap();
    assert_eq!(stream.schema().columns.len(), 3 + 199);
    assert_eq!(values(&engine.snapshot(), &stream), acknowledged);
}

#[test]
fn a_request_of_too_many_parts_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &Switches::default());
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    let parts = |n: i64| Request {
        rows: (0..n)
            .flat_map(|v| rows(&stream, v..v + 1, false).rows)
            .collect(),
        ..Request::default()
    };
    let (sender, receiver) = std::sync::mpsc::channel();
    let all = [parts(1), parts(70_000), parts(2)].into_iter().enumerate();
    for (i, request) in all {
        let sender = sender.clone();
        let done = move |result: Result<Lsn, Error>| sender.send((i, result)).unwrap();
        engine.submit(request, Box::new(done));
    }
    for _ in 0..3 {
        match receiver.recv().unwrap() {
            (1, result) => assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}"),
            (i, result) => assert!(result.is_ok(), "{i}: {result:?}"),
        }
    }
    assert_eq!(values(&engine.snapshot(), &stream), [0, 0, 1]);
}

#[test]
fn a_segment_cut_under_its_map_is_an_error_for_its_rows_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &Switches::default());
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    let other = engine
        .catalog()
        .create_stream("default", "o", &def())
        .unwrap();
    engine.commit(rows(&stream, 0..50_000, false)).unwrap();
    engine.flush().unwrap();
    engine.commit(rows(&other, 0..100, false)).unwrap();
    // Mapped from here on.
    assert_eq!(values(&engine.snapshot(), &stream).len(), 50_000);
    let segments = std::fs::read_dir(dir.path().join("segments")).unwrap();
    for path in segments.map(|e| e.unwrap().path()) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    }
    let scan = engine
        .snapshot()
        .scan(&stream, ScanSpec::default())
        .unwrap();
    let outcome = scan.read_all(&mut |_| std::ops::ControlFlow::Continue(()));
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
    assert_eq!(values(&engine.snapshot(), &other), up_to(100));
    engine.commit(rows(&other, 100..200, true)).unwrap();
}

/// A damaged record that had defined a series once kept the database from opening; and where no later definition showed
/// the gap, the next new series took over the lost one's rows.
#[test]
fn a_lost_definition_leaves_its_rows_without_tags_and_everything_else_whole() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &Switches::default());
    let catalog = engine.catalog();
    let stream = catalog.create_stream("default", "s", &def()).unwrap();
    let row = |host: &str, v: i64| {
        let mut b = BatchBuilder::new(stream.id);
        b.begin_row(v * 10, stream.series().resolve(&[(ColumnId(1), host)]));
        b.column(ColumnId(2), DataType::Int64).unwrap().push_i64(v);
        Request {
            rows: vec![Rows::Small(b)],
            ..Request::default()
        }
    };
    engine.commit(row("first", 1)).unwrap();
    engine.commit(row("lost by damage", 2)).unwrap();
    engine.commit(row("lost by damage", 3)).unwrap();
    engine.close();
    drop(engine);
    let log = std::fs::read_dir(dir.path().join("wal")).unwrap();
    let mut hit = 0;
    for path in log.map(|e| e.unwrap().path()) {
        let mut bytes = std::fs::read(&path).unwrap();
        let text = b"lost by damage";
        if let Some(at) = bytes.windows(text.len()).position(|w| w == text) {
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            hit += 1;
        }
    }
    assert_eq!(hit, 1);
    let engine = open(dir.path(), &Switches::default());
    assert!(!engine.damage().is_empty());
    let stream = engine.catalog().stream("default", "s").unwrap();
    let newcomer = stream.series().resolve(&[(ColumnId(1), "newcomer")]);
    let mut seen = Vec::new();
    let scan = engine
        .snapshot()
        .scan(&stream, ScanSpec::default())
        .unwrap();
    let tag = |s| stream.series().tag_value(SeriesId(s), ColumnId(1));
    scan.read_all(&mut |b| {
        assert!(b.series.iter().all(|s| *s != newcomer.0));
        seen.extend(b.time.iter().zip(&b.series).map(|(t, s)| (*t, tag(*s))));
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen, [(10, Some("first".into())), (30, None)]);
}

/// A stream whose definition was lost leaves its rows in segments; a stream that is made afterwards once got the same id,
/// and with it the rows.
#[test]
fn a_new_stream_never_inherits_the_rows_of_a_lost_one() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &Switches::default());
    let catalog = engine.catalog();
    let stream = catalog.create_stream("default", "lost", &def()).unwrap();
    engine.commit(rows(&stream, 0..10, false)).unwrap();
    engine.flush().unwrap();
    engine.close();
    drop((stream, engine));
    // The log has the definition too, for as long as it is not cut.
    for file in std::fs::read_dir(dir.path().join("wal")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    for file in std::fs::read_dir(dir.path().join("catalog")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
    }
    let engine = open(dir.path(), &Switches::default());
    let catalog = engine.catalog();
    assert!(!engine.damage().is_empty() && catalog.stream("default", "lost").is_none());
    let fresh = catalog.create_stream("default", "fresh", &def()).unwrap();
    assert_eq!(engine.snapshot().row_count(fresh.id), 0);
    engine.commit(rows(&fresh, 0..5, false)).unwrap();
    assert_eq!(values(&engine.snapshot(), &fresh), up_to(5));
}
