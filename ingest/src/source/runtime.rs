//! The sources that the catalog declares, running: one thread each.

use super::control::{Control, Ended, Wish};
use super::pipe::Pipe;
use super::spec::{self, Spec};
use super::status::{SourceState, SourceStatus};
use super::{Format, Include, Intake};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tsdb::types::StreamId;
use tsdb::{Engine, Object, Request, Stream};

/// Makes the format of a stream's messages out of its options, for the formats that need more than a name.
pub type FormatMaker = dyn Fn(&Stream) -> Result<Option<Format>, String> + Send + Sync;

/// What all sources share.
pub struct SourcesConfig {
    /// Kafka's brokers where a stream names none.
    pub kafka_brokers: Option<String>,
    /// Settings of librdkafka for all streams.
    pub kafka_settings: Vec<(String, String)>,
    /// The servers of NATS where a stream names none.
    pub nats_url: Option<String>,
    /// The MQTT broker where a stream names none.
    pub mqtt_url: Option<String>,
    /// The directories below which the server's own files may be read; none are to be read without any.
    pub file_roots: Vec<PathBuf>,
    /// Formats besides those of [`Format::parse`].
    pub formats: Box<FormatMaker>,
}

impl Default for SourcesConfig {
    /// No servers, no directories, no formats of its own.
    fn default() -> Self {
        SourcesConfig {
            kafka_brokers: None,
            kafka_settings: Vec::new(),
            nats_url: None,
            mqtt_url: None,
            file_roots: Vec::new(),
            formats: Box::new(|_| Ok(None)),
        }
    }
}

/// The object that names a database among others that share a group.
const MEMBER: (&str, &str) = ("member", "id");
/// The objects that say which sources are paused.
const PAUSED: &str = "paused_source";

/// First and longest time between two attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

struct Running {
    stream: Arc<Stream>,
    status: Arc<SourceStatus>,
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

/// The sources of a database.
pub struct Sources {
    engine: Engine,
    config: Arc<SourcesConfig>,
    member: String,
    running: Mutex<BTreeMap<StreamId, Running>>,
}

impl Sources {
    /// Makes ready to run sources; none runs before [`Sources::reconcile`].
    ///
    /// # Errors
    /// When this database can't be given a name of its own.
    pub fn new(engine: Engine, config: SourcesConfig) -> Result<Sources, tsdb::Error> {
        Ok(Sources {
            member: member(&engine)?,
            engine,
            config: Arc::new(config),
            running: Mutex::default(),
        })
    }

    /// Starts what is declared and does not run yet, and ends what is declared no more. Quick, but for sources that end.
    pub fn reconcile(&self) {
        let streams = self.engine.catalog().streams();
        let mut gone = Vec::new();
        {
            let mut running = self.running.lock();
            for (_, source) in running.extract_if(.., |_, r| r.stream.is_dropped()) {
                let stream = &source.stream;
                self.engine
                    .catalog()
                    .drop_object(PAUSED, &stream.db, &stream.name);
                source.control.set(Wish::End);
                gone.push(source);
            }
            for stream in streams {
                if running.contains_key(&stream.id) {
                    continue;
                }
                if let Some(source) = self.start(&stream) {
                    running.insert(stream.id, source);
                }
            }
        }
        // Without the lock: whoever asks for a status is not to wait for a broker that is gone.
        gone.iter_mut().for_each(join);
    }

