//! Runs the cases of `tests/slt`: each file against a new database, once with all rows in memory and once with a flush
//! behind every statement, so that head and segments must give the same answers. `UPDATE_SLT=1` writes what came out
//! (with rows in memory) into the files.
//!
//! A case is a verb on a line of its own, SQL up to `----`, and the expected text up to an empty line. Verbs: `do`
//! (no result is looked at), `rows` (names, then rows in order), `sorted` (rows in any order), `error` (code, place,
//! message and hint). Lines that begin with `#` are comments.

use super::Db;
use crate::QueryError;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

struct Case {
    comment: String,
    verb: String,
    sql: String,
    expected: String,
    line: usize,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut comment = String::new();
    while let Some((n, line)) = lines.next() {
        if line.starts_with('#') || line.trim().is_empty() {
            comment.push_str(line);
            comment.push('\n');
            continue;
        }
        let mut case = Case {
            comment: std::mem::take(&mut comment),
            verb: line.trim().to_owned(),
            sql: String::new(),
            expected: String::new(),
            line: n + 1,
        };
        let mut in_sql = true;
        for (_, line) in lines.by_ref() {
            if in_sql && line == "----" {
                in_sql = false;
            } else if line.is_empty() {
                break;
            } else {
                let to = if in_sql {
                    &mut case.sql
                } else {
                    &mut case.expected
                };
                to.push_str(line);
                to.push('\n');
            }
        }
        cases.push(case);
    }
    cases
}

fn shown(e: &QueryError) -> String {
    let place = e
        .position()
        .map_or(String::new(), |(l, c)| format!(" {l}:{c}"));
    let hint = e.hint().map_or(String::new(), |h| format!(" ({h})"));
    format!("{}{place}: {}{hint}\n", e.code(), e.message())
}

fn outcome(db: &Db, case: &Case) -> String {
    match (case.verb.as_str(), db.table(&case.sql)) {
        ("do", Ok(_)) => String::new(),
        ("rows" | "sorted", Ok((names, mut rows))) => {
            if case.verb == "sorted" {
                rows.sort();
            }
            let mut out = names.join(" | ") + "\n";
            for row in rows {
                writeln!(out, "{}", row.join(" | ")).unwrap();
            }
            out
        }
        ("error", Err(e)) => shown(&e),
        ("error", Ok(_)) => "no error\n".to_owned(),
        (_, Err(e)) => format!("error {}", shown(&e)),
        (verb, _) => panic!("line {}: no verb {verb}", case.line),
    }
}

fn run(path: &Path, flush: bool) -> (Vec<String>, String) {
    let text = std::fs::read_to_string(path).unwrap();
    let db = Db::new();
    let (mut failures, mut updated) = (Vec::new(), String::new());
    for case in parse(&text) {
        let actual = outcome(&db, &case);
        if flush {
            db.flush();
        }
        if actual != case.expected {
            failures.push(format!(
                "{}:{} (flush: {flush})\n{}expected\n{}got\n{actual}",
                path.display(),
                case.line,
                case.sql,
                case.expected
            ));
        }
        write!(updated, "{}{}\n{}", case.comment, case.verb, case.sql).unwrap();
        if !actual.is_empty() || case.verb != "do" {
            write!(updated, "----\n{actual}").unwrap();
        }
        updated.push('\n');
    }
    (failures, updated)
}

fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/slt");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "slt"));
    files.sort();
    files
}

#[test]
fn the_cases_hold_in_memory_and_on_disk() {
    let files = files();
    assert!(!files.is_empty());
    let mut all = Vec::new();
    for file in files {
        let (failures, updated) = run(&file, false);
        if std::env::var_os("UPDATE_SLT").is_some() {
            std::fs::write(&file, updated.trim_end_matches('\n').to_owned() + "\n").unwrap();
        } else {
            all.extend(failures);
        }
        all.extend(run(&file, true).0);
    }
    assert!(
        all.is_empty(),
        "{} cases differ\n\n{}",
        all.len(),
        all.join("\n")
    );
}
