//! Against librdkafka's own broker in the process. Kills, and what Kafka itself makes of a group, are for the cases in tests/kafka.

use super::debts::{Debt, settle_debts};
use super::{KafkaSpec, Topics};
use crate::source::control::{Control, Wish};
use crate::source::intake_tests::make;
use crate::source::pipe::Pipe;
use crate::source::{Format, Include, Intake, SourceStatus, Start};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tsdb::types::{DataType, Role};
use tsdb::{Engine, EngineConfig, Stream};

/// Sends records `0..n` to each partition of the topic `t`.
fn fill(brokers: &str, partitions: i32, n: i64) {
    send(brokers, partitions, 0..n);
}

/// Sends records of these numbers to each partition of the topic `t`.
pub(super) fn send(brokers: &str, partitions: i32, numbers: std::ops::Range<i64>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    for partition in 0..partitions {
        for v in numbers.clone() {
            let value = format!("{{\"v\":{v}}}");
            let record = BaseRecord::<(), String>::to("t")
                .partition(partition)
                .payload(&value);
            producer.send(record).unwrap();
        }
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// Returns when it is so.
pub(super) fn until(what: &str, is_so: &mut dyn FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A cluster with the topic `t`, and a database that reads it.
pub(super) struct Bench {
    // Whatever is there reads from it until the end.
    pub(super) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(super) reads: Reads,
}

/// What reads.
#[derive(Clone)]
pub(super) struct Reads {
    pub(super) brokers: String,
    pub(super) engine: Engine,
    pub(super) stream: Arc<Stream>,
    pub(super) status: Arc<SourceStatus>,
    _folder: Arc<TempDir>,
}

impl std::ops::Deref for Bench {
    type Target = Reads;

    fn deref(&self) -> &Reads {
        &self.reads
    }
}

impl Bench {
    pub(super) fn new(partitions: i32) -> Bench {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", partitions, 1).unwrap();
        let reads = Reads::new(cluster.bootstrap_servers());
        Bench { cluster, reads }
    }
}

impl Reads {
    /// A database of its own.
    pub(super) fn new(brokers: String) -> Reads {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(&EngineConfig::new(folder.path())).unwrap();
        let columns = [
            ("time", DataType::Timestamp, Role::Time),
            ("v", DataType::Int64, Role::Field),
        ];
        Reads {
            brokers,
            stream: make(engine.catalog(), &columns),
            engine,
            status: Arc::new(SourceStatus::new("default", "s", "kafka", String::new())),
            _folder: Arc::new(folder),
        }
    }

    pub(super) fn pipe(&self, include: &str) -> Pipe {
        let (catalog, format) = (self.engine.catalog().clone(), Format::Json);
        let include = Include::parse(include).unwrap();
        let intake = Intake::new(catalog, self.stream.clone(), format, include, "kafka");
        Pipe::new(
            self.engine.clone(),
            self.stream.clone(),
            intake,
            self.status.clone(),
        )
    }

    pub(super) fn spec(&self) -> KafkaSpec {
        KafkaSpec {
            brokers: self.brokers.clone(),
            topics: Topics::Named(vec!["t".into()]),
            group: Some("g".into()),
            start: Start::Earliest,
            // The broker within waits for a session's time until a group's members are there again.
            settings: vec![
                ("session.timeout.ms".into(), "4000".into()),
                ("heartbeat.interval.ms".into(), "200".into()),
            ],
        }
    }

    /// Settles debts: partition, first offset, end.
    fn settle(&self, include: &str, debts: &[(i32, u64, u64)]) {
        let make_pipe = || Ok(self.pipe(include));
        let debts = debts.iter().map(|(partition, from, to)| Debt {
            topic: "t".into(),
            partition: *partition,
            from: *from,
            to: *to,
        });
        let control = Control::default();
        settle_debts(&self.spec(), "m", &control, &make_pipe, debts.collect()).unwrap();
    }

    fn next(&self, partition: &str) -> Option<u64> {
        let position = self.engine.ledger().position(self.stream.id, partition);
        position.map(|p| p.next)
    }

    pub(super) fn rows(&self, stream: &str) -> u64 {
        let stream = self.engine.catalog().stream("default", stream);
        stream.map_or(0, |s| self.engine.snapshot().row_count(s.id))
    }
}

/// A member once counted what lay behind a debt as taken, when it came along while another partition's debt was read. The
/// records between were lost as soon as it owned the partition again.
#[test]
fn a_debt_is_settled_to_its_end_and_no_further() {
    let bench = Bench::new(2);
    fill(&bench.brokers, 2, 400);
    // Whichever is read first, the other's debt is open while the rest of it comes.
    bench.settle("", &[(0, 3, 10), (1, 0, 20)]);
    assert_eq!((bench.next("t/0"), bench.next("t/1")), (Some(10), Some(20)));
    assert_eq!(bench.rows("s"), 7 + 20);
}

/// What a member had claimed may be gone when it comes back: it must not wait for it for ever, nor keep quiet about it.
#[test]
fn a_debt_whose_records_are_gone_is_a_dead_letter() {
    let bench = Bench::new(2);
    fill(&bench.brokers, 2, 10);
    // Of the first the topic ends before the debt does: it is another topic by now, or was cut.
    bench.settle("", &[(0, 5, 50), (1, 0, 10)]);
    assert_eq!((bench.next("t/0"), bench.next("t/1")), (Some(50), Some(10)));
    assert_eq!((bench.rows("s"), bench.rows("dead_letters")), (10, 1));
}

/// A consumer that had been given partitions and could not learn where they begin once gave back what it had not taken on; its
/// group waited for the answer, and the consumer for its group, for ever.
#[test]
fn partitions_whose_beginning_can_not_be_learnt_are_tried_again() {
    let bench = Bench::new(2);
    fill(&bench.brokers, 2, 50);
    // The first question is for old debts, the second for where the partitions begin.
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    ];
    bench
        .cluster
        .request_errors(RDKafkaApiKey::OffsetFetch, &errors);
    let control = Arc::new(Control::default());
    let (told, ends) = std::sync::mpsc::channel();
    let reader = {
        let (reads, control) = (bench.reads.clone(), control.clone());
        std::thread::spawn(move || {
            let make_pipe = || Ok(reads.pipe(""));
            for _ in 0..2 {
                let ended = super::reader::run(&reads.spec(), "m", &control, &make_pipe);
                told.send(ended.err().map(|e| format!("{e:?}"))).unwrap();
            }
        })
    };
    let first = ends.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
    assert!(first.contains("can't be learnt"), "{first}");
    until("all rows come", &mut || bench.rows("s") == 100);
    control.set(Wish::End);
    let last = ends.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(last, None);
    reader.join().unwrap();
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
    let bench = Bench::new(1);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &bench.brokers)
        .create()
        .unwrap();
    send_with_header(&producer, c"t", b"{\"v\":1}", c"\xff\xfe");
    bench.settle("headers", &[(0, 0, 1)]);
    assert_eq!((bench.rows("s"), bench.rows("dead_letters")), (1, 0));
}

/// librdkafka refuses a consumer that may be silent for longer than it may take to poll.
#[test]
fn a_long_session_needs_no_other_setting() {
    let spec = |settings: &[(&str, &str)]| KafkaSpec {
        brokers: "localhost:1".into(),
        topics: Topics::Named(vec!["t".into()]),
        group: Some("g".into()),
        start: Start::Earliest,
        settings: settings
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
    };
    let of = |name, settings: &[(&str, &str)]| {
        let config = spec(settings).config();
        let consumer: rdkafka::error::KafkaResult<rdkafka::consumer::BaseConsumer> =
            config.create();
        assert!(consumer.is_ok(), "{settings:?}");
        config.get(name).unwrap().to_owned()
    };
    let poll = "max.poll.interval.ms";
    assert_eq!(of(poll, &[]), "60000");
    assert_eq!(of(poll, &[("session.timeout.ms", "90000")]), "90000");
    let both = [("session.timeout.ms", "90000"), (poll, "300000")];
    assert_eq!(of(poll, &both), "300000");
    let socket = "socket.timeout.ms";
    assert_eq!(of(socket, &[]), "15000");
    assert_eq!(of(socket, &[("fetch.wait.max.ms", "20000")]), "21000");
    assert_eq!(of(socket, &[(socket, "60000")]), "60000");
}
