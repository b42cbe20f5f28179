//! Created, read, subscribed to, restarted.

use super::*;

#[test]
fn a_view_over_history_is_its_query_now_after_writes_and_after_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    insert(
        &db,
        &[
            (1, "10.50", "Oslo", "10:00:01"),
            (2, "0.25", "Bergen", "10:00:02"),
        ],
    );
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    let check = |db: &Db, rows: usize| {
        let view = db.rows("SELECT * FROM by_city");
        assert_eq!(view, db.rows(BY_CITY));
        assert_eq!(view.len(), rows);
    };
    check(&db, 2);
    insert(
        &db,
        &[
            (1, "1.00", "Oslo", "10:00:59"),
            (3, "7.00", "Oslo", "10:01:00"),
        ],
    );
    check(&db, 3);
    assert_eq!(
        db.rows("SELECT purchase_count, total_revenue FROM by_city WHERE city = 'Oslo' AND purchase_count = 2"),
        ["2|11.50"]
    );
    db.close();
    // From the checkpoint.
    let db = Db::open(dir.path());
    check(&db, 3);
    insert(&db, &[(1, "2.00", "Oslo", "09:00:00")]);
    check(&db, 4);
    db.engine.flush().unwrap();
    db.close();
    // A damaged checkpoint: from history.
    for file in std::fs::read_dir(dir.path().join("checkpoints")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let db = Db::open(dir.path());
    check(&db, 4);
    db.run("DROP VIEW by_city");
    assert!(
        std::fs::read_dir(dir.path().join("checkpoints"))
            .unwrap()
            .next()
            .is_none()
    );
    db.close();
}

#[test]
fn a_crash_loses_no_row_of_a_view() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    insert(&db, &[(1, "10.50", "Oslo", "10:00:01")]);
    let copy = db.crash(dir.path());
    let db = Db::open(copy.path());
    assert_eq!(db.rows("SELECT * FROM by_city"), db.rows(BY_CITY));
    assert_eq!(db.rows("SELECT * FROM by_city").len(), 1);
    db.close();
}

#[test]
fn subscribers_see_what_the_query_says() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    let hop = "SELECT user_id, COUNT(*) as purchase_count, COUNT(DISTINCT city) as city_count, COLLECT_LIST(city) as cities FROM purchases GROUP BY user_id, HOP(timestamp, INTERVAL '1' HOUR, INTERVAL '5' MINUTE) HAVING COUNT(*) >= 5 AND COUNT(DISTINCT city) >= 3";
    let mut subscription = db.subscribe(&format!("{hop} EMIT CHANGES;"));
    let mut second = db.subscribe(&format!("{hop} EMIT CHANGES;"));
    assert_eq!(
        db.views.metrics().len(),
        1,
        "equal queries share their work"
    );
    let names: Vec<_> = subscription
        .columns()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(
        names[..4],
        ["user_id", "purchase_count", "city_count", "cities"]
    );
    let (mut rows, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (i, city) in ["Oslo", "Bergen", "Oslo", "Hamar", "Oslo", "Bergen"]
        .iter()
        .enumerate()
    {
        insert(&db, &[(7, "1.00", city, &format!("10:{i:02}:00"))]);
    }
    let expected = db.rows(hop);
    assert!(!expected.is_empty());
    let reached =
        |rows: &BTreeMap<String, i64>| rows.keys().cloned().collect::<Vec<_>>() == expected;
    db.follow(&mut subscription, &mut rows, &reached);
    db.follow(&mut second, &mut others, &reached);
    drop((subscription, second));
    assert!(
        db.views.metrics().is_empty(),
        "a query ends with its last subscriber"
    );
    db.close();
}

#[test]
fn sessions_of_the_users_statement_are_pushed_as_they_merge() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM page_views (user_id BIGINT, page_url STRING, timestamp TIMESTAMP)");
    let sql = "SELECT user_id, SESSION_START() as session_start, SESSION_END() as session_end, COUNT(*) as page_views, COLLECT_LIST(page_url) as visited_pages FROM page_views WINDOW SESSION GROUP BY user_id HAVING COUNT(*) > 10";
    let mut subscription = db.subscribe(&format!("{sql} EMIT CHANGES;"));
    let mut rows = BTreeMap::new();
    let view = |minute: usize| {
        format!(
            "(1, '/p{minute}', TIMESTAMP '2026-01-01 {:02}:{:02}:00')",
            minute / 60,
            minute % 60
        )
    };
    // Two sessions of six views an hour apart, then one in between that bridges them.
    let apart: Vec<String> = (0..6).chain(60..66).map(view).collect();
    db.run(&format!(
        "INSERT INTO page_views VALUES {}",
        apart.join(", ")
    ));
    assert!(db.rows(sql).is_empty());
    db.run(&format!("INSERT INTO page_views VALUES {}", view(33)));
    let expected = db.rows(sql);
    assert_eq!(expected.len(), 1);
    assert!(expected[0].contains("|13|[/p0, /p1,"), "{expected:?}");
    db.follow(&mut subscription, &mut rows, &|rows| {
        rows.keys().cloned().collect::<Vec<_>>() == expected
    });
    db.close();
}

