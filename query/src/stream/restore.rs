//! State to bytes and back.

use super::StreamError;
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

impl Operator {
    /// The whole state. It holds nothing of the query: the reader must know that it is the same one.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.rows);
        out.i64(self.frozen_to);
        self.keys.encode(&mut out);
        let live: Vec<u32> = self.groups.live_ids().collect();
        out.len(live.len());
        for g in live.iter().map(|g| *g as usize) {
            out.u32(self.groups.key[g]);
            out.i64(self.groups.start[g]);
            out.i64(self.groups.last[g]);
            out.u8(self.groups.flags[g] & SAVED);
        }
        for accumulator in &self.accumulators {
            accumulator.encode(&live, &mut out);
        }
        out.bytes
    }

    /// An operator with saved state. `tags` must know the series that it had met.
    ///
    /// # Errors
    /// [`StreamError::State`] when the bytes are not a state of this plan.
    pub fn load(plan: Arc<Plan>, bytes: &[u8], tags: &dyn Tags) -> Result<Self, StreamError> {
        let mut operator = Operator::new(plan);
        let mut r = Reader::new(bytes);
        operator.rows = r.u64()?;
        operator.frozen_to = r.i64()?;
        operator.keys = Keys::decode(operator.plan.keys.len(), &mut r)?;
        operator.groups = Groups::default();
        operator.panes = Panes::default();
        let n = r.len(21)?;
        for _ in 0..n {
            operator.load_group(&mut r)?;
        }
        operator.accumulators = operator.plan.accumulators();
        for accumulator in &mut operator.accumulators {
            accumulator.decode(n, &mut r)?;
        }
        if !r.is_empty() {
            return Err(StreamError::State("bytes are left over"));
        }
        if let Some(sessions) = &mut operator.sessions {
            sessions.rebuild(&operator.groups);
        }
        for accumulator in &operator.accumulators {
            operator.order.learn(&accumulator.series(), tags);
        }
        Ok(operator)
    }

    fn load_group(&mut self, r: &mut Reader<'_>) -> Result<(), StreamError> {
        let (key, start, last, flags) = (r.u32()?, r.i64()?, r.i64()?, r.u8()?);
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
            if !self.freezes || !self.plan.windows.is_shared() || last > self.frozen_to {
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
