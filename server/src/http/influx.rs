//! InfluxDB's routes, as its writers expect them: Telegraf, the v1 and v2 clients, QuestDB's clients.

use super::left_out::{Attempt, LeftOut, commit_rows};
use super::params::Params;
use super::reply::{self, ApiError, json, status};
use super::{App, Begun, body, keys};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use ingest::admission::Rejection;
use ingest::decode::Precision;
use ingest::decode::line_protocol::{Decoded, LineContext, refused_lines};
use serde::{Deserialize, Serialize};
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
    message: String,
    line: Option<usize>,
    retry_after: Option<u32>,
}

/// What a write was answered, as it is kept under its key.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The first line that was refused, if it is known by its number, and why.
    refused: Option<(Option<usize>, String)>,
}

impl Kept {
    /// The reply to a write of which so many lines were dropped, the first of them for this reason.
    fn of(first: Option<&(Option<usize>, String)>, dropped: usize) -> Kept {
        let told = |(line, why): &(Option<usize>, String)| {
            (*line, format!("partial write: {why} dropped={dropped}"))
        };
        Kept {
            refused: first.map(told),
        }
    }

    fn reply(self) -> Result<(), Refusal> {
        match self.refused {
            None => Ok(()),
            Some((line, message)) => Err(Refusal {
                line,
                ..Refusal::new(400, message)
            }),
        }
    }
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
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
                let mut body = serde_json::json!({"code": code_of(self.status), "message": self.message, "op": "write", "err": self.message});
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

/// InfluxDB's word for a status, as API v2 has it.
fn code_of(status: u16) -> &'static str {
    match status {
        404 => "not found",
        405 => "method not allowed",
        413 => "request too large",
        415 => "unsupported media type",
        408 | 429 | 503 => "unavailable",
        500.. => "internal error",
        _ => "invalid",
    }
}

