//! Replies, and the one form that errors have.

use super::App;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// An error as every route but InfluxDB's tells it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ApiError {
    #[serde(skip)]
    pub(crate) status: u16,
    #[serde(skip)]
    pub(crate) retry_after: Option<u32>,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// Which statement of the request, from 0; only when there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement: Option<usize>,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> ApiError {
        let message = message.into();
        ApiError {
            status,
            retry_after: None,
            code,
            message,
            line: None,
            column: None,
            hint: None,
            statement: None,
        }
    }

    pub(crate) fn bad(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "bad_request", message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> ApiError {
        self.hint = Some(hint.into());
        self
    }

    /// The error alone, as JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| r#"{"code":"internal"}"#.into())
    }
}

impl From<ingest::admission::Rejection> for ApiError {
    fn from(r: ingest::admission::Rejection) -> ApiError {
        ApiError {
            retry_after: r.retry_after,
            ..ApiError::new(r.status, r.code, r.message)
        }
    }
}

impl From<tsdb::Error> for ApiError {
    fn from(error: tsdb::Error) -> ApiError {
        use tsdb::Error as E;
        let message = error.to_string();
        match error {
            E::StreamExists(_) => ApiError::new(409, "conflict", message),
            E::StreamNotFound(_) => ApiError::new(404, "not_found", message),
            E::AmbiguousName { .. } => ApiError::new(400, "ambiguous", message),
            E::InvalidDefinition(_) | E::TypeConflict { .. } => {
                ApiError::new(422, "invalid", message)
            }
            E::UnknownStream(_) => {
                ApiError::new(409, "conflict", "the stream was dropped meanwhile")
            }
            E::Overloaded { .. } => ApiError {
                retry_after: Some(1),
                ..ApiError::new(503, "overloaded", message)
            },
            E::KeyTaken => ApiError {
                retry_after: Some(1),
                ..ApiError::new(
                    503,
                    "busy",
                    "the first request of this key is on its way; retry in a moment",
                )
            },
            E::Refused(_) => ApiError::new(422, "refused", message),
            E::Unready(_) => ApiError {
                retry_after: Some(30),
                ..ApiError::new(503, "unready", message)
            },
            E::TooLarge { .. } => ApiError::new(413, "rows_too_large", message),
            E::NoRoom(_) => ApiError {
                retry_after: Some(10),
                ..ApiError::new(503, "no_room", message)
            },
            E::Closed => ApiError {
                retry_after: Some(5),
                ..ApiError::new(503, "closing", message)
            },
            _ => ApiError::new(500, "storage", message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = format!("{{\"error\":{}}}", self.to_json());
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, body);
        retry_after(&mut response, self.retry_after);
        response
    }
}

pub(crate) fn retry_after(response: &mut Response, seconds: Option<u32>) {
    if let Some(seconds) = seconds {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// A JSON reply of finished text.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// A reply of a serialisable value.
pub(crate) fn json_of(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => json(StatusCode::OK, body),
        Err(error) => ApiError::new(500, "internal", error.to_string()).into_response(),
    }
}

/// A status without a body.
pub(crate) fn status(code: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

/// The database that a request names, made if need be and allowed.
pub(crate) fn database(app: &App, name: &str) -> Result<(), ApiError> {
    let catalog = app.engine.catalog();
    if catalog.has_database(name) {
        return Ok(());
    }
    if !app.config.auto_create_databases {
        return Err(ApiError::new(
            404,
            "not_found",
            format!("database not found: \"{name}\""),
        ));
    }
    if name.is_empty() || name.len() > 255 || name.contains('\0') {
        return Err(ApiError::bad("a database's name has 1 to 255 bytes"));
    }
    catalog.ensure_database(name);
    Ok(())
}
