//! Dead letters: replayed after what was wrong has been mended, once.

use super::Tester;
use query::Session;
use serde_json::{Value, json};
use std::task::Poll;

const NDJSON: &str = "content-type: application/x-ndjson\r\n";

async fn message(t: &Tester, sql: &str) -> String {
    t.sql(sql).await["message"].as_str().unwrap().to_owned()
}

async fn rows(t: &Tester, sql: &str) -> Value {
    t.sql(sql).await["rows"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_succeeds_is_replayed_once_and_what_fails_stays() {
    let t = Tester::start(|_| ()).await;
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "0 letters replayed, 0 refused again"
    );
    t.sql("CREATE STREAM s (id BIGINT, v BIGINT, ts TIMESTAMP); CREATE STREAM other (v BIGINT, ts TIMESTAMP)")
        .await;
    let body = [
        r#"{"id":1,"v":10,"ts":1700000001}"#,
        r#"{"id":2,"v":"twenty","ts":1700000002}"#,
        r#"{"id":3,"v":"thirty"}"#,
        r#"{"id":4,"v":"forty","ts":1700000004}"#,
        r#"{"id":5,"#,
    ];
    let path = "/api/v1/ingest/s";
    let reply = t
        .request("POST", path, NDJSON, body.join("\n").as_bytes())
        .await;
    assert_eq!(
        (reply.status, reply.json()["rejected"].clone()),
        (200, json!(4))
    );
    let reply = t
        .request(
            "POST",
            "/api/v1/ingest/other",
            NDJSON,
            br#"{"v":{},"ts":"never"}"#,
        )
        .await;
    assert_eq!(reply.json()["rejected"], json!(1));
    // A name without letters that nothing has is a slip.
    let slip = t.post("/api/v1/sql", "REPLAY DEAD LETTERS FROM othr").await;
    let slip = slip.json();
    assert_eq!(slip["error"]["code"], "not_found", "{slip}");
    assert_eq!(slip["error"]["hint"], r#"did you mean "other"?"#, "{slip}");
    // Nothing is mended yet.
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS FROM S").await,
        "0 letters replayed, 4 refused again"
    );
    assert_eq!(
        rows(&t, "SELECT COUNT(*) FROM dead_letters").await,
        json!([[5]])
    );
    t.sql("DROP STREAM s; CREATE STREAM s (id BIGINT, v STRING, ts TIMESTAMP)")
        .await;
    // Only what is asked for.
    let some = "REPLAY DEAD LETTERS FROM s WHERE payload LIKE '%twenty%'";
    assert_eq!(
        message(&t, some).await,
        "1 letters replayed, 0 refused again"
    );
    assert_eq!(
        message(&t, some).await,
        "0 letters replayed, 0 refused again"
    );
    let reply = t.sql("REPLAY DEAD LETTERS FROM s").await;
    assert_eq!(
        reply["message"],
        json!("1 letters replayed, 2 refused again")
    );
    let notices = reply["notices"].to_string();
    assert!(
        notices.contains("ts") && notices.contains("row 3"),
        "{notices}"
    );
    let wanted = json!([[2, "twenty"], [4, "forty"]]);
    let all = "SELECT id, v FROM s ORDER BY id";
    assert_eq!(rows(&t, all).await, wanted);
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS FROM s").await,
        "0 letters replayed, 2 refused again"
    );
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "0 letters replayed, 3 refused again"
    );
    assert_eq!(rows(&t, all).await, wanted);
    assert_eq!(
        rows(&t, "SELECT stream FROM dead_letters_replayed").await,
        json!([["s"], ["s"]])
    );
}

/// Rows that a derived stream cannot take are refused with their letter, the others of the same commit are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_a_commit_refuses_keeps_no_other_back() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (v BIGINT, ts TIMESTAMP)").await;
    let body: Vec<String> = (0..6)
        .map(|v| format!("{{\"v\":\"{v} pieces\",\"ts\":{}}}", 1_700_000_000 + v))
        .collect();
    t.request(
        "POST",
        "/api/v1/ingest/s",
        NDJSON,
        body.join("\n").as_bytes(),
    )
    .await;
    t.sql("DROP STREAM s; CREATE STREAM s (v STRING, ts TIMESTAMP); CREATE STREAM d AS SELECT 10 / CAST(LEFT(v, 1) AS BIGINT) AS share, ts FROM s")
        .await;
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "5 letters replayed, 1 refused again"
    );
    assert_eq!(rows(&t, "SELECT COUNT(*) FROM s").await, json!([[5]]));
    assert_eq!(rows(&t, "SELECT COUNT(*) FROM d").await, json!([[5]]));
    t.sql("DROP STREAM d").await;
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "1 letters replayed, 0 refused again"
    );
    assert_eq!(rows(&t, "SELECT COUNT(*) FROM s").await, json!([[6]]));
}

