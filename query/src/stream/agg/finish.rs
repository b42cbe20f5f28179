//! From states to result columns, and to bytes and back.

use super::accumulator::Accumulator;
use super::heavy::{Heavy, List, percentile};
use super::number::{Extreme, FloatSum, IntSum, Moments, float_from_order};
use super::order::Entry;
use super::sketch::Sketch;
use super::slots::Slots;
use super::value::{Value, build_array};
use crate::bind::windowed::AggFunc;
use crate::stream::StreamError;
use crate::stream::codec::{Reader, Writer};
use crate::stream::input::Kind;
use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use std::ops::Range;
use std::sync::Arc;

impl Accumulator {
    /// The results of these groups.
    pub fn finish(&self, at: &[u32]) -> Result<ArrayRef, StreamError> {
        let func = self.arg.func;
        let floats = |f: &dyn Fn(usize) -> Option<f64>| -> Result<ArrayRef, StreamError> {
            let array: ArrayRef =
                Arc::new(at.iter().map(|g| f(*g as usize)).collect::<Float64Array>());
            self.cast(array)
        };
        let ints = |f: &dyn Fn(usize) -> i64| -> Result<ArrayRef, StreamError> {
            let array: ArrayRef = Arc::new(Int64Array::from_iter_values(
                at.iter().map(|g| f(*g as usize)),
            ));
            self.cast(array)
        };
        match &self.slots {
            Slots::Count(v) => ints(&|g| v[g] as i64),
            Slots::Distinct(v) => ints(&|g| match &v[g] {
                Heavy::Live(set) => set.len() as i64,
                Heavy::Frozen(n) => *n as i64,
            }),
            Slots::Floats(v) => floats(&|g| {
                let s = &v[g];
                match func {
                    _ if s.count == 0 => None,
                    AggFunc::Avg => Some(s.total() / s.count as f64),
                    _ => Some(s.total()),
                }
            }),
            Slots::Ints(v) => self.finish_ints(v, at),
            Slots::Extremes(v) => {
                let values: Vec<Option<Value>> = at
                    .iter()
                    .map(|g| {
                        let e = v[*g as usize];
                        e.seen.then(|| match self.arg.kind {
                            Kind::Float => Value::float(float_from_order(e.value)),
                            Kind::UInt => Value::Int(e.value ^ i64::MIN),
                            _ => Value::Int(e.value),
                        })
                    })
                    .collect();
                build_array(values.iter().map(Option::as_ref), &self.arg.target)
            }
            Slots::Values(v) => {
                build_array(at.iter().map(|g| v[*g as usize].as_ref()), &self.arg.target)
            }
            Slots::Ends(v) => build_array(
                at.iter().map(|g| v[*g as usize].as_ref().map(|e| &e.value)),
                &self.arg.target,
            ),
            Slots::Moments(v) => floats(&|g| match func {
                AggFunc::VarSample => v[g].variance(1),
                AggFunc::VarPopulation => v[g].variance(0),
                AggFunc::StddevSample => v[g].variance(1).map(f64::sqrt),
                _ => v[g].variance(0).map(f64::sqrt),
            }),
            Slots::Sketches(v) => floats(&|g| match func {
                AggFunc::ApproxPercentile(p) => v[g].percentile(p),
                _ => None,
            }),
            Slots::All(v) => floats(&|g| match (&v[g], func) {
                (Heavy::Live(all), AggFunc::Percentile(p)) => percentile(all, p),
                (Heavy::Frozen(result), _) => *result,
                _ => None,
            }),
            Slots::Lists(v) => self.finish_lists(v, at),
        }
    }

    fn cast(&self, array: ArrayRef) -> Result<ArrayRef, StreamError> {
        if *array.data_type() == self.arg.target {
            return Ok(array);
        }
        Ok(arrow::compute::cast(&array, &self.arg.target)?)
    }

    fn overflow(&self) -> StreamError {
        StreamError::Overflow {
            column: self.arg.name.clone(),
            data_type: self.arg.target.to_string(),
        }
    }

