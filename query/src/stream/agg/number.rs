//! States of a few words: sums, extremes, moments.

/// An exact sum of integers or decimals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IntSum {
    pub sum: i128,
    pub count: u64,
}

impl IntSum {
    #[inline]
    pub fn add(&mut self, v: i128) {
        self.sum = self.sum.saturating_add(v);
        self.count += 1;
    }

    pub fn merge(&mut self, other: &IntSum) {
        self.sum = self.sum.saturating_add(other.sum);
        self.count += other.count;
    }
}

/// A compensated sum (Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974):
/// its error does not grow with the number of addends.
#[derive(Clone, Copy, Debug, Default)]
pub struct FloatSum {
    pub(crate) sum: f64,
    pub(crate) lost: f64,
    pub(crate) count: u64,
}

impl FloatSum {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, v: f64) {
        self.plus(v);
        self.count += 1;
    }

    #[inline]
    fn plus(&mut self, v: f64) {
        let total = self.sum + v;
        self.lost += if self.sum.abs() >= v.abs() {
            (self.sum - total) + v
        } else {
            (v - total) + self.sum
        };
        self.sum = total;
    }

    /// Adds what another sum holds.
    pub fn merge(&mut self, other: &FloatSum) {
        self.plus(other.sum);
        self.lost += other.lost;
        self.count += other.count;
    }

    /// The sum; infinities and NaN as plain addition has them.
    #[must_use]
    pub fn total(&self) -> f64 {
        if self.sum.is_finite() && self.lost.is_finite() {
            self.sum + self.lost
        } else {
            self.sum
        }
    }

    /// How many values were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The least or greatest of values that are mapped to integers of the same order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extreme {
    pub value: i64,
    pub seen: bool,
}

impl Extreme {
    #[inline]
    pub fn min(&mut self, v: i64) {
        if !self.seen || v < self.value {
            *self = Extreme {
                value: v,
                seen: true,
            };
        }
    }

    #[inline]
    pub fn max(&mut self, v: i64) {
        if !self.seen || v > self.value {
            *self = Extreme {
                value: v,
                seen: true,
            };
        }
    }
}

/// Floats in the order of integers: -inf .. -0, 0 .. inf, NaN.
#[inline]
pub(crate) fn float_order(v: f64) -> i64 {
    let bits = if v.is_nan() { f64::NAN } else { v }.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The inverse of [`float_order`].
pub(crate) fn float_from_order(v: i64) -> f64 {
    f64::from_bits((v ^ (((v >> 63) as u64) >> 1) as i64) as u64)
}

/// Count, mean and sum of squared distances from it (Welford 1962; merged as in Chan, Golub and LeVeque 1979).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    pub count: u64,
    pub mean: f64,
    pub m2: f64,
}

impl Moments {
    #[inline]
    pub fn add(&mut self, v: f64) {
        self.count += 1;
        let d = v - self.mean;
        self.mean += d / self.count as f64;
        self.m2 += d * (v - self.mean);
    }

    pub fn merge(&mut self, other: &Moments) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let d = other.mean - self.mean;
        self.m2 += other.m2 + d * d * a * b / (a + b);
        self.mean += d * b / (a + b);
        self.count += other.count;
    }

    /// The variance, with `ddof` 1 for a sample's and 0 for a population's.
    pub fn variance(&self, ddof: u64) -> Option<f64> {
        (self.count > ddof).then(|| (self.m2 / (self.count - ddof) as f64).max(0.0))
    }
}
