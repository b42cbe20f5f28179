//! From the head to segments: what is old enough leaves memory, and the log behind it is let go.
//!
//! Order of durability: the files and their directories, then the manifest that names them, then the log is cut. A crash
//! between two steps leaves the old state, and files that nothing names.

use super::shared::{PAUSE_AFTER_FAILURE, Shared};
use super::state::Heads;
use crate::Error;
use crate::io::is_damaged;
use crate::ledger::{self, Advance, DatedKey, FileMeta};
use crate::manifest::{Edit, FileEntry, FileKind, Manifest, Owned, SegmentEntry};
use crate::segment::{Segment, SegmentBuilder, SegmentMeta, file_name};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tsdb_types::{Batch, DataType, Lsn, SegmentId, StreamId, TenantId};

/// Directory of segments.
const SEGMENTS: &str = "segments";
/// Directory of catalog files.
const CATALOG: &str = "catalog";
/// Which files are the manifest's to name, and its to remove when nothing does.
pub(crate) const OWNED: [Owned; 3] = [
    Owned {
        dir: SEGMENTS,
        suffix: ".seg",
    },
    Owned {
        dir: CATALOG,
        suffix: ".cat",
    },
    Owned {
        dir: ledger::DIRECTORY,
        suffix: ".ldg",
    },
];

/// First bytes of a catalog file.
const CATALOG_MAGIC: [u8; 8] = *b"TDMLCAT\n";
/// Format version of catalog files.
const CATALOG_VERSION: u16 = 1;
/// Bytes before the entries: magic, version, reserved (2), LSN (8), checksum of all of these but itself and the entries.
const CATALOG_HEADER: usize = 24;

/// How often expired segments are looked for.
const EXPIRY: Duration = Duration::from_secs(60);

/// One segment is made of at most so many bytes of head, so that offsets in it stay small.
const SEGMENT_HEAD_BYTES: usize = 512 << 20;

/// Rows taken out of the head, until they are in segments.
struct Frozen {
    lsn: Lsn,
    heads: Arc<Heads>,
    catalog: Vec<u8>,
    ledger: Option<(Vec<Advance>, Vec<DatedKey>)>,
}

/// Writes segments; owned by one thread (or, in simulation, by the test).
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    manifest: Manifest,
    /// What an earlier attempt could not write; it stays readable, and goes first.
    frozen: Option<Frozen>,
}

impl Flusher {
    pub(crate) fn new(shared: Arc<Shared>, manifest: Manifest) -> Flusher {
        Flusher {
            shared,
            manifest,
            frozen: None,
        }
    }

    /// Serves flush requests until there are no more.
    pub(crate) fn run(mut self) {
        while let Some(next) = self.shared.flush_signal.next_within(EXPIRY) {
            if let Err(error) = self.drop_expired() {
                tracing::error!(%error, "expired segments could not be dropped; trying again later");
            }
            let Some(ticket) = next else { continue };
            let result = self.flush();
            if let Err(error) = &result {
                tracing::error!(%error, "a flush has failed; its rows stay in memory and in the log");
            }
            let failed = result.is_err();
            self.shared.flush_signal.done(ticket, result);
            if failed {
                self.shared.flush_signal.pause(PAUSE_AFTER_FAILURE);
            }
        }
    }

    /// Drops the segments of which no row is kept any more. Whoever reads from one may go on; then its file goes.
    pub(crate) fn drop_expired(&mut self) -> Result<(), Error> {
        let now = self.shared.clock.wall_ns();
        let segments = self.shared.published.lock().version.segments.clone();
        let expired: Vec<_> = segments
            .iter()
            .filter(|s| {
                // A stream that was dropped may come back: its end is not in the log yet, perhaps.
                s.meta.streams.iter().all(|rows| {
                    let stream = self.shared.catalog.stream_by_id(rows.stream);
                    stream.is_some_and(|s| rows.max_time < s.expired_before(now))
                })
            })
            .collect();
        if expired.is_empty() {
            return Ok(());
        }
        let edits: Vec<Edit> = expired
            .iter()
            .map(|s| Edit::RemoveSegment(s.meta.id))
            .collect();
        self.manifest.apply(&edits)?;
        let gone: Vec<SegmentId> = expired.iter().map(|s| s.meta.id).collect();
        {
            let mut published = self.shared.published.lock();
            Arc::make_mut(&mut published.version.segments).retain(|s| !gone.contains(&s.meta.id));
        }
        expired.iter().for_each(|s| s.remove_when_unused());
        Ok(())
    }

