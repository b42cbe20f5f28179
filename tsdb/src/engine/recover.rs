//! Opening a database: manifest and catalog files, then the log behind them. No segment body is read.

use super::EngineConfig;
use super::committer::Committer;
use super::flush::{self, Flusher};
use super::request::Commit;
use super::shared::{EngineMetrics, PAUSE_AFTER_FAILURE, RequestQueue, Shared, Signal};
use super::state::Published;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::io::{Disk, is_damaged};
use crate::ledger::{self, Entries, Ledger};
use crate::manifest::{FileKind, Manifest};
use crate::segment::{Segment, SegmentMeta};
use crate::wal::{self, LogConfig, Preparer, Record, SectionKind};
use crate::{Batch, Error};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_types::{ColumnId, DataType, Values};

/// So many log files' worth of records make a flush worth its while, however few rows they hold.
const LOG_FILES_PER_FLUSH: u64 = 4;

/// An engine without its threads.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) committer: Committer,
    pub(crate) flusher: Flusher,
    pub(crate) preparer: Preparer,
    /// The commits that the log still has.
    pub(crate) replay: Vec<Arc<Commit>>,
}

/// What could not be read. A database opens with what can, and says what is missing.
#[derive(Default)]
struct Damage(Vec<String>);

impl Damage {
    fn add(&mut self, what: impl Into<String>) {
        let what = what.into();
        tracing::error!(what, "the database is damaged; what can be read is kept");
        self.0.push(what);
    }
}

impl Parts {
    pub(crate) fn recover(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        config: &EngineConfig,
    ) -> Result<Parts, Error> {
        let catalog = Arc::new(Catalog::default());
        let mut published = Published::default();
        flush::create_dirs(disk.as_ref())?;
        let (manifest, report) = Manifest::open(&disk, &flush::OWNED)?;
        let mut damage = Damage::default();
        report.damage.iter().for_each(|d| damage.add(d));
        for file in &report.quarantined {
            damage.add(format!("{}: {}", file.name, file.reason));
        }
        let state = manifest.state();
        let flushed = state.flushed;
        restore_catalog(disk.as_ref(), &catalog, &manifest, &mut damage);
        let ledger = Ledger::default();
        restore_ledger(disk.as_ref(), &ledger, &manifest, &mut damage);
        let log_config = LogConfig {
            file_bytes: config.wal_file_bytes,
        };
        let (recovered, log) = wal::recover(&disk, &clock, log_config, flushed)?;
        for lost in recovered.damage() {
            damage.add(format!("the log: {lost:?}"));
        }
        let (mut replay, mut head_bytes) = (Replay::default(), 0i64);
        for record in recovered.records() {
            // What a flush has saved is in a catalog file already.
            let mut saved = Vec::new();
            let entries = if record.lsn > flushed {
                &mut published.catalog_log
            } else {
                &mut saved
            };
            let (commit, taken) = restore(&catalog, &record, entries, &mut damage);
            let commit = Arc::new(commit);
            let flushed_before = commit.lsn <= flushed;
            if !flushed_before {
                ledger.publish(&taken, commit.lsn, commit.wall_ns);
                published.note_taken(&taken, &commit);
                head_bytes += published.add(&catalog, &commit);
            }
            replay.push(commit, flushed_before);
        }
        let replay = replay.commits;
        published.version.lsn = log.last_lsn().max(flushed);
        if !damage.0.is_empty() {
            replay.iter().for_each(|c| keep_ids(&catalog, c));
        }
        let shared = Arc::new(Shared {
            catalog,
            ledger,
            queue: RequestQueue::default(),
            transforms: Default::default(),
            flush_signal: Signal::default(),
            prepare_signal: Signal::default(),
            metrics: EngineMetrics::default(),
            clock,
            disk,
            log_files: log.preparer(),
            flushed: AtomicU64::new(flushed.0),
            truncated: AtomicU64::new(flushed.0),
            holds: Mutex::new(config.held.iter().cloned().collect()),
            head_bound: config.head_bytes,
            flush_bytes: config.flush_bytes.min(config.head_bytes / 2).max(1),
            wal_flushed_bytes: AtomicU64::new(0),
            wal_flush_bytes: config
                .wal_file_bytes
                .saturating_mul(LOG_FILES_PER_FLUSH)
                .max(config.flush_bytes.saturating_mul(2)),
            published: Mutex::new(published),
            damage: Mutex::default(),
        });
        let mut segments = Vec::with_capacity(state.segments.len());
        for entry in state.segments.values() {
            let Some(meta) = SegmentMeta::decode(&entry.meta).filter(|m| m.id == entry.id) else {
                damage.add(format!(
                    "manifest: the entry of {} can't be read",
                    entry.name
                ));
                continue;
            };
            for rows in &meta.streams {
                if let Some(stream) = shared.catalog.stream_by_id(rows.stream) {
                    // What lies ahead of now can't be told from what lay ahead of its commit: now it is a bound.
                    stream.note_rows(rows.max_time, shared.clock.wall_ns(), Some);
                }
            }
            let segment = flush::open_segment(&shared, meta);
            if !damage.0.is_empty() {
                keep_segment_ids(&shared.catalog, &segment, &mut damage);
            }
            segments.push(Arc::new(segment));
        }
        *shared.damage.lock() = damage.0;
        shared.published.lock().version.segments = Arc::new(segments);
        shared
            .metrics
            .head_bytes
            .store(head_bytes as u64, Ordering::Relaxed);
        shared
            .metrics
            .published
            .store(log.last_lsn().max(flushed).0, Ordering::Release);
        shared
            .metrics
            .wal_written_bytes
            .store(log.disk_bytes().0, Ordering::Relaxed);
        shared.count_log(log.disk_bytes());
        shared.queue.set_waker(log.waker());
        Ok(Parts {
            preparer: log.preparer(),
            committer: Committer::new(log, shared.clone()),
            flusher: Flusher::new(shared.clone(), manifest),
            shared,
            replay: replay.into(),
        })
    }
}

