//! Logs with bytes changed behind the writer's back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tsdb_types::{Lsn, TenantId};

use super::format::{self, BLOCK, FileHeader, RecordHeader, RecordKind};
use super::*;
use crate::clock::Clock;
use crate::io::Disk;
use crate::sim::{SimClock, SimDisk};

const FILE_BYTES: u64 = 32 << 10;

fn open(disk: &SimDisk, floor: u64) -> (RecoveredLog, Log) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new(77));
    let config = LogConfig {
        file_bytes: FILE_BYTES,
    };
    recover(&disk, &clock, config, Lsn(floor)).unwrap()
}

fn text(lsn: u64) -> String {
    format!("commit number {lsn} {}", "x".repeat(lsn as usize * 7 % 300))
}

fn add(log: &mut Log) {
    let lsn = log.last_lsn().0 + 1;
    log.append(lsn as i64, |record| {
        record.section(SectionKind::ROWS, TenantId(1), &[text(lsn).as_bytes()]);
    })
    .unwrap();
}

/// A log of `commits` synced in pairs, closed in an orderly way or not.
fn log_of(commits: u64, close: bool) -> SimDisk {
    let disk = SimDisk::new(5);
    let (_, mut log) = open(&disk, 0);
    for lsn in 1..=commits {
        add(&mut log);
        if lsn % 2 == 0 {
            log.sync().unwrap();
        }
    }
    log.sync().unwrap();
    if close {
        log.close().unwrap();
    }
    disk.kill();
    disk
}

fn texts(recovered: &RecoveredLog) -> BTreeMap<u64, String> {
    recovered
        .records()
        .map(|record| {
            let section = record.sections().next().unwrap();
            let text = String::from_utf8(section.payload.to_vec()).unwrap();
            (record.lsn.0, text)
        })
        .collect()
}

fn lost(recovered: &RecoveredLog) -> Vec<u64> {
    recovered
        .damage()
        .iter()
        .flat_map(|damage| match damage {
            Damage::Lost { lsns } => lsns.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn offset_of(disk: &SimDisk, name: &str, needle: &str) -> usize {
    let bytes = disk.open(name).unwrap().map().unwrap();
    bytes
        .windows(needle.len())
        .position(|window| window == needle.as_bytes())
        .unwrap()
}

#[test]
fn every_flipped_bit_is_harmless_or_reported() {
    let disk = log_of(6, true);
    let name = format::file_name(1);
    let bytes = disk.open(&name).unwrap().map().unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 16;
    let mut reported = 0;
    for bit in 0..used * 8 {
        // Padding of whole blocks is long and all alike.
        let byte = bit / 8;
        if bytes[byte..].iter().take(64).all(|b| *b == 0) && !byte.is_multiple_of(61) {
            continue;
        }
        let copy = disk.copy(1);
        copy.corrupt(&name, |bytes| bytes[byte] ^= 1 << (bit % 8))
            .unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SimClock::new(77));
        let shared: Arc<dyn Disk> = Arc::new(copy);
        let config = LogConfig {
            file_bytes: FILE_BYTES,
        };
        let (recovered, log) = recover(&shared, &clock, config, Lsn(0)).unwrap();
        let found = texts(&recovered);
        let missing = lost(&recovered);
        for lsn in 1..=6 {
            match found.get(&lsn) {
                Some(found) => assert_eq!(found, &text(lsn), "bit {bit}"),
                None => assert!(missing.contains(&lsn), "bit {bit}: {lsn} is gone silently"),
            }
        }
        assert!(missing.len() <= 1, "bit {bit} cost {missing:?}");
        assert_eq!(log.last_lsn(), Lsn(6), "bit {bit}: no LSN is given twice");
        reported += missing.len();
    }
    assert!(
        reported > 1000,
        "flips in records must be seen, {reported} were"
    );
}

#[test]
fn every_truncation_is_harmless_or_reported() {
    let disk = log_of(6, true);
    let name = format::file_name(1);
    for len in (0..FILE_BYTES as usize).step_by(17) {
        let copy = disk.copy(1);
        copy.corrupt(&name, |bytes| bytes.truncate(len)).unwrap();
        let (recovered, _) = open(&copy, 0);
        let found = texts(&recovered);
        for (lsn, found) in &found {
            assert_eq!(found, &text(*lsn));
        }
        assert!(found.keys().copied().eq(1..=found.len() as u64), "a prefix");
    }
}

#[test]
fn a_hole_that_was_durable_is_damage_and_the_rest_stays() {
    let disk = log_of(6, true);
    let name = format::file_name(1);
    let at = offset_of(&disk, &name, &text(3));
    disk.corrupt(&name, |bytes| bytes[at + 3] ^= 0xff).unwrap();
    // Reported at each start until the floor has passed it.
    for _ in 0..2 {
        let (recovered, log) = open(&disk, 0);
        assert_eq!(recovered.damage(), &[Damage::Lost { lsns: 3..=3 }]);
        assert!(texts(&recovered).keys().copied().eq([1, 2, 4, 5, 6]));
        assert_eq!(log.last_lsn(), Lsn(6));
        drop(log);
        disk.kill();
    }
    let (recovered, mut log) = open(&disk, 2);
    assert_eq!(recovered.damage(), &[Damage::Lost { lsns: 3..=3 }]);
    assert!(matches!(
        log.read(Lsn(2), Lsn(6)),
        Err(WalError::NotRetained { wanted: Lsn(3) })
    ));
    add(&mut log);
    log.sync().unwrap();
    log.truncate_below(Lsn(6)).unwrap();
    let names: Vec<String> = disk
        .list("wal")
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert!(
        names.contains(&"00000001.wal.damaged".to_owned()),
        "{names:?}"
    );
    drop(log);
    disk.kill();
    let (recovered, _) = open(&disk, 6);
    assert_eq!(recovered.damage(), &[]);
}

#[test]
fn the_last_commit_damaged_is_damage_once_a_mark_vouches_for_it() {
    let name = format::file_name(1);
    for (closed, expected) in [(true, vec![Damage::Lost { lsns: 5..=5 }]), (false, vec![])] {
        let disk = log_of(5, closed);
        let at = offset_of(&disk, &name, &text(5));
        disk.corrupt(&name, |bytes| bytes[at] ^= 1).unwrap();
        let (recovered, log) = open(&disk, 0);
        assert_eq!(recovered.damage(), expected);
        assert_eq!(log.last_lsn(), Lsn(if closed { 5 } else { 4 }));
    }
}

#[test]
fn a_file_that_is_gone_is_damage() {
    let disk = SimDisk::new(5);
    let (_, mut log) = open(&disk, 0);
    for _ in 0..300 {
        add(&mut log);
        log.sync().unwrap();
    }
    let count = disk.list("wal").unwrap().len();
    assert!(count > 10);
    drop(log);
    disk.kill();
    disk.remove("wal/00000004.wal").unwrap();
    let (recovered, log) = open(&disk, 0);
    let missing = lost(&recovered);
    assert!(!missing.is_empty());
    let mut all: Vec<u64> = texts(&recovered).into_keys().chain(missing).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=300));
    assert_eq!(log.last_lsn(), Lsn(300));
}

