//! Filters, samples and derived streams: what is made of rows as they come in.

use super::Db;
use crate::transform::Priority;
use proptest::prelude::*;
use std::sync::atomic::Ordering;

const SOURCE: &str = "CREATE STREAM buys (who BIGINT, city STRING TAG, amount DECIMAL(10,2), note STRING, ts TIMESTAMP)";
const USERS: &str = "CREATE TABLE users (id BIGINT PRIMARY KEY, name STRING, plan STRING);
    UPSERT INTO users VALUES (0, 'Ada', 'free'), (1, 'Bob', NULL), (3, 'Eve', 'paid')";
const RATES: &str =
    "CREATE TABLE rates (plan STRING, city STRING, rate BIGINT, PRIMARY KEY (city, plan));
    UPSERT INTO rates VALUES ('free', 'c0', 2), ('paid', 'c1', 3), ('free', 'c2', NULL)";

/// Each derived stream, and the query over history that it equals while its tables stay the same.
const DERIVED: &[(&str, &str)] = &[
    ("copy", "SELECT * FROM buys"),
    (
        "large",
        "SELECT amount * 2 AS twice, city, ts, who FROM buys WHERE amount > 3 AND note <> 'x'",
    ),
    (
        "named",
        "SELECT b.*, u.name AS buyer FROM buys AS b LEFT JOIN users AS u ON b.who = u.id",
    ),
    (
        "known",
        "SELECT b.ts, b.amount, u.name, u.plan FROM buys b JOIN users u ON u.id = b.who WHERE u.plan IS NOT NULL OR b.amount > 5",
    ),
    (
        "rated",
        "SELECT b.ts, b.who, u.name, r.rate * b.amount AS costs FROM buys b JOIN users u ON b.who = u.id LEFT JOIN rates r ON r.plan = u.plan AND r.city = b.city",
    ),
];

type Row = (Option<i64>, u8, i64, u8, i64);

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let row = (
        proptest::option::of(0..5i64),
        0..4u8,
        0..10i64,
        0..3u8,
        0..1000i64,
    );
    prop::collection::vec(prop::collection::vec(row, 1..8), 1..6)
}

fn insert(rows: &[Row]) -> String {
    let values: Vec<String> = rows
        .iter()
        .map(|(who, city, amount, note, ts)| {
            let who = who.map_or("NULL".to_owned(), |w| w.to_string());
            let city = if *city == 3 {
                "NULL".to_owned()
            } else {
                format!("'c{city}'")
            };
            let note = ["NULL", "'x'", "'y'"][usize::from(*note)];
            format!(
                "({who}, {city}, {amount}.5, {note}, {})",
                1_700_000_000 + ts
            )
        })
        .collect();
    format!(
        "INSERT INTO buys (who, city, amount, note, ts) VALUES {}",
        values.join(", ")
    )
}

fn derive(db: &Db) {
    for (name, query) in DERIVED {
        db.run(&format!("CREATE STREAM {name} AS {query}")).unwrap();
    }
    db.run("CREATE STREAM twice_large AS SELECT ts, twice FROM large WHERE twice > 10")
        .unwrap();
}

