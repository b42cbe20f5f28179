//! A small database with all kinds of files, read whole, and with bytes changed.

use super::*;
use crate::io::IoKind;
use crate::{
    BatchBuilder, DataType, Engine, EngineConfig, Object, Request, Role, Rows, Stream, StreamDef,
};
use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;
use tempfile::TempDir;
use tsdb_types::{ColumnId, Lsn};

const DECIMAL: DataType = DataType::Decimal {
    precision: 10,
    scale: 2,
};
const DAY: i64 = 86_400_000_000_000;

fn def() -> StreamDef {
    let columns = [
        ("time", DataType::Timestamp, Role::Time),
        ("host", DataType::Utf8, Role::Tag),
        ("count", DataType::Int64, Role::Field),
        ("load", DataType::Float64, Role::Field),
        ("note", DataType::Utf8, Role::Field),
        ("price", DECIMAL, Role::Field),
        ("up", DataType::Bool, Role::Field),
    ];
    StreamDef {
        columns: columns.map(|(n, t, r)| (n.to_owned(), t, r)).to_vec(),
        ..StreamDef::default()
    }
}

fn rows(stream: &Stream, range: std::ops::Range<i64>) -> Request {
    let mut b = BatchBuilder::new(stream.id);
    for i in range {
        let series = stream
            .series()
            .resolve(&[(ColumnId(1), &format!("h{}", i % 3))]);
        // Out of order, and over several days.
        b.begin_row((i * 37 % 101) * DAY / 20, series);
        b.column(ColumnId(2), DataType::Int64).unwrap().push_i64(i);
        if i % 4 != 0 {
            let load = if i % 50 == 1 {
                f64::NAN
            } else {
                i as f64 / 8.0
            };
            b.column(ColumnId(3), DataType::Float64)
                .unwrap()
                .push_f64(load);
            let note = format!("note {}", i % 5);
            b.column(ColumnId(4), DataType::Utf8)
                .unwrap()
                .push_str(&note);
        }
        b.column(ColumnId(5), DECIMAL).unwrap().push_i64(i * 101);
        b.column(ColumnId(6), DataType::Bool)
            .unwrap()
            .push_i64(i & 1);
    }
    Request {
        rows: vec![Rows::Sealed(b.finish().unwrap())],
        ..Request::default()
    }
}

/// 600 rows in two segments, 100 in the log, a dropped stream, a view, and an orderly end.
fn database() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(&EngineConfig {
        io: IoKind::Std,
        wal_file_bytes: 32 << 10,
        ..EngineConfig::new(dir.path())
    })
    .unwrap();
    let catalog = engine.catalog();
    let stream = catalog.create_stream("default", "s", &def()).unwrap();
    let gone = catalog.create_stream("other", "gone", &def()).unwrap();
    engine.commit(rows(&gone, 0..50)).unwrap();
    engine.commit(rows(&stream, 0..300)).unwrap();
    engine.flush().unwrap();
    catalog.drop_stream("other", "gone").unwrap();
    catalog.put_object(Object {
        kind: "view".into(),
        db: "default".into(),
        name: "v".into(),
        payload: vec![1, 2, 3],
    });
    for i in 0..6 {
        engine
            .commit(rows(&stream, 300 + i * 50..350 + i * 50))
            .unwrap();
    }
    engine.flush().unwrap();
    for i in 0..10 {
        engine
            .commit(rows(&stream, 600 + i * 10..610 + i * 10))
            .unwrap();
    }
    engine.close();
    dir
}

/// Every file with its bytes and the time of its last change.
fn tree(root: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for dir in DIRS.into_iter().chain([""]) {
        for entry in fs::read_dir(root.join(dir)).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                let changed = path.metadata().unwrap().modified().unwrap();
                all.insert(name.to_owned(), (fs::read(&path).unwrap(), changed));
            }
        }
    }
    all
}

fn verified(root: &Path) -> Findings {
    verify(&DataDir::open(root).unwrap(), &mut |_| {}).unwrap()
}