/// Recovered commits whose rows are in segments may take so many bytes of memory: followers that are further behind start
/// anew from history, or read the log themselves.
const REPLAY_BYTES: usize = 512 << 20;

/// The commits that followers may want again.
#[derive(Default)]
struct Replay {
    commits: VecDeque<Arc<Commit>>,
    /// Bytes of those whose rows are in segments.
    bytes: usize,
}

impl Replay {
    /// Adds the next commit. What is not in segments is in memory anyway, and costs nothing more.
    fn push(&mut self, commit: Arc<Commit>, flushed: bool) {
        if flushed {
            self.bytes += bytes_of(&commit);
        }
        self.commits.push_back(commit);
        while flushed && self.bytes > REPLAY_BYTES {
            let Some(first) = self.commits.pop_front() else {
                break;
            };
            self.bytes -= bytes_of(&first);
        }
    }
}

fn bytes_of(commit: &Commit) -> usize {
    commit.batches.iter().map(|b| b.byte_len()).sum()
}

/// A commit from its log record, for those who read behind the writer.
///
/// # Errors
/// What can't be read of it.
pub(crate) fn commit_of(record: &Record) -> Result<Commit, Error> {
    let (mut batches, mut tick) = (Vec::new(), false);
    for section in record.sections() {
        match section.kind {
            SectionKind::ROWS => {
                let mut pos = 0;
                let batch = Batch::decode(&section.payload, &mut pos);
                batches.push(Arc::new(batch.map_err(|_| Error::Corrupt {
                    file: format!("log record {}", record.lsn),
                    what: "rows",
                    offset: pos as u64,
                })?));
            }
            SectionKind::TICK => tick = true,
            _ => {}
        }
    }
    Ok(Commit {
        lsn: record.lsn,
        wall_ns: record.wall_ns,
        batches,
        tick,
    })
}

fn restore_catalog(disk: &dyn Disk, catalog: &Catalog, manifest: &Manifest, damage: &mut Damage) {
    let mut files: Vec<_> = manifest
        .state()
        .files
        .values()
        .filter(|f| f.kind == FileKind::CATALOG)
        .collect();
    files.sort_by_key(|f| f.lsn);
    for file in files {
        let read = || -> Result<(), Error> {
            let bytes = disk
                .open(&file.name)
                .and_then(|f| f.map())
                .map_err(|e| Error::io(format!("read {}", file.name), &e))?;
            let damaged = |at| Error::Corrupt {
                file: file.name.clone(),
                what: "catalog entry",
                offset: at as u64,
            };
            let entries = flush::read_catalog_file(&file.name, file.lsn, &bytes)?;
            catalog.restore(entries).map_err(damaged)?;
            if is_damaged(&bytes) {
                return Err(damaged(0));
            }
            Ok(())
        };
        if let Err(error) = read() {
            damage.add(error.to_string());
        }
    }
}

fn restore_ledger(disk: &dyn Disk, ledger: &Ledger, manifest: &Manifest, damage: &mut Damage) {
    let files = manifest.state().files.values();
    let mut files: Vec<_> = files.filter(|f| f.kind == FileKind::LEDGER).collect();
    files.sort_by_key(|f| f.lsn);
    for file in files {
        let read = || {
            let bytes = disk
                .open(&file.name)
                .and_then(|f| f.map())
                .map_err(|e| Error::io(format!("read {}", file.name), &e))?;
            let read = ledger::decode_file(&file.name, file.lsn, &bytes)?;
            if is_damaged(&bytes) {
                return Err(Error::Corrupt {
                    file: file.name.clone(),
                    what: "ledger",
                    offset: 0,
                });
            }
            Ok(read)
        };
        match read() {
            Ok((advances, keys)) => {
                let positions = Entries {
                    advances,
                    keys: Vec::new(),
                };
                ledger.publish(&positions, file.lsn, 0);
                for (lsn, wall_ns, keyed) in keys {
                    let keys = Entries {
                        advances: Vec::new(),
                        keys: vec![keyed],
                    };
                    ledger.publish(&keys, lsn, wall_ns);
                }
            }
            Err(error) => damage.add(error.to_string()),
        }
    }
}

