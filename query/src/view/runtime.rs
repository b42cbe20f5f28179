//! All views: creating, restoring, reading, dropping, and queries that subscribe.

use super::checkpoint::Checkpoint;
use super::definition::{Definition, fnv};
use super::hub::{Hub, Tap};
use super::state::{Program, State};
use super::worker::{Message, Saving, Snap, Status, Worker};
use crate::bind::windowed::ContinuousQuery;
use crate::engine::{QueryEngine, Session, ViewInfo};
use crate::error::QueryError;
use crate::stream::StreamError;
use crossbeam::channel::unbounded;
use parking_lot::Mutex;
use query_lang::ast::StatementKind;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;
use tsdb::types::Lsn;
use tsdb::{Engine, Object, Stream};

/// The kind of views in the catalog.
pub(super) const KIND: &str = "view";

/// How one view fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewMetrics {
    /// Database and name; the text of a query that subscribes.
    pub name: String,
    /// Nanoseconds from the commit of the newest row to its being in the view.
    pub lag_ns: i64,
    /// Rows taken in.
    pub rows: u64,
    /// Groups held.
    pub groups: u64,
    /// Bytes of state, as of the last checkpoint.
    pub bytes: u64,
    /// Lists that had values cut off, as of the last checkpoint.
    pub lists_cut: u64,
}

/// A view and its worker.
#[derive(Debug)]
pub(super) struct View {
    pub(super) db: String,
    pub(super) name: String,
    pub(super) query: Arc<ContinuousQuery>,
    pub(super) program: Program,
    pub(super) stream: StreamRef,
    pub(super) sql: String,
    pub(super) epoch: u64,
    pub(super) tap: Arc<Tap>,
    pub(super) status: Arc<Status>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    /// Subscriptions, of a query that lives only as long as they do.
    pub(super) leases: Mutex<usize>,
}

pub(super) struct StreamRef(pub Arc<Stream>);

impl std::fmt::Debug for StreamRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name)
    }
}

#[derive(Default)]
pub(super) struct Registry {
    pub(super) named: BTreeMap<(String, String), Arc<View>>,
    /// Queries that subscribe, by their plan.
    pub(super) shared: BTreeMap<String, Arc<View>>,
    /// Views whose definitions can't be run: why.
    pub(super) broken: BTreeMap<(String, String), String>,
}

impl Registry {
    /// One more subscription of a shared query, if there is one.
    pub(super) fn lease(&self, key: &str) -> Option<Arc<View>> {
        let view = self.shared.get(key)?;
        *view.leases.lock() += 1;
        Some(view.clone())
    }
}

/// Keeps a shared query alive.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) runtime: Weak<ViewRuntime>,
    pub(super) key: Option<String>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (Some(runtime), Some(key)) = (self.runtime.upgrade(), &self.key) {
            runtime.release(key);
        }
    }
}

/// Keeps all views of an engine. Locks are taken in this order: the engine's apply lock, the registry, the hub's taps.
pub struct ViewRuntime {
    pub(super) engine: Engine,
    pub(super) hub: Arc<Hub>,
    pub(super) registry: Mutex<Registry>,
    pub(super) closing: Arc<AtomicBool>,
    pub(super) ticker: Mutex<Option<JoinHandle<()>>>,
    pub(super) this: Weak<ViewRuntime>,
}

impl std::fmt::Debug for ViewRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewRuntime").finish_non_exhaustive()
    }
}

/// What a worker starts from.
pub(super) enum Start {
    /// All rows of a snapshot.
    History,
    /// A checkpoint and the commits since.
    Replay(Box<Checkpoint>, Vec<Arc<tsdb::Commit>>),
}

pub(super) fn exec(e: StreamError) -> QueryError {
    match e {
        StreamError::Unsupported(message) => QueryError::Exec(message),
        other => QueryError::Exec(other.to_string()),
    }
}

