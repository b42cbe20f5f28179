//! Segments: the files, and what each column costs.

use super::Contents;
use super::out::{Out, grouped, number, problem_json, text, time};
use crate::sql::cell::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tsdb::inspect::{ChunkColumn, ChunkReport, Problem, SegmentReport};
use tsdb::{StreamId, ZoneValue};

/// What the chunks of one column add up to.
#[derive(Default)]
struct Column {
    chunks: u64,
    values: u64,
    nulls: u64,
    bytes: u64,
    encodings: BTreeMap<String, u64>,
}

type Columns = BTreeMap<(StreamId, ChunkColumn), Column>;

impl Column {
    fn add(&mut self, rows: u32, chunk: &ChunkReport) {
        self.chunks += 1;
        self.values += u64::from(rows - chunk.nulls.min(rows));
        self.nulls += u64::from(chunk.nulls);
        self.bytes += u64::from(chunk.bytes);
        *self.encodings.entry(encoding(chunk)).or_default() += 1;
    }

    fn per_value(&self) -> f64 {
        self.bytes as f64 / self.values.max(1) as f64
    }

    fn encodings(&self) -> String {
        let mut list: Vec<(&String, &u64)> = self.encodings.iter().collect();
        list.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let list: Vec<String> = list.iter().map(|(name, n)| format!("{name} {n}")).collect();
        list.join(", ")
    }
}

fn encoding(chunk: &ChunkReport) -> String {
    chunk.encoding.map_or("?".into(), |e| format!("{e:?}"))
}

fn add_up(columns: &mut Columns, segment: &SegmentReport) {
    for group in &segment.groups {
        for chunk in &group.chunks {
            let column = columns.entry((group.stream, chunk.column)).or_default();
            column.add(group.rows, chunk);
        }
    }
}

/// Each live segment with its file's name.
fn read(contents: &Contents) -> Vec<(u64, &str, Result<SegmentReport, Problem>)> {
    let segments = contents.manifest.state.segments.values();
    segments
        .map(|s| (s.id.0, s.name.as_str(), contents.dir.segment(s.id, &s.name)))
        .collect()
}

/// The name and type of a chunk's column.
fn named(contents: &Contents, stream: StreamId, column: ChunkColumn) -> (String, String) {
    match column {
        ChunkColumn::Time => ("(event time)".into(), "TIMESTAMP".into()),
        ChunkColumn::Series => ("(series)".into(), String::new()),
        ChunkColumn::Field(id) => {
            let stream = contents.catalog.catalog.stream_by_id(stream);
            let schema = stream.map(|s| s.schema());
            let found = schema.and_then(|s| s.columns.get(usize::from(id.0)).cloned());
            found.map_or_else(
                || (format!("#{id}"), String::new()),
                |c| (c.name, c.data_type.to_string()),
            )
        }
    }
}

pub(super) fn show(contents: &Contents, zones: bool, out: &mut Out) {
    out.heading("Segments");
    let segments = read(contents);
    let (mut rows, mut columns, mut damage) = (Vec::new(), Columns::new(), Vec::new());
    for (id, name, report) in &segments {
        match report {
            Ok(report) => {
                let first = report.groups.iter().map(|g| g.time.0).min();
                let last = report.groups.iter().map(|g| g.time.1).max();
                let mut streams: Vec<StreamId> = report.groups.iter().map(|g| g.stream).collect();
                streams.dedup();
                rows.push(vec![
                    number(id),
                    text(name),
                    grouped(report.bytes),
                    grouped(report.index_bytes),
                    number(streams.len()),
                    grouped(report.groups.len() as u64),
                    grouped(report.groups.iter().map(|g| u64::from(g.rows)).sum()),
                    first.map(time),
                    last.map(time),
                ]);
                add_up(&mut columns, report);
            }
            Err(problem) => damage.push(problem.clone()),
        }
    }
    let head = [
        ("id", Kind::Number),
        ("file", Kind::Text),
        ("bytes", Kind::Number),
        ("of them index", Kind::Number),
        ("streams", Kind::Number),
        ("row groups", Kind::Number),
        ("rows", Kind::Number),
        ("first", Kind::Time),
        ("last", Kind::Time),
    ];
    out.table(&head, rows);
    out.problems(&damage, &[]);
    if !columns.is_empty() {
        show_columns(contents, &columns, out);
    }
    if zones {
        show_zones(contents, &segments, out);
    }
}

