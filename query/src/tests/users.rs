//! The users' own statements, word for word, and what hostile statements meet.

use super::Db;
use crate::bind::windowed::{AggFunc, ContinuousQuery, WindowSpec};
use crate::{Output, QueryError, Session};
use std::time::Duration;

const MINUTE: i64 = 60_000_000_000;

const PURCHASES: &str = "CREATE STREAM purchases (user_id BIGINT, amount DECIMAL(10,2), city STRING, timestamp TIMESTAMP) WITH (kafka_topic = 'purchases', value_format = 'JSON');";
const REVENUE: &str = "SELECT city, COUNT(*) as purchase_count, SUM(amount) as total_revenue, AVG(amount) as avg_order_value FROM purchases WINDOW TUMBLING GROUP BY city EMIT CHANGES;";
const SESSIONS: &str = "SELECT user_id, SESSION_START() as session_start, SESSION_END() as session_end, COUNT(*) as page_views, COLLECT_LIST(page_url) as visited_pages FROM page_views WINDOW SESSION GROUP BY user_id HAVING COUNT(*) > 10 EMIT CHANGES;";
const FRAUD: &str = "SELECT user_id, COUNT(*) as purchase_count, COUNT(DISTINCT city) as city_count, COLLECT_LIST(city) as cities FROM purchases GROUP BY user_id, HOP(timestamp, INTERVAL '1' HOUR, INTERVAL '5' MINUTE) HAVING COUNT(*) >= 5 AND COUNT(DISTINCT city) >= 3 EMIT CHANGES;";

fn db() -> Db {
    let db = Db::new();
    db.run(PURCHASES).unwrap();
    db.run("CREATE STREAM page_views (user_id BIGINT, page_url STRING, timestamp TIMESTAMP)")
        .unwrap();
    db
}

fn bound(db: &Db, sql: &str) -> (ContinuousQuery, Vec<String>) {
    match db.run(sql).unwrap_or_else(|e| panic!("{sql}\n{e}")).pop() {
        Some(Output::Continuous { query, notices, .. }) => (*query, notices),
        other => panic!("{sql}\n{other:?}"),
    }
}

#[test]
fn continuous_statements_bind_to_their_windows_and_columns() {
    let db = db();
    let names = |q: &ContinuousQuery| -> Vec<String> {
        q.output()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect()
    };
    let (revenue, notices) = bound(&db, REVENUE);
    assert_eq!(
        names(&revenue),
        [
            "city",
            "purchase_count",
            "total_revenue",
            "avg_order_value",
            "window_start",
            "window_end"
        ]
    );
    assert_eq!(notices, ["WINDOW TUMBLING without a size means 1 minute"]);
    let ContinuousQuery::Aggregate(q) = revenue else {
        panic!("not grouped")
    };
    assert_eq!(
        q.window,
        WindowSpec::Tumbling {
            size: MINUTE,
            offset: 0
        }
    );
    assert_eq!(q.keys.len(), 1);

    let (sessions, _) = bound(&db, SESSIONS);
    assert_eq!(
        names(&sessions),
        [
            "user_id",
            "session_start",
            "session_end",
            "page_views",
            "visited_pages"
        ]
    );
    let ContinuousQuery::Aggregate(q) = sessions else {
        panic!("not grouped")
    };
    assert_eq!(q.window, WindowSpec::Session { gap: 30 * MINUTE });
    assert!(q.having.is_some());
    let list = q
        .aggregates
        .iter()
        .find(|a| a.func == AggFunc::CollectList)
        .expect("a list");
    assert!(list.filter.is_none(), "nulls are the operator's affair");

    let (fraud, _) = bound(&db, FRAUD);
    let ContinuousQuery::Aggregate(q) = fraud else {
        panic!("not grouped")
    };
    assert_eq!(
        q.window,
        WindowSpec::Hopping {
            size: 60 * MINUTE,
            advance: 5 * MINUTE,
            offset: 0
        }
    );

    let (bucket, _) = bound(
        &db,
        "SELECT time_bucket('5 minutes', timestamp) AS t, count(*) FROM purchases GROUP BY t EMIT CHANGES",
    );
    assert_eq!(names(&bucket), ["t", "count(*)"]);
    let ContinuousQuery::Aggregate(q) = bucket else {
        panic!("not grouped")
    };
    assert_eq!(
        q.window,
        WindowSpec::Tumbling {
            size: 5 * MINUTE,
            offset: 0
        }
    );

    let (rows, _) = bound(
        &db,
        "SELECT city, amount * 2 AS twice FROM purchases WHERE amount > 100 EMIT CHANGES",
    );
    assert!(matches!(rows, ContinuousQuery::Rows(_)));
    assert_eq!(names(&rows), ["city", "twice"]);
}