    /// Writes everything that is in the head now to segments.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        // Leftovers of a failed attempt first: segments follow each other in log order.
        if self.frozen.is_some() {
            self.write_frozen()?;
        }
        {
            let mut published = self.shared.published.lock();
            let log = self
                .shared
                .metrics
                .wal_written_bytes
                .load(Ordering::Relaxed);
            self.shared.wal_flushed_bytes.store(log, Ordering::Relaxed);
            let heads = std::mem::take(&mut published.version.heads);
            let catalog = std::mem::take(&mut published.catalog_log);
            published.version.frozen = heads.clone();
            let keys = std::mem::take(&mut published.new_keys);
            let moved = std::mem::take(&mut published.moved);
            let lives = |id| self.shared.catalog.stream_by_id(id).is_some();
            let ledger = (moved || !keys.is_empty())
                .then(|| (self.shared.ledger.all_positions(lives), keys));
            self.frozen = Some(Frozen {
                lsn: published.version.lsn,
                heads,
                catalog,
                ledger,
            });
        }
        self.write_frozen()
    }

    fn write_frozen(&mut self) -> Result<(), Error> {
        let Some(frozen) = &self.frozen else {
            return Ok(());
        };
        if frozen.lsn.0 <= self.shared.flushed.load(Ordering::Acquire) {
            self.shared.published.lock().version.frozen = Arc::default();
            self.frozen = None;
            return Ok(());
        }
        // Its last edit may have reached the disk all the same: what that names must not be written again.
        if let Err(error) = self.manifest.check_poison() {
            self.shared.metrics.poisoned.store(true, Ordering::Release);
            return Err(error.into());
        }
        let started = self.shared.clock.monotonic_ns();
        let mut edits = vec![Edit::Flushed(frozen.lsn)];
        let mut segments = Vec::new();
        let bytes: u64 = frozen.heads.values().map(|h| h.bytes).sum();
        let mut next = self.manifest.state().next_segment;
        for group in portions(&frozen.heads) {
            let mut builder = SegmentBuilder::new(next);
            for (stream, batches) in &group {
                let Some(stream) = self.shared.catalog.stream_by_id(*stream) else {
                    continue;
                };
                let schema = stream.schema();
                let type_of = |id: tsdb_types::ColumnId| {
                    schema
                        .columns
                        .get(usize::from(id.0))
                        .map_or(DataType::Int64, |c| c.data_type)
                };
                builder.add(stream.id, stream.options.partition_ns, batches, &type_of);
            }
            let built = builder.finish();
            let rows = group.iter().flat_map(|(_, batches)| batches);
            if rows.flat_map(|b| b.buffers()).any(|b| is_damaged(b)) {
                return Err(Error::Corrupt {
                    file: "the log, mapped".into(),
                    what: "rows that are in no segment yet",
                    offset: 0,
                });
            }
            let Some((meta, data)) = built else {
                continue;
            };
            let name = format!("{SEGMENTS}/{}", file_name(next));
            self.write_file(&name, &data)?;
            edits.push(Edit::AddSegment(SegmentEntry {
                id: next,
                tenant: TenantId(0),
                name,
                meta: meta.encode().into(),
            }));
            segments.push(Arc::new(open_segment(&self.shared, meta)));
            next = SegmentId(next.0 + 1);
        }
        if !segments.is_empty() {
            self.sync_dir(SEGMENTS)?;
        }
        if !frozen.catalog.is_empty() {
            let name = format!("{CATALOG}/{:020}.cat", frozen.lsn.0);
            self.write_file(&name, &catalog_file(frozen.lsn, &frozen.catalog))?;
            self.sync_dir(CATALOG)?;
            edits.push(Edit::AddFile(FileEntry {
                kind: FileKind::CATALOG,
                tenant: TenantId(0),
                name,
                lsn: frozen.lsn,
                meta: Bytes::new(),
            }));
        }
        let outlived = self.write_ledger(frozen, &mut edits)?;
        self.manifest.apply(&edits)?;
        for name in outlived {
            // Left behind it is named by nothing, and the next start removes it.
            let _ = self.shared.disk.remove(&name);
        }
        {
            let mut published = self.shared.published.lock();
            Arc::make_mut(&mut published.version.segments).extend(segments);
            published.version.frozen = Arc::default();
        }
        self.shared.flushed.store(frozen.lsn.0, Ordering::Release);
        let m = &self.shared.metrics;
        m.head_bytes.fetch_sub(bytes, Ordering::Relaxed);
        m.flushes.fetch_add(1, Ordering::Relaxed);
        m.flush_ns.fetch_add(
            self.shared.clock.monotonic_ns().saturating_sub(started),
            Ordering::Relaxed,
        );
        self.frozen = None;
        Ok(())
    }

    /// Saves what the frozen commits say of sources and keys; gives the files that are of no more use.
    fn write_ledger(&self, frozen: &Frozen, edits: &mut Vec<Edit>) -> Result<Vec<String>, Error> {
        let Some((positions, keys)) = &frozen.ledger else {
            return Ok(Vec::new());
        };
        let name = format!("{}/{:020}.ldg", ledger::DIRECTORY, frozen.lsn.0);
        self.write_file(&name, &ledger::encode_file(frozen.lsn, positions, keys))?;
        self.sync_dir(ledger::DIRECTORY)?;
        let meta = FileMeta::of(keys);
        let files = self.manifest.state().files.values();
        let mut older: Vec<_> = files.filter(|f| f.kind == FileKind::LEDGER).collect();
        older.sort_by_key(|f| std::cmp::Reverse(f.lsn));
        let older = older
            .iter()
            .map(|f| (f.name.as_str(), FileMeta::decode(&f.meta)));
        let outlived = ledger::outlived(meta, older, self.shared.clock.wall_ns());
        edits.extend(outlived.iter().cloned().map(Edit::RemoveFile));
        edits.push(Edit::AddFile(FileEntry {
            kind: FileKind::LEDGER,
            tenant: TenantId(0),
            name,
            lsn: frozen.lsn,
            meta: meta.encode().into(),
        }));
        Ok(outlived)
    }

    /// Writes a whole file and syncs it; its directory is synced by the caller. A leftover of an earlier attempt of
    /// that name is replaced: nothing names it.
    fn write_file(&self, name: &str, data: &[u8]) -> Result<(), Error> {
        let disk = &self.shared.disk;
        let write = || {
            match disk.remove(name) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let file = disk.create(name)?;
            file.write_at(0, data)?;
            file.sync_data()
        };
        write().map_err(|e| Error::io(format!("write {name}"), &e))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), Error> {
        self.shared
            .disk
            .sync_dir(dir)
            .map_err(|e| Error::io(format!("sync the directory {dir}"), &e))
    }
}

