use super::log_system::{LogSystem, MUTANTS, SEGMENT_MUTANTS};
use super::*;
use crate::io::Disk;

#[test]
fn nothing_acknowledged_is_lost_by_crashes_at_random() {
    let mut total = Stats::default();
    for seed in seeds(200) {
        match drive::<LogSystem>(seed, &Options::default()) {
            Ok(stats) => {
                total.ops += stats.ops;
                total.cuts += stats.cuts;
                total.kills += stats.kills;
                total.in_recovery += stats.in_recovery;
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{total:?}");
    assert!(total.cuts > 0 && total.ops > 0);
}

#[test]
fn nothing_acknowledged_is_lost_by_a_cut_at_any_operation() {
    for seed in seeds(200).into_iter().take(3).map(|seed| seed * 2) {
        let mut cut = 1;
        loop {
            let options = Options {
                rounds: 2,
                first_cut: Some(cut),
                cut_within: 40,
                fail_percent: 0,
                ..Options::default()
            };
            let stats = match drive::<LogSystem>(seed, &options) {
                Ok(stats) => stats,
                Err(failure) => panic!("cut at operation {cut}: {failure}"),
            };
            // Past the end of the first round nothing new can happen.
            if cut > 200 || stats.ops < cut {
                break;
            }
            cut += 1;
        }
        assert!(cut > 20, "the first round has done next to nothing");
    }
}

#[test]
fn every_sync_that_is_skipped_is_noticed() {
    const WITHIN: u64 = 400;
    for mutant in MUTANTS.iter().chain(&SEGMENT_MUTANTS) {
        let options = Options {
            mutant: Some(*mutant),
            ..Options::default()
        };
        let mut skipped = 0;
        let caught = (0..WITHIN).find_map(|seed| match drive::<LogSystem>(seed, &options) {
            Ok(stats) => {
                skipped += stats.skipped;
                None
            }
            Err(failure) => Some(failure),
        });
        match caught {
            Some(failure) => println!("without the sync of {}: {failure}", mutant.name),
            None => panic!(
                "nobody missed {skipped} syncs of {} in {WITHIN} seeds",
                mutant.name
            ),
        }
    }
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in 0..5 {
        let options = Options::default();
        let first = drive::<LogSystem>(seed, &options).unwrap();
        assert_eq!(first, drive::<LogSystem>(seed, &options).unwrap());
    }
}

#[test]
fn unsynced_changes_may_go_and_synced_ones_stay() {
    let (mut kept, mut gone, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let file = disk.create("a").unwrap();
        file.write_at(0, &[1; 2048]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(512, &[2; 512]).unwrap();
        let other = disk.create("b").unwrap();
        other.write_at(0, b"x").unwrap();
        other.sync_data().unwrap();
        disk.lose_power();
        assert!(file.sync_data().is_err(), "the handle's process is dead");
        let back = disk.open("a").unwrap().map().unwrap();
        assert_eq!(back.len(), 2048);
        assert!(back[..512].iter().chain(&back[1024..]).all(|b| *b == 1));
        match &back[512..1024] {
            old if old == [1; 512] => gone += 1,
            new if new == [2; 512] => kept += 1,
            _ => torn += 1,
        }
        match disk.open("b") {
            Ok(file) => assert_eq!(file.map().unwrap().as_ref(), b"x"),
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::NotFound),
        }
    }
    assert!(kept > 20 && gone > 20 && torn > 3, "{kept} {gone} {torn}");
}

#[test]
fn a_failed_sync_is_told_once_to_each_handle_and_its_bytes_are_lost() {
    let disk = SimDisk::new(3);
    let first = disk.create("a").unwrap();
    let second = disk.open("a").unwrap();
    first.write_at(0, &[7; 51_200]).unwrap();
    disk.fail(100);
    assert!(first.sync_data().is_err());
    disk.fail(0);
    assert!(second.sync_data().is_err());
    assert!(first.sync_data().is_ok() && second.sync_data().is_ok());
    assert_eq!(
        first.map().unwrap(),
        vec![7; 51_200],
        "the cache still shows them"
    );
    first.drop_cache().unwrap();
    let held = first.map().unwrap();
    let lost = held.chunks(512).filter(|sector| sector[0] == 0).count();
    assert!(lost > 10 && lost < 90, "{lost} of 100 sectors");
}