impl From<Rejection> for Refusal {
    fn from(r: Rejection) -> Refusal {
        Refusal {
            retry_after: r.retry_after,
            ..Refusal::new(r.status, r.message)
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(e: ApiError) -> Refusal {
        Refusal {
            retry_after: e.retry_after,
            ..Refusal::new(e.status, e.message)
        }
    }
}

impl From<tsdb::Error> for Refusal {
    fn from(error: tsdb::Error) -> Refusal {
        let message = error.to_string();
        match error {
            tsdb::Error::TooLarge { .. } => Refusal::new(413, message),
            tsdb::Error::Refused(_) => Refusal::new(400, message),
            tsdb::Error::NoRoom(_) | tsdb::Error::Unready(_) => Refusal {
                retry_after: Some(10),
                ..Refusal::new(503, message)
            },
            // A stream that was dropped between decoding and commit: the same bytes again will do.
            tsdb::Error::Overloaded { .. }
            | tsdb::Error::Closed
            | tsdb::Error::KeyTaken
            | tsdb::Error::UnknownStream(_) => Refusal {
                retry_after: Some(1),
                ..Refusal::new(503, message)
            },
            _ => Refusal::new(500, message),
        }
    }
}

/// `POST /write` and `POST /api/v2/write`. Not behind the router: it is the way that most rows come.
pub(crate) async fn write(app: &App, request: hyper::Request<Incoming>, api: Api) -> Response {
    let started = Instant::now();
    let (reply, repeated) = match accept(app, request, api, started).await {
        Ok((kept, repeated)) => (kept.reply(), repeated),
        Err(refusal) => (Err(refusal), false),
    };
    let response = match reply {
        Ok(()) => {
            app.metrics.writes.record(started.elapsed());
            status(StatusCode::NO_CONTENT)
        }
        Err(refusal) => refusal.reply(api),
    };
    keys::marked(response, repeated)
}

async fn accept(
    app: &App,
    request: hyper::Request<Incoming>,
    api: Api,
    arrived: Instant,
) -> Result<(Kept, bool), Refusal> {
    let (head, incoming) = request.into_parts();
    let params = Params::of(&head.uri);
    let db = database(params, &head.headers, api)?;
    let precision = precision(params.get("precision").as_deref())?;
    let body = body::read(&head.headers, incoming, &app.body_limits).await?;
    reply::database(app, &db)?;
    let turn = match keys::begin(app, &head, &body).await? {
        Begun::Repeat(kept) => return Ok((keys::read(&kept, |_, _| ())?, true)),
        Begun::First(turn) => turn,
    };
    let engine = &app.engine;
    super::ingest::admit(app).await?;
    let ctx = LineContext {
        catalog: engine.catalog(),
        db: &db,
        precision,
        now_ns: engine.clock().wall_ns(),
    };
    let decode = || app.lines.decode(&body, &ctx);
    let decoded = app.heavy.run(body.len(), decode).await?;
    let metrics = &app.metrics;
    metrics
        .bytes_received
        .fetch_add(body.len() as u64, Ordering::Relaxed);
    let letters = refused_lines(&body, &decoded, &ctx);
    let Decoded {
        mut rows,
        accepted,
        rejected,
        errors,
        ..
    } = decoded;
    rows.extend(letters);
    drop(body);
    let shed = crate::shedding::shed(app, &mut rows)?;
    let mut first = errors.first().map(|first| {
        let why = format!("unable to parse '{}': {}", first.text, first.reason);
        (Some(first.line), why)
    });
    let keyed = |kept: &mut Kept| {
        let turn = turn.as_ref();
        turn.map(|turn| turn.keyed(kept, |_| false)).transpose()
    };
    let mut kept = Kept::of(first.as_ref(), rejected);
    let reply = keyed(&mut kept)?;
    let attempt = Attempt {
        spare: engine.concerns(&rows).then(|| rows.clone()),
        commit: commit_rows(app, rows, reply),
        numbered: false,
    };
    let mut left = 0;
    // What a filter or a derived stream can't take must not keep the rest out: its sender would drop all of it.
    let note = |out: LeftOut| {
        left += out.rows;
        if first.is_none() {
            first = out.told.into_iter().next().map(|t| (None, t.reason));
        }
        kept = Kept::of(first.as_ref(), rejected + left);
        keyed(&mut kept).map_err(Refusal::from)
    };
    let committed = attempt.finish(app, note).await?;
    drop(turn);
    if let Some(lsn) = committed {
        metrics.events.acknowledged(lsn.0, arrived);
        shed.count(app);
        let accepted = accepted.saturating_sub(shed.rows() + left);
        metrics
            .rows_accepted
            .fetch_add(accepted as u64, Ordering::Relaxed);
    }
    metrics
        .rows_rejected
        .fetch_add((rejected + left) as u64, Ordering::Relaxed);
    Ok((kept, false))
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
        _ if api == Api::V1 => Err(Refusal::new(400, "database is required")),
        _ => Err(Refusal::new(400, "bucket is required")),
    }
}

fn is_questdb(headers: &HeaderMap) -> bool {
    headers
        .get(header::USER_AGENT)
        .is_some_and(|v| v.as_bytes().starts_with(b"questdb/"))
}

fn precision(name: Option<&str>) -> Result<Precision, Refusal> {
    let Some(name) = name.filter(|n| !n.is_empty()) else {
        return Ok(Precision::Nanos);
    };
    Precision::of_influx(name).ok_or_else(|| {
        let message = format!("invalid precision \"{name}\" (use n, u, ms, s, m or h)");
        Refusal::new(400, message)
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

/// Bytes of a form with InfluxQL.
const MAX_FORM: usize = 1 << 20;

/// `GET /query`: InfluxQL, as far as writers use it.
pub(crate) async fn query(State(app): State<Arc<App>>, request: Request) -> Response {
    let text = Params::of(request.uri()).get("q").map(Cow::into_owned);
    run_all(&app, text.as_deref(), false)
        .await
        .unwrap_or_else(|refusal| refusal.reply(Api::V1))
}

/// `POST /query`: the statements stand in the form or in the URL.
pub(crate) async fn query_form(app: &App, request: hyper::Request<Incoming>) -> Response {
    let (head, incoming) = request.into_parts();
    let answer = async {
        let limits = body::BodyLimits {
            sent: MAX_FORM.min(app.body_limits.sent),
            decoded: MAX_FORM.min(app.body_limits.decoded),
            ..app.body_limits.clone()
        };
        let form = body::read(&head.headers, incoming, &limits).await?;
        let form = String::from_utf8_lossy(&form);
        let in_uri = Params::of(&head.uri).get("q");
        let text = in_uri.or_else(|| Params::of_text(&form).get("q"));
        run_all(app, text.as_deref(), true).await
    };
    answer
        .await
        .unwrap_or_else(|refusal: Refusal| refusal.reply(Api::V1))
}

/// Runs `CREATE DATABASE` and `SHOW DATABASES`.
async fn run_all(app: &App, text: Option<&str>, may_write: bool) -> Result<Response, Refusal> {
    let text = text.ok_or_else(|| Refusal::new(400, "missing required parameter \"q\""))?;
    let mut results = Vec::new();
    for (i, statement) in text
        .split(';')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .enumerate()
    {
        let series = run(app, statement, may_write).await?;
        results.push(serde_json::json!({"statement_id": i, "series": series}));
    }
    // An empty list of series is left out, as InfluxDB does.
    for result in &mut results {
        if result["series"].as_array().is_some_and(Vec::is_empty)
            && let Some(object) = result.as_object_mut()
        {
            object.remove("series");
        }
    }
    let body = serde_json::json!({"results": results}).to_string();
    Ok(json(StatusCode::OK, body))
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
            return Err(Refusal::new(405, "CREATE DATABASE must be sent by POST"));
        }
        let name = database_name(statement)?;
        if app.engine.catalog().ensure_database(&name) {
            app.engine.commit_async(tsdb::Request::default()).await?;
        }
        return Ok(serde_json::json!([]));
    }
    Err(Refusal::new(
        400,
        "InfluxQL is understood here for CREATE DATABASE and SHOW DATABASES; SQL is at /api/v1/sql",
    ))
}

/// The name behind `CREATE DATABASE`, quoted or bare; what follows a `WITH` says how InfluxDB keeps it.
fn database_name(statement: &str) -> Result<String, Refusal> {
    let bad = || {
        Refusal::new(
            400,
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
        Ok(name.to_owned())
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
    fn times_are_nanoseconds_unless_said() {
        for name in [None, Some(""), Some("ns")] {
            assert_eq!(precision(name).ok(), Some(Precision::Nanos), "{name:?}");
        }
        assert_eq!(precision(Some("h")).ok(), Some(Precision::Hours));
        assert_eq!(
            precision(Some("fortnight")).err().map(|r| r.status),
            Some(400)
        );
    }
}
