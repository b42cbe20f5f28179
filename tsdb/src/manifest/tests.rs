use bytes::Bytes;
use proptest::prelude::*;
use tsdb_types::{Lsn, SegmentId, TenantId};

use super::*;
use crate::sim::SimDisk;

const OWNED: [Owned; 2] = [
    Owned {
        dir: "segments",
        suffix: ".seg",
    },
    Owned {
        dir: "snapshots",
        suffix: ".snap",
    },
];

fn put(disk: &dyn Disk, name: &str, bytes: &[u8]) {
    let file = disk.create(name).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync_data().unwrap();
}

fn segment(id: u64) -> SegmentEntry {
    SegmentEntry {
        id: SegmentId(id),
        tenant: TenantId(3),
        name: format!("segments/{id:08}.seg"),
        meta: Bytes::from(vec![id as u8; 40]),
    }
}

fn snapshot(n: u64) -> FileEntry {
    FileEntry {
        kind: FileKind::SERIES,
        tenant: TenantId(1),
        name: format!("snapshots/{n}.snap"),
        lsn: Lsn(n),
        meta: Bytes::from_static(b"meta"),
    }
}

fn new_disk() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new(1);
    (sim.clone(), Arc::new(sim))
}

fn open(disk: &Arc<dyn Disk>) -> (Manifest, OpenReport) {
    Manifest::open(disk, &OWNED).unwrap()
}

#[test]
fn the_state_survives_reopening_and_replacement() {
    let (_, disk) = new_disk();
    let (mut manifest, report) = open(&disk);
    assert_eq!(report, OpenReport::default());
    // Enough edits to replace the file several times.
    for id in 0..600 {
        put(disk.as_ref(), &segment(id).name, b"rows");
        let mut entry = segment(id);
        entry.meta = Bytes::from(vec![id as u8; 9000]);
        let mut edits = vec![Edit::AddSegment(entry), Edit::Flushed(Lsn(id))];
        if id >= 10 {
            edits.push(Edit::RemoveSegment(SegmentId(id - 10)));
        }
        manifest.apply(&edits).unwrap();
    }
    put(disk.as_ref(), "snapshots/5.snap", b"series");
    manifest.apply(&[Edit::AddFile(snapshot(5))]).unwrap();
    assert!(manifest.file_id > 3, "replaced, now {}", manifest.file_id);
    let held: u64 = disk.list("manifest").unwrap().iter().map(|e| e.len).sum();
    assert!(held < 4 << 20, "{held} bytes");
    let state = manifest.state().clone();
    assert_eq!((state.segments.len(), state.flushed), (10, Lsn(599)));
    drop(manifest);
    let (manifest, report) = open(&disk);
    assert_eq!(manifest.state(), &state);
    assert_eq!(report.damage, Vec::<String>::new());
    assert_eq!(report.removed.len(), 590, "what was removed from the state");
    assert_eq!(manifest.state().next_segment, SegmentId(600));
}

#[test]
fn unnamed_files_go_and_bad_ones_are_reported() {
    let (_, disk) = new_disk();
    let (mut manifest, _) = open(&disk);
    for name in [
        "segments/00000001.seg",
        "segments/00000009.seg",
        "segments/x.seg.tmp",
    ] {
        put(disk.as_ref(), name, b"rows");
    }
    put(disk.as_ref(), "segments/notes.txt", b"not ours");
    put(disk.as_ref(), "segments/00000002.seg", b"");
    let edits = [1, 2, 3].map(|id| Edit::AddSegment(segment(id)));
    manifest.apply(&edits).unwrap();
    drop(manifest);
    let (manifest, report) = open(&disk);
    let removed = ["segments/00000009.seg", "segments/x.seg.tmp"];
    assert_eq!(report.removed, removed);
    let bad: Vec<(&str, &str)> = report
        .quarantined
        .iter()
        .map(|q| (q.name.as_str(), q.reason.as_str()))
        .collect();
    let expected = [
        ("segments/00000002.seg", "it is empty"),
        ("segments/00000003.seg", "it is missing"),
    ];
    assert_eq!(bad, expected);
    assert_eq!(manifest.state().segments.len(), 3, "bad ones stay named");
    assert!(disk.open("segments/notes.txt").is_ok());
    assert!(disk.open("segments/00000002.seg").is_ok());
}

