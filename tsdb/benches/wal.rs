//! Group commit on this host's disk: how long a group takes until it is durable, and how many bytes a second go through
//! with two groups in flight, through io_uring and with plain calls.
//!
//! `cargo bench -p tsdb --bench wal [-- --seconds 3 --dir <directory on a real disk>]`. Without `--bench` among the
//! arguments (as in a test run) it does a few groups only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tsdb::clock::{Clock, SystemClock};
use tsdb::io::{Disk, IoKind, open_disk};
use tsdb::types::Lsn;
use tsdb::wal::{Log, LogConfig, SectionKind, recover};

const GROUPS: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

struct Arguments {
    seconds: f64,
    dir: PathBuf,
}

fn arguments() -> Arguments {
    let mut found = Arguments {
        seconds: 0.02,
        dir: std::env::current_dir().expect("a current directory"),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => found.seconds = found.seconds.max(2.0),
            "--seconds" => {
                let text = args.next().expect("--seconds needs a number");
                found.seconds = text.parse().expect("--seconds needs a number");
            }
            "--dir" => found.dir = args.next().expect("--dir needs a directory").into(),
            _ => {}
        }
    }
    found
}

fn main() {
    let arguments = arguments();
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9}",
        "disk", "group", "p50 us", "p99 us", "max us", "2 in flight", "MB/s"
    );
    for kind in [IoKind::Uring, IoKind::Std] {
        for group in GROUPS {
            let dir = tempfile::Builder::new()
                .prefix("wal-bench-")
                .tempdir_in(&arguments.dir)
                .expect("a directory to write in");
            let disk = match open_disk(kind, dir.path()) {
                Ok(disk) => disk,
                Err(e) => {
                    println!("{kind:?}: not run: {e}");
                    break;
                }
            };
            let latency = one_at_a_time(&disk, group, arguments.seconds);
            let (groups, seconds) = two_in_flight(&disk, group, arguments.seconds);
            let at =
                |share: f64| latency[((latency.len() - 1) as f64 * share) as usize].as_micros();
            println!(
                "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9.0}/s {:>9.1}",
                disk.kind(),
                group,
                at(0.5),
                at(0.99),
                at(1.0),
                groups as f64 / seconds,
                (groups * group) as f64 / seconds / 1e6
            );
        }
    }
}

fn open(disk: &Arc<dyn Disk>) -> Log {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (_, log) = recover(disk, &clock, LogConfig::default(), Lsn(0)).expect("an empty log opens");
    log
}

fn append(log: &mut Log, payload: &[u8]) {
    log.append(0, |record| {
        record.section(SectionKind::ROWS, tsdb::types::TenantId(0), &[payload]);
    })
    .expect("room for a commit");
}

/// Bytes of payload that make a group of `group` bytes together with its headers.
fn payload(group: usize) -> Vec<u8> {
    (0..group - 72).map(|i| (i * 7) as u8).collect()
}

/// Prepares the next file in time, as the engine's helper does, so that what is measured is commits.
fn prepare(log: &Log) {
    log.preparer().prepare_next().expect("room for a file");
}

fn one_at_a_time(disk: &Arc<dyn Disk>, group: usize, seconds: f64) -> Vec<Duration> {
    let mut log = open(disk);
    let payload = payload(group);
    let mut took = Vec::new();
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end || took.len() < 3 {
        prepare(&log);
        let start = Instant::now();
        append(&mut log, &payload);
        log.sync().expect("a working disk");
        took.push(start.elapsed());
        let durable = log.durable_lsn();
        log.truncate_below(durable).expect("a working disk");
    }
    took.sort_unstable();
    took
}

fn two_in_flight(disk: &Arc<dyn Disk>, group: usize, seconds: f64) -> (usize, f64) {
    let mut log = open(disk);
    let payload = payload(group);
    prepare(&log);
    let start = Instant::now();
    let mut groups = 0;
    while start.elapsed().as_secs_f64() < seconds || groups < 3 {
        append(&mut log, &payload);
        while !log.flush().expect("a working disk") {
            log.wait(None).expect("a working disk");
        }
        groups += 1;
        let durable = log.durable_lsn();
        log.truncate_below(durable).expect("a working disk");
    }
    log.sync().expect("a working disk");
    (groups, start.elapsed().as_secs_f64())
}
