//! The states of all groups, one slot each, fed column by column.

use super::shape::{Kind, Shape};
use crate::stream::agg::{Extreme, FloatSum, float_order};
use hashbrown::HashMap;
use tsdb::{ScanBatch, Vector, VectorValues, ZoneOp, ZoneValue};

/// The states of all cells for one thread.
pub(super) struct States {
    pub rows: Vec<u64>,
    pub aggs: Vec<State>,
}

/// One aggregate's states, which say what those of the operator that keeps views say.
pub(super) enum State {
    Rows,
    Count(Vec<u64>),
    Ints(IntSums),
    Floats(Vec<FloatSum>),
    /// Floats by [`float_order`].
    Extremes(Vec<Extreme>),
}

/// Exact sums of integers, half as wide as they may become: what does not fit is put aside.
#[derive(Default)]
pub(super) struct IntSums {
    narrow: Vec<IntSum>,
    aside: HashMap<u32, i128, ahash::RandomState>,
}

#[derive(Clone, Copy, Default)]
struct IntSum {
    sum: i64,
    count: u64,
}

impl IntSums {
    fn new(cells: usize) -> Self {
        Self {
            narrow: vec![IntSum::default(); cells],
            aside: HashMap::default(),
        }
    }

    #[inline]
    fn add(&mut self, cell: u32, v: i64, count: u64) {
        let s = &mut self.narrow[cell as usize];
        s.count += count;
        match s.sum.checked_add(v) {
            Some(sum) => s.sum = sum,
            None => {
                *self.aside.entry(cell).or_default() += i128::from(s.sum);
                s.sum = v;
            }
        }
    }

    fn merge(&mut self, other: &IntSums) {
        for (cell, s) in (0u32..).zip(&other.narrow) {
            self.add(cell, s.sum, s.count);
        }
        for (cell, sum) in &other.aside {
            *self.aside.entry(*cell).or_default() += sum;
        }
    }

    /// The sum of a cell and how many values it is of.
    pub fn get(&self, cell: usize) -> (i128, u64) {
        let s = self.narrow[cell];
        // Cells are found by 32-bit numbers.
        let aside = self.aside.get(&(cell as u32)).copied().unwrap_or(0);
        (aside + i128::from(s.sum), s.count)
    }
}

impl States {
    pub fn new(shape: &Shape, cells: usize) -> States {
        let aggs = shape
            .aggs
            .iter()
            .map(|a| match a.kind {
                Kind::Rows => State::Rows,
                Kind::Count => State::Count(vec![0; cells]),
                Kind::SumInt | Kind::AvgInt => State::Ints(IntSums::new(cells)),
                Kind::SumFloat | Kind::AvgFloat => State::Floats(vec![FloatSum::default(); cells]),
                Kind::MinInt | Kind::MaxInt | Kind::MinFloat | Kind::MaxFloat => {
                    State::Extremes(vec![Extreme::default(); cells])
                }
            })
            .collect();
        States {
            rows: vec![0; cells],
            aggs,
        }
    }

