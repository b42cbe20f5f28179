//! HTTP: connections, the routes that must be fast, and a router for the rest.

mod accept;
mod admin;
mod batch;
mod body;
mod connection;
mod docs;
mod guard;
mod heads;
mod heavy;
mod influx;
mod ingest;
mod keys;
mod left_out;
mod live;
mod meta;
mod otlp;
mod params;
mod registry;
mod remote_write;
mod reply;
mod routes;
mod samples;
mod sources;
mod sql;
mod ui;

pub(crate) use batch::{Batch, BatchForm, prepare};
pub(crate) use body::Hold;
pub(crate) use connection::{Place, serve};
pub(crate) use ingest::Accepted;
pub(crate) use keys::{Begun, Turn};
pub(crate) use live::{Attached, attach};
pub(crate) use reply::ApiError;
pub(crate) use sql::session;
#[cfg(test)]
pub(crate) use {docs::schemas, routes::ROUTES};

use crate::Config;
use crate::metrics::{Metrics, Route};
use crate::sink::Sinks;
use crate::ws::{CommitTimes, Dashboard, Topics};
use ::ingest::decode::line_protocol::LineDecoder;
use ::ingest::decode::metric::MetricDecoder;
use ::ingest::schemas::builtin::Registry;
use ::ingest::source::Sources;
use axum::Router;
use axum::response::{IntoResponse, Response};
use body::{BodyLimits, Budget};
use futures::FutureExt;
use guard::Guard;
use heavy::Heavy;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use keys::Keys;
use live::LiveQueries;
use query::QueryEngine;
use query::view::ViewRuntime;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tower::ServiceExt;

/// Where WebSockets come to be.
pub(crate) const WS_PATH: &str = "/ws";

/// What all requests share, once the database is open.
pub(crate) struct App {
    pub(crate) engine: tsdb::Engine,
    pub(crate) query: Arc<QueryEngine>,
    pub(crate) views: Arc<ViewRuntime>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) sinks: Arc<Sinks>,
    pub(crate) lines: LineDecoder,
    /// The built-in schema registry.
    pub(crate) registry: Arc<Registry>,
    pub(crate) samples: MetricDecoder,
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) dashboard: Dashboard,
    pub(crate) topics: Topics,
    pub(crate) body_limits: BodyLimits,
    pub(crate) heavy: Heavy,
    pub(crate) keys: Keys,
    pub(crate) live_queries: Arc<LiveQueries>,
    pub(crate) commit_times: Arc<CommitTimes>,
    /// The catalog's version; whoever waits for a view to come to be waits for it to change.
    pub(crate) catalog_changed: watch::Sender<u64>,
    /// True when the server ends.
    pub(crate) stop: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(
        query: Arc<QueryEngine>,
        views: Arc<ViewRuntime>,
        sources: Arc<Sources>,
        sinks: Arc<Sinks>,
        registry: Arc<Registry>,
        gate: &Gate,
        stop: watch::Receiver<bool>,
    ) -> App {
        let engine = query.engine().clone();
        let commit_times = Arc::new(CommitTimes::default());
        engine.attach(commit_times.clone(), |_| ());
        let events = gate.metrics.events.clone();
        views.trace(Box::new(move |commit| Arc::new(events.begin(commit.lsn.0))));
        let limits = &gate.config.limits;
        App {
            body_limits: BodyLimits {
                sent: limits.body_bytes,
                decoded: limits.decoded_bytes,
                time: Duration::from_secs(limits.body_seconds),
                budget: Arc::new(Budget::new(limits.bodies_bytes)),
            },
            heavy: Heavy::default(),
            keys: Keys::default(),
            live_queries: Arc::new(LiveQueries::new(limits.live_queries)),
            dashboard: Dashboard::new(u64::try_from(engine.clock().wall_ns()).unwrap_or(0)),
            catalog_changed: watch::channel(engine.catalog().version()).0,
            registry,
            engine,
            query,
            views,
            sources,
            sinks,
            lines: LineDecoder::new(),
            samples: MetricDecoder::new(),
            config: gate.config.clone(),
            metrics: gate.metrics.clone(),
            topics: Topics::default(),
            commit_times,
            stop,
        }
    }

    /// Why nothing can be written any more, if that is so.
    pub(crate) async fn failure(&self) -> Option<String> {
        if !self.engine.metrics().poisoned.load(Ordering::Acquire) {
            return None;
        }
        // A log that has failed refuses an empty request with the reason.
        let refused = self.engine.commit_async(tsdb::Request::default());
        let reason = match tokio::time::timeout(Duration::from_secs(1), refused).await {
            Ok(Err(error)) => error.to_string(),
            _ => "the log has failed; restart the server to recover".to_owned(),
        };
        Some(reason)
    }

    /// Wakes those who wait for the catalog, if it has changed.
    pub(crate) fn note_catalog(&self) {
        let version = self.engine.catalog().version();
        self.catalog_changed
            .send_if_modified(|known| std::mem::replace(known, version) != version);
    }
}

