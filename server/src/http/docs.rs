//! The API described: OpenAPI for programs, a plain page for people. Both are made from one list.

use super::reply::json_of;
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// A route: method, path, what it does, parameters (name, what it means), what goes in, what comes out.
struct Route {
    method: &'static str,
    path: &'static str,
    does: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    takes: &'static [&'static str],
    gives: &'static [&'static str],
}

const SQL_FORMS: &[&str] = &[
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.arrow.stream",
    "text/event-stream",
];

const ROUTES: &[Route] = &[
    Route {
        method: "post",
        path: "/api/v1/sql",
        does: "Runs SQL statements in order; the reply is the last one's.",
        parameters: &[
            ("db", "the database"),
            ("epoch", "times as integers: ns, us, ms or s"),
        ],
        takes: &["text/plain"],
        gives: SQL_FORMS,
    },
    Route {
        method: "get",
        path: "/api/v1/sql",
        does: "Runs SQL that reads.",
        parameters: &[
            ("q", "the text"),
            ("db", "the database"),
            ("epoch", "times as integers: ns, us, ms or s"),
        ],
        takes: &[],
        gives: SQL_FORMS,
    },
    Route {
        method: "get",
        path: "/api/v1/query",
        does: "Runs SQL that reads.",
        parameters: &[("sql", "the text"), ("db", "the database")],
        takes: &[],
        gives: SQL_FORMS,
    },
    Route {
        method: "post",
        path: "/api/v1/ingest/{stream}",
        does: "Adds rows. Good rows are kept, bad ones are told of and go to the stream dead_letters.",
        parameters: &[
            ("db", "the database"),
            ("create", "make the stream from the first row"),
            ("precision", "unit of integer times: ns, us, ms or s"),
        ],
        takes: &["application/x-ndjson", "application/json", "text/csv"],
        gives: &["application/json"],
    },
    Route {
        method: "post",
        path: "/write",
        does: "InfluxDB line protocol, API v1.",
        parameters: &[("db", "the database"), ("precision", "n, u, ms, s, m or h")],
        takes: &["text/plain"],
        gives: &[],
    },
    Route {
        method: "post",
        path: "/api/v2/write",
        does: "InfluxDB line protocol, API v2.",
        parameters: &[("bucket", "the database"), ("precision", "ns, us, ms or s")],
        takes: &["text/plain"],
        gives: &[],
    },
    Route {
        method: "get",
        path: "/api/v1/streams",
        does: "Streams with their columns, options and rows.",
        parameters: &[("db", "the database")],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "get",
        path: "/api/v1/streams/{name}",
        does: "One stream.",
        parameters: &[("db", "the database")],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "get",
        path: "/api/v1/views",
        does: "Continuous views with their columns, state and position.",
        parameters: &[("db", "the database")],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "get",
        path: "/ws",
        does: "WebSocket: subscribe to views, to the dashboard's metrics and to SQL with EMIT CHANGES.",
        parameters: &[],
        takes: &[],
        gives: &[],
    },
    Route {
        method: "post",
        path: "/api/v1/admin/flush",
        does: "Writes all rows in memory to segments; returns when done.",
        parameters: &[],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "post",
        path: "/api/v1/admin/compact",
        does: "Brings segments to their final form; returns when done.",
        parameters: &[],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "get",
        path: "/api/v1/admin/storage",
        does: "Bytes of log, segments and index; rows per stream.",
        parameters: &[],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "get",
        path: "/metrics",
        does: "Counters in Prometheus' text form.",
        parameters: &[],
        takes: &[],
        gives: &["text/plain"],
    },
    Route {
        method: "get",
        path: "/health",
        does: "200 as long as the server lives.",
        parameters: &[],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "get",
        path: "/ready",
        does: "200 once recovery is done, 503 before.",
        parameters: &[],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "get",
        path: "/ping",
        does: "204 and a version, for InfluxDB's clients.",
        parameters: &[],
        takes: &[],
        gives: &[],
    },
    Route {
        method: "post",
        path: "/query",
        does: "InfluxQL's CREATE DATABASE and SHOW DATABASES, for InfluxDB's clients.",
        parameters: &[("q", "the statement")],
        takes: &[],
        gives: &["application/json"],
    },
    Route {
        method: "get",
        path: "/settings",
        does: "What QuestDB's clients ask before they write.",
        parameters: &[],
        takes: &[],
        gives: &["application/json"],
    },
];