fn show_columns(contents: &Contents, columns: &Columns, out: &mut Out) {
    out.heading("Columns in segments");
    let head = [
        ("stream", Kind::Text),
        ("column", Kind::Text),
        ("type", Kind::Text),
        ("chunks", Kind::Number),
        ("values", Kind::Number),
        ("nulls", Kind::Number),
        ("bytes", Kind::Number),
        ("bytes/value", Kind::Number),
        ("encodings", Kind::Text),
    ];
    let rows = columns.iter().map(|((stream, column), c)| {
        let (name, data_type) = named(contents, *stream, *column);
        vec![
            text(contents.stream_name(*stream)),
            text(name),
            text(data_type),
            grouped(c.chunks),
            grouped(c.values),
            grouped(c.nulls),
            grouped(c.bytes),
            number(format!("{:.3}", c.per_value())),
            text(c.encodings()),
        ]
    });
    out.table(&head, rows.collect());
}

fn zone(value: ZoneValue) -> String {
    match value {
        ZoneValue::Int(v) => v.to_string(),
        ZoneValue::Float(v) => v.to_string(),
    }
}

fn show_zones(
    contents: &Contents,
    segments: &[(u64, &str, Result<SegmentReport, Problem>)],
    out: &mut Out,
) {
    out.heading("Zone maps");
    let head = [
        ("segment", Kind::Number),
        ("group", Kind::Number),
        ("stream", Kind::Text),
        ("column", Kind::Text),
        ("rows", Kind::Number),
        ("nulls", Kind::Number),
        ("least", Kind::Number),
        ("greatest", Kind::Number),
        ("sum", Kind::Number),
        ("encoding", Kind::Text),
        ("at", Kind::Number),
        ("bytes", Kind::Number),
    ];
    let mut rows = Vec::new();
    for (id, _, report) in segments {
        let groups = report.iter().flat_map(|r| &r.groups);
        for (number_of, group) in groups.enumerate() {
            for chunk in &group.chunks {
                rows.push(vec![
                    number(id),
                    number(number_of),
                    text(contents.stream_name(group.stream)),
                    text(named(contents, group.stream, chunk.column).0),
                    number(group.rows),
                    number(chunk.nulls),
                    chunk.range.map(|r| zone(r.0)),
                    chunk.range.map(|r| zone(r.1)),
                    chunk.sum.map(|s| s.to_string()),
                    text(encoding(chunk)),
                    number(chunk.offset),
                    number(chunk.bytes),
                ]);
            }
        }
    }
    out.table(&head, rows);
}

pub(super) fn json(contents: &Contents, zones: bool) -> Value {
    let segments = read(contents);
    let all = segments.iter().map(|(id, name, report)| match report {
        Ok(report) => segment_json(contents, *id, name, report, zones),
        Err(problem) => json!({"id": id, "file": name, "damage": problem_json(problem)}),
    });
    all.collect()
}

fn segment_json(
    contents: &Contents,
    id: u64,
    name: &str,
    report: &SegmentReport,
    zones: bool,
) -> Value {
    let mut columns = Columns::new();
    add_up(&mut columns, report);
    let columns = columns.iter().map(|((stream, column), c)| {
        let (name, data_type) = named(contents, *stream, *column);
        json!({
            "stream": contents.stream_name(*stream), "column": name, "type": data_type,
            "chunks": c.chunks, "values": c.values, "nulls": c.nulls, "bytes": c.bytes,
            "bytes_per_value": c.per_value(), "encodings": c.encodings,
        })
    });
    let mut object = json!({
        "id": id, "file": name, "bytes": report.bytes, "index_bytes": report.index_bytes,
        "row_groups": report.groups.len(),
        "rows": report.groups.iter().map(|g| u64::from(g.rows)).sum::<u64>(),
        "min_time": report.groups.iter().map(|g| g.time.0).min(),
        "max_time": report.groups.iter().map(|g| g.time.1).max(),
        "columns": columns.collect::<Value>(),
    });
    if zones {
        object["groups"] = report
            .groups
            .iter()
            .map(|group| {
                let chunks = group.chunks.iter().map(|chunk| {
                    json!({
                        "column": named(contents, group.stream, chunk.column).0,
                        "offset": chunk.offset, "bytes": chunk.bytes, "nulls": chunk.nulls,
                        "encoding": encoding(chunk), "min": chunk.range.map(|r| zone_json(r.0)),
                        "max": chunk.range.map(|r| zone_json(r.1)),
                        // A sum may be wider than what JSON readers hold.
                        "sum": chunk.sum.map(|s| s.to_string()),
                    })
                });
                json!({
                    "stream": contents.stream_name(group.stream), "rows": group.rows,
                    "min_time": group.time.0, "max_time": group.time.1,
                    "min_series": group.series.0, "max_series": group.series.1,
                    "chunks": chunks.collect::<Value>(),
                })
            })
            .collect();
    }
    object
}

/// Infinities, which JSON has not, become null.
fn zone_json(value: ZoneValue) -> Value {
    match value {
        ZoneValue::Int(v) => v.into(),
        ZoneValue::Float(v) => v.into(),
    }
}
