//! Rows into states: one loop over a block for each aggregate.

use super::NONE;
use super::accumulator::Accumulator;
use super::heavy::Heavy;
use super::number::float_order;
use super::order::{Entry, SeriesOrder};
use super::slots::{Slots, keep_end, keep_value};
use crate::bind::windowed::AggFunc;
use crate::stream::input::{Input, Kind, Vector};

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

impl Accumulator {
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
}
