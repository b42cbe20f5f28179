//! Compatibility levels and modes.

use super::{Answer, Reply, Subject, blocking, body, error};
use crate::http::App;
use crate::http::params::Params;
use axum::extract::{Path, Request, State};
use http::Uri;
use ingest::schemas::builtin::{Mode, RegistryError};
use ingest::schemas::compat::Level;
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn level_reply(level: Level) -> Value {
    json!({"compatibilityLevel": level.to_string()})
}

fn mode_reply(mode: Mode) -> Value {
    json!({"mode": mode.name()})
}

/// `GET /config`.
pub(super) async fn level(State(app): State<Arc<App>>) -> Answer {
    Answer(Ok(level_reply(app.registry.level())))
}

/// `GET /config/{subject}`.
pub(super) async fn level_of(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    uri: Uri,
) -> Answer {
    let or_global = Params::of(&uri).flag("defaultToGlobal");
    Answer(app.registry.level_of(&subject, or_global).map(level_reply))
}

/// `PUT /config`.
pub(super) async fn set_level(State(app): State<Arc<App>>, request: Request) -> Answer {
    Answer(put_level(app, None, request).await)
}

/// `PUT /config/{subject}`.
pub(super) async fn set_level_of(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    request: Request,
) -> Answer {
    Answer(put_level(app, Some(subject), request).await)
}

async fn put_level(app: Arc<App>, subject: Option<String>, request: Request) -> Reply {
    let sent: Map<String, Value> = body(&app, request).await?;
    let invalid = |message: String| error(422, 42203, message);
    let known = ["compatibility", "compatibilityLevel"];
    let other = sent
        .iter()
        .find(|(k, v)| !v.is_null() && !known.contains(&k.as_str()));
    // Better refused than not heeded in silence.
    if let Some((key, _)) = other {
        return Err(invalid(format!("the setting {key} is not known here")));
    }
    let name = known.iter().find_map(|k| sent.get(*k)?.as_str());
    let level = name.and_then(Level::of).ok_or_else(|| {
        let names = Level::ALL.map(|l| l.to_string()).join(", ");
        invalid(format!(
            "Invalid compatibility level. Valid values are {names}"
        ))
    })?;
    let registry = app.registry.clone();
    blocking(move || registry.set_level(subject.as_deref(), Some(level))).await?;
    Ok(json!({"compatibility": level.to_string()}))
}

/// `DELETE /config`.
pub(super) async fn unset_level(State(app): State<Arc<App>>) -> Answer {
    let before = blocking(move || app.registry.set_level(None, None)).await;
    Answer(before.map(level_reply))
}

/// `DELETE /config/{subject}`.
pub(super) async fn unset_level_of(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
) -> Answer {
    let before = blocking(move || app.registry.set_level(Some(&subject), None)).await;
    Answer(before.map(level_reply))
}

/// `GET /mode`.
pub(super) async fn mode(State(app): State<Arc<App>>) -> Answer {
    Answer(Ok(mode_reply(app.registry.mode())))
}

/// `GET /mode/{subject}`.
pub(super) async fn mode_of(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    uri: Uri,
) -> Answer {
    let or_global = Params::of(&uri).flag("defaultToGlobal");
    Answer(app.registry.mode_of(&subject, or_global).map(mode_reply))
}

/// `PUT /mode`.
pub(super) async fn set_mode(State(app): State<Arc<App>>, request: Request) -> Answer {
    Answer(put_mode(app, None, request).await)
}

/// `PUT /mode/{subject}`.
pub(super) async fn set_mode_of(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
    request: Request,
) -> Answer {
    Answer(put_mode(app, Some(subject), request).await)
}

async fn put_mode(app: Arc<App>, subject: Option<String>, request: Request) -> Reply {
    let force = Params::of(request.uri())
        .get("force")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let sent: Map<String, Value> = body(&app, request).await?;
    let mode = sent.get("mode").and_then(Value::as_str).and_then(Mode::of);
    let mode = mode.ok_or_else(|| -> RegistryError {
        let message = "Invalid mode. Valid values are READWRITE, READONLY, IMPORT";
        error(422, 42204, message)
    })?;
    let registry = app.registry.clone();
    blocking(move || registry.set_mode(subject.as_deref(), Some(mode), force)).await?;
    Ok(mode_reply(mode))
}

/// `DELETE /mode`.
pub(super) async fn unset_mode(State(app): State<Arc<App>>) -> Answer {
    let before = blocking(move || app.registry.set_mode(None, None, false)).await;
    Answer(before.map(mode_reply))
}

/// `DELETE /mode/{subject}`.
pub(super) async fn unset_mode_of(
    State(app): State<Arc<App>>,
    Path(Subject(subject)): Path<Subject>,
) -> Answer {
    let before = blocking(move || app.registry.set_mode(Some(&subject), None, false)).await;
    Answer(before.map(mode_reply))
}
