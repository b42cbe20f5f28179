//! Against librdkafka's own broker in the process. It knows of transactions only their replies, and forgets the offsets in
//! them: that a read_committed reader sees each record once is for the cases in tests/kafka.

use super::{KafkaLink, KafkaSinkSpec, Progress, Trouble};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::time::{Duration, Instant};

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("out", partitions, 1).unwrap();
    cluster
}

fn spec(brokers: &str, more: &[(&str, &str)]) -> Result<KafkaSinkSpec, String> {
    let mut options = vec![("kafka_topic", "out"), ("kafka_brokers", brokers)];
    options.extend(more);
    let options: Vec<(String, String)> = options
        .into_iter()
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    KafkaSinkSpec::of(&options, None, &[], ("m", "default.s", 7))
}

type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The first `n` records, of one key in their order.
fn read(cluster: &Cluster, partitions: i32, n: usize) -> Vec<Pair> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "check")
        .create()
        .unwrap();
    let mut places = TopicPartitionList::new();
    for partition in 0..partitions {
        places
            .add_partition_offset("out", partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&places).unwrap();
    let (mut all, begun) = (Vec::new(), Instant::now());
    while all.len() < n && begun.elapsed() < Duration::from_secs(30) {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            all.push((owned(message.key()), owned(message.payload())));
        }
    }
    all
}

fn connect(spec: &KafkaSinkSpec) -> (KafkaLink, Option<Progress>) {
    let begun = Instant::now();
    loop {
        match KafkaLink::connect(spec, &|| false) {
            Ok(link) => return link,
            Err(trouble) => assert!(begun.elapsed().as_secs() < 60, "{trouble:?}"),
        }
    }
}

#[test]
fn records_go_out_with_the_progress_from_which_the_next_link_goes_on() {
    for exactly_once in ["true", "false"] {
        let cluster = cluster(3);
        let spec = spec(
            &cluster.bootstrap_servers(),
            &[("exactly_once", exactly_once)],
        )
        .unwrap();
        let (mut link, before) = connect(&spec);
        assert_eq!(before, None);
        let mut sent: Vec<Pair> = Vec::new();
        for serial in 1..=5u64 {
            link.begin().unwrap();
            for n in 0..serial * 100 {
                let key = format!("k{}", n % 17).into_bytes();
                let value = (n % 5 != 0).then(|| format!("{serial} {n}").into_bytes());
                link.put(Some(&key), value.as_deref()).unwrap();
                sent.push((Some(key), value));
            }
            let lsn = serial * 1000;
            link.commit(Progress { lsn, serial }).unwrap();
        }
        // Nothing but a progress is a transaction too.
        let last = Progress {
            lsn: 5001,
            serial: 5,
        };
        link.begin().unwrap();
        link.commit(last).unwrap();
        drop(link);
        let known = (exactly_once == "false").then_some(last);
        assert_eq!(connect(&spec).1, known, "exactly once: {exactly_once}");
        let mut got = read(&cluster, 3, sent.len());
        // What has one key lies in one partition, in order.
        got.sort_by(|a, b| a.0.cmp(&b.0));
        sent.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(got == sent, "exactly once: {exactly_once}");
    }
}

#[test]
fn brokers_that_are_not_there_are_a_trouble_with_a_reason() {
    let cluster = cluster(1);
    let patience = [("kafka.message.timeout.ms", "2000")];
    let spec = spec(&cluster.bootstrap_servers(), &patience).unwrap();
    let (mut link, _) = connect(&spec);
    cluster.broker_down(1).unwrap();
    link.begin().unwrap();
    // The transaction can't begin at the broker, so either the record or the commit fails.
    let begun = Instant::now();
    let trouble = link
        .put(None, Some(b"x"))
        .and_then(|()| link.commit(Progress { lsn: 1, serial: 1 }))
        .unwrap_err();
    assert!(
        matches!(&trouble, Trouble::Retry(why) if !why.is_empty()),
        "{trouble:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(90));
    drop(link);
    let Err(Trouble::Retry(why)) = KafkaLink::connect(&spec, &|| false) else {
        panic!("there is no broker");
    };
    assert!(!why.is_empty());
    cluster.broker_up(1).unwrap();
    assert_eq!(connect(&spec).1, None);
}

#[test]
fn options_are_checked() {
    let wrong = [
        (&[("exactly_once", "maybe")][..], "exactly_once"),
        (&[("partitions", "0")], "partitions"),
        (&[("kafka.acks", "1")], "kafka.acks can't be set"),
        (&[("kafka.transactional.id", "x")], "transactional.id"),
    ];
    for (more, word) in wrong {
        let why = spec("b", more).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
    let good = spec("b", &[("kafka.linger.ms", "9"), ("partitions", "4")]).unwrap();
    assert_eq!(good.producer().get("linger.ms"), Some("9"));
    assert_eq!(
        good.producer().get("transactional.id"),
        Some("tidemill-m-default.s")
    );
    assert_eq!(
        good.consumer().get("group.id"),
        Some("tidemill-sink-m-default.s-7")
    );
    assert_eq!(good.partitions, Some(4));
    let unknown = spec("b", &[("kafka.lingering", "9")]).unwrap();
    let Err(Trouble::Wrong(why)) = KafkaLink::connect(&unknown, &|| false) else {
        panic!("there is no such setting");
    };
    assert!(why.contains("lingering"), "{why}");
}
