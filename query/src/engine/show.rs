//! `SHOW` and `DESCRIBE`.

use super::incoming::Clauses;
use super::sources::{EngineSources, Named};
use super::{Output, QueryEngine, RowStream, Session};
use crate::error::QueryError;
use crate::table::{is_table, shown};
use crate::types::type_name;
use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use query_lang::ast::{ObjectName, ShowKind};
use std::sync::Arc;
use tsdb::types::Role;

impl QueryEngine {
    pub(super) fn show(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        kind: &ShowKind,
        like: Option<&str>,
    ) -> Result<Output, QueryError> {
        let snapshot = self.engine().snapshot();
        let lsn = snapshot.lsn().0;
        let named = |name: &str| like.is_none_or(|pattern| matches_like(name, pattern));
        let streams = || {
            self.engine()
                .catalog()
                .streams()
                .into_iter()
                .filter(|s| s.db == session.db)
        };
        let views = || {
            let all = self.views().map_or_else(Vec::new, |v| v.list());
            all.into_iter().filter(|v| v.db == session.db)
        };
        match kind {
            ShowKind::Streams => {
                let all: Vec<_> = streams()
                    .filter(|s| named(&s.name) && !is_table(s))
                    .collect();
                table(
                    vec![
                        ("name", text(all.iter().map(|s| s.name.clone()))),
                        (
                            "columns",
                            int(all.iter().map(|s| s.schema().columns.len() as i64)),
                        ),
                        (
                            "series",
                            int(all.iter().map(|s| i64::from(s.series().len()))),
                        ),
                        (
                            "rows",
                            int(all.iter().map(|s| snapshot.row_count(s.id) as i64)),
                        ),
                    ],
                    lsn,
                )
            }
            ShowKind::Views => {
                let all: Vec<_> = views().filter(|v| named(&v.name)).collect();
                let watermark: TimestampNanosecondArray = all.iter().map(|v| v.watermark).collect();
                table(
                    vec![
                        ("name", text(all.iter().map(|v| v.name.clone()))),
                        ("state", text(all.iter().map(|v| v.state.clone()))),
                        ("lsn", int(all.iter().map(|v| v.lsn as i64))),
                        ("rows", int(all.iter().map(|v| v.rows as i64))),
                        ("watermark", Arc::new(watermark)),
                        ("pending", text(all.iter().map(|v| ranges(&v.pending)))),
                        ("query", text(all.iter().map(|v| v.sql.clone()))),
                    ],
                    lsn,
                )
            }
            ShowKind::Databases => {
                let mut all = self.engine().catalog().databases();
                all.retain(|d| named(d));
                all.sort();
                table(vec![("name", text(all.into_iter()))], lsn)
            }
            ShowKind::Tables => {
                let kind = |s: &tsdb::Stream| if is_table(s) { "table" } else { "stream" };
                let mut all: Vec<(String, &str)> =
                    streams().map(|s| (s.name.clone(), kind(&s))).collect();
                all.extend(views().map(|v| (v.name, "view")));
                all.retain(|(n, _)| named(n));
                all.sort();
                table(
                    vec![
                        ("name", text(all.iter().map(|(n, _)| n.clone()))),
                        ("kind", text(all.iter().map(|(_, k)| (*k).to_owned()))),
                    ],
                    lsn,
                )
            }
            ShowKind::Columns { of } => self.describe(session, sql, of),
            ShowKind::Functions => {
                let all: Vec<&str> = self.functions.names().filter(|n| named(n)).collect();
                table(
                    vec![
                        ("name", text(all.iter().map(|n| (*n).to_owned()))),
                        (
                            "kind",
                            text(all.iter().map(|n| self.functions.kind(n).to_owned())),
                        ),
                    ],
                    lsn,
                )
            }
            ShowKind::Queries => {
                let all: Vec<_> = views().filter(|v| named(&v.name)).collect();
                table(
                    vec![
                        ("view", text(all.iter().map(|v| v.name.clone()))),
                        ("query", text(all.iter().map(|v| v.sql.clone()))),
                    ],
                    lsn,
                )
            }
            ShowKind::Sinks => {
                let mut all = self.sinks().map_or_else(Vec::new, |s| s.list());
                all.retain(|s| s.db == session.db && named(&s.name));
                let error: StringArray = all.iter().map(|s| s.error.clone()).collect();
                table(
                    vec![
                        ("name", text(all.iter().map(|s| s.name.clone()))),
                        ("from", text(all.iter().map(|s| s.from.clone()))),
                        ("topic", text(all.iter().map(|s| s.topic.clone()))),
                        ("state", text(all.iter().map(|s| s.state.to_owned()))),
                        ("lsn", int(all.iter().map(|s| s.lsn as i64))),
                        ("lag", int(all.iter().map(|s| s.lag as i64))),
                        ("rows", int(all.iter().map(|s| s.rows as i64))),
                        ("error", Arc::new(error)),
                    ],
                    lsn,
                )
            }
            ShowKind::Sources => self.show_sources(session, &named, lsn),
        }
    }

