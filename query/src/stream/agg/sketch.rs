//! A sketch of a distribution for approximate percentiles.
//!
//! Values are counted in buckets of 1/128 of an octave: the bits of a float from the sign down to the seventh bit of
//! the mantissa. A bucket's middle is within 0.4 % of every value in it. Merging adds counts, so the result is the
//! same in whatever order rows and sketches come.

use std::collections::BTreeMap;

/// Bits of a float below its bucket.
const SHIFT: u32 = 52 - 7;

/// Counts per bucket, and the exact ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// Bucket in numeric order of its values, and how many there are.
    counts: BTreeMap<i32, u64>,
    /// All counts together.
    total: u64,
    /// The least value, in [`f64::total_cmp`] order.
    min: f64,
    /// The greatest value.
    max: f64,
}

fn bucket(v: f64) -> i32 {
    let magnitude = ((v.to_bits() & !(1 << 63)) >> SHIFT) as i32;
    if v.is_sign_negative() {
        -magnitude - 1
    } else {
        magnitude
    }
}

fn middle(bucket: i32) -> f64 {
    let (magnitude, sign) = if bucket < 0 {
        ((-(bucket + 1)) as u64, -1.0)
    } else {
        (bucket as u64, 1.0)
    };
    let low = f64::from_bits(magnitude << SHIFT);
    let high = f64::from_bits((magnitude + 1) << SHIFT);
    sign * if high.is_finite() {
        low + (high - low) / 2.0
    } else {
        low
    }
}

impl Sketch {
    /// Counts one value. NaN is left out: it has no place among the others.
    pub fn add(&mut self, v: f64) {
        if v.is_nan() {
            return;
        }
        self.ends(v, v);
        *self.counts.entry(bucket(v)).or_insert(0) += 1;
        self.total += 1;
    }

    fn ends(&mut self, low: f64, high: f64) {
        if self.total == 0 || low.total_cmp(&self.min).is_lt() {
            self.min = low;
        }
        if self.total == 0 || high.total_cmp(&self.max).is_gt() {
            self.max = high;
        }
    }

    /// Adds what another sketch counted.
    pub fn merge(&mut self, other: &Sketch) {
        if other.total == 0 {
            return;
        }
        self.ends(other.min, other.max);
        for (bucket, n) in &other.counts {
            *self.counts.entry(*bucket).or_insert(0) += n;
        }
        self.total += other.total;
    }

    /// The percentile `p` in `[0, 1]`; `None` of nothing.
    #[must_use]
    pub fn percentile(&self, p: f64) -> Option<f64> {
        let last = self.total.checked_sub(1)?;
        let rank = (p.clamp(0.0, 1.0) * last as f64).round() as u64;
        if rank == 0 {
            return Some(self.min);
        }
        if rank >= last {
            return Some(self.max);
        }
        let mut below = 0;
        for (bucket, n) in &self.counts {
            below += n;
            if below > rank {
                return Some(middle(*bucket).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// Buckets in use.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.counts.len()
    }

    pub(crate) fn encode(&self, out: &mut crate::stream::codec::Writer) {
        out.f64(self.min);
        out.f64(self.max);
        out.len(self.counts.len());
        for (bucket, n) in &self.counts {
            out.u32(*bucket as u32);
            out.u64(*n);
        }
    }

    pub(crate) fn decode(
        r: &mut crate::stream::codec::Reader<'_>,
    ) -> Result<Sketch, crate::stream::StreamError> {
        let (min, max) = (r.f64()?, r.f64()?);
        let mut counts = BTreeMap::new();
        let mut total = 0u64;
        for _ in 0..r.len(12)? {
            let (bucket, n) = (r.u32()? as i32, r.u64()?);
            total = total
                .checked_add(n)
                .ok_or(crate::stream::StreamError::State("a sketch overflows"))?;
            counts.insert(bucket, n);
        }
        if min.is_nan() || max.is_nan() || min.total_cmp(&max).is_gt() {
            return Err(crate::stream::StreamError::State(
                "a sketch's ends are not in order",
            ));
        }
        Ok(Sketch {
            counts,
            total,
            min,
            max,
        })
    }
}
