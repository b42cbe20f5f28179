//! `POST /api/v1/ingest/{stream}`: NDJSON, JSON and CSV.

use super::left_out::{Attempt, LeftOut, commit_rows};
use super::params::{Params, name_behind};
use super::reply::{self, ApiError, json_of};
use super::{App, Begun, Turn, body, keys};
use crate::shedding::Shed;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use hyper::body::Incoming;
use ingest::admission::{self, Pressure, Rejection};
use ingest::dead_letter::{self, Letters, Origin};
use ingest::decode::json::JsonFormat;
use ingest::decode::{DecodedRows, Precision, RefusedRow, RowContext, csv, json};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tsdb::{Rows, Stream};

/// Where the route begins; the stream's name follows.
pub(crate) const PREFIX: &str = "/api/v1/ingest/";

/// Refused rows that a reply tells of; the dead letters hold more.
pub(super) const MAX_TOLD: usize = 100;

/// What became of rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) accepted: usize,
    pub(crate) rejected: usize,
    pub(crate) errors: Vec<RowRefused>,
    pub(crate) lsn: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notices: Vec<String>,
}

/// A row, or a line, from 1 on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RowRefused {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) row: Option<usize>,
    pub(crate) reason: String,
}

impl Accepted {
    /// Takes note of rows that the commit would have refused.
    fn leave_out(&mut self, left: LeftOut) {
        self.accepted = self.accepted.saturating_sub(left.rows);
        self.rejected += left.rows;
        let room = MAX_TOLD.saturating_sub(self.errors.len());
        let told = left.told.into_iter().take(room);
        self.errors.extend(told);
        if let Some(why) = left.lost {
            self.notices.push(not_kept(&why));
        }
    }
}

fn not_kept(why: &dyn std::fmt::Display) -> String {
    format!(
        "the refused rows are not kept: the stream \"{}\" does not take them ({why})",
        dead_letter::STREAM
    )
}

/// How a body holds its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json(JsonFormat),
    Csv,
}

pub(crate) async fn post(app: &Arc<App>, request: hyper::Request<Incoming>) -> Response {
    let started = Instant::now();
    match take(app, request, started).await {
        Ok((accepted, repeated)) => {
            app.metrics.writes.record(started.elapsed());
            keys::marked(json_of(&accepted), repeated)
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
    app: &Arc<App>,
    request: hyper::Request<Incoming>,
    arrived: Instant,
) -> Result<(Accepted, bool), ApiError> {
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
    let turn = match keys::begin(app, &head, &body).await? {
        Begun::Repeat(kept) => {
            return Ok((
                keys::read(&kept, |a: &mut Accepted, lsn| a.lsn = lsn)?,
                true,
            ));
        }
        Begun::First(turn) => turn,
    };
    admit(app).await?;
    let form = form(&head.headers, &body)?;
    let stream = stream(app, &db, &name, create, form, &body)?;
    crate::shedding::admit(app, &stream)?;
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
    let stored = decoded.submit(app, turn, arrived, OnRefusal::LeaveOut)?;
    Ok((stored.await?, false))
}

/// What is done when a filter, a table or a derived stream can't take a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// It becomes a dead letter, and the others are kept. They are later than what has come meanwhile.
    LeaveOut,
    /// Nothing is kept.
    Refuse,
}

/// A body's rows, and what was refused of it.
pub(crate) struct Taken {
    pub(super) good: DecodedRows,
    pub(super) told: Vec<RowRefused>,
    pub(super) letters: Result<Option<Rows>, tsdb::Error>,
    pub(super) shed: Shed,
}

pub(super) fn decode(
    app: &App,
    ctx: &RowContext,
    form: Form,
    body: &[u8],
) -> Result<Taken, Rejection> {
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
            told.push(RowRefused {
                row: Some(row),
                reason,
            });
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
        shed: Shed::default(),
    })
}

impl Taken {
    /// Hands the rows to the log, at once. The future is ready when they are durable and visible.
    ///
    /// # Errors
    /// When the reply can't be kept under the key.
    pub(super) fn submit(
        self,
        app: &Arc<App>,
        turn: Option<Turn>,
        arrived: Instant,
        on_refusal: OnRefusal,
    ) -> Result<impl Future<Output = Result<Accepted, ApiError>> + Send + use<>, ApiError> {
        let DecodedRows {
            mut rows,
            accepted,
            rejected,
        } = self.good;
        let mut notices = Vec::new();
        match self.letters {
            Ok(letters) => rows.extend(letters),
            Err(error) => notices.push(not_kept(&error)),
        }
        let mut answer = Accepted {
            accepted,
            rejected,
            errors: self.told,
            lsn: 0,
            notices,
        };
        let keyed = |answer: &mut Accepted, turn: &Option<Turn>| {
            let turn = turn.as_ref();
            turn.map(|turn| turn.keyed(answer, |a| halve(&mut a.errors)))
                .transpose()
        };
        let reply = keyed(&mut answer, &turn)?;
        let leaves_out = on_refusal == OnRefusal::LeaveOut && app.engine.concerns(&rows);
        let attempt = Attempt {
            spare: leaves_out.then(|| rows.clone()),
            commit: commit_rows(app, rows, reply),
            numbered: rejected == 0,
        };
        let app = app.clone();
        Ok(async move {
            let note = |left| {
                answer.leave_out(left);
                keyed(&mut answer, &turn)
            };
            let committed = attempt.finish::<ApiError>(&app, note).await?;
            answer.lsn = match committed {
                None => app.engine.published().0,
                Some(lsn) => {
                    app.metrics.events.acknowledged(lsn.0, arrived);
                    self.shed.count(&app);
                    lsn.0
                }
            };
            // Others of the same key find the reply in the ledger now.
            drop(turn);
            let counters = [
                (&app.metrics.rows_accepted, answer.accepted),
                (&app.metrics.rows_rejected, answer.rejected),
            ];
            for (counter, n) in counters {
                counter.fetch_add(n as u64, Ordering::Relaxed);
            }
            Ok(answer)
        })
    }
}

/// Leaves half of the errors out, to make a reply shorter; false when there was none.
fn halve(errors: &mut Vec<RowRefused>) -> bool {
    let any = !errors.is_empty();
    errors.truncate(errors.len() / 2);
    any
}

fn missing(name: &str) -> ApiError {
    ApiError::new(404, "not_found", format!("stream \"{name}\" not found"))
        .hint("CREATE STREAM it, or add ?create=true to make it from the first row")
}

pub(super) fn stream(
    app: &App,
    db: &str,
    name: &str,
    create: bool,
    form: Form,
    body: &[u8],
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

pub(super) fn unit(name: &str) -> Result<Precision, ApiError> {
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
                None => Err(ApiError::bad("the body is empty")),
                _ => Err(unknown_form(
                    "without a content type a body begins with { or [".to_owned(),
                )),
            }
        }
        other => Err(unknown_form(format!(
            "content type \"{other}\" is not known"
        ))),
    }
}

fn unknown_form(message: String) -> ApiError {
    ApiError::new(415, "unsupported", message)
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
        assert_eq!(of("", " \n"), Err(400));
        assert_eq!(of("application/xml", "{"), Err(415));
    }
}