impl ViewRuntime {
    /// Restores the views of the catalog and follows the log, and lets `queries` use them. To be called right after
    /// the engine was opened, before any commit; it ends the engine's recovery.
    ///
    /// # Errors
    /// When a thread can't be started. A view whose definition can't be run is kept and shows why.
    pub fn open(queries: &Arc<QueryEngine>) -> Result<Arc<ViewRuntime>, QueryError> {
        let engine = queries.engine().clone();
        let runtime = Arc::new_cyclic(|this| ViewRuntime {
            engine: engine.clone(),
            hub: Arc::default(),
            registry: Mutex::default(),
            closing: Arc::default(),
            ticker: Mutex::default(),
            this: this.clone(),
        });
        let mut fresh = Vec::new();
        for object in engine.catalog().objects(KIND) {
            let key = (object.db.clone(), object.name.clone());
            match runtime.restore(queries, &object) {
                Ok((view, rebuild)) => {
                    if rebuild {
                        fresh.push(view.tap.clone());
                    }
                    runtime.registry.lock().named.insert(key, view);
                }
                Err(e) => {
                    tracing::error!(view = %object.name, error = %e, "a view can't be restored");
                    runtime.registry.lock().broken.insert(key, e.to_string());
                }
            }
        }
        let wall_ns = engine.clock().wall_ns();
        engine.attach(runtime.hub.clone(), |snapshot| {
            for tap in fresh {
                tap.send(Message::Rebuild(Box::new(Snap(snapshot.clone())), wall_ns));
            }
        });
        engine.recovery_done();
        runtime.start_ticker()?;
        queries.set_views(runtime.clone());
        Ok(runtime)
    }

    /// A view of the catalog, and whether it must be rebuilt from history.
    fn restore(
        &self,
        queries: &Arc<QueryEngine>,
        object: &Object,
    ) -> Result<(Arc<View>, bool), QueryError> {
        let damaged = || {
            QueryError::Storage(format!(
                "the definition of view \"{}\" is damaged",
                object.name
            ))
        };
        let definition = Definition::decode(&object.payload).ok_or_else(damaged)?;
        let sql = &definition.sql;
        let statements = query_lang::parse_statements(sql)?;
        let Some(StatementKind::Query(query)) = statements.first().map(|s| &s.kind) else {
            return Err(damaged());
        };
        let session = Session::of(object.db.clone());
        let (query, _) = queries.bind_continuous(&session, sql, query)?;
        let query = definition.freeze(query).ok_or_else(|| {
            QueryError::Exec("its query no longer yields the columns it had".to_string())
        })?;
        let id = view_id(&object.db, &object.name);
        let saved = Checkpoint::newest(self.engine.disk(), id, definition.hash())
            .and_then(|c| Some((self.engine.replay_after(c.lsn)?, c)));
        let (start, rebuild) = match saved {
            Some((commits, c)) => (Start::Replay(Box::new(c), commits), false),
            None => (Start::History, true),
        };
        let view = self.start(
            &object.db,
            &object.name,
            query,
            &definition,
            start,
            true,
            None,
        )?;
        self.hub.taps.write().push(view.tap.clone());
        Ok((view, rebuild))
    }

