//! All views there are, how they follow the log and how they end.

use super::ViewConfig;
use super::definition::Definition;
use super::hub::{Hub, Tap};
use super::state::Program;
use super::worker::{Message, Snap, Status};
use crate::bind::windowed::ContinuousQuery;
use crate::engine::ViewInfo;
use crate::error::QueryError;
use crate::stream::StreamError;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use tsdb::Engine;

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
    pub(super) definition: Definition,
    pub(super) tap: Arc<Tap>,
    pub(super) status: Arc<Status>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    /// Subscriptions, of a query that lives only as long as they do.
    pub(super) leases: Mutex<usize>,
}

#[derive(Default)]
pub(super) struct Registry {
    pub(super) named: BTreeMap<(String, String), Arc<View>>,
    /// Queries that subscribe, by their plan.
    pub(super) shared: BTreeMap<String, Arc<View>>,
    /// Views whose definitions can't be run.
    pub(super) broken: BTreeMap<(String, String), Broken>,
}

impl Registry {
    /// One more subscription of a shared query, if there is one.
    pub(super) fn lease(&self, key: &str) -> Option<Arc<View>> {
        let view = self.shared.get(key)?;
        *view.leases.lock() += 1;
        Some(view.clone())
    }
}

/// A view of the catalog that can't be run.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    /// Its query, and the name of its files; unless the definition itself is damaged.
    pub(super) definition: Option<Definition>,
    pub(super) reason: String,
}

impl Broken {
    pub(super) fn info(&self, (db, name): &(String, String)) -> ViewInfo {
        let sql = self.definition.as_ref().map(|d| d.sql.clone());
        ViewInfo {
            db: db.clone(),
            name: name.clone(),
            query: None,
            sql: sql.unwrap_or_default(),
            state: format!("broken: {}", self.reason),
            lsn: 0,
            rows: 0,
            watermark: None,
            pending: Vec::new(),
        }
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
    pub(super) config: ViewConfig,
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

pub(super) fn exec(e: StreamError) -> QueryError {
    match e {
        StreamError::Unsupported(message) => QueryError::Exec(message),
        other => QueryError::Exec(other.to_string()),
    }
}

impl ViewRuntime {
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

    /// Makes a [`Trace`](super::Trace) of every commit from now on; for whoever measures how long commits take to be in
    /// all views. Only the first call counts.
    pub fn trace(&self, tracer: super::Tracer) {
        // A second tracer is not wanted, as said.
        let _ = self.hub.tracer.set(tracer);
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

impl View {
    pub(super) fn info(&self) -> ViewInfo {
        let status = &self.status;
        let stopped = status.stopped.lock().clone();
        ViewInfo {
            db: self.db.clone(),
            name: self.name.clone(),
            query: Some(self.query.clone()),
            sql: self.definition.sql.clone(),
            state: match stopped {
                Some(reason) => format!("stopped: {reason}"),
                None if self.tap.lagging.load(Ordering::Relaxed) => "lagging".to_string(),
                None => "running".to_string(),
            },
            lsn: status.lsn.load(Ordering::Acquire),
            rows: status.groups.load(Ordering::Relaxed),
            watermark: Some(status.watermark.load(Ordering::Relaxed)).filter(|w| *w != i64::MIN),
            pending: status.pending.lock().clone(),
        }
    }
}
