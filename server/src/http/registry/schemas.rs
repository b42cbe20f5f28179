//! Schemas by their ids.

use super::{Answer, blocking, described, error, found, id, page, text};
use crate::http::App;
use crate::http::params::Params;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::Uri;
use ingest::schema_registry::builtin::VersionChoice;
use ingest::schema_registry::wire::parse_guid;
use ingest::schema_registry::{SchemaId, SchemaKind};
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /schemas/types`.
pub(super) async fn types() -> Answer {
    let names = SchemaKind::ALL.map(|k| k.to_string());
    Answer(Ok(json!(names)))
}

/// `GET /schemas`.
pub(super) async fn all(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let params = Params::of(&uri);
    let prefix = params.get("subjectPrefix").unwrap_or_default().into_owned();
    let (deleted, latest) = (params.flag("deleted"), params.flag("latestOnly"));
    let mut places = Vec::new();
    for subject in app.registry.subjects(&prefix, deleted) {
        // Deleted meanwhile: then it is not listed.
        let versions = app.registry.versions(&subject, deleted).unwrap_or_default();
        let first = if latest {
            versions.len().saturating_sub(1)
        } else {
            0
        };
        places.extend(versions[first..].iter().map(|v| (subject.clone(), *v)));
    }
    let places = page(places, params);
    let get = move || {
        let one = |(subject, version): (String, u32)| {
            let choice = VersionChoice::Number(version);
            let one = app.registry.version(&subject, choice, deleted).ok()?;
            let text = one.schema.text.clone();
            Some(found(&one, text))
        };
        Ok(Value::from_iter(places.into_iter().filter_map(one)))
    };
    Answer(blocking(get).await)
}

/// `GET /schemas/ids/{id}`.
pub(super) async fn by_id(
    State(app): State<Arc<App>>,
    Path(number): Path<String>,
    uri: Uri,
) -> Answer {
    match id(&number) {
        Ok(id) => one(app, id, &uri).await,
        Err(e) => Answer(Err(e)),
    }
}

/// `GET /schemas/guids/{guid}`.
pub(super) async fn by_guid(
    State(app): State<Arc<App>>,
    Path(guid): Path<String>,
    uri: Uri,
) -> Answer {
    match parse_guid(&guid) {
        Some(guid) => one(app, SchemaId::Guid(guid), &uri).await,
        None => Answer(Err(error(404, 40403, format!("Schema {guid} not found")))),
    }
}

async fn one(app: Arc<App>, id: SchemaId, uri: &Uri) -> Answer {
    let params = Params::of(uri);
    let format = params.get("format").unwrap_or_default().into_owned();
    let most = params.flag("fetchMaxId");
    let get = move || {
        let stored = app.registry.schema_of(&id)?;
        let text = app.registry.text_as(&stored, &format)?;
        let mut reply = described(&stored, text);
        if let SchemaId::Guid(_) = id {
            reply.insert("id".into(), stored.id.into());
        }
        if most {
            reply.insert("maxId".into(), app.registry.greatest_id().into());
        }
        Ok(Value::from(reply))
    };
    Answer(blocking(get).await)
}

/// `GET /schemas/ids/{id}/schema`.
pub(super) async fn raw(State(app): State<Arc<App>>, Path(number): Path<String>) -> Response {
    match id(&number).and_then(|id| app.registry.schema_of(&id)) {
        Ok(stored) => text(stored.text.clone()),
        Err(e) => Answer(Err(e)).into_response(),
    }
}

/// `GET /schemas/ids/{id}/subjects`.
pub(super) async fn subjects(
    State(app): State<Arc<App>>,
    Path(number): Path<String>,
    uri: Uri,
) -> Answer {
    let params = Params::of(&uri);
    let uses = uses(&app, &number, params.flag("deleted"));
    Answer(uses.map(|uses| {
        let mut names: Vec<String> = uses.into_iter().map(|u| u.0).collect();
        names.dedup();
        json!(page(names, params))
    }))
}

/// `GET /schemas/ids/{id}/versions`.
pub(super) async fn versions(
    State(app): State<Arc<App>>,
    Path(number): Path<String>,
    uri: Uri,
) -> Answer {
    let params = Params::of(&uri);
    let uses = uses(&app, &number, params.flag("deleted"));
    Answer(uses.map(|uses| {
        let one = |(subject, version)| json!({"subject": subject, "version": version});
        json!(
            page(uses, params)
                .into_iter()
                .map(one)
                .collect::<Vec<Value>>()
        )
    }))
}

type Uses = Result<Vec<(String, u32)>, ingest::schema_registry::builtin::RegistryError>;

fn uses(app: &App, number: &str, deleted: bool) -> Uses {
    match id(number)? {
        SchemaId::Id(id) => app.registry.uses(id, deleted),
        SchemaId::Guid(_) => Ok(Vec::new()),
    }
}