fn told(findings: &Findings) -> Vec<String> {
    findings.damage.iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_database_passes_and_not_a_byte_changes() {
    let dir = database();
    let before = tree(dir.path());
    let (mut done, expected) = (0, DataDir::open(dir.path()).unwrap().bytes().unwrap());
    let data = DataDir::open(dir.path()).unwrap();
    let findings = verify(&data, &mut |bytes| done += bytes).unwrap();
    assert_eq!(told(&findings), [""; 0]);
    let checked = findings.checked;
    assert_eq!((checked.segments, checked.rows), (2, 650));
    assert!(
        checked.wal_rows >= 100 && checked.catalog_files == 2,
        "{checked:?}"
    );
    assert_eq!(findings.last_lsn, Lsn(18));
    // All but `CURRENT`.
    assert!(
        done <= expected && done + 100 > expected,
        "{done} of {expected}"
    );

    let manifest = data.manifest().unwrap();
    assert_eq!(manifest.state.segments.len(), 2);
    assert!(manifest.files[0].current && manifest.files[0].frames.iter().all(|f| f.copies == 2));
    let catalog = data.catalog(&manifest).unwrap();
    assert_eq!(catalog.files[0].entries.streams, 2);
    let wal = data.wal().unwrap();
    let judged = judge(&wal, manifest.state.flushed);
    assert_eq!(judged.kept.unwrap().1, Lsn(18));
    assert_eq!((judged.cut, judged.durable), (0, Lsn(18)));
    let streams = data
        .streams(&manifest, &catalog.catalog, &wal, &judged)
        .unwrap();
    let report = &streams[0];
    assert_eq!(
        (streams.len(), report.stored_rows, report.wal.rows),
        (1, 600, 100)
    );
    assert_eq!(report.time, Some((0, 100 * DAY / 20)));
    for entry in manifest.state.segments.values() {
        let segment = data.segment(entry.id, &entry.name).unwrap();
        let chunks = segment.groups.iter().flat_map(|g| &g.chunks);
        assert!(chunks.clone().all(|c| c.encoding.is_some()));
        assert!(chunks.clone().any(|c| c.nulls > 0 && c.range.is_some()));
    }
    assert_eq!(tree(dir.path()), before);
}

/// Where a change can't go unnoticed: behind it lie zeros that nobody needs.
fn sensitive(name: &str, bytes: &[u8]) -> usize {
    if let Some(file) = name.strip_prefix("wal/") {
        let id = crate::wal::format::parse_file_name(file).unwrap();
        let file = wal::scan(id, bytes);
        return match file.records.is_empty() {
            true => 0,
            false => file.end().next_multiple_of(4096) as usize,
        };
    }
    bytes
        .iter()
        .rposition(|b| *b != 0)
        .map_or(0, |last| last + 1)
}

#[test]
fn a_bit_flipped_anywhere_is_found_where_it_is() {
    let dir = database();
    let mut flips = BTreeMap::new();
    for (name, (mut bytes, _)) in tree(dir.path()) {
        if name == "LOCK" {
            continue;
        }
        let end = sensitive(&name, &bytes);
        for at in 0..end {
            // All of the headers and what stands at the end; of the rest enough to meet every field.
            let tail = end - at < 60 || bytes.len() - at < 200;
            if at > 200 && !tail && at % 4096 > 120 && at % 17 != 0 {
                continue;
            }
            let bit = 1 << (at % 8);
            bytes[at] ^= bit;
            fs::write(dir.path().join(&name), &bytes).unwrap();
            let findings = verified(dir.path());
            assert!(
                findings.damage.iter().any(|d| d.file == name),
                "{name}, byte {at}: {:?}, {:?}",
                told(&findings),
                findings.notes
            );
            bytes[at] ^= bit;
            *flips
                .entry(name.split('/').next().unwrap().to_owned())
                .or_insert(0) += 1;
        }
        fs::write(dir.path().join(&name), &bytes).unwrap();
    }
    assert_eq!(told(&verified(dir.path())), [""; 0]);
    assert_eq!(flips.len(), 4, "{flips:?}");
    assert!(flips.values().all(|n| *n > 200), "{flips:?}");
}

#[test]
fn a_file_cut_short_or_gone_is_found() {
    let dir = database();
    for (name, (bytes, _)) in tree(dir.path()) {
        let end = sensitive(&name, &bytes);
        if name == "LOCK" || end == 0 {
            continue;
        }
        let path = dir.path().join(&name);
        for len in [0, 1, 7, 31, 40, end / 2, end - 1] {
            fs::write(&path, &bytes[..len.min(end - 1)]).unwrap();
            let findings = verified(dir.path());
            // An old log file may be cut behind what is still needed of it, as its records are flushed.
            let needed = !name.starts_with("wal/") || findings.checked.wal_rows < 100;
            if needed {
                assert!(!findings.damage.is_empty(), "{name} cut to {len}");
            }
        }
        fs::remove_file(&path).unwrap();
        let gone = verified(dir.path());
        assert!(
            !gone.damage.is_empty() || name.starts_with("wal/"),
            "{name} is gone"
        );
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(told(&verified(dir.path())), [""; 0]);
}

#[test]
fn unnamed_files_are_told_and_are_no_damage() {
    let dir = database();
    for name in [
        "segments/00000099.seg",
        "catalog/x.cat.tmp",
        "wal/00000001.wal.damaged",
    ] {
        fs::write(dir.path().join(name), "left behind").unwrap();
    }
    let findings = verified(dir.path());
    assert_eq!(told(&findings), [""; 0]);
    assert_eq!(findings.notes.len(), 3, "{:?}", findings.notes);
}

#[test]
fn a_directory_in_use_or_without_a_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = DataDir::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("no database"), "{error}");
    let missing = dir.path().join("nothing");
    assert!(DataDir::open(&missing).is_err() && !missing.exists());

    let engine = Engine::open(&EngineConfig::new(dir.path())).unwrap();
    let error = DataDir::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("another process uses it"), "{error}");
    drop(engine);
    let readers = [(), ()].map(|()| DataDir::open(dir.path()).unwrap());
    assert!(Engine::open(&EngineConfig::new(dir.path())).is_err());
    drop(readers);
    Engine::open(&EngineConfig::new(dir.path())).unwrap();
}