#[test]
fn contradictions_are_refused_and_change_nothing() {
    let (_, disk) = new_disk();
    let (mut manifest, _) = open(&disk);
    put(disk.as_ref(), "segments/00000001.seg", b"rows");
    manifest
        .apply(&[Edit::AddSegment(segment(1)), Edit::Flushed(Lsn(9))])
        .unwrap();
    let state = manifest.state().clone();
    let named = |name: &str| {
        let mut entry = segment(2);
        entry.name = name.to_owned();
        Edit::AddSegment(entry)
    };
    for bad in [
        Edit::AddSegment(segment(1)),
        Edit::RemoveSegment(SegmentId(2)),
        Edit::Flushed(Lsn(8)),
        Edit::RemoveFile("snapshots/5.snap".into()),
        named("../../etc/passwd"),
        named("/etc/passwd"),
        named("segments/../x.seg"),
        named("segments/00000001.seg"),
        named(&"x".repeat(300)),
    ] {
        let refused = manifest.apply(&[Edit::Flushed(Lsn(20)), bad.clone()]);
        assert!(matches!(refused, Err(ManifestError::Invalid(_))), "{bad:?}");
        assert_eq!(manifest.state(), &state, "{bad:?}");
    }
    manifest.apply(&[Edit::Flushed(Lsn(20))]).unwrap();
}

#[test]
fn a_path_out_of_the_directory_is_damage_even_with_a_valid_checksum() {
    let (sim, disk) = new_disk();
    let (manifest, _) = open(&disk);
    let mut entry = segment(1);
    entry.name = "../outside".into();
    let (id, end, seq) = (manifest.file_id, manifest.end, manifest.seq + 1);
    let frame = format::twice(
        id,
        end,
        seq,
        format::Frame::Edit,
        &[Edit::AddSegment(entry)],
    )
    .unwrap();
    drop(manifest);
    sim.corrupt(&format::file_name(id), |bytes| bytes.extend(frame))
        .unwrap();
    let (manifest, report) = open(&disk);
    assert!(manifest.state().segments.is_empty());
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    assert!(report.damage[0].contains("outside"));
}

#[test]
fn a_newer_version_is_refused() {
    let (sim, disk) = new_disk();
    let (manifest, _) = open(&disk);
    let name = format::file_name(manifest.file_id);
    drop(manifest);
    sim.corrupt(&name, |bytes| {
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
    })
    .unwrap();
    assert!(matches!(
        Manifest::open(&disk, &OWNED),
        Err(ManifestError::NewerVersion { got: 9, .. })
    ));
}

/// A disk with a manifest of a few edits, and the state they make.
fn small() -> (SimDisk, ManifestState) {
    let (sim, disk) = new_disk();
    let (mut manifest, _) = open(&disk);
    for id in 1..4 {
        put(disk.as_ref(), &segment(id).name, b"rows");
        manifest
            .apply(&[Edit::AddSegment(segment(id)), Edit::Flushed(Lsn(id))])
            .unwrap();
    }
    put(disk.as_ref(), "snapshots/5.snap", b"series");
    manifest.apply(&[Edit::AddFile(snapshot(5))]).unwrap();
    let state = manifest.state().clone();
    (sim, state)
}

#[test]
fn no_flipped_bit_changes_the_state() {
    let (sim, state) = small();
    for dir_entry in sim.list("manifest").unwrap() {
        let name = format!("manifest/{}", dir_entry.name);
        let bytes = sim.open(&name).unwrap().map().unwrap();
        for bit in 0..bytes.len() * 8 {
            // Padding is long and all alike: some of it will do.
            let ahead = &bytes[bit / 8..];
            if ahead.iter().take(64).all(|b| *b == 0) && !bit.is_multiple_of(999) {
                continue;
            }
            let copy = sim.copy(1);
            copy.corrupt(&name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8))
                .unwrap();
            let disk: Arc<dyn Disk> = Arc::new(copy);
            match Manifest::open(&disk, &OWNED) {
                Ok((manifest, report)) => {
                    let mut found = manifest.state().clone();
                    found.keep_unnamed = false;
                    assert_eq!(found, state, "{name}, bit {bit}: {report:?}");
                    assert_eq!(report.removed, Vec::<String>::new(), "{name}, bit {bit}");
                }
                Err(ManifestError::NewerVersion { .. }) => {}
                Err(e) => panic!("{name}, bit {bit}: {e}"),
            }
        }
    }
}

