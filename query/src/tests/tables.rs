//! Tables: what they hold, whatever was done to them and however often the server started.

use super::Db;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One thing that is done to a table.
#[derive(Clone, Debug)]
enum Step {
    Upsert(Vec<(u8, u8, Option<i64>)>),
    /// Rows with this number go.
    DeleteWhere(i64),
    DeleteKey(u8, u8),
    Flush,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0..4u8, 0..6u8, proptest::option::of(0..5i64));
    prop_oneof![
        6 => prop::collection::vec(row, 1..6).prop_map(Step::Upsert),
        2 => (0..5i64).prop_map(Step::DeleteWhere),
        2 => (0..4u8, 0..6u8).prop_map(|(a, b)| Step::DeleteKey(a, b)),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A table is a map: whatever comes, in whatever commits, with flushes and restarts between.
    #[test]
    fn a_table_is_a_map(steps in prop::collection::vec(step(), 1..24)) {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Db::open(dir.path());
        db.run("CREATE TABLE t (n BIGINT, sku STRING, city STRING, PRIMARY KEY (city, sku))").unwrap();
        let mut model: BTreeMap<(String, String), Option<i64>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Upsert(rows) => {
                    let shown = |n: &Option<i64>| n.map_or("NULL".to_owned(), |n| n.to_string());
                    let values: Vec<String> = rows
                        .iter()
                        .map(|(c, s, n)| format!("('c{c}', 's{s}', {})", shown(n)))
                        .collect();
                    db.run(&format!("UPSERT INTO t (city, sku, n) VALUES {}", values.join(", "))).unwrap();
                    for (c, s, n) in rows {
                        model.insert((format!("c{c}"), format!("s{s}")), n);
                    }
                }
                Step::DeleteWhere(n) => {
                    db.run(&format!("DELETE FROM t WHERE n = {n}")).unwrap();
                    model.retain(|_, v| *v != Some(n));
                }
                Step::DeleteKey(c, s) => {
                    let sql = format!("INSERT INTO t (city, sku, _deleted) VALUES ('c{c}', 's{s}', TRUE)");
                    db.run(&sql).unwrap();
                    model.remove(&(format!("c{c}"), format!("s{s}")));
                }
                Step::Flush => db.flush(),
                Step::Restart => {
                    drop(db);
                    db = Db::open(dir.path());
                }
            }
            let shown = |n: &Option<i64>| n.map_or("NULL".to_owned(), |n| n.to_string());
            let wanted: Vec<String> = model.iter().map(|((c, s), n)| format!("{c}|{s}|{}", shown(n))).collect();
            prop_assert_eq!(db.lines("SELECT city, sku, n FROM t"), wanted);
            prop_assert_eq!(db.rows("SELECT COUNT(*) FROM t"), vec![vec![model.len().to_string()]]);
        }
    }
}

#[test]
fn a_table_shows_its_columns_and_keys() {
    let db = Db::new();
    db.run("CREATE TABLE users (id BIGINT PRIMARY KEY, name STRING, since TIMESTAMP)")
        .unwrap();
    assert_eq!(
        db.lines("DESCRIBE users"),
        [
            "id|BIGINT|key",
            "name|STRING|field",
            "since|TIMESTAMP|field"
        ]
    );
    assert_eq!(db.lines("SHOW TABLES"), ["users|table"]);
    assert!(db.rows("SHOW STREAMS").is_empty());
    // Columns that are not given are NULL, those of the row before among them.
    db.run("INSERT INTO users VALUES (1, 'Ada', TIMESTAMP '2026-01-01'); UPSERT INTO users (id) VALUES (1)").unwrap();
    assert_eq!(db.lines("SELECT * FROM users"), ["1|NULL|NULL"]);
    db.run("UPSERT INTO users SELECT id + 1, 'x', since FROM users")
        .unwrap();
    assert_eq!(
        db.lines("SELECT id, name FROM users WHERE id > 0"),
        ["1|NULL", "2|x"]
    );
    assert_eq!(db.rows("SELECT name FROM users LIMIT 1").len(), 1);
    assert_eq!(db.rows("DELETE FROM users")[0], ["2 rows deleted"]);
    assert!(db.rows("SELECT * FROM users").is_empty());
    assert_eq!(
        db.rows("CREATE TABLE IF NOT EXISTS users (id BIGINT PRIMARY KEY)")[0],
        ["nothing to do"]
    );
    db.run("UPSERT INTO users (id) VALUES (9)").unwrap();
    db.run("CREATE OR REPLACE TABLE users (name STRING PRIMARY KEY)")
        .unwrap();
    assert!(db.rows("SELECT name FROM users").is_empty());
    db.run("DROP TABLE users").unwrap();
    assert!(
        db.fails("SELECT * FROM users")
            .contains("there is no stream, table or view")
    );
}