    pub fn update(
        &mut self,
        shape: &Shape,
        batch: &ScanBatch,
        located: &[u32],
        kept: Option<&[bool]>,
    ) {
        let keep = |i: usize| kept.is_none_or(|k| k[i]);
        for (i, c) in located.iter().enumerate() {
            self.rows[*c as usize] += u64::from(keep(i));
        }
        for (agg, state) in shape.aggs.iter().zip(&mut self.aggs) {
            if agg.kind == Kind::Rows {
                continue;
            }
            let Some(vector) = batch.columns[agg.column].as_ref() else {
                continue;
            };
            let plain = vector.validity.is_none() && kept.is_none();
            let ok = |i: usize| plain || (keep(i) && vector.is_valid(i));
            match (state, &vector.values) {
                (State::Count(n), _) => {
                    for (i, c) in located.iter().enumerate() {
                        n[*c as usize] += u64::from(ok(i));
                    }
                }
                (State::Ints(s), VectorValues::Int(v)) => {
                    for (i, (c, x)) in located.iter().zip(v).enumerate() {
                        if ok(i) {
                            s.add(*c, *x, 1);
                        }
                    }
                }
                (State::Floats(s), VectorValues::Float(v)) => {
                    feed(located, v, s, ok, FloatSum::add);
                }
                (State::Extremes(s), VectorValues::Int(v)) => match agg.kind {
                    Kind::MinInt => feed(located, v, s, ok, Extreme::min),
                    _ => feed(located, v, s, ok, Extreme::max),
                },
                (State::Extremes(s), VectorValues::Float(v)) => match agg.kind {
                    Kind::MinFloat => feed(located, v, s, ok, |s, x| s.min(float_order(x))),
                    _ => feed(located, v, s, ok, |s, x| s.max(float_order(x))),
                },
                _ => {}
            }
        }
    }

    pub fn merge(&mut self, shape: &Shape, other: &States) {
        for (a, b) in self.rows.iter_mut().zip(&other.rows) {
            *a += b;
        }
        for ((agg, mine), theirs) in shape.aggs.iter().zip(&mut self.aggs).zip(&other.aggs) {
            match (mine, theirs) {
                (State::Count(a), State::Count(b)) => {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a += b)
                }
                (State::Ints(a), State::Ints(b)) => a.merge(b),
                (State::Floats(a), State::Floats(b)) => {
                    a.iter_mut().zip(b).for_each(|(a, b)| a.merge(b))
                }
                (State::Extremes(a), State::Extremes(b)) => {
                    let seen = a.iter_mut().zip(b).filter(|(_, b)| b.seen);
                    seen.for_each(|(a, b)| match agg.kind {
                        Kind::MinInt | Kind::MinFloat => a.min(b.value),
                        _ => a.max(b.value),
                    });
                }
                _ => {}
            }
        }
    }
}

#[inline]
fn feed<S, X: Copy>(
    located: &[u32],
    values: &[X],
    states: &mut [S],
    ok: impl Fn(usize) -> bool,
    add: impl Fn(&mut S, X),
) {
    for (i, (c, x)) in located.iter().zip(values).enumerate() {
        if ok(i) {
            add(&mut states[*c as usize], *x);
        }
    }
}

/// Which rows pass the comparisons of fields; `None` means all of them.
pub(super) fn residual<'k>(
    tests: &[(usize, ZoneOp, ZoneValue)],
    batch: &ScanBatch,
    kept: &'k mut Vec<bool>,
) -> Option<&'k [bool]> {
    if tests.is_empty() {
        return None;
    }
    kept.clear();
    kept.resize(batch.rows, true);
    for (column, op, constant) in tests {
        let Some(vector) = &batch.columns[*column] else {
            kept.fill(false);
            break;
        };
        match (&vector.values, constant) {
            (VectorValues::Int(v), ZoneValue::Int(k)) => {
                test(kept, vector, v, |x| holds(*op, x.cmp(k)))
            }
            (VectorValues::Float(v), ZoneValue::Float(k)) => {
                test(kept, vector, v, |x| holds(*op, x.total_cmp(k)))
            }
            _ => kept.fill(false),
        }
    }
    Some(kept)
}

fn test<X>(kept: &mut [bool], vector: &Vector, values: &[X], holds: impl Fn(&X) -> bool) {
    for (i, x) in values.iter().enumerate() {
        kept[i] &= vector.is_valid(i) && holds(x);
    }
}

fn holds(op: ZoneOp, order: std::cmp::Ordering) -> bool {
    match op {
        ZoneOp::Eq => order.is_eq(),
        ZoneOp::Lt => order.is_lt(),
        ZoneOp::LtEq => order.is_le(),
        ZoneOp::Gt => order.is_gt(),
        ZoneOp::GtEq => order.is_ge(),
    }
}