#[test]
fn what_lies_behind_a_torn_commit_is_cut_for_good() {
    // Two groups in flight, neither acknowledged: the first is torn, the second has reached the disk.
    let disk = log_of(4, true);
    let (_, mut log) = open(&disk, 0);
    for _ in 0..2 {
        add(&mut log);
        log.flush().unwrap();
    }
    // Completions are not looked at by the log: nothing is acknowledged.
    log.sync().unwrap();
    drop(log);
    disk.kill();
    let name = format::file_name(2);
    let at = offset_of(&disk, &name, &text(5));
    disk.corrupt(&name, |bytes| {
        bytes[at] ^= 1;
        // As it would be had commit 6 been written before 5 was durable.
        let found = scan::scan(2, Bytes::copy_from_slice(bytes)).unwrap();
        assert_eq!(found.durable, Lsn(4));
    })
    .unwrap();
    for _ in 0..2 {
        let (recovered, mut log) = open(&disk, 0);
        assert_eq!(recovered.damage(), &[]);
        let last = log.last_lsn().0;
        assert!(texts(&recovered).keys().copied().eq(1..=last), "{last}");
        if last == 4 {
            assert_eq!(recovered.cut(), 1);
            add(&mut log);
            log.sync().unwrap();
        } else {
            assert_eq!((last, recovered.cut()), (5, 0), "6 does not come back");
        }
        drop(log);
        disk.kill();
    }
}

