//! The log: its files, and what recovery would make of them.

use super::Contents;
use super::out::{Out, grouped, number, problems_json, text, time};
use crate::sql::cell::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tsdb::inspect::wal::{WalFile, WalRecord, section_name};
use tsdb::wal::SectionKind;
use tsdb::wal::format::RecordKind;

fn section(kind: SectionKind) -> String {
    section_name(kind).map_or_else(|| format!("kind {}", kind.0), str::to_owned)
}

/// Sections of each kind: how many, and their bytes.
fn sections<'a>(records: impl Iterator<Item = &'a WalRecord>) -> BTreeMap<String, (u64, u64)> {
    let mut all: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for span in records.flat_map(|r| &r.sections) {
        let (count, bytes) = all.entry(section(span.kind)).or_default();
        (*count, *bytes) = (*count + 1, *bytes + span.len as u64);
    }
    all
}

fn sections_text<'a>(records: impl Iterator<Item = &'a WalRecord>) -> String {
    let list: Vec<String> = sections(records)
        .iter()
        .map(|(name, (count, _))| format!("{name} {count}"))
        .collect();
    list.join(", ")
}

/// What a file is there for.
fn state(contents: &Contents, file: &WalFile) -> &'static str {
    match file.lsns() {
        _ if file.is_ready() => "ready for use",
        Some((_, last)) if last <= contents.manifest.state.flushed => {
            "flushed, kept or to be reused"
        }
        _ => "in use",
    }
}

pub(super) fn show(contents: &Contents, records: bool, out: &mut Out) {
    out.heading("Log files");
    let head = [
        ("file", Kind::Text),
        ("bytes", Kind::Number),
        ("of them used", Kind::Number),
        ("records", Kind::Number),
        ("from lsn", Kind::Number),
        ("to lsn", Kind::Number),
        ("durable lsn", Kind::Number),
        ("run", Kind::Number),
        ("state", Kind::Text),
        ("sections", Kind::Text),
    ];
    let rows = contents.wal.iter().map(|file| {
        let lsns = file.lsns();
        vec![
            text(&file.name),
            grouped(file.bytes),
            grouped(file.records.last().map_or(0, |_| file.end())),
            grouped(file.records.len() as u64),
            lsns.map(|l| l.0.to_string()),
            lsns.map(|l| l.1.to_string()),
            (!file.records.is_empty()).then(|| file.durable_lsn().to_string()),
            file.header.map(|h| (h.epoch >> 32).to_string()),
            text(state(contents, file)),
            text(sections_text(file.records.iter())),
        ]
    });
    out.table(&head, rows.collect());
    let judged = &contents.judgement;
    let kept = judged.kept.map_or("no commit".into(), |(first, last)| {
        format!("commits {first} to {last}")
    });
    out.line(&format!(
        "{kept}; flushed up to {}, durable up to {} for certain",
        contents.manifest.state.flushed, judged.durable
    ));
    if judged.cut > 0 {
        out.line(&format!(
            "{} commits behind the torn end would be cut by a start",
            judged.cut
        ));
    }
    out.problems(&judged.damage, &judged.notes);
    if records {
        show_records(contents, out);
    }
}

fn kind(record: &WalRecord) -> &'static str {
    match record.header.kind {
        RecordKind::Commit => "commit",
        RecordKind::Mark => "mark",
    }
}

fn show_records(contents: &Contents, out: &mut Out) {
    out.heading("Log records");
    let head = [
        ("file", Kind::Text),
        ("at", Kind::Number),
        ("kind", Kind::Text),
        ("lsn", Kind::Number),
        ("durable lsn", Kind::Number),
        ("written", Kind::Time),
        ("bytes", Kind::Number),
        ("sections", Kind::Text),
    ];
    let records = contents
        .wal
        .iter()
        .flat_map(|f| f.records.iter().map(move |r| (f, r)));
    let rows = records.map(|(file, record)| {
        vec![
            text(&file.name),
            number(record.offset),
            text(kind(record)),
            number(record.header.lsn),
            number(record.header.durable_lsn),
            Some(time(record.header.wall_ns)),
            number(record.header.record_len()),
            text(sections_text(std::iter::once(record))),
        ]
    });
    out.table(&head, rows.collect());
}

pub(super) fn json(contents: &Contents, records: bool) -> Value {
    let judged = &contents.judgement;
    let files = contents.wal.iter().map(|file| {
        let mut object = json!({
            "file": file.name, "bytes": file.bytes, "records": file.records.len(),
            "used_bytes": file.records.last().map_or(0, |_| file.end()),
            "first_lsn": file.lsns().map(|l| l.0.0), "last_lsn": file.lsns().map(|l| l.1.0),
            "durable_lsn": file.durable_lsn().0, "epoch": file.header.map(|h| h.epoch),
            "state": state(contents, file),
            "sections": sections_json(file.records.iter()),
        });
        if records {
            object["entries"] = file.records.iter().map(record_json).collect();
        }
        object
    });
    json!({
        "files": files.collect::<Value>(), "flushed_lsn": contents.manifest.state.flushed.0,
        "durable_lsn": judged.durable.0, "first_lsn": judged.kept.map(|k| k.0.0),
        "last_lsn": judged.kept.map(|k| k.1.0), "cut": judged.cut,
        "damage": problems_json(&judged.damage), "notes": problems_json(&judged.notes),
    })
}

fn sections_json<'a>(records: impl Iterator<Item = &'a WalRecord>) -> Value {
    let all = sections(records).into_iter();
    let object = all.map(|(name, (count, bytes))| (name, json!({"count": count, "bytes": bytes})));
    Value::Object(object.collect())
}

fn record_json(record: &WalRecord) -> Value {
    json!({
        "offset": record.offset, "kind": kind(record), "lsn": record.header.lsn.0,
        "durable_lsn": record.header.durable_lsn.0, "wall_ns": record.header.wall_ns,
        "bytes": record.header.record_len(), "sections": sections_json(std::iter::once(record)),
    })
}
