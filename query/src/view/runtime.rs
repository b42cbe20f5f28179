//! All views: creating, restoring, reading, dropping, and queries that subscribe.

use super::checkpoint::Checkpoint;
use super::definition::{Definition, fnv};
use super::hub::{Hub, Tap};
use super::state::{Program, State, read_rows};
use super::subscription::{Outbox, Subscription};
use super::worker::{Message, Saving, Snap, Status, Worker};
use crate::bind::windowed::ContinuousQuery;
use crate::engine::{QueryEngine, Session, ViewInfo, Views};
use crate::error::QueryError;
use crate::stream::StreamError;
use crate::stream::watermark::IDLE_NS;
use arrow::record_batch::RecordBatch;
use crossbeam::channel::unbounded;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use query_lang::ast::{Emit, StatementKind};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tsdb::types::Lsn;
use tsdb::{Engine, Object, Request, Snapshot, Stream};

/// The kind of views in the catalog.
const KIND: &str = "view";

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
struct View {
    db: String,
    name: String,
    query: Arc<ContinuousQuery>,
    program: Program,
    stream: StreamRef,
    sql: String,
    epoch: u64,
    tap: Arc<Tap>,
    status: Arc<Status>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Subscriptions, of a query that lives only as long as they do.
    leases: Mutex<usize>,
}

struct StreamRef(Arc<Stream>);

impl std::fmt::Debug for StreamRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name)
    }
}

#[derive(Default)]
struct Registry {
    named: BTreeMap<(String, String), Arc<View>>,
    /// Queries that subscribe, by their plan.
    shared: BTreeMap<String, Arc<View>>,
    /// Views whose definitions can't be run: why.
    broken: BTreeMap<(String, String), String>,
}

impl Registry {
    /// One more subscription of a shared query, if there is one.
    fn lease(&self, key: &str) -> Option<Arc<View>> {
        let view = self.shared.get(key)?;
        *view.leases.lock() += 1;
        Some(view.clone())
    }
}

/// Keeps a shared query alive.
#[derive(Debug)]
pub(super) struct Lease {
    runtime: Weak<ViewRuntime>,
    key: Option<String>,
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
    engine: Engine,
    hub: Arc<Hub>,
    registry: Mutex<Registry>,
    closing: Arc<AtomicBool>,
    ticker: Mutex<Option<JoinHandle<()>>>,
    this: Weak<ViewRuntime>,
}

impl std::fmt::Debug for ViewRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewRuntime").finish_non_exhaustive()
    }
}

/// What a worker starts from.
enum Start {
    /// All rows of a snapshot.
    History,
    /// A checkpoint and the commits since.
    Replay(Box<Checkpoint>, Vec<Arc<tsdb::Commit>>),
}

