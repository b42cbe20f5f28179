//! Every route there is. The router and the description of the API are both made of this table.

use super::reply::{self, ApiError};
use super::{
    App, WS_PATH, admin, docs, influx, ingest, meta, otlp, registry, remote_write, sources, sql, ui,
};
use crate::ws;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::{HeaderValue, header};
use std::sync::Arc;

/// A parameter's name and what it means.
pub(crate) type Named = (&'static str, &'static str);

/// The form of a route's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errors {
    /// `{"error":{"code":..,"message":..}}`
    Own,
    /// `{"error":".."}`, as InfluxDB 1 tells them.
    InfluxV1,
    /// `{"code":..,"message":..}`, as InfluxDB 2 does.
    InfluxV2,
    /// `{"error_code":..,"message":..}`, as Confluent's schema registry does.
    Registry,
    /// `google.rpc.Status`, in the form of the request.
    Rpc,
}

/// A route and what there is to know of it.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    /// In small letters.
    pub method: &'static str,
    pub path: &'static str,
    pub group: &'static str,
    pub does: &'static str,
    /// Of the query string.
    pub parameters: &'static [Named],
    pub headers: &'static [Named],
    /// Content types that it takes.
    pub takes: &'static [&'static str],
    /// The status when all is well.
    pub status: u16,
    /// Content types that it gives, each with the name of its schema, if it has one.
    pub gives: &'static [Named],
    /// Statuses of its errors.
    pub errors: &'static [u16],
    pub error_form: Errors,
    pub handler: fn() -> MethodRouter<Arc<App>>,
}

const GET: Route = Route {
    method: "get",
    path: "",
    group: "",
    does: "",
    parameters: &[],
    headers: &[],
    takes: &[],
    status: 200,
    gives: &[],
    errors: &[],
    error_form: Errors::Own,
    handler: || get(ahead),
};

const POST: Route = Route {
    method: "post",
    handler: || post(ahead),
    ..GET
};

const QUERIES: &str = "Queries";
const WRITES: &str = "Writes";
const SAMPLES: &str = "Prometheus and OpenTelemetry";
const INFLUX: &str = "InfluxDB and QuestDB clients";
const CATALOG: &str = "Catalog";
const LIVE: &str = "Live";
const OPERATION: &str = "Operation";

const DB: Named = ("db", "the database; `default` unless given");
const ALL_DBS: Named = ("db", "only what is in this database");
const EPOCH: Named = (
    "epoch",
    "times as integers: `ns`, `us`, `ms` or `s`; else RFC 3339",
);
const ACCEPT: Named = ("Accept", "the form of the reply, `application/json` if any");
const ENCODING: Named = (
    "Content-Encoding",
    "`gzip`, `zstd`, `deflate` or `snappy` (a block)",
);
const KEY: Named = (
    "Idempotency-Key",
    "makes a repeat of the request known: it changes nothing and gets the first one's reply",
);
const ROWS: &[Named] = &[
    ("application/json", "Answer"),
    ("application/x-ndjson", ""),
    ("text/csv", ""),
    ("application/vnd.apache.arrow.stream", ""),
    ("text/event-stream", ""),
];
const QUERY_ERRORS: &[u16] = &[400, 404, 405, 406, 408, 409, 422, 429, 500, 503];
const WRITE_ERRORS: &[u16] = &[400, 404, 408, 413, 415, 422, 500, 503];
const JSON: &str = "application/json";

/// All routes, in the order of the description.
pub(crate) const ROUTES: &[Route] = &{
    let mut all = [GET; OWN.len() + registry::ROUTES.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < OWN.len() {
            OWN[i]
        } else {
            registry::ROUTES[i - OWN.len()]
        };
        i += 1;
    }
    all
};

/// Prometheus' remote write, which has several names.
const REMOTE_WRITE: Route = Route {
    group: SAMPLES,
    does: "Prometheus' remote write 1.0 and 2.0. A metric is a stream; good series are kept also when others are \
           refused with 400.",
    parameters: &[DB],
    headers: &[
        ENCODING,
        (
            "Content-Type",
            "with `proto=io.prometheus.write.v2.Request` for version 2",
        ),
    ],
    takes: &["application/x-protobuf"],
    status: 204,
    errors: WRITE_ERRORS,
    ..POST
};

