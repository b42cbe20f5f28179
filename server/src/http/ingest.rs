//! `POST /api/v1/ingest/{stream}`: NDJSON, JSON and CSV.

use super::params::{Params, name_behind};
use super::reply::{self, ApiError, json_of};
use super::{App, body};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, header};
use hyper::body::Incoming;
use ingest::admission::{self, Pressure, Rejection};
use ingest::dead_letter::{self, Letters, Origin};
use ingest::decode::json::JsonFormat;
use ingest::decode::{DecodedRows, Precision, RefusedRow, RowContext, csv, json};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tsdb::{Rows, Stream};

/// Where the route begins; the stream's name follows.
pub(crate) const PREFIX: &str = "/api/v1/ingest/";

/// Refused rows that a reply tells of; the dead letters hold more.
const MAX_TOLD: usize = 100;

#[derive(Serialize)]
struct Accepted {
    accepted: usize,
    rejected: usize,
    errors: Vec<RowRefused>,
    lsn: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<String>,
}

#[derive(Serialize)]
struct RowRefused {
    row: usize,
    reason: String,
}

/// How a body holds its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json(JsonFormat),
    Csv,
}

pub(crate) async fn post(app: &App, request: hyper::Request<Incoming>) -> Response {
    let started = Instant::now();
    match take(app, request, started).await {
        Ok(accepted) => {
            app.metrics.writes.record(started.elapsed());
            json_of(&accepted)
        }
        Err(error) => error.into_response(),
    }
}

/// Waits or refuses while the write buffer is too full.
pub(crate) async fn admit(app: &App) -> Result<(), Rejection> {
    let used = app.engine.metrics().head_bytes.load(Ordering::Relaxed);
    match admission::pressure(used, app.config.head_bytes) {
        Pressure::Admit => Ok(()),
        Pressure::Slow(pause) => {
            tokio::time::sleep(pause).await;
            Ok(())
        }
        Pressure::Refuse(rejection) => Err(rejection),
    }
}

async fn take(
    app: &App,
    request: hyper::Request<Incoming>,
    arrived: Instant,
) -> Result<Accepted, ApiError> {
    let (head, incoming) = request.into_parts();
    let params = Params::of(&head.uri);
    let name = name_behind(&head.uri, PREFIX)
        .ok_or_else(|| ApiError::new(404, "not_found", "the path is /api/v1/ingest/{stream}"))?;
    let db = params
        .get("db")
        .filter(|d| !d.is_empty())
        .unwrap_or(tsdb::DEFAULT_DATABASE.into());
    let unit = params.get("precision").map(|p| unit(&p)).transpose()?;
    let create = params.flag("create");
    if !create {
        // A stream that is not there is said before a large body is read.
        app.engine
            .catalog()
            .lookup(&db, &name)?
            .ok_or_else(|| missing(&name))?;
    }
    let body = body::read(&head.headers, incoming, &app.body_limits).await?;
    admit(app).await?;
    let form = form(&head.headers, &body)?;
    let stream = stream(app, &db, &name, create, form, &body)?;
    app.metrics
        .bytes_received
        .fetch_add(body.len() as u64, Ordering::Relaxed);
    let ctx = RowContext {
        unit,
        ..RowContext::new(stream, app.engine.clock().wall_ns())
    };
    let decode = || decode(app, &ctx, form, &body);
    let decoded = app.heavy.run(body.len(), decode).await?;
    drop(body);
    commit(app, decoded, arrived).await
}

/// A body's rows, and what was refused of it.
struct Taken {
    good: DecodedRows,
    told: Vec<RowRefused>,
    letters: Result<Option<Rows>, tsdb::Error>,
}

fn decode(app: &App, ctx: &RowContext, form: Form, body: &[u8]) -> Result<Taken, Rejection> {
    let mut told = Vec::new();
    let mut letters = Letters::new(Origin {
        catalog: app.engine.catalog(),
        db: &ctx.stream.db,
        stream: &ctx.stream.name,
        source: "http",
        now_ns: ctx.now_ns,
    });
    let mut on_refused = |refused: RefusedRow<'_>| {
        let RefusedRow {
            row,
            reason,
            payload,
        } = refused;
        letters.add(&format_args!("row {row}"), &reason, payload);
        if told.len() < MAX_TOLD {
            let reason = reason.to_string();
            told.push(RowRefused { row, reason });
        }
    };
    let good = match form {
        Form::Json(format) => json::decode(body, format, ctx, &mut on_refused)?,
        Form::Csv => csv::decode(body, ctx, &mut on_refused)?,
    };
    Ok(Taken {
        good,
        told,
        letters: letters.finish(),
    })
}

