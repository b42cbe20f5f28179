use std::sync::Arc;

use tsdb_types::{Lsn, TenantId};

use super::files::MAX_SPARES;
use super::*;
use crate::clock::{Clock, SystemClock};
use crate::io::{Disk, IoKind, open_disk};

fn payload(lsn: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (lsn as usize * 31 + i) as u8).collect()
}

fn open(dir: &std::path::Path, kind: IoKind, file_bytes: u64, floor: u64) -> (RecoveredLog, Log) {
    let disk = open_disk(kind, dir).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    recover(&disk, &clock, LogConfig { file_bytes }, Lsn(floor)).unwrap()
}

fn add(log: &mut Log, len: usize) -> Lsn {
    let next = log.last_lsn().next();
    let bytes = payload(next.0, len);
    log.append(next.0 as i64 * 10, |record| {
        record.section(
            SectionKind::ROWS,
            TenantId(7),
            &[&bytes[..len / 2], &bytes[len / 2..]],
        );
        record.section_with(SectionKind::TICK, TenantId(0), |out| out.push(1));
    })
    .unwrap()
}

fn check(record: &Record, len: usize) {
    let sections: Vec<Section> = record.sections().collect();
    assert_eq!(record.wall_ns, record.lsn.0 as i64 * 10);
    assert_eq!(sections.len(), 2);
    assert_eq!(
        (sections[0].kind, sections[0].tenant),
        (SectionKind::ROWS, TenantId(7))
    );
    assert_eq!(sections[0].payload, payload(record.lsn.0, len));
    assert_eq!(sections[0].payload.as_ptr().align_offset(8), 0);
    assert_eq!(sections[1].payload.as_ref(), &[1]);
}

/// Lengths that fall short of, meet and exceed blocks and files of 32 KiB.
const LENGTHS: [usize; 9] = [0, 1, 7, 100, 4000, 4096, 30_000, 40_000, 100_000];

#[test]
fn commits_come_back_in_order_over_files_and_restarts() {
    for kind in [IoKind::Std, IoKind::Auto] {
        let dir = tempfile::tempdir().unwrap();
        let mut total = 0;
        for run in 0..3 {
            let (recovered, mut log) = open(dir.path(), kind, 32 << 10, 0);
            assert_eq!(recovered.damage(), &[]);
            let records: Vec<Record> = recovered.records().collect();
            assert_eq!(records.len(), total);
            for (i, record) in records.iter().enumerate() {
                assert_eq!(record.lsn, Lsn(i as u64 + 1));
                check(record, LENGTHS[i % LENGTHS.len()]);
            }
            for i in 0..60 {
                let len = LENGTHS[total % LENGTHS.len()];
                assert_eq!(add(&mut log, len), Lsn(total as u64 + 1));
                total += 1;
                match i % 7 {
                    0 => assert_eq!(log.sync().unwrap(), Lsn(total as u64)),
                    1 | 2 => {
                        log.flush().unwrap();
                    }
                    3 => {
                        log.poll().unwrap();
                        log.preparer().prepare_next().unwrap();
                    }
                    _ => {}
                }
            }
            if run == 1 {
                assert_eq!(log.close().unwrap(), Lsn(total as u64));
            } else {
                log.sync().unwrap();
                let read = log.read(Lsn(5), log.last_lsn()).unwrap();
                assert_eq!(read.len(), total - 4);
                check(&read[0], LENGTHS[4]);
            }
        }
    }
}

#[test]
fn files_below_the_floor_go_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut log) = open(dir.path(), IoKind::Std, 16 << 10, 0);
    for _ in 0..100 {
        add(&mut log, 1000);
        log.sync().unwrap();
    }
    let (full, _) = log.disk_bytes();
    log.truncate_below(Lsn(80)).unwrap();
    let (live, spare) = log.disk_bytes();
    assert!(live < full / 3, "{live} of {full}");
    assert_eq!(
        spare,
        (MAX_SPARES as u64) * (16 << 10),
        "some are kept for reuse"
    );
    assert!(matches!(
        log.read(Lsn(1), Lsn(100)),
        Err(WalError::NotRetained { wanted: Lsn(1) })
    ));
    assert_eq!(log.read(Lsn(81), Lsn(100)).unwrap().len(), 20);
    assert!(log.read(Lsn(90), Lsn(101)).is_err(), "101 is not there yet");
    // Recycled files hold old records, which must never be taken for new ones.
    for _ in 0..40 {
        add(&mut log, 900);
        log.sync().unwrap();
    }
    drop(log);
    let (recovered, log) = open(dir.path(), IoKind::Std, 16 << 10, 80);
    assert_eq!(recovered.damage(), &[]);
    let (first, last) = recovered.retained().unwrap();
    assert!(first <= Lsn(81) && last == Lsn(140), "{first} {last}");
    assert_eq!(log.last_lsn(), Lsn(140));
    for record in recovered.records_from(Lsn(81)) {
        check(&record, if record.lsn.0 <= 100 { 1000 } else { 900 });
    }
}

#[test]
fn a_full_disk_refuses_a_commit_and_takes_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut log) = open(dir.path(), IoKind::Std, 16 << 10, 0);
    add(&mut log, 10);
    log.sync().unwrap();
    // A name that is taken stands for a disk that has no room: the next file can't be made.
    let blocked = dir.path().join("wal/00000002.wal");
    std::fs::create_dir(&blocked).unwrap();
    let big = payload(2, 20_000);
    let refused = log.append(20, |record| {
        record.section(SectionKind::ROWS, TenantId(7), &[&big]);
    });
    assert!(matches!(refused, Err(WalError::NoFile { .. })));
    assert_eq!(log.last_lsn(), Lsn(1));
    assert_eq!(
        add(&mut log, 10),
        Lsn(2),
        "what fits the current file is taken"
    );
    std::fs::remove_dir(&blocked).unwrap();
    assert_eq!(add(&mut log, 20_000), Lsn(3));
    log.sync().unwrap();
    drop(log);
    let (recovered, _) = open(dir.path(), IoKind::Std, 16 << 10, 0);
    assert_eq!(recovered.records().count(), 3);
    assert_eq!(recovered.damage(), &[]);
}

#[test]
fn silence_is_marked_once() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = open_disk(IoKind::Std, dir.path()).unwrap();
    let clock = Arc::new(crate::sim::SimClock::new(1));
    let shared: Arc<dyn Clock> = clock.clone();
    let (_, mut log) = recover(
        &disk,
        &shared,
        LogConfig {
            file_bytes: 16 << 10,
        },
        Lsn(0),
    )
    .unwrap();
    add(&mut log, 10);
    log.sync().unwrap();
    assert!(!log.idle().unwrap(), "it has only just been quiet");
    clock.advance(20_000_000);
    assert!(log.idle().unwrap());
    log.sync().unwrap();
    clock.advance(20_000_000);
    assert!(!log.idle().unwrap(), "nothing new to say");
    assert_eq!(log.last_lsn(), Lsn(1), "a mark takes no LSN");
    assert_eq!(add(&mut log, 10), Lsn(2));
}
