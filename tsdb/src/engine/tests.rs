use super::*;
use crate::{BatchBuilder, ColumnId, DataType, Role, ScanSpec, SeriesId, Stream, StreamDef};
use std::ops::ControlFlow;

pub(super) fn def() -> StreamDef {
    let column = |n: &str, t, r| (n.to_owned(), t, r);
    StreamDef {
        columns: vec![
            column("time", DataType::Timestamp, Role::Time),
            column("host", DataType::Utf8, Role::Tag),
            column("v", DataType::Int64, Role::Field),
        ],
        ..StreamDef::default()
    }
}

pub(super) fn rows(stream: &Stream, values: std::ops::Range<i64>, small: bool) -> Request {
    let mut b = BatchBuilder::new(stream.id);
    for v in values {
        let host = format!("h{}", v % 7);
        let series = stream.series().resolve(&[(ColumnId(1), &host)]);
        b.begin_row(v * 10, series);
        b.column(ColumnId(2), DataType::Int64).unwrap().push_i64(v);
    }
    let rows = if small {
        Rows::Small(b)
    } else {
        Rows::Sealed(b.finish().unwrap())
    };
    Request {
        rows: vec![rows],
        ..Request::default()
    }
}

/// All values of a stream, each checked against its tag and time.
pub(super) fn values(snapshot: &Snapshot, stream: &Arc<Stream>) -> Vec<i64> {
    let spec = ScanSpec {
        columns: vec![ColumnId(2)],
        ..ScanSpec::default()
    };
    let hosts = stream.series().tag_codes(ColumnId(1));
    let mut all = Vec::new();
    snapshot
        .scan(stream, spec)
        .unwrap()
        .read_all(&mut |b| {
            let column = b.columns[0].as_ref().unwrap();
            for i in 0..b.rows {
                let v = column.i64_at(i);
                assert_eq!(b.time[i], v * 10);
                assert_eq!(
                    **hosts.value(hosts.code(b.series[i])).unwrap(),
                    format!("h{}", v % 7)
                );
                all.push(v);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    all.sort_unstable();
    all
}

fn open(dir: &std::path::Path) -> Engine {
    let config = EngineConfig {
        wal_file_bytes: 256 << 10,
        ..EngineConfig::new(dir)
    };
    Engine::open(&config).unwrap()
}

pub(super) fn up_to(n: i64) -> Vec<i64> {
    (0..n).collect()
}

#[test]
fn acknowledged_rows_survive_restarts_with_and_without_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    let first = engine.commit(rows(&stream, 0..1000, false)).unwrap();
    assert_eq!(engine.published(), first);
    engine.flush().unwrap();
    for v in 1000..1100 {
        engine.commit(rows(&stream, v..v + 1, true)).unwrap();
    }
    let lsn = engine.published();
    assert_eq!(values(&engine.snapshot(), &stream), up_to(1100));
    drop(engine);

    let engine = open(dir.path());
    assert_eq!(engine.published(), lsn);
    let stream = engine.catalog().stream("default", "s").unwrap();
    assert_eq!(values(&engine.snapshot(), &stream), up_to(1100));
    let storage = engine.storage().streams[0];
    assert_eq!((storage.rows, storage.head_rows), (1100, 100));
    // Columns and series that come later are in the log too, and nothing is written twice by a second flush.
    stream
        .ensure_columns(&[("w", DataType::Float64, Role::Field)])
        .unwrap();
    engine.commit(rows(&stream, 1100..1200, false)).unwrap();
    engine.flush().unwrap();
    engine.flush().unwrap();
    assert_eq!(values(&engine.snapshot(), &stream), up_to(1200));
    engine.close();
    drop(engine);

    let engine = open(dir.path());
    let stream = engine.catalog().stream("default", "s").unwrap();
    assert_eq!(stream.schema().columns.len(), 4);
    assert_eq!(values(&engine.snapshot(), &stream), up_to(1200));
    assert_eq!(engine.storage().streams[0].head_rows, 0);
    assert_eq!(engine.metrics().head_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn a_snapshot_stays_as_it_was_through_commits_and_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    let mut snapshots = Vec::new();
    for i in 0..30 {
        engine
            .commit(rows(&stream, i * 100..i * 100 + 100, i % 2 == 0))
            .unwrap();
        snapshots.push((engine.snapshot(), (i + 1) * 100));
        if i % 10 == 9 {
            engine.flush().unwrap();
        }
    }
    for (snapshot, n) in snapshots {
        assert_eq!(values(&snapshot, &stream), up_to(n));
        assert_eq!(snapshot.row_count(stream.id), n as u64);
    }
}

#[derive(Default)]
struct Follower(Mutex<Vec<Lsn>>);

impl CommitObserver for Follower {
    fn on_commit(&self, commit: &Arc<Commit>) {
        self.0.lock().push(commit.lsn);
    }
}

#[test]
fn followers_see_every_commit_once_in_order_and_barriers_fall_between_two() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    engine.commit(rows(&stream, 0..10, true)).unwrap();
    let follower = Arc::new(Follower::default());
    let from = engine.attach(follower.clone(), Snapshot::lsn);
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let (engine, stream) = (engine.clone(), stream.clone());
            std::thread::spawn(move || {
                for i in 0..50 {
                    let v = 1000 * (w + 1) + i;
                    engine.commit(rows(&stream, v..v + 1, true)).unwrap();
                }
            })
        })
        .collect();
    for _ in 0..50 {
        engine.barrier(|s| assert_eq!(follower.0.lock().last().copied().unwrap_or(from), s.lsn()));
    }
    writers.into_iter().for_each(|w| w.join().unwrap());
    let seen = follower.0.lock().clone();
    assert_eq!(
        seen,
        (from.0 + 1..=engine.published().0)
            .map(Lsn)
            .collect::<Vec<_>>()
    );
    assert_eq!(values(&engine.snapshot(), &stream).len(), 210);
    engine.close();
    drop(engine);

    let engine = open(dir.path());
    let replay = engine.replay_after(from).unwrap();
    assert_eq!(replay.iter().map(|c| c.lsn).collect::<Vec<_>>(), seen);
}

