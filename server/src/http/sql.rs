//! SQL over HTTP.

use super::accept::{Wanted, wanted};
use super::params::Params;
use super::reply::{ApiError, json};
use super::{App, Begun, Turn, body, keys, live};
use crate::encode::{Epoch, Form, Tail, Writer};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use hyper::body::Incoming;
use query::lang::ast::StatementKind;
use query::{Output, QueryError, RowStream, Session};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of an answer that are held back until it is known to be whole; an error on the way then still has its status.
const HELD: usize = 1 << 20;
/// Bytes of a longer answer that are handed on at once.
const PIECE: usize = 256 << 10;

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> ApiError {
        let (line, column) = error.position().unzip();
        let hint = error.hint().map(str::to_owned);
        let retry_after = (error.http_status() == 503).then_some(1);
        let plain = ApiError::new(error.http_status(), error.code(), error.message());
        ApiError {
            line,
            column,
            hint,
            retry_after,
            ..plain
        }
    }
}

/// What a request asks, its text apart.
struct Asked {
    session: Session,
    wanted: Wanted,
    epoch: Option<Epoch>,
    started: Instant,
}

/// `POST /api/v1/sql`.
pub(crate) async fn post(app: &Arc<App>, request: hyper::Request<Incoming>) -> Response {
    let (head, incoming) = request.into_parts();
    let answer = async {
        let asked = asked(app, &head.uri, &head.headers)?;
        let bytes = body::read(&head.headers, incoming, &app.body_limits).await?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| ApiError::bad("the statement is not UTF-8"))?;
        if keys::named(&head.headers)?.is_some() && changes_state(text)? {
            return run_once(app, &head, text, asked).await;
        }
        run(app, text, asked).await
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

/// `GET /api/v1/sql?q=` and `GET /api/v1/query?sql=`: they read, and refuse what writes.
pub(crate) async fn get(State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let answer = async {
        let asked = asked(&app, &head.uri, &head.headers)?;
        let params = Params::of(&head.uri);
        let name = if head.uri.path().ends_with("/query") {
            "sql"
        } else {
            "q"
        };
        let text = params
            .get(name)
            .ok_or_else(|| ApiError::bad(format!("the parameter {name} is missing")))?;
        let statements = query::lang::parse_statements(&text)
            .map_err(|e| ApiError::from(QueryError::from(e)))?;
        if let Some(i) = statements.iter().position(|s| !reads_only(&s.kind)) {
            let error = ApiError::new(
                405,
                "read_only",
                "a GET request never writes; send this statement by POST",
            );
            return Err(ApiError {
                statement: (statements.len() > 1).then_some(i),
                ..error
            });
        }
        run(&app, &text, asked).await
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

/// Whether a keyed request changes anything; if so it must be one statement.
fn changes_state(text: &str) -> Result<bool, ApiError> {
    let statements =
        query::lang::parse_statements(text).map_err(|e| ApiError::from(QueryError::from(e)))?;
    let changes = statements.iter().any(|s| !reads_only(&s.kind));
    if changes && statements.len() > 1 {
        let message = "a request with an idempotency key has one statement that changes something";
        return Err(
            ApiError::bad(message).hint("statements commit one by one: send each with a key")
        );
    }
    Ok(changes)
}

/// What is kept of a statement's reply.
#[derive(Serialize, Deserialize)]
struct Kept {
    message: String,
    notices: Vec<String>,
    #[serde(skip)]
    lsn: u64,
}

impl Kept {
    fn write(message: &str, notices: &[String]) -> Vec<u8> {
        let kept = Kept {
            message: message.into(),
            notices: notices.to_vec(),
            lsn: 0,
        };
        // A struct of strings can always be written.
        serde_json::to_vec(&kept).unwrap_or_default()
    }
}

/// Runs a statement that bears a key, or tells what it told before.
async fn run_once(
    app: &Arc<App>,
    head: &http::request::Parts,
    text: &str,
    mut asked: Asked,
) -> Result<Response, ApiError> {
    let turn: Turn = match keys::begin(app, head, text.as_bytes()).await? {
        Begun::First(Some(turn)) => turn,
        // Invariant: the caller has seen the key.
        Begun::First(None) => return run(app, text, asked).await,
        Begun::Repeat(kept) => {
            let kept = keys::read(&kept, |k: &mut Kept, lsn| k.lsn = lsn)?;
            let reply = done(&asked, &kept.message, kept.lsn, &kept.notices)?;
            return Ok(keys::marked(reply, true));
        }
    };
    asked.session.keyed = Some(turn.asked().of_session(Kept::write));
    let outputs = app.query.execute(&asked.session, text).await;
    app.note_catalog();
    let outputs = outputs.map_err(|(_, error)| ApiError::from(error))?;
    let Some(Output::Done {
        message,
        mut lsn,
        notices,
    }) = outputs.into_iter().next_back()
    else {
        return Err(internal("a statement that changes something gave rows"));
    };
    if !turn.asked().is_kept(app) {
        // Statements commit their reply with what they change, but for those that had nothing to do, and replays of dead
        // letters, which are many commits and find their own marks when they are run again: there it may follow.
        let mut kept = Kept {
            message: message.clone(),
            notices: notices.clone(),
            lsn,
        };
        let keyed = Some(turn.keyed(&mut kept, |k| k.notices.pop().is_some())?);
        let request = tsdb::Request {
            keyed,
            ..tsdb::Request::default()
        };
        lsn = app.engine.commit_async(request).await?.0;
    }
    drop(turn);
    done(&asked, &message, lsn, &notices)
}

fn reads_only(kind: &StatementKind) -> bool {
    match kind {
        StatementKind::Query(_)
        | StatementKind::Show { .. }
        | StatementKind::Describe { .. }
        | StatementKind::Use { .. } => true,
        StatementKind::Explain {
            analyze, statement, ..
        } => !analyze || reads_only(&statement.kind),
        _ => false,
    }
}

fn asked(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Asked, ApiError> {
    let params = Params::of(uri);
    let epoch = match params.get("epoch") {
        None => None,
        Some(name) => Some(Epoch::of(&name).ok_or_else(|| {
            ApiError::bad(format!(
                "epoch \"{name}\" is not known; use ns, us, ms or s"
            ))
        })?),
    };
    let db = params
        .get("db")
        .filter(|d| !d.is_empty())
        .unwrap_or(tsdb::DEFAULT_DATABASE.into());
    Ok(Asked {
        session: session(app, &db),
        wanted: wanted(headers)?,
        epoch,
        started: Instant::now(),
    })
}

/// A session within the server's bounds.
pub(crate) fn session(app: &App, db: &str) -> Session {
    let limits = &app.config.limits;
    Session {
        time_limit: Some(Duration::from_secs(limits.query_seconds)),
        memory_limit: Some(limits.query_bytes),
        ..Session::of(db)
    }
}

async fn run(app: &Arc<App>, text: &str, asked: Asked) -> Result<Response, ApiError> {
    let outputs = app.query.execute(&asked.session, text).await;
    app.note_catalog();
    let outputs = outputs.map_err(|(i, error)| {
        let several = i > 0 || query::lang::parse_each(text).0.len() > 1;
        ApiError {
            statement: several.then_some(i),
            ..ApiError::from(error)
        }
    })?;
    let Some(last) = outputs.into_iter().next_back() else {
        return Err(ApiError::new(400, "syntax", "there is no statement"));
    };
    match last {
        Output::Rows {
            schema,
            rows,
            lsn,
            notices,
            lagging,
            ..
        } => {
            let writer =
                Writer::new(asked.wanted.form(), asked.epoch, &schema).map_err(internal)?;
            answer(
                app,
                Answer {
                    writer,
                    rows,
                    lsn,
                    lagging,
                    notices,
                    started: asked.started,
                },
                asked.wanted.form(),
            )
            .await
        }
        Output::Done {
            message,
            lsn,
            notices,
        } => done(&asked, &message, lsn, &notices),
        Output::Continuous {
            query,
            sql,
            notices,
        } => live::reply(app, *query, sql, notices, asked.wanted, asked.epoch).await,
    }
}

pub(crate) fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(500, "internal", error.to_string())
}

fn done(asked: &Asked, message: &str, lsn: u64, notices: &[String]) -> Result<Response, ApiError> {
    let form = asked.wanted.form();
    let mut writer =
        Writer::new(form, None, &arrow::datatypes::Schema::empty()).map_err(internal)?;
    let elapsed_ms = asked.started.elapsed().as_secs_f64() * 1e3;
    writer
        .finish(&Tail {
            lsn,
            lagging: false,
            elapsed_ms,
            message: Some(message),
            notices,
        })
        .map_err(internal)?;
    Ok(typed(writer.take().into(), form.content_type()))
}

pub(crate) fn typed(body: Body, kind: &'static str) -> Response {
    let mut response = json(StatusCode::OK, body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An answer on its way.
struct Answer {
    writer: Writer,
    rows: RowStream,
    lsn: u64,
    lagging: bool,
    notices: Vec<String>,
    started: Instant,
}

impl Answer {
    /// Writes rows until there are `enough` bytes; true at the end.
    async fn fill(&mut self, enough: usize) -> Result<bool, ApiError> {
        while self.writer.len() < enough {
            match self.rows.next().await {
                Some(batch) => self.writer.batch(&batch?).map_err(internal)?,
                None => {
                    let elapsed_ms = self.started.elapsed().as_secs_f64() * 1e3;
                    let tail = Tail {
                        lsn: self.lsn,
                        lagging: self.lagging,
                        elapsed_ms,
                        message: None,
                        notices: &self.notices,
                    };
                    self.writer.finish(&tail).map_err(internal)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

async fn answer(app: &Arc<App>, mut answer: Answer, form: Form) -> Result<Response, ApiError> {
    if answer.fill(HELD).await? {
        app.metrics.queries.record(answer.started.elapsed());
        return Ok(typed(answer.writer.take().into(), form.content_type()));
    }
    let app = app.clone();
    let pieces = futures::stream::unfold(Some(answer), move |state| {
        let app = app.clone();
        async move {
            let mut answer = state?;
            match answer.fill(PIECE).await {
                Ok(ended) => {
                    if ended {
                        app.metrics.queries.record(answer.started.elapsed());
                    }
                    let piece = Bytes::from(answer.writer.take());
                    Some((Ok(piece), (!ended).then_some(answer)))
                }
                // The status is gone already: where the form has no word for an error, the connection is cut, so that
                // nobody takes this for a whole answer.
                Err(error) if answer.writer.fail(&error.to_json()) => {
                    Some((Ok(Bytes::from(answer.writer.take())), None))
                }
                Err(error) => Some((Err(std::io::Error::other(error.message)), None)),
            }
        }
    });
    Ok(typed(Body::from_stream(pieces), form.content_type()))
}
