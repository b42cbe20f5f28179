//! `POST /v1/metrics`: OTLP over HTTP, in protobuf and JSON.

use super::App;
use super::reply::{self, ApiError};
use super::samples::{self, Sender};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use ingest::admission::Encoding;
use ingest::decode::metric::{Form, MetricContext, reply as replies};
use std::time::Instant;

/// The route.
pub(crate) const PATH: &str = "/v1/metrics";

pub(crate) async fn post(app: &App, request: hyper::Request<Incoming>) -> Response {
    let started = Instant::now();
    let form = match form(request.headers()) {
        Ok(form) => form,
        // Exporters read no other form of errors.
        Err(error) => return failed(Form::Json, &error),
    };
    match take(app, request, form, started).await {
        Ok(body) => {
            app.metrics.writes.record(started.elapsed());
            typed(StatusCode::OK, form, body)
        }
        Err(error) => failed(form, &error),
    }
}

fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map_or("", |v| v.to_str().unwrap_or("?"));
    let media = kind.split(';').next().unwrap_or("").trim();
    for form in [Form::Protobuf, Form::Json] {
        if media.eq_ignore_ascii_case(form.content_type()) {
            return Ok(form);
        }
    }
    let message = format!(
        "content type \"{kind}\" is not known; use application/x-protobuf or application/json"
    );
    Err(ApiError::new(415, "unsupported", message))
}

async fn take(
    app: &App,
    request: hyper::Request<Incoming>,
    form: Form,
    arrived: Instant,
) -> Result<Vec<u8>, ApiError> {
    let (head, incoming) = request.into_parts();
    let named = head.headers.get(header::CONTENT_ENCODING);
    let sender = Sender {
        source: "otlp",
        encoding: Encoding::from_header(named.map(|v| v.to_str().unwrap_or("?")))?,
        arrived,
    };
    let decode = |body: &[u8], ctx: &MetricContext<'_>| app.samples.otlp(body, form, ctx);
    let stored = samples::take(app, &head, incoming, sender, decode).await?;
    let errors = stored.errors.join("; ");
    Ok(replies::accepted(form, stored.rejected, &errors))
}

fn typed(status: StatusCode, form: Form, body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(form.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An error as exporters read it: `google.rpc.Status`.
fn failed(form: Form, error: &ApiError) -> Response {
    // INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE, INTERNAL.
    let code = match error.status {
        404 => 5,
        413 | 429 => 8,
        408 | 503 => 14,
        500.. => 13,
        _ => 3,
    };
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = typed(status, form, replies::failed(form, code, &error.message));
    reply::retry_after(&mut response, error.retry_after);
    response
}
