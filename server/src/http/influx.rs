//! InfluxDB's routes, as its writers expect them: Telegraf, the v1 and v2 clients, QuestDB's clients.

use super::params::{Params, decode};
use super::reply::{self, json, status};
use super::{App, body};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use ingest::decode::Precision;
use ingest::decode::line_protocol::{Decoded, LineContext};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Which of the two APIs asks: they differ in names and in the form of errors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    V1,
    V2,
}

/// Why a write is refused, in words that both forms carry.
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    line: Option<usize>,
    retry_after: Option<u32>,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
            line: None,
            retry_after: None,
        }
    }

    fn reply(self, api: Api) -> Response {
        let code = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = match api {
            Api::V1 => serde_json::json!({"error": self.message}),
            Api::V2 => {
                let mut body = serde_json::json!({"code": self.code, "message": self.message, "op": "write", "err": self.message});
                if let Some(line) = self.line {
                    body["line"] = line.into();
                }
                body
            }
        };
        let mut response = json(code, body.to_string());
        if api == Api::V1 {
            // Header values hold no line breaks, and long ones are refused by clients.
            let text: String = self
                .message
                .chars()
                .filter(|c| (' '..='~').contains(c))
                .take(500)
                .collect();
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().insert("x-influxdb-error", value);
            }
        }
        reply::retry_after(&mut response, self.retry_after);
        response
    }
}

impl From<ingest::admission::Rejection> for Refusal {
    fn from(r: ingest::admission::Rejection) -> Refusal {
        let code = if r.status == 413 {
            "request too large"
        } else {
            "invalid"
        };
        Refusal {
            retry_after: r.retry_after,
            ..Refusal::new(r.status, code, r.message)
        }
    }
}

impl From<tsdb::Error> for Refusal {
    fn from(error: tsdb::Error) -> Refusal {
        let message = error.to_string();
        match error {
            tsdb::Error::Overloaded { .. } | tsdb::Error::Closed => Refusal {
                retry_after: Some(1),
                ..Refusal::new(503, "unavailable", message)
            },
            // A stream that was dropped between decoding and commit: the same bytes again will do.
            tsdb::Error::UnknownStream(_) => Refusal {
                retry_after: Some(1),
                ..Refusal::new(503, "unavailable", message)
            },
            _ => Refusal::new(500, "internal error", message),
        }
    }
}

/// `POST /write` and `POST /api/v2/write`. Not behind the router: it is the way that most rows come.
pub(crate) async fn write(app: &App, request: hyper::Request<Incoming>, api: Api) -> Response {
    let started = Instant::now();
    match accept(app, request, api).await {
        Ok(()) => {
            app.metrics.writes.record(started.elapsed());
            status(StatusCode::NO_CONTENT)
        }
        Err(refusal) => refusal.reply(api),
    }
}

async fn accept(app: &App, request: hyper::Request<Incoming>, api: Api) -> Result<(), Refusal> {
    let (head, incoming) = request.into_parts();
    let params = Params::of(&head.uri);
    let db = database(params, &head.headers, api)?;
    let precision = precision(params.get("precision").as_deref())?;
    let body = body::read(&head.headers, incoming, app.body_limits()).await?;
    if let Err(error) = reply::database(app, &db) {
        let code = if error.status == 404 {
            "not found"
        } else {
            "invalid"
        };
        return Err(Refusal::new(error.status, code, error.message));
    }
    let engine = &app.engine;
    super::ingest::admit(app).await?;
    let ctx = LineContext {
        catalog: engine.catalog(),
        db: &db,
        precision,
        now_ns: engine.clock().wall_ns(),
    };
    let decoded = app.lines.decode(&body, &ctx);
    let metrics = &app.metrics;
    metrics
        .bytes_received
        .fetch_add(body.len() as u64, Ordering::Relaxed);
    drop(body);
    let Decoded {
        rows,
        accepted,
        rejected,
        errors,
    } = decoded;
    if !rows.is_empty() {
        engine
            .commit_async(tsdb::Request { rows, tick: false })
            .await?;
        metrics
            .rows_accepted
            .fetch_add(accepted as u64, Ordering::Relaxed);
    }
    let Some(first) = errors.first() else {
        return Ok(());
    };
    metrics
        .rows_rejected
        .fetch_add(rejected as u64, Ordering::Relaxed);
    let message = format!(
        "partial write: unable to parse '{}': {} dropped={rejected}",
        first.text, first.reason
    );
    Err(Refusal {
        line: Some(first.line),
        ..Refusal::new(400, "invalid", message)
    })
}

