//! One aggregate's states, a slot per group, and the loops that feed them.

use super::NONE;
use super::heavy::{Distinct, Floats, Heavy, List, percentile};
use super::number::{Extreme, FloatSum, IntSum, Moments, float_order};
use super::order::{Entry, SeriesOrder};
use super::sketch::Sketch;
use super::value::Value;
use crate::bind::windowed::AggFunc;
use crate::stream::StreamError;
use crate::stream::input::{Input, Kind, Vector};
use arrow::datatypes::DataType;

/// What an accumulator must know of its aggregate.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub func: AggFunc,
    pub kind: Kind,
    pub name: String,
    pub target: DataType,
}

/// The states of one aggregate, by group id.
#[derive(Debug)]
pub(crate) enum Slots {
    Count(Vec<u64>),
    Ints(Vec<IntSum>),
    Floats(Vec<FloatSum>),
    Extremes(Vec<Extreme>),
    /// Extremes of what does not map to 64 bits.
    Values(Vec<Option<Value>>),
    /// First or last.
    Ends(Vec<Option<Entry>>),
    Moments(Vec<Moments>),
    Sketches(Vec<Sketch>),
    Distinct(Vec<Distinct>),
    Lists(Vec<List>),
    All(Vec<Floats>),
}

/// The same expression for whichever vector of slots it is.
macro_rules! each {
    ($slots:expr, $v:ident => $e:expr) => {
        match $slots {
            Slots::Count($v) => $e,
            Slots::Ints($v) => $e,
            Slots::Floats($v) => $e,
            Slots::Extremes($v) => $e,
            Slots::Values($v) => $e,
            Slots::Ends($v) => $e,
            Slots::Moments($v) => $e,
            Slots::Sketches($v) => $e,
            Slots::Distinct($v) => $e,
            Slots::Lists($v) => $e,
            Slots::All($v) => $e,
        }
    };
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

/// Calls `f(row, group)` for each row that has a group and a value.
#[inline]
fn rows(groups: &[u32], valid: Option<&[bool]>, mut f: impl FnMut(usize, usize)) {
    match valid {
        None => {
            for (i, g) in groups.iter().enumerate() {
                if *g != NONE {
                    f(i, *g as usize);
                }
            }
        }
        Some(valid) => {
            for (i, (g, ok)) in groups.iter().zip(valid).enumerate() {
                if *g != NONE && *ok {
                    f(i, *g as usize);
                }
            }
        }
    }
}

/// Two states of one kind, the second only read.
fn merge_state(a: SlotMut<'_>, b: SlotRef<'_>, func: AggFunc, order: &SeriesOrder) {
    match (a, b) {
        (SlotMut::Count(a), SlotRef::Count(b)) => *a += b,
        (SlotMut::Ints(a), SlotRef::Ints(b)) => a.merge(b),
        (SlotMut::Floats(a), SlotRef::Floats(b)) => a.merge(b),
        (SlotMut::Extremes(a), SlotRef::Extremes(b)) if b.seen => match func {
            AggFunc::Min => a.min(b.value),
            _ => a.max(b.value),
        },
        (SlotMut::Values(a), SlotRef::Values(Some(b))) => keep_value(a, func, b.clone()),
        (SlotMut::Ends(a), SlotRef::Ends(Some(b))) => keep_end(a, func, b.clone(), order),
        (SlotMut::Moments(a), SlotRef::Moments(b)) => a.merge(b),
        (SlotMut::Sketches(a), SlotRef::Sketches(b)) => a.merge(b),
        (SlotMut::Distinct(Heavy::Live(a)), SlotRef::Distinct(Heavy::Live(b))) => {
            a.extend(b.iter().cloned());
        }
        (SlotMut::Lists(a), SlotRef::Lists(b)) => a.merge(b, order),
        (SlotMut::All(Heavy::Live(a)), SlotRef::All(Heavy::Live(b))) => a.extend_from_slice(b),
        // Only nothing can take in a result that stands for itself.
        (SlotMut::Distinct(a), SlotRef::Distinct(b)) if a.is_empty() => *a = b.clone(),
        (SlotMut::All(a), SlotRef::All(b)) if a.is_empty() => *a = b.clone(),
        // An extreme or end of nothing; or a frozen state, whose group awaits a repair.
        _ => {}
    }
}

enum SlotMut<'a> {
    Count(&'a mut u64),
    Ints(&'a mut IntSum),
    Floats(&'a mut FloatSum),
    Extremes(&'a mut Extreme),
    Values(&'a mut Option<Value>),
    Ends(&'a mut Option<Entry>),
    Moments(&'a mut Moments),
    Sketches(&'a mut Sketch),
    Distinct(&'a mut Distinct),
    Lists(&'a mut List),
    All(&'a mut Floats),
}

enum SlotRef<'a> {
    Count(&'a u64),
    Ints(&'a IntSum),
    Floats(&'a FloatSum),
    Extremes(&'a Extreme),
    Values(&'a Option<Value>),
    Ends(&'a Option<Entry>),
    Moments(&'a Moments),
    Sketches(&'a Sketch),
    Distinct(&'a Distinct),
    Lists(&'a List),
    All(&'a Floats),
}

macro_rules! pick {
    ($slots:expr, $kind:ident, $at:expr, $($borrow:tt)+) => {
        match $slots {
            Slots::Count(v) => $kind::Count($($borrow)+ v[$at]),
            Slots::Ints(v) => $kind::Ints($($borrow)+ v[$at]),
            Slots::Floats(v) => $kind::Floats($($borrow)+ v[$at]),
            Slots::Extremes(v) => $kind::Extremes($($borrow)+ v[$at]),
            Slots::Values(v) => $kind::Values($($borrow)+ v[$at]),
            Slots::Ends(v) => $kind::Ends($($borrow)+ v[$at]),
            Slots::Moments(v) => $kind::Moments($($borrow)+ v[$at]),
            Slots::Sketches(v) => $kind::Sketches($($borrow)+ v[$at]),
            Slots::Distinct(v) => $kind::Distinct($($borrow)+ v[$at]),
            Slots::Lists(v) => $kind::Lists($($borrow)+ v[$at]),
            Slots::All(v) => $kind::All($($borrow)+ v[$at]),
        }
    };
}

fn keep_value(slot: &mut Option<Value>, func: AggFunc, v: Value) {
    let better = match (&slot, func) {
        (None, _) => true,
        (Some(old), AggFunc::Min) => v < *old,
        (Some(old), _) => v > *old,
    };
    if better {
        *slot = Some(v);
    }
}

fn keep_end(slot: &mut Option<Entry>, func: AggFunc, v: Entry, order: &SeriesOrder) {
    let better = match &slot {
        None => true,
        // Of rows equal in time and series the first in the log is first, the last in the log is last.
        Some(old) if func == AggFunc::First => v.compare(old, order).is_lt(),
        Some(old) => v.compare(old, order).is_ge(),
    };
    if better {
        *slot = Some(v);
    }
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

    /// Feeds rows: row `i` belongs to group `groups[i]`, or to none.
    pub fn update(
        &mut self,
        groups: &[u32],
        time: &[i64],
        series: &[u32],
        input: Option<&Input>,
        order: &SeriesOrder,
    ) {
        let func = self.arg.func;
        let valid = input.and_then(|i| i.valid.as_deref());
        let values = input.map(|i| &i.values);
        if matches!(values, Some(Vector::Null)) {
            return;
        }
        match (&mut self.slots, values) {
            (Slots::Count(v), _) => rows(groups, valid, |_, g| v[g] += 1),
            (Slots::Ints(v), Some(Vector::Int(x))) => match self.arg.kind {
                Kind::UInt => rows(groups, valid, |i, g| v[g].add(i128::from(x[i] as u64))),
                _ => rows(groups, valid, |i, g| v[g].add(i128::from(x[i]))),
            },
            (Slots::Ints(v), Some(Vector::Wide(x))) => {
                rows(groups, valid, |i, g| v[g].add(x[i]));
            }
            (Slots::Floats(v), Some(Vector::Float(x))) => {
                rows(groups, valid, |i, g| v[g].add(x[i]));
            }
            (Slots::Extremes(v), Some(x)) => {
                let get: &dyn Fn(usize) -> i64 = match x {
                    Vector::Int(x) if self.arg.kind == Kind::UInt => &|i| x[i] ^ i64::MIN,
                    Vector::Int(x) => {
                        // The usual case, apart so that the loop has no call in it.
                        return match func {
                            AggFunc::Min => rows(groups, valid, |i, g| v[g].min(x[i])),
                            _ => rows(groups, valid, |i, g| v[g].max(x[i])),
                        };
                    }
                    Vector::Float(x) => &|i| float_order(x[i]),
                    _ => return,
                };
                match func {
                    AggFunc::Min => rows(groups, valid, |i, g| v[g].min(get(i))),
                    _ => rows(groups, valid, |i, g| v[g].max(get(i))),
                }
            }
            (Slots::Values(v), Some(x)) => rows(groups, valid, |i, g| {
                keep_value(&mut v[g], func, x.value(i));
            }),
            (Slots::Ends(v), Some(x)) => rows(groups, valid, |i, g| {
                let (slot, t) = (&mut v[g], time[i]);
                let passes = slot.as_ref().is_none_or(|old| match func {
                    AggFunc::First => t <= old.time,
                    _ => t >= old.time,
                });
                if passes {
                    let entry = Entry {
                        time: t,
                        series: series[i],
                        value: x.value(i),
                    };
                    keep_end(slot, func, entry, order);
                }
            }),
            (Slots::Moments(v), Some(x)) => {
                let get = x.floats(self.arg.kind);
                rows(groups, valid, |i, g| v[g].add(get(i)));
            }
            (Slots::Sketches(v), Some(x)) => {
                let get = x.floats(self.arg.kind);
                rows(groups, valid, |i, g| v[g].add(get(i)));
            }
            (Slots::All(v), Some(x)) => {
                let get = x.floats(self.arg.kind);
                rows(groups, valid, |i, g| {
                    if let Heavy::Live(all) = &mut v[g] {
                        all.push(get(i));
                    }
                });
            }
            (Slots::Distinct(v), Some(x)) => rows(groups, valid, |i, g| {
                if let Heavy::Live(set) = &mut v[g] {
                    let value = x.value(i);
                    if !set.contains(&value) {
                        set.insert(value);
                    }
                }
            }),
            (Slots::Lists(v), Some(x)) => rows(groups, valid, |i, g| {
                let entry = Entry {
                    time: time[i],
                    series: series[i],
                    value: x.value(i),
                };
                v[g].add(entry, order);
            }),
            // The plan gives each kind its vector; there is nothing else to feed.
            _ => {}
        }
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

    /// How many lists had values cut off.
    pub fn lists_cut(&self) -> usize {
        match &self.slots {
            Slots::Lists(v) => v.iter().filter(|l| l.cut).count(),
            _ => 0,
        }
    }

    /// Bytes in memory, near enough. Walks heavy states.
    pub fn bytes(&self) -> usize {
        let heap: usize = match &self.slots {
            Slots::Distinct(v) => v
                .iter()
                .map(|s| match s {
                    Heavy::Live(s) => s.capacity() * 33,
                    Heavy::Frozen(_) => 0,
                })
                .sum(),
            Slots::Lists(v) => v.iter().map(List::bytes).sum(),
            Slots::All(v) => v
                .iter()
                .map(|s| match s {
                    Heavy::Live(s) => s.capacity() * 8,
                    Heavy::Frozen(_) => 0,
                })
                .sum(),
            Slots::Sketches(v) => v.iter().map(|s| s.buckets() * 24).sum(),
            Slots::Values(v) => v.iter().flatten().map(Value::heap).sum(),
            Slots::Ends(v) => v.iter().flatten().map(|e| e.value.heap()).sum(),
            _ => 0,
        };
        fn flat<T>(v: &[T]) -> usize {
            size_of_val(v)
        }
        heap + each!(&self.slots, v => flat(v))
    }
}