#[test]
fn the_same_statements_answer_once_over_rows_at_hand() {
    let db = db();
    let mut values = Vec::new();
    for (i, city) in ["Oslo", "Rome", "Lima", "Oslo", "Rome"].iter().enumerate() {
        values.push(format!("(7, {i}.25, '{city}', '2026-01-01 10:0{i}:00')"));
    }
    db.run(&format!(
        "INSERT INTO purchases VALUES {}, (8, 1, 'Oslo', '2026-01-01 10:00:00')",
        values.join(", ")
    ))
    .unwrap();
    let once = |sql: &str| sql.replace(" EMIT CHANGES;", "");
    let fraud = db.rows(&format!(
        "SELECT * FROM ({}) AS f ORDER BY window_start",
        once(FRAUD)
    ));
    // Twelve windows of an hour begin every five minutes; those that hold all five purchases show them.
    assert_eq!(fraud.len(), 12);
    assert_eq!(
        fraud[0][..4],
        ["7", "5", "3", "[Oslo, Rome, Lima, Oslo, Rome]"]
    );
    let revenue = db.rows(&format!(
        "SELECT * FROM ({}) AS r ORDER BY window_start, city",
        once(REVENUE)
    ));
    assert_eq!(revenue[0][..4], ["Oslo", "2", "1.25", "0.625000"]);
    let urls: Vec<String> = (0..11)
        .map(|i| format!("(1, '/p{i}', '2026-01-01 10:{:02}:00')", i * 5))
        .collect();
    db.run(&format!(
        "INSERT INTO page_views VALUES {}",
        urls.join(", ")
    ))
    .unwrap();
    let sessions = db.rows(&once(SESSIONS));
    assert_eq!(sessions.len(), 1);
    assert_eq!(
        sessions[0][1..4],
        ["2026-01-01T10:00:00", "2026-01-01T11:20:00", "11"]
    );
}

#[test]
fn hostile_statements_end_in_clear_errors() {
    let db = db();
    let code = |sql: &str| db.table(sql).err().map(|e| e.code()).unwrap_or("none");
    let many = |n: usize, term: &str, op: &str| vec![term; n].join(op);
    assert_eq!(code(&format!("SELECT {}", many(100_000, "1", "+"))), "bind");
    assert_eq!(
        code(&format!(
            "SELECT city FROM purchases WHERE {}",
            many(100_000, "user_id = 1", " OR ")
        )),
        "bind"
    );
    assert_eq!(
        code(&format!(
            "SELECT city FROM purchases WHERE {}",
            many(3_000, "user_id = 1", " OR ")
        )),
        "none"
    );
    assert_eq!(
        code(&format!(
            "SELECT {}1{}",
            "(".repeat(100_000),
            ")".repeat(100_000)
        )),
        "syntax"
    );
    assert_eq!(
        code("SELECT city FROM purchases LIMIT 18446744073709551615"),
        "none"
    );
    assert_eq!(
        code("SELECT time_bucket('0 seconds', timestamp) FROM purchases"),
        "bind"
    );
    assert_eq!(
        code("SELECT count(*) FROM purchases GROUP BY HOP(timestamp, INTERVAL '1' HOUR, '1 ns')"),
        "bind"
    );
}

#[test]
fn limits_of_time_and_memory_are_kept() {
    let mut db = Db::new();
    db.run("CREATE STREAM t (ts TIMESTAMP, v BIGINT)").unwrap();
    let rows: Vec<String> = (0..3_000).map(|i| format!("({i}, {i})")).collect();
    db.run(&format!("INSERT INTO t VALUES {}", rows.join(", ")))
        .unwrap();
    let cross = "SELECT count(*) FROM t a, t b, t c WHERE a.v + b.v * c.v = -1";
    db.session = Session {
        time_limit: Some(Duration::from_millis(50)),
        ..Session::default()
    };
    assert!(matches!(db.table(cross), Err(QueryError::TimedOut(_))));
    db.session = Session {
        memory_limit: Some(100_000),
        ..Session::default()
    };
    assert!(matches!(
        db.table("SELECT a.v, b.v FROM t a, t b ORDER BY a.v * b.v, a.v"),
        Err(QueryError::TooLarge(_))
    ));
    db.session = Session::default();
    assert_eq!(db.rows("SELECT count(*) FROM t"), [["3000"]]);
}