#[test]
fn no_truncation_panics_or_makes_anything_up() {
    let (sim, state) = small();
    let name = sim
        .list("manifest")
        .unwrap()
        .into_iter()
        .find(|entry| entry.name.starts_with("MANIFEST"))
        .map(|entry| format!("manifest/{}", entry.name))
        .unwrap();
    for len in (0..24 << 10).step_by(13) {
        let copy = sim.copy(1);
        copy.corrupt(&name, |bytes| bytes.truncate(len)).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(copy);
        let (manifest, _) = open(&disk);
        for (id, entry) in &manifest.state().segments {
            assert_eq!(state.segments.get(id), Some(entry));
        }
        assert!(manifest.state().flushed <= state.flushed);
    }
}

#[test]
fn lost_edits_keep_unnamed_files_over_restarts() {
    let (sim, disk) = {
        let (sim, _) = small();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        (sim, disk)
    };
    let entries = sim.list("manifest").unwrap();
    let name = entries
        .iter()
        .find(|e| e.name.starts_with("MANIFEST"))
        .unwrap();
    let name = format!("manifest/{}", name.name);
    // Both copies of the second edit.
    sim.corrupt(&name, |bytes| {
        let frames: Vec<usize> = (0..bytes.len() - 4)
            .filter(|at| &bytes[*at..at + 4] == b"EDIT")
            .collect();
        for at in &frames[4..6] {
            bytes[at + 40] ^= 1;
        }
    })
    .unwrap();
    for _ in 0..3 {
        let (manifest, report) = open(&disk);
        assert!(manifest.state().keep_unnamed);
        assert_eq!(report.removed, Vec::<String>::new());
        assert!(
            disk.open("segments/00000002.seg").is_ok(),
            "its edit is lost, it is not"
        );
    }
    let set_aside = disk.list("manifest").unwrap();
    assert!(
        set_aside
            .iter()
            .any(|entry| entry.name.ends_with(".damaged"))
    );
}

proptest! {
    #[test]
    fn edits_read_back(ids in prop::collection::vec((any::<u64>(), any::<u32>(), "[a-z0-9_.-]{1,40}", prop::collection::vec(any::<u8>(), 0..50)), 0..6)) {
        let mut edits = vec![Edit::KeepUnnamed, Edit::Flushed(Lsn(ids.len() as u64))];
        for (id, tenant, name, meta) in ids {
            let (tenant, meta) = (TenantId(tenant), Bytes::from(meta));
            edits.push(Edit::AddSegment(SegmentEntry { id: SegmentId(id), tenant, name: name.clone(), meta: meta.clone() }));
            edits.push(Edit::AddFile(FileEntry { kind: FileKind(id as u8), tenant, name: name.clone(), lsn: Lsn(id), meta }));
            edits.push(Edit::RemoveFile(name));
            edits.push(Edit::RemoveSegment(SegmentId(id)));
            edits.push(Edit::NextSegment(SegmentId(id)));
        }
        let mut bytes = Vec::new();
        edits.iter().for_each(|edit| edit.encode(&mut bytes));
        let mut rest = Bytes::from(bytes);
        let back: Vec<Edit> = edits.iter().map(|_| Edit::decode(&mut rest).unwrap()).collect();
        prop_assert_eq!(back, edits);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn hostile_edits_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut rest = Bytes::from(bytes);
        while !rest.is_empty() {
            if Edit::decode(&mut rest).is_none() {
                break;
            }
        }
    }
}
