//! Starting, serving, ending.

use crate::config::{Config, ConfigError};
use crate::http::{self, App, Gate};
use crate::letters::Letters;
use crate::metrics::Metrics;
use crate::open_files;
use crate::shedding;
use crate::sink::{Sinks, SinksConfig};
use crate::sources::{self, Board};
use crate::ws::dashboard;
use ingest::schemas::builtin::Registry;
use query::view::ViewRuntime;
use query::{QueryConfig, QueryEngine};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The settings can't be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address can't be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The database did not open.
    #[error(transparent)]
    Engine(#[from] tsdb::Error),
    /// Queries can't be run.
    #[error(transparent)]
    Query(#[from] query::QueryError),
    /// A fault of our own.
    #[error("{0}")]
    Internal(&'static str),
}

/// A server, running.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    opening: Option<JoinHandle<Result<(), ServerError>>>,
    gate: Arc<Gate>,
}

impl Server {
    /// Listens, and begins to open the database: `/health` answers from now on, all else once
    /// [`Server::ready`] has returned.
    ///
    /// # Errors
    /// [`ServerError::Config`], [`ServerError::Listen`].
    pub async fn start(mut config: Config) -> Result<Server, ServerError> {
        config.check()?;
        open_files::make_room(&mut config.limits);
        let failed = |source| ServerError::Listen {
            address: config.listen.clone(),
            source,
        };
        let listener = TcpListener::bind(&config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        config.check_address(address)?;
        let (stop, stopped) = watch::channel(false);
        let (config, metrics) = (Arc::new(config), Arc::new(Metrics::default()));
        let gate = Arc::new(Gate::new(config, metrics));
        let serving = tokio::spawn(http::serve(listener, gate.clone(), stopped.clone()));
        let opening = tokio::spawn(open(gate.clone(), stopped));
        Ok(Server {
            address,
            stop,
            serving,
            opening: Some(opening),
            gate,
        })
    }

    /// Waits until the database is open.
    ///
    /// # Errors
    /// Why it does not open; the server is of no use then.
    pub async fn ready(&mut self) -> Result<(), ServerError> {
        match self.opening.take() {
            None => Ok(()),
            Some(opening) => opening
                .await
                .map_err(|_| ServerError::Internal("opening the database has panicked"))?,
        }
    }

    #[cfg(test)]
    pub(crate) fn app(&self) -> Option<&Arc<App>> {
        self.gate.app()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends in order: requests at hand are answered, what they wrote is durable, and WebSockets are told. What does not end
    /// within some seconds is cut.
    pub async fn stop(mut self) {
        if let Err(error) = self.ready().await {
            tracing::error!(%error, "the database did not open");
        }
        // Nobody listening means that serving has ended already.
        let _ = self.stop.send(true);
        if self.serving.await.is_err() {
            tracing::error!("the serving task has panicked");
        }
        if let Some(app) = self.gate.app() {
            let app = app.clone();
            let close = move || {
                // Sources first: what they have read goes into the log.
                app.sources.close();
                // Sinks follow views, and views save their state: they need the log for that.
                app.sinks.close();
                app.views.close();
                app.engine.close();
            };
            if tokio::task::spawn_blocking(close).await.is_err() {
                tracing::error!("closing the database has panicked");
            }
        }
    }
}

/// Holds the log until all who need it have said so.
const OPENING: &str = "opening";

async fn open(gate: Arc<Gate>, stop: watch::Receiver<bool>) -> Result<(), ServerError> {
    let config = gate.config.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let engine = tsdb::Engine::open(&tsdb::EngineConfig {
            io: config.io.into(),
            head_bytes: config.head_bytes,
            flush_bytes: config.flush_bytes,
            // Sinks say only later what they need of it.
            held: vec![(OPENING.into(), tsdb::types::Lsn(0))],
            ..tsdb::EngineConfig::new(&config.data_dir)
        })?;
        let query = QueryEngine::new(
            engine,
            QueryConfig {
                memory_bytes: config.limits.query_bytes,
                time_limit: Duration::from_secs(config.limits.query_seconds),
                ..QueryConfig::default()
            },
        )?;
        let views = ViewRuntime::open(&query)?;
        let registry = Arc::new(Registry::open(query.engine().clone()));
        let sources = sources::sources(query.engine(), &config, registry.clone())?;
        query.set_sources(Arc::new(Board(sources.clone())));
        let sinks = Sinks::open(
            &query,
            &views,
            SinksConfig {
                kafka_brokers: config.kafka.brokers.clone(),
                kafka_settings: config
                    .kafka
                    .settings
                    .iter()
                    .map(|(n, v)| (n.clone(), v.clone()))
                    .collect(),
                ..SinksConfig::default()
            },
        )?;
        query.engine().hold_wal(OPENING, None);
        let letters = Letters::new(query.engine().clone(), sources.clone());
        query.set_letters(Arc::new(letters));
        Ok::<_, ServerError>((query, views, sources, sinks, registry))
    });
    let (query, views, sources, sinks, registry) = opened
        .await
        .map_err(|_| ServerError::Internal("opening the database has panicked"))??;
    let app = Arc::new(App::new(
        query,
        views,
        sources,
        sinks,
        registry,
        &gate,
        stop.clone(),
    ));
    tokio::spawn(dashboard::run(app.clone()));
    tokio::spawn(shedding::follow(app.clone(), stop.clone()));
    let changed = app.catalog_changed.subscribe();
    tokio::spawn(sources::follow(app.sources.clone(), changed, stop));
    gate.open(app);
    Ok(())
}
