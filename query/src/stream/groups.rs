//! Groups: one per (key, pane) or (key, session), with dense ids that index the accumulators.

use hashbrown::HashMap;
use std::collections::BTreeSet;

/// The group exists.
pub(crate) const LIVE: u8 = 1;
/// It has changed since the last emission.
pub(crate) const DIRTY: u8 = 2;
/// Its heavy states are dropped: only their results are left.
pub(crate) const HOLLOW: u8 = 4;
/// A row came for it while it was hollow: its results are wrong until it is repaired.
pub(crate) const PENDING: u8 = 8;
/// It was made in the block that is being applied: it has no earlier row.
pub(crate) const FRESH: u8 = 16;

/// A session that waits to be handed out when it closes.
pub(crate) const TIMED: u8 = 32;

/// A closed window made of panes, on its own: its results are kept and its panes are not. `last` is its end.
pub(crate) const WHOLE: u8 = 64;
/// A [`WHOLE`] group without results: it is no row until it is repaired.
pub(crate) const BLANK: u8 = 128;

/// What is known of each group besides its accumulators.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub key: Vec<u32>,
    /// The start of its pane, or a session's first event.
    pub start: Vec<i64>,
    /// A session's last event, the end of a [`WHOLE`] window; otherwise the same as `start`.
    pub last: Vec<i64>,
    pub flags: Vec<u8>,
    /// The groups of each key, chained: by key the first, by group the next and the one before.
    first: Vec<u32>,
    next: Vec<u32>,
    before: Vec<u32>,
    free: Vec<u32>,
    pub live: usize,
}

impl Groups {
    pub fn len(&self) -> usize {
        self.key.len()
    }

    /// A new group.
    pub fn alloc(&mut self, key: u32, start: i64) -> u32 {
        self.live += 1;
        let g = self.free.pop().unwrap_or_else(|| {
            self.key.push(0);
            self.start.push(0);
            self.last.push(0);
            self.flags.push(0);
            self.next.push(VACANT);
            self.before.push(VACANT);
            (self.key.len() - 1) as u32
        });
        let i = g as usize;
        self.key[i] = key;
        self.start[i] = start;
        self.last[i] = start;
        self.flags[i] = LIVE | FRESH;
        self.chain(g, key as usize);
        g
    }

    fn chain(&mut self, g: u32, key: usize) {
        if key >= self.first.len() {
            self.first.resize(key + 1, VACANT);
        }
        let next = std::mem::replace(&mut self.first[key], g);
        self.next[g as usize] = next;
        self.before[g as usize] = VACANT;
        if next != VACANT {
            self.before[next as usize] = g;
        }
    }

    fn unchain(&mut self, g: u32) {
        let (before, next) = (self.before[g as usize], self.next[g as usize]);
        match before {
            VACANT => self.first[self.key[g as usize] as usize] = next,
            before => self.next[before as usize] = next,
        }
        if next != VACANT {
            self.before[next as usize] = before;
        }
    }

    /// The groups of a key, in no order.
    pub fn of_key(&self, key: u32) -> impl Iterator<Item = u32> + '_ {
        let first = self.first.get(key as usize).copied();
        let known = |g: &u32| *g != VACANT;
        std::iter::successors(first.filter(known), move |g| {
            Some(self.next[*g as usize]).filter(known)
        })
    }

    /// Ends a group whose states are empty. Its id stays taken until [`Groups::release`].
    pub fn retire(&mut self, g: u32) {
        self.flags[g as usize] = 0;
        self.live -= 1;
        self.unchain(g);
    }

    /// Lets retired ids be used again.
    pub fn release(&mut self, ids: &mut Vec<u32>) {
        self.free.append(ids);
    }

    pub fn is(&self, g: u32, flag: u8) -> bool {
        self.flags[g as usize] & flag != 0
    }

    pub fn set(&mut self, g: u32, flag: u8) {
        self.flags[g as usize] |= flag;
    }

    pub fn clear(&mut self, g: u32, flag: u8) {
        self.flags[g as usize] &= !flag;
    }

    /// The ids of all groups there are.
    pub fn live_ids(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len() as u32).filter(|g| self.is(*g, LIVE))
    }

    pub fn size(&self) -> usize {
        self.key.capacity() * 29 + self.first.capacity() * 4
    }
}