#[test]
fn a_commit_costs_its_rows_however_long_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    let read = |db: &Db| db.views.metrics()[0].rows;
    let mut all = 0;
    for round in 0..100 {
        insert(
            &db,
            &[
                (round, "1.00", "Oslo", "10:00:00"),
                (round, "2.00", "Bergen", "11:00:00"),
            ],
        );
        all += 2;
        // The read waits for the view to have reached the commit.
        assert_eq!(db.rows("SELECT COUNT(*) FROM by_city"), ["2"]);
        assert_eq!(read(&db), all, "each row is taken in once");
    }
    db.close();
}

#[test]
fn a_view_of_rows_keeps_no_state_and_pushes_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    db.run("CREATE MATERIALIZED VIEW big AS SELECT city, amount FROM purchases WHERE amount > 5");
    insert(
        &db,
        &[
            (1, "10.50", "Oslo", "10:00:01"),
            (2, "0.25", "Bergen", "10:00:02"),
        ],
    );
    assert_eq!(db.rows("SELECT * FROM big"), ["Oslo|10.50"]);
    let mut subscription = db.views.subscribe("default", "big", false).unwrap();
    let mut rows = BTreeMap::new();
    insert(
        &db,
        &[
            (1, "6.00", "Hamar", "10:00:03"),
            (2, "1.25", "Hamar", "10:00:04"),
        ],
    );
    db.follow(&mut subscription, &mut rows, &|rows| {
        rows.contains_key("Hamar|6.00")
    });
    assert_eq!(rows.len(), 1);
    db.close();
}

#[test]
fn a_final_subscriber_gets_each_window_once_when_it_closes() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    let sql =
        "SELECT city, COUNT(*) AS n FROM purchases WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY city";
    let mut subscription = db.subscribe(&format!("{sql} EMIT FINAL"));
    insert(&db, &[(1, "1.00", "Oslo", "10:00:01")]);
    insert(&db, &[(1, "1.00", "Oslo", "10:00:50")]);
    // Ten seconds into the next minute the disorder bound of five is passed.
    insert(&db, &[(1, "1.00", "Oslo", "10:01:10")]);
    let mut rows = BTreeMap::new();
    db.follow(&mut subscription, &mut rows, &|rows| !rows.is_empty());
    assert_eq!(rows.len(), 1);
    let (line, n) = rows.first_key_value().unwrap();
    assert!(line.starts_with("Oslo|2|") && *n == 1, "{rows:?}");
    db.close();
}

#[test]
fn a_row_later_than_the_lateness_is_repaired_from_history() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM hits (page STRING, user_id BIGINT, timestamp TIMESTAMP) WITH (lateness = '1 minute')");
    for window in ["TUMBLING (SIZE 1 MINUTE)", "SESSION (20 SECONDS)"] {
        let sql = format!(
            "SELECT page, COUNT(DISTINCT user_id) AS users, PERCENTILE(user_id, 0.5) AS mid, COLLECT_LIST(user_id) AS all_users FROM hits WINDOW {window} GROUP BY page"
        );
        let name = format!("users_{}", window.len());
        db.run(&format!("CREATE MATERIALIZED VIEW {name} AS {sql}"));
        let mut subscription = db.subscribe(&format!("{sql} EMIT CHANGES"));
        let hit = |user: i64, at: &str| {
            db.run(&format!(
                "INSERT INTO hits VALUES ('a', {user}, TIMESTAMP '2026-01-01 {at}')"
            ));
        };
        hit(1, "10:00:01");
        hit(2, "10:00:02");
        // Far ahead: the first window is past its lateness, and its sets are dropped.
        hit(1, "11:00:00");
        hit(1, "11:00:01");
        hit(3, "10:00:03");
        hit(2, "10:00:04");
        let expected = db.rows(&sql);
        assert!(expected.iter().any(|l| l.contains("a|3|")), "{expected:?}");
        assert_eq!(db.rows(&format!("SELECT * FROM {name}")), expected);
        let mut rows = BTreeMap::new();
        db.follow(&mut subscription, &mut rows, &|rows| {
            rows.keys().cloned().collect::<Vec<_>>() == expected
        });
    }
    db.close();
}

#[test]
fn dropping_a_view_closes_its_subscriptions() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    let mut subscription = db.views.subscribe("default", "by_city", false).unwrap();
    db.run("DROP VIEW by_city");
    let mut frames = Vec::new();
    while let Some(frame) = db.runtime.block_on(subscription.next()) {
        frames.push(frame);
    }
    assert!(
        matches!(frames.last().map(AsRef::as_ref), Some(Frame::Closed { .. })),
        "{frames:?}"
    );
    assert!(db.views.subscribe("default", "by_city", false).is_err());
    db.close();
}

#[test]
fn a_condition_guards_the_view_from_what_it_removes() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM ratios (a BIGINT, b BIGINT, timestamp TIMESTAMP)");
    let sql = "SELECT a / b AS share, SUM(a / b) AS total, SUM(a % b) FILTER (WHERE b > 2) AS rest FROM ratios WHERE b <> 0 GROUP BY a / b";
    db.run(&format!("CREATE MATERIALIZED VIEW shares AS {sql}"));
    for b in [3, 0, 2, 0, 3] {
        db.run(&format!(
            "INSERT INTO ratios VALUES (12, {b}, TIMESTAMP '2026-01-01 10:00:00')"
        ));
    }
    assert_eq!(db.rows("SELECT * FROM shares"), ["4|8|0", "6|6|NULL"]);
    db.close();
}