/// Takes the ids that a commit's rows use, where their definitions were lost: given out anew, they would make these rows
/// somebody else's.
fn keep_ids(catalog: &Catalog, commit: &Commit) {
    for batch in &commit.batches {
        catalog.keep_stream_id(batch.stream);
        let Some(stream) = catalog.stream_by_id(batch.stream) else {
            continue;
        };
        let last = (0..batch.rows).map(|i| batch.series.i64_at(i)).max();
        stream.series().fill(last.map_or(0, |s| s as u32 + 1));
        for (id, column) in &batch.columns {
            let data_type = match column.values {
                Values::Int { .. } => DataType::Int64,
                Values::Int128(_) => DataType::Decimal {
                    precision: 38,
                    scale: 0,
                },
                Values::Float(_) => DataType::Float64,
                Values::Str { .. } => DataType::Utf8,
            };
            stream.fill_columns(ColumnId(id.0.saturating_add(1)), data_type);
        }
    }
}

/// The same for a segment's rows. Reads its index, which an undamaged database leaves for later.
fn keep_segment_ids(catalog: &Catalog, segment: &Segment, damage: &mut Damage) {
    for rows in &segment.meta.streams {
        catalog.keep_stream_id(rows.stream);
        let Some(stream) = catalog.stream_by_id(rows.stream) else {
            continue;
        };
        match segment.greatest_ids(rows.stream) {
            Ok((series, column)) => {
                stream.series().fill(series.saturating_add(1));
                stream.fill_columns(ColumnId(column.0.saturating_add(1)), DataType::Int64);
            }
            Err(error) => damage.add(error.to_string()),
        }
    }
}

/// Looks after the log's files, so that no commit waits for one to be made or removed.
pub(crate) fn look_after_files(shared: &Shared, preparer: &Preparer) {
    while let Some(ticket) = shared.prepare_signal.next() {
        let result = look_after_files_once(shared, preparer);
        let failed = result.is_err();
        if let Err(error) = &result {
            tracing::warn!(%error, "the log's files could not be looked after; trying again");
        }
        shared.prepare_signal.done(ticket, result);
        if failed {
            shared.prepare_signal.pause(PAUSE_AFTER_FAILURE);
        }
    }
}

/// Lets go of the files that nobody needs, which may become the next ones, and makes one ready.
pub(crate) fn look_after_files_once(shared: &Shared, preparer: &Preparer) -> Result<(), Error> {
    let floor = shared.wal_floor();
    preparer.truncate_below(floor)?;
    shared.truncated.fetch_max(floor.0, Ordering::Relaxed);
    preparer.prepare_next()?;
    shared.count_log(preparer.disk_bytes());
    Ok(())
}

/// A commit from its log record, and what it says of sources and keys; its catalog entries take effect and are appended to `catalog_log`. What can't be read of
/// it is left out and told.
fn restore(
    catalog: &Catalog,
    record: &Record,
    catalog_log: &mut Vec<u8>,
    damage: &mut Damage,
) -> (Commit, Entries) {
    let (mut batches, mut tick) = (Vec::new(), false);
    let mut taken = Entries::default();
    for section in record.sections() {
        let outcome = match section.kind {
            SectionKind::CATALOG => {
                catalog_log.extend_from_slice(&section.payload);
                catalog
                    .restore(&section.payload)
                    .map_err(|at| format!("catalog entry at byte {at}"))
            }
            SectionKind::ROWS => {
                let mut pos = 0;
                Batch::decode(&section.payload, &mut pos)
                    .map(|batch| batches.push(Arc::new(batch)))
                    .map_err(|error| format!("rows at byte {pos}: {error}"))
            }
            SectionKind::TICK => {
                tick = true;
                Ok(())
            }
            SectionKind::POSITIONS => ledger::decode_positions(&section.payload)
                .map(|advances| taken.advances.extend(advances))
                .map_err(|at| format!("positions at byte {at}")),
            SectionKind::IDEMPOTENCY => ledger::decode_keys(&section.payload)
                .map(|keys| taken.keys.extend(keys))
                .map_err(|at| format!("keys at byte {at}")),
            kind => Err(format!("section of the unknown kind {kind:?}")),
        };
        if let Err(what) = outcome {
            damage.add(format!("log record {}: {what}", record.lsn));
        }
    }
    let commit = Commit {
        lsn: record.lsn,
        wall_ns: record.wall_ns,
        batches,
        tick,
    };
    (commit, taken)
}