#[test]
fn the_log_is_cut_after_a_flush_unless_someone_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    let wal = |engine: &Engine| engine.storage().wal_bytes;
    engine.hold_wal("view", Some(Lsn(0)));
    for i in 0..60 {
        engine
            .commit(rows(&stream, i * 5000..(i + 1) * 5000, false))
            .unwrap();
    }
    engine.flush().unwrap();
    engine
        .commit(rows(&stream, 300_000..300_001, true))
        .unwrap();
    let held = wal(&engine);
    assert!(held > 1 << 20, "{held}");
    engine.hold_wal("view", None);
    engine
        .commit(rows(&stream, 300_001..300_002, true))
        .unwrap();
    // Another thread lets go of the files.
    engine.shared().prepare_signal.request_and_wait().unwrap();
    assert!(wal(&engine) < 600 << 10, "{}", wal(&engine));
    drop(engine);
    let engine = open(dir.path());
    let stream = engine.catalog().stream("default", "s").unwrap();
    assert_eq!(values(&engine.snapshot(), &stream), up_to(300_002));
}

#[test]
fn a_full_head_refuses_rows_until_a_flush_and_dropped_streams_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        head_bytes: 20_000,
        flush_bytes: u64::MAX,
        ..EngineConfig::new(dir.path())
    };
    let engine = Engine::open(&config).unwrap();
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    engine.shared().flush_signal.close();
    let error = (0..).find_map(|i| {
        engine
            .commit(rows(&stream, i * 100..(i + 1) * 100, false))
            .err()
    });
    assert!(matches!(error, Some(Error::Overloaded { .. })), "{error:?}");
    engine.catalog().drop_stream("default", "s").unwrap();
    engine.commit(Request::default()).unwrap();
    drop(engine);
    let engine = open(dir.path());
    assert!(engine.catalog().stream("default", "s").is_none());
    let again = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    assert!(again.id > stream.id);
    assert_eq!(engine.snapshot().row_count(again.id), 0);
    assert_eq!(SeriesId(0), again.series().resolve(&[]));
}

