//! Sinks: what streams and views hold goes to Kafka, exactly once for a read_committed reader.
//!
//! A sink of single rows (a stream, or a query without state) follows the log: its progress, an LSN, is committed to Kafka in
//! the transaction of the rows, and the log is held behind it ([`rows`], [`tail`]). A sink of a view follows its changes and
//! writes down what it has sent before each transaction ([`changes`], [`journal`]); the brokers' word for the last transaction
//! makes of that exactly what readers see, so that after a start, or when changes were missed, the difference to the view
//! as it is goes out, and nothing needs to be replayed.

mod changes;
mod definition;
mod encode;
mod journal;
mod out;
mod place;
mod plan;
mod refused;
mod rows;
mod status;
mod tail;
#[cfg(test)]
mod tests;
mod worker;

use definition::{Definition, Origin};
use ingest::sink::kafka::KafkaSinkSpec;
use out::Connect;
use parking_lot::Mutex;
use place::Place;
use plan::Plan;
use query::view::ViewRuntime;
use query::{NewSink, QueryEngine, QueryError, SinkBoard, SinkFrom, SinkInfo, Views};
use status::{State, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tail::Hub;
use tokio::sync::watch;
use tsdb::types::Lsn;
use tsdb::{Engine, Object};
use worker::{Shared, Worker, owner};

/// The kind of sinks in the catalog.
const KIND: &str = "sink";

/// What all sinks share.
#[derive(Clone, Debug)]
pub(crate) struct SinksConfig {
    /// Kafka's brokers where a sink names none.
    pub(crate) kafka_brokers: Option<String>,
    /// Settings of librdkafka for all sinks.
    pub(crate) kafka_settings: Vec<(String, String)>,
    /// Bytes of log that a sink may hold where it does not say.
    pub(crate) log_limit: u64,
    /// First and longest time between two attempts.
    pub(crate) backoff: (Duration, Duration),
}

impl Default for SinksConfig {
    fn default() -> Self {
        SinksConfig {
            kafka_brokers: None,
            kafka_settings: Vec::new(),
            log_limit: 4 << 30,
            backoff: (Duration::from_millis(200), Duration::from_secs(5)),
        }
    }
}

struct Running {
    /// `None` for one whose definition can't be read.
    definition: Option<Definition>,
    reads: (String, String),
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The sinks of a database, running: one thread each.
pub(crate) struct Sinks {
    shared: Arc<Shared>,
    running: Mutex<BTreeMap<(String, String), Running>>,
}

impl Sinks {
    /// Starts the sinks of the catalog, and lets `query` make others. To be called right after the views were opened, before
    /// any commit.
    ///
    /// # Errors
    /// When this database can't be given a name of its own.
    pub(crate) fn open(
        query: &Arc<QueryEngine>,
        views: &Arc<ViewRuntime>,
        config: SinksConfig,
    ) -> Result<Arc<Sinks>, tsdb::Error> {
        Sinks::open_with(query, views, config, Box::new(out::kafka))
    }

    fn open_with(
        query: &Arc<QueryEngine>,
        views: &Arc<ViewRuntime>,
        config: SinksConfig,
        connect: Box<Connect>,
    ) -> Result<Arc<Sinks>, tsdb::Error> {
        let engine = query.engine().clone();
        let objects = engine.catalog().objects(KIND);
        let known = objects.into_iter().map(|object| {
            let definition = Definition::decode(&object.payload);
            ((object.db, object.name), definition)
        });
        let known: Vec<_> = known.collect();
        // Before the first commit lets go of anything.
        for ((db, name), definition) in &known {
            if let Some(d) = definition {
                let held = held_at(&engine, d);
                engine.hold_wal(&owner(db, name, d.epoch), Some(held));
            }
        }
        let epochs: Vec<u64> = known
            .iter()
            .filter_map(|(_, d)| Some(d.as_ref()?.epoch))
            .collect();
        if epochs.len() == known.len()
            && let Err(error) = journal::sweep(engine.disk(), &epochs)
        {
            tracing::warn!(%error, "files of sinks that are no more could not be removed");
        }
        let hub = Arc::new(Hub::default());
        engine.attach(hub.clone(), |_| ());
        let sinks = Arc::new(Sinks {
            shared: Arc::new(Shared {
                member: ingest::source::member(&engine)?,
                engine,
                query: query.clone(),
                views: views.clone(),
                hub,
                config,
                connect,
            }),
            running: Mutex::default(),
        });
        for ((db, name), definition) in known {
            let running = match definition {
                Some(definition) => sinks.start(&db, &name, definition),
                None => {
                    let status = Arc::<Status>::default();
                    let why = "its definition is damaged".to_owned();
                    status.set(&name, State::Failed, Some(why));
                    Running {
                        definition: None,
                        reads: Default::default(),
                        status,
                        stop: watch::channel(true).0,
                        thread: None,
                    }
                }
            };
            sinks.running.lock().insert((db, name), running);
        }
        query.set_sinks(Some(sinks.clone()));
        Ok(sinks)
    }

    fn start(&self, db: &str, name: &str, definition: Definition) -> Running {
        let status = Arc::<Status>::default();
        let held = held_at(&self.shared.engine, &definition);
        status.lsn.store(held.0, Ordering::Relaxed);
        let (stop, stopped) = watch::channel(false);
        let worker = Worker {
            shared: self.shared.clone(),
            db: db.to_owned(),
            name: name.to_owned(),
            definition: definition.clone(),
            status: status.clone(),
            stop: stopped,
            held: AtomicU64::new(held.0),
        };
        let reads = self.reads(&definition);
        let thread = std::thread::Builder::new().name(format!("sink {name}"));
        let thread = match thread.spawn(move || worker.run()) {
            Ok(thread) => Some(thread),
            Err(error) => {
                status.set(name, State::Failed, Some(error.to_string()));
                None
            }
        };
        Running {
            definition: Some(definition),
            reads,
            status,
            stop,
            thread,
        }
    }

    /// The stream or view that a sink needs.
    fn reads(&self, definition: &Definition) -> (String, String) {
        match &definition.origin {
            Origin::Stream { db, name, .. } | Origin::View { db, name } => {
                (db.clone(), name.clone())
            }
            Origin::Query { db, sql } => match self.shared.query.bind_kept(db, sql) {
                Ok(query) => (query.source().db.clone(), query.source().name.clone()),
                Err(_) => Default::default(),
            },
        }
    }

    /// Ends all sinks and lets go of the query engine. Before views and engine are closed.
    pub(crate) fn close(&self) {
        self.shared.query.set_sinks(None);
        let running = std::mem::take(&mut *self.running.lock());
        for sink in running.values() {
            // Nobody listens once the thread has ended.
            let _ = sink.stop.send(true);
        }
        running.into_values().for_each(join);
    }
}

/// Where the log is held for a sink that has not been heard of yet.
fn held_at(engine: &Engine, definition: &Definition) -> Lsn {
    let copy = Place::read(engine.disk(), definition.epoch);
    copy.map_or(definition.start, |place| Lsn(place.lsn))
}

fn join(running: Running) {
    if let Some(thread) = running.thread
        && thread.join().is_err()
    {
        tracing::error!("a sink's thread has panicked");
    }
}

impl SinkBoard for Sinks {
    fn create(&self, sink: NewSink) -> Result<Vec<String>, QueryError> {
        let NewSink {
            db,
            name,
            from,
            options,
        } = sink;
        let engine = &self.shared.engine;
        let mut running = self.running.lock();
        let key = (db.clone(), name.clone());
        if running.contains_key(&key) {
            return Err(QueryError::Conflict(format!(
                "sink \"{name}\" exists already"
            )));
        }
        let others = running.values().filter_map(|r| r.definition.as_ref());
        let last = others.map(|d| d.epoch).max().unwrap_or(0);
        let epoch = (engine.clock().wall_ns() as u64).max(last + 1);
        let mut definition = Definition {
            epoch,
            start: Lsn(0),
            origin: match from {
                SinkFrom::Stream(stream) => Origin::Stream {
                    db: stream.db.clone(),
                    name: stream.name.clone(),
                    id: stream.id,
                },
                SinkFrom::View(view) => Origin::View {
                    db: view.db,
                    name: view.name,
                },
                SinkFrom::Query { db, sql } => Origin::Query { db, sql },
            },
            options,
        };
        Plan::of(&self.shared, &definition).map_err(QueryError::Exec)?;
        let config = &self.shared.config;
        let full_name = format!("{db}.{name}");
        KafkaSinkSpec::of(
            &definition.options,
            config.kafka_brokers.as_deref(),
            &config.kafka_settings,
            (&self.shared.member, &full_name, epoch),
        )
        .map_err(QueryError::Exec)?;
        // Held first, so that nothing behind the start goes meanwhile.
        let owner = owner(&db, &name, epoch);
        engine.hold_wal(&owner, Some(Lsn(0)));
        definition.start = engine.published();
        engine.hold_wal(&owner, Some(definition.start));
        engine.catalog().put_object(Object {
            kind: KIND.into(),
            db: db.clone(),
            name: name.clone(),
            payload: definition.encode(),
        });
        running.insert(key, self.start(&db, &name, definition));
        Ok(Vec::new())
    }

    fn drop_sink(&self, db: &str, name: &str) -> Result<bool, QueryError> {
        let key = (db.to_owned(), name.to_owned());
        let mut running = self.running.lock();
        let Some(found) = running.remove(&key) else {
            return Ok(false);
        };
        // Under the lock: another sink of this name, made from now on, keeps its own.
        self.shared.engine.catalog().drop_object(KIND, db, name);
        drop(running);
        // Nobody listens once the thread has ended.
        let _ = found.stop.send(true);
        let epoch = found.definition.as_ref().map(|d| d.epoch);
        join(found);
        if let Some(epoch) = epoch {
            // Its files go at the next start: until the drop is durable they may be needed.
            self.shared.engine.hold_wal(&owner(db, name, epoch), None);
        }
        Ok(true)
    }

    fn list(&self) -> Vec<SinkInfo> {
        let published = self.shared.engine.published().0;
        let running = self.running.lock();
        let info = |((db, name), sink): (&(String, String), &Running)| {
            let (state, error) = sink.status.get();
            let lsn = sink.status.lsn.load(Ordering::Relaxed);
            let definition = sink.definition.as_ref();
            let topic = definition.and_then(|d| d.option("kafka_topic"));
            let (from, end) = match definition.map(|d| &d.origin) {
                None => (String::new(), lsn),
                Some(Origin::Stream { name, .. }) => (name.clone(), published),
                // What concerns other streams makes no view go on.
                Some(Origin::View { db, name }) => {
                    let view = self.shared.views.get(db, name);
                    (name.clone(), view.map_or(published, |v| v.lsn))
                }
                Some(Origin::Query { sql, .. }) => (sql.clone(), published),
            };
            SinkInfo {
                db: db.clone(),
                name: name.clone(),
                from,
                reads: sink.reads.clone(),
                topic: topic.unwrap_or_default().to_owned(),
                state: state.name(),
                lsn,
                lag: end.saturating_sub(lsn),
                rows: sink.status.rows.load(Ordering::Relaxed),
                error,
            }
        };
        running.iter().map(info).collect()
    }
}
