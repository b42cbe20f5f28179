//! One aggregate and its states, a slot per group: made, merged, frozen, measured.

use super::heavy::{Heavy, percentile};
use super::order::SeriesOrder;
use super::slots::{SlotMut, SlotRef, Slots, each, merge_state, pick};
use super::value::Value;
use crate::bind::windowed::AggFunc;
use crate::stream::StreamError;
use crate::stream::input::Kind;
use arrow::datatypes::DataType;

/// What an accumulator must know of its aggregate.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub func: AggFunc,
    pub kind: Kind,
    pub name: String,
    pub target: DataType,
}

/// One aggregate.
#[derive(Debug)]
pub(crate) struct Accumulator {
    pub arg: Argument,
    pub slots: Slots,
}

fn resize<T: Default>(v: &mut Vec<T>, n: usize) {
    v.resize_with(n, T::default);
}

fn reset<T: Default>(v: &mut [T], at: u32) {
    v[at as usize] = T::default();
}

impl Accumulator {
    pub fn new(arg: Argument) -> Result<Self, StreamError> {
        use AggFunc as F;
        let refuse = |what: &str| Err(StreamError::Unsupported(format!("'{}': {what}", arg.name)));
        let number = matches!(
            arg.kind,
            Kind::Int | Kind::UInt | Kind::Float | Kind::Decimal(_)
        );
        let slots = match arg.func {
            F::CountRows | F::Count => Slots::Count(Vec::new()),
            F::CountDistinct => Slots::Distinct(Vec::new()),
            F::CollectList => Slots::Lists(Vec::new()),
            F::First | F::Last => Slots::Ends(Vec::new()),
            F::Min | F::Max => match arg.kind {
                Kind::Str | Kind::Decimal(_) => Slots::Values(Vec::new()),
                _ => Slots::Extremes(Vec::new()),
            },
            _ if !number => return refuse("it takes numbers only"),
            F::Sum | F::Avg => match arg.kind {
                Kind::Float => Slots::Floats(Vec::new()),
                _ => Slots::Ints(Vec::new()),
            },
            F::VarSample | F::VarPopulation | F::StddevSample | F::StddevPopulation => {
                Slots::Moments(Vec::new())
            }
            F::Percentile(_) => Slots::All(Vec::new()),
            F::ApproxPercentile(_) => Slots::Sketches(Vec::new()),
        };
        Ok(Self { arg, slots })
    }

    /// The same aggregate with no groups.
    pub fn empty(&self) -> Self {
        let slots = match &self.slots {
            Slots::Count(_) => Slots::Count(Vec::new()),
            Slots::Ints(_) => Slots::Ints(Vec::new()),
            Slots::Floats(_) => Slots::Floats(Vec::new()),
            Slots::Extremes(_) => Slots::Extremes(Vec::new()),
            Slots::Values(_) => Slots::Values(Vec::new()),
            Slots::Ends(_) => Slots::Ends(Vec::new()),
            Slots::Moments(_) => Slots::Moments(Vec::new()),
            Slots::Sketches(_) => Slots::Sketches(Vec::new()),
            Slots::Distinct(_) => Slots::Distinct(Vec::new()),
            Slots::Lists(_) => Slots::Lists(Vec::new()),
            Slots::All(_) => Slots::All(Vec::new()),
        };
        Self {
            arg: self.arg.clone(),
            slots,
        }
    }

    /// Makes room for group ids below `n`.
    pub fn grow(&mut self, n: usize) {
        each!(&mut self.slots, v => resize(v, n));
    }

    /// Empties one slot.
    pub fn reset(&mut self, at: u32) {
        each!(&mut self.slots, v => reset(v, at));
    }

    /// Whether the state is dropped when windows are past all lateness.
    pub fn is_heavy(&self) -> bool {
        matches!(
            self.slots,
            Slots::Distinct(_) | Slots::Lists(_) | Slots::All(_)
        )
    }

    /// Whether rows must come with the keys of their series.
    pub fn is_ordered(&self) -> bool {
        matches!(self.slots, Slots::Lists(_) | Slots::Ends(_))
    }

    /// Whether a result may be of any length.
    pub fn is_bulky(&self) -> bool {
        matches!(
            self.slots,
            Slots::Lists(_) | Slots::Values(_) | Slots::Ends(_)
        )
    }

