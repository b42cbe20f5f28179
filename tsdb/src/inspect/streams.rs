//! Streams and what there is of each.

use super::wal::{WalFile, WalRecord};
use super::{DataDir, Judgement, ManifestReport};
use crate::Error;
use crate::catalog::{Catalog, Stream};
use crate::segment::SegmentMeta;
use crate::wal::SectionKind;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tsdb_types::{Batch, Lsn, StreamId};

/// Rows of one stream that are in the log alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStream {
    /// Rows.
    pub rows: u64,
    /// Bytes of their sections.
    pub bytes: u64,
    /// Least and greatest event time.
    pub time: Option<(i64, i64)>,
}

/// One stream.
#[derive(Clone)]
pub struct StreamReport {
    /// Its definition.
    pub stream: Arc<Stream>,
    /// Rows in segments.
    pub stored_rows: u64,
    /// Bytes of their chunks.
    pub stored_bytes: u64,
    /// Segments that hold rows of it.
    pub segments: u64,
    /// Rows that no flush has written yet.
    pub wal: WalStream,
    /// Least and greatest event time of all rows.
    pub time: Option<(i64, i64)>,
}

fn widen(range: &mut Option<(i64, i64)>, (min, max): (i64, i64)) {
    let (a, b) = range.unwrap_or((min, max));
    *range = Some((a.min(min), b.max(max)));
}

/// Reads the log once more for the rows in it; `catalog` takes in what the log defines.
pub(super) fn read(
    dir: &DataDir,
    manifest: &ManifestReport,
    catalog: &Catalog,
    wal: &[WalFile],
    judged: &Judgement,
) -> Result<Vec<StreamReport>, Error> {
    let mut unflushed: BTreeMap<StreamId, WalStream> = BTreeMap::new();
    for file in wal.iter().filter(|f| !f.records.is_empty()) {
        // One that can't be read now is told of in its own report.
        if let Ok(bytes) = dir.read(&file.name) {
            let counts = |r: &&WalRecord| !judged.is_cut(file.id, r.offset);
            for record in file.commits().filter(counts) {
                take(
                    record,
                    &bytes,
                    catalog,
                    manifest.state.flushed,
                    &mut unflushed,
                );
            }
        }
    }
    let mut reports: Vec<StreamReport> = catalog
        .streams()
        .into_iter()
        .map(|stream| {
            let wal = unflushed.get(&stream.id).copied().unwrap_or_default();
            StreamReport {
                stored_rows: 0,
                stored_bytes: 0,
                segments: 0,
                time: wal.time,
                wal,
                stream,
            }
        })
        .collect();
    for entry in manifest.state.segments.values() {
        let meta = SegmentMeta::decode(&entry.meta);
        for rows in meta.iter().flat_map(|m| &m.streams) {
            if let Some(report) = reports.iter_mut().find(|r| r.stream.id == rows.stream) {
                report.stored_rows += rows.rows;
                report.stored_bytes += rows.bytes;
                report.segments += 1;
                widen(&mut report.time, (rows.min_time, rows.max_time));
            }
        }
    }
    Ok(reports)
}

fn take(
    record: &WalRecord,
    bytes: &Bytes,
    catalog: &Catalog,
    flushed: Lsn,
    unflushed: &mut BTreeMap<StreamId, WalStream>,
) {
    for section in &record.sections {
        let start = record.body_at() + section.start;
        let Some(end) = start.checked_add(section.len).filter(|e| *e <= bytes.len()) else {
            continue;
        };
        let payload = bytes.slice(start..end);
        match section.kind {
            // What does not fit is told by `verify`.
            SectionKind::CATALOG => drop(catalog.restore(&payload)),
            SectionKind::ROWS if record.header.lsn > flushed => {
                if let Ok(batch) = Batch::decode(&payload, &mut 0) {
                    let stream = unflushed.entry(batch.stream).or_default();
                    stream.rows += batch.rows as u64;
                    stream.bytes += section.len as u64;
                    widen(&mut stream.time, (batch.min_time, batch.max_time));
                }
            }
            _ => {}
        }
    }
}