    fn finish_ints(&self, v: &[IntSum], at: &[u32]) -> Result<ArrayRef, StreamError> {
        let scale = match self.arg.kind {
            Kind::Decimal(scale) => i32::from(scale),
            _ => 0,
        };
        let average = self.arg.func == AggFunc::Avg;
        if average && !matches!(self.arg.target, DataType::Decimal128(..)) {
            let unit = 10f64.powi(scale);
            let array: ArrayRef = Arc::new(
                at.iter()
                    .map(|g| {
                        let s = v[*g as usize];
                        (s.count > 0).then(|| s.sum as f64 / s.count as f64 / unit)
                    })
                    .collect::<Float64Array>(),
            );
            return self.cast(array);
        }
        let mut out = Vec::with_capacity(at.len());
        for g in at {
            let s = v[*g as usize];
            if s.count == 0 {
                out.push(None);
                continue;
            }
            let exact = if average {
                self.average(s, scale)?
            } else {
                s.sum
            };
            out.push(Some(match self.arg.target {
                DataType::Decimal128(precision, _) => {
                    let limit = 10i128.pow(u32::from(precision.min(38)));
                    if exact <= -limit || exact >= limit {
                        return Err(self.overflow());
                    }
                    Value::Wide(exact)
                }
                DataType::UInt64 => {
                    Value::Int(u64::try_from(exact).map_err(|_| self.overflow())? as i64)
                }
                DataType::Float64 => Value::float(exact as f64 / 10f64.powi(scale)),
                _ => Value::Int(i64::try_from(exact).map_err(|_| self.overflow())?),
            }));
        }
        build_array(out.iter().map(Option::as_ref), &self.arg.target)
    }

    /// A decimal average: cut, not rounded, behind the target's last digit.
    fn average(&self, s: IntSum, scale: i32) -> Result<i128, StreamError> {
        let DataType::Decimal128(_, target) = self.arg.target else {
            return Ok(s.sum);
        };
        let more = u32::try_from(i32::from(target) - scale).map_err(|_| self.overflow())?;
        10i128
            .checked_pow(more)
            .and_then(|m| s.sum.checked_mul(m))
            .map(|sum| sum / i128::from(s.count))
            .ok_or_else(|| self.overflow())
    }

    fn finish_lists(&self, v: &[List], at: &[u32]) -> Result<ArrayRef, StreamError> {
        let DataType::List(field) = &self.arg.target else {
            return Err(StreamError::Unsupported(format!(
                "'{}': a list can't become {}",
                self.arg.name, self.arg.target
            )));
        };
        let lengths: Vec<usize> = at.iter().map(|g| v[*g as usize].values().count()).collect();
        let values = build_array(
            at.iter().flat_map(|g| v[*g as usize].values()).map(Some),
            field.data_type(),
        )?;
        let nulls = NullBuffer::from_iter(lengths.iter().map(|n| *n > 0));
        Ok(Arc::new(ListArray::try_new(
            field.clone(),
            OffsetBuffer::from_lengths(lengths),
            values,
            Some(nulls),
        )?))
    }

