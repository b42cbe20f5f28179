//! Tidemill's HTTP interface as the shell and the demo use it.

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// Most bytes of a reply that is held in memory.
pub(crate) const MAX_REPLY: usize = 256 << 20;
/// Longer error texts are of no use to a reader.
const MAX_ERROR: usize = 64 << 10;
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The URL is none that this client can reach.
    #[error("{url}: {reason}")]
    Url { url: String, reason: &'static str },
    /// Nobody answers.
    #[error("no answer from {url}: {reason}")]
    Gone { url: String, reason: String },
    /// The server says no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The reply has no meaning.
    #[error("the reply cannot be read: {0}")]
    Reply(String),
    /// The reply is too large to be held.
    #[error("the result has more than {} MiB", MAX_REPLY >> 20)]
    TooLarge,
}

/// What a server answers instead of a result.
#[derive(Debug, Default, Clone, Deserialize, thiserror::Error)]
#[serde(default)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// A short name for programs.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Line in the text that was sent, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What might help.
    pub hint: Option<String>,
    /// Which statement of the text that was sent, from 0, when there are several.
    pub statement: Option<usize>,
    /// The status of the response; not in its body.
    #[serde(skip)]
    pub status: u16,
    /// Seconds after which another try makes sense; not in its body.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// The reply to a statement, its cells as they came.
#[derive(Debug, Deserialize)]
pub(crate) struct Reply<'a> {
    /// The columns in order.
    #[serde(default)]
    pub columns: Vec<Column>,
    /// The rows, each as long as the columns.
    #[serde(default, borrow)]
    pub rows: Vec<Vec<&'a RawValue>>,
    /// What was done, where there is no result.
    #[serde(default)]
    pub message: Option<String>,
    /// Remarks that are no errors.
    #[serde(default)]
    pub notices: Vec<String>,
    /// How long the server took.
    #[serde(default)]
    pub elapsed_ms: Option<f64>,
}

/// A column of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Column {
    /// Its name.
    pub name: String,
    /// Its SQL type.
    #[serde(rename = "type", default)]
    pub kind: String,
}

impl<'a> Reply<'a> {
    /// Reads a body of `application/json`.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Reply<'a>, ClientError> {
        let reply: Reply<'a> =
            serde_json::from_slice(body).map_err(|e| ClientError::Reply(e.to_string()))?;
        let width = reply.columns.len();
        match reply.rows.iter().find(|row| row.len() != width) {
            None => Ok(reply),
            Some(row) => Err(ClientError::Reply(format!(
                "a row of {} cells under {width} columns",
                row.len()
            ))),
        }
    }
}

/// What a write was answered.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ack {
    /// Rows that are not.
    #[serde(default)]
    pub rejected: u64,
    /// Why they are not, for the first of them.
    #[serde(default)]
    pub errors: Vec<RowError>,
    /// The commit that holds the rows.
    #[serde(default)]
    pub lsn: u64,
}

