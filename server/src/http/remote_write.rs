//! `POST /api/v1/write`: Prometheus' remote write 1.0 and 2.0.

use super::App;
use super::reply::{ApiError, status};
use super::samples::{self, Sender, Stored};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use ingest::admission::Encoding;
use ingest::decode::metric::{MetricContext, Version};
use std::time::Instant;

/// The route's names: Prometheus' own, and those that clients of other databases are set up with.
pub(crate) const PATHS: [&str; 3] = [
    "/api/v1/write",
    "/api/v1/prometheus/write",
    "/prometheus/api/v1/write",
];

pub(crate) async fn post(app: &App, request: hyper::Request<Incoming>) -> Response {
    let started = Instant::now();
    let version = version(request.headers());
    let written = async { take(app, request, version.clone()?, started).await };
    let written = match written.await {
        Ok(written) => written,
        Err(error) => return error.into_response(),
    };
    let mut response = match partial(&written) {
        Some(error) => error.into_response(),
        None => {
            app.metrics.writes.record(started.elapsed());
            status(StatusCode::NO_CONTENT)
        }
    };
    if version.is_ok_and(|v| v == Version::V2) {
        let counts = [
            ("x-prometheus-remote-write-samples-written", written.samples),
            (
                "x-prometheus-remote-write-histograms-written",
                written.histograms,
            ),
            (
                "x-prometheus-remote-write-exemplars-written",
                written.exemplars,
            ),
        ];
        for (name, count) in counts {
            response
                .headers_mut()
                .insert(name, HeaderValue::from(count));
        }
    }
    response
}

/// The message that the content type names. Without one it is the first version's, as Prometheus itself has it.
fn version(headers: &HeaderMap) -> Result<Version, ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map_or("", |v| v.to_str().unwrap_or("?"));
    let mut parts = kind.split(';').map(str::trim);
    let media = parts.next().unwrap_or("").to_ascii_lowercase();
    let proto = parts.find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.eq_ignore_ascii_case("proto")
            .then(|| value.trim_matches('"'))
    });
    match (media.as_str(), proto) {
        ("" | "application/x-protobuf", None | Some("prometheus.WriteRequest")) => Ok(Version::V1),
        ("application/x-protobuf", Some("io.prometheus.write.v2.Request")) => Ok(Version::V2),
        _ => Err(ApiError::new(
            415,
            "unsupported",
            format!("content type \"{kind}\" is not known"),
        )
        .hint(
            "use application/x-protobuf, for version 2 with proto=io.prometheus.write.v2.Request",
        )),
    }
}

async fn take(
    app: &App,
    request: hyper::Request<Incoming>,
    version: Version,
    arrived: Instant,
) -> Result<Stored, ApiError> {
    let (head, incoming) = request.into_parts();
    let sender = Sender {
        source: "remote_write",
        encoding: match head.headers.get(header::CONTENT_ENCODING) {
            None => Encoding::Snappy,
            Some(value) => Encoding::from_header(Some(value.to_str().unwrap_or("?")))?,
        },
        arrived,
    };
    let decode =
        |body: &[u8], ctx: &MetricContext<'_>| app.samples.remote_write(body, version, ctx);
    samples::take(app, &head, incoming, sender, decode).await
}

/// Why not all is kept, if so. A sender does not send what was answered 400 again.
fn partial(stored: &Stored) -> Option<ApiError> {
    (stored.rejected > 0).then(|| {
        let message = format!(
            "partial write: {} samples, histograms and exemplars are refused: {}",
            stored.rejected,
            stored.errors.join("; ")
        );
        ApiError::new(400, "partial_write", message)
            .hint("the others are kept; the stream dead_letters has those that are refused")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_names_the_message() {
        let of = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            version(&headers).map_err(|e| e.status)
        };
        assert_eq!(version(&HeaderMap::new()).ok(), Some(Version::V1));
        for kind in [
            "application/x-protobuf",
            "Application/X-Protobuf;proto=prometheus.WriteRequest",
        ] {
            assert_eq!(of(kind), Ok(Version::V1), "{kind}");
        }
        for kind in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf; charset=x; Proto=\"io.prometheus.write.v2.Request\"",
        ] {
            assert_eq!(of(kind), Ok(Version::V2), "{kind}");
        }
        for kind in [
            "application/json",
            "application/x-protobuf;proto=io.prometheus.write.v3.Request",
            "text/plain",
        ] {
            assert_eq!(of(kind), Err(415), "{kind}");
        }
    }
}