async fn commit(app: &App, taken: Taken, arrived: Instant) -> Result<Accepted, ApiError> {
    let DecodedRows {
        mut rows,
        accepted,
        rejected,
    } = taken.good;
    let mut notices = Vec::new();
    match taken.letters {
        Ok(letters) => rows.extend(letters),
        Err(error) => notices.push(format!(
            "the refused rows are not kept: the stream \"{}\" does not take them ({error})",
            dead_letter::STREAM
        )),
    }
    let lsn = if rows.is_empty() {
        app.engine.published()
    } else {
        let lsn = app.engine.commit_async(tsdb::Request::of(rows)).await?;
        app.metrics.events.acknowledged(lsn.0, arrived);
        lsn
    };
    app.metrics
        .rows_accepted
        .fetch_add(accepted as u64, Ordering::Relaxed);
    app.metrics
        .rows_rejected
        .fetch_add(rejected as u64, Ordering::Relaxed);
    Ok(Accepted {
        accepted,
        rejected,
        errors: taken.told,
        lsn: lsn.0,
        notices,
    })
}

fn missing(name: &str) -> ApiError {
    ApiError::new(404, "not_found", format!("stream \"{name}\" not found"))
        .hint("CREATE STREAM it, or add ?create=true to make it from the first row")
}

fn stream(
    app: &App,
    db: &str,
    name: &str,
    create: bool,
    form: Form,
    body: &Bytes,
) -> Result<Arc<Stream>, ApiError> {
    let catalog = app.engine.catalog();
    if let Some(stream) = catalog.lookup(db, name)? {
        return Ok(stream);
    }
    if !create {
        return Err(missing(name));
    }
    if name.len() > 255 {
        return Err(ApiError::bad("a stream's name has 1 to 255 bytes"));
    }
    reply::database(app, db)?;
    let define = || match form {
        Form::Json(format) => json::infer_stream(body, format),
        Form::Csv => csv::infer_stream(body),
    };
    Ok(catalog.ensure_stream(db, name, define)?)
}

fn unit(name: &str) -> Result<Precision, ApiError> {
    Precision::of(name).ok_or_else(|| {
        ApiError::bad(format!(
            "precision \"{name}\" is not known; use ns, us, ms or s"
        ))
    })
}

/// The form by its content type. Without one, and with the one that curl gives to all data, the first byte tells.
fn form(headers: &HeaderMap, body: &[u8]) -> Result<Form, ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let kind = kind
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    match kind.as_str() {
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonlines" => Ok(Form::Json(JsonFormat::Lines)),
        "application/json" | "text/json" => Ok(Form::Json(JsonFormat::Document)),
        "text/csv" | "application/csv" => Ok(Form::Csv),
        "" | "application/x-www-form-urlencoded" | "text/plain" | "application/octet-stream" => {
            match first {
                Some(b'{') => Ok(Form::Json(JsonFormat::Lines)),
                Some(b'[') => Ok(Form::Json(JsonFormat::Document)),
                _ => Err(unknown_form("")),
            }
        }
        other => Err(unknown_form(other)),
    }
}

fn unknown_form(kind: &str) -> ApiError {
    ApiError::new(
        415,
        "unsupported",
        format!("content type \"{kind}\" is not known"),
    )
    .hint("use application/x-ndjson, application/json or text/csv")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_told_by_type_or_first_byte() {
        let of = |kind: &str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            form(&headers, body.as_bytes()).map_err(|e| e.status)
        };
        assert_eq!(
            of("application/json; charset=utf-8", ""),
            Ok(Form::Json(JsonFormat::Document))
        );
        assert_eq!(
            of("Application/X-NDJSON", ""),
            Ok(Form::Json(JsonFormat::Lines))
        );
        assert_eq!(of("text/csv", ""), Ok(Form::Csv));
        assert_eq!(
            of("application/x-www-form-urlencoded", " {\"a\":1}"),
            Ok(Form::Json(JsonFormat::Lines))
        );
        assert_eq!(of("text/plain", "[]"), Ok(Form::Json(JsonFormat::Document)));
        assert_eq!(of("text/plain", "a,b"), Err(415));
        assert_eq!(of("application/xml", "{"), Err(415));
    }
}