/// A client that goes away gives its replay up wherever that is: before, while or after the letters are committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_given_up_at_any_moment_leaves_each_letter_once() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (v BIGINT, ts TIMESTAMP)").await;
    let body: Vec<String> = (0..9)
        .map(|v| format!("{{\"v\":\"{v} pieces\",\"ts\":{}}}", 1_700_000_000 + v))
        .collect();
    let body = body.join("\n");
    t.request("POST", "/api/v1/ingest/s", NDJSON, body.as_bytes())
        .await;
    t.sql("DROP STREAM s; CREATE STREAM s (v STRING, ts TIMESTAMP)")
        .await;
    let query = t.app().query.clone();
    let session = Session::default();
    for moments in 1.. {
        let mut replay = Box::pin(query.execute(&session, "REPLAY DEAD LETTERS"));
        let mut left = moments;
        let given_up = std::future::poll_fn(|context| match replay.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map(|_| false)),
            Poll::Pending => {
                left -= 1;
                match left {
                    0 => Poll::Ready(Ok(true)),
                    _ => Poll::Pending,
                }
            }
        });
        if !given_up.await.unwrap() {
            assert!(moments > 2, "it never waits for anything");
            break;
        }
    }
    let each = "SELECT v, COUNT(*) FROM s GROUP BY v ORDER BY v";
    let wanted: Vec<Value> = (0..9).map(|v| json!([format!("{v} pieces"), 1])).collect();
    assert_eq!(rows(&t, each).await, Value::from(wanted));
    let marks = "SELECT COUNT(*) FROM dead_letters_replayed";
    assert_eq!(rows(&t, marks).await, json!([[9]]));
}

/// Lines are read again as lines; one that is too old still is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_came_too_late_are_tried_too() {
    let t = Tester::start(|_| ()).await;
    t.sql(
        "CREATE STREAM cpu (time TIMESTAMP, host STRING TAG, v DOUBLE) WITH (retention = '1 day')",
    )
    .await;
    let reply = t
        .post("/write?db=default&precision=s", "cpu,host=a v=1 1000000000")
        .await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(
        rows(&t, "SELECT COUNT(*) FROM dead_letters").await,
        json!([[1]])
    );
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "0 letters replayed, 1 refused again"
    );
    t.sql("DROP STREAM cpu").await;
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "0 letters replayed, 1 refused again"
    );
    // A stream that lines make, from a line of its own.
    let reply = t
        .post("/write?db=default&precision=s", "cpu,host=b v=2 1700000000")
        .await;
    assert_eq!(reply.status, 204);
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS FROM cpu").await,
        "1 letters replayed, 0 refused again"
    );
    let all = rows(&t, "SELECT host, v, time FROM cpu ORDER BY time").await;
    assert_eq!(
        all,
        json!([
            ["a", 1.0, "2001-09-09T01:46:40Z"],
            ["b", 2.0, "2023-11-14T22:13:20Z"]
        ])
    );
}

/// The reply tells of the first bad line alone, and most clients throw the others away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_refused_are_kept_and_tried_again() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM cpu (time TIMESTAMP, host STRING TAG, v BIGINT)")
        .await;
    let body = "cpu,host=a v=1i 1700000000\ncpu,host=a v=\"x\" 1700000001\nnobody knows\nmem,host=a v=1 17e\ncpu,host=b v= 1\n";
    let reply = t.post("/write?db=default&precision=s", body).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("dropped=4"), "{}", reply.text());
    let letters = "SELECT stream, source, payload FROM dead_letters ORDER BY payload";
    let kept = json!([
        ["cpu", "http", "cpu,host=a v=\"x\" 1700000001"],
        ["cpu", "http", "cpu,host=b v= 1"],
        ["", "http", "mem,host=a v=1 17e"],
        ["", "http", "nobody knows"]
    ]);
    assert_eq!(rows(&t, letters).await, kept);
    t.sql("DROP STREAM cpu; CREATE STREAM cpu (time TIMESTAMP, host STRING TAG, v STRING)")
        .await;
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "1 letters replayed, 3 refused again"
    );
    assert_eq!(
        rows(&t, "SELECT host, v FROM cpu").await,
        json!([["a", "x"]])
    );
    // Many: what is kept has a bound, and the rest a count.
    let many = "?\n".repeat(12_000);
    let reply = t.post("/write?db=default", &many).await;
    assert!(reply.text().contains("dropped=12000"), "{}", reply.text());
    let counts = "SELECT COUNT(*), COUNT(*) FILTER (WHERE reason = '2000 more rows were refused') FROM dead_letters";
    assert_eq!(rows(&t, counts).await, json!([[10_005, 1]]));
}

