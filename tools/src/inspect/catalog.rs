//! The catalog: its files, databases and views.

use super::Contents;
use super::checkpoint::VIEW;
use super::out::{Out, grouped, number, problems_json, text};
use crate::sql::cell::Kind;
use serde_json::{Value, json};
use tsdb::Object;

pub(super) fn views(contents: &Contents) -> Vec<Object> {
    contents.catalog.catalog.objects(VIEW)
}

pub(super) fn show(contents: &Contents, out: &mut Out) {
    out.heading("Catalog files");
    let head = [
        ("file", Kind::Text),
        ("bytes", Kind::Number),
        ("lsn", Kind::Number),
        ("databases", Kind::Number),
        ("streams", Kind::Number),
        ("columns", Kind::Number),
        ("series", Kind::Number),
        ("views", Kind::Number),
        ("drops", Kind::Number),
    ];
    let rows = contents.catalog.files.iter().map(|file| {
        let e = &file.entries;
        vec![
            text(&file.name),
            grouped(file.bytes),
            number(file.lsn),
            number(e.databases),
            number(e.streams),
            number(e.columns),
            grouped(e.series),
            number(e.objects),
            number(e.drops),
        ]
    });
    out.table(&head, rows.collect());
    out.problems(&contents.catalog.damage, &[]);
    let databases = contents.catalog.catalog.databases().join(", ");
    out.line(&format!("databases, the log included: {databases}"));
    let names: Vec<String> = views(contents)
        .iter()
        .map(|v| format!("{}.{}", v.db, v.name))
        .collect();
    let names = if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    };
    out.line(&format!("views, the log included: {names}"));
}

pub(super) fn json(contents: &Contents) -> Value {
    let files = contents.catalog.files.iter().map(|file| {
        let e = &file.entries;
        json!({
            "file": file.name, "bytes": file.bytes, "lsn": file.lsn.0,
            "entries": {
                "databases": e.databases, "streams": e.streams, "columns": e.columns,
                "series": e.series, "objects": e.objects, "drops": e.drops,
            },
        })
    });
    let views = views(contents);
    let views = views
        .iter()
        .map(|v| json!({"database": v.db, "name": v.name}));
    json!({
        "files": files.collect::<Value>(), "databases": contents.catalog.catalog.databases(),
        "views": views.collect::<Value>(), "damage": problems_json(&contents.catalog.damage),
    })
}