    /// Writes the states of these groups.
    pub fn encode(&self, at: &[u32], out: &mut Writer) {
        for g in at.iter().map(|g| *g as usize) {
            match &self.slots {
                Slots::Count(v) => out.u64(v[g]),
                Slots::Ints(v) => {
                    out.i128(v[g].sum);
                    out.u64(v[g].count);
                }
                Slots::Floats(v) => {
                    out.f64(v[g].sum);
                    out.f64(v[g].lost);
                    out.u64(v[g].count);
                }
                Slots::Extremes(v) => {
                    out.i64(v[g].value);
                    out.u8(u8::from(v[g].seen));
                }
                Slots::Values(v) => out.option(v[g].as_ref()),
                Slots::Ends(v) => match &v[g] {
                    None => out.u8(0),
                    Some(e) => {
                        out.u8(1);
                        encode_entry(e, out);
                    }
                },
                Slots::Moments(v) => {
                    out.u64(v[g].count);
                    out.f64(v[g].mean);
                    out.f64(v[g].m2);
                }
                Slots::Sketches(v) => v[g].encode(out),
                Slots::Distinct(v) => match &v[g] {
                    Heavy::Live(set) => {
                        out.u8(0);
                        out.len(set.len());
                        set.iter().for_each(|v| out.value(v));
                    }
                    Heavy::Frozen(n) => {
                        out.u8(1);
                        out.u64(*n);
                    }
                },
                Slots::All(v) => match &v[g] {
                    Heavy::Live(all) => {
                        out.u8(0);
                        out.len(all.len());
                        all.iter().for_each(|v| out.f64(*v));
                    }
                    Heavy::Frozen(result) => {
                        out.u8(1);
                        out.u8(u8::from(result.is_some()));
                        out.f64(result.unwrap_or(0.0));
                    }
                },
                Slots::Lists(v) => {
                    out.u8(u8::from(v[g].cut));
                    match v[g].entries() {
                        Heavy::Live(entries) => {
                            out.u8(0);
                            out.len(entries.len());
                            entries.iter().for_each(|e| encode_entry(e, out));
                        }
                        Heavy::Frozen(values) => {
                            out.u8(1);
                            out.len(values.len());
                            values.iter().for_each(|v| out.value(v));
                        }
                    }
                }
            }
        }
    }

    /// Reads what [`Accumulator::encode`] wrote, as the states of these groups.
    pub fn decode(&mut self, at: Range<usize>, r: &mut Reader<'_>) -> Result<(), StreamError> {
        let flag = |r: &mut Reader<'_>| match r.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StreamError::State("a flag is neither 0 nor 1")),
        };
        self.grow(at.end);
        for g in at {
            match &mut self.slots {
                Slots::Count(v) => v[g] = r.u64()?,
                Slots::Ints(v) => {
                    v[g] = IntSum {
                        sum: r.i128()?,
                        count: r.u64()?,
                    };
                }
                Slots::Floats(v) => {
                    v[g] = FloatSum {
                        sum: r.f64()?,
                        lost: r.f64()?,
                        count: r.u64()?,
                    };
                }
                Slots::Extremes(v) => {
                    v[g] = Extreme {
                        value: r.i64()?,
                        seen: flag(r)?,
                    };
                }
                Slots::Values(v) => v[g] = r.option()?,
                Slots::Ends(v) => {
                    v[g] = if flag(r)? {
                        Some(decode_entry(r)?)
                    } else {
                        None
                    };
                }
                Slots::Moments(v) => {
                    v[g] = Moments {
                        count: r.u64()?,
                        mean: r.f64()?,
                        m2: r.f64()?,
                    };
                }
                Slots::Sketches(v) => v[g] = Sketch::decode(r)?,
                Slots::Distinct(v) => {
                    v[g] = if flag(r)? {
                        Heavy::Frozen(r.u64()?)
                    } else {
                        let n = r.len(9)?;
                        Heavy::Live((0..n).map(|_| r.value()).collect::<Result<_, _>>()?)
                    };
                }
                Slots::All(v) => {
                    v[g] = if flag(r)? {
                        let some = flag(r)?;
                        let result = r.f64()?;
                        Heavy::Frozen(some.then_some(result))
                    } else {
                        let n = r.len(8)?;
                        Heavy::Live((0..n).map(|_| r.f64()).collect::<Result<_, _>>()?)
                    };
                }
                Slots::Lists(v) => {
                    let cut = flag(r)?;
                    let entries = if flag(r)? {
                        let n = r.len(9)?;
                        Heavy::Frozen((0..n).map(|_| r.value()).collect::<Result<_, _>>()?)
                    } else {
                        let n = r.len(21)?;
                        Heavy::Live((0..n).map(|_| decode_entry(r)).collect::<Result<_, _>>()?)
                    };
                    v[g] = List::restore(entries, cut);
                }
            }
        }
        Ok(())
    }
}

fn encode_entry(e: &Entry, out: &mut Writer) {
    out.i64(e.time);
    out.u32(e.series);
    out.value(&e.value);
}

fn decode_entry(r: &mut Reader<'_>) -> Result<Entry, StreamError> {
    Ok(Entry {
        time: r.i64()?,
        series: r.u32()?,
        value: r.value()?,
    })
}