#[test]
fn a_second_engine_on_one_directory_is_refused_and_harms_nothing() {
    for io in [IoKind::Std, IoKind::Auto] {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig {
            io,
            ..EngineConfig::new(dir.path())
        };
        let engine = Engine::open(&config).unwrap();
        let stream = engine
            .catalog()
            .create_stream("default", "s", &def())
            .unwrap();
        engine.commit(rows(&stream, 0..100, false)).unwrap();
        let error = Engine::open(&config).err().unwrap().to_string();
        assert!(
            error.contains("another process uses it")
                && error.contains(dir.path().to_str().unwrap()),
            "{error}"
        );
        engine.commit(rows(&stream, 100..200, false)).unwrap();
        // Closing gives the directory up, whoever still holds the engine.
        engine.close();
        let (_closed, _held) = (engine, stream);
        let engine = Engine::open(&config).unwrap();
        let stream = engine.catalog().stream("default", "s").unwrap();
        assert_eq!(values(&engine.snapshot(), &stream), up_to(200));
    }
}

#[test]
fn expired_rows_are_not_shown_and_their_segments_go_with_the_last_reader() {
    const HOUR: i64 = 3_600_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut kept = def();
    kept.options.retention_ns = Some(HOUR);
    let stream = engine
        .catalog()
        .create_stream("default", "s", &kept)
        .unwrap();
    let now = engine.clock().wall_ns();
    let at = |times: &[i64]| {
        let mut b = BatchBuilder::new(stream.id);
        for time in times {
            b.begin_row(*time, SeriesId(0));
            b.column(ColumnId(2), DataType::Int64).unwrap().push_i64(1);
        }
        stream.series().resolve(&[]);
        engine
            .commit(Request {
                rows: vec![Rows::Small(b)],
                ..Request::default()
            })
            .unwrap();
    };
    let shown = |snapshot: &Snapshot| {
        let mut times = Vec::new();
        let scan = snapshot.scan(&stream, ScanSpec::default()).unwrap();
        scan.read_all(&mut |b| {
            times.extend(b.time);
            ControlFlow::Continue(())
        })
        .unwrap();
        times.sort_unstable();
        times
    };
    let files = || {
        std::fs::read_dir(dir.path().join("segments"))
            .unwrap()
            .count()
    };
    assert_eq!(
        stream.too_old(now - 2 * HOUR, now),
        Some(crate::TooOld::Expired)
    );
    assert_eq!(stream.too_old(now - HOUR / 2, now), None);
    // Rows that were taken in time, of which one segment's have all expired since.
    at(&[now - 3 * HOUR, now - 2 * HOUR]);
    engine.flush().unwrap();
    // Whoever has that segment may go on; its file goes afterwards.
    let reader = engine.snapshot();
    at(&[now - 2 * HOUR, now]);
    assert_eq!(shown(&engine.snapshot()), [now]);
    engine.flush().unwrap();
    assert_eq!((engine.storage().segments, files()), (1, 2));
    assert_eq!(shown(&engine.snapshot()), [now]);
    assert_eq!(reader.row_count(stream.id), 2);
    drop(reader);
    assert_eq!(files(), 1);
    drop(engine);
    let engine = open(dir.path());
    assert!(engine.damage().is_empty(), "{:?}", engine.damage());
    assert_eq!(engine.storage().segments, 1);
}

