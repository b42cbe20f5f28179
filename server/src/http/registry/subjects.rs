//! Subjects and their versions.

use super::{Answer, SchemaBody, Subject, blocking, body, found, listed, page, prefix, text};
use crate::http::App;
use crate::http::params::Params;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::Uri;
use ingest::schemas::builtin::VersionChoice;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /subjects`.
pub(super) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let params = Params::of(&uri);
    let all = app.registry.subjects(&prefix(params), listed(params));
    Answer(Ok(json!(page(all, params))))
}

/// `GET /subjects/{subject}/versions`.
pub(super) async fn versions(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    uri: Uri,
) -> Answer {
    let params = Params::of(&uri);
    let all = app.registry.versions(&subject, listed(params));
    Answer(all.map(|all| json!(page(all, params))))
}

/// `GET /subjects/{subject}/versions/{version}`.
pub(super) async fn version(
    State(app): State<Arc<App>>,
    Path((Subject(subject), version)): Path<(Subject, String)>,
    uri: Uri,
) -> Answer {
    let params = Params::of(&uri);
    let deleted = params.flag("deleted");
    let format = params.get("format").unwrap_or_default().into_owned();
    let get = move || {
        let choice = VersionChoice::parse(&version)?;
        let one = app.registry.version(&subject, choice, deleted)?;
        let text = app.registry.text_as(&one.schema, &format)?;
        Ok(found(&one, text))
    };
    Answer(blocking(get).await)
}

/// `GET /subjects/{subject}/versions/{version}/schema`.
pub(super) async fn raw(
    State(app): State<Arc<App>>,
    Path((Subject(subject), version)): Path<(Subject, String)>,
    uri: Uri,
) -> Response {
    let deleted = Params::of(&uri).flag("deleted");
    let one = VersionChoice::parse(&version)
        .and_then(|choice| app.registry.version(&subject, choice, deleted));
    match one {
        Ok(one) => text(one.schema.text.clone()),
        Err(e) => Answer(Err(e)).into_response(),
    }
}

/// `GET /subjects/{subject}/versions/{version}/referencedby`.
pub(super) async fn referenced_by(
    State(app): State<Arc<App>>,
    Path((Subject(subject), version)): Path<(Subject, String)>,
) -> Answer {
    let ids = VersionChoice::parse(&version)
        .and_then(|choice| app.registry.referenced_by(&subject, choice));
    Answer(ids.map(|ids| json!(ids)))
}

/// `POST /subjects/{subject}/versions`.
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    request: Request,
) -> Answer {
    let normalize = Params::of(request.uri()).flag("normalize");
    let reply = async {
        let new = body::<SchemaBody>(&app, request).await?.checked()?;
        let registry = app.registry.clone();
        let done = blocking(move || registry.register(&subject, &new, normalize)).await?;
        let mut reply = super::described(&done.schema, done.schema.text.clone());
        reply.insert("id".into(), done.schema.id.into());
        reply.insert("version".into(), done.version.into());
        Ok(Value::from(reply))
    };
    Answer(reply.await)
}

/// `POST /subjects/{subject}`: looks a schema up.
pub(super) async fn lookup(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    request: Request,
) -> Answer {
    let params = Params::of(request.uri());
    let (normalize, deleted) = (params.flag("normalize"), params.flag("deleted"));
    let format = params.get("format").unwrap_or_default().into_owned();
    let reply = async {
        let new = body::<SchemaBody>(&app, request).await?.checked()?;
        let registry = app.registry.clone();
        let get = move || {
            let one = registry.lookup(&subject, &new, normalize, deleted)?;
            let text = registry.text_as(&one.schema, &format)?;
            Ok(found(&one, text))
        };
        blocking(get).await
    };
    Answer(reply.await)
}

/// `DELETE /subjects/{subject}`.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    uri: Uri,
) -> Answer {
    let permanent = Params::of(&uri).flag("permanent");
    let gone = blocking(move || app.registry.delete_subject(&subject, permanent)).await;
    Answer(gone.map(|versions| json!(versions)))
}

/// `DELETE /subjects/{subject}/versions/{version}`.
pub(super) async fn delete_version(
    State(app): State<Arc<App>>,
    Path((Subject(subject), version)): Path<(Subject, String)>,
    uri: Uri,
) -> Answer {
    let permanent = Params::of(&uri).flag("permanent");
    let delete = move || {
        let choice = VersionChoice::parse(&version)?;
        app.registry.delete_version(&subject, choice, permanent)
    };
    Answer(blocking(delete).await.map(|version| json!(version)))
}

/// `POST /compatibility/subjects/{subject}/versions`.
pub(super) async fn check_all(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    request: Request,
) -> Answer {
    check(&app, subject, None, request).await
}

/// `POST /compatibility/subjects/{subject}/versions/{version}`.
pub(super) async fn check_one(
    State(app): State<Arc<App>>,
    Path((Subject(subject), version)): Path<(Subject, String)>,
    request: Request,
) -> Answer {
    check(&app, subject, Some(version), request).await
}

async fn check(app: &App, subject: String, version: Option<String>, request: Request) -> Answer {
    let verbose = Params::of(request.uri()).flag("verbose");
    let reply = async {
        let choice = version.as_deref().map(VersionChoice::parse).transpose()?;
        let new = body::<SchemaBody>(app, request).await?.checked()?;
        let registry = app.registry.clone();
        let problems = blocking(move || registry.check(&subject, choice, &new)).await?;
        let mut reply = json!({"is_compatible": problems.is_empty()});
        if verbose {
            reply["messages"] = json!(problems);
        }
        Ok(reply)
    };
    Answer(reply.await)
}
