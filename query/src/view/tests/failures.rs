//! What goes wrong with one row, one view or one stream, and what goes on all the same.

use super::*;

/// Takes frames to the end, and gives the reason.
fn end_of(db: &Db, subscription: &mut Subscription) -> String {
    let mut last = None;
    while let Some(frame) = db.runtime.block_on(subscription.next()) {
        last = Some(frame);
    }
    match last.as_deref() {
        Some(Frame::Closed { reason }) => reason.clone(),
        other => panic!("the last frame says why: {other:?}"),
    }
}

#[test]
fn a_row_that_cannot_be_computed_ends_subscriptions_and_not_the_view() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM t (city STRING, n BIGINT, timestamp TIMESTAMP)");
    let sql = "SELECT city, SUM(n) AS total FROM t GROUP BY city HAVING 10 / SUM(n) >= 0";
    db.run(&format!("CREATE MATERIALIZED VIEW totals AS {sql}"));
    let add = |n: i64| {
        db.run(&format!(
            "INSERT INTO t VALUES ('Oslo', {n}, TIMESTAMP '2026-01-01 10:00:00')"
        ));
    };
    add(1);
    let mut subscription = db.views.subscribe("default", "totals", false).unwrap();
    add(-1);
    assert!(end_of(&db, &mut subscription).contains("zero"));
    // It can't even begin now.
    let mut subscription = db.views.subscribe("default", "totals", false).unwrap();
    assert!(end_of(&db, &mut subscription).contains("zero"));
    add(7);
    assert_eq!(db.rows("SELECT * FROM totals"), ["Oslo|7"]);
    let mut subscription = db.views.subscribe("default", "totals", false).unwrap();
    let mut rows = BTreeMap::new();
    add(1);
    db.follow(&mut subscription, &mut rows, &|rows| {
        rows.contains_key("Oslo|8")
    });
    db.close();
}

#[test]
fn a_projection_that_fails_on_a_row_ends_subscriptions_and_not_the_view_of_rows() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM t (a BIGINT, b BIGINT, timestamp TIMESTAMP)");
    db.run("CREATE MATERIALIZED VIEW shares AS SELECT a / b AS share FROM t");
    let mut subscription = db.views.subscribe("default", "shares", false).unwrap();
    db.run("INSERT INTO t VALUES (1, 0, TIMESTAMP '2026-01-01 10:00:00')");
    assert!(end_of(&db, &mut subscription).contains("zero"));
    let mut subscription = db.views.subscribe("default", "shares", false).unwrap();
    let mut rows = BTreeMap::new();
    db.run("INSERT INTO t VALUES (8, 2, TIMESTAMP '2026-01-01 10:00:00')");
    db.follow(&mut subscription, &mut rows, &|rows| rows.contains_key("4"));
    db.close();
}

#[test]
fn a_view_that_cannot_be_run_is_shown_and_can_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    // Behind the back of the statements, which would refuse.
    db.engine
        .catalog()
        .drop_stream("default", "purchases")
        .unwrap();
    db.engine.commit(tsdb::Request::default()).unwrap();
    db.close();
    let db = Db::open(dir.path());
    let shown = db.rows("SHOW VIEWS");
    assert_eq!(shown.len(), 1);
    assert!(shown[0].starts_with("by_city|broken: "), "{shown:?}");
    assert!(shown[0].contains("purchases"), "{shown:?}");
    let failed = db.fail("SELECT * FROM by_city");
    assert!(failed.contains("broken"), "{failed}");
    let failed = db.fail(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    assert!(!failed.is_empty());
    db.run("DROP VIEW by_city");
    assert!(db.rows("SHOW VIEWS").is_empty());
    db.close();
    let db = Db::open(dir.path());
    assert!(db.rows("SHOW VIEWS").is_empty());
    db.close();
}

#[test]
fn dropping_a_stream_ends_the_queries_that_follow_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    let mut subscription = db.subscribe(&format!("{BY_CITY} EMIT CHANGES"));
    db.run("DROP STREAM purchases");
    assert_eq!(
        end_of(&db, &mut subscription),
        "the stream has been dropped"
    );
    assert!(db.views.metrics().is_empty());
    db.close();
}