fn database<'a>(
    params: Params<'a>,
    headers: &HeaderMap,
    api: Api,
) -> Result<Cow<'a, str>, Refusal> {
    let named = match api {
        Api::V1 => params.get("db"),
        // Clients of 1.8 name `database/retention policy`.
        Api::V2 => params.get("bucket").map(|b| match b.split_once('/') {
            Some((db, _)) => Cow::Owned(db.to_owned()),
            None => b,
        }),
    };
    match named {
        Some(name) if !name.is_empty() => Ok(name),
        // QuestDB knows no databases, so its clients name none.
        _ if is_questdb(headers) => Ok(Cow::Borrowed(tsdb::DEFAULT_DATABASE)),
        _ if api == Api::V1 => Err(Refusal::new(400, "invalid", "database is required")),
        _ => Err(Refusal::new(400, "invalid", "bucket is required")),
    }
}

fn is_questdb(headers: &HeaderMap) -> bool {
    headers
        .get(header::USER_AGENT)
        .is_some_and(|v| v.as_bytes().starts_with(b"questdb/"))
}

fn precision(name: Option<&str>) -> Result<Precision, Refusal> {
    Ok(match name {
        None | Some("" | "n" | "ns") => Precision::Nanos,
        Some("u" | "us" | "µ" | "µs") => Precision::Micros,
        Some("ms") => Precision::Millis,
        Some("s") => Precision::Seconds,
        Some("m") => Precision::Minutes,
        Some("h") => Precision::Hours,
        Some(other) => {
            return Err(Refusal::new(
                400,
                "invalid",
                format!("invalid precision \"{other}\" (use n, u, ms, s, m or h)"),
            ));
        }
    })
}

/// `/ping`.
pub(crate) async fn ping(request: Request) -> Response {
    let headers = [
        (
            "x-influxdb-version",
            concat!("1.8.tidemill-", env!("CARGO_PKG_VERSION")),
        ),
        ("x-influxdb-build", "OSS"),
    ];
    if Params::of(request.uri())
        .get("verbose")
        .is_some_and(|v| v != "false")
    {
        let body = concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}");
        return (headers, json(StatusCode::OK, body)).into_response();
    }
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// `/settings`: what QuestDB's clients ask first. Version 1 is plain line protocol.
pub(crate) async fn settings() -> Response {
    json(
        StatusCode::OK,
        r#"{"config":{"release.type":"OSS","line.proto.support.versions":[1],"cairo.max.file.name.length":127}}"#,
    )
}

/// InfluxQL at `/query`, as far as writers use it: `CREATE DATABASE` and `SHOW DATABASES`.
pub(crate) async fn query(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let is_post = head.method == http::Method::POST;
    let form = match axum::body::to_bytes(body, 1 << 20).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => return Refusal::new(413, "invalid", "the statement is too long").reply(Api::V1),
    };
    let in_uri = Params::of(&head.uri).get("q").map(Cow::into_owned);
    let Some(text) = in_uri.or_else(|| Params::of_text(&form).get("q").map(Cow::into_owned)) else {
        return Refusal::new(400, "invalid", "missing required parameter \"q\"").reply(Api::V1);
    };
    let mut results = Vec::new();
    for (i, statement) in text
        .split(';')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .enumerate()
    {
        match run(&app, statement, is_post).await {
            Ok(series) => results.push(serde_json::json!({"statement_id": i, "series": series})),
            Err(refusal) => return refusal.reply(Api::V1),
        }
    }
    // An empty list of series is left out, as InfluxDB does.
    for result in &mut results {
        if result["series"].as_array().is_some_and(Vec::is_empty)
            && let Some(object) = result.as_object_mut()
        {
            object.remove("series");
        }
    }
    json(
        StatusCode::OK,
        serde_json::json!({"results": results}).to_string(),
    )
}

