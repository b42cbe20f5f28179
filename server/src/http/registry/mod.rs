//! `/schema-registry`: the built-in schema registry, with the paths, replies and codes of Confluent's, so that its
//! clients work as they are.

mod routes;
mod schemas;
mod settings;
mod subjects;

pub(super) use routes::ROUTES;

use super::App;
use super::params::Params;
use super::reply;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use ingest::schemas::builtin::{Found, Listed, NewSchema, Reference, RegistryError, Stored};
use ingest::schemas::wire::guid_text;
use ingest::schemas::{SchemaId, SchemaKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

/// What all replies are, but for raw texts, too.
pub(super) const KIND: &str = "application/vnd.schemaregistry.v1+json";
/// Where its paths begin.
const PREFIX: &str = "/schema-registry";
/// Bytes of a request's body: a schema of the greatest size, escaped.
const MAX_BODY: usize = 4 << 20;

type Reply = Result<Value, RegistryError>;

/// Answers with JSON, or with the error as Confluent's clients read it.
fn answer(reply: Reply) -> Response {
    let (status, body) = match &reply {
        Ok(value) => (200, value.clone()),
        Err(e) => (
            e.status,
            json!({"error_code": e.code, "message": e.message}),
        ),
    };
    let mut response = text(body.to_string());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply::retry_after(&mut response, (status == 503).then_some(1));
    response
}

/// The answer for a path of the registry that there is not, or a method that it does not take.
pub(super) fn no_route(status: u16, path: &str) -> Option<Response> {
    let ours = path == PREFIX
        || path
            .strip_prefix(PREFIX)
            .is_some_and(|p| p.starts_with('/'));
    let message = match status {
        405 => "HTTP 405 Method Not Allowed",
        _ => "HTTP 404 Not Found",
    };
    ours.then(|| answer(Err(error(status, status.into(), message))))
}

fn text(body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
    response
}

fn error(status: u16, code: u32, message: impl Into<String>) -> RegistryError {
    RegistryError {
        status,
        code,
        message: message.into(),
    }
}

/// How many requests compile schemas or wait for the log at once: others need threads, too.
static ROOM: Semaphore = Semaphore::const_new(4);

/// Runs what compiles schemas or waits for the log, away from the threads that serve connections.
async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    // It is never closed.
    let _room = ROOM.acquire().await;
    match tokio::task::spawn_blocking(f).await {
        Ok(result) => result,
        Err(_) => Err(error(
            500,
            50001,
            "the request ran into a fault of the server",
        )),
    }
}

/// The body as a value.
async fn body<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, RegistryError> {
    let read = to_bytes(request.into_body(), MAX_BODY);
    let read = tokio::time::timeout(app.body_limits.time, read).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(e)) => {
            let message = format!("the body can't be read, or has more than {MAX_BODY} bytes: {e}");
            return Err(error(413, 413, message));
        }
        Err(_) => return Err(error(408, 408, "the body did not come in time")),
    };
    serde_json::from_slice(&bytes)
        .map_err(|e| error(400, 400, format!("the body is no such JSON: {e}")))
}

/// A schema as clients send it.
#[derive(Deserialize)]
struct SchemaBody {
    schema: Option<String>,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    references: Option<Vec<Reference>>,
    id: Option<i64>,
    version: Option<i64>,
    metadata: Option<Value>,
    #[serde(rename = "ruleSet")]
    rules: Option<Value>,
}

impl SchemaBody {
    fn checked(self) -> Result<NewSchema, RegistryError> {
        let invalid = |why: String| error(422, 42201, format!("Invalid schema: {why}"));
        let kind = match self.kind.as_deref() {
            None | Some("") => SchemaKind::Avro,
            Some(name) => SchemaKind::of(name)
                .ok_or_else(|| invalid(format!("the type {name} is not known")))?,
        };
        let kept = |v: &Option<Value>| {
            v.as_ref()
                .is_some_and(|v| !v.is_null() && v.as_object().is_none_or(|m| !m.is_empty()))
        };
        // Better refused than lost in silence.
        if kept(&self.metadata) || kept(&self.rules) {
            return Err(invalid("metadata and rules are not kept here".into()));
        }
        let number = |v: Option<i64>| match v {
            None | Some(..=0) => Ok(None),
            Some(v) => u32::try_from(v)
                .map(Some)
                .map_err(|_| invalid(format!("{v} is out of range"))),
        };
        Ok(NewSchema {
            kind,
            text: self
                .schema
                .ok_or_else(|| invalid("there is no schema in the body".into()))?,
            references: self.references.unwrap_or_default(),
            id: number(self.id)?,
            version: number(self.version)?,
        })
    }
}