    /// Bytes of a result that may be of any length, near enough.
    pub fn bulk(&self, at: u32) -> usize {
        let at = at as usize;
        match &self.slots {
            Slots::Lists(v) => v[at].values().map(|v| 8 + v.heap()).sum(),
            Slots::Values(v) => v[at].as_ref().map_or(0, Value::heap),
            Slots::Ends(v) => v[at].as_ref().map_or(0, |e| e.value.heap()),
            _ => 0,
        }
    }

    /// Leaves only the result of a heavy state.
    pub fn freeze(&mut self, at: u32) {
        match &mut self.slots {
            Slots::Distinct(v) => {
                if let Heavy::Live(set) = &v[at as usize] {
                    v[at as usize] = Heavy::Frozen(set.len() as u64);
                }
            }
            Slots::All(v) => {
                if let (Heavy::Live(all), AggFunc::Percentile(p)) = (&v[at as usize], self.arg.func)
                {
                    v[at as usize] = Heavy::Frozen(percentile(all, p));
                }
            }
            Slots::Lists(v) => v[at as usize].freeze(),
            _ => {}
        }
    }

    /// Merges slot `from` of `other`, an accumulator of the same aggregate, into slot `into`.
    pub fn merge(&mut self, into: u32, other: &Accumulator, from: u32, order: &SeriesOrder) {
        let (into, from, func) = (into as usize, from as usize, self.arg.func);
        merge_state(
            pick!(&mut self.slots, SlotMut, into, &mut),
            pick!(&other.slots, SlotRef, from, &),
            func,
            order,
        );
    }

    /// An accumulator with a slot for each list of groups, their states merged. A frozen group stands in a list of its
    /// own.
    pub fn merged(&self, groups: &[Vec<u32>], order: &SeriesOrder) -> Accumulator {
        let mut merged = self.empty();
        merged.grow(groups.len());
        for (slot, groups) in groups.iter().enumerate() {
            for group in groups {
                merged.merge(slot as u32, self, *group, order);
            }
        }
        merged
    }

    /// Merges slot `from` into slot `into` and empties it.
    pub fn merge_within(&mut self, into: u32, from: u32, order: &SeriesOrder) {
        let (i, f) = (into as usize, from as usize);
        let mut other = self.empty();
        // The state moves out through a one-slot twin, so that both sides can be borrowed.
        match (&mut self.slots, &mut other.slots) {
            (Slots::Count(a), Slots::Count(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Ints(a), Slots::Ints(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Floats(a), Slots::Floats(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Extremes(a), Slots::Extremes(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Values(a), Slots::Values(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Ends(a), Slots::Ends(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Moments(a), Slots::Moments(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Sketches(a), Slots::Sketches(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Distinct(a), Slots::Distinct(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::Lists(a), Slots::Lists(b)) => b.push(std::mem::take(&mut a[f])),
            (Slots::All(a), Slots::All(b)) => b.push(std::mem::take(&mut a[f])),
            _ => return,
        }
        self.merge(i as u32, &other, 0, order);
    }

    /// The series whose rows are kept with their place in the order.
    pub fn series(&self) -> Vec<u32> {
        match &self.slots {
            Slots::Ends(v) => v.iter().flatten().map(|e| e.series).collect(),
            Slots::Lists(v) => v
                .iter()
                .filter_map(|l| match l.entries() {
                    Heavy::Live(entries) => Some(entries.iter().map(|e| e.series)),
                    Heavy::Frozen(_) => None,
                })
                .flatten()
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a list had values cut off.
    pub fn is_cut(&self, at: u32) -> bool {
        matches!(&self.slots, Slots::Lists(v) if v[at as usize].cut)
    }

    /// Bytes that a state has beyond its slot, near enough. Walks heavy states.
    pub fn heap(&self, at: u32) -> usize {
        let at = at as usize;
        match &self.slots {
            Slots::Distinct(v) => match &v[at] {
                Heavy::Live(s) => s.capacity() * 33,
                Heavy::Frozen(_) => 0,
            },
            Slots::Lists(v) => v[at].bytes(),
            Slots::All(v) => match &v[at] {
                Heavy::Live(s) => s.capacity() * 8,
                Heavy::Frozen(_) => 0,
            },
            Slots::Sketches(v) => v[at].buckets() * 24,
            Slots::Values(v) => v[at].as_ref().map_or(0, Value::heap),
            Slots::Ends(v) => v[at].as_ref().map_or(0, |e| e.value.heap()),
            _ => 0,
        }
    }

    /// Bytes of all slots.
    pub fn flat(&self) -> usize {
        fn flat<T>(v: &[T]) -> usize {
            size_of_val(v)
        }
        each!(&self.slots, v => flat(v))
    }
}
