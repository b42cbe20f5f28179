//! The order of rows for ordered aggregates: event time, then series key, then log order.

use crate::stream::Tags;
use hashbrown::HashMap;
use std::cmp::Ordering;

/// The keys of the series met so far. Series ids say when a series was first seen, not where it sorts.
#[derive(Debug, Default)]
pub(crate) struct SeriesOrder {
    keys: HashMap<u32, Box<[u8]>, ahash::RandomState>,
}

impl SeriesOrder {
    /// Makes the keys of these series known; must be called before rows of theirs are compared.
    pub fn learn(&mut self, series: &[u32], tags: &dyn Tags) {
        for s in series {
            self.keys.entry(*s).or_insert_with(|| tags.key(*s));
        }
    }

    /// Makes known what another knows.
    pub fn learn_from(&mut self, other: &SeriesOrder) {
        for (series, key) in &other.keys {
            self.keys.entry(*series).or_insert_with(|| key.clone());
        }
    }

    /// How the keys of two series compare.
    pub fn compare(&self, a: u32, b: u32) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        self.keys.get(&a).cmp(&self.keys.get(&b))
    }
}

/// A value and its place in the order.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub time: i64,
    pub series: u32,
    pub value: super::Value,
}

impl Entry {
    /// By event time and series; rows equal in both stand in log order, which their owner knows.
    pub fn compare(&self, other: &Entry, order: &SeriesOrder) -> Ordering {
        self.time
            .cmp(&other.time)
            .then_with(|| order.compare(self.series, other.series))
    }
}