/// A schema as replies have it; what is usual is left out, as clients expect.
fn described(stored: &Stored, text: String) -> Map<String, Value> {
    let mut out = Map::new();
    if stored.kind != SchemaKind::Avro {
        out.insert("schemaType".into(), stored.kind.to_string().into());
    }
    if !stored.references.is_empty() {
        out.insert("references".into(), json!(stored.references));
    }
    out.insert("guid".into(), guid_text(&stored.guid).into());
    out.insert("schema".into(), text.into());
    out
}

/// A subject's version as replies have it.
fn found(found: &Found, text: String) -> Value {
    let mut out = Map::new();
    out.insert("subject".into(), found.subject.clone().into());
    out.insert("version".into(), found.version.into());
    out.insert("id".into(), found.schema.id.into());
    out.extend(described(&found.schema, text));
    out.into()
}

fn id(text: &str) -> Result<SchemaId, RegistryError> {
    let id = text.parse().map(SchemaId::Id);
    id.map_err(|_| error(404, 40403, format!("Schema {text} not found")))
}

/// The part of a list that `offset` and `limit` ask for.
fn page<T>(all: Vec<T>, params: Params<'_>) -> Vec<T> {
    let (offset, limit) = place(params);
    all.into_iter().skip(offset).take(limit).collect()
}

fn place(params: Params<'_>) -> (usize, usize) {
    let number = |name: &str| params.get(name).and_then(|v| v.parse::<usize>().ok());
    let limit = number("limit").filter(|n| *n > 0).unwrap_or(usize::MAX);
    (number("offset").unwrap_or(0), limit)
}

/// What a list has: of Confluent's parameters, `deletedOnly` goes before `deleted`.
fn listed(params: Params<'_>) -> Listed {
    match (params.flag("deletedOnly"), params.flag("deleted")) {
        (true, _) => Listed::Deleted,
        (false, true) => Listed::All,
        (false, false) => Listed::Live,
    }
}

/// How the subjects of a list begin. `:*:` stands for every context: there is the default one alone, `:.:`.
fn prefix(params: Params<'_>) -> String {
    let prefix = params.get("subjectPrefix").unwrap_or_default();
    let own = [":*:", ":.:"].iter().find_map(|c| prefix.strip_prefix(c));
    own.unwrap_or(&prefix).to_owned()
}

/// A subject's name in a path, that of its context left out when it is the default one.
struct Subject(String);

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Subject, D::Error> {
        let name = String::deserialize(from)?;
        Ok(Subject(match name.strip_prefix(":.:") {
            Some(own) => own.to_owned(),
            None => name,
        }))
    }
}

/// `GET /schema-registry/`: that there is one.
async fn root() -> Response {
    answer(Ok(json!({})))
}

/// `GET /schema-registry/v1/metadata/id`, which clients ask to tell registries apart.
async fn metadata_id() -> Response {
    let id = json!({
        "scope": {"path": [], "clusters": {"schema-registry-cluster": "tidemill"}},
        "id": "",
    });
    Answer(Ok(id)).into_response()
}

/// `GET /schema-registry/v1/metadata/version`.
async fn metadata_version() -> Response {
    Answer(Ok(
        json!({"version": env!("CARGO_PKG_VERSION"), "commitId": ""}),
    ))
    .into_response()
}

/// `GET /schema-registry/contexts`: there is the default one.
async fn contexts() -> Response {
    answer(Ok(json!(["."])))
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        answer(self.0)
    }
}

/// A reply that a handler gives.
struct Answer(Reply);
