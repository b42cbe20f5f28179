//! A registry elsewhere that speaks Confluent's REST interface.

use super::cache::Cache;
use super::{Dependency, Missing, Resolver, SchemaId, SchemaKind, SchemaSource};
use crate::text::base64;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ingest_decode::Wait;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Bytes of a reply at most.
const MAX_REPLY: usize = 8 << 20;
/// Schemas that one may need, directly or not.
const MAX_DEPENDENCIES: usize = 200;
/// How long a registry that can't be asked is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How long all requests for one schema may take together.
const TIME: Duration = Duration::from_secs(10);

/// A client. It keeps what it has been told, also that an id is not known.
pub struct RegistryClient {
    shared: Arc<Shared>,
    runtime: Handle,
    cache: Mutex<Cache>,
}

struct Shared {
    client: Client<HttpConnector, Empty<Bytes>>,
    /// Without a slash at its end, and without the user.
    base: String,
    authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i32,
}

#[derive(Deserialize)]
struct Reply {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct ErrorReply {
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl RegistryClient {
    /// A client of the registry at a URL (`http://host:port/path`, with `user:password@` before the host if need be).
    /// Its requests run on `runtime`.
    ///
    /// # Errors
    /// When the URL is none, in words.
    pub fn new(url: &str, runtime: Handle) -> Result<RegistryClient, String> {
        let uri: Uri = url
            .trim()
            .parse()
            .map_err(|e| format!("\"{url}\" is no URL: {e}"))?;
        let authority = uri
            .authority()
            .ok_or_else(|| format!("\"{url}\" names no host"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("a schema registry is reached by http, not https".into()),
            _ => return Err(format!("\"{url}\" does not begin with http://")),
        }
        let (user, host) = match authority.as_str().rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority.as_str()),
        };
        let authorization = match user {
            Some(user) => {
                let text = format!("Basic {}", base64(&decoded(user)));
                let mut value = HeaderValue::from_str(&text).map_err(|e| e.to_string())?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let base = format!("http://{host}{}", uri.path().trim_end_matches('/'));
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIME));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Ok(RegistryClient {
            shared: Arc::new(Shared {
                client,
                base,
                authorization,
            }),
            runtime,
            cache: Mutex::default(),
        })
    }

    /// The schema of that name, asked from the registry whatever is known.
    ///
    /// # Errors
    /// See [`Missing`].
    pub async fn fetch(&self, id: SchemaId) -> Result<SchemaSource, Missing> {
        self.shared.clone().fetch(id).await
    }
}

impl Resolver for RegistryClient {
    fn schema(&self, id: &SchemaId) -> Result<Arc<SchemaSource>, Missing> {
        if let Some(known) = self.cache.lock().get(id, Instant::now()) {
            return known;
        }
        let (tell, told) = mpsc::sync_channel(1);
        let (shared, id) = (self.shared.clone(), *id);
        self.runtime.spawn(async move {
            // Nobody listens any more when the caller has given up.
            let _ = tell.send(shared.fetch(id).await);
        });
        // The task ends by its own time limit; a runtime that has ended drops it.
        let answer = told.recv_timeout(2 * TIME);
        let answer = answer.unwrap_or_else(|_| Err(wait("no answer in time".into())));
        let answer = answer.map(Arc::new);
        self.cache.lock().put(id, &answer, Instant::now());
        answer
    }
}

fn wait(reason: String) -> Missing {
    Missing::Wait(Wait {
        reason: format!("the schema registry can't be asked: {reason}"),
        after: PAUSE,
    })
}

impl Shared {
    async fn fetch(self: Arc<Self>, id: SchemaId) -> Result<SchemaSource, Missing> {
        match tokio::time::timeout(TIME, self.whole(id)).await {
            Ok(answer) => answer,
            Err(_) => Err(wait(format!("no answer within {} s", TIME.as_secs()))),
        }
    }

    /// A schema and all that it needs.
    async fn whole(&self, id: SchemaId) -> Result<SchemaSource, Missing> {
        let path = match id {
            SchemaId::Id(id) => format!("/schemas/ids/{id}"),
            SchemaId::Guid(_) => format!("/schemas/guids/{id}"),
        };
        let reply = self.get(&path).await?;
        let name = reply.kind.as_deref().unwrap_or("AVRO");
        let kind = SchemaKind::of(name);
        let kind = kind.ok_or_else(|| {
            Missing::Unknown(format!("schema {id} is of the unknown type \"{name}\""))
        })?;
        let mut source = SchemaSource::new(kind, reply.schema);
        let mut met: HashSet<String> = HashSet::new();
        let mut waiting: Vec<Reference> = reply.references;
        while let Some(reference) = waiting.pop() {
            if !met.insert(reference.name.clone()) {
                continue;
            }
            if met.len() > MAX_DEPENDENCIES {
                return Err(Missing::Unknown(format!(
                    "schema {id} refers to more than {MAX_DEPENDENCIES} others"
                )));
            }
            let subject = encoded(&reference.subject);
            // What is deleted softly stays readable for those that refer to it.
            let path = format!(
                "/subjects/{subject}/versions/{}?deleted=true",
                reference.version
            );
            let reply = self.get(&path).await?;
            waiting.extend(reply.references);
            source.dependencies.push(Dependency {
                name: reference.name,
                text: reply.schema,
            });
        }
        // Those that were met last are needed by those before.
        source.dependencies.reverse();
        Ok(source)
    }

    async fn get(&self, path: &str) -> Result<Reply, Missing> {
        let request = Request::get(format!("{}{path}", self.base))
            .header(
                header::ACCEPT,
                "application/vnd.schemaregistry.v1+json, application/json",
            )
            .header(header::USER_AGENT, "tidemill");
        let request = match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        };
        let request = request
            .body(Empty::new())
            .map_err(|e| wait(e.to_string()))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|e| wait(chain(&e)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_REPLY)
            .collect()
            .await;
        let body = body.map_err(|e| wait(e.to_string()))?.to_bytes();
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .map_err(|e| wait(format!("its reply to {path} is no schema: {e}")));
        }
        match serde_json::from_slice::<ErrorReply>(&body) {
            // Only these mean that there is none; a wrong path or a missing right may be put right.
            Ok(e) if matches!(e.error_code, 40401..=40403 | 40406) => Err(Missing::Unknown(
                format!("the schema registry does not have {path}: {}", e.message),
            )),
            Ok(e) if !e.message.is_empty() => Err(wait(format!("{status}: {}", e.message))),
            _ => Err(wait(format!("{path} is answered with {status}"))),
        }
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    let mut out = String::new();
    for b in name.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// A URL's user and password without percent signs.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let pair = bytes
            .get(i + 1..i + 3)
            .and_then(|p| std::str::from_utf8(p).ok());
        match pair.and_then(|p| u8::from_str_radix(p, 16).ok()) {
            Some(byte) if bytes[i] == b'%' => {
                out.push(byte);
                i += 3;
            }
            _ => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    out
}