/// What a derived stream can't be computed from is left out of what came by HTTP: a letter, which is replayed when nothing is
/// computed any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_a_derived_stream_refuses_keeps_no_other_back() {
    let t = Tester::start(|_| ()).await;
    t.sql(
        "CREATE STREAM s (k STRING TAG, v BIGINT, d DECIMAL(9,2), u UBIGINT, b BOOLEAN, f DOUBLE, seen TIMESTAMP, note STRING, ts TIMESTAMP);
         CREATE STREAM shares AS SELECT 100 / v AS share, ts FROM s",
    )
    .await;
    let row = |v: i64| {
        format!(
            r#"{{"k":"a {v}","v":{v},"d":"-1.05","u":18446744073709551615,"b":true,"f":0.1,"seen":"1969-12-31T23:59:59.999999999Z","note":"é\"","ts":"1970-01-01T00:00:00.00000000{v}Z"}}"#
        )
    };
    let body: Vec<String> = (0..9).map(|i| row(i % 4)).collect();
    let text = body.join("\n");
    let headers = "content-type: application/x-ndjson\r\nidempotency-key: k1\r\n";
    let send = || t.request("POST", "/api/v1/ingest/s", headers, text.as_bytes());
    let first = send().await;
    let told = first.json();
    assert_eq!(
        (&told["accepted"], &told["rejected"]),
        (&json!(6), &json!(3)),
        "{told}"
    );
    let numbers: Vec<&Value> = (0..3).map(|i| &told["errors"][i]["row"]).collect();
    assert_eq!(numbers, [1, 5, 9], "{told}");
    // Thousands of them are no slip: nothing is taken, and the search ends.
    let hopeless = format!("{}\n", row(0)).repeat(12_000);
    let refused = t
        .request("POST", "/api/v1/ingest/s", NDJSON, hopeless.as_bytes())
        .await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (422, &json!("refused"))
    );
    // The reply is kept with what it tells of.
    let again = send().await;
    assert_eq!(
        (again.header("idempotency-replayed"), again.json()),
        (Some("true"), told)
    );
    let all = "SELECT k, v, d, u, b, f, seen, note, ts FROM s WHERE v = 0 ORDER BY ts";
    assert_eq!(rows(&t, "SELECT COUNT(*) FROM s").await, json!([[6]]));
    assert_eq!(rows(&t, "SELECT COUNT(*) FROM shares").await, json!([[6]]));
    let letters = "SELECT stream, source, position FROM dead_letters ORDER BY position";
    let wanted = json!([
        ["s", "http", "row 1"],
        ["s", "http", "row 5"],
        ["s", "http", "row 9"]
    ]);
    assert_eq!(rows(&t, letters).await, wanted);
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "0 letters replayed, 3 refused again"
    );
    t.sql("DROP STREAM shares").await;
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS").await,
        "3 letters replayed, 0 refused again"
    );
    let one = json!([
        "a 0",
        0,
        -1.05,
        18_446_744_073_709_551_615u64,
        true,
        0.1,
        "1969-12-31T23:59:59.999999999Z",
        "é\"",
        "1970-01-01T00:00:00Z"
    ]);
    assert_eq!(rows(&t, all).await, json!([one, one, one]));

    // Lines: the answer tells of it, and so that they are not sent again.
    t.sql("CREATE STREAM cpu (host STRING TAG, used BIGINT, time TIMESTAMP); CREATE STREAM free AS SELECT 100 / used AS n, time FROM cpu")
        .await;
    let lines = "cpu,host=a used=1i 1\ncpu,host=b used=0i 2\nother x=1 3\ncpu,host=c used=2i 4\n";
    let reply = t.post("/write?db=default", lines).await;
    assert_eq!(reply.status, 400);
    let told = reply.text().to_lowercase();
    assert!(
        told.contains("partial write: ") && told.contains("zero") && told.contains("dropped=1"),
        "{told}"
    );
    let counts = "SELECT (SELECT COUNT(*) FROM cpu), (SELECT COUNT(*) FROM free), (SELECT COUNT(*) FROM other)";
    assert_eq!(rows(&t, counts).await, json!([[2, 2, 1]]));
    t.sql("DROP STREAM free").await;
    assert_eq!(
        message(&t, "REPLAY DEAD LETTERS FROM cpu").await,
        "1 letters replayed, 0 refused again"
    );
    let host = "SELECT host, used, time FROM cpu WHERE used = 0";
    assert_eq!(
        rows(&t, host).await,
        json!([["b", 0, "1970-01-01T00:00:00.000000002Z"]])
    );
}

/// Something derived from letters that can't take one costs that letter alone, and the reply says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_nothing_can_be_derived_from_is_told_of() {
    let t = Tester::start(|_| ()).await;
    t.sql("CREATE STREAM s (v BIGINT, ts TIMESTAMP)").await;
    let post = async |body: &str| {
        let reply = t.request("POST", "/api/v1/ingest/s", NDJSON, body.as_bytes());
        reply.await.json()
    };
    post(r#"{"v":"x","ts":1}"#).await;
    t.sql("CREATE STREAM alerts AS SELECT 1 / (length(reason) - length(reason)) AS n, time FROM dead_letters")
        .await;
    let told = post("{\"v\":1,\"ts\":1}\n{\"v\":\"y\",\"ts\":2}").await;
    let counts = (&told["accepted"], &told["rejected"]);
    assert_eq!(counts, (&json!(1), &json!(1)), "{told}");
    let notice = told["notices"][0].as_str().unwrap();
    assert!(notice.contains("not kept"), "{notice}");
    let kept = "SELECT (SELECT COUNT(*) FROM s), (SELECT COUNT(*) FROM dead_letters)";
    assert_eq!(rows(&t, kept).await, json!([[1, 1]]));
}
