//! The manifest: its edits, and what lives by them.

use super::Contents;
use super::out::{Out, grouped, number, problems_json, text};
use crate::sql::cell::Kind;
use serde_json::{Value, json};
use tsdb::inspect::ManifestFrame;
use tsdb::manifest::{Edit, FileKind};

fn kind(kind: FileKind) -> String {
    match kind {
        FileKind::CATALOG => "catalog".into(),
        FileKind::SERIES => "series".into(),
        FileKind::CHECKPOINT => "checkpoint".into(),
        FileKind::LEDGER => "ledger".into(),
        FileKind(other) => format!("kind {other}"),
    }
}

fn edit(edit: &Edit) -> String {
    match edit {
        Edit::AddSegment(entry) => format!("segment {} lives, {}", entry.id, entry.name),
        Edit::RemoveSegment(id) => format!("segment {id} is dead"),
        Edit::Flushed(lsn) => format!("flushed up to {lsn}"),
        Edit::AddFile(entry) => format!(
            "{} file {} lives, of commit {}",
            kind(entry.kind),
            entry.name,
            entry.lsn
        ),
        Edit::RemoveFile(name) => format!("{name} is dead"),
        Edit::NextSegment(id) => format!("segment ids below {id} were used"),
        Edit::KeepUnnamed => "files that nothing names are kept".into(),
        other => format!("{other:?}"),
    }
}

fn frame_kind(frame: &ManifestFrame) -> &'static str {
    if frame.snapshot { "snapshot" } else { "edit" }
}

pub(super) fn show(contents: &Contents, records: bool, out: &mut Out) {
    let (report, state) = (&contents.manifest, &contents.manifest.state);
    out.heading("Manifest");
    let head = [
        ("file", Kind::Text),
        ("bytes", Kind::Number),
        ("current", Kind::Text),
        ("edits", Kind::Number),
        ("from", Kind::Number),
        ("to", Kind::Number),
    ];
    let rows = report.files.iter().map(|file| {
        vec![
            text(&file.name),
            grouped(file.bytes),
            text(if file.current { "yes" } else { "no" }),
            number(file.frames.len()),
            file.frames.first().map(|f| f.seq.to_string()),
            file.frames.last().map(|f| f.seq.to_string()),
        ]
    });
    out.table(&head, rows.collect());
    out.line(&format!(
        "{} segments and {} other files live; flushed up to {}; the next segment is {}",
        state.segments.len(),
        state.files.len(),
        state.flushed,
        state.next_segment
    ));
    out.problems(&report.damage, &report.notes);
    if records {
        out.heading("Edits of the manifest");
        let head = [
            ("file", Kind::Text),
            ("at", Kind::Number),
            ("number", Kind::Number),
            ("kind", Kind::Text),
            ("copies", Kind::Number),
            ("says", Kind::Text),
        ];
        let mut rows = Vec::new();
        for (file, frame) in report
            .files
            .iter()
            .flat_map(|f| f.frames.iter().map(move |r| (f, r)))
        {
            for said in &frame.edits {
                rows.push(vec![
                    text(&file.name),
                    number(frame.offset),
                    number(frame.seq),
                    text(frame_kind(frame)),
                    number(frame.copies),
                    text(edit(said)),
                ]);
            }
        }
        out.table(&head, rows);
    }
}

pub(super) fn json(contents: &Contents, records: bool) -> Value {
    let (report, state) = (&contents.manifest, &contents.manifest.state);
    let files = report.files.iter().map(|file| {
        let mut object = json!({
            "file": file.name, "bytes": file.bytes, "current": file.current,
            "edits": file.frames.len(), "first": file.frames.first().map(|f| f.seq),
            "last": file.frames.last().map(|f| f.seq),
        });
        if records {
            let entries = file.frames.iter().map(|frame| {
                json!({
                    "offset": frame.offset, "number": frame.seq, "kind": frame_kind(frame),
                    "copies": frame.copies,
                    "says": frame.edits.iter().map(|e| Value::from(edit(e))).collect::<Value>(),
                })
            });
            object["entries"] = entries.collect();
        }
        object
    });
    let segments = state
        .segments
        .values()
        .map(|s| json!({"id": s.id.0, "file": s.name}));
    let others = state
        .files
        .values()
        .map(|f| json!({"file": f.name, "kind": kind(f.kind), "lsn": f.lsn.0}));
    json!({
        "files": files.collect::<Value>(), "flushed_lsn": state.flushed.0,
        "next_segment": state.next_segment.0, "segments": segments.collect::<Value>(),
        "other_files": others.collect::<Value>(), "damage": problems_json(&report.damage),
        "notes": problems_json(&report.notes),
    })
}
