use super::files::Files;
use super::spec::{FileSpec, Truncation};
use crate::source::control::Control;
use crate::source::flow::Flow;
use crate::source::pipe::Pipe;
use crate::source::status::SourceStatus;
use crate::source::{Format, Include, Intake, SourceState, Sources, SourcesConfig};
use proptest::prelude::*;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tsdb::clock::SystemClock;
use tsdb::sim::SimDisk;
use tsdb::types::{DataType, Role, StreamId};
use tsdb::{
    Engine, EngineConfig, Error, RowTransform, Rows, ScanSpec, Stream, StreamDef, StreamOptions,
};

/// A directory, and a database in memory that its files are read into.
struct Bench {
    folder: TempDir,
    disk: SimDisk,
    engine: Engine,
    control: Control,
    spec: FileSpec,
    format: &'static str,
}

fn open(disk: &SimDisk) -> Engine {
    let clock = Arc::new(SystemClock::new());
    let config = EngineConfig {
        wal_file_bytes: 1 << 20,
        ..EngineConfig::new("db")
    };
    Engine::open_on(Arc::new(disk.clone()), clock, &config).unwrap()
}

fn make_stream(engine: &Engine, extra: &[(&str, String)]) -> Arc<Stream> {
    let column = |n: &str, t, r| (n.to_owned(), t, r);
    let extra = extra.iter().map(|(n, v)| ((*n).to_owned(), v.clone()));
    let def = StreamDef {
        columns: vec![
            column("time", DataType::Timestamp, Role::Time),
            column("value", DataType::Utf8, Role::Field),
        ],
        options: StreamOptions {
            extra: extra.collect(),
            ..StreamOptions::default()
        },
    };
    let stream = engine
        .catalog()
        .create_stream("default", "s", &def)
        .unwrap();
    engine.commit(tsdb::Request::default()).unwrap();
    stream
}

impl Bench {
    fn new(pattern: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let disk = SimDisk::new(1);
        let engine = open(&disk);
        make_stream(&engine, &[]);
        Bench {
            spec: FileSpec {
                directory: folder.path().into(),
                pattern: pattern.into(),
                roots: vec![folder.path().into()],
                header: false,
                truncation: Truncation::Restart,
                quiet: Duration::ZERO,
            },
            folder,
            disk,
            engine,
            control: Control::default(),
            format: "text",
        }
    }

