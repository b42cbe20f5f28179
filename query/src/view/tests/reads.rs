//! Reads of views: narrowed down, in slices, within bounds, and what they say of a view that is behind.

use super::*;
use crate::QueryError;
use std::sync::atomic::Ordering;

const VISITS: &str =
    "CREATE STREAM visits (page STRING, country STRING TAG, n BIGINT, timestamp TIMESTAMP)";

/// Visits of ten pages, one of them without a name, from three countries, over some ten minutes.
fn visit(db: &Db, count: usize) {
    let rows: Vec<String> = (0..count)
        .map(|i| {
            let page = match i % 10 {
                3 => "NULL".to_string(),
                p => format!("'/p{p}'"),
            };
            let at = (i * 37) % 600;
            let (minute, second) = (at / 60, at % 60);
            format!(
                "({page}, 'c{}', {i}, TIMESTAMP '2026-01-01 10:{minute:02}:{second:02}')",
                i % 3
            )
        })
        .collect();
    db.run(&format!(
        "INSERT INTO visits (page, country, n, timestamp) VALUES {}",
        rows.join(", ")
    ));
}

#[test]
fn conditions_narrow_a_read_down_and_change_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(VISITS);
    visit(&db, 300);
    let windows = [
        "",
        "WINDOW TUMBLING (SIZE 1 MINUTE)",
        "WINDOW HOPPING (SIZE 3 MINUTES, ADVANCE BY 1 MINUTE)",
        "WINDOW SESSION (20 SECONDS)",
    ];
    let time = |minute: usize| format!("TIMESTAMP '2026-01-01 10:{minute:02}:00'");
    let on_keys = [
        "page = '/p4'",
        "'/p4' = page AND country = 'c1'",
        "page IN ('/p1', '/p2', '/p5', '/p6', '/p8') AND country IN ('c0', 'c2')",
        "page = '/p1' OR page = '/nowhere'",
        "page IS NULL",
        "country = 'c2' AND total > 100",
        "page = '/p1' AND page = '/p2'",
        "page = '/p1' OR total > 1000",
        "upper(page) = '/P1'",
    ];
    let on_windows = [
        format!("window_start = {}", time(4)),
        format!("window_start >= {} AND window_end < {}", time(2), time(7)),
        format!("window_start BETWEEN {} AND {}", time(3), time(5)),
        format!("window_end > {} AND page = '/p7'", time(8)),
        format!("window_end <= {} OR page = '/p7'", time(1)),
        format!("{} < window_start", time(20)),
        "window_start >= '2026-01-01 10:04:00' AND total * 2 > 900.5".to_string(),
    ];
    for (i, window) in windows.iter().enumerate() {
        let sql = format!(
            "SELECT page, country, COUNT(*) AS visits, SUM(n) AS total FROM visits {window} GROUP BY page, country"
        );
        db.run(&format!("CREATE MATERIALIZED VIEW v{i} AS {sql}"));
        assert_eq!(db.rows(&format!("SELECT * FROM v{i}")), db.rows(&sql));
        let windowed: &[String] = if window.is_empty() { &[] } else { &on_windows };
        for condition in on_keys
            .iter()
            .copied()
            .chain(windowed.iter().map(String::as_str))
        {
            for columns in ["*", "total", "COUNT(*)"] {
                let view = db.rows(&format!("SELECT {columns} FROM v{i} WHERE {condition}"));
                let query = format!("SELECT {columns} FROM ({sql}) WHERE {condition}");
                assert_eq!(view, db.rows(&query), "{query}");
            }
        }
        let few = |sql: &str| {
            db.rows(&format!("SELECT page AS a, page AS b FROM v{i} {sql}"))
                .len()
        };
        assert_eq!((few("LIMIT 3"), few("LIMIT 0")), (3, 0));
        assert_eq!(few("WHERE total > 3 LIMIT 2"), 2);
        assert_eq!(few("WHERE page = '/nowhere' LIMIT 2"), 0);
    }
    let plan = db.rows("EXPLAIN SELECT total FROM v1 WHERE page = '/p4' AND total > 5");
    assert!(
        plan.iter()
            .any(|l| l.contains("ViewRows: v1, where page = ")),
        "{plan:?}"
    );
    db.close();
}

#[test]
fn a_statement_may_name_a_view_more_than_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(VISITS);
    visit(&db, 60);
    db.run(
        "CREATE MATERIALIZED VIEW v AS SELECT page, COUNT(*) AS visits FROM visits GROUP BY page",
    );
    let rows = db.rows("SELECT a.page FROM v a JOIN v b ON a.page = b.page WHERE a.page <> '/p1'");
    assert_eq!(rows.len(), 8);
    let rows = db.rows("WITH c AS (SELECT * FROM v WHERE page = '/p2') SELECT page FROM c UNION ALL SELECT page FROM c");
    assert_eq!(rows, ["/p2", "/p2"]);
    let rows =
        db.rows("SELECT page FROM v WHERE visits = (SELECT MAX(visits) FROM v) AND page = '/p5'");
    assert_eq!(rows, ["/p5"]);
    assert!(db.rows("SELECT page FROM v WHERE 1 = 0").is_empty());
    db.close();
}

