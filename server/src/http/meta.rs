//! What there is: streams and their columns.

use super::App;
use super::params::{Params, name_behind};
use super::reply::{ApiError, json_of};
use crate::metrics::{Page, label};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use query::types::type_name;
use query::{Clauses, Views};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tsdb::{Late, Stream};

#[derive(Serialize)]
struct StreamInfo {
    database: String,
    name: String,
    rows: u64,
    series: u32,
    event_time: String,
    columns: Vec<ColumnInfo>,
    options: Options,
    #[serde(flatten)]
    incoming: Incoming,
    /// Least and greatest event time, nanoseconds since the epoch.
    min_time_ns: Option<i64>,
    max_time_ns: Option<i64>,
}

/// What is done with its rows as they come in, in words of SQL.
#[derive(Serialize, Default)]
struct Incoming {
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    derived: Option<String>,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<String>,
}

impl From<Clauses> for Incoming {
    fn from(clauses: Clauses) -> Incoming {
        let Clauses {
            derived,
            filter,
            sample,
            priority,
        } = clauses;
        Incoming {
            derived,
            filter,
            sample,
            priority,
        }
    }
}

#[derive(Serialize)]
struct ColumnInfo {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    role: &'static str,
}

#[derive(Serialize)]
struct Options {
    disorder_ms: i64,
    lateness_ms: i64,
    late: &'static str,
    retention_ms: Option<i64>,
    partition_ms: i64,
    merge: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extra: Vec<(String, String)>,
}

const MS: i64 = 1_000_000;

/// By database and name.
type AllClauses = BTreeMap<(String, String), Clauses>;

fn describe(stream: &Stream, snapshot: &tsdb::Snapshot, clauses: &mut AllClauses) -> StreamInfo {
    let clauses = clauses.remove(&(stream.db.clone(), stream.name.clone()));
    let schema = stream.schema();
    let bounds = snapshot.time_bounds(stream.id);
    let o = &stream.options;
    let columns = schema.columns.iter().map(|c| ColumnInfo {
        name: c.name.clone(),
        data_type: c.data_type.to_string(),
        role: match c.role {
            tsdb::Role::Time => "time",
            tsdb::Role::Tag => "tag",
            tsdb::Role::Field => "field",
        },
    });
    StreamInfo {
        database: stream.db.clone(),
        name: stream.name.clone(),
        rows: snapshot.row_count(stream.id),
        series: stream.series().len(),
        event_time: schema.time().name.clone(),
        columns: columns.collect(),
        options: Options {
            disorder_ms: o.disorder_ns / MS,
            lateness_ms: o.lateness_ns / MS,
            late: if o.late == Late::DeadLetter {
                "dead_letter"
            } else {
                "repair"
            },
            retention_ms: o.retention_ns.map(|ns| ns / MS),
            partition_ms: o.partition_ns / MS,
            merge: o.merge,
            extra: o.extra.iter().map(shown).collect(),
        },
        incoming: clauses.map(Incoming::from).unwrap_or_default(),
        min_time_ns: bounds.map(|b| b.0),
        max_time_ns: bounds.map(|b| b.1),
    }
}

/// An option as it may be shown: no word that lets anybody in somewhere else.
fn shown((name, value): &(String, String)) -> (String, String) {
    const SECRET: [&str; 5] = ["password", "secret", "token", "key.pem", "jaas"];
    let lower = name.to_ascii_lowercase();
    if SECRET.iter().any(|word| lower.contains(word)) {
        return (name.clone(), HIDDEN.into());
    }
    // `scheme://user:password@host`
    let hidden = value.split_once("://").and_then(|(scheme, rest)| {
        let (login, host) = rest.rsplit_once('@')?;
        let user = login.split(':').next().unwrap_or_default();
        Some(format!("{scheme}://{user}:{HIDDEN}@{host}"))
    });
    (name.clone(), hidden.unwrap_or_else(|| value.clone()))
}

/// In place of what is not shown.
const HIDDEN: &str = "***";

#[derive(Serialize)]
struct Streams {
    streams: Vec<StreamInfo>,
    lsn: u64,
}

/// `GET /api/v1/streams`, of all databases or of `?db=`.
pub(crate) async fn streams(State(app): State<Arc<App>>, request: Request) -> Response {
    let db = Params::of(request.uri()).get("db");
    let snapshot = app.engine.snapshot();
    let all = app.engine.catalog().streams();
    let wanted = all
        .iter()
        .filter(|s| db.as_ref().is_none_or(|db| s.db == **db));
    let mut clauses = app.query.clauses(None);
    json_of(&Streams {
        streams: wanted
            .map(|s| describe(s, &snapshot, &mut clauses))
            .collect(),
        lsn: snapshot.lsn().0,
    })
}

