//! Formats by what messages name: with registries that answer, do not know, and are down.

use super::*;
use ingest_decode::{ValueFormat, Wait};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

const POINT: &str = r#"{"type":"record","name":"P","fields":[{"name":"x","type":"int"}]}"#;

/// A registry of fixed replies by path: the status and the body. It counts requests.
async fn registry(replies: &[(&str, u16, String)]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let replies: HashMap<String, (u16, String)> = replies
        .iter()
        .map(|(path, status, body)| ((*path).to_owned(), (*status, body.clone())))
        .collect();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match socket.read_u8().await {
                    Ok(b) => head.push(b),
                    Err(_) => break,
                }
            }
            asked.fetch_add(1, Ordering::SeqCst);
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap_or("");
            let unknown = (
                404,
                r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned(),
            );
            let (status, body) = replies.get(path).cloned().unwrap_or(unknown);
            let body = body.replace(
                "AUTHORIZATION",
                head.split("authorization: ")
                    .nth(1)
                    .and_then(|a| a.lines().next())
                    .unwrap_or("none"),
            );
            let reply = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = socket.write_all(reply.as_bytes()).await;
        }
    });
    (format!("http://user:pa%73s@{address}/base/"), count)
}

fn options(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn registries() -> Registries {
    Registries {
        runtime: Handle::current(),
        builtin: None,
    }
}

type Decoded = Result<Vec<Result<Vec<(String, String)>, String>>, Wait>;

/// What a message comes to; the decoder blocks, so it runs where that is allowed.
async fn decode(format: &mut Box<dyn ValueFormat>, message: &[u8]) -> Decoded {
    tokio::task::block_in_place(|| {
        let mut all = Vec::new();
        format.decode(message, &mut |row| {
            let text = |cells: &[(std::borrow::Cow<'_, str>, ingest_decode::Cell<'_>)]| {
                let one =
                    |(n, c): &(std::borrow::Cow<'_, str>, _)| (n.to_string(), format!("{c:?}"));
                cells.iter().map(one).collect()
            };
            all.push(row.map(text).map_err(|e| e.to_string()));
        })?;
        Ok(all)
    })
}

fn reply(schema: &str, more: &str) -> String {
    format!("{{\"schema\":{}{more}}}", serde_json::Value::from(schema))
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_come_from_a_registry_once() {
    let nested =
        r#"{"type":"record","name":"N","namespace":"o","fields":[{"name":"p","type":"Q"}]}"#;
    let inner =
        r#"{"type":"record","name":"Q","namespace":"o","fields":[{"name":"u","type":"string"}]}"#;
    let (url, count) = registry(&[
        ("/base/schemas/ids/7", 200, reply(POINT, "")),
        (
            "/base/schemas/ids/8",
            200,
            reply(
                r#"{"type":"record","name":"R","fields":[{"name":"n","type":"o.N"}]}"#,
                r#","schemaType":"AVRO","references":[{"name":"o.N","subject":"n/s","version":2}]"#,
            ),
        ),
        (
            "/base/subjects/n%2Fs/versions/2?deleted=true",
            200,
            reply(
                nested,
                r#","references":[{"name":"o.Q","subject":"q","version":1}]"#,
            ),
        ),
        (
            "/base/subjects/q/versions/1?deleted=true",
            200,
            reply(inner, ""),
        ),
        (
            "/base/schemas/guids/01010101-0101-0101-0101-010101010101",
            200,
            reply(POINT, ""),
        ),
        (
            "/base/schemas/ids/9",
            200,
            reply("{\"type\":\"AUTHORIZATION\"}", ""),
        ),
        (
            "/base/schemas/ids/10",
            200,
            reply("syntax = \"proto3\";", r#","schemaType":"PROTOBUF""#),
        ),
    ])
    .await;
    let options = options(&[("value_format", "avro"), ("schema_registry", &url)]);
    let mut format = value_format(&options, &registries()).unwrap();
    for _ in 0..3 {
        let rows = decode(&mut format, &[0, 0, 0, 0, 7, 4]).await.unwrap();
        assert_eq!(rows, [Ok(vec![("x".into(), "Int(2)".into())])]);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let rows = decode(&mut format, &[0, 0, 0, 0, 8, 2, b'a'])
        .await
        .unwrap();
    assert_eq!(rows, [Ok(vec![("n.p.u".into(), "Str(\"a\")".into())])]);
    assert_eq!(count.load(Ordering::SeqCst), 4);
    let guid = wire::join(SchemaId::Guid([1; 16]), &[4]);
    assert!(decode(&mut format, &guid).await.unwrap()[0].is_ok());
    // What is wrong with a schema is told for each message, and asked once.
    for (id, part) in [
        (9, "dXNlcjpwYXNz"),
        (10, "it is PROTOBUF and not AVRO"),
        (11, "Schema not found"),
    ] {
        let before = count.load(Ordering::SeqCst);
        for _ in 0..3 {
            let rows = decode(&mut format, &[0, 0, 0, 0, id, 4]).await.unwrap();
            let error = rows[0].clone().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(count.load(Ordering::SeqCst), before + 1);
    }
    for message in [&[][..], &[0, 0], &[9, 9], &[0, 0, 0, 0, 7]] {
        assert!(decode(&mut format, message).await.unwrap()[0].is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_makes_messages_wait() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let (failing, _) = registry(&[(
        "/base/schemas/ids/1",
        500,
        r#"{"error_code":50001,"message":"store"}"#.into(),
    )])
    .await;
    let (denying, _) = registry(&[(
        "/base/schemas/ids/1",
        401,
        r#"{"error_code":401,"message":"Unauthorized"}"#.into(),
    )])
    .await;
    let (another, _) = registry(&[("/base/schemas/ids/1", 404, "<html>".into())]).await;
    let (nonsense, _) = registry(&[("/base/schemas/ids/1", 200, "[]".into())]).await;
    for (url, part) in [
        (closed, "refused"),
        (failing, "store"),
        (denying, "Unauthorized"),
        (another, "404"),
        (nonsense, "no schema"),
    ] {
        let options = options(&[("value_format", "avro"), ("schema_registry", &url)]);
        let mut format = value_format(&options, &registries()).unwrap();
        let wait = decode(&mut format, &[0, 0, 0, 0, 1, 4]).await.unwrap_err();
        assert!(wait.reason.contains(part), "{}", wait.reason);
        assert!(!wait.after.is_zero());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_messages_are_chosen_by_index_or_by_name() {
    let text = "syntax = \"proto3\"; package p; message A { int32 x = 1; message B { string y = 1; } } message C { bool z = 1; }";
    let (url, _) = registry(&[(
        "/base/schemas/ids/1",
        200,
        reply(text, r#","schemaType":"PROTOBUF""#),
    )])
    .await;
    let given = options(&[("value_format", "Protobuf"), ("schema_registry", &url)]);
    let mut format = value_format(&given, &registries()).unwrap();
    let framed = |indexes: &[u32], payload: &[u8]| {
        wire::join(SchemaId::Id(1), &wire::join_indexes(indexes, payload))
    };
    for (indexes, payload, cell) in [
        (&[0][..], &[8, 5][..], ("x", "Int(5)")),
        (&[0, 0], &[10, 1, b'v'], ("y", "Str(\"v\")")),
        (&[1], &[8, 1], ("z", "Bool(true)")),
    ] {
        let rows = decode(&mut format, &framed(indexes, payload))
            .await
            .unwrap();
        assert_eq!(rows, [Ok(vec![(cell.0.to_owned(), cell.1.to_owned())])]);
    }
    for indexes in [&[2][..], &[0, 1], &[0, 0, 0]] {
        let rows = decode(&mut format, &framed(indexes, &[])).await.unwrap();
        assert!(rows[0].clone().unwrap_err().contains("no message at"));
    }
    let only = options(&[
        ("value_format", "protobuf"),
        ("schema_registry", &url),
        ("value_message", "p.C"),
    ]);
    let mut format = value_format(&only, &registries()).unwrap();
    assert!(decode(&mut format, &framed(&[1], &[])).await.unwrap()[0].is_ok());
    let rows = decode(&mut format, &framed(&[0], &[])).await.unwrap();
    assert!(rows[0].clone().unwrap_err().contains("only p.C"));
    let fixed = options(&[
        ("value_format", "protobuf"),
        ("value_schema", text),
        ("value_message", "p.A.B"),
    ]);
    let mut format = value_format(&fixed, &registries()).unwrap();
    let rows = decode(&mut format, &[10, 1, b'v']).await.unwrap();
    assert_eq!(rows[0].clone().unwrap()[0].0, "y");
}

#[tokio::test]
async fn options_that_can_not_be_are_told() {
    for (given, part) in [
        (&[("value_format", "xml")][..], "no schema"),
        (&[], "no schema"),
        (&[("value_format", "avro")], "no built-in"),
        (
            &[("value_format", "avro"), ("schema_registry", "https://a")],
            "not https",
        ),
        (
            &[("value_format", "avro"), ("schema_registry", "host:1")],
            "http://",
        ),
        (
            &[("value_format", "avro"), ("schema_registry", "")],
            "no URL",
        ),
        (&[("value_format", "avro"), ("value_schema", "{")], "JSON"),
        (
            &[("value_format", "avro"), ("value_message", "a")],
            "value_message",
        ),
        (
            &[
                ("value_format", "avro"),
                ("value_schema", POINT),
                ("schema_registry", "builtin"),
            ],
            "leave out",
        ),
        (
            &[
                ("value_format", "protobuf"),
                ("value_schema", "syntax = \"proto3\";"),
            ],
            "no message",
        ),
        (
            &[
                ("value_format", "protobuf"),
                ("value_schema", "syntax = \"proto3\"; message A {}"),
                ("value_message", "B"),
            ],
            "no message B",
        ),
    ] {
        match value_format(&options(given), &registries()) {
            Err(error) => assert!(error.contains(part), "{given:?}: {error}"),
            Ok(_) => panic!("{given:?} is taken"),
        }
    }
    let named = columns(&SchemaSource::new(SchemaKind::Avro, POINT), None).unwrap();
    assert_eq!(named, [("x".to_owned(), tsdb::types::DataType::Int64)]);
}
