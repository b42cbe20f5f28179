//! Members of a group, against librdkafka's own broker in the process. It keeps claims, and refuses those of a member that is none.

use super::client::Consumer;
use super::group::{Membership, leave};
use super::reader::{self, consumer};
use super::tests::{Bench, Reads, send, until};
use crate::source::control::{Control, Ended, Wish};
use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tsdb::ScanSpec;

/// How much waits to be polled.
fn waiting(consumer: &Consumer) -> usize {
    // SAFETY: the client outlives the queue, which is given back; counting what lies in it changes nothing.
    unsafe {
        let queue = rd::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        let length = rd::rd_kafka_queue_length(queue);
        rd::rd_kafka_queue_destroy(queue);
        length
    }
}

/// Partitions that are read.
fn owned(consumer: &Consumer) -> usize {
    let core = consumer.context().core.lock();
    core.parts.iter().filter(|p| p.owned).count()
}

/// Closed amid a rebalance, a consumer was asked two things by its group, which ended at the first answer; now and then the second
/// waited for ever for what librdkafka no longer says.
#[test]
fn a_member_that_has_left_is_asked_nothing_when_it_is_closed() {
    let bench = Bench::new(4);
    let join = |name: &str| {
        let mut spec = bench.reads.spec();
        // Nothing but what the group asks is to wait.
        spec.settings
            .push(("statistics.interval.ms".into(), "0".into()));
        let consumer = consumer(&spec, name, bench.reads.pipe("")).unwrap();
        consumer.subscribe(&["t"]).unwrap();
        consumer
    };
    let member = join("a");
    until("it gets all partitions", &mut || {
        member.poll(Duration::ZERO);
        owned(&member) == 4
    });
    let other = join("b");
    until("some of them are wanted back", &mut || waiting(&member) > 0);
    leave(&member);
    assert_eq!(owned(&member), 0);
    member.close_queue().unwrap();
    until("it is closed", &mut || {
        member.poll(Duration::ZERO);
        member.closed()
    });
    let membership = member.context().core.lock().membership;
    assert_eq!(membership, Membership::Left);
    until("the other gets all partitions", &mut || {
        other.poll(Duration::ZERO);
        owned(&other) == 4
    });
    leave(&other);
}

/// A member that reads as a source does, and tries again as it does.
struct Member {
    control: Arc<Control>,
    thread: JoinHandle<()>,
}

impl Member {
    fn start(reads: &Reads, name: &'static str) -> Member {
        let control = Arc::new(Control::default());
        let (reads, wish) = (reads.clone(), control.clone());
        let thread = std::thread::spawn(move || {
            let spec = reads.spec();
            let make_pipe = || Ok(reads.pipe(""));
            loop {
                match reader::run(&spec, name, &wish, &make_pipe) {
                    Ok(()) | Err(Ended::Told) => return,
                    Err(Ended::Retry(_)) if wish.wish() == Wish::End => return,
                    Err(Ended::Retry(_)) => wish.wait(Duration::from_millis(50)),
                    Err(Ended::Failed(why)) => panic!("{why}"),
                }
            }
        });
        Member { control, thread }
    }

    fn stop(self) {
        self.control.set(Wish::End);
        self.thread.join().unwrap();
    }
}

/// The numbers of all rows.
fn numbers(reads: &Reads) -> Vec<i64> {
    let column = reads.stream.schema().column("v").unwrap().id;
    let spec = ScanSpec {
        columns: vec![column],
        ..ScanSpec::default()
    };
    let mut all = Vec::new();
    let scan = reads.engine.snapshot();
    let scan = scan.scan(&reads.stream, spec).unwrap();
    scan.read_all(&mut |b| {
        if let Some(column) = &b.columns[0] {
            all.extend((0..b.rows).map(|i| column.i64_at(i)));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    all
}

/// Claims are refused, members come and go. (Answers that are lost are for a real broker: this one does not survive them.)
#[test]
fn each_record_is_taken_once_whatever_becomes_of_claims() {
    const PARTITIONS: i32 = 4;
    const RECORDS: i64 = 200;
    let bench = Bench::new(PARTITIONS);
    let both = [bench.reads.clone(), Reads::new(bench.reads.brokers.clone())];
    let rows = || both.iter().map(|r| r.rows("s")).sum::<u64>();
    let mut one = Member::start(&both[0], "one");
    let two = Member::start(&both[1], "two");
    let mut sent = 0;
    let send = |sent: &mut i64| {
        send(&bench.reads.brokers, PARTITIONS, *sent..*sent + RECORDS);
        *sent += RECORDS;
    };
    until("both get rows", &mut || {
        send(&mut sent);
        both.iter().all(|r| r.rows("s") > 0)
    });
    for round in 0..3 {
        match round {
            0 => bench.cluster.request_errors(
                RDKafkaApiKey::OffsetCommit,
                &[
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE,
                ],
            ),
            1 => {
                one.stop();
                one = Member::start(&both[0], "one");
            }
            _ => {}
        }
        let before = rows();
        send(&mut sent);
        until("it goes on", &mut || rows() > before);
    }
    // A member takes what it has claimed and not taken at its next start, if not before.
    one.stop();
    two.stop();
    let members = [
        Member::start(&both[0], "one"),
        Member::start(&both[1], "two"),
    ];
    let due = sent.cast_unsigned() * PARTITIONS.cast_unsigned() as u64;
    until("all rows come", &mut || rows() >= due);
    members.into_iter().for_each(Member::stop);
    let mut found: Vec<i64> = both.iter().flat_map(numbers).collect();
    found.sort_unstable();
    let expected: Vec<i64> = (0..sent)
        .flat_map(|v| std::iter::repeat_n(v, PARTITIONS as usize))
        .collect();
    assert!(found == expected, "{} of {}", found.len(), expected.len());
}
