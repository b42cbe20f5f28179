//! How views start: those of the catalog when the server does, others when they are created or subscribed to.

use super::ViewConfig;
use super::checkpoint::Checkpoint;
use super::definition::Definition;
use super::hub::Tap;
use super::runtime::{Broken, KIND, View, ViewRuntime, exec};
use super::saving::Saving;
use super::state::{Program, State};
use super::worker::{Message, Snap, Status, Worker};
use crate::bind::windowed::ContinuousQuery;
use crate::engine::{QueryEngine, Session};
use crate::error::QueryError;
use crate::stream::StreamError;
use crossbeam::channel::unbounded;
use parking_lot::Mutex;
use query_lang::ast::StatementKind;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use tsdb::types::{Fnv, Lsn};
use tsdb::{Commit, Object, Stream};

/// A view to be started.
pub(super) struct Launch<'a> {
    pub db: &'a str,
    pub name: &'a str,
    pub query: ContinuousQuery,
    pub definition: &'a Definition,
    /// Whether its state is saved.
    pub durable: bool,
    /// Told once the state has caught up for the first time.
    pub ready: Option<mpsc::Sender<Result<(), StreamError>>>,
}

/// A saved state and the commits since.
struct Saved {
    state: State,
    lsn: Lsn,
    commits: Vec<Arc<Commit>>,
}

impl ViewRuntime {
    /// Restores the views of the catalog and follows the log, and lets `queries` use them. To be called right after
    /// the engine was opened, before any commit; it ends the engine's recovery.
    ///
    /// # Errors
    /// When a thread can't be started. A view whose definition can't be run is kept and shows why.
    pub fn open(queries: &Arc<QueryEngine>) -> Result<Arc<ViewRuntime>, QueryError> {
        Self::open_with(queries, ViewConfig::default())
    }