/// Why a row was rejected.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RowError {
    /// Which.
    #[serde(default)]
    pub row: u64,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Client {
    /// A client of the server at `http://HOST:PORT`. Connects when there is something to send.
    pub(crate) fn new(url: &str) -> Result<Client, ClientError> {
        let wrong = |reason| ClientError::Url {
            url: url.to_owned(),
            reason,
        };
        let base = url.trim_end_matches('/');
        let uri: http::Uri = base.parse().map_err(|_| wrong("this is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("only http://HOST:PORT is spoken here"));
        }
        if uri.authority().is_none_or(|a| a.host().is_empty()) || uri.query().is_some() {
            return Err(wrong("expected http://HOST:PORT"));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIME));
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Client {
            pool,
            base: base.to_owned(),
        })
    }

    /// Where the server is.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// Posts a body and waits for the response's head; an answer other than success is an error.
    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        accept: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = Request::post(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, accept)
            .body(Full::new(body))
            .map_err(|e| ClientError::Reply(e.to_string()))?;
        let response = self
            .pool
            .request(request)
            .await
            .map_err(|e| self.gone(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(ClientError::Refused(Box::new(self.refusal(response).await)))
    }

    /// Runs one statement and gives the body of the JSON reply, for [`Reply::parse`]. `options` go into
    /// the query part of the URL.
    pub(crate) async fn sql(&self, text: &str, options: &str) -> Result<Bytes, ClientError> {
        let response = self.sql_as(text, options, "application/json").await?;
        self.body(response.into_body(), MAX_REPLY).await
    }

    /// Runs one statement; the reply comes as `accept` says.
    pub(crate) async fn sql_as(
        &self,
        text: &str,
        options: &str,
        accept: &str,
    ) -> Result<Response<Incoming>, ClientError> {
        let path = match options {
            "" => "/api/v1/sql".to_owned(),
            options => format!("/api/v1/sql?{options}"),
        };
        self.post(
            &path,
            "application/sql",
            accept,
            Bytes::copy_from_slice(text.as_bytes()),
        )
        .await
    }

    /// Writes rows to a stream.
    pub(crate) async fn ingest(
        &self,
        stream: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Ack, ClientError> {
        let path = format!("/api/v1/ingest/{stream}");
        let response = self
            .post(&path, content_type, "application/json", body)
            .await?;
        let body = self.body(response.into_body(), MAX_ERROR).await?;
        serde_json::from_slice(&body).map_err(|e| ClientError::Reply(e.to_string()))
    }

    /// The next piece of a reply that is read as it comes.
    pub(crate) async fn chunk(&self, body: &mut Incoming) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = body.frame().await {
            // Trailers carry nothing that is wanted here.
            if let Ok(data) = frame.map_err(|e| self.gone(&e))?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    async fn body(&self, mut body: Incoming, limit: usize) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(data) = self.chunk(&mut body).await? {
            if whole.len() + data.len() > limit {
                return Err(ClientError::TooLarge);
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    async fn refusal(&self, response: Response<Incoming>) -> Refusal {
        #[derive(Deserialize)]
        struct Envelope {
            error: Refusal,
        }
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|v| v.to_str().ok()?.parse().ok());
        // An error whose text can't be had is still told by its status.
        let body = self
            .body(response.into_body(), MAX_ERROR)
            .await
            .unwrap_or_default();
        let parsed = serde_json::from_slice::<Envelope>(&body).map(|e| e.error);
        let mut refusal = parsed.unwrap_or_else(|_| foreign(status, &body));
        refusal.status = status.as_u16();
        refusal.retry_after = retry_after;
        refusal
    }

    fn gone(&self, error: &(dyn std::error::Error + 'static)) -> ClientError {
        // The innermost cause is the system's own words; those around it speak of the client's parts.
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        ClientError::Gone {
            url: self.base.clone(),
            reason: cause.to_string(),
        }
    }
}

/// An error that is not in Tidemill's form: another server, or a proxy between.
fn foreign(status: StatusCode, body: &[u8]) -> Refusal {
    let text = String::from_utf8_lossy(body);
    let first = text.trim().lines().next().unwrap_or_default();
    let message = match first {
        "" => status.to_string(),
        line => format!("{status}: {}", line.chars().take(200).collect::<String>()),
    };
    Refusal {
        message,
        ..Refusal::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_are_taken() {
        for good in [
            "http://127.0.0.1:8081",
            "http://localhost",
            "http://[::1]:80/",
        ] {
            assert!(Client::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:8081",
            "https://x",
            "http://",
            "ftp://x",
            "http://x?db=1",
            "http:// x",
        ] {
            assert!(Client::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reply_keeps_its_cells_as_they_came() {
        let body = br#"{"columns":[{"name":"n","type":"DECIMAL(38,2)"}],"rows":[[1.10],[null]],"lsn":7,"elapsed_ms":1.5}"#;
        let reply = Reply::parse(body).unwrap();
        assert_eq!(reply.rows[0][0].get(), "1.10");
        assert_eq!(reply.rows[1][0].get(), "null");
        assert_eq!(reply.elapsed_ms, Some(1.5));
    }

    #[test]
    fn a_ragged_reply_is_an_error() {
        let body = br#"{"columns":[{"name":"n","type":"INT"}],"rows":[[1],[1,2]]}"#;
        assert!(matches!(Reply::parse(body), Err(ClientError::Reply(_))));
    }
}