#[test]
fn a_stream_that_wants_no_late_rows_says_from_when_on() {
    const SECOND: i64 = 1_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut strict = def();
    strict.options.late = crate::Late::DeadLetter;
    (strict.options.disorder_ns, strict.options.lateness_ns) = (5 * SECOND, 10 * SECOND);
    let stream = engine
        .catalog()
        .create_stream("default", "s", &strict)
        .unwrap();
    assert_eq!(stream.oldest_taken(0), i64::MIN);
    let now = engine.clock().wall_ns();
    let at = |engine: &Engine, time: i64| {
        let stream = engine.catalog().stream("default", "s").unwrap();
        let mut b = BatchBuilder::new(stream.id);
        b.begin_row(time, stream.series().resolve(&[]));
        engine
            .commit(Request {
                rows: vec![Rows::Small(b)],
                ..Request::default()
            })
            .unwrap();
    };
    at(&engine, now);
    assert_eq!(stream.oldest_taken(now), now - 15 * SECOND);
    assert_eq!(stream.too_old(now - 15 * SECOND, now), None);
    assert_eq!(
        stream.too_old(now - 16 * SECOND, now),
        Some(crate::TooOld::Late)
    );
    // A row from far ahead moves nothing, and a restart forgets nothing.
    at(&engine, now + 7200 * SECOND);
    assert_eq!(stream.oldest_taken(now), now - 15 * SECOND);
    drop((stream, engine));
    let engine = open(dir.path());
    let stream = engine.catalog().stream("default", "s").unwrap();
    assert_eq!(stream.oldest_taken(now), now - 15 * SECOND);
}

#[test]
fn whoever_holds_the_log_can_read_it_behind_the_writer() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<Arc<Commit>>>);
    impl CommitObserver for Seen {
        fn on_commit(&self, commit: &Arc<Commit>) {
            self.0.lock().push(commit.clone());
        }
    }
    let text = |commits: &[Arc<Commit>]| -> Vec<String> {
        commits
            .iter()
            .map(|c| {
                let mut bytes = Vec::new();
                c.batches.iter().for_each(|b| b.encode(&mut bytes));
                format!("{} {} {} {bytes:?}", c.lsn, c.wall_ns, c.tick)
            })
            .collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def())
        .unwrap();
    let seen = Arc::new(Seen::default());
    let from = engine.attach(seen.clone(), |snapshot| snapshot.lsn());
    engine.hold_wal("reader", Some(from));
    let mut written = 0;
    let mut write = |engine: &Engine, stream: &Stream, commits: i64| {
        for n in 0..commits {
            let rows = rows(stream, written..written + 1000, n % 2 == 0);
            written += 1000;
            engine.commit(rows).unwrap();
        }
    };
    let read = |engine: &Engine, mut at: Lsn| {
        let (mut all, mut parts) = (Vec::new(), 0);
        loop {
            let part = engine.read_log(at, 16 << 10).unwrap();
            let Some(last) = part.last() else { break };
            at = last.lsn;
            parts += 1;
            all.extend(part);
        }
        (all, parts)
    };
    write(&engine, &stream, 60);
    engine.flush().unwrap();
    write(&engine, &stream, 60);
    engine.flush().unwrap();
    let (all, parts) = read(&engine, from);
    assert!(parts > 10, "{parts}");
    assert_eq!(text(&all), text(&seen.0.lock()));
    let some = all[50].lsn;
    assert_eq!(text(&read(&engine, some).0), text(&seen.0.lock()[51..]));
    assert!(engine.log_bytes_after(from) > engine.log_bytes_after(all[100].lsn));
    assert!(engine.read_log(engine.published(), 1).unwrap().is_empty());
    // After a restart the log is as it was, as long as it is held.
    drop((stream, engine));
    let config = EngineConfig {
        wal_file_bytes: 256 << 10,
        held: vec![("reader".into(), from)],
        ..EngineConfig::new(dir.path())
    };
    let engine = Engine::open(&config).unwrap();
    // An engine that is idle looks after its files: it makes the next one ready, and lets go of others first.
    while engine.storage().wal_ready_bytes == 0 {
        std::thread::yield_now();
    }
    assert_eq!(text(&read(&engine, from).0), text(&seen.0.lock()));
    engine.hold_wal("reader", None);
    let stream = engine.catalog().stream("default", "s").unwrap();
    write(&engine, &stream, 1);
    engine.flush().unwrap();
    // The files go on a thread of their own.
    let patience = std::time::Instant::now();
    while engine.read_log(from, 1).is_ok() {
        assert!(
            patience.elapsed().as_secs() < 30,
            "the log is kept for nobody"
        );
        std::thread::yield_now();
    }
}