const OWN: &[Route] = &[
    Route {
        path: "/api/v1/sql",
        group: QUERIES,
        does: "Runs SQL statements in order, up to the first that fails; the reply is the last one's.",
        parameters: &[DB, EPOCH],
        headers: &[ACCEPT, ENCODING, KEY],
        takes: &["text/plain"],
        gives: ROWS,
        errors: &[400, 403, 404, 406, 408, 409, 413, 415, 422, 429, 500, 503],
        ..POST
    },
    Route {
        path: "/api/v1/sql",
        group: QUERIES,
        does: "Runs SQL that reads; what writes is refused.",
        parameters: &[("q", "the text; required"), DB, EPOCH],
        headers: &[ACCEPT],
        gives: ROWS,
        errors: QUERY_ERRORS,
        handler: || get(sql::get),
        ..GET
    },
    Route {
        path: "/api/v1/query",
        group: QUERIES,
        does: "Runs SQL that reads; what writes is refused.",
        parameters: &[("sql", "the text; required"), DB, EPOCH],
        headers: &[ACCEPT],
        gives: ROWS,
        errors: QUERY_ERRORS,
        handler: || get(sql::get),
        ..GET
    },
    Route {
        path: WS_PATH,
        group: LIVE,
        does: "WebSocket: subscribes to views, to the dashboard's metrics and to SQL with EMIT CHANGES; takes batches of rows.",
        status: 101,
        errors: &[400, 403, 426, 503],
        handler: || get(ws::upgrade),
        ..GET
    },
    Route {
        path: "/api/v1/ingest/{stream}",
        group: WRITES,
        does: "Adds rows. Good rows are kept, bad ones are told of and go to the stream dead_letters.",
        parameters: &[
            DB,
            (
                "create",
                "makes the stream from the first row if it is not there",
            ),
            (
                "precision",
                "unit of integer times: `ns`, `us`, `ms` or `s`; by their size unless given",
            ),
        ],
        headers: &[ENCODING, KEY],
        takes: &["application/x-ndjson", JSON, "text/csv"],
        gives: &[(JSON, "Accepted")],
        errors: &[400, 403, 404, 408, 409, 413, 415, 422, 500, 503],
        ..POST
    },
    Route {
        path: remote_write::PATHS[0],
        ..REMOTE_WRITE
    },
    Route {
        path: remote_write::PATHS[1],
        ..REMOTE_WRITE
    },
    Route {
        path: remote_write::PATHS[2],
        ..REMOTE_WRITE
    },
    Route {
        path: otlp::PATH,
        group: SAMPLES,
        does: "OTLP metrics. A metric is a stream; points that are refused go to the stream dead_letters.",
        parameters: &[DB],
        headers: &[ENCODING],
        takes: &["application/x-protobuf", JSON],
        gives: &[(JSON, "OtlpAccepted"), ("application/x-protobuf", "")],
        errors: WRITE_ERRORS,
        error_form: Errors::Rpc,
        ..POST
    },
    Route {
        path: "/write",
        group: INFLUX,
        does: "Line protocol as InfluxDB 1 takes it. Good lines are kept also when others are refused with 400.",
        parameters: &[
            ("db", "the database; required, but of QuestDB's clients"),
            ("precision", "`n`, `u`, `ms`, `s`, `m` or `h`"),
        ],
        headers: &[ENCODING, KEY],
        takes: &["text/plain"],
        status: 204,
        errors: WRITE_ERRORS,
        error_form: Errors::InfluxV1,
        ..POST
    },
    Route {
        path: "/api/v2/write",
        group: INFLUX,
        does: "Line protocol as InfluxDB 2 takes it. Good lines are kept also when others are refused with 400.",
        parameters: &[
            ("bucket", "the database, or `database/policy`; required"),
            ("org", "not looked at"),
            ("precision", "`ns`, `us`, `ms` or `s`"),
        ],
        headers: &[ENCODING, KEY],
        takes: &["text/plain"],
        status: 204,
        errors: WRITE_ERRORS,
        error_form: Errors::InfluxV2,
        ..POST
    },
    Route {
        path: "/query",
        group: INFLUX,
        does: "InfluxQL's CREATE DATABASE and SHOW DATABASES.",
        parameters: &[("q", "the statements; here or in the form")],
        headers: &[ENCODING],
        takes: &["application/x-www-form-urlencoded"],
        gives: &[(JSON, "InfluxResults")],
        errors: &[400, 408, 413, 415, 500, 503],
        error_form: Errors::InfluxV1,
        ..POST
    },
    Route {
        path: "/query",
        group: INFLUX,
        does: "InfluxQL's SHOW DATABASES.",
        parameters: &[("q", "the statements; required")],
        gives: &[(JSON, "InfluxResults")],
        errors: &[400, 405],
        error_form: Errors::InfluxV1,
        handler: || get(influx::query),
        ..GET
    },
    Route {
        path: "/ping",
        group: INFLUX,
        does: "The version, in headers; with `verbose` 200 and in JSON.",
        parameters: &[("verbose", "anything but `false`")],
        status: 204,
        handler: || get(influx::ping),
        ..GET
    },
    Route {
        path: "/settings",
        group: INFLUX,
        does: "What QuestDB's clients ask before they write.",
        gives: &[(JSON, "")],
        handler: || get(influx::settings),
        ..GET
    },
    Route {
        path: "/api/v1/streams",
        group: CATALOG,
        does: "Streams with their columns, options and rows.",
        parameters: &[ALL_DBS],
        gives: &[(JSON, "Streams")],
        handler: || get(meta::streams),
        ..GET
    },
    Route {
        path: "/api/v1/streams/{name}",
        group: CATALOG,
        does: "One stream.",
        parameters: &[DB],
        gives: &[(JSON, "Stream")],
        errors: &[400, 404],
        handler: || get(meta::stream),
        ..GET
    },
    Route {
        path: "/api/v1/views",
        group: CATALOG,
        does: "Continuous views with their columns, state and position.",
        parameters: &[ALL_DBS],
        gives: &[(JSON, "Views")],
        handler: || get(meta::views),
        ..GET
    },
    Route {
        path: "/api/v1/sources",
        group: CATALOG,
        does: "Sources with their partitions, and sinks: state, positions, lag, errors; how full the write buffer is.",
        parameters: &[ALL_DBS],
        gives: &[(JSON, "")],
        handler: || get(sources::list),
        ..GET
    },
    Route {
        path: "/api/v1/admin/flush",
        group: OPERATION,
        does: "Writes all rows in memory to segments; returns when done.",
        gives: &[(JSON, "Done")],
        errors: &[403, 500, 503],
        handler: || post(admin::flush),
        ..POST
    },
    Route {
        path: "/api/v1/admin/compact",
        group: OPERATION,
        does: "Brings segments to their final form; returns when done.",
        gives: &[(JSON, "Done")],
        errors: &[403, 500, 503],
        handler: || post(admin::compact),
        ..POST
    },
    Route {
        path: "/api/v1/admin/storage",
        group: OPERATION,
        does: "Bytes of log, segments and index; rows per stream.",
        gives: &[(JSON, "Storage")],
        handler: || get(admin::storage),
        ..GET
    },
    Route {
        path: "/health",
        group: OPERATION,
        does: "200 as long as the server lives, also while it starts.",
        gives: &[(JSON, "Health")],
        handler: || get(async || influx::health()),
        ..GET
    },
    Route {
        path: "/ready",
        group: OPERATION,
        does: "200 once recovery is done; 503 before, and once the log has failed.",
        gives: &[(JSON, "Ready")],
        errors: &[503],
        handler: || get(ready),
        ..GET
    },
    Route {
        path: "/metrics",
        group: OPERATION,
        does: "What the server counts, in Prometheus' text form.",
        gives: &[("text/plain", "")],
        handler: || get(metrics),
        ..GET
    },
    Route {
        path: "/api/v1/openapi.json",
        group: OPERATION,
        does: "This API for programs: OpenAPI 3.1.",
        gives: &[(JSON, "")],
        handler: || get(docs::openapi),
        ..GET
    },
    Route {
        path: "/api/docs",
        group: OPERATION,
        does: "This API for people.",
        gives: &[("text/html", "")],
        handler: || get(docs::page),
        ..GET
    },
];