    /// Starts a worker. Its tap is not in the hub yet.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn start(
        &self,
        db: &str,
        name: &str,
        query: ContinuousQuery,
        definition: &Definition,
        start: Start,
        durable: bool,
        ready: Option<mpsc::Sender<Result<(), StreamError>>>,
    ) -> Result<Arc<View>, QueryError> {
        let program = Program::new(&query).map_err(exec)?;
        let source = query.source();
        let stream = self
            .engine
            .catalog()
            .stream(&source.db, &source.name)
            .filter(|s| s.id == source.id)
            .ok_or_else(|| QueryError::Exec(format!("stream \"{}\" is gone", source.name)))?;
        let (sender, queue) = unbounded();
        let (urgent_sender, urgent) = unbounded();
        let tap = Arc::new(Tap::new(stream.id, sender, urgent_sender));
        let mut state = State::new(stream.clone(), program.clone());
        let status = Arc::new(Status::default());
        status.watermark.store(i64::MIN, Ordering::Relaxed);
        *status.ready.lock() = ready;
        let id = view_id(db, name);
        let saving = durable.then(|| Saving {
            id,
            hash: definition.hash(),
            owner: format!("view {db}.{name}"),
        });
        let mut lsn = Lsn(0);
        if let Start::Replay(checkpoint, commits) = start {
            state.load(&checkpoint).map_err(exec)?;
            lsn = checkpoint.lsn;
            self.engine
                .hold_wal(&format!("view {db}.{name}"), Some(lsn));
            for commit in commits {
                tap.push(&commit);
            }
        }
        let worker = Worker {
            engine: self.engine.clone(),
            tap: tap.clone(),
            state,
            status: status.clone(),
            queue,
            urgent,
            saving,
            lsn,
            subscribers: Vec::new(),
            emitted: lsn,
            dirty: false,
            last_emit: Instant::now(),
            cache: None,
            behind_since: None,
            repairing: false,
            stale: false,
            writer: None,
        };
        let thread = std::thread::Builder::new()
            .name(format!("view {name}"))
            .stack_size(8 << 20)
            .spawn(move || worker.run())
            .map_err(|e| QueryError::Internal(format!("start a view's thread: {e}")))?;
        Ok(Arc::new(View {
            db: db.to_string(),
            name: name.to_string(),
            query: Arc::new(query),
            program,
            stream: StreamRef(stream),
            sql: definition.sql.clone(),
            epoch: definition.epoch,
            tap,
            status,
            thread: Mutex::new(Some(thread)),
            leases: Mutex::new(0),
        }))
    }

    /// Lets a view follow the log, from a snapshot of all history on.
    pub(super) fn follow(&self, view: &View) {
        let wall_ns = self.engine.clock().wall_ns();
        self.engine.barrier(|snapshot| {
            view.tap
                .send(Message::Rebuild(Box::new(Snap(snapshot.clone())), wall_ns));
            self.hub.taps.write().push(view.tap.clone());
        });
    }

    /// Ends a view's worker; `save` makes it write its state first.
    pub(super) fn end(&self, view: &View, save: bool, reason: &'static str) {
        self.engine.barrier(|snapshot| {
            self.hub.taps.write().retain(|t| !Arc::ptr_eq(t, &view.tap));
            let lsn = save.then(|| snapshot.lsn());
            view.tap.send(Message::Stop(lsn, reason));
        });
        let thread = view.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!(view = %view.name, "a view's thread has panicked");
        }
    }

    pub(super) fn view(&self, db: &str, name: &str) -> Option<Arc<View>> {
        let key = (db.to_string(), name.to_string());
        self.registry.lock().named.get(&key).cloned()
    }

    /// How all views fare, those of subscribed queries too.
    #[must_use]
    pub fn metrics(&self) -> Vec<ViewMetrics> {
        let registry = self.registry.lock();
        let load = |a: &std::sync::atomic::AtomicU64| a.load(Ordering::Relaxed);
        registry
            .named
            .values()
            .chain(registry.shared.values())
            .map(|v| ViewMetrics {
                name: format!("{}.{}", v.db, v.name),
                lag_ns: v.status.lag_ns.load(Ordering::Relaxed),
                rows: load(&v.status.rows),
                groups: load(&v.status.groups),
                bytes: load(&v.status.bytes),
                lists_cut: load(&v.status.lists_cut),
            })
            .collect()
    }

    /// Saves all states and ends all workers. The engine must still be open.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let ticker = self.ticker.lock().take();
        if let Some(ticker) = ticker {
            ticker.thread().unpark();
            if ticker.join().is_err() {
                tracing::error!("the ticker has panicked");
            }
        }
        let (named, shared) = {
            let mut registry = self.registry.lock();
            (
                std::mem::take(&mut registry.named),
                std::mem::take(&mut registry.shared),
            )
        };
        for view in named.values() {
            self.end(view, true, "the server is closing");
        }
        for view in shared.values() {
            self.end(view, false, "the server is closing");
        }
    }

    /// A number that no earlier definition has had: the time, which is all that must differ.
    pub(super) fn new_epoch(&self) -> u64 {
        self.engine.clock().wall_ns() as u64
    }
}

/// Names a view's files.
pub(super) fn view_id(db: &str, name: &str) -> u64 {
    fnv(format!("{db}\0{name}").as_bytes())
}

impl View {
    pub(super) fn info(&self) -> ViewInfo {
        let status = &self.status;
        let stopped = status.stopped.lock().clone();
        ViewInfo {
            db: self.db.clone(),
            name: self.name.clone(),
            query: self.query.clone(),
            sql: self.sql.clone(),
            state: match stopped {
                Some(reason) => format!("stopped: {reason}"),
                None if self.tap.lagging.load(Ordering::Relaxed) => "lagging".to_string(),
                None => "running".to_string(),
            },
            lsn: status.lsn.load(Ordering::Acquire),
            rows: status.groups.load(Ordering::Relaxed),
            watermark: Some(status.watermark.load(Ordering::Relaxed)).filter(|w| *w != i64::MIN),
        }
    }
}
