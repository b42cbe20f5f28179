//! State to bytes and back, slice by slice.
//!
//! A slice holds some keys with all that is known of them, as of one commit. Between two slices commits may be taken in,
//! so that saving a large state stops nobody; each slice says as of which commit it is, and when the log is replayed rows
//! of commits that a key's slice has seen are left out.
//!
//! A slice is `lsn u64, rows u64, frozen_to i64, key count u64, keys, group count u64, groups, states`; a saved state is
//! one slice after the other, each behind its length as u64. All little-endian.

use super::StreamError;
use super::agg::NONE;
use super::block::Tags;
use super::codec::{Reader, Writer};
use super::groups::{BLANK, Groups, HOLLOW, PENDING, Pane, Panes, WHOLE};
use super::keys::Keys;
use super::operator::Operator;
use super::plan::Plan;
use super::window::Window;
use std::cmp::Reverse;
use std::sync::Arc;

/// What is saved of a group's flags.
const SAVED: u8 = HOLLOW | PENDING | WHOLE | BLANK;
/// A slice has at most as many bytes, unless it is of a single key: it is made in well under a millisecond.
const SLICE_BYTES: usize = 256 << 10;

/// Some keys and their groups, as bytes.
#[derive(Debug, Default)]
pub struct SavedSlice {
    /// The slice.
    pub bytes: Vec<u8>,
    /// Bytes in memory that the groups hold beyond their slots.
    pub heap: usize,
    /// Lists that had values cut off.
    pub lists_cut: usize,
    /// Where the next slice begins; `None` when all keys have been saved.
    pub next: Option<u32>,
}

/// Which commits the keys of a restored state know.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    /// For each slice its last key's successor, the commit it is of, and how far windows were frozen.
    slices: Vec<(u32, u64, i64)>,
    /// The commit that is being replayed.
    lsn: u64,
}

impl CatchUp {
    fn of(&self, key: u32) -> Option<&(u32, u64, i64)> {
        self.slices.get(self.slices.partition_point(|s| s.0 <= key))
    }

    /// Takes out the rows of keys that know this commit.
    pub fn drop_known(&self, keys: &mut [u32]) {
        for key in keys {
            if self.of(*key).is_some_and(|s| self.lsn <= s.1) {
                *key = NONE;
            }
        }
    }

    /// Whether a key's windows that end there were frozen when it was saved.
    pub fn is_frozen(&self, key: u32, end: i64) -> bool {
        self.of(key).is_some_and(|s| end <= s.2)
    }

    fn newest(&self) -> u64 {
        self.slices.iter().map(|s| s.1).max().unwrap_or(0)
    }
}

impl Operator {
    /// Saves keys from `from` on, of `most` groups at most unless they are of one key. The state is that at `lsn`. It
    /// holds nothing of the query: the reader must know that it is the same one.
    #[must_use]
    pub fn save_slice(&self, from: u32, most: usize, lsn: u64) -> SavedSlice {
        let mut groups: Vec<u32> = Vec::new();
        let (mut to, mut heap, mut lists_cut) = (from, 0, 0);
        // What is in memory is a fair measure of what will be written.
        while (to as usize) < self.keys.len()
            && (to == from || groups.len() < most && heap + groups.len() * 64 < SLICE_BYTES)
        {
            for group in self.groups.of_key(to) {
                groups.push(group);
                for accumulator in &self.accumulators {
                    heap += accumulator.heap(group);
                    lists_cut += usize::from(accumulator.is_cut(group));
                }
            }
            heap += self.keys.get(to).len();
            to += 1;
        }
        // The groups of a key stand in the order in which they came.
        groups.sort_unstable();
        let mut out = Writer::default();
        out.u64(lsn);
        out.u64(self.rows);
        out.i64(self.frozen_to);
        out.len((to - from) as usize);
        self.keys.encode(from, to, &mut out);
        out.len(groups.len());
        for g in groups.iter().map(|g| *g as usize) {
            out.u32(self.groups.key[g] - from);
            out.i64(self.groups.start[g]);
            out.i64(self.groups.last[g]);
            out.u8(self.groups.flags[g] & SAVED);
        }
        for accumulator in &self.accumulators {
            accumulator.encode(&groups, &mut out);
        }
        SavedSlice {
            bytes: out.bytes,
            heap,
            lists_cut,
            next: ((to as usize) < self.keys.len()).then_some(to),
        }
    }

