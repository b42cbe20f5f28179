//! Sessions: per key, runs of rows with no silence longer than the gap. A late row may bridge two.

use super::groups::{Groups, LIVE};

/// The sessions of every key, by start. Sessions of one key lie more than the gap apart.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    gap: i64,
    by_key: Vec<Vec<u32>>,
}

/// What a row did to the sessions of its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is in this session, whose bounds are not moved yet: [`Sessions::extend`] does that.
    Join { group: u32, merges: Option<u32> },
    /// It begins a session, to be added at this place of the key's list.
    Begin { place: usize },
}

impl Sessions {
    pub fn new(gap: i64) -> Self {
        Self {
            gap,
            by_key: Vec::new(),
        }
    }

    pub fn gap(&self) -> i64 {
        self.gap
    }

    /// Where a row of `key` at `t` belongs.
    pub fn find(&mut self, groups: &Groups, key: u32, t: i64) -> Step {
        if key as usize >= self.by_key.len() {
            self.by_key.resize_with(key as usize + 1, Vec::new);
        }
        let list = &self.by_key[key as usize];
        let gap = self.gap;
        let ends_before = |g: &u32| groups.last[*g as usize].saturating_add(gap) < t;
        // Rows mostly come in order: look at the last session first.
        let place = match list.last() {
            Some(g) if ends_before(g) => list.len(),
            _ => list.partition_point(ends_before),
        };
        let reaches = |g: u32, last: i64| groups.start[g as usize].saturating_sub(gap) <= last;
        match list.get(place) {
            Some(g) if reaches(*g, t) => {
                let last = groups.last[*g as usize].max(t);
                let next = list.get(place + 1).copied().filter(|n| reaches(*n, last));
                Step::Join {
                    group: *g,
                    merges: next,
                }
            }
            _ => Step::Begin { place },
        }
    }

    /// Adds a session that [`Sessions::find`] found to begin.
    pub fn begin(&mut self, key: u32, place: usize, group: u32) {
        self.by_key[key as usize].insert(place, group);
    }

    /// Moves a session's bounds to take in `t` and the session it merges with, which ends.
    pub fn extend(&mut self, groups: &mut Groups, group: u32, t: i64, merges: Option<u32>) {
        let g = group as usize;
        groups.start[g] = groups.start[g].min(t);
        groups.last[g] = groups.last[g].max(t);
        if let Some(other) = merges {
            groups.last[g] = groups.last[g].max(groups.last[other as usize]);
            let list = &mut self.by_key[groups.key[g] as usize];
            list.retain(|s| *s != other);
        }
    }

    /// The sessions of `key`, by start.
    pub fn of(&self, key: u32) -> &[u32] {
        self.by_key.get(key as usize).map_or(&[], Vec::as_slice)
    }

    /// The session of `key` that holds `t`.
    pub fn at(&self, groups: &Groups, key: u32, t: i64) -> Option<u32> {
        let list = self.by_key.get(key as usize)?;
        let i = list.partition_point(|g| groups.last[*g as usize] < t);
        list.get(i)
            .copied()
            .filter(|g| groups.start[*g as usize] <= t)
    }

    /// Rebuilds the lists from the groups there are.
    pub fn rebuild(&mut self, groups: &Groups) {
        self.by_key.clear();
        let mut ids: Vec<u32> = (0..groups.len() as u32)
            .filter(|g| groups.is(*g, LIVE))
            .collect();
        ids.sort_by_key(|g| groups.start[*g as usize]);
        for g in ids {
            let key = groups.key[g as usize] as usize;
            if key >= self.by_key.len() {
                self.by_key.resize_with(key + 1, Vec::new);
            }
            self.by_key[key].push(g);
        }
    }

    pub fn size(&self) -> usize {
        self.by_key.capacity() * 24 + self.by_key.iter().map(|v| v.capacity() * 4).sum::<usize>()
    }
}