    fn start(&self, stream: &Arc<Stream>) -> Option<Running> {
        let kind = spec::kind(stream)?;
        let spec = Spec::of(stream, &self.config).transpose()?;
        let endpoint = spec.as_ref().map(Spec::endpoint).unwrap_or_default();
        let status = SourceStatus::new(&stream.db, &stream.name, kind, endpoint);
        let mut running = Running {
            stream: stream.clone(),
            status: Arc::new(status),
            control: Arc::default(),
            thread: None,
        };
        if self.is_paused(stream) {
            running.control.set(Wish::Pause);
        }
        let spec = match spec {
            Ok(spec) => spec,
            Err(why) => {
                running.status.set(SourceState::Failed, Some(why));
                return Some(running);
            }
        };
        let worker = Worker {
            engine: self.engine.clone(),
            config: self.config.clone(),
            stream: stream.clone(),
            status: running.status.clone(),
            control: running.control.clone(),
            member: self.member.clone(),
        };
        let spawned = std::thread::Builder::new()
            .name(format!("source {}", stream.name))
            .spawn(move || worker.run(&spec));
        match spawned {
            Ok(thread) => running.thread = Some(thread),
            Err(error) => running
                .status
                .set(SourceState::Failed, Some(error.to_string())),
        }
        Some(running)
    }

    fn is_paused(&self, stream: &Stream) -> bool {
        let paused = self.engine.catalog().objects(PAUSED);
        paused
            .iter()
            .any(|o| o.db == stream.db && o.name == stream.name)
    }

    /// Adds the columns that a stream's source fills from parts of its messages, so that whoever has made the stream can
    /// name them. Nothing where the stream has no source, or its options can't be: that source says so.
    pub fn declare(&self, stream: &Stream) {
        if spec::kind(stream).is_some()
            && let Ok(include) = include(stream)
        {
            include.add_columns(stream);
        }
    }

    /// Why the source that a stream declares can't be read with this configuration; `None` when it can, or there is none.
    #[must_use]
    pub fn obstacle(&self, stream: &Stream) -> Option<String> {
        let kind = spec::kind(stream)?;
        match Spec::of(stream, &self.config) {
            Ok(Some(_)) => None,
            Ok(None) => Some(format!("no server is known: {}", spec::server_of(kind))),
            Err(why) => Some(why),
        }
    }

    /// What is known of each source.
    #[must_use]
    pub fn statuses(&self) -> Vec<Arc<SourceStatus>> {
        let running = self.running.lock();
        running.values().map(|r| r.status.clone()).collect()
    }

    /// Pauses a stream's source, or lets it go on; durable once a later commit is acknowledged. False when the stream has
    /// no source.
    pub fn pause(&self, stream: &Stream, paused: bool) -> bool {
        let mut running = self.running.lock();
        let Some(source) = running.get_mut(&stream.id) else {
            return false;
        };
        let catalog = self.engine.catalog();
        if paused {
            catalog.put_object(Object {
                kind: PAUSED.into(),
                db: stream.db.clone(),
                name: stream.name.clone(),
                payload: Vec::new(),
            });
        } else {
            catalog.drop_object(PAUSED, &stream.db, &stream.name);
        }
        let wish = if paused { Wish::Pause } else { Wish::Run };
        source.control.set(wish);
        // One that has failed begins again: what was wrong may have been mended. Its thread does nothing more.
        if !paused && source.status.state().0 == SourceState::Failed {
            join(source);
            if let Some(again) = self.start(&source.stream.clone()) {
                *source = again;
            }
        }
        true
    }