/// `GET /api/v1/openapi.json`.
pub(crate) async fn openapi() -> Response {
    let mut paths = Map::new();
    for route in ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method] = operation(route);
    }
    let error = json!({"type": "object", "required": ["error"], "properties": {"error": {"type": "object", "required": ["code", "message"], "properties": {
        "code": {"type": "string"}, "message": {"type": "string"}, "line": {"type": "integer"}, "column": {"type": "integer"},
        "hint": {"type": "string"}, "statement": {"type": "integer"}}}}});
    json_of(&json!({
        "openapi": "3.1.0",
        "info": {"title": "Tidemill", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": {"Error": error}},
    }))
}

fn operation(route: &Route) -> Value {
    let in_path = route
        .path
        .split('/')
        .filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})).collect();
    parameters.extend(route.parameters.iter().map(|(name, means)| {
        json!({"name": name, "in": "query", "description": means, "schema": {"type": "string"}})
    }));
    let content = |kinds: &[&str]| -> Value {
        kinds
            .iter()
            .map(|k| ((*k).to_owned(), json!({})))
            .collect::<Map<_, _>>()
            .into()
    };
    let mut operation = json!({
        "summary": route.does,
        "parameters": parameters,
        "responses": {
            "2XX": {"description": "done", "content": content(route.gives)},
            "default": {"description": "why not", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
        },
    });
    if !route.takes.is_empty() {
        operation["requestBody"] = json!({"content": content(route.takes)});
    }
    operation
}

/// `GET /api/docs`.
pub(crate) async fn page() -> Response {
    let mut rows = String::new();
    for route in ROUTES {
        let mut parameters = String::new();
        for (name, means) in route.parameters {
            let _ = write!(parameters, "<div><code>{name}</code> {means}</div>");
        }
        let kinds = |kinds: &[&str]| {
            kinds
                .iter()
                .map(|k| format!("<div><code>{k}</code></div>"))
                .collect::<String>()
        };
        let _ = write!(
            rows,
            "<tr><td><code>{}</code></td><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            route.method.to_uppercase(),
            route.path,
            route.does,
            parameters,
            kinds(route.takes),
            kinds(route.gives)
        );
    }
    let text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>Tidemill: HTTP API</title>\
         <link rel=stylesheet href=/css/base.css><body><main><h1>HTTP API</h1><p>For programs: <a href=/api/v1/openapi.json>openapi.json</a>. \
         Errors are <code>{{\"error\":{{\"code\",\"message\",\"line\",\"column\",\"hint\"}}}}</code>.</p>\
         <table border=1 cellpadding=6><tr><th>Method<th>Path<th>What it does<th>Parameters<th>Takes<th>Gives</tr>{rows}</table></main>"
    );
    let mut response = Html(text).into_response();
    response.headers_mut().insert(
        http::header::CONTENT_SECURITY_POLICY,
        http::HeaderValue::from_static(super::ui::POLICY),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_route_is_described_once() {
        let body = axum::body::to_bytes(openapi().await.into_body(), 1 << 20)
            .await
            .unwrap();
        let document: Value = serde_json::from_slice(&body).unwrap();
        let described: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|p| p.as_object().unwrap().len())
            .sum();
        assert_eq!(described, ROUTES.len());
        assert_eq!(
            document["paths"]["/api/v1/ingest/{stream}"]["post"]["parameters"][0]["in"],
            "path"
        );
    }
}