    fn stream(&self) -> Arc<Stream> {
        self.engine.catalog().stream("default", "s").unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn reader(&self) -> (Flow<'_>, Files<'_>) {
        let intake = Intake::new(
            self.engine.catalog().clone(),
            self.stream(),
            Format::parse(self.format).unwrap(),
            Include::default(),
            "file",
        );
        let status = Arc::new(SourceStatus::new("default", "s", "file", String::new()));
        let pipe = Pipe::new(self.engine.clone(), self.stream(), intake, status);
        let flow = Flow::new(pipe, &self.control);
        let files = Files::new(&self.spec, &flow).unwrap();
        (flow, files)
    }

    /// Reads all there is, by a reader of its own.
    fn read_all(&self) {
        let (mut flow, mut files) = self.reader();
        drain(&mut flow, &mut files);
    }

    fn reopen(&mut self) {
        self.engine.close();
        self.engine = open(&self.disk);
    }

    fn troubles(flow: &Flow<'_>) -> Vec<String> {
        let all = flow.pipe.status().partitions();
        all.iter().filter_map(|(_, p)| p.trouble()).collect()
    }

    fn values(&self) -> Vec<String> {
        values(&self.engine, "value")
    }
}

/// The texts of a column, in order.
fn values(engine: &Engine, column: &str) -> Vec<String> {
    let stream = engine.catalog().stream("default", "s").unwrap();
    let column = stream.schema().column(column).unwrap().id;
    let spec = ScanSpec {
        columns: vec![column],
        ..ScanSpec::default()
    };
    let mut all = Vec::new();
    let snapshot = engine.snapshot();
    let scan = snapshot.scan(&stream, spec).unwrap();
    scan.read_all(&mut |b| {
        if let Some(column) = &b.columns[0] {
            let text = |i| String::from_utf8(column.str_at(i).to_vec()).unwrap();
            all.extend((0..b.rows).map(text));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    all.sort();
    all
}

fn drain(flow: &mut Flow<'_>, files: &mut Files<'_>) {
    files.scan(flow).unwrap();
    while files.step(flow).unwrap() {}
    flow.pipe.finish().unwrap();
}

fn append(path: &Path, bytes: &[u8]) {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn lines_of(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let lines = text.split('\n').map(str::trim_end);
    lines.filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

#[derive(Clone, Debug)]
enum Op {
    /// The program writes so many bytes more.
    Append(usize),
    /// Somebody renames the file, and the program begins another one.
    Rotate,
    /// The oldest of the renamed files is removed, though the program writes so many bytes more into it.
    Remove(usize),
    /// The file is emptied.
    Truncate,
    List,
    Read,
    Send,
    /// The reader ends wherever it is, and another begins.
    Restart,
    /// So does the whole database.
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..60usize).prop_map(Op::Append),
        3 => Just(Op::Rotate),
        1 => (0..60usize).prop_map(Op::Remove),
        1 => Just(Op::Truncate),
        4 => Just(Op::List),
        6 => Just(Op::Read),
        3 => Just(Op::Send),
        3 => Just(Op::Restart),
        1 => Just(Op::Reopen),
    ];
    proptest::collection::vec(op, 1..50)
}

/// What a program writes: lines that differ, some long, some with nothing between them.
struct Program {
    lines: usize,
    text: Vec<u8>,
}

impl Program {
    fn take(&mut self, len: usize) -> Vec<u8> {
        while self.text.len() < len {
            self.lines += 1;
            let n = self.lines;
            let end = ["\n", "\r\n", "\n\n"][n % 3];
            let pad = "x".repeat(n * 7 % 23);
            write!(self.text, "{n}{pad}{end}").unwrap();
        }
        self.text.drain(..len).collect()
    }

    /// Whatever comes next begins another line than any before.
    fn break_off(&mut self) {
        self.text.clear();
    }
}

fn exactly_once(pattern: &str, ops: &[Op]) {
    let mut bench = Bench::new(pattern);
    let mut program = Program {
        lines: 0,
        text: Vec::new(),
    };
    // Texts that are complete: lines of files that are no more, or were truncated.
    let mut wanted: Vec<String> = Vec::new();
    let mut rotations = 0;
    let (now, current) = ("app.log", bench.path("app.log"));
    append(&current, b"");
    let old = |bench: &Bench, n: usize| bench.path(&format!("{now}.{n}"));
    let mut begun = 0;
    while begun < ops.len() {
        let mut reopen = false;
        let (mut flow, mut files) = bench.reader();
        files.max_open = 2;
        for op in &ops[begun..] {
            begun += 1;
            match op {
                Op::Append(len) => append(&current, &program.take(*len)),
                Op::Rotate => {
                    rotations += 1;
                    if pattern == "app.log" {
                        // What was never seen under its name is not known under another.
                        files.scan(&mut flow).unwrap();
                        flow.pipe.finish().unwrap();
                    } else {
                        // Whoever is first seen as it is may go on with its last line.
                        append(&current, b"\n");
                    }
                    fs::rename(&current, old(&bench, rotations)).unwrap();
                    program.break_off();
                    append(&current, b"");
                }
                Op::Remove(len) => {
                    let first = (1..=rotations).find(|n| old(&bench, *n).exists());
                    let Some(path) = first.map(|n| old(&bench, n)) else {
                        continue;
                    };
                    // It is read from a name before it can be read from an open file. One that is closed again for others
                    // must be left alone.
                    files.max_open = 1000;
                    append(&path, b"\n");
                    drain(&mut flow, &mut files);
                    let mut open = OpenOptions::new().append(true).open(&path).unwrap();
                    let mut text = fs::read(&path).unwrap();
                    fs::remove_file(&path).unwrap();
                    let more = program.take(*len);
                    program.break_off();
                    open.write_all(&more).unwrap();
                    text.extend(more);
                    wanted.extend(lines_of(&text));
                    drain(&mut flow, &mut files);
                    files.max_open = 2;
                }
                Op::Truncate => {
                    append(&current, b"\n");
                    drain(&mut flow, &mut files);
                    wanted.extend(lines_of(&fs::read(&current).unwrap()));
                    File::create(&current).unwrap();
                    program.break_off();
                    // It is not seen when it has grown past what was read, and begins alike.
                    drain(&mut flow, &mut files);
                }
                Op::List => files.scan(&mut flow).unwrap(),
                Op::Read => drop(files.step(&mut flow).unwrap()),
                Op::Send => flow.quiet().unwrap(),
                Op::Restart => break,
                Op::Reopen => {
                    reopen = true;
                    break;
                }
            }
        }
        drop((flow, files));
        if reopen {
            bench.reopen();
        }
    }
    append(&current, b"\n");
    bench.read_all();
    // A second reader finds nothing new.
    bench.read_all();
    for path in (1..=rotations).map(|n| old(&bench, n)).chain([current]) {
        wanted.extend(lines_of(&fs::read(path).unwrap_or_default()));
    }
    wanted.sort();
    assert_eq!(bench.values(), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the program and the reader do, and when: each line comes once.
    #[test]
    fn each_line_comes_once(ops in ops()) {
        exactly_once("app.log", &ops);
    }

    /// The same where the renamed files are read by name too.
    #[test]
    fn each_line_comes_once_under_all_names(ops in ops()) {
        exactly_once("app.*", &ops);
    }

    /// Compressed files, whole or not yet, with members behind one another: each line comes once.
    #[test]
    fn compressed_files_are_read_whole(
        members in proptest::collection::vec((1..5usize, any::<bool>(), any::<bool>(), 1..9usize), 1..5),
        zstd in any::<bool>(),
    ) {
        let bench = Bench::new("*");
        let path = bench.path(if zstd { "a.ndjson.zst" } else { "a.ndjson.gz" });
        let (mut wanted, mut n) = (Vec::new(), 0);
        let mut readers = vec![bench.reader()];
        for (count, cut, restart, pad) in members {
            let mut text = Vec::new();
            for _ in 0..count {
                n += 1;
                let line = format!("{n}{}", "y".repeat(pad * 5000));
                writeln!(text, "{line}").unwrap();
                wanted.push(line);
            }
            let packed = match zstd {
                true => zstd::encode_all(&text[..], 1).unwrap(),
                false => {
                    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    to.write_all(&text).unwrap();
                    to.finish().unwrap()
                }
            };
            let at = if cut { packed.len() / 2 } else { 0 };
            append(&path, &packed[..at]);
            if cut {
                let (flow, files) = &mut readers[0];
                drain(flow, files);
            }
            if restart {
                readers.clear();
                readers.push(bench.reader());
            }
            append(&path, &packed[at..]);
            let (flow, files) = &mut readers[0];
            drain(flow, files);
            prop_assert_eq!(Bench::troubles(flow), Vec::<String>::new());
        }
        readers.clear();
        bench.read_all();
        wanted.sort();
        prop_assert_eq!(bench.values(), wanted);
    }
}

#[test]
fn a_compressed_file_needs_no_end_of_its_last_line_and_is_not_read_twice() {
    let bench = Bench::new("*.gz");
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Longer than what is looked at to know it again.
    let noise = |n: u64| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut wanted: Vec<String> = (0..500).map(|n| format!("{:016x}", noise(n))).collect();
    to.write_all(wanted.join("\n").as_bytes()).unwrap();
    fs::write(bench.path("a.gz"), to.finish().unwrap()).unwrap();
    wanted.sort();
    bench.read_all();
    assert_eq!(bench.values(), wanted);
    // That it was read whole is in the log: what lies in it is not looked at again.
    let mut broken = fs::read(bench.path("a.gz")).unwrap();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let (mut flow, mut files) = bench.reader();
    let mut open = OpenOptions::new()
        .write(true)
        .open(bench.path("a.gz"))
        .unwrap();
    open.write_all(&broken).unwrap();
    drain(&mut flow, &mut files);
    assert_eq!(Bench::troubles(&flow), Vec::<String>::new());
    assert_eq!(bench.values(), wanted);
}

#[test]
fn a_broken_file_stops_alone() {
    let bench = Bench::new("*");
    fs::write(bench.path("a.gz"), b"no gzip").unwrap();
    fs::write(bench.path("b.log"), b"one\n").unwrap();
    let (mut flow, mut files) = bench.reader();
    drain(&mut flow, &mut files);
    let troubles = Bench::troubles(&flow);
    assert_eq!(troubles.len(), 1);
    assert!(troubles[0].contains("a.gz"), "{troubles:?}");
    assert_eq!(bench.values(), ["one"]);
}

#[test]
fn a_truncated_file_stops_where_that_is_the_policy() {
    let mut bench = Bench::new("*");
    bench.spec.truncation = Truncation::Stop;
    let path = bench.path("a.log");
    append(&path, b"one\ntwo\n");
    bench.read_all();
    for text in ["", "ten\n", "three\nfour\nfive\n"] {
        // Also when it has grown past what was read.
        fs::write(&path, text).unwrap();
        let (mut flow, mut files) = bench.reader();
        drain(&mut flow, &mut files);
        let troubles = Bench::troubles(&flow);
        assert_eq!(troubles.len(), 1, "{text}");
        assert!(troubles[0].contains("file_truncation"), "{troubles:?}");
        append(&bench.path("b.log"), b"more\n");
        drain(&mut flow, &mut files);
    }
    assert_eq!(bench.values(), ["more", "more", "more", "one", "two"]);
}

#[test]
fn links_lead_nowhere_else() {
    let bench = Bench::new("*.log");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret\n").unwrap();
    fs::write(bench.path("a.log"), b"one\n").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), bench.path("b.log")).unwrap();
    std::os::unix::fs::symlink(bench.path("a.log"), bench.path("c.log")).unwrap();
    let (mut flow, mut files) = bench.reader();
    drain(&mut flow, &mut files);
    let troubles = Bench::troubles(&flow);
    assert_eq!(troubles.len(), 1);
    assert!(troubles[0].contains("file_roots"), "{troubles:?}");
    assert_eq!(bench.values(), ["one"]);
}

#[test]
fn a_directory_that_is_not_allowed_is_not_read() {
    let mut bench = Bench::new("*");
    let elsewhere = tempfile::tempdir().unwrap();
    bench.spec.roots = vec![elsewhere.path().into()];
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(bench.folder.path(), &link).unwrap();
    bench.spec.directory = link;
    let intake = Intake::new(
        bench.engine.catalog().clone(),
        bench.stream(),
        Format::Text,
        Include::default(),
        "file",
    );
    let status = Arc::new(SourceStatus::default());
    let pipe = Pipe::new(bench.engine.clone(), bench.stream(), intake, status);
    let flow = Flow::new(pipe, &bench.control);
    let refused = Files::new(&bench.spec, &flow).err();
    assert!(
        matches!(&refused, Some(crate::source::control::Ended::Failed(why)) if why.contains("file_roots")),
        "{refused:?}"
    );
}

#[test]
fn each_file_of_csv_has_columns_of_its_own_also_behind_a_restart() {
    let mut bench = Bench::new("*.csv");
    bench.spec.header = true;
    bench.format = "csv";
    append(
        &bench.path("a.csv"),
        b"\xef\xbb\xbfvalue,other\r\na1,x\r\na2,x\r\n",
    );
    append(&bench.path("b.csv"), b"other,value\nx,b1\n");
    bench.read_all();
    append(&bench.path("b.csv"), b"x,b2\n");
    append(&bench.path("a.csv"), b"a3,x\r\n");
    append(&bench.path("c.csv"), b"value,\n1,2\n");
    let (mut flow, mut files) = bench.reader();
    drain(&mut flow, &mut files);
    assert_eq!(bench.values(), ["a1", "a2", "a3", "b1", "b2"]);
    assert_eq!(values(&bench.engine, "other"), ["x"; 5]);
    let troubles = Bench::troubles(&flow);
    assert!(
        troubles.len() == 1 && troubles[0].contains("header"),
        "{troubles:?}"
    );
}

#[test]
fn a_line_that_is_too_long_is_a_letter_and_the_next_one_is_read() {
    let bench = Bench::new("*");
    let mut text = vec![b'x'; crate::source::MAX_MESSAGE_BYTES + 1000];
    text.extend(b"\nnext\n");
    fs::write(bench.path("a.log"), &text).unwrap();
    bench.read_all();
    bench.read_all();
    assert_eq!(bench.values(), ["next"]);
    let letters = bench
        .engine
        .catalog()
        .stream("default", crate::dead_letter::STREAM)
        .unwrap();
    assert_eq!(bench.engine.snapshot().row_count(letters.id), 1);
}

fn await_true(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_declared_source_reads_what_comes_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&SimDisk::new(2));
    let config = |roots: &[&Path]| SourcesConfig {
        file_roots: roots.iter().map(|r| (*r).into()).collect(),
        ..SourcesConfig::default()
    };
    let path = folder.path().join("*.ndjson").display().to_string();
    make_stream(
        &engine,
        &[("file_path", path), ("file_format", "json".into())],
    );
    append(&folder.path().join("a.ndjson"), b"{\"value\": \"one\"}\n");

    let refused = Sources::new(engine.clone(), config(&[])).unwrap();
    refused.reconcile();
    let (state, why) = refused.statuses()[0].state();
    assert_eq!(state, SourceState::Failed);
    assert!(why.unwrap().contains("file_roots"));
    refused.close();

    let sources = Sources::new(engine.clone(), config(&[folder.path()])).unwrap();
    sources.reconcile();
    await_true("the first row", || values(&engine, "value").len() == 1);
    append(
        &folder.path().join("a.ndjson"),
        b"{\"value\": \"two\"}\n{\"value\":",
    );
    append(&folder.path().join("b.ndjson"), b"{\"value\": \"three\"}\n");
    await_true("all rows", || values(&engine, "value").len() == 3);
    let status = sources.statuses()[0].clone();
    assert_eq!(
        (status.kind, status.state().0),
        ("file", SourceState::Running)
    );
    await_true("the lag", || status.lag() == Some(9));
    sources.close();
    append(&folder.path().join("a.ndjson"), b" \"four\"}\n");
    let sources = Sources::new(engine.clone(), config(&[folder.path()])).unwrap();
    sources.reconcile();
    await_true("the line that was begun", || {
        values(&engine, "value").len() == 4
    });
    sources.close();
    assert_eq!(values(&engine, "value"), ["four", "one", "three", "two"]);
}

/// Takes nothing while it is shut.
struct Gate(AtomicBool);

impl RowTransform for Gate {
    fn concerns(&self, _: StreamId) -> bool {
        true
    }

    fn apply(&self, rows: Vec<Rows>, _: i64) -> Result<Vec<Rows>, Error> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Error::Unready("shut".into())),
            false => Ok(rows),
        }
    }

    fn check(&self, rows: Vec<Rows>, wall_ns: i64) -> Result<(), Error> {
        self.apply(rows, wall_ns).map(drop)
    }
}

