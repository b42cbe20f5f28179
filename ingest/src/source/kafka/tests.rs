//! Against librdkafka's own broker in the process. Kills, and what Kafka itself makes of a group, are for the cases in tests/kafka.

use super::core::Debt;
use super::reader::settle_debts;
use super::{KafkaSpec, Topics};
use crate::source::control::Control;
use crate::source::intake_tests::make;
use crate::source::pipe::Pipe;
use crate::source::{Format, Include, Intake, SourceStatus, Start};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use std::ffi::CStr;
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

/// Sends a record with a header whose name is any bytes, which no client's interface lets one do.
fn send_with_header(producer: &BaseProducer, topic: &CStr, value: &[u8], name: &CStr) {
    use rdkafka::bindings as rd;
    // SAFETY: a plain C struct of numbers and pointers, for which zeros are valid; what is used of it is set below.
    let mut parts: [rd::rd_kafka_vu_t; 3] = unsafe { std::mem::zeroed() };
    parts[0].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC;
    parts[0].u.cstr = topic.as_ptr();
    parts[1].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE;
    parts[1].u.mem.ptr = value.as_ptr().cast_mut().cast();
    parts[1].u.mem.size = value.len();
    parts[2].vtype = rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADER;
    parts[2].u.header.name = name.as_ptr();
    parts[2].u.header.val = value.as_ptr().cast();
    parts[2].u.header.size = 3;
    // SAFETY: all that the parts point to lives beyond the call. librdkafka takes a copy of names and headers; the value it
    // does not free without a flag that asks for it, and the flush waits until it is sent.
    let error = unsafe {
        rd::rd_kafka_produceva(producer.client().native_ptr(), parts.as_ptr(), parts.len())
    };
    assert!(error.is_null());
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// The crate's own reading of headers panics over such a name, and a source that panics at a record would never get past it.
#[test]
fn a_header_may_have_any_name() {
    let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .create()
        .unwrap();
    send_with_header(&producer, c"t", b"{\"v\":1}", c"\xff\xfe");
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
        let include = Include::parse("headers").unwrap();
        let intake = Intake::new(catalog, stream.clone(), format, include, "kafka");
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
    let debt = Debt {
        topic: "t".into(),
        partition: 0,
        from: 0,
        to: 1,
    };
    settle_debts(&spec, "m", &Control::default(), &make_pipe, vec![debt]).unwrap();
    assert_eq!(engine.snapshot().row_count(stream.id), 1);
}