fn check(db: &Db) -> Result<(), TestCaseError> {
    for (name, query) in DERIVED {
        let columns: Vec<String> = db.table(query).unwrap().0;
        let quoted: Vec<String> = columns.iter().map(|c| format!("\"{c}\"")).collect();
        let derived = db.lines(&format!("SELECT {} FROM {name}", quoted.join(", ")));
        prop_assert_eq!(derived, db.lines(query), "{}", name);
    }
    let twice = "SELECT ts, amount * 2 FROM buys WHERE amount > 5 AND note <> 'x'";
    prop_assert_eq!(
        db.lines("SELECT ts, twice FROM twice_large"),
        db.lines(twice)
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// A derived stream equals its query over the source, however rows are split among requests, with restarts and flushes
    /// between; and a derived stream of a derived stream does.
    #[test]
    fn a_derived_stream_equals_its_query(batches in rows(), restart in 0..6usize, single in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Db::open(dir.path());
        for sql in [SOURCE, USERS, RATES] {
            db.run(sql).unwrap();
        }
        derive(&db);
        for (i, batch) in batches.iter().enumerate() {
            if i == restart {
                db.flush();
                drop(db);
                db = Db::open(dir.path());
            }
            if single {
                for row in batch {
                    db.run(&insert(std::slice::from_ref(row))).unwrap();
                }
            } else {
                db.run(&insert(batch)).unwrap();
            }
            check(&db)?;
        }
        drop(db);
        check(&Db::open(dir.path()))?;
    }
}

#[test]
fn rows_are_enriched_with_what_is_known_when_they_come() {
    let db = Db::new();
    db.run(SOURCE).unwrap();
    db.run(USERS).unwrap();
    derive_named(&db);
    let row = |who: i64| db.run(&insert(&[(Some(who), 0, 1, 0, 0)])).unwrap();
    row(2);
    db.run("UPSERT INTO users VALUES (2, 'Kim', NULL)").unwrap();
    row(2);
    db.run("UPSERT INTO users VALUES (2, 'Kay', NULL)").unwrap();
    row(2);
    db.run("DELETE FROM users WHERE id = 2").unwrap();
    row(2);
    assert_eq!(
        db.lines("SELECT buyer FROM named"),
        ["Kay", "Kim", "NULL", "NULL"]
    );
    // Tags of the source are tags of what is derived from it, its event time is the event time.
    assert!(
        db.lines("DESCRIBE named")
            .contains(&"city|STRING|tag".to_owned())
    );
    assert!(
        db.lines("DESCRIBE named")
            .contains(&"ts|TIMESTAMP|event time".to_owned())
    );
}

fn derive_named(db: &Db) {
    let (name, query) = DERIVED[2];
    db.run(&format!("CREATE STREAM {name} AS {query}")).unwrap();
}

#[test]
fn a_stream_keeps_what_its_condition_and_its_sample_let_through() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM s (k BIGINT, v BIGINT, ts TIMESTAMP) WHERE v % 3 <> 0 SAMPLE 40 PERCENT BY k").unwrap();
    db.run("CREATE STREAM all_rows (k BIGINT, v BIGINT, ts TIMESTAMP)")
        .unwrap();
    db.run("CREATE STREAM d AS SELECT * FROM all_rows WHERE v % 3 <> 0 SAMPLE 40 PERCENT BY k")
        .unwrap();
    let rows: Vec<(i64, i64)> = (0..600).map(|i| (i % 50, i)).collect();
    let insert = |db: &Db, rows: &[(i64, i64)], into: &str| {
        let values: Vec<String> = rows
            .iter()
            .map(|(k, v)| format!("({k}, {v}, {})", 1_700_000_000 + v))
            .collect();
        db.run(&format!("INSERT INTO {into} VALUES {}", values.join(", ")))
            .unwrap();
    };
    insert(&db, &rows[..200], "s");
    drop(db);
    let db = Db::open(dir.path());
    rows[200..]
        .chunks(7)
        .for_each(|rows| insert(&db, rows, "s"));
    insert(&db, &rows, "all_rows");
    let kept = db.lines("SELECT k, v FROM s");
    // The same in whatever requests, before and after a restart, at the source or derived.
    assert_eq!(kept, db.lines("SELECT k, v FROM d"));
    let keys = db.lines("SELECT DISTINCT k FROM s");
    assert!((8..=32).contains(&keys.len()), "{} of 50 keys", keys.len());
    // All rows of a key or none.
    let list = keys.join(", ");
    assert_eq!(
        kept,
        db.lines(&format!(
            "SELECT k, v FROM all_rows WHERE v % 3 <> 0 AND k IN ({list})"
        ))
    );
    let counts = db.query.transforms().counts();
    let of = |name: &str| {
        counts
            .iter()
            .find(|(s, _)| s.name == name)
            .unwrap()
            .1
            .clone()
    };
    let (filtered, sampled) = (
        of("d").filtered.load(Ordering::Relaxed),
        of("d").sampled.load(Ordering::Relaxed),
    );
    assert_eq!(filtered, 200);
    assert_eq!(filtered + sampled + kept.len() as u64, 600);
    assert_eq!(of("d").derived.load(Ordering::Relaxed), kept.len() as u64);
}