/// What stands at the door: it answers from the start, the database behind it opens meanwhile.
pub(crate) struct Gate {
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Arc<Metrics>,
    guard: Guard,
    open: OnceLock<(Arc<App>, Router)>,
}

impl Gate {
    pub(crate) fn new(config: Arc<Config>, metrics: Arc<Metrics>) -> Gate {
        Gate {
            guard: Guard::new(&config.hosts),
            config,
            metrics,
            open: OnceLock::new(),
        }
    }

    /// Lets requests in.
    pub(crate) fn open(&self, app: Arc<App>) {
        let router = routes::router(app.clone());
        // A gate is opened once, by the server that made it.
        let _ = self.open.set((app, router));
    }

    pub(crate) fn app(&self) -> Option<&Arc<App>> {
        self.open.get().map(|(app, _)| app)
    }

    /// Answers a request, whatever happens in it.
    pub(crate) async fn answer(&self, request: hyper::Request<Incoming>) -> Response {
        let route = route_of(request.uri().path());
        let response = match AssertUnwindSafe(self.admit(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => {
                // The panic's own words are in the log: the hook has written them.
                self.metrics.panics.fetch_add(1, Ordering::Relaxed);
                ApiError::new(
                    500,
                    "internal",
                    "the request ran into a fault of the server",
                )
                .into_response()
            }
        };
        self.metrics.replied(route, response.status().as_u16());
        response
    }

    async fn admit(&self, request: hyper::Request<Incoming>) -> Response {
        let path = request.uri().path();
        let Some((app, router)) = self.open.get() else {
            return starting(path);
        };
        if !matches!(path, "/health" | "/ready" | "/ping" | "/metrics")
            && let Err(refused) = self.guard.check(request.method(), request.headers())
        {
            return ApiError::new(403, "forbidden", refused.to_string()).into_response();
        }
        // A browser lets any page open a WebSocket anywhere and read from it.
        if path == WS_PATH
            && let Err(refused) = self.guard.check_origin(request.headers())
        {
            return ApiError::new(403, "forbidden", refused.to_string()).into_response();
        }
        if request.method() == Method::POST {
            if path == "/write" {
                return influx::write(app, request, influx::Api::V1).await;
            }
            if path == "/api/v2/write" {
                return influx::write(app, request, influx::Api::V2).await;
            }
            if path == "/api/v1/sql" {
                return sql::post(app, request).await;
            }
            if remote_write::PATHS.contains(&path) {
                return remote_write::post(app, request).await;
            }
            if path == otlp::PATH {
                return otlp::post(app, request).await;
            }
            if path == "/query" {
                return influx::query_form(app, request).await;
            }
            if path.starts_with(ingest::PREFIX) {
                return ingest::post(app, request).await;
            }
        }
        match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// While the log is being recovered.
fn starting(path: &str) -> Response {
    match path {
        "/health" => reply::json(
            StatusCode::OK,
            influx::health_text("starting: recovering the log"),
        ),
        "/ready" => {
            let mut response =
                reply::json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"starting"}"#);
            reply::retry_after(&mut response, Some(1));
            response
        }
        _ => ApiError {
            retry_after: Some(1),
            ..ApiError::new(503, "starting", "the server is starting")
        }
        .into_response(),
    }
}

fn route_of(path: &str) -> Route {
    match path {
        "/write" | "/api/v2/write" => Route::LineProtocol,
        _ if remote_write::PATHS.contains(&path) || path == otlp::PATH => Route::Samples,
        "/api/v1/sql" | "/api/v1/query" | "/query" => Route::Sql,
        _ if path.starts_with(ingest::PREFIX) => Route::Ingest,
        _ if path.starts_with("/api/v1/admin/") => Route::Admin,
        _ if path.starts_with("/api/")
            || matches!(
                path,
                "/health" | "/ready" | "/ping" | "/metrics" | "/settings" | WS_PATH
            ) =>
        {
            Route::Other
        }
        _ => Route::Page,
    }
}
