//! The states of one aggregate: a vector of one kind of state, a slot per group.

use super::heavy::{Distinct, Floats, Heavy, List};
use super::number::{Extreme, FloatSum, IntSum, Moments};
use super::order::{Entry, SeriesOrder};
use super::sketch::Sketch;
use super::value::Value;
use crate::bind::windowed::AggFunc;

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
pub(super) use each;

/// Two states of one kind, the second only read.
pub(super) fn merge_state(a: SlotMut<'_>, b: SlotRef<'_>, func: AggFunc, order: &SeriesOrder) {
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

pub(super) enum SlotMut<'a> {
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

pub(super) enum SlotRef<'a> {
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

pub(super) fn keep_value(slot: &mut Option<Value>, func: AggFunc, v: Value) {
    let better = match (&slot, func) {
        (None, _) => true,
        (Some(old), AggFunc::Min) => v < *old,
        (Some(old), _) => v > *old,
    };
    if better {
        *slot = Some(v);
    }
}

pub(super) fn keep_end(slot: &mut Option<Entry>, func: AggFunc, v: Entry, order: &SeriesOrder) {
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
pub(super) use pick;
