//! `POST /api/v1/ingest/{stream}`: NDJSON, JSON and CSV.

use super::params::{Params, decode};
use super::reply::{self, ApiError, json_of};
use super::{App, body};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, header};
use hyper::body::Incoming;
use ingest::admission::{self, Pressure, Rejection};
use ingest::dead_letter::{self, DeadLetter};
use ingest::decode::json::JsonFormat;
use ingest::decode::{DecodedRows, Precision, RowContext, csv, json};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tsdb::Stream;

/// Where the route begins; the stream's name follows.
pub(crate) const PREFIX: &str = "/api/v1/ingest/";

/// Refused rows that a reply tells of; all of them are in the dead letters.
const MAX_TOLD: usize = 100;

#[derive(Serialize)]
struct Accepted {
    accepted: usize,
    rejected: usize,
    errors: Vec<RowRefused>,
    lsn: u64,
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
    match take(app, request).await {
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

async fn take(app: &App, request: hyper::Request<Incoming>) -> Result<Accepted, ApiError> {
    let (head, incoming) = request.into_parts();
    let params = Params::of(&head.uri);
    let name = decode(&head.uri.path()[PREFIX.len()..]).into_owned();
    let db = params
        .get("db")
        .filter(|d| !d.is_empty())
        .unwrap_or(tsdb::DEFAULT_DATABASE.into())
        .into_owned();
    let unit = params.get("precision").map(|p| unit(&p)).transpose()?;
    let create = params.flag("create");
    if name.is_empty() || name.contains('/') {
        return Err(ApiError::new(
            404,
            "not_found",
            "the path is /api/v1/ingest/{stream}",
        ));
    }
    if !create {
        // A stream that is not there is said before a large body is read.
        app.engine
            .catalog()
            .lookup(&db, &name)?
            .ok_or_else(|| missing(&name))?;
    }
    let body = body::read(&head.headers, incoming, app.body_limits()).await?;
    admit(app).await?;
    let form = form(&head.headers, &body)?;
    let stream = stream(app, &db, &name, create, form, &body)?;
    app.metrics
        .bytes_received
        .fetch_add(body.len() as u64, Ordering::Relaxed);
    let now_ns = app.engine.clock().wall_ns();
    let ctx = RowContext {
        unit,
        ..RowContext::new(stream.clone(), now_ns)
    };
    let decoded = match form {
        Form::Json(format) => json::decode(&body, format, &ctx),
        Form::Csv => csv::decode(&body, &ctx),
    };
    drop(body);
    if let [error] = decoded.errors.as_slice()
        && error.row == 0
    {
        return Err(ApiError::bad(format!("the header line: {}", error.reason)));
    }
    commit(app, &stream, decoded, now_ns).await
}

async fn commit(
    app: &App,
    stream: &Arc<Stream>,
    decoded: DecodedRows,
    now_ns: i64,
) -> Result<Accepted, ApiError> {
    let DecodedRows {
        mut rows,
        accepted,
        errors,
    } = decoded;
    let rejected = errors.len();
    let told: Vec<(String, String)> = errors
        .iter()
        .map(|e| (format!("row {}", e.row), e.reason.to_string()))
        .collect();
    let letters = errors
        .iter()
        .zip(&told)
        .map(|(error, (position, reason))| DeadLetter {
            stream: &stream.name,
            source: "http",
            position,
            reason,
            payload: &error.payload,
        });
    rows.extend(dead_letter::rows(
        app.engine.catalog(),
        &stream.db,
        letters,
        now_ns,
    )?);
    let lsn = if rows.is_empty() {
        app.engine.published()
    } else {
        app.engine
            .commit_async(tsdb::Request { rows, tick: false })
            .await?
    };
    app.metrics
        .rows_accepted
        .fetch_add(accepted as u64, Ordering::Relaxed);
    app.metrics
        .rows_rejected
        .fetch_add(rejected as u64, Ordering::Relaxed);
    let told = errors
        .iter()
        .zip(told)
        .take(MAX_TOLD)
        .map(|(e, (_, reason))| RowRefused { row: e.row, reason });
    Ok(Accepted {
        accepted,
        rejected,
        errors: told.collect(),
        lsn: lsn.0,
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
    Ok(match name {
        "ns" | "n" => Precision::Nanos,
        "us" | "u" => Precision::Micros,
        "ms" => Precision::Millis,
        "s" => Precision::Seconds,
        other => {
            return Err(ApiError::bad(format!(
                "precision \"{other}\" is not known; use ns, us, ms or s"
            )));
        }
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