fn exec(e: StreamError) -> QueryError {
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
    fn start(
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
    fn follow(&self, view: &View) {
        let wall_ns = self.engine.clock().wall_ns();
        self.engine.barrier(|snapshot| {
            view.tap
                .send(Message::Rebuild(Box::new(Snap(snapshot.clone())), wall_ns));
            self.hub.taps.write().push(view.tap.clone());
        });
    }

    /// Ends a view's worker; `save` makes it write its state first.
    fn end(&self, view: &View, save: bool, reason: &'static str) {
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

    /// Subscribes to a view: its changes, or with `finals` its windows as they close.
    ///
    /// # Errors
    /// [`QueryError::Conflict`] when there is no such view.
    pub fn subscribe(
        &self,
        db: &str,
        name: &str,
        finals: bool,
    ) -> Result<Subscription, QueryError> {
        let view = self.view(db, name).ok_or_else(|| QueryError::NotFound {
            message: format!("there is no view \"{name}\""),
            line: 1,
            column: 1,
            hint: None,
        })?;
        Ok(self.attach(&view, finals, None))
    }

    /// Subscribes to a query. Equal queries share their work, which ends with the last subscription.
    ///
    /// # Errors
    /// When the query can't be kept up to date.
    pub fn subscribe_query(
        &self,
        mut query: ContinuousQuery,
        sql: &str,
    ) -> Result<Subscription, QueryError> {
        let emit = match &mut query {
            ContinuousQuery::Aggregate(q) => q.emit.take(),
            ContinuousQuery::Rows(q) => q.emit.take(),
        };
        let finals = emit == Some(Emit::Final) && matches!(query, ContinuousQuery::Aggregate(_));
        let key = format!("{query:?}");
        let leased = self.registry.lock().lease(&key);
        let view = match leased {
            Some(view) => view,
            None => self.share(&key, query, sql)?,
        };
        Ok(self.attach(&view, finals, Some(key)))
    }

    /// Starts a query that subscriptions share, and takes the first lease on it.
    fn share(&self, key: &str, query: ContinuousQuery, sql: &str) -> Result<Arc<View>, QueryError> {
        let definition = Definition::new(self.new_epoch(), sql, query.output());
        let db = query.source().db.clone();
        let view = self.start(&db, sql, query, &definition, Start::History, false, None)?;
        self.follow(&view);
        let mut registry = self.registry.lock();
        let first = registry.lease(key);
        if let Some(first) = first {
            // Another subscriber was faster.
            drop(registry);
            self.end(&view, false, "not needed");
            return Ok(first);
        }
        *view.leases.lock() = 1;
        registry.shared.insert(key.to_string(), view.clone());
        Ok(view)
    }

    fn attach(&self, view: &Arc<View>, finals: bool, key: Option<String>) -> Subscription {
        let outbox = Arc::new(Outbox::default());
        self.engine.barrier(|snapshot| {
            view.tap
                .send(Message::Subscribe(outbox.clone(), finals, snapshot.lsn()));
        });
        Subscription {
            columns: view.program.output().clone(),
            epoch: view.epoch,
            outbox,
            tap: view.tap.clone(),
            asked: false,
            _lease: Lease {
                runtime: self.this.clone(),
                key,
            },
        }
    }

    /// One subscription of a shared query has ended.
    fn release(&self, key: &str) {
        let mut registry = self.registry.lock();
        let Some(view) = registry.shared.get(key).cloned() else {
            return;
        };
        let last = {
            let mut leases = view.leases.lock();
            *leases = leases.saturating_sub(1);
            *leases == 0
        };
        if last {
            registry.shared.remove(key);
            self.hub.taps.write().retain(|t| !Arc::ptr_eq(t, &view.tap));
            view.tap.send(Message::Stop(None, "no subscriber is left"));
        }
    }

    fn view(&self, db: &str, name: &str) -> Option<Arc<View>> {
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
    fn new_epoch(&self) -> u64 {
        self.engine.clock().wall_ns() as u64
    }

    /// Logs a tick when somebody waits for windows of an idle stream to close.
    fn start_ticker(&self) -> Result<(), QueryError> {
        let (engine, hub, closing) = (self.engine.clone(), self.hub.clone(), self.closing.clone());
        let run = move || {
            let mut ticked = i64::MIN;
            while !closing.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(1));
                let now = engine.clock().wall_ns();
                let idle = |since: i64| since != i64::MIN && now.saturating_sub(since) >= IDLE_NS;
                let due = hub.taps.read().iter().any(|t| {
                    t.awaits_close.load(Ordering::Relaxed)
                        && idle(t.last_rows.load(Ordering::Relaxed))
                });
                if due && (ticked == i64::MIN || idle(ticked)) && !closing.load(Ordering::Relaxed) {
                    ticked = now;
                    let tick = Request {
                        tick: true,
                        ..Request::default()
                    };
                    engine.submit(tick, Box::new(|_| {}));
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("ticker".into())
            .spawn(run)
            .map_err(|e| QueryError::Internal(format!("start the ticker: {e}")))?;
        *self.ticker.lock() = Some(thread);
        Ok(())
    }
}

/// Names a view's files.
fn view_id(db: &str, name: &str) -> u64 {
    fnv(format!("{db}\0{name}").as_bytes())
}

impl View {
    fn info(&self) -> ViewInfo {
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

impl Views for ViewRuntime {
    fn list(&self) -> Vec<ViewInfo> {
        self.registry
            .lock()
            .named
            .values()
            .map(|v| v.info())
            .collect()
    }

    fn get(&self, db: &str, name: &str) -> Option<ViewInfo> {
        self.view(db, name).map(|v| v.info())
    }

    fn create(
        &self,
        db: &str,
        name: &str,
        query: ContinuousQuery,
        sql: &str,
        replace: bool,
    ) -> Result<(), QueryError> {
        if self.view(db, name).is_some() && !replace {
            return Err(QueryError::Conflict(format!(
                "view \"{name}\" exists already"
            )));
        }
        let definition = Definition::new(self.new_epoch(), sql, query.output());
        let (ready, caught_up) = mpsc::channel();
        let view = self.start(
            db,
            name,
            query,
            &definition,
            Start::History,
            true,
            Some(ready),
        )?;
        self.follow(&view);
        let outcome = caught_up
            .recv()
            .map_err(|_| QueryError::Internal("a view's thread has ended".to_string()))
            .and_then(|r| r.map_err(exec));
        if let Err(e) = outcome {
            self.end(&view, false, "the view could not be built");
            return Err(e);
        }
        let key = (db.to_string(), name.to_string());
        let old = {
            let mut registry = self.registry.lock();
            if !replace && registry.named.contains_key(&key) {
                drop(registry);
                self.end(&view, false, "another view has taken the name");
                return Err(QueryError::Conflict(format!(
                    "view \"{name}\" exists already"
                )));
            }
            registry.broken.remove(&key);
            self.engine.catalog().put_object(Object {
                kind: KIND.to_string(),
                db: db.to_string(),
                name: name.to_string(),
                payload: definition.encode(),
            });
            registry.named.insert(key, view)
        };
        if let Some(old) = old {
            self.end(&old, false, "the view has been redefined");
        }
        Ok(())
    }

    fn drop_view(&self, db: &str, name: &str) -> Result<bool, QueryError> {
        let key = (db.to_string(), name.to_string());
        let (view, broken) = {
            let mut registry = self.registry.lock();
            let found = (registry.named.remove(&key), registry.broken.remove(&key));
            if found.0.is_some() || found.1.is_some() {
                self.engine.catalog().drop_object(KIND, db, name);
            }
            found
        };
        if let Some(view) = &view {
            self.end(view, false, "the view has been dropped");
        }
        if view.is_some() || broken.is_some() {
            self.engine.hold_wal(&format!("view {db}.{name}"), None);
            if let Err(error) = Checkpoint::remove_all(self.engine.disk(), view_id(db, name)) {
                tracing::warn!(%error, "a dropped view's saved state could not be removed");
            }
        }
        Ok(view.is_some() || broken.is_some())
    }

    fn ask(
        &self,
        db: &str,
        name: &str,
        snapshot: &Snapshot,
    ) -> BoxFuture<'static, Result<Vec<RecordBatch>, QueryError>> {
        let Some(view) = self.view(db, name) else {
            let e = QueryError::Conflict(format!("view \"{name}\" has just been dropped"));
            return Box::pin(std::future::ready(Err(e)));
        };
        if let Program::Rows(plan) = &view.program {
            let (plan, snapshot) = (plan.clone(), snapshot.clone());
            return Box::pin(
                async move { read_rows(&plan, &view.stream.0, &snapshot).map_err(exec) },
            );
        }
        let (reply, answer) = oneshot::channel();
        let snapshot = Box::new(Snap(snapshot.clone()));
        view.tap.send_read(Message::Read(snapshot, reply));
        Box::pin(async move {
            let rows = answer
                .await
                .map_err(|_| QueryError::Exec("the view has been dropped".to_string()))??;
            Ok(vec![rows])
        })
    }
}
