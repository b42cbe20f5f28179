use crate::source::SourceState;
use crate::source::peers::{Database, Server, await_true};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::runtime::Runtime;

fn server() -> Server {
    Server::start("mosquitto", |port, folder| {
        let config = folder.join("conf");
        let text = format!(
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             max_queued_messages 0\nmax_inflight_messages 200\n",
            folder.display()
        );
        std::fs::write(&config, text).unwrap();
        vec!["-c".into(), config.display().to_string()]
    })
}

fn options(port: u16, topic: &str) -> Vec<(&'static str, String)> {
    vec![
        ("mqtt_url", format!("mqtt://127.0.0.1:{port}")),
        ("mqtt_topic", topic.into()),
        ("value_format", "text".into()),
        ("include", "topic, offset".into()),
    ]
}

/// Publishes `m{n}` at QoS 1, to `house/{n % 3}/t`, and returns when the broker has acknowledged all.
async fn publish(port: u16, numbers: std::ops::Range<u32>) {
    let mut options = MqttOptions::new(format!("test-{}", numbers.start), "127.0.0.1", port);
    options.set_clean_session(false);
    let (client, mut events) = AsyncClient::new(options, 10);
    let wanted = numbers.len();
    let feed = tokio::spawn(async move {
        for n in numbers {
            let topic = format!("house/{}/t", n % 3);
            client
                .publish(topic, QoS::AtLeastOnce, false, format!("m{n}"))
                .await
                .unwrap();
        }
        client
    });
    let mut acknowledged = 0;
    while acknowledged < wanted {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::PubAck(_))) => acknowledged += 1,
            Ok(_) => {}
            // The client sends again what was not acknowledged.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop(feed.await.unwrap());
}

/// How often each of the messages has come; fails when one has not.
fn counts(db: &Database, stream: &str, wanted: u32) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for value in db.column(stream, "value") {
        *counts.entry(value).or_insert(0) += 1;
    }
    let missing: Vec<u32> = (0..wanted)
        .filter(|n| !counts.contains_key(&format!("m{n}")))
        .collect();
    assert!(missing.is_empty(), "lost {missing:?}");
    assert_eq!(counts.len(), wanted as usize);
    counts
}

#[test]
#[ignore = "needs mosquitto"]
fn peer_mqtt_without_faults_each_message_comes_once() {
    let (server, runtime) = (server(), Runtime::new().unwrap());
    let port = server.port;
    let mut db = Database::new();
    db.declare("s", &options(port, "house/+/t, garden/#"));
    db.run();
    await_true("the subscription", || {
        db.status("s").partitions().first().is_some_and(|(_, _)| {
            let id = db.engine.catalog().stream("default", "s").unwrap().id;
            db.engine.ledger().positions(id).len() == 1
        })
    });
    // What is published while nobody reads is kept by the broker.
    let mut sent = 0;
    for round in 0..6 {
        let stream = db.engine.catalog().stream("default", "s").unwrap();
        match round {
            1 => db.end(false),
            2 => db.end(true),
            3 => {
                db.sources().pause(&stream, true);
                await_true("the pause", || {
                    db.status("s").state().0 == SourceState::Paused
                });
            }
            _ => {}
        }
        runtime.block_on(publish(port, sent..sent + 2000));
        sent += 2000;
        match round {
            1 | 2 => db.run(),
            3 => {
                db.sources().pause(&stream, false);
            }
            _ => {}
        }
        db.await_true("all rows", || db.count("s") >= u64::from(sent));
    }
    db.end(false);
    db.run();
    runtime.block_on(publish(port, sent..sent + 1));
    await_true("one more", || db.count("s") > u64::from(sent));
    assert!(counts(&db, "s", sent + 1).values().all(|n| *n == 1));
    // Each has a number of its own, over all runs.
    let mut numbers = db.column("s", "offset");
    numbers.dedup();
    assert_eq!(numbers.len(), sent as usize + 1);
    assert_eq!(db.column("s", "topic")[0], "house/0/t");
}

#[test]
#[ignore = "needs mosquitto"]
fn peer_mqtt_with_faults_none_is_lost() {
    let (mut server, runtime) = (server(), Runtime::new().unwrap());
    let port = server.port;
    let mut db = Database::new();
    db.declare("s", &options(port, "house/#"));
    db.run();
    let subscribed = |db: &Database| {
        let id = db.engine.catalog().stream("default", "s").unwrap().id;
        db.engine.ledger().positions(id).len() == 1
    };
    await_true("the subscription", || subscribed(&db));
    const ALL: u32 = 30_000;
    let publisher = runtime.spawn(publish(port, 0..ALL));
    for round in 0..6 {
        let before = db.count("s");
        db.await_true("rows come", || {
            db.count("s") > before || before >= u64::from(ALL)
        });
        if round % 2 == 0 {
            // It saves what it has when it ends.
            server.stop();
            server.again();
        } else {
            db.end(round == 3);
            db.run();
        }
    }
    runtime.block_on(publisher).unwrap();
    let distinct = |db: &Database| {
        let mut values = db.column("s", "value");
        values.dedup();
        values.len()
    };
    db.await_true("all rows", || {
        db.count("s") >= u64::from(ALL) && distinct(&db) == ALL as usize
    });
    let twice = counts(&db, "s", ALL).values().filter(|n| **n > 1).count();
    println!("{ALL} messages, {twice} of them more than once");
}

#[test]
#[ignore = "needs mosquitto"]
fn peer_mqtt_a_dropped_stream_leaves_no_session() {
    let (server, runtime) = (server(), Runtime::new().unwrap());
    let port = server.port;
    let mut db = Database::new();
    db.declare("s", &options(port, "house/#"));
    db.run();
    runtime.block_on(publish(port, 0..1));
    let id = db.engine.catalog().stream("default", "s").unwrap().id;
    await_true("the subscription", || {
        !db.engine.ledger().positions(id).is_empty()
    });
    db.engine.catalog().drop_stream("default", "s").unwrap();
    db.sources().reconcile();
    assert!(db.sources().statuses().is_empty());
    // Had the session been kept, the next one of that name would be told of it.
    let member = db.engine.catalog().objects("member")[0].payload.clone();
    let client = format!("tidemill-{}-{}", String::from_utf8(member).unwrap(), id.0);
    let mut options = MqttOptions::new(client, "127.0.0.1", port);
    options.set_clean_session(false);
    let (_client, mut events) = AsyncClient::new(options, 10);
    let first = runtime.block_on(events.poll()).unwrap();
    let Event::Incoming(Incoming::ConnAck(ack)) = first else {
        panic!("{first:?}");
    };
    assert!(!ack.session_present);
}