/// What can't be stored now may be nowhere else later: a file that was removed stays open until its lines are in the log.
#[test]
fn a_file_that_is_removed_while_nothing_can_be_stored_is_not_lost() {
    let bench = Bench::new("*.log");
    let gate = Arc::new(Gate(AtomicBool::new(false)));
    bench.engine.set_transform(Some(gate.clone()));
    append(&bench.path("a.log"), b"1\n2\n");
    let (mut flow, mut files) = bench.reader();
    drain(&mut flow, &mut files);
    gate.0.store(true, Ordering::Relaxed);
    for round in 0..3 {
        append_open(&bench, round);
        files.scan(&mut flow).unwrap();
        while files.step(&mut flow).unwrap() {}
        flow.pipe.finish().unwrap_err();
        flow.pipe.clear();
        files.read_again(&mut flow);
    }
    assert_eq!(bench.values(), ["1", "2"]);
    gate.0.store(false, Ordering::Relaxed);
    drain(&mut flow, &mut files);
    assert_eq!(bench.values(), ["1", "2", "3", "4"]);
    // Nothing keeps it open any more.
    files.scan(&mut flow).unwrap();
    assert_eq!(flow.pipe.status().partitions().len(), 0);
}

/// Writes a line behind a file's others, and removes it in the last of the rounds.
fn append_open(bench: &Bench, round: usize) {
    let path = bench.path("a.log");
    match round {
        0 | 1 => append(&path, format!("{}\n", round + 3).as_bytes()),
        _ => fs::remove_file(path).unwrap(),
    }
}

/// What was wrong may have been mended: a resume tries again.
#[test]
fn a_source_that_has_failed_begins_again_when_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    let link = inside.join("logs");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let engine = open(&SimDisk::new(1));
    let path = format!("{}/*.log", link.display());
    let stream = make_stream(
        &engine,
        &[("file_path", path), ("file_format", "text".into())],
    );
    let config = SourcesConfig {
        file_roots: vec![inside],
        ..SourcesConfig::default()
    };
    let sources = Sources::new(engine.clone(), config).unwrap();
    sources.reconcile();
    let state = || sources.statuses()[0].state().0;
    let until = |wanted: SourceState| {
        let begun = Instant::now();
        while state() != wanted {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", state());
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    until(SourceState::Failed);
    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    append(&link.join("a.log"), b"1\n");
    assert!(sources.pause(&stream, false));
    until(SourceState::Running);
    let begun = Instant::now();
    while values(&engine, "value") != ["1"] {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(2));
    }
    sources.close();
}