    /// An operator with saved state: slices, each behind its length. `tags` must know the series that it had met. The
    /// log must be replayed onto it from the first slice's commit on; see [`Operator::replay_to`].
    ///
    /// # Errors
    /// [`StreamError::State`] when the bytes are not a state of this plan.
    pub fn load(plan: Arc<Plan>, bytes: &[u8], tags: &dyn Tags) -> Result<Self, StreamError> {
        let mut operator = Operator::new(plan);
        operator.keys = Keys::new();
        operator.groups = Groups::default();
        operator.panes = Panes::default();
        operator.accumulators = operator.plan.accumulators();
        let mut catching_up = CatchUp::default();
        let mut slices = Reader::new(bytes);
        while !slices.is_empty() {
            operator.load_slice(slices.slice()?, &mut catching_up)?;
        }
        if catching_up.slices.is_empty() {
            return Err(StreamError::State("it has no slice"));
        }
        if let Some(sessions) = &mut operator.sessions {
            sessions.rebuild(&operator.groups);
        }
        for accumulator in &operator.accumulators {
            operator.order.learn(&accumulator.series(), tags);
        }
        operator.catching_up = Some(catching_up);
        Ok(operator)
    }

    fn load_slice(&mut self, bytes: &[u8], known: &mut CatchUp) -> Result<(), StreamError> {
        let mut r = Reader::new(bytes);
        let (lsn, rows, frozen_to) = (r.u64()?, r.u64()?, r.i64()?);
        if known.slices.is_empty() {
            (self.rows, self.frozen_to) = (rows, frozen_to);
        }
        let first = self.keys.len() as u32;
        let keys = r.len(8)?;
        self.keys.decode(keys, self.plan.keys.len(), &mut r)?;
        known.slices.push((self.keys.len() as u32, lsn, frozen_to));
        let before = self.groups.len();
        for _ in 0..r.len(21)? {
            self.load_group(first, frozen_to, &mut r)?;
        }
        for accumulator in &mut self.accumulators {
            accumulator.decode(before..self.groups.len(), &mut r)?;
        }
        match r.is_empty() {
            true => Ok(()),
            false => Err(StreamError::State("bytes are left over")),
        }
    }

    /// Says of which commit the rows are that come next, while the log is replayed: keys that know it leave them out.
    pub fn replay_to(&mut self, lsn: u64) {
        if let Some(catching_up) = &mut self.catching_up {
            catching_up.lsn = lsn;
            if lsn > catching_up.newest() {
                self.catching_up = None;
            }
        }
    }

    /// The log has been replayed.
    pub fn end_replay(&mut self) {
        self.catching_up = None;
    }

    fn load_group(
        &mut self,
        first: u32,
        frozen_to: i64,
        r: &mut Reader<'_>,
    ) -> Result<(), StreamError> {
        let (key, start, last, flags) = (r.u32()?, r.i64()?, r.i64()?, r.u8()?);
        let key = first.saturating_add(key);
        if key as usize >= self.keys.len() || last < start || flags & !SAVED != 0 {
            return Err(StreamError::State("a group is malformed"));
        }
        let group = self.groups.alloc(key, start);
        self.groups.last[group as usize] = last;
        self.groups.clear(group, super::groups::FRESH);
        self.groups.set(group, flags);
        if flags & PENDING != 0 {
            self.pending.push(group);
        }
        if let Some(sessions) = &self.sessions {
            if self.freezes && flags & HOLLOW == 0 {
                let end = last.saturating_add(sessions.gap());
                self.timers.push(Reverse((end, group)));
            }
            return Ok(());
        }
        let keys = self.keys.len();
        if flags & WHOLE != 0 {
            if !self.freezes || !self.plan.windows.is_shared() || last > frozen_to {
                return Err(StreamError::State("a window stands on its own too early"));
            }
            let window = Window { start, end: last };
            let pane = self.wholes.entry(window).or_insert_with(Pane::new);
            if pane.get(key).is_some() {
                return Err(StreamError::State("a group stands twice"));
            }
            pane.insert(key, group, keys);
            return Ok(());
        }
        if self.plan.windows.pane_of(start) != start {
            return Err(StreamError::State("a pane does not start where panes do"));
        }
        let place = self.panes.place(start);
        if self.panes.at(place).get(key).is_some() {
            return Err(StreamError::State("a group stands twice"));
        }
        self.panes.at(place).insert(key, group, keys);
        if self.freezes && !self.plan.windows.is_shared() && flags & HOLLOW == 0 {
            self.open.insert(start);
        }
        Ok(())
    }
}
