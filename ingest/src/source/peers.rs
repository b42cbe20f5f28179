//! What tests against real servers share: servers that are killed whatever happens, and a database in memory.
//!
//! These tests are ignored unless asked for (`cargo test -- --ignored peer_`); they need `nats-server` and `mosquitto`.

use super::{SourceStatus, Sources, SourcesConfig};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tsdb::clock::SystemClock;
use tsdb::sim::SimDisk;
use tsdb::types::{DataType, Role};
use tsdb::{Engine, EngineConfig, ScanSpec, StreamDef, StreamOptions};

/// A server that listens on a port of its own.
pub(super) struct Server {
    program: &'static str,
    args: Vec<String>,
    pub(super) port: u16,
    pub(super) folder: TempDir,
    child: Option<Child>,
}

impl Server {
    /// Starts a program; `args` are told its port and its folder.
    pub(super) fn start(program: &'static str, args: impl Fn(u16, &Path) -> Vec<String>) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Server {
            program,
            args: args(port, folder.path()),
            port,
            folder,
            child: None,
        };
        server.again();
        server
    }

    /// Starts it again, and waits until it listens.
    pub(super) fn again(&mut self) {
        let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let found: Option<PathBuf> = std::env::split_paths(&paths)
            .map(|p| p.join(self.program))
            .find(|p| p.exists());
        let program = found.unwrap_or_else(|| panic!("there is no {}", self.program));
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut command = Command::new(program);
        command.args(&self.args).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        await_true("the server listens", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for its end.
    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SAFETY: the child was not waited for, so its id is its own.
            unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until it holds; `what` says what is waited for.
pub(super) fn await_true(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < limit, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A database, and the sources that it declares.
pub(super) struct Database {
    disk: SimDisk,
    pub(super) engine: Engine,
    sources: Option<Sources>,
}

fn open(disk: &SimDisk) -> Engine {
    let clock = Arc::new(SystemClock::new());
    let config = EngineConfig {
        wal_file_bytes: 1 << 20,
        ..EngineConfig::new("db")
    };
    Engine::open_on(Arc::new(disk.clone()), clock, &config).unwrap()
}

impl Database {
    pub(super) fn new() -> Database {
        let disk = SimDisk::new(7);
        Database {
            engine: open(&disk),
            disk,
            sources: None,
        }
    }

    /// Declares a stream with a column `value`.
    pub(super) fn declare(&self, name: &str, options: &[(&str, String)]) {
        let column = |n: &str, t, r| (n.to_owned(), t, r);
        let extra = options.iter().map(|(n, v)| ((*n).to_owned(), v.clone()));
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
        let catalog = self.engine.catalog();
        catalog.create_stream("default", name, &def).unwrap();
        self.engine.commit(tsdb::Request::default()).unwrap();
    }

    /// Runs the sources.
    pub(super) fn run(&mut self) {
        let sources = Sources::new(self.engine.clone(), SourcesConfig::default()).unwrap();
        sources.reconcile();
        self.sources = Some(sources);
    }

    pub(super) fn sources(&self) -> &Sources {
        self.sources.as_ref().unwrap()
    }

    /// Ends the sources; with `whole` the database is closed and opened too.
    pub(super) fn end(&mut self, whole: bool) {
        self.sources = None;
        if whole {
            self.engine.close();
            self.engine = open(&self.disk);
        }
    }

    pub(super) fn status(&self, stream: &str) -> Arc<SourceStatus> {
        let all = self.sources().statuses();
        all.into_iter().find(|s| s.stream == stream).unwrap()
    }

    /// Waits until it holds; otherwise fails with what the source says.
    pub(super) fn await_true(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let limit = Instant::now() + Duration::from_secs(60);
        while !holds() {
            if Instant::now() > limit {
                let all = self.sources().statuses();
                let state = all.iter().map(|s| (s.state(), s.lag(), s.partitions()));
                panic!(
                    "{what}: not within a minute: {:?}",
                    state.collect::<Vec<_>>()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn count(&self, stream: &str) -> u64 {
        let stream = self.engine.catalog().stream("default", stream).unwrap();
        self.engine.snapshot().row_count(stream.id)
    }

    /// A column's values as texts, in order.
    pub(super) fn column(&self, stream: &str, column: &str) -> Vec<String> {
        let stream = self.engine.catalog().stream("default", stream).unwrap();
        let schema = stream.schema();
        let column = schema.column(column).unwrap();
        let spec = ScanSpec {
            columns: vec![column.id],
            ..ScanSpec::default()
        };
        let mut all = Vec::new();
        let snapshot = self.engine.snapshot();
        let scan = snapshot.scan(&stream, spec).unwrap();
        scan.read_all(&mut |b| {
            let values = b.columns[0].as_ref();
            all.extend((0..b.rows).map(|i| match (values, column.data_type) {
                (None, _) => "null".to_owned(),
                (Some(v), DataType::Utf8) => String::from_utf8_lossy(v.str_at(i)).into_owned(),
                (Some(v), _) => format!("{:020}", v.i64_at(i)),
            }));
            ControlFlow::Continue(())
        })
        .unwrap();
        all.sort();
        all
    }
}
