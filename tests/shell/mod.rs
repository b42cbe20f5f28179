//! `tidemill sql` against a real server, without a terminal.
//!
//! `golden/NAME.sql` is run as a script; what it says must be `golden/NAME.out`. `TIDEMILL_BLESS=1` writes those anew.

pub mod process;
mod terminal;

use process::{Listening, Watchdog, shell, signal, sql};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Output;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/shell/golden")
}

fn serve() -> (tempfile::TempDir, Listening) {
    let dir = tempfile::tempdir().unwrap();
    let server = Listening::start("serve", &dir.path().join("data"), &["--log", "error"]);
    (dir, server)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Everything that a run shows, in one text.
fn told(out: &Output) -> String {
    let status = out
        .status
        .code()
        .map_or("killed".to_owned(), |c| c.to_string());
    format!(
        "{}--- errors\n{}--- exit {status}\n",
        text(&out.stdout),
        text(&out.stderr)
    )
}

#[test]
fn scripts_say_what_they_said_before() {
    let mut seen = 0;
    for entry in std::fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "sql") {
            continue;
        }
        let (_dir, server) = serve();
        let script = std::fs::read_to_string(&path).unwrap();
        let said = told(&sql(&server.url, &[], &script));
        let expected = path.with_extension("out");
        if std::env::var_os("TIDEMILL_BLESS").is_some() {
            std::fs::write(&expected, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(said, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 3, "{seen} scripts in {}", golden().display());
}

#[test]
fn a_script_is_the_same_from_a_file_a_pipe_and_an_argument() {
    let (dir, server) = serve();
    let script = "SELECT 1 AS a; SELECT 'x;y' AS b";
    let file = dir.path().join("a.sql");
    std::fs::write(&file, script).unwrap();
    let piped = sql(&server.url, &[], script);
    assert!(text(&piped.stdout).contains("x;y"));
    for arguments in [["-c", script], ["-f", file.to_str().unwrap()]] {
        assert_eq!(sql(&server.url, &arguments, "").stdout, piped.stdout);
    }
    assert_eq!(sql(&server.url, &["-f", "-"], script).stdout, piped.stdout);
}

#[test]
fn other_formats_are_the_servers_own() {
    let (_dir, server) = serve();
    let ask = |format: &str| {
        let out = sql(
            &server.url,
            &[
                "--format",
                format,
                "-c",
                "SELECT 1 AS a, 'x,\"y' AS b, NULL AS c",
            ],
            "",
        );
        assert!(out.status.success(), "{}", told(&out));
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(ask("csv"), "a,b,c\n1,\"x,\"\"y\",\n");
    let row: serde_json::Value = serde_json::from_str(&ask("ndjson")).unwrap();
    assert_eq!(row, serde_json::json!({"a": 1, "b": "x,\"y", "c": null}));
    let reply: serde_json::Value = serde_json::from_str(&ask("json")).unwrap();
    assert_eq!(reply["rows"], serde_json::json!([[1, "x,\"y", null]]));
    assert_eq!(reply["columns"][0]["name"], "a");
}

#[test]
fn output_and_scripts_go_to_and_come_from_files() {
    let (dir, server) = serve();
    let (inner, out) = (dir.path().join("inner.sql"), dir.path().join("out.csv"));
    std::fs::write(&inner, "SELECT 2 AS b;\nSELECT nothing;\n").unwrap();
    let script = format!(
        "\\format csv\n\\o {}\nSELECT 1 AS a;\n\\o\n\\i {}\nSELECT 3 AS c;",
        out.display(),
        inner.display()
    );
    let run = sql(&server.url, &[], &script);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "a\n1\n");
    // The inner script's error ends the outer one, too, and is told with the inner one's place.
    assert_eq!(text(&run.stdout), "b\n2\n");
    assert!(
        text(&run.stderr).contains("inner.sql:2:8"),
        "{}",
        told(&run)
    );
    assert_eq!(run.status.code(), Some(1));
}

#[test]
fn a_script_that_includes_itself_ends() {
    let (dir, server) = serve();
    let path = dir.path().join("self.sql");
    std::fs::write(&path, format!("\\i {}\n", path.display())).unwrap();
    let run = sql(&server.url, &["-f", path.to_str().unwrap()], "");
    assert!(
        text(&run.stderr).contains("include each other"),
        "{}",
        told(&run)
    );
    assert_eq!(run.status.code(), Some(1));
}

#[test]
fn without_a_server_it_says_so_and_ends() {
    let (_dir, server) = serve();
    let url = server.url.clone();
    assert!(server.end("TERM").1.success());
    let run = sql(&url, &["-c", "SELECT 1; SELECT 2"], "");
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(
        text(&run.stderr).matches("no answer from").count(),
        1,
        "{}",
        told(&run)
    );
    assert!(
        text(&run.stderr).contains("tidemill serve"),
        "{}",
        told(&run)
    );
}

#[test]
fn who_stops_reading_hears_no_complaint() {
    let (_dir, server) = serve();
    let mut child = shell(
        &server.url,
        &[
            "--format",
            "csv",
            "-c",
            "SELECT * FROM generate_series(1, 1000000)",
        ],
    );
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "value\n");
    drop(lines);
    let out = child.wait_with_output().unwrap();
    assert!(
        out.status.success() && out.stderr.is_empty(),
        "{}",
        told(&out)
    );
}

#[test]
fn a_continuous_query_shows_changes_until_it_is_interrupted() {
    let (_dir, server) = serve();
    let made = server.sql(
        "CREATE STREAM s (city STRING, timestamp TIMESTAMP); \
         INSERT INTO s (city, timestamp) VALUES ('Oslo', TIMESTAMP '2026-01-01 12:00:00')",
    );
    assert!(made.status.success(), "{}", told(&made));
    let query = "SELECT city, COUNT(*) AS n FROM s GROUP BY city EMIT CHANGES";
    let mut child = shell(&server.url, &["-c", query]);
    let _watchdog = Watchdog::over(vec![server.id(), child.id()], 30);
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert_eq!(
        lines.next().as_deref(),
        Some("   │ city │ n"),
        "{:?}",
        child.wait_with_output()
    );
    lines.next();
    assert_eq!(lines.next().unwrap(), " + │ Oslo │ 1");
    let more = server
        .sql("INSERT INTO s (city, timestamp) VALUES ('Oslo', TIMESTAMP '2026-01-01 12:00:01')");
    assert!(more.status.success(), "{}", told(&more));
    assert_eq!(lines.next().unwrap(), " - │ Oslo │ 1");
    assert_eq!(lines.next().unwrap(), " + │ Oslo │ 2");
    signal(&child, "INT");
    assert_eq!(lines.next().as_deref(), Some(""));
    assert_eq!(lines.next(), None);
    assert!(child.wait().unwrap().success());
}
