//! Schemas by their ids.

use super::{Answer, blocking, described, error, found, id, listed, page, place, prefix, text};
use crate::http::App;
use crate::http::params::Params;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::Uri;
use ingest::schemas::builtin::{Listed, VersionChoice};
use ingest::schemas::wire::parse_guid;
use ingest::schemas::{SchemaId, SchemaKind};
use serde_json::{Value, json};
use std::sync::Arc;

/// Schemas of one reply, at most: as many as Confluent's gives.
const MAX_PAGE: usize = 1_000;
/// Bytes of the schemas of one reply, at most.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// `GET /schemas/types`.
pub(super) async fn types() -> Answer {
    let names = SchemaKind::ALL.map(|k| k.to_string());
    Answer(Ok(json!(names)))
}

/// `GET /schemas`.
pub(super) async fn all(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let params = Params::of(&uri);
    let (prefix, listed) = (prefix(params), listed(params));
    let latest = params.flag("latestOnly");
    let (offset, limit) = place(params);
    let get = move || {
        let versions = |subject: String| {
            // Deleted meanwhile: then it is not listed.
            let mut versions = app.registry.versions(&subject, listed).unwrap_or_default();
            if latest {
                versions.drain(..versions.len().saturating_sub(1));
            }
            versions.into_iter().map(move |v| (subject.clone(), v))
        };
        let one = |(subject, version): (String, u32)| {
            let choice = VersionChoice::Number(version);
            let deleted = listed != Listed::Live;
            let one = app.registry.version(&subject, choice, deleted).ok()?;
            let text = one.schema.text.clone();
            Some(found(&one, text))
        };
        let places = app.registry.subjects(&prefix, listed_subjects(listed));
        let places = places.into_iter().flat_map(versions).skip(offset);
        let (mut out, mut bytes) = (Vec::new(), 0);
        for reply in places.take(limit.min(MAX_PAGE)).filter_map(one) {
            bytes += reply["schema"].as_str().map_or(0, str::len);
            if bytes > MAX_PAGE_BYTES {
                // A page cut short would make a client that counts pages pass over the rest.
                let words = "these schemas are too large for one reply; ask for fewer with limit and offset";
                return Err(error(422, 422, words));
            }
            out.push(reply);
        }
        Ok(Value::from(out))
    };
    Answer(blocking(get).await)
}

/// Where the versions of a list are sought: a deleted one may stand beside others.
fn listed_subjects(versions: Listed) -> Listed {
    match versions {
        Listed::Deleted => Listed::All,
        other => other,
    }
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

type Uses = Result<Vec<(String, u32)>, ingest::schemas::builtin::RegistryError>;

fn uses(app: &App, number: &str, deleted: bool) -> Uses {
    match id(number)? {
        SchemaId::Id(id) => app.registry.uses(id, deleted),
        SchemaId::Guid(_) => Ok(Vec::new()),
    }
}