#[test]
fn a_payload_that_looks_like_a_record_is_none() {
    let disk = SimDisk::new(9);
    let (_, mut log) = open(&disk, 0);
    // The forger knows file, offset and LSN, but not the epoch.
    let forged_at = BLOCK as u64 + 56 + 16;
    let header = RecordHeader {
        kind: RecordKind::Commit,
        sections: 0,
        lsn: Lsn(2),
        durable_lsn: Lsn(1),
        wall_ns: 0,
        epoch: 1 << 32,
        body_len: 0,
        body_crc: crc32fast::hash(b""),
    };
    let forged = header.encode(1, forged_at);
    log.append(0, |record| {
        record.section(SectionKind::ROWS, TenantId(0), &[&forged])
    })
    .unwrap();
    log.close().unwrap();
    disk.kill();
    let name = format::file_name(1);
    let bytes = disk.open(&name).unwrap().map().unwrap();
    assert_eq!(
        RecordHeader::decode(&bytes[forged_at as usize..], 1, forged_at),
        Some(header)
    );
    // With the true header gone, the scan runs over the payload.
    disk.corrupt(&name, |bytes| bytes[BLOCK] ^= 1).unwrap();
    let (recovered, _) = open(&disk, 0);
    assert_eq!(recovered.records().count(), 0);
    assert_eq!(recovered.damage(), &[Damage::Lost { lsns: 1..=1 }]);
}

#[test]
fn a_newer_version_is_refused_and_nothing_is_touched() {
    let disk = log_of(3, true);
    let name = format::file_name(1);
    disk.corrupt(&name, |bytes| {
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..40]);
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    })
    .unwrap();
    let before = disk.ops();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new(77));
    let refused = recover(&shared, &clock, LogConfig::default(), Lsn(0))
        .err()
        .unwrap();
    assert!(matches!(refused, WalError::NewerVersion { got: 2, .. }));
    assert_eq!(disk.ops(), before);
}

#[test]
fn a_failed_write_poisons_for_good() {
    let disk = log_of(2, true);
    let (_, mut log) = open(&disk, 0);
    add(&mut log);
    log.preparer().prepare_next().unwrap();
    disk.fail(100);
    assert!(matches!(log.sync(), Err(WalError::Poisoned { .. })));
    disk.fail(0);
    let refused = log.append(1, |_| {});
    assert!(matches!(refused, Err(WalError::Poisoned { .. })));
    assert!(log.flush().is_err() && log.sync().is_err() && log.idle().is_err());
    assert_eq!(log.durable_lsn(), Lsn(2));
}

#[test]
fn headers_read_back_only_in_their_place() {
    let header = FileHeader {
        file_id: 7,
        epoch: 9,
        first_lsn: Lsn(3),
    };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    assert_eq!(bytes.len(), BLOCK);
    assert_eq!(FileHeader::decode(&bytes, 7), Ok(header));
    assert!(FileHeader::decode(&bytes, 8).is_err());
    let record = RecordHeader {
        kind: RecordKind::Mark,
        sections: 3,
        lsn: Lsn(5),
        durable_lsn: Lsn(4),
        wall_ns: -5,
        epoch: 9,
        body_len: 16,
        body_crc: 1,
    };
    let bytes = record.encode(7, 4096);
    assert_eq!(RecordHeader::decode(&bytes, 7, 4096), Some(record));
    assert_eq!(RecordHeader::decode(&bytes, 7, 4104), None);
    assert_eq!(RecordHeader::decode(&bytes, 6, 4096), None);
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(start in prop::collection::vec(any::<u8>(), 0..300), id in 0u64..3) {
        let _ = FileHeader::decode(&start, id);
        let _ = RecordHeader::decode(&start, id, 4096);
        let mut pos = 0;
        while format::next_section(&start, &mut pos).is_some() {}
        prop_assert!(pos <= start.len());
        let mut file = vec![0; BLOCK];
        file.extend(&start);
        prop_assert!(scan::scan(id, Bytes::from(file)).unwrap().commits.is_empty());
    }

    /// A header with a valid checksum and any numbers in it: lengths that lead out of the file, sections that don't fit.
    #[test]
    fn hostile_records_with_valid_checksums_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..12),
        claimed in any::<u32>(),
        sections in any::<u16>(),
        lsn in any::<u64>(),
        durable in any::<u64>(),
    ) {
        let body: Vec<u8> = body.iter().flat_map(|b| [*b; 8]).collect();
        for body_len in [claimed, claimed % 128, body.len() as u32] {
            let header = RecordHeader {
                kind: RecordKind::Commit,
                sections,
                lsn: Lsn(lsn),
                durable_lsn: Lsn(durable),
                wall_ns: 0,
                epoch: 1,
                body_len,
                body_crc: crc32fast::hash(&body),
            };
            let mut file = vec![0; BLOCK];
            file.extend(header.encode(1, BLOCK as u64));
            file.extend(&body);
            let found = scan::scan(1, Bytes::from(file)).unwrap();
            for record in found.into_records() {
                prop_assert_eq!(record.sections().count(), usize::from(sections));
            }
        }
    }
}