/// The groups of one pane by key: a table over all keys once that is no waste, a hash map before.
#[derive(Debug)]
pub(crate) enum Slots {
    Sparse(HashMap<u32, u32, ahash::RandomState>),
    Dense(Vec<u32>),
}

/// No group.
pub(crate) const VACANT: u32 = u32::MAX;

/// One pane.
#[derive(Debug)]
pub(crate) struct Pane {
    slots: Slots,
    pub groups: Vec<u32>,
}

impl Pane {
    pub fn new() -> Self {
        Self {
            slots: Slots::Sparse(HashMap::default()),
            groups: Vec::new(),
        }
    }

    /// The group of a key, if there is one.
    #[inline]
    pub fn get(&self, key: u32) -> Option<u32> {
        match &self.slots {
            Slots::Dense(table) => table.get(key as usize).copied().filter(|g| *g != VACANT),
            Slots::Sparse(map) => map.get(&key).copied(),
        }
    }

    /// Adds the group of a key that has none here. `keys` is how many keys there are in all.
    pub fn insert(&mut self, key: u32, group: u32, keys: usize) {
        self.groups.push(group);
        if let Slots::Sparse(map) = &mut self.slots {
            map.insert(key, group);
            if map.len() * 4 < keys {
                return;
            }
            let mut table = vec![VACANT; keys.max(key as usize + 1)];
            for (k, g) in map.iter() {
                table[*k as usize] = *g;
            }
            self.slots = Slots::Dense(table);
        } else if let Slots::Dense(table) = &mut self.slots {
            if key as usize >= table.len() {
                table.resize(key as usize + 1, VACANT);
            }
            table[key as usize] = group;
        }
    }

    /// Takes out the group of a key.
    pub fn remove(&mut self, key: u32) {
        let group = match &mut self.slots {
            Slots::Dense(table) => table
                .get_mut(key as usize)
                .map(|g| std::mem::replace(g, VACANT)),
            Slots::Sparse(map) => map.remove(&key),
        };
        self.groups.retain(|g| Some(*g) != group);
    }

    pub fn size(&self) -> usize {
        let slots = match &self.slots {
            Slots::Sparse(map) => map.capacity() * 9,
            Slots::Dense(table) => table.capacity() * 4,
        };
        slots + self.groups.capacity() * 4 + 96
    }
}

/// All panes, by start.
#[derive(Debug, Default)]
pub(crate) struct Panes {
    places: HashMap<i64, u32, ahash::RandomState>,
    panes: Vec<Pane>,
    /// Places of panes that were taken out.
    free: Vec<u32>,
    pub starts: BTreeSet<i64>,
}

impl Panes {
    /// The place of the pane that starts there, made if need be.
    pub fn place(&mut self, start: i64) -> usize {
        if let Some(i) = self.places.get(&start) {
            return *i as usize;
        }
        let i = self.free.pop().unwrap_or_else(|| {
            self.panes.push(Pane::new());
            (self.panes.len() - 1) as u32
        });
        self.places.insert(start, i);
        self.starts.insert(start);
        i as usize
    }

    /// Takes a pane out.
    pub fn remove(&mut self, start: i64) -> Option<Pane> {
        let i = self.places.remove(&start)?;
        self.starts.remove(&start);
        self.free.push(i);
        Some(std::mem::replace(&mut self.panes[i as usize], Pane::new()))
    }

    #[inline]
    pub fn at(&mut self, place: usize) -> &mut Pane {
        &mut self.panes[place]
    }

    pub fn get(&self, start: i64) -> Option<&Pane> {
        Some(&self.panes[*self.places.get(&start)? as usize])
    }

    pub fn size(&self) -> usize {
        self.panes.iter().map(Pane::size).sum()
    }
}
