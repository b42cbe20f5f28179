//! A histogram of durations that many threads add to without waiting: sixteen buckets for each doubling, so that a
//! quantile is right to one part in sixteen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const FINE_BITS: u32 = 4;
const FINE: usize = 1 << FINE_BITS;
const BUCKETS: usize = (64 - FINE_BITS as usize + 1) * FINE;

/// Counts by nanoseconds.
pub(crate) struct Histogram {
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }
}

/// Values below 16 have buckets of their own; above, the highest bit and the four behind it choose.
fn bucket(value: u64) -> usize {
    if value < FINE as u64 {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - FINE_BITS;
    ((shift as usize + 1) << FINE_BITS) + ((value >> shift) as usize & (FINE - 1))
}

/// The greatest value of a bucket.
fn top(bucket: usize) -> u64 {
    if bucket < FINE {
        return bucket as u64;
    }
    let shift = (bucket >> FINE_BITS) as u32 - 1;
    let low = ((FINE + (bucket & (FINE - 1))) as u64) << shift;
    low + ((1u64 << shift) - 1)
}

impl Histogram {
    pub(crate) fn record(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            counts: self
                .counts
                .iter()
                .map(|c| c.load(Ordering::Relaxed))
                .collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

/// A histogram at one moment.
#[derive(Clone)]
pub(crate) struct Snapshot {
    counts: Vec<u64>,
    pub(crate) sum: u64,
}

impl Snapshot {
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came between an earlier moment and this one.
    pub(crate) fn since(&self, earlier: &Snapshot) -> Snapshot {
        let counts = self
            .counts
            .iter()
            .zip(&earlier.counts)
            .map(|(a, b)| a.saturating_sub(*b))
            .collect();
        Snapshot {
            counts,
            sum: self.sum.saturating_sub(earlier.sum),
        }
    }

    /// The value in nanoseconds that a share `q` of all values does not exceed; `None` when there is none.
    pub(crate) fn quantile(&self, q: f64) -> Option<u64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        let found = self.counts.iter().position(|c| {
            seen += c;
            seen >= rank
        });
        found.map(top)
    }

    /// The mean in nanoseconds.
    pub(crate) fn mean(&self) -> Option<f64> {
        let n = self.count();
        (n > 0).then(|| self.sum as f64 / n as f64)
    }

    /// How many values do not exceed `ns`, to the bucket.
    pub(crate) fn at_most(&self, ns: u64) -> u64 {
        self.counts[..=bucket(ns)].iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_all_values_in_order() {
        let mut before = 0;
        for value in (0..200u64)
            .chain((8..64).flat_map(|b| [(1 << b) - 1, 1 << b, (1 << b) + 1]))
            .chain([u64::MAX])
        {
            let b = bucket(value);
            assert!(
                b < BUCKETS && b >= before,
                "{value} is in bucket {b} after {before}"
            );
            assert!(
                top(b) >= value,
                "bucket {b} ends at {} before {value}",
                top(b)
            );
            assert!(
                b == 0 || top(b - 1) < value,
                "{value} belongs to bucket {}",
                b - 1
            );
            before = b;
        }
    }

    #[test]
    fn quantiles_are_right_to_a_sixteenth() {
        let h = Histogram::default();
        for n in 1..=10_000u64 {
            h.record(Duration::from_nanos(n * 1000));
        }
        let s = h.snapshot();
        for q in [0.01, 0.5, 0.95, 0.99, 1.0] {
            let exact = 10_000_000.0 * q;
            let got = s.quantile(q).unwrap() as f64;
            assert!(
                got >= exact && got <= exact * 1.0626,
                "{q}: {got} against {exact}"
            );
        }
        assert_eq!(s.count(), 10_000);
        assert!((s.mean().unwrap() - 5_000_500.0).abs() < 1.0);
        assert_eq!(s.since(&s).count(), 0);
        assert_eq!(s.since(&s).quantile(0.5), None);
    }
}
