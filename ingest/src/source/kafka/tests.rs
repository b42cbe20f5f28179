//! Against librdkafka's own broker in the process. Kills, and what Kafka itself makes of a group, are for the cases in tests/kafka.

use super::core::Debt;
use super::reader::settle_debts;
use super::{KafkaSpec, Start, Topics};
use crate::source::control::Control;
use crate::source::intake_tests::make;
use crate::source::pipe::Pipe;
use crate::source::{Format, Include, Intake, SourceStatus};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use std::sync::Arc;
use std::time::Duration;
use tsdb::types::{DataType, Role};
use tsdb::{Engine, EngineConfig};

/// Records `0..n` of each partition of the topic `t`.
fn fill(brokers: &str, partitions: i32, n: i64) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    for partition in 0..partitions {
        for v in 0..n {
            let value = format!("{{\"v\":{v}}}");
            let record = BaseRecord::<(), String>::to("t")
                .partition(partition)
                .payload(&value);
            producer.send(record).unwrap();
        }
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// A member once counted what lay behind a debt as taken, when it came along while another partition's debt was read. The
/// records between were lost as soon as it owned the partition again.
#[test]
fn a_debt_is_settled_to_its_end_and_no_further() {
    let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    fill(&brokers, 2, 400);
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(&EngineConfig::new(folder.path())).unwrap();
    let columns = [
        ("time", DataType::Timestamp, Role::Time),
        ("v", DataType::Int64, Role::Field),
    ];
    let stream = make(engine.catalog(), &columns);
    let status = Arc::new(SourceStatus::new("default", "s", "kafka", String::new()));
    let make_pipe = || {
        let (catalog, format) = (engine.catalog().clone(), Format::parse("json").unwrap());
        let intake = Intake::new(catalog, stream.clone(), format, Include::default(), "kafka");
        Ok(Pipe::new(
            engine.clone(),
            stream.clone(),
            intake,
            status.clone(),
        ))
    };
    let spec = KafkaSpec {
        brokers,
        topics: Topics::Named(vec!["t".into()]),
        group: Some("g".into()),
        start: Start::Earliest,
        settings: Vec::new(),
    };
    // Whichever is read first, the other's debt is open while the rest of it comes.
    let debts = [(0, 3, 10), (1, 0, 20)].map(|(partition, from, to)| Debt {
        topic: "t".into(),
        partition,
        from,
        to,
    });
    settle_debts(&spec, "m", &Control::default(), &make_pipe, debts.into()).unwrap();
    let next = |partition: &str| {
        engine
            .ledger()
            .position(stream.id, partition)
            .map(|p| p.next)
    };
    assert_eq!((next("t/0"), next("t/1")), (Some(10), Some(20)));
    assert_eq!(engine.snapshot().row_count(stream.id), 7 + 20);
}