/// All routes; what is none of them is a file of the page.
pub(super) fn router(app: Arc<App>) -> Router {
    let add = |router: Router<Arc<App>>, route: &Route| router.route(route.path, (route.handler)());
    ROUTES
        .iter()
        .fold(Router::new(), add)
        .method_not_allowed_fallback(wrong_method)
        .fallback(elsewhere)
        .with_state(app)
}

/// Stands for the routes that [`super::Gate`] answers ahead of the router, so that their other methods are refused.
async fn ahead() -> Response {
    ApiError::new(500, "internal", "this route has no handler").into_response()
}

/// What is no route.
async fn elsewhere(request: Request) -> Response {
    match registry::no_route(404, request.uri().path()) {
        Some(response) => response,
        None => ui::file(request).await,
    }
}

async fn wrong_method(request: Request) -> Response {
    let (path, method) = (request.uri().path(), request.method());
    if let Some(response) = registry::no_route(405, path) {
        return response;
    }
    let error = ApiError::new(
        405,
        "method_not_allowed",
        format!("{path} does not take {method}"),
    );
    if path == "/write" || path == "/api/v2/write" || path.starts_with(ingest::PREFIX) {
        return error.hint("rows are sent by POST").into_response();
    }
    error.into_response()
}

/// `GET /ready`, once the database is open.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.failure().await {
        None => reply::json(http::StatusCode::OK, r#"{"status":"ready"}"#),
        Some(reason) => {
            let body = serde_json::json!({"status": "failed", "reason": reason});
            reply::json(http::StatusCode::SERVICE_UNAVAILABLE, body.to_string())
        }
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = crate::metrics::render(&app.metrics, &app.engine, |page| meta::metrics(&app, page));
    let mut response = Response::new(text.into());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
