//! Streams: what they are made of, and how much there is of each.

use super::Contents;
use super::out::{Out, grouped, number, text, time};
use crate::sql::cell::Kind;
use serde_json::{Value, json};
use tsdb::{ColumnDef, Role};

pub(super) fn show(contents: &Contents, out: &mut Out) {
    out.heading("Streams");
    let columns = [
        ("id", Kind::Number),
        ("stream", Kind::Text),
        ("columns", Kind::Number),
        ("series", Kind::Number),
        ("rows", Kind::Number),
        ("of them in the log alone", Kind::Number),
        ("bytes in segments", Kind::Number),
        ("first", Kind::Time),
        ("last", Kind::Time),
    ];
    let rows = contents.streams.iter().map(|s| {
        vec![
            number(s.stream.id),
            text(format!("{}.{}", s.stream.db, s.stream.name)),
            number(s.stream.schema().columns.len()),
            grouped(u64::from(s.stream.series().len())),
            grouped(s.stored_rows + s.wal.rows),
            grouped(s.wal.rows),
            grouped(s.stored_bytes),
            s.time.map(|t| time(t.0)),
            s.time.map(|t| time(t.1)),
        ]
    });
    out.table(&columns, rows.collect());
    if contents.streams.is_empty() {
        return;
    }
    out.heading("Columns");
    let columns = [
        ("stream", Kind::Text),
        ("id", Kind::Number),
        ("column", Kind::Text),
        ("type", Kind::Text),
        ("role", Kind::Text),
    ];
    let mut rows = Vec::new();
    for report in &contents.streams {
        for column in &report.stream.schema().columns {
            rows.push(vec![
                text(format!("{}.{}", report.stream.db, report.stream.name)),
                number(column.id),
                text(&column.name),
                text(column.data_type.to_string()),
                text(role(column)),
            ]);
        }
    }
    out.table(&columns, rows);
}

fn role(column: &ColumnDef) -> &'static str {
    match column.role {
        Role::Time => "event time",
        Role::Tag => "tag",
        Role::Field => "field",
    }
}

pub(super) fn json(contents: &Contents) -> Value {
    let streams = contents.streams.iter().map(|s| {
        let schema = s.stream.schema();
        let columns = schema.columns.iter().map(|c| {
            json!({
                "id": c.id.0, "name": c.name, "type": c.data_type.to_string(), "role": role(c),
            })
        });
        let options = &s.stream.options;
        json!({
            "id": s.stream.id.0, "database": s.stream.db, "name": s.stream.name,
            "columns": columns.collect::<Value>(), "series": s.stream.series().len(),
            "rows": s.stored_rows + s.wal.rows, "wal_rows": s.wal.rows, "wal_bytes": s.wal.bytes,
            "segments": s.segments, "segment_bytes": s.stored_bytes,
            "min_time": s.time.map(|t| t.0), "max_time": s.time.map(|t| t.1),
            "options": {
                "disorder_ns": options.disorder_ns, "lateness_ns": options.lateness_ns,
                "retention_ns": options.retention_ns, "partition_ns": options.partition_ns,
                "merge": options.merge,
            },
        })
    });
    streams.collect()
}
