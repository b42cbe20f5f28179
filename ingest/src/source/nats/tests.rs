use crate::source::peers::{Database, Server, await_true};
use crate::source::{SourceState, SourceStatus};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context, stream};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tsdb::types::Role;

fn server() -> Server {
    Server::start("nats-server", |port, folder| {
        let folder = folder.join("js").display().to_string();
        [
            "-a",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-js",
            "-sd",
            &folder,
        ]
        .map(str::to_owned)
        .to_vec()
    })
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

async fn context(port: u16) -> Context {
    let client = async_nats::ConnectOptions::new()
        .max_reconnects(None)
        .retry_on_initial_connect()
        .connect(format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    jetstream::new(client)
}

async fn make(context: &Context, change: impl FnOnce(&mut stream::Config)) {
    let mut config = stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        ..stream::Config::default()
    };
    change(&mut config);
    // A server that has just begun to listen may not answer for JetStream yet.
    for _ in 0..100 {
        if context.create_stream(config.clone()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the stream can't be made");
}

async fn publish(context: &Context, subject: &str, text: &str) -> bool {
    let sent = context
        .publish(subject.to_owned(), text.to_owned().into())
        .await;
    match sent {
        Ok(ack) => ack.await.is_ok(),
        Err(_) => false,
    }
}

fn options(port: u16, more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let url = format!("nats://127.0.0.1:{port}");
    let mut all = vec![("nats_url", url), ("value_format", "text".into())];
    all.extend(more.iter().map(|(n, v)| (*n, (*v).to_owned())));
    all
}

fn settled(status: &Arc<SourceStatus>) -> bool {
    status.state().0 == SourceState::Running && status.lag() == Some(0)
}

#[test]
#[ignore = "needs nats-server"]
fn peer_nats_each_message_comes_once() {
    let (mut server, runtime) = (server(), runtime());
    let port = server.port;
    let mut db = Database::new();
    db.declare(
        "s",
        &options(port, &[("nats_stream", "ORDERS"), ("include", "offset")]),
    );
    runtime.block_on(async { make(&context(port).await, |_| {}).await });
    let done = Arc::new(AtomicBool::new(false));
    let over = done.clone();
    let publisher = runtime.spawn(async move {
        let context = context(port).await;
        let mut n = 0;
        while !over.load(Ordering::Relaxed) {
            // What is not acknowledged may be there or not: the stream itself tells.
            for _ in 0..50 {
                n += 1;
                let _ = context.publish("orders.a", format!("m{n}").into()).await;
            }
            let _ = tokio::time::timeout(
                Duration::from_millis(500),
                publish(&context, "orders.b", "x"),
            )
            .await;
        }
    });
    db.run();
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let catalog_stream = |db: &Database| db.engine.catalog().stream("default", "s").unwrap();
    for round in 0..14 {
        let before = db.count("s");
        db.await_true("rows come", || db.count("s") > before);
        std::thread::sleep(Duration::from_millis(rng.random_range(0..300)));
        match rng.random_range(0..5) {
            0 | 1 => {
                server.kill();
                server.again();
            }
            2 => {
                db.end(false);
                db.run();
            }
            3 => {
                db.end(true);
                db.run();
            }
            _ => {
                let stream = catalog_stream(&db);
                assert!(db.sources().pause(&stream, true));
                await_true("the pause", || {
                    db.status("s").state().0 == SourceState::Paused
                });
                db.sources().pause(&stream, false);
            }
        }
        println!("round {round}: {} rows", db.count("s"));
    }
    done.store(true, Ordering::Relaxed);
    runtime.block_on(publisher).unwrap();
    let last = runtime.block_on(async {
        let mut stream = context(port).await.get_stream("ORDERS").await.unwrap();
        stream.info().await.unwrap().state.last_sequence
    });
    db.await_true("all messages", || {
        db.count("s") >= last && settled(&db.status("s"))
    });
    let wanted: Vec<String> = (1..=last).map(|n| format!("{n:020}")).collect();
    assert!(last > 1000, "{last}");
    assert_eq!(db.column("s", "offset"), wanted);
}

#[test]
#[ignore = "needs nats-server"]
fn peer_nats_a_stream_that_is_another_or_has_a_hole_stops() {
    let (server, runtime) = (server(), runtime());
    let port = server.port;
    for (case, restart) in [
        ("anew", true),
        ("anew", false),
        ("purged", true),
        ("purged", false),
    ] {
        let mut db = Database::new();
        db.declare("s", &options(port, &[("nats_stream", "ORDERS")]));
        let context = runtime.block_on(async {
            let context = context(port).await;
            let _ = context.delete_stream("ORDERS").await;
            make(&context, |_| {}).await;
            for n in 0..20 {
                assert!(publish(&context, "orders.a", &format!("{n}")).await);
            }
            context
        });
        db.run();
        await_true("all rows", || db.count("s") == 20);
        let stream = db.engine.catalog().stream("default", "s").unwrap();
        if restart {
            db.end(true);
        } else {
            db.sources().pause(&stream, true);
            await_true("the pause", || {
                db.status("s").state().0 == SourceState::Paused
            });
        }
        runtime.block_on(async {
            match case {
                "anew" => {
                    context.delete_stream("ORDERS").await.unwrap();
                    make(&context, |_| {}).await;
                    for n in 0..30 {
                        assert!(publish(&context, "orders.a", &format!("other {n}")).await);
                    }
                }
                _ => {
                    for n in 0..5 {
                        assert!(publish(&context, "orders.a", &format!("lost {n}")).await);
                    }
                    // A paused reader has asked for these already, and gets them.
                    let stream = context.get_stream("ORDERS").await.unwrap();
                    if !restart {
                        context.client().flush().await.unwrap();
                    }
                    stream.purge().await.unwrap();
                    for n in 0..5 {
                        assert!(publish(&context, "orders.a", &format!("later {n}")).await);
                    }
                }
            }
        });
        if restart {
            db.run();
        } else {
            db.sources().pause(&stream, false);
        }
        if case == "purged" && !restart {
            // What was on its way before the purge is no loss: all rows are there, or it has stopped.
            await_true("an end", || {
                db.status("s").state().0 == SourceState::Failed || db.count("s") == 30
            });
            continue;
        }
        await_true("the alarm", || {
            db.status("s").state().0 == SourceState::Failed
        });
        let why = db.status("s").state().1.unwrap();
        let word = if case == "anew" {
            "made anew"
        } else {
            "purged"
        };
        assert!(why.contains(word), "{why}");
        assert_eq!(
            db.status("s").partitions()[0]
                .1
                .trouble()
                .map(|t| t.contains(word)),
            Some(true)
        );
        assert_eq!(db.count("s"), 20, "{case}");
    }
}

#[test]
#[ignore = "needs nats-server"]
fn peer_nats_filters_parts_and_starts() {
    let (server, runtime) = (server(), runtime());
    let port = server.port;
    let context = runtime.block_on(async {
        let context = context(port).await;
        make(&context, |_| {}).await;
        let mut headers = HeaderMap::new();
        headers.append("trace", "t1");
        headers.append("trace", "t2");
        context
            .publish_with_headers("orders.eu.1", headers, "one".into())
            .await
            .unwrap()
            .await
            .unwrap();
        assert!(publish(&context, "orders.us.1", "two").await);
        assert!(publish(&context, "orders.eu.2", "three").await);
        context
    });
    let mut db = Database::new();
    let include = (
        "include",
        "topic as subject, headers, header:trace as trace, offset, timestamp",
    );
    db.declare(
        "eu",
        &options(port, &[("nats_subject", "orders.eu.*"), include]),
    );
    db.declare(
        "latest",
        &options(port, &[("nats_stream", "ORDERS"), ("nats_start", "latest")]),
    );
    db.declare(
        "future",
        &options(
            port,
            &[
                ("nats_stream", "ORDERS"),
                ("nats_start", "2999-01-01T00:00:00Z"),
            ],
        ),
    );
    db.declare(
        "past",
        &options(
            port,
            &[
                ("nats_stream", "ORDERS"),
                ("nats_start", "2001-01-01T00:00:00Z"),
            ],
        ),
    );
    db.run();
    await_true("the filtered rows", || db.count("eu") == 2);
    assert_eq!(db.column("eu", "value"), ["one", "three"]);
    assert_eq!(db.column("eu", "subject"), ["orders.eu.1", "orders.eu.2"]);
    assert_eq!(db.column("eu", "trace"), ["", "t2"]);
    assert_eq!(db.column("eu", "headers"), ["", r#"{"trace":["t1","t2"]}"#]);
    assert_eq!(
        db.column("eu", "offset"),
        [format!("{:020}", 1), format!("{:020}", 3)]
    );
    let stream = db.engine.catalog().stream("default", "eu").unwrap();
    assert!(
        stream
            .schema()
            .columns
            .iter()
            .any(|c| c.name == "message_time" && c.role == Role::Field)
    );
    await_true("the past", || db.count("past") == 3);
    // Where it begins is in the log, although nothing has come yet.
    let begun = |db: &Database| {
        let id = db.engine.catalog().stream("default", "latest").unwrap().id;
        db.engine.ledger().position(id, "ORDERS").is_some()
    };
    await_true("the beginning", || begun(&db));
    db.end(true);
    runtime.block_on(async { assert!(publish(&context, "orders.us.2", "four").await) });
    db.run();
    await_true("the latest", || db.count("latest") == 1);
    assert_eq!(db.column("latest", "value"), ["four"]);
    await_true("the rest", || db.count("past") == 4);
    // Others' messages are considered, and purging them is no loss.
    let at = |db: &Database| {
        let id = db.engine.catalog().stream("default", "eu").unwrap().id;
        db.engine.ledger().position(id, "ORDERS").unwrap().next
    };
    await_true("others' messages are passed", || at(&db) == 5);
    assert_eq!((db.count("eu"), db.count("future")), (2, 0));
    db.end(false);
    runtime.block_on(async {
        let stream = context.get_stream("ORDERS").await.unwrap();
        stream.purge().await.unwrap();
        assert!(publish(&context, "orders.eu.3", "five").await);
    });
    db.run();
    await_true("what came then", || db.count("eu") == 3);
}

#[test]
#[ignore = "needs nats-server"]
fn peer_nats_what_can_not_be_is_told() {
    let (server, runtime) = (server(), runtime());
    let port = server.port;
    let mut db = Database::new();
    db.declare("queue", &options(port, &[("nats_stream", "ORDERS")]));
    db.declare("later", &options(port, &[("nats_subject", "later.x")]));
    runtime.block_on(async {
        make(&context(port).await, |c| {
            c.retention = stream::RetentionPolicy::WorkQueue
        })
        .await;
    });
    db.run();
    await_true("the refusal", || {
        db.status("queue").state().0 == SourceState::Failed
    });
    assert!(db.status("queue").state().1.unwrap().contains("limits"));
    await_true("the wait", || {
        db.status("later").state().0 == SourceState::Waiting
    });
    runtime.block_on(async {
        let context = context(port).await;
        make(&context, |c| {
            c.name = "LATER".into();
            c.subjects = vec!["later.>".into()];
        })
        .await;
        assert!(publish(&context, "later.x", "one").await);
    });
    await_true("the row", || db.count("later") == 1);
}
