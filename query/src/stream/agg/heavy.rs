//! States that grow with their group: sets, lists, all values.

use super::order::{Entry, SeriesOrder};
use super::value::Value;
use std::collections::HashSet;

/// A list keeps its first 10,000 values.
pub const LIST_CAP: usize = 10_000;

/// A state that is dropped for its result when its window is past all expected lateness.
#[derive(Clone, Debug)]
pub(crate) enum Heavy<L, F> {
    /// Takes rows.
    Live(L),
    /// Only the result is left. A row that comes now needs a repair.
    Frozen(F),
}

impl<L: Default, F> Default for Heavy<L, F> {
    fn default() -> Self {
        Heavy::Live(L::default())
    }
}

impl<T, F> Heavy<Vec<T>, F> {
    /// Nothing has been taken in.
    pub fn is_empty(&self) -> bool {
        matches!(self, Heavy::Live(v) if v.is_empty())
    }
}

impl Distinct {
    /// Nothing has been taken in.
    pub fn is_empty(&self) -> bool {
        matches!(self, Heavy::Live(v) if v.is_empty())
    }
}

/// Distinct values; frozen, their number.
pub(crate) type Distinct = Heavy<HashSet<Value, ahash::RandomState>, u64>;

/// All values as floats; frozen, the wanted percentile.
pub(crate) type Floats = Heavy<Vec<f64>, Option<f64>>;

/// The first [`LIST_CAP`] values in order of event time, series and log.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    entries: Heavy<Vec<Entry>, Vec<Value>>,
    /// Whether values were left out.
    pub cut: bool,
}

impl List {
    pub fn add(&mut self, entry: Entry, order: &SeriesOrder) {
        let Heavy::Live(entries) = &mut self.entries else {
            return;
        };
        let at = match entries.last() {
            Some(last) if entry.compare(last, order).is_lt() => {
                entries.partition_point(|e| e.compare(&entry, order).is_le())
            }
            _ => entries.len(),
        };
        if at >= LIST_CAP {
            self.cut = true;
            return;
        }
        entries.insert(at, entry);
        if entries.len() > LIST_CAP {
            entries.truncate(LIST_CAP);
            self.cut = true;
        }
    }

    pub fn merge(&mut self, other: &List, order: &SeriesOrder) {
        self.cut |= other.cut;
        match &other.entries {
            Heavy::Live(entries) => {
                for entry in entries {
                    self.add(entry.clone(), order);
                }
            }
            // Only nothing can take in a result that stands for itself.
            Heavy::Frozen(_) if self.entries.is_empty() => self.entries = other.entries.clone(),
            Heavy::Frozen(_) => {}
        }
    }

    /// The values in order.
    pub fn values(&self) -> Box<dyn Iterator<Item = &Value> + '_> {
        match &self.entries {
            Heavy::Live(entries) => Box::new(entries.iter().map(|e| &e.value)),
            Heavy::Frozen(values) => Box::new(values.iter()),
        }
    }

    pub fn freeze(&mut self) {
        if let Heavy::Live(entries) = &mut self.entries {
            self.entries = Heavy::Frozen(
                std::mem::take(entries)
                    .into_iter()
                    .map(|e| e.value)
                    .collect(),
            );
        }
    }

    pub fn entries(&self) -> &Heavy<Vec<Entry>, Vec<Value>> {
        &self.entries
    }

    pub fn restore(entries: Heavy<Vec<Entry>, Vec<Value>>, cut: bool) -> List {
        List { entries, cut }
    }

    pub fn bytes(&self) -> usize {
        match &self.entries {
            Heavy::Live(e) => e.iter().map(|e| 48 + e.value.heap()).sum(),
            Heavy::Frozen(v) => v.iter().map(|v| 32 + v.heap()).sum(),
        }
    }
}

/// The percentile `p` in `[0, 1]`, interpolated between neighbours: `percentile_cont` of SQL:2003.
pub(crate) fn percentile(values: &[f64], p: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let mut sorted = values.to_vec();
    let rank = p.clamp(0.0, 1.0) * last as f64;
    let low = (rank.floor() as usize).min(last);
    let (_, low_value, above) = sorted.select_nth_unstable_by(low, f64::total_cmp);
    let low_value = *low_value;
    let share = rank - low as f64;
    if share == 0.0 {
        return Some(low_value);
    }
    let high = above.iter().copied().min_by(f64::total_cmp)?;
    Some(low_value + (high - low_value) * share)
}