#[test]
fn rows_that_matter_little_are_shed_and_critical_ones_never() {
    let db = Db::new();
    db.run("CREATE STREAM s (v BIGINT, ts TIMESTAMP) PRIORITY CASE WHEN v > 8 THEN 'critical' WHEN v > 5 THEN 'high' WHEN v > 2 THEN NULL ELSE 'low' END").unwrap();
    db.run("CREATE STREAM other (v BIGINT, ts TIMESTAMP) WITH (priority = 'low')")
        .unwrap();
    let insert = |into: &str| {
        let values: Vec<String> = (0..10)
            .map(|v| format!("({v}, {})", 1_700_000_000 + v))
            .collect();
        db.run(&format!("INSERT INTO {into} VALUES {}", values.join(", ")))
            .unwrap();
        db.rows(&format!("SELECT COUNT(*) FROM {into}"))[0][0].clone()
    };
    let floors = [
        None,
        Some(Priority::Low),
        Some(Priority::Normal),
        Some(Priority::High),
        Some(Priority::Critical),
    ];
    let mut all = 0;
    for (floor, more) in floors.into_iter().zip([10, 10, 7, 4, 1]) {
        db.query.transforms().shed_below(floor);
        all += more;
        assert_eq!(insert("s"), all.to_string(), "{floor:?}");
    }
    assert_eq!(insert("other"), "10");
    let shed = db.query.transforms().counts()[0]
        .1
        .shed
        .load(Ordering::Relaxed);
    assert_eq!(shed, 3 + 6 + 9);
    let other = db
        .query
        .engine()
        .catalog()
        .stream("default", "other")
        .unwrap();
    assert_eq!(Priority::of(&other), Priority::Low);
}

