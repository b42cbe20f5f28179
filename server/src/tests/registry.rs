//! The built-in schema registry, as clients of Confluent's meet it.

use super::{Reply, Tester};
use serde_json::{Value, json};

const KIND: &str = "application/vnd.schemaregistry.v1+json";

fn avro(fields: &[&str]) -> Value {
    let field = |f: &&str| json!({"name": f, "type": "int"});
    let fields: Vec<Value> = fields.iter().map(field).collect();
    let schema = json!({"type": "record", "name": "R", "fields": fields});
    json!({"schema": schema.to_string()})
}

struct Registry {
    t: Tester,
}

impl Registry {
    async fn start() -> Registry {
        Registry {
            t: Tester::start(|_| ()).await,
        }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = format!("content-type: {KIND}\r\n");
        let path = format!("/schema-registry{path}");
        let reply = self
            .t
            .request(method, &path, &headers, body.as_bytes())
            .await;
        assert_eq!(reply.header("content-type"), Some(KIND), "{method} {path}");
        reply
    }

    /// A request that must succeed.
    async fn good(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = self.send(method, path, body).await;
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text());
        reply.json()
    }

    async fn get(&self, path: &str) -> Value {
        self.good("GET", path, &Value::Null).await
    }

    /// A request that must be refused so.
    async fn refused(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        status: u16,
        code: u32,
    ) -> String {
        let reply = self.send(method, path, body).await;
        let told = reply.json();
        assert_eq!(
            (reply.status, told["error_code"].as_u64()),
            (status, Some(u64::from(code))),
            "{method} {path}: {told}"
        );
        told["message"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_from_its_first_schema_to_its_end() {
    let r = Registry::start().await;
    assert_eq!(r.get("/subjects").await, json!([]));
    let done = r
        .good("POST", "/subjects/a%2Fb/versions", &avro(&["x"]))
        .await;
    assert_eq!((&done["id"], &done["version"]), (&json!(1), &json!(1)));
    r.good("POST", "/subjects/a%2Fb/versions", &avro(&[])).await;
    assert_eq!(r.get("/subjects").await, json!(["a/b"]));
    assert_eq!(r.get("/subjects/a%2Fb/versions").await, json!([1, 2]));
    assert_eq!(
        r.get("/subjects/a%2Fb/versions?offset=1&limit=5").await,
        json!([2])
    );
    let one = r.get("/subjects/a%2Fb/versions/1").await;
    assert_eq!(one["subject"], "a/b");
    assert_eq!((&one["id"], &one["version"]), (&json!(1), &json!(1)));
    assert_eq!(one["schema"], avro(&["x"])["schema"]);
    assert!(one.get("schemaType").is_none(), "Avro is not told");
    assert_eq!(r.get("/subjects/a%2Fb/versions/latest").await["version"], 2);
    let raw = r
        .send("GET", "/subjects/a%2Fb/versions/1/schema", &Value::Null)
        .await;
    assert_eq!(raw.text(), avro(&["x"])["schema"].as_str().unwrap());
    let by_id = r.get("/schemas/ids/1?fetchMaxId=true").await;
    assert_eq!(
        (&by_id["schema"], &by_id["maxId"]),
        (&one["schema"], &json!(2))
    );
    let guid = by_id["guid"].as_str().unwrap();
    assert_eq!(r.get(&format!("/schemas/guids/{guid}")).await["id"], 1);
    assert_eq!(r.get("/schemas/ids/1/subjects").await, json!(["a/b"]));
    assert_eq!(
        r.get("/schemas/ids/1/versions").await,
        json!([{"subject": "a/b", "version": 1}])
    );
    assert_eq!(
        r.get("/schemas/types").await,
        json!(["JSON", "PROTOBUF", "AVRO"])
    );
    let found = r.good("POST", "/subjects/a%2Fb", &avro(&["x"])).await;
    assert_eq!(found["version"], 1);
    let gone = r
        .good("DELETE", "/subjects/a%2Fb/versions/1", &Value::Null)
        .await;
    assert_eq!(gone, json!(1));
    let gone = r.good("DELETE", "/subjects/a%2Fb", &Value::Null).await;
    assert_eq!(gone, json!([2]));
    assert_eq!(r.get("/subjects").await, json!([]));
    for deleted in [
        "deleted=true",
        "deletedOnly=true",
        "deleted&subjectPrefix=:*:a",
        "deleted&subjectPrefix=:.:a",
    ] {
        let listed = r.get(&format!("/subjects?{deleted}")).await;
        assert_eq!(listed, json!(["a/b"]), "{deleted}");
    }
    assert_eq!(
        r.get("/subjects/:.:a%2Fb/versions?deletedOnly=true").await,
        json!([1, 2])
    );
    assert_eq!(
        r.get("/schemas?deletedOnly=true&offset=1&limit=1").await[0]["version"],
        2
    );
    let all = r.get("/schemas?deleted=true&latestOnly=true").await;
    assert_eq!(all[0]["subject"], "a/b");
    assert!(all[0]["schema"].is_string(), "{all}");
    assert_eq!(r.get("/schemas").await, json!([]));
    let id = r.get("/v1/metadata/id").await;
    assert!(id["scope"]["clusters"].is_object(), "{id}");
    let gone = r
        .good("DELETE", "/subjects/a%2Fb?permanent=true", &Value::Null)
        .await;
    assert_eq!(gone, json!([1, 2]));
    r.refused("GET", "/schemas/ids/1", &Value::Null, 404, 40403)
        .await;
    r.t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_codes_that_clients_know() {
    let r = Registry::start().await;
    r.good("POST", "/subjects/s/versions", &avro(&["x"])).await;
    let none = Value::Null;
    for (method, path, body, status, code) in [
        ("GET", "/subjects/no/versions", &none, 404, 40401),
        ("GET", "/subject", &none, 404, 404),
        ("PATCH", "/subjects", &none, 405, 405),
        ("GET", "/subjects/no/versions/1", &none, 404, 40401),
        ("GET", "/subjects/s/versions/7", &none, 404, 40402),
        ("GET", "/subjects/s/versions/first", &none, 422, 42202),
        ("GET", "/subjects/s/versions/0/schema", &none, 422, 42202),
        ("GET", "/schemas/ids/99", &none, 404, 40403),
        ("GET", "/schemas/ids/x/schema", &none, 404, 40403),
        ("GET", "/schemas/guids/x", &none, 404, 40403),
        ("GET", "/config/s", &none, 404, 40408),
        ("GET", "/mode/s", &none, 404, 40409),
        ("DELETE", "/subjects/s?permanent=true", &none, 404, 40405),
        (
            "DELETE",
            "/subjects/s/versions/1?permanent=true",
            &none,
            404,
            40407,
        ),
        ("DELETE", "/config/s", &none, 404, 40401),
        (
            "POST",
            "/subjects/s/versions",
            &json!({"schema": "{"}),
            422,
            42201,
        ),
        ("POST", "/subjects/s/versions", &json!({}), 422, 42201),
        (
            "POST",
            "/subjects/s/versions",
            &json!({"schema": "{}", "schemaType": "XML"}),
            422,
            42201,
        ),
        (
            "POST",
            "/subjects/s/versions",
            &json!({"schema": "\"int\"", "ruleSet": {"a": 1}}),
            422,
            42201,
        ),
        ("POST", "/subjects/s/versions", &json!([]), 400, 400),
        ("POST", "/subjects/s/versions", &avro(&["x", "y"]), 409, 409),
        ("POST", "/subjects/s", &avro(&["z"]), 404, 40403),
        ("POST", "/subjects/no", &avro(&["z"]), 404, 40401),
        (
            "POST",
            "/compatibility/subjects/s/versions/9",
            &avro(&["x"]),
            404,
            40402,
        ),
        (
            "PUT",
            "/config",
            &json!({"compatibility": "SOME"}),
            422,
            42203,
        ),
        (
            "PUT",
            "/config/s",
            &json!({"compatibility": "FULL", "alias": "b"}),
            422,
            42203,
        ),
        ("PUT", "/mode", &json!({"mode": "SLEEP"}), 422, 42204),
        ("PUT", "/mode", &json!({"mode": "IMPORT"}), 422, 42205),
    ] {
        r.refused(method, path, body, status, code).await;
    }
    let huge = json!({"schema": "x".repeat(5 << 20)});
    r.refused("POST", "/subjects/s/versions", &huge, 413, 413)
        .await;
    // A page from elsewhere changes nothing.
    let body = avro(&[]).to_string();
    let path = "/schema-registry/subjects/s/versions";
    let reply =
        r.t.request(
            "POST",
            path,
            "origin: http://evil.example\r\n",
            body.as_bytes(),
        )
        .await;
    assert_eq!(reply.status, 403);
    assert_eq!(r.get("/subjects/s/versions").await, json!([1]));
    r.t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compatibility_and_modes_are_settings_for_all_and_for_one() {
    let r = Registry::start().await;
    r.good("POST", "/subjects/s/versions", &avro(&["x"])).await;
    assert_eq!(
        r.get("/config").await,
        json!({"compatibilityLevel": "BACKWARD"})
    );
    let check = "/compatibility/subjects/s/versions";
    let wrong = r
        .good(
            "POST",
            &format!("{check}/latest?verbose=true"),
            &avro(&["y"]),
        )
        .await;
    assert_eq!(wrong["is_compatible"], false);
    let message = wrong["messages"][0].as_str().unwrap();
    assert!(
        message.contains("READER_FIELD_MISSING_DEFAULT_VALUE"),
        "{message}"
    );
    let right = r.good("POST", check, &avro(&[])).await;
    assert_eq!(right, json!({"is_compatible": true}));
    let set = r
        .good("PUT", "/config/s", &json!({"compatibility": "none"}))
        .await;
    assert_eq!(set, json!({"compatibility": "NONE"}));
    assert_eq!(
        r.get("/config/s").await,
        json!({"compatibilityLevel": "NONE"})
    );
    assert_eq!(
        r.get("/config/t?defaultToGlobal=true").await,
        json!({"compatibilityLevel": "BACKWARD"})
    );
    r.good("POST", "/subjects/s/versions", &avro(&["y"])).await;
    let before = r.good("DELETE", "/config/s", &Value::Null).await;
    assert_eq!(before, json!({"compatibilityLevel": "NONE"}));
    assert_eq!(r.get("/mode").await, json!({"mode": "READWRITE"}));
    r.good("PUT", "/mode/s", &json!({"mode": "READONLY"})).await;
    r.refused("POST", "/subjects/s/versions", &avro(&[]), 422, 42205)
        .await;
    r.good("DELETE", "/mode/s", &Value::Null).await;
    r.good("PUT", "/mode?force=True", &json!({"mode": "IMPORT"}))
        .await;
    let mut import = avro(&["q"]);
    import["id"] = json!(500);
    import["version"] = json!(3);
    let done = r.good("POST", "/subjects/i/versions", &import).await;
    assert_eq!((&done["id"], &done["version"]), (&json!(500), &json!(3)));
    r.t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_and_json_schemas_with_references() {
    let r = Registry::start().await;
    let inner = "syntax = \"proto3\"; package p; message In { int32 x = 1; }";
    let kind = "PROTOBUF";
    r.good(
        "POST",
        "/subjects/in/versions",
        &json!({"schemaType": kind, "schema": inner}),
    )
    .await;
    let outer = json!({
        "schemaType": kind,
        "schema": "syntax = \"proto3\"; import \"in.proto\"; message Out { p.In i = 1; }",
        "references": [{"name": "in.proto", "subject": "in", "version": 1}],
    });
    let id = r.good("POST", "/subjects/out/versions", &outer).await["id"].clone();
    let one = r.get("/subjects/out/versions/latest").await;
    assert_eq!(
        (&one["schemaType"], &one["references"]),
        (&json!(kind), &outer["references"])
    );
    assert_eq!(
        r.get("/subjects/in/versions/1/referencedby").await,
        json!([id])
    );
    r.refused("DELETE", "/subjects/in", &Value::Null, 422, 42206)
        .await;
    let serialized = r.get("/subjects/in/versions/1?format=serialized").await;
    let again = json!({"schemaType": kind, "schema": serialized["schema"]});
    assert_eq!(r.good("POST", "/subjects/in", &again).await["version"], 1);
    let closed = json!({"type": "object", "additionalProperties": false, "properties": {"a": {"type": "integer"}}});
    let json_schema = |s: &Value| json!({"schemaType": "JSON", "schema": s.to_string()});
    r.good("POST", "/subjects/j/versions", &json_schema(&closed))
        .await;
    let mut narrowed = closed.clone();
    narrowed["required"] = json!(["a"]);
    let why = r
        .refused(
            "POST",
            "/subjects/j/versions",
            &json_schema(&narrowed),
            409,
            409,
        )
        .await;
    assert!(why.contains("REQUIRED_ATTRIBUTE_ADDED"), "{why}");
    r.t.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_outlive_the_server() {
    let r = Registry::start().await;
    r.good("POST", "/subjects/s/versions", &avro(&["x"])).await;
    r.good("PUT", "/config/s", &json!({"compatibility": "FULL"}))
        .await;
    let before = r.get("/subjects/s/versions/1").await;
    let Tester { server, _dir } = r.t;
    server.stop().await;
    let data_dir = _dir.path().join("data");
    let t = Tester::start(|c| c.data_dir = data_dir).await;
    let r = Registry { t };
    assert_eq!(r.get("/subjects/s/versions/1").await, before);
    assert_eq!(
        r.get("/config/s").await,
        json!({"compatibilityLevel": "FULL"})
    );
    r.t.server.stop().await;
}