/// `GET /api/v1/streams/{name}`.
pub(crate) async fn stream(State(app): State<Arc<App>>, request: Request) -> Response {
    let db = Params::of(request.uri())
        .get("db")
        .unwrap_or(tsdb::DEFAULT_DATABASE.into());
    let Some(name) = name_behind(request.uri(), "/api/v1/streams/") else {
        return ApiError::new(404, "not_found", "the path is /api/v1/streams/{name}")
            .into_response();
    };
    match app.engine.catalog().lookup(&db, &name) {
        Ok(Some(stream)) => {
            let mut clauses = app.query.clauses(Some(&stream));
            json_of(&describe(&stream, &app.engine.snapshot(), &mut clauses))
        }
        Ok(None) => {
            ApiError::new(404, "not_found", format!("stream \"{name}\" not found")).into_response()
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

#[derive(Serialize)]
struct ViewEntry {
    database: String,
    name: String,
    sql: String,
    state: String,
    lsn: u64,
    rows: u64,
    watermark_ns: Option<i64>,
    columns: Vec<ViewColumn>,
}

#[derive(Serialize)]
struct ViewColumn {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

/// `GET /api/v1/views`, of all databases or of `?db=`.
pub(crate) async fn views(State(app): State<Arc<App>>, request: Request) -> Response {
    let db = Params::of(request.uri()).get("db");
    let lsn = app.engine.published().0;
    let mut all = app.views.list();
    all.retain(|v| db.as_ref().is_none_or(|db| v.db == **db));
    let entries = all.into_iter().map(|v| ViewEntry {
        columns: v
            .query
            .iter()
            .flat_map(|q| q.output().fields())
            .map(|f| ViewColumn {
                name: f.name().clone(),
                data_type: type_name(f.data_type()),
            })
            .collect(),
        database: v.db,
        name: v.name,
        sql: v.sql,
        state: v.state,
        lsn: v.lsn,
        rows: v.rows,
        watermark_ns: v.watermark,
    });
    json_of(&serde_json::json!({"views": entries.collect::<Vec<_>>(), "lsn": lsn}))
}

/// What the catalog adds to `/metrics`.
pub(crate) fn metrics(app: &App, page: &mut Page) {
    page.one(
        "tidemill_body_bytes",
        "gauge",
        "Bytes of large request bodies in memory now.",
        app.body_limits.budget.used(),
    );
    page.one(
        "tidemill_live_queries",
        "gauge",
        "Different queries with EMIT that clients keep going now.",
        app.live_queries.len(),
    );
    let stats = app.engine.storage();
    page.one("tidemill_segments", "gauge", "Segments.", stats.segments);
    page.one(
        "tidemill_segment_bytes",
        "gauge",
        "Bytes of segments.",
        stats.segment_bytes,
    );
    page.one(
        "tidemill_index_bytes",
        "gauge",
        "Bytes of manifest and catalog files.",
        stats.index_bytes,
    );
    let catalog = app.engine.catalog();
    let snapshot = app.engine.snapshot();
    let now = app.engine.clock().wall_ns();
    let streams: Vec<_> = stats
        .streams
        .iter()
        .filter_map(|s| catalog.stream_by_id(s.stream).map(|n| (n, s)))
        .collect();
    let labels = |s: &Stream| {
        format!(
            "database=\"{}\",stream=\"{}\"",
            label(&s.db),
            label(&s.name)
        )
    };
    page.many(
        "tidemill_stream_rows",
        "gauge",
        "Rows of a stream.",
        streams.iter().map(|(n, s)| (labels(n), s.rows)),
    );
    page.many(
        "tidemill_stream_segment_bytes",
        "gauge",
        "Bytes of a stream's chunks.",
        streams.iter().map(|(n, s)| (labels(n), s.bytes)),
    );
    page.many(
        "tidemill_stream_series",
        "gauge",
        "Series of a stream.",
        streams.iter().map(|(n, _)| (labels(n), n.series().len())),
    );
    page.many(
        "tidemill_stream_freshness_seconds",
        "gauge",
        "Wall time less a stream's newest event time.",
        streams.iter().filter_map(|(n, s)| {
            let (_, newest) = snapshot.time_bounds(s.stream)?;
            Some((labels(n), now.saturating_sub(newest) as f64 / 1e9))
        }),
    );
    page.many(
        "tidemill_view_running",
        "gauge",
        "1 while a view runs, 0 when it has stopped or its definition can't be run.",
        app.views.list().iter().map(|v| {
            let name = format!("view=\"{}\"", label(&format!("{}.{}", v.db, v.name)));
            let runs = v.state == "running" || v.state == "lagging";
            (name, u8::from(runs))
        }),
    );
    let views = app.views.metrics();
    let labels = |name: &str| format!("view=\"{}\"", label(name));
    page.many(
        "tidemill_view_lag_seconds",
        "gauge",
        "From a row's commit to its being in the view.",
        views
            .iter()
            .map(|v| (labels(&v.name), v.lag_ns as f64 / 1e9)),
    );
    page.many(
        "tidemill_view_rows_total",
        "counter",
        "Rows that a view took in.",
        views.iter().map(|v| (labels(&v.name), v.rows)),
    );
    page.many(
        "tidemill_view_groups",
        "gauge",
        "Groups that a view holds.",
        views.iter().map(|v| (labels(&v.name), v.groups)),
    );
    page.many(
        "tidemill_view_state_bytes",
        "gauge",
        "Bytes of a view's saved state.",
        views.iter().map(|v| (labels(&v.name), v.bytes)),
    );
    super::sources::metrics(app, page);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let of = |name: &str, value: &str| shown(&(name.to_owned(), value.to_owned())).1;
        assert_eq!(of("kafka.sasl.password", "let me in"), "***");
        assert_eq!(of("nats.token", "x"), "***");
        assert_eq!(of("kafka.ssl.key.pem", "x"), "***");
        assert_eq!(
            of("mqtt_url", "mqtt://me:p@ss@host:1883"),
            "mqtt://me:***@host:1883"
        );
        for (name, value) in [
            ("mqtt_url", "mqtt://host"),
            ("kafka_topic", "a@b"),
            ("key", "id"),
        ] {
            assert_eq!(of(name, value), value);
        }
    }
}