#[test]
fn what_cannot_be_derived_is_said() {
    let db = Db::new();
    for sql in [SOURCE, USERS, RATES] {
        db.run(sql).unwrap();
    }
    db.run("CREATE VIEW busy AS SELECT who, COUNT(*) AS n FROM buys GROUP BY who")
        .unwrap();
    let cases = [
        ("CREATE STREAM d AS SELECT * FROM d", "there is no stream"),
        ("CREATE STREAM d AS SELECT 1", "reads one stream"),
        ("CREATE STREAM d AS SELECT * FROM users", "this is none"),
        ("CREATE STREAM d AS SELECT * FROM busy", "this is none"),
        (
            "CREATE STREAM d AS SELECT * FROM buys, users",
            "reads one stream",
        ),
        (
            "CREATE STREAM d AS SELECT who, COUNT(*) FROM buys GROUP BY who",
            "CREATE MATERIALIZED VIEW",
        ),
        (
            "CREATE STREAM d AS SELECT DISTINCT who FROM buys",
            "DISTINCT",
        ),
        (
            "CREATE STREAM d AS SELECT who, ROW_NUMBER() OVER (ORDER BY ts) AS n, ts FROM buys",
            "a window function",
        ),
        (
            "CREATE STREAM d AS SELECT * FROM buys b JOIN buys c ON b.who = c.who",
            "is no table",
        ),
        (
            "CREATE STREAM d AS SELECT b.* FROM buys b RIGHT JOIN users u ON b.who = u.id",
            "JOIN or LEFT JOIN",
        ),
        (
            "CREATE STREAM d AS SELECT b.* FROM buys b CROSS JOIN users u",
            "not compared",
        ),
        (
            "CREATE STREAM d AS SELECT b.* FROM buys b JOIN rates r ON r.city = b.city",
            "\"plan\" is not compared",
        ),
        (
            "CREATE STREAM d AS SELECT b.* FROM buys b JOIN users u ON b.who = u.id AND u.plan = 'x'",
            "go into WHERE",
        ),
        (
            "CREATE STREAM d AS SELECT b.* FROM buys b JOIN users u ON b.who > u.id",
            "go into WHERE",
        ),
        (
            "CREATE STREAM d AS SELECT b.* FROM buys b JOIN users u ON b.note = u.id",
            "CAST",
        ),
        (
            "CREATE STREAM d AS SELECT now() AS n, ts FROM buys",
            "now()",
        ),
        (
            "CREATE STREAM d AS SELECT random() AS n, ts FROM buys",
            "random is none",
        ),
        (
            "CREATE STREAM d AS SELECT who IN (SELECT id FROM users) AS n, ts FROM buys",
            "subquery",
        ),
        ("CREATE STREAM d AS SELECT nobody FROM buys", "nobody"),
        (
            "CREATE STREAM d AS SELECT who AS ts FROM buys",
            "its name is taken",
        ),
        (
            "CREATE STREAM d WITH (tags = 'x') AS SELECT * FROM buys",
            "to be a tag",
        ),
        (
            "CREATE STREAM d WITH (event_time = 'x') AS SELECT * FROM buys",
            "to be the event time",
        ),
        (
            "CREATE STREAM d WITH (kafka_topic = 'x') AS SELECT * FROM buys",
            "no source of its own",
        ),
        (
            "CREATE STREAM d WITH (retension = '1 day') AS SELECT * FROM buys",
            "retention",
        ),
        ("CREATE STREAM d (a BIGINT) WHERE b > 1", "\"b\""),
        ("CREATE STREAM d (a BIGINT) WHERE a", "needs a condition"),
        (
            "CREATE STREAM d (a BIGINT) WHERE a IN (SELECT id FROM users)",
            "",
        ),
        ("CREATE STREAM d (a BIGINT) PRIORITY a", "needs a STRING"),
        ("CREATE STREAM d (a BIGINT) SAMPLE 1 PERCENT BY b", "\"b\""),
    ];
    for (sql, why) in cases {
        let error = db.fails(sql);
        assert!(error.contains(why), "{sql}\n{error}");
        assert!(
            !db.lines("SHOW STREAMS").iter().any(|s| s.starts_with("d|")),
            "{sql}"
        );
    }
    derive_named(&db);
    db.run("CREATE STREAM next AS SELECT * FROM named").unwrap();
    for (sql, why) in [
        ("DROP STREAM buys", "drop it first"),
        (
            "DROP STREAM named",
            "\"next\" is made from rows of \"named\"",
        ),
        ("DROP TABLE users", "drop it first"),
        (
            "CREATE OR REPLACE TABLE users (id BIGINT PRIMARY KEY)",
            "drop it first",
        ),
        (
            "CREATE STREAM named AS SELECT * FROM buys",
            "exists already",
        ),
    ] {
        let error = db.fails(sql);
        assert!(error.contains(why), "{sql}\n{error}");
    }
    db.run(
        "DROP VIEW busy; DROP STREAM next; DROP STREAM named; DROP TABLE users; DROP STREAM buys",
    )
    .unwrap();
    db.run(SOURCE).unwrap();
    db.run(&insert(&[(None, 0, 0, 0, 0)])).unwrap();
}

/// A row that can't be computed is refused with its request, says why, and hurts no other.
#[test]
fn an_error_in_a_derived_stream_refuses_the_request_alone() {
    let db = Db::new();
    db.run("CREATE STREAM s (v BIGINT, ts TIMESTAMP); CREATE STREAM d AS SELECT 10 / v AS share, ts FROM s").unwrap();
    db.run("INSERT INTO s VALUES (2, 1700000000)").unwrap();
    let error = db.fails("INSERT INTO s VALUES (1, 1700000001), (0, 1700000002)");
    assert!(
        error.contains("stream \"d\" is derived from these rows"),
        "{error}"
    );
    db.run("INSERT INTO s VALUES (5, 1700000003)").unwrap();
    assert_eq!(db.lines("SELECT v FROM s"), ["2", "5"]);
    assert_eq!(db.lines("SELECT share FROM d"), ["2", "5"]);
}