    /// As [`ViewRuntime::open`], with other bounds.
    ///
    /// # Errors
    /// As [`ViewRuntime::open`].
    pub fn open_with(
        queries: &Arc<QueryEngine>,
        config: ViewConfig,
    ) -> Result<Arc<ViewRuntime>, QueryError> {
        let engine = queries.engine().clone();
        let runtime = Arc::new_cyclic(|this| ViewRuntime {
            engine: engine.clone(),
            config,
            hub: Arc::default(),
            registry: Mutex::default(),
            closing: Arc::default(),
            ticker: Mutex::default(),
            this: this.clone(),
        });
        let mut fresh = Vec::new();
        for object in engine.catalog().objects(KIND) {
            let key = (object.db.clone(), object.name.clone());
            let definition = Definition::decode(&object.payload);
            match runtime.restore(queries, &object, definition.as_ref()) {
                Ok((view, rebuild)) => {
                    if rebuild {
                        fresh.push(view.tap.clone());
                    }
                    runtime.registry.lock().named.insert(key, view);
                }
                Err(e) => {
                    tracing::error!(view = %object.name, error = %e, "a view can't be restored");
                    let reason = e.to_string();
                    let broken = Broken { definition, reason };
                    runtime.registry.lock().broken.insert(key, broken);
                }
            }
        }
        runtime.sweep();
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

    /// Removes what views that are no more have left behind.
    fn sweep(&self) {
        let registry = self.registry.lock();
        let id = |(db, name): &(String, String), d| Saving::of(db, name, d).id;
        let named = registry.named.iter();
        let mut known: Vec<u64> = named.map(|(key, v)| id(key, &v.definition)).collect();
        let broken = registry.broken.iter();
        known.extend(broken.filter_map(|(key, b)| Some(id(key, b.definition.as_ref()?))));
        if let Err(error) = Checkpoint::sweep(self.engine.disk(), &known) {
            tracing::warn!(%error, "checkpoints of views that are no more could not be removed");
        }
    }

    /// A view of the catalog, and whether it must be rebuilt from history.
    fn restore(
        &self,
        queries: &Arc<QueryEngine>,
        object: &Object,
        definition: Option<&Definition>,
    ) -> Result<(Arc<View>, bool), QueryError> {
        let damaged = || QueryError::Storage("its definition is damaged".to_string());
        let definition = definition.ok_or_else(damaged)?;
        let sql = &definition.sql;
        let statements = query_lang::parse_statements(sql)?;
        let Some(StatementKind::Query(query)) = statements.first().map(|s| &s.kind) else {
            return Err(damaged());
        };
        let session = Session::of(definition.db.clone());
        let (query, _) = queries.bind_continuous(&session, sql, query)?;
        if query.source().id != definition.stream {
            return Err(QueryError::Exec(format!(
                "stream \"{}\" is not the one it was made over",
                query.source().name
            )));
        }
        let query = definition.freeze(query).ok_or_else(|| {
            QueryError::Exec("its query no longer yields the columns it had".to_string())
        })?;
        let launch = Launch {
            db: &object.db,
            name: &object.name,
            query,
            definition,
            durable: true,
            ready: None,
        };
        let (view, saved) = self.launch(launch, true)?;
        self.hub.taps.write().push(view.tap.clone());
        Ok((view, !saved))
    }

    /// Starts the worker of a new view. It has no rows yet, and its tap is not in the hub.
    pub(super) fn start(&self, launch: Launch<'_>) -> Result<Arc<View>, QueryError> {
        Ok(self.launch(launch, false)?.0)
    }

    /// Starts a worker, with a saved state if that is wanted and there is one; tells whether there was.
    fn launch(&self, launch: Launch<'_>, restore: bool) -> Result<(Arc<View>, bool), QueryError> {
        let program = Program::new(&launch.query).map_err(exec)?;
        let source = launch.query.source();
        let stream = self
            .engine
            .catalog()
            .stream(&source.db, &source.name)
            .filter(|s| s.id == source.id)
            .ok_or_else(|| QueryError::Exec(format!("stream \"{}\" is gone", source.name)))?;
        let (sender, queue) = unbounded();
        let (urgent_sender, urgent) = unbounded();
        let wall_ns = self.engine.clock().wall_ns();
        let tap = Tap::new(stream.id, self.config, sender, urgent_sender, wall_ns);
        let tap = Arc::new(tap);
        let status = Arc::new(Status::default());
        status.watermark.store(i64::MIN, Ordering::Relaxed);
        *status.ready.lock() = launch.ready;
        let saving = Saving::of(launch.db, launch.name, launch.definition);
        let saved = match restore {
            true => self.saved(&saving, &stream, &program),
            false => None,
        };
        let found = saved.is_some();
        let (mut state, mut lsn) = (State::new(stream.clone(), program.clone()), Lsn(0));
        if let Some(saved) = saved {
            (state, lsn) = (saved.state, saved.lsn);
            self.engine.hold_wal(&saving.owner, Some(lsn));
            for commit in saved.commits {
                tap.push(&commit, None);
            }
            tap.send(Message::Replayed(self.engine.published()));
        }
        let worker = Worker {
            engine: self.engine.clone(),
            tap: tap.clone(),
            state,
            status: status.clone(),
            queue,
            backlog: VecDeque::new(),
            urgent,
            saving: launch.durable.then_some(saving),
            lsn,
            subscribers: Vec::new(),
            emitted: lsn,
            dirty: false,
            last_emit: Instant::now(),
            cache: None,
            behind_since: None,
            repairing: false,
            stale: false,
            // What was saved is of several commits until the log has been replayed.
            built: false,
            sweep: None,
            writer: None,
        };
        let thread = std::thread::Builder::new()
            .name(format!("view {}", launch.name))
            .stack_size(8 << 20)
            .spawn(move || worker.run())
            .map_err(|e| QueryError::Internal(format!("start a view's thread: {e}")))?;
        let view = Arc::new(View {
            db: launch.db.to_string(),
            name: launch.name.to_string(),
            query: Arc::new(launch.query),
            program,
            definition: launch.definition.clone(),
            tap,
            status,
            thread: Mutex::new(Some(thread)),
            leases: Mutex::new(0),
        });
        Ok((view, found))
    }

    /// The state that a checkpoint holds, if it can be used and the log goes on from there.
    fn saved(&self, saving: &Saving, stream: &Arc<Stream>, program: &Program) -> Option<Saved> {
        let checkpoint = Checkpoint::newest(self.engine.disk(), saving.id, saving.hash)?;
        let commits = self.engine.replay_after(checkpoint.head.lsn)?;
        let mut state = State::new(stream.clone(), program.clone());
        if let Err(error) = state.load(&checkpoint) {
            tracing::warn!(view = %saving.owner, %error, "a checkpoint can't be used: the view is rebuilt");
            return None;
        }
        Some(Saved {
            state,
            lsn: checkpoint.head.lsn,
            commits,
        })
    }
}

impl Saving {
    /// How the state of a view is named. Views of one name follow each other: each has files and a hold of its own.
    pub(super) fn of(db: &str, name: &str, definition: &Definition) -> Saving {
        let epoch = definition.epoch;
        Saving {
            id: Fnv::of(format!("{db}\0{name}\0{epoch}").as_bytes()),
            hash: definition.hash(),
            owner: format!("view {db}.{name} of {epoch}"),
        }
    }
}
