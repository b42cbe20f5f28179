//! Opening a database: manifest and catalog files, then the log behind them. No segment body is read.

use super::EngineConfig;
use super::committer::Committer;
use super::flush::{self, Flusher};
use super::request::Commit;
use super::shared::{EngineMetrics, PAUSE_AFTER_FAILURE, RequestQueue, Shared, Signal};
use super::state::Published;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::io::Disk;
use crate::manifest::{FileKind, Manifest};
use crate::segment::SegmentMeta;
use crate::wal::{self, LogConfig, Preparer, Record, SectionKind};
use crate::{Batch, Error};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many log files' worth of records make a flush worth its while.
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
        for damage in &report.damage {
            tracing::error!(damage, "the manifest is damaged; what can be read is kept");
        }
        for file in &report.quarantined {
            tracing::error!(
                file.name,
                file.reason,
                "a file of the database can't be used"
            );
        }
        let state = manifest.state();
        let flushed = state.flushed;
        restore_catalog(disk.as_ref(), &catalog, &manifest)?;
        let log_config = LogConfig {
            file_bytes: config.wal_file_bytes,
        };
        let (recovered, log) = wal::recover(&disk, &clock, log_config, flushed)?;
        for damage in recovered.damage() {
            tracing::error!(?damage, "the log is damaged; what can be read is kept");
        }
        let (mut replay, mut head_bytes) = (Vec::new(), 0i64);
        for record in recovered.records() {
            // What a flush has saved is in a catalog file already.
            let mut saved = Vec::new();
            let entries = if record.lsn > flushed {
                &mut published.catalog_log
            } else {
                &mut saved
            };
            let commit = Arc::new(restore(&catalog, &record, entries)?);
            if commit.lsn > flushed {
                head_bytes += published.add(&catalog, &commit);
            }
            replay.push(commit);
        }
        published.version.lsn = log.last_lsn().max(flushed);
        let shared = Arc::new(Shared {
            catalog,
            queue: RequestQueue::default(),
            flush_signal: Signal::default(),
            prepare_signal: Signal::default(),
            metrics: EngineMetrics::default(),
            clock,
            disk,
            flushed: AtomicU64::new(flushed.0),
            truncated: AtomicU64::new(flushed.0),
            holds: Mutex::default(),
            head_bound: config.head_bytes,
            flush_bytes: config.flush_bytes.min(config.head_bytes / 2).max(1),
            wal_flushed_bytes: AtomicU64::new(0),
            wal_flush_bytes: config.wal_file_bytes.saturating_mul(LOG_FILES_PER_FLUSH),
            published: Mutex::new(published),
        });
        let mut segments = Vec::with_capacity(state.segments.len());
        for entry in state.segments.values() {
            let damaged = || Error::Corrupt {
                file: "manifest".into(),
                what: "segment entry",
                offset: entry.id.0,
            };
            let meta = SegmentMeta::decode(&entry.meta)
                .filter(|m| m.id == entry.id)
                .ok_or_else(damaged)?;
            segments.push(Arc::new(flush::open_segment(&shared, meta)));
        }
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
            replay,
        })
    }
}

fn restore_catalog(disk: &dyn Disk, catalog: &Catalog, manifest: &Manifest) -> Result<(), Error> {
    let mut files: Vec<_> = manifest
        .state()
        .files
        .values()
        .filter(|f| f.kind == FileKind::CATALOG)
        .collect();
    files.sort_by_key(|f| f.lsn);
    for file in files {
        let context = |e: std::io::Error| Error::io(format!("read {}", file.name), &e);
        let bytes = disk
            .open(&file.name)
            .and_then(|f| f.map())
            .map_err(context)?;
        let entries = flush::read_catalog_file(&file.name, file.lsn, &bytes)?;
        let damaged = |at| Error::Corrupt {
            file: file.name.clone(),
            what: "catalog entry",
            offset: at as u64,
        };
        catalog.restore(entries).map_err(damaged)?;
    }
    Ok(())
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

/// A commit from its log record; its catalog entries take effect and are appended to `catalog_log`.
fn restore(catalog: &Catalog, record: &Record, catalog_log: &mut Vec<u8>) -> Result<Commit, Error> {
    let damaged = |what, offset| Error::Corrupt {
        file: format!("log record {}", record.lsn),
        what,
        offset,
    };
    let (mut batches, mut tick) = (Vec::new(), false);
    for section in record.sections() {
        match section.kind {
            SectionKind::CATALOG => {
                catalog
                    .restore(&section.payload)
                    .map_err(|at| damaged("catalog entry", at as u64))?;
                catalog_log.extend_from_slice(&section.payload);
            }
            SectionKind::ROWS => {
                let mut pos = 0;
                let batch = Batch::decode(&section.payload, &mut pos)
                    .map_err(|_| damaged("batch", pos as u64))?;
                let known = |b: &Batch| -> bool {
                    let columns = catalog
                        .stream_by_id(b.stream)
                        .map_or(usize::MAX, |s| s.schema().columns.len());
                    b.columns.iter().all(|c| usize::from(c.0.0) < columns)
                };
                if !known(&batch) {
                    return Err(damaged("batch", pos as u64));
                }
                batches.push(Arc::new(batch));
            }
            SectionKind::TICK => tick = true,
            _ => return Err(damaged("section kind", 0)),
        }
    }
    Ok(Commit {
        lsn: record.lsn,
        wall_ns: record.wall_ns,
        batches,
        tick,
    })
}