type Portion = Vec<(StreamId, Vec<Arc<Batch>>)>;

/// Splits the rows to be written into what each segment takes: streams in order of their ids, batches in log order.
fn portions(heads: &Heads) -> Vec<Portion> {
    let mut ids: Vec<StreamId> = heads.keys().copied().collect();
    ids.sort_unstable();
    let (mut portions, mut bytes): (Vec<Portion>, usize) = (vec![Vec::new()], 0);
    for id in ids {
        for batch in heads[&id].batches() {
            if bytes >= SEGMENT_HEAD_BYTES {
                portions.push(Vec::new());
                bytes = 0;
            }
            bytes += batch.byte_len();
            // There is always a last portion: the list begins with one and only grows.
            let Some(portion) = portions.last_mut() else {
                continue;
            };
            match portion.last_mut() {
                Some((last, batches)) if *last == id => batches.push(batch),
                _ => portion.push((id, vec![batch])),
            }
        }
    }
    portions
}

pub(crate) fn open_segment(shared: &Shared, meta: SegmentMeta) -> Segment {
    let (disk, name) = (
        shared.disk.clone(),
        format!("{SEGMENTS}/{}", file_name(meta.id)),
    );
    let (remover, removed) = (disk.clone(), name.clone());
    Segment::new(
        meta,
        Box::new(move || disk.open(&name)?.map()),
        Box::new(move || remover.remove(&removed)),
    )
}

/// Makes the directories that flushes write to.
pub(crate) fn create_dirs(disk: &dyn crate::io::Disk) -> Result<(), Error> {
    [SEGMENTS, CATALOG, ledger::DIRECTORY]
        .iter()
        .try_for_each(|dir| {
            disk.create_dir(dir)
                .map_err(|e| Error::io(format!("make the directory {dir}"), &e))
        })
}

fn catalog_file(lsn: Lsn, entries: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(CATALOG_HEADER + entries.len());
    out.extend_from_slice(&CATALOG_MAGIC);
    out.extend_from_slice(&CATALOG_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&lsn.0.to_le_bytes());
    let crc = catalog_checksum(&out, entries);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(entries);
    out
}

fn catalog_checksum(header: &[u8], entries: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(entries);
    hasher.finalize()
}

/// The entries of a catalog file.
///
/// # Errors
/// [`Error::Corrupt`] for bytes that are not what was written.
pub(crate) fn read_catalog_file<'a>(
    name: &str,
    lsn: Lsn,
    bytes: &'a [u8],
) -> Result<&'a [u8], Error> {
    let damaged = |what| Error::Corrupt {
        file: name.into(),
        what,
        offset: 0,
    };
    let (header, entries) = bytes
        .split_at_checked(CATALOG_HEADER)
        .ok_or_else(|| damaged("length"))?;
    let (fields, crc) = header.split_at(CATALOG_HEADER - 4);
    if crc != catalog_checksum(fields, entries).to_le_bytes() {
        return Err(damaged("catalog"));
    }
    let known = fields[..8] == CATALOG_MAGIC && fields[8..12] == [CATALOG_VERSION as u8, 0, 0, 0];
    if !known || fields[12..20] != lsn.0.to_le_bytes() {
        return Err(damaged("catalog header"));
    }
    Ok(entries)
}