#[test]
fn a_read_keeps_within_its_memory_and_a_narrow_one_needs_little() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM t (id BIGINT, body STRING, timestamp TIMESTAMP)");
    db.run("CREATE MATERIALIZED VIEW v AS SELECT id, LAST(body) AS body FROM t GROUP BY id");
    let body = "x".repeat(1_000);
    for round in 0..10 {
        let rows: Vec<String> = (0..1_000)
            .map(|i| {
                format!(
                    "({}, '{body}', TIMESTAMP '2026-01-01 10:00:00')",
                    round * 1_000 + i
                )
            })
            .collect();
        db.run(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    }
    let small = Session {
        memory_limit: Some(2 << 20),
        ..Session::default()
    };
    let read = |sql: &str| {
        db.runtime.block_on(async {
            let mut outputs = db.query.execute(&small, sql).await.map_err(|(_, e)| e)?;
            match outputs.pop() {
                Some(Output::Rows { rows, .. }) => rows.collect().await,
                other => panic!("{other:?}"),
            }
        })
    };
    let failed = read("SELECT * FROM v ORDER BY body, id").unwrap_err();
    assert!(matches!(failed, QueryError::TooLarge(_)), "{failed}");
    let rows = read("SELECT * FROM v WHERE id = 7777").unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    let rows = read("SELECT COUNT(*) FROM v").unwrap();
    assert_eq!(lines(&rows[0]), ["10000"]);
    db.close();
}

/// Rows, the commit they are of, and whether they are behind.
fn read(db: &Db, sql: &str) -> Result<(Vec<String>, u64, bool), QueryError> {
    db.runtime.block_on(async {
        let outputs = db.query.execute(&Session::default(), sql).await;
        match outputs.map_err(|(_, e)| e)?.pop() {
            Some(Output::Rows {
                rows,
                lsn,
                lagging,
                notices,
                ..
            }) => {
                assert_eq!(lagging, notices.iter().any(|n| n.contains("lagging")));
                let batches = rows.collect().await?;
                Ok((batches.iter().flat_map(lines).collect(), lsn, lagging))
            }
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn a_view_that_is_behind_says_so_with_the_commit_of_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let config = ViewConfig {
        queue_bytes: 0,
        ..ViewConfig::default()
    };
    let db = Db::open_with(dir.path(), config);
    db.run(PURCHASES);
    db.run("CREATE MATERIALIZED VIEW n AS SELECT COUNT(*) AS n FROM purchases");
    let (mut behind, mut seen) = (0, 0);
    for i in 0..200 {
        // No commit fits the view's queue: each makes it start anew.
        insert(&db, &[(i, "1.00", "Oslo", "10:00:00")]);
        let now = db.engine.published().0;
        let (rows, lsn, lagging) = read(&db, "SELECT n FROM n").unwrap();
        let n: i64 = rows[0].parse().unwrap();
        if lagging {
            behind += 1;
            assert!(lsn < now, "rows that are behind are of an older commit");
            assert!(n >= seen && n <= i + 1);
        } else {
            assert_eq!((n, lsn), (i + 1, now));
        }
        seen = n;
    }
    assert!(behind > 0, "it has never been behind");
    db.wait_for(|db| !read(db, "SELECT n FROM n").unwrap().2);
    assert_eq!(db.rows("SELECT n FROM n"), ["200"]);
    db.close();
}

#[test]
fn a_view_that_has_stopped_answers_nobody_out_of_turn() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM t (a BIGINT, b BIGINT, timestamp TIMESTAMP)");
    db.run("CREATE MATERIALIZED VIEW v AS SELECT SUM(a / b) AS s FROM t");
    db.run("INSERT INTO t VALUES (4, 2, TIMESTAMP '2026-01-01 10:00:00')");
    assert_eq!(db.rows("SELECT * FROM v"), ["2"]);
    let view = db.views.view("default", "v").unwrap();
    view.tap.lagging.store(true, Ordering::Relaxed);
    // Out of turn, and yet with the rows that were asked for.
    assert!(!read(&db, "SELECT * FROM v").unwrap().2);
    db.run("INSERT INTO t VALUES (4, 0, TIMESTAMP '2026-01-01 10:00:00')");
    db.wait_for(|db| db.rows("SHOW VIEWS")[0].contains("stopped"));
    view.tap.lagging.store(true, Ordering::Relaxed);
    assert!(db.fail("SELECT * FROM v").contains("stopped"));
    db.close();
}

#[test]
fn statements_whose_rows_nobody_reads_keep_no_other_from_running() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(VISITS);
    visit(&db, 300);
    let one = "SELECT a.n FROM visits a CROSS JOIN visits b;";
    let last = "SELECT COUNT(*) FROM visits";
    assert_eq!(db.rows(&format!("{}{last}", one.repeat(40))), ["300"]);
    let failed = db.fail("SELECT 1 / (n - n) FROM visits; SELECT 1");
    assert!(failed.contains("zero"), "{failed}");
    db.close();
}
