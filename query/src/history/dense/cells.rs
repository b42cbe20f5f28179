//! How rows find their group: an index computed from series and time.

use super::shape::{Key, Shape};
use crate::history::pushdown::Pushed;
use hashbrown::HashMap;
use std::sync::Arc;
use tsdb::types::TimeRange;
use tsdb::{ScanBatch, Stream, TagColumn};

/// Most groups held at once, per thread; beyond, hashing only the groups there are takes less memory.
const MAX_CELLS: usize = 4 << 20;

/// How rows find their cell: `key of series * buckets + bucket`.
pub(super) struct Cells {
    pub key_of_series: Vec<u32>,
    /// Per distinct combination of tags the first series that has it.
    pub series_of_key: Vec<u32>,
    pub tags: Vec<(usize, Arc<TagColumn>)>,
    pub bucket: Option<(usize, i64, i64)>,
    pub first_bucket: i64,
    pub buckets: usize,
}

impl Cells {
    pub fn new(
        shape: &Shape,
        pushed: &Pushed,
        bounds: Option<(i64, i64)>,
        stream: &Stream,
    ) -> Option<Cells> {
        let tags: Vec<(usize, Arc<TagColumn>)> = shape
            .keys
            .iter()
            .enumerate()
            .filter_map(|(i, k)| match k {
                Key::Tag(id) => Some((i, stream.series().tag_codes(*id))),
                Key::Bucket { .. } => None,
            })
            .collect();
        let len = stream.series().len().max(1);
        let (mut key_of_series, mut series_of_key) = (Vec::with_capacity(len as usize), Vec::new());
        let mut ids: HashMap<Vec<u32>, u32, ahash::RandomState> = HashMap::default();
        for s in 0..len {
            let in_scan = pushed.series.as_ref().is_none_or(|set| set.contains(s));
            if tags.is_empty() || !in_scan {
                key_of_series.push(0);
                continue;
            }
            let codes: Vec<u32> = tags.iter().map(|(_, c)| c.code(s)).collect();
            let next = ids.len() as u32;
            key_of_series.push(*ids.entry(codes).or_insert_with(|| {
                series_of_key.push(s);
                next
            }));
        }
        if series_of_key.is_empty() {
            series_of_key.push(0);
        }
        let bucket = shape.keys.iter().enumerate().find_map(|(i, k)| match k {
            Key::Bucket { width, origin } => Some((i, *width, *origin)),
            Key::Tag(_) => None,
        });
        let (mut first_bucket, mut buckets) = (0, 1);
        if let Some((_, width, origin)) = bucket {
            let (min, max) = bounds.unwrap_or((0, 0));
            let asked = pushed.time.unwrap_or(TimeRange::ALL);
            let max = if asked.end == i64::MAX {
                max
            } else {
                max.min(asked.end.saturating_sub(1))
            };
            let min = min.max(asked.start).min(max);
            first_bucket = bucket_of(min, width, origin);
            let count = bucket_of(max, width, origin) - first_bucket + 1;
            buckets = usize::try_from(count).ok()?;
        }
        let all = buckets.checked_mul(series_of_key.len())?;
        (all <= MAX_CELLS).then_some(Cells {
            key_of_series,
            series_of_key,
            tags,
            bucket,
            first_bucket,
            buckets,
        })
    }

    pub fn len(&self) -> usize {
        self.series_of_key.len() * self.buckets
    }

    /// The cell of each row.
    pub fn locate(&self, batch: &ScanBatch, out: &mut Vec<u32>) {
        out.clear();
        let buckets = self.buckets as u32;
        let key = |s: u32| self.key_of_series.get(s as usize).copied().unwrap_or(0) * buckets;
        match self.bucket {
            None => out.extend(batch.series.iter().map(|s| key(*s))),
            Some((_, width, origin)) => {
                // Neighbouring rows are mostly of one bucket, and a division costs more than two comparisons.
                let (mut start, mut end, mut at) = (0, 0, 0);
                for (t, s) in batch.time.iter().zip(&batch.series) {
                    if *t < start || *t >= end {
                        let b = bucket_of(*t, width, origin);
                        start = (b.saturating_mul(width)).saturating_add(origin);
                        end = start.saturating_add(width);
                        at = (b - self.first_bucket) as u32;
                    }
                    out.push(key(*s) + at);
                }
            }
        }
    }
}

fn bucket_of(t: i64, width: i64, origin: i64) -> i64 {
    t.saturating_sub(origin).div_euclid(width)
}