#[test]
fn what_a_table_cannot_be_or_take_is_said() {
    let db = Db::new();
    db.run("CREATE STREAM s (v BIGINT, ts TIMESTAMP); CREATE TABLE t (id BIGINT PRIMARY KEY, v DOUBLE)").unwrap();
    let cases = [
        ("CREATE TABLE u (id BIGINT)", "needs a PRIMARY KEY"),
        ("CREATE TABLE u (v DOUBLE PRIMARY KEY)", "not exact"),
        ("CREATE TABLE u (a INT, PRIMARY KEY (b))", "no column \"b\""),
        (
            "CREATE TABLE u (a INT, PRIMARY KEY (a, A))",
            "in the key twice",
        ),
        (
            "CREATE TABLE u (_deleted BOOLEAN PRIMARY KEY)",
            "for itself",
        ),
        (
            "CREATE TABLE u (a INT PRIMARY KEY) WITH (retention = '1 day')",
            "no table option",
        ),
        (
            "CREATE TABLE u (a INT PRIMARY KEY) WITH (table_key = '0')",
            "no table option",
        ),
        ("CREATE TABLE t (a INT PRIMARY KEY)", "exists already"),
        (
            "CREATE OR REPLACE TABLE s (a INT PRIMARY KEY)",
            "is a stream",
        ),
        ("CREATE STREAM t (a INT)", "exists already"),
        ("INSERT INTO t (v) VALUES (1)", "part of the key"),
        ("INSERT INTO t VALUES (NULL, 1), (2, 2)", "part of the key"),
        (
            "UPSERT INTO s VALUES (1, TIMESTAMP '2026-01-01')",
            "write INSERT INTO",
        ),
        ("DELETE FROM s", "DELETE from a stream is not available yet"),
        ("DROP STREAM t", "write DROP TABLE"),
        ("DROP TABLE s", "write DROP STREAM"),
        (
            "CREATE VIEW v AS SELECT COUNT(*) FROM t",
            "not available yet",
        ),
    ];
    for (sql, why) in cases {
        let error = db.fails(sql);
        assert!(error.contains(why), "{sql}\n{error}");
    }
    // Nothing of what was refused is there, and writes go on.
    assert!(db.rows("SELECT * FROM t").is_empty());
    db.run("INSERT INTO t VALUES (1, 1)").unwrap();
    assert_eq!(db.lines("SELECT * FROM t"), ["1|1.0"]);
}

#[test]
fn tables_are_joined_with_history() {
    let db = Db::new();
    db.run("CREATE STREAM buys (who BIGINT, amount BIGINT, ts TIMESTAMP); CREATE TABLE users (id BIGINT PRIMARY KEY, name STRING)").unwrap();
    db.run("INSERT INTO buys VALUES (1, 10, TIMESTAMP '2026-01-01'), (2, 20, TIMESTAMP '2026-01-01'), (1, 30, TIMESTAMP '2026-01-02')").unwrap();
    db.run("UPSERT INTO users VALUES (1, 'Ada'), (3, 'Bob')")
        .unwrap();
    let sql = "SELECT u.name, SUM(b.amount) FROM buys b LEFT JOIN users u ON b.who = u.id GROUP BY u.name";
    assert_eq!(db.lines(sql), ["Ada|40", "NULL|20"]);
    db.run("UPSERT INTO users VALUES (1, 'Eve'), (2, 'Kim')")
        .unwrap();
    assert_eq!(db.lines(sql), ["Eve|40", "Kim|20"]);
    assert_eq!(
        db.lines("SELECT name FROM users WHERE id NOT IN (SELECT who FROM buys)"),
        ["Bob"]
    );
}
