//! The states of all groups, one slot each, fed column by column.

use super::shape::{Kind, Shape};
use tsdb::{ScanBatch, Vector, VectorValues, ZoneOp, ZoneValue};

/// The states of all cells for one thread.
pub(super) struct States {
    pub rows: Vec<u64>,
    pub aggs: Vec<State>,
    pub overflow: bool,
}

pub(super) enum State {
    Rows,
    Count(Vec<u64>),
    Int { value: Vec<i64>, seen: Vec<u64> },
    Float { value: Vec<f64>, seen: Vec<u64> },
}

impl States {
    pub fn new(shape: &Shape, cells: usize) -> States {
        let int = |v: i64| State::Int {
            value: vec![v; cells],
            seen: vec![0; cells],
        };
        let float = |v: f64| State::Float {
            value: vec![v; cells],
            seen: vec![0; cells],
        };
        let aggs = shape
            .aggs
            .iter()
            .map(|a| match a.kind {
                Kind::Rows => State::Rows,
                Kind::Count => State::Count(vec![0; cells]),
                Kind::SumInt => int(0),
                Kind::MinInt => int(i64::MAX),
                Kind::MaxInt => int(i64::MIN),
                Kind::SumFloat | Kind::Avg => float(0.0),
                Kind::MinFloat => float(f64::INFINITY),
                Kind::MaxFloat => float(f64::NEG_INFINITY),
            })
            .collect();
        States {
            rows: vec![0; cells],
            aggs,
            overflow: false,
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
                (State::Int { value, seen }, VectorValues::Int(v)) => {
                    let overflow = &mut self.overflow;
                    match agg.kind {
                        Kind::SumInt => fold(located, v, seen, value, ok, |a, x| {
                            let (sum, over) = a.overflowing_add(x);
                            *overflow |= over;
                            sum
                        }),
                        Kind::MinInt => fold(located, v, seen, value, ok, i64::min),
                        _ => fold(located, v, seen, value, ok, i64::max),
                    }
                }
                (State::Float { value, seen }, VectorValues::Int(v)) => {
                    fold(located, v, seen, value, ok, |a, x| a + x as f64);
                }
                (State::Float { value, seen }, VectorValues::Float(v)) => match agg.kind {
                    // NaN is the greatest value, as in every comparison of floats here.
                    Kind::MinFloat => fold(located, v, seen, value, ok, least),
                    Kind::MaxFloat => fold(located, v, seen, value, ok, greatest),
                    _ => fold(located, v, seen, value, ok, |a, x| a + x),
                },
                _ => {}
            }
        }
    }

    pub fn merge(&mut self, shape: &Shape, other: &States) {
        for (a, b) in self.rows.iter_mut().zip(&other.rows) {
            *a += b;
        }
        self.overflow |= other.overflow;
        for ((agg, mine), theirs) in shape.aggs.iter().zip(&mut self.aggs).zip(&other.aggs) {
            match (mine, theirs) {
                (State::Count(a), State::Count(b)) => {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a += b)
                }
                (State::Int { value, seen }, State::Int { value: v, seen: s }) => {
                    for (i, (a, b)) in value.iter_mut().zip(v).enumerate() {
                        *a = match agg.kind {
                            Kind::SumInt => {
                                let (sum, over) = a.overflowing_add(*b);
                                self.overflow |= over;
                                sum
                            }
                            Kind::MinInt => (*a).min(*b),
                            _ => (*a).max(*b),
                        };
                        seen[i] += s[i];
                    }
                }
                (State::Float { value, seen }, State::Float { value: v, seen: s }) => {
                    for (i, (a, b)) in value.iter_mut().zip(v).enumerate() {
                        *a = match agg.kind {
                            Kind::MinFloat => least(*a, *b),
                            Kind::MaxFloat => greatest(*a, *b),
                            _ => *a + *b,
                        };
                        seen[i] += s[i];
                    }
                }
                _ => {}
            }
        }
    }
}

fn least(a: f64, b: f64) -> f64 {
    if b.total_cmp(&a).is_lt() { b } else { a }
}

fn greatest(a: f64, b: f64) -> f64 {
    if b.total_cmp(&a).is_gt() { b } else { a }
}

#[inline]
fn fold<A: Copy, X: Copy>(
    located: &[u32],
    values: &[X],
    seen: &mut [u64],
    state: &mut [A],
    ok: impl Fn(usize) -> bool,
    mut f: impl FnMut(A, X) -> A,
) {
    for (i, (c, x)) in located.iter().zip(values).enumerate() {
        if ok(i) {
            let c = *c as usize;
            state[c] = f(state[c], *x);
            seen[c] += 1;
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