    /// Ends all sources: what they have read is in the log when this returns.
    pub fn close(&self) {
        let mut running = std::mem::take(&mut *self.running.lock());
        running.values().for_each(|r| r.control.set(Wish::End));
        running.values_mut().for_each(join);
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.close();
    }
}

fn join(source: &mut Running) {
    if let Some(thread) = source.thread.take()
        && thread.join().is_err()
    {
        tracing::error!(
            stream = source.stream.name,
            "a source's thread has panicked"
        );
    }
}

/// The name of this database, which no other has: made once, and kept in its log.
///
/// # Errors
/// When it can't be made durable.
pub fn member(engine: &Engine) -> Result<String, tsdb::Error> {
    let (kind, name) = MEMBER;
    let find = || {
        let objects = engine.catalog().objects(kind);
        let known = objects.into_iter().find(|o| o.name == name)?;
        String::from_utf8(known.payload).ok()
    };
    if let Some(known) = find() {
        return Ok(known);
    }
    use std::hash::{BuildHasher, Hasher};
    // Two keys that the standard library draws from the system make a name that no other database has.
    let draw = || {
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    };
    let fresh = format!(
        "{:016x}",
        draw() ^ draw().rotate_left(32) ^ engine.clock().wall_ns() as u64
    );
    engine.catalog().put_object(Object {
        kind: kind.into(),
        db: tsdb::DEFAULT_DATABASE.into(),
        name: name.into(),
        payload: fresh.clone().into_bytes(),
    });
    engine.commit(Request::default())?;
    Ok(fresh)
}

/// What a source's thread has.
struct Worker {
    engine: Engine,
    config: Arc<SourcesConfig>,
    stream: Arc<Stream>,
    status: Arc<SourceStatus>,
    control: Arc<Control>,
    member: String,
}

impl Worker {
    fn run(&self, spec: &Spec) {
        let mut backoff = BACKOFF.0;
        loop {
            let make_pipe = || {
                let intake = self.intake().map_err(Ended::Failed)?;
                let (engine, stream) = (self.engine.clone(), self.stream.clone());
                Ok(Pipe::new(engine, stream, intake, self.status.clone()))
            };
            let before = self.status.messages.load(Ordering::Relaxed);
            let run = || spec.run(&self.member, &self.control, &make_pipe);
            let ended = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                Err(Ended::Failed(
                    "it has panicked, which is a defect; the server's log tells where".into(),
                ))
            });
            match ended {
                Ok(()) | Err(Ended::Told) => return,
                Err(Ended::Failed(why)) => {
                    self.status.set(SourceState::Failed, Some(why));
                    return;
                }
                Err(Ended::Retry(why)) => {
                    if self.stream.is_dropped() {
                        return;
                    }
                    self.status.set(SourceState::Waiting, Some(why));
                    let read = self.status.messages.load(Ordering::Relaxed);
                    if read != before {
                        backoff = BACKOFF.0;
                    }
                    self.control.wait(backoff);
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
            if self.control.wish() == Wish::End {
                return;
            }
        }
    }

    fn intake(&self) -> Result<Intake, String> {
        intake(&self.engine, &self.config, &self.stream, self.status.kind)
    }
}

impl Sources {
    /// An intake that takes messages as the stream's source does.
    ///
    /// # Errors
    /// When the stream has no source, or its options can't be.
    pub fn intake(&self, stream: &Arc<Stream>) -> Result<Intake, String> {
        let kind = spec::kind(stream)
            .ok_or_else(|| format!("stream \"{}\" has no source any more", stream.name))?;
        intake(&self.engine, &self.config, stream, kind)
    }
}

/// The parts of a message that a stream's options ask for.
fn include(stream: &Stream) -> Result<Include, String> {
    let option = |name: &str| stream.options.kept(name);
    let include = option("include").map_or(Ok(Include::default()), Include::parse);
    let include = include.map_err(|e| e.to_string())?;
    match option("key_format") {
        Some(name) => include.key_format(name).map_err(|e| e.to_string()),
        None => Ok(include),
    }
}

/// The intake that a stream's options ask for.
fn intake(
    engine: &Engine,
    config: &SourcesConfig,
    stream: &Arc<Stream>,
    kind: &'static str,
) -> Result<Intake, String> {
    let option = |name: &str| stream.options.kept(name);
    let format = match (config.formats)(stream)? {
        Some(format) => format,
        None => {
            let of_file = option("file_format").filter(|_| kind == "file");
            let name = option("value_format").or(of_file).unwrap_or("json");
            Format::parse(name).ok_or_else(|| {
                    format!(
                        "value_format '{name}' is not known; use json, csv, avro, protobuf, json_schema, line_protocol, \
                         text or raw"
                    )
                })?
        }
    };
    let format = match option("csv_columns") {
        Some(columns) => format.csv_columns(columns),
        None => format,
    };
    let include = include(stream)?;
    Ok(Intake::new(
        engine.catalog().clone(),
        stream.clone(),
        format,
        include,
        kind,
    ))
}