/// Columns that the source got later are not in what was derived from all its columns.
#[test]
fn a_star_means_the_same_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM s (v BIGINT, ts TIMESTAMP); CREATE STREAM d AS SELECT * FROM s")
        .unwrap();
    let stream = db.query.engine().catalog().stream("default", "s").unwrap();
    stream
        .ensure_columns(&[("late", tsdb::DataType::Int64, tsdb::Role::Field)])
        .unwrap();
    db.run("INSERT INTO s (v, ts, late) VALUES (1, 1700000000, 7)")
        .unwrap();
    drop(stream);
    drop(db);
    let db = Db::open(dir.path());
    db.run("INSERT INTO s (v, ts, late) VALUES (2, 1700000001, 8)")
        .unwrap();
    assert_eq!(db.lines("SELECT v FROM d"), ["1", "2"]);
    assert_eq!(
        db.lines("DESCRIBE d"),
        ["ts|TIMESTAMP|event time", "v|BIGINT|field"]
    );
    assert_eq!(db.lines("SELECT late FROM s"), ["7", "8"]);
}

/// The same when a later column of the source has the name of one that the table brings.
#[test]
fn later_columns_change_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE DATABASE other; CREATE STREAM s (id BIGINT, ts TIMESTAMP); CREATE TABLE users (id BIGINT PRIMARY KEY, name STRING); UPSERT INTO users VALUES (1, 'Ada')").unwrap();
    db.run("CREATE STREAM d AS SELECT * FROM s JOIN users USING (id)")
        .unwrap();
    db.run("INSERT INTO s VALUES (1, 1700000000)").unwrap();
    let catalog = db.query.engine().catalog().clone();
    for (stream, column) in [("s", "name"), ("users", "plan")] {
        let stream = catalog.stream("default", stream).unwrap();
        stream
            .ensure_columns(&[(column, tsdb::DataType::Utf8, tsdb::Role::Field)])
            .unwrap();
    }
    drop(catalog);
    db.run("INSERT INTO s (id, ts, name) VALUES (1, 1700000001, 'x')")
        .unwrap();
    drop(db);
    let db = Db::open(dir.path());
    db.run("INSERT INTO s (id, ts, name) VALUES (1, 1700000002, 'y')")
        .unwrap();
    assert_eq!(db.lines("SELECT id, name FROM d"), ["1|Ada"; 3]);
    assert_eq!(db.rows("DESCRIBE d").len(), 3);
}

/// A stream whose derived rows could not be made takes none, until what can't be made is gone.
#[test]
fn what_cannot_be_restored_stops_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE STREAM s (v BIGINT, ts TIMESTAMP); CREATE STREAM d AS SELECT * FROM s")
        .unwrap();
    let catalog = db.query.engine().catalog();
    let mut object = catalog.objects("transform").remove(0);
    let mut definition = crate::transform::Definition::decode(&object.payload).unwrap();
    definition.sql = "CREATE STREAM d AS SELECT v, ts FROM s WHERE nothing > 1".to_owned();
    object.payload = definition.encode();
    catalog.put_object(object);
    db.run("INSERT INTO s VALUES (1, 1700000000)").unwrap();
    drop(db);
    let db = Db::open(dir.path());
    let error = db.fails("INSERT INTO s VALUES (2, 1700000001)");
    assert!(error.contains("stream \"d\" can't be restored"), "{error}");
    assert_eq!(db.lines("SELECT v FROM d"), ["1"]);
    db.run("DROP STREAM d; INSERT INTO s VALUES (3, 1700000002)")
        .unwrap();
    assert_eq!(db.lines("SELECT v FROM s"), ["1", "3"]);
}