    pub(super) fn describe(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        name: &ObjectName,
    ) -> Result<Output, QueryError> {
        let named = EngineSources::new(self, session)
            .named(name)
            .map_err(|e| e.locate(sql))?;
        let mut notices = Vec::new();
        let rows: Vec<(String, String, &str)> = match named {
            Named::Stream(stream) => {
                let key = (stream.db.clone(), stream.name.clone());
                let clauses = self.clauses(Some(&stream)).remove(&key);
                notices = clauses.map_or_else(Vec::new, Clauses::lines);
                stream
                    .schema()
                    .columns
                    .iter()
                    .map(|c| {
                        let role = match c.role {
                            Role::Time => "event time",
                            Role::Tag => "tag",
                            Role::Field => "field",
                        };
                        (c.name.clone(), c.data_type.to_string(), role)
                    })
                    .collect()
            }
            Named::Table(table) => shown(&table.stream)
                .iter()
                .map(|c| {
                    let role = if table.key.contains(&c.id) {
                        "key"
                    } else {
                        "field"
                    };
                    (c.name.clone(), c.data_type.to_string(), role)
                })
                .collect(),
            Named::View(view) => view
                .runnable()?
                .output()
                .fields()
                .iter()
                .map(|f| (f.name().clone(), type_name(f.data_type()), "field"))
                .collect(),
        };
        let columns = vec![
            ("name", text(rows.iter().map(|r| r.0.clone()))),
            ("type", text(rows.iter().map(|r| r.1.clone()))),
            ("role", text(rows.iter().map(|r| r.2.to_owned()))),
        ];
        let mut described = table(columns, self.engine().published().0)?;
        if let Output::Rows { notices: told, .. } = &mut described {
            *told = notices;
        }
        Ok(described)
    }
}

fn option<'a>(stream: &'a tsdb::Stream, name: &str) -> Option<&'a str> {
    let found = stream.options.extra.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.as_str())
}

/// What a stream is declared to be read from: its kind and its name.
pub(super) fn declared_source(stream: &tsdb::Stream) -> Option<(&'static str, &str)> {
    let options = [
        ("kafka", "kafka_topic"),
        ("kafka", "kafka_topic_pattern"),
        ("nats", "nats_subject"),
        ("nats", "nats_stream"),
        ("mqtt", "mqtt_topic"),
        ("file", "file_path"),
    ];
    let mut found = options.iter();
    found.find_map(|(kind, name)| Some((*kind, option(stream, name)?)))
}

/// Ranges of time as text.
pub(super) fn ranges(all: &[(i64, i64)]) -> String {
    let time = |ns: i64| chrono::DateTime::from_timestamp_nanos(ns).to_rfc3339();
    let shown = all
        .iter()
        .map(|(a, b)| format!("{} to {}", time(*a), time(*b)));
    shown.collect::<Vec<_>>().join(", ")
}

fn text(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn int(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub(super) fn table(columns: Vec<(&str, ArrayRef)>, lsn: u64) -> Result<Output, QueryError> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(n, c)| Field::new(*n, c.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let rows = columns.first().map_or(0, |(_, c)| c.len());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let columns = columns.into_iter().map(|(_, c)| c).collect();
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
        .map_err(|e| QueryError::Internal(e.to_string()))?;
    Ok(Output::Rows {
        schema,
        rows: RowStream::of(batch),
        lsn,
        lagging: false,
        notices: Vec::new(),
    })
}

/// Whether a name matches a `LIKE` pattern, whatever the case.
fn matches_like(name: &str, pattern: &str) -> bool {
    let one = |s: &str| StringArray::new_scalar(s);
    match arrow::compute::ilike(&one(name), &one(pattern)) {
        Ok(found) => found.value(0),
        Err(_) => false,
    }
}
