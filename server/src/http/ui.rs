//! The page, embedded in the binary.

use super::params;
use super::reply::ApiError;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "ui/"]
struct Files;

/// Scripts, styles and connections of our own only; nobody frames the page.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page; `/` is its index.
pub(crate) async fn file(request: Request) -> Response {
    let path = params::path(request.uri().path());
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let Some(found) = reads.then(|| Files::get(name)).flatten() else {
        return ApiError::new(404, "not_found", format!("nothing is at {path}"))
            .hint("the API is described at /api/docs")
            .into_response();
    };
    let etag = etag(&found.metadata.sha256_hash());
    if request
        .headers()
        .get(header::IF_NONE_MATCH)
        .is_some_and(|v| v.as_bytes() == etag.as_bytes())
    {
        return dressed(StatusCode::NOT_MODIFIED, &etag, name, Vec::new().into());
    }
    dressed(StatusCode::OK, &etag, name, found.data.into_owned().into())
}

fn etag(hash: &[u8; 32]) -> String {
    let hex: String = hash[..12].iter().map(|b| format!("{b:02x}")).collect();
    format!("\"{hex}\"")
}

fn dressed(status: StatusCode, etag: &str, name: &str, body: axum::body::Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(name)),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Ok(value) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, value);
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ext)| ext) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}