async fn run(app: &App, statement: &str, may_write: bool) -> Result<serde_json::Value, Refusal> {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let is = |n: usize, w: &str| words.get(n).is_some_and(|x| x.eq_ignore_ascii_case(w));
    if is(0, "show") && is(1, "databases") && words.len() == 2 {
        let values: Vec<[String; 1]> = app
            .engine
            .catalog()
            .databases()
            .into_iter()
            .map(|d| [d])
            .collect();
        return Ok(
            serde_json::json!([{"name": "databases", "columns": ["name"], "values": values}]),
        );
    }
    if is(0, "create") && is(1, "database") && words.len() >= 3 {
        if !may_write {
            return Err(Refusal::new(
                405,
                "invalid",
                "CREATE DATABASE must be sent by POST",
            ));
        }
        let name = database_name(statement)?;
        if app.engine.catalog().ensure_database(&name) {
            app.engine.commit_async(tsdb::Request::default()).await?;
        }
        return Ok(serde_json::json!([]));
    }
    Err(Refusal::new(
        400,
        "invalid",
        "InfluxQL is understood here for CREATE DATABASE and SHOW DATABASES; SQL is at /api/v1/sql",
    ))
}

/// The name behind `CREATE DATABASE`, quoted or bare; what follows a `WITH` says how InfluxDB keeps it.
fn database_name(statement: &str) -> Result<String, Refusal> {
    let bad = || {
        Refusal::new(
            400,
            "invalid",
            "CREATE DATABASE needs a name, quoted if it is not plain",
        )
    };
    let mut rest = statement;
    for _ in 0..2 {
        rest = rest
            .split_once(char::is_whitespace)
            .ok_or_else(bad)?
            .1
            .trim_start();
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let mut name = String::new();
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    return if name.is_empty() || name.len() > 255 {
                        Err(bad())
                    } else {
                        Ok(name)
                    };
                }
                '\\' => name.extend(chars.next()),
                c => name.push(c),
            }
        }
        return Err(bad());
    }
    let name = rest.split_whitespace().next().ok_or_else(bad)?;
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_') && name.len() <= 255;
    if plain {
        Ok(decode(name).into_owned())
    } else {
        Err(bad())
    }
}

/// `/health`, once the database is open.
pub(crate) fn health() -> Response {
    json(
        StatusCode::OK,
        Body::from(health_text("ready for queries and writes")),
    )
}

pub(crate) fn health_text(message: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"{{"name":"tidemill","message":"{message}","status":"pass","checks":[],"version":"{version}"}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_by_name() {
        for (text, name) in [
            ("CREATE DATABASE telegraf", "telegraf"),
            (
                "create database \"a \\\"b\\\" c\" WITH DURATION 1d",
                "a \"b\" c",
            ),
            ("CREATE  DATABASE\n x_1", "x_1"),
        ] {
            assert_eq!(database_name(text).ok().as_deref(), Some(name), "{text}");
        }
        for text in [
            "CREATE DATABASE \"open",
            "CREATE DATABASE \"\"",
            "CREATE DATABASE a-b",
            "CREATE DATABASE",
        ] {
            assert!(database_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn units_by_both_apis_names() {
        for (name, unit) in [
            ("n", Precision::Nanos),
            ("us", Precision::Micros),
            ("h", Precision::Hours),
        ] {
            assert_eq!(precision(Some(name)).ok(), Some(unit));
        }
        assert!(precision(Some("fortnight")).is_err());
    }
}
