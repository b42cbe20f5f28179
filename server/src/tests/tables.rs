//! Tables over HTTP, and what is made of rows that come in.

use super::Tester;
use serde_json::json;

const NDJSON: &str = "content-type: application/x-ndjson\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_takes_rows_and_deletes_by_http_and_enriches_what_comes_next() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE TABLE users (id BIGINT PRIMARY KEY, name STRING); CREATE STREAM buys (who BIGINT, ts TIMESTAMP); CREATE STREAM named AS SELECT b.*, u.name FROM buys b LEFT JOIN users u ON b.who = u.id")
        .await;
    let post = async |stream: &str, body: &str| {
        let path = format!("/api/v1/ingest/{stream}");
        t.request("POST", &path, NDJSON, body.as_bytes()).await
    };
    let buy = async |who: u32| {
        let reply = post(
            "buys",
            &format!("{{\"who\":{who},\"ts\":{}}}", 1_700_000_000 + who),
        )
        .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    let users = "SELECT id, name FROM users ORDER BY id";
    assert_eq!(
        post(
            "users",
            "{\"id\":1,\"name\":\"Ada\"}\n{\"id\":2,\"name\":\"Bob\"}"
        )
        .await
        .status,
        200
    );
    buy(1).await;
    assert_eq!(
        post(
            "users",
            "{\"id\":1,\"name\":\"Eve\"}\n{\"id\":2,\"_deleted\":true}"
        )
        .await
        .status,
        200
    );
    buy(2).await;
    buy(1).await;
    assert_eq!(t.sql(users).await["rows"], json!([[1, "Eve"]]));
    let named = t
        .sql("SELECT who, name FROM named ORDER BY who, name")
        .await;
    assert_eq!(named["rows"], json!([[1, "Ada"], [1, "Eve"], [2, null]]));
    // Without its key a row is refused, and the others of its request are not.
    let reply = post(
        "users",
        "{\"id\":7,\"name\":\"Kim\"}\n{\"name\":\"nobody\"}",
    )
    .await;
    let told = reply.json();
    assert_eq!(
        (&told["accepted"], &told["rejected"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(told["errors"][0]["row"], json!(2), "{told}");
    let kept = t.sql(users).await["rows"].clone();
    assert_eq!(kept, json!([[1, "Eve"], [7, "Kim"]]));
    t.sql("DELETE FROM users WHERE id = 7").await;
    // The others keep their order: the newest of a key stays the newest.
    let row = |i: i64| match i {
        1 => r#"{"name":"nobody"}"#.to_owned(),
        300 => r#"{"id":7,"name":"old"}"#.to_owned(),
        1500 => r#"{"id":7,"name":"new"}"#.to_owned(),
        i => format!(r#"{{"id":{},"name":"x","_deleted":true}}"#, 1000 + i),
    };
    let many: Vec<String> = (1..=2000).map(row).collect();
    let reply = post("users", &many.join("\n")).await.json();
    assert_eq!(reply["rejected"], json!(1), "{reply}");
    let kept = t.sql(users).await["rows"].clone();
    assert_eq!(kept, json!([[1, "Eve"], [7, "new"]]));
    t.sql("DELETE FROM users WHERE id = 7").await;
    let lines = t
        .post("/write?db=default", "users,host=a name=\"x\" 1")
        .await;
    assert_eq!(lines.status, 400, "{}", lines.text());
    // A new field is a new column, also for the rows that are there.
    assert_eq!(
        post("users", "{\"id\":3,\"name\":\"Kim\",\"plan\":\"free\"}")
            .await
            .status,
        200
    );
    let wide = t.sql("SELECT id, plan FROM users ORDER BY id").await;
    assert_eq!(wide["rows"], json!([[1, null], [3, "free"]]));
}
