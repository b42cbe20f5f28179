//! The API described: OpenAPI for programs, a page for people. Both are made from the table of routes.

use super::reply::json_of;
use super::routes::{Errors, ROUTES, Route};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The schemas of replies.
pub(crate) fn schemas() -> Value {
    // Invariant: the file is JSON; a test reads it.
    serde_json::from_str(include_str!("schemas.json")).unwrap_or_default()
}

/// What an error's status means here.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "the request is wrong",
        403 => "a page from elsewhere, or a host name that is not known",
        404 => "there is no such thing",
        405 => "a reading request that would write",
        406 => "none of the accepted types is known",
        408 => "a time limit has passed",
        409 => "it contradicts what is there",
        413 => "too large; send smaller batches",
        415 => "the content type or encoding is not known",
        422 => "well formed, and cannot run",
        426 => "this is for WebSockets",
        429 => "too many; retry after the time that Retry-After gives",
        503 => "not now; retry after the time that Retry-After gives, if it does",
        _ => "a fault of the server",
    }
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("")
}

/// `GET /api/v1/openapi.json`.
pub(super) async fn openapi() -> Response {
    describe()
}

/// Apart from its handler: the table of routes names that one, so its own body can't name the table.
fn describe() -> Response {
    let mut paths = Map::new();
    for route in ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method] = operation(route);
    }
    json_of(&json!({
        "openapi": "3.1.0",
        "info": {"title": "Tidemill", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": schemas()},
    }))
}

fn reference(schema: &str) -> Value {
    if schema.is_empty() {
        return json!({});
    }
    json!({"schema": {"$ref": format!("#/components/schemas/{schema}")}})
}

fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'))
}

fn operation(route: &Route) -> Value {
    let text = json!({"type": "string"});
    let mut parameters: Vec<Value> = names_in(route.path)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": text}))
        .collect();
    for (place, named) in [("query", route.parameters), ("header", route.headers)] {
        parameters.extend(named.iter().map(|(name, means)| {
            json!({"name": name, "in": place, "description": means, "required": means.ends_with("; required"), "schema": text})
        }));
    }
    let mut responses = Map::new();
    let mut done = json!({"description": reason(route.status)});
    if !route.gives.is_empty() {
        let content: Map<_, _> = route
            .gives
            .iter()
            .map(|(kind, schema)| ((*kind).to_owned(), reference(schema)))
            .collect();
        done["content"] = content.into();
    }
    responses.insert(route.status.to_string(), done);
    let schema = match route.error_form {
        Errors::Own => "Error",
        Errors::InfluxV1 => "InfluxV1Error",
        Errors::InfluxV2 => "InfluxV2Error",
        Errors::Registry => "RegistryError",
        Errors::Rpc => "RpcStatus",
    };
    for status in route.errors {
        let schema = if route.path == "/ready" {
            "Ready"
        } else {
            schema
        };
        let error = json!({"description": meaning(*status), "content": {"application/json": reference(schema)}});
        responses.insert(status.to_string(), error);
    }
    let mut operation = json!({
        "tags": [route.group],
        "summary": route.does,
        "parameters": parameters,
        "responses": responses,
    });
    if !route.takes.is_empty() {
        let content: Map<_, _> = route
            .takes
            .iter()
            .map(|kind| ((*kind).to_owned(), json!({})))
            .collect();
        operation["requestBody"] = json!({"content": content});
    }
    operation
}

/// Text with `code` in backquotes as HTML. The texts are ours: nothing of a request is among them.
fn marked(text: &str) -> String {
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let mut out = String::new();
    for (i, part) in escaped.split('`').enumerate() {
        let _ = if i % 2 == 1 {
            write!(out, "<code>{part}</code>")
        } else {
            write!(out, "{part}")
        };
    }
    out
}

/// Rows of a definition list, if there is one.
fn list(out: &mut String, title: &str, rows: impl IntoIterator<Item = (String, String)>) {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return;
    }
    // Writing to a String can't fail.
    let _ = write!(out, "<h4>{title}</h4><dl>");
    for (name, means) in rows {
        let _ = write!(out, "<dt>{name}</dt><dd>{means}</dd>");
    }
    out.push_str("</dl>");
}