/// A log in which commit 5 of 6 was never finished, and commit 6 was.
#[test]
fn the_torn_end_is_no_damage_and_a_loss_before_it_is() {
    use crate::clock::Clock;
    use crate::io::Disk;
    use crate::sim::{SimClock, SimDisk};
    use crate::wal::{LogConfig, SectionKind, recover};
    use std::sync::Arc;
    use tsdb_types::TenantId;

    let disk = SimDisk::new(3);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new(1));
    let config = LogConfig {
        file_bytes: 64 << 10,
    };
    let (_, mut log) = recover(&shared, &clock, config, Lsn(0)).unwrap();
    for lsn in 1..=6u64 {
        log.append(0, |record| {
            let text = format!("commit {lsn} {}", "x".repeat(100));
            record.section(SectionKind::ROWS, TenantId(0), &[text.as_bytes()]);
        })
        .unwrap();
        log.sync().unwrap();
    }
    let name = crate::wal::format::file_name(1);
    let bytes = disk.open(&name).unwrap().map().unwrap().to_vec();
    let whole = wal::scan(1, &bytes);
    assert_eq!(whole.lsns(), Some((Lsn(1), Lsn(6))));
    // The last record vouches for the one before it: 6 may be lost without a word, 5 may not, unless 6 is gone.
    let judged = |broken: &[usize]| {
        let mut bytes = bytes.clone();
        for n in broken {
            bytes[whole.records[*n].offset as usize + 80] ^= 1;
        }
        judge(&[wal::scan(1, &bytes)], Lsn(0))
    };
    let sound = judged(&[]);
    assert_eq!(
        (sound.durable, sound.kept),
        (Lsn(5), Some((Lsn(1), Lsn(6))))
    );
    let last = judged(&[5]);
    assert_eq!(last.damage, []);
    assert_eq!((last.notes.len(), last.kept), (1, Some((Lsn(1), Lsn(5)))));
    let lost = judged(&[2]);
    assert_eq!(lost.kept, Some((Lsn(1), Lsn(6))));
    assert!(
        lost.damage
            .iter()
            .any(|d| d.what == "commit 3 was durable and is lost")
    );
    assert!(lost.damage.iter().all(|d| d.offset.is_some()));

    // Commits 5 and 6 in flight together: 5 is torn, and the records know of nothing durable beyond 4.
    let mut torn = bytes.clone();
    for record in &whole.records[4..] {
        let at = record.offset as usize;
        let header = crate::wal::format::RecordHeader {
            durable_lsn: Lsn(4),
            ..record.header
        };
        torn[at..at + 56].copy_from_slice(&header.encode(1, record.offset));
    }
    torn[whole.records[4].offset as usize + 80] ^= 1;
    let torn = judge(&[wal::scan(1, &torn)], Lsn(0));
    assert_eq!(torn.damage, []);
    assert_eq!((torn.cut, torn.kept), (1, Some((Lsn(1), Lsn(4)))));
    assert!(torn.is_cut(1, whole.records[5].offset) && !torn.is_cut(1, whole.records[3].offset));
}