fn section(route: &Route) -> String {
    let code = |text: &str| format!("<code>{text}</code>");
    let named = |all: &[(&str, &str)]| -> Vec<_> {
        all.iter().map(|(n, m)| (code(n), marked(m))).collect()
    };
    let kinds = |all: &[&str]| all.iter().map(|k| code(k)).collect::<Vec<_>>().join(" ");
    let mut out = String::new();
    let _ = write!(
        out,
        "<details class=route><summary><span class=\"method {method}\">{shown}</span><code class=path>{path}</code>\
         <span class=does>{does}</span></summary><div class=about>",
        method = route.method,
        shown = route.method.to_uppercase(),
        path = route.path,
        does = marked(route.does),
    );
    list(&mut out, "Parameters", named(route.parameters));
    list(&mut out, "Headers", named(route.headers));
    let takes = (!route.takes.is_empty()).then(|| ("body".to_owned(), kinds(route.takes)));
    list(&mut out, "Takes", takes);
    let given: Vec<&str> = route.gives.iter().map(|g| g.0).collect();
    let shape = route.gives.iter().find(|g| !g.1.is_empty());
    let shape = shape.map_or(String::new(), |g| format!(" <a href=\"#{0}\">{0}</a>", g.1));
    let good = (
        code(&route.status.to_string()),
        format!("{} {}{shape}", reason(route.status), kinds(&given)),
    );
    let bad = route.errors.iter().map(|s| {
        (
            code(&s.to_string()),
            format!("{}: {}", reason(*s), meaning(*s)),
        )
    });
    list(&mut out, "Replies", std::iter::once(good).chain(bad));
    out.push_str("</div></details>");
    out
}

/// `GET /api/docs`.
pub(super) async fn page() -> Response {
    render()
}

/// Apart from its handler, as [`describe`].
fn render() -> Response {
    let mut body = String::new();
    let mut groups: Vec<&str> = Vec::new();
    for route in ROUTES {
        if !groups.contains(&route.group) {
            groups.push(route.group);
        }
    }
    for group in groups {
        let _ = write!(body, "<section><h2>{group}</h2>");
        for route in ROUTES.iter().filter(|r| r.group == group) {
            body.push_str(&section(route));
        }
        body.push_str("</section>");
    }
    body.push_str("<section><h2>Shapes</h2>");
    if let Value::Object(schemas) = schemas() {
        for (name, schema) in schemas {
            let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let _ = write!(
                body,
                "<details class=shape id=\"{name}\"><summary><code>{name}</code></summary><pre>{text}</pre></details>"
            );
        }
    }
    body.push_str("</section>");
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <title>Tidemill: HTTP API</title><link rel=icon href=/favicon.svg><link rel=stylesheet href=/css/base.css>\
         <link rel=stylesheet href=/css/docs.css></head><body class=docs><main><header><h1>HTTP API</h1>\
         <p>Tidemill {version}. For programs: <a href=/api/v1/openapi.json>openapi.json</a>. Back to <a href=/>the page</a>.</p>\
         <p>A request that fails is answered with <a href=\"#Error\">Error</a>, or in InfluxDB's own form on its routes. \
         Requests that write are refused with 403 when a page from elsewhere sends them.</p></header>{body}</main></body></html>"
    );
    let mut response = Html(text).into_response();
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(super::ui::POLICY),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn document() -> Value {
        let body = axum::body::to_bytes(openapi().await.into_body(), 1 << 20).await;
        serde_json::from_slice(&body.unwrap()).unwrap()
    }

    /// All `$ref`s of a document.
    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                out.extend(
                    members
                        .get("$ref")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                members.values().for_each(|v| references(v, out));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }

    #[tokio::test]
    async fn every_route_is_described_once_and_every_schema_is_there() {
        let document = document().await;
        let paths = document["paths"].as_object().unwrap();
        let described: usize = paths.values().map(|p| p.as_object().unwrap().len()).sum();
        assert_eq!(described, ROUTES.len());
        let ingest = &paths["/api/v1/ingest/{stream}"]["post"];
        assert_eq!(ingest["parameters"][0]["in"], "path");
        assert_eq!(
            paths["/api/v1/sql"]["get"]["parameters"][0]["required"],
            true
        );
        let write = &paths["/api/v2/write"]["post"]["responses"];
        assert!(write["204"].get("content").is_none());
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 50);
        for reference in all {
            let found = document.pointer(reference.trim_start_matches('#'));
            assert!(found.is_some(), "{reference} is not there");
        }
        assert!(document["components"]["schemas"]["Error"].is_object());
    }

    #[tokio::test]
    async fn the_page_names_every_route_and_loads_nothing_from_elsewhere() {
        let body = axum::body::to_bytes(page().await.into_body(), 1 << 20).await;
        let text = String::from_utf8(body.unwrap().to_vec()).unwrap();
        for route in ROUTES {
            assert!(
                text.contains(&format!(">{}</code>", route.path)),
                "{}",
                route.path
            );
        }
        assert!(!text.contains("http://") && !text.contains("https://"));
    }
}
