//! Native histograms: read, checked, and as the columns that they are stored in. Both versions have the same message.

use super::nanos;
use crate::metric::letter::shown;
use crate::metric::text::{push_list, push_number};
use crate::metric::{Cell, Column, MetricReason};
use crate::wire::{Malformed, Reader, Value, zigzag};
use std::fmt::{Display, Formatter};

/// Buckets, and spans of them, that a histogram may have.
const MAX_BUCKETS: usize = 65_536;

/// The buckets of one sign, as they come.
#[derive(Default)]
struct Side {
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
    /// Index and count of each bucket.
    buckets: Vec<(i32, f64)>,
}

/// A histogram. It is used again for the next one.
#[derive(Default)]
pub(crate) struct Histogram {
    is_float: bool,
    count: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    reset_hint: u64,
    timestamp: i64,
    start: i64,
    positive: Side,
    negative: Side,
    bounds: Vec<f64>,
    too_many: bool,
    bucket_text: String,
    bound_text: String,
}

impl Side {
    fn clear(&mut self) {
        self.spans.clear();
        self.deltas.clear();
        self.counts.clear();
        self.buckets.clear();
    }

    /// Gives each count its index.
    fn place(&mut self, is_float: bool) -> Result<(), MetricReason> {
        let given = if is_float {
            self.counts.len()
        } else {
            self.deltas.len()
        };
        let spanned: u64 = self.spans.iter().map(|s| u64::from(s.1)).sum();
        if spanned != given as u64 {
            return Err(MetricReason::Invalid(
                "a histogram's spans do not cover its buckets",
            ));
        }
        let out_of_range = MetricReason::Invalid("a histogram's bucket is out of range");
        let (mut index, mut at, mut sum) = (0i32, 0, 0i64);
        for (i, (offset, length)) in self.spans.iter().enumerate() {
            if i > 0 && *offset < 0 {
                return Err(MetricReason::Invalid("a histogram's spans overlap"));
            }
            index = index.checked_add(*offset).ok_or(out_of_range.clone())?;
            for _ in 0..*length {
                let count = if is_float {
                    self.counts[at]
                } else {
                    sum = sum
                        .checked_add(self.deltas[at])
                        .ok_or(out_of_range.clone())?;
                    sum as f64
                };
                if count < 0.0 {
                    return Err(MetricReason::Invalid("a histogram's bucket is negative"));
                }
                at += 1;
                self.buckets.push((index, count));
                index = index.checked_add(1).ok_or(out_of_range.clone())?;
            }
        }
        Ok(())
    }
}

/// Buckets by index, as JSON; empty ones are left out.
pub(crate) fn push_buckets(
    positive: impl Iterator<Item = (i32, f64)>,
    negative: impl Iterator<Item = (i32, f64)>,
    out: &mut String,
) {
    let bucket = |(index, count): (i32, f64), out: &mut String| {
        out.push('[');
        push_number(f64::from(index), out);
        out.push(',');
        push_number(count, out);
        out.push(']');
    };
    out.push_str("{\"positive\":");
    push_list(positive.filter(|b| b.1 != 0.0), out, bucket);
    let mut negative = negative.filter(|b| b.1 != 0.0).peekable();
    if negative.peek().is_some() {
        out.push_str(",\"negative\":");
        push_list(negative, out, bucket);
    }
    out.push('}');
}

impl Histogram {
    /// Reads a message in place of what was there.
    ///
    /// # Errors
    /// [`Malformed`] spoils the request.
    pub fn read(&mut self, mut message: Reader<'_>) -> Result<(), Malformed> {
        self.clear();
        while let Some((number, value)) = message.next()? {
            match number {
                1 => self.count = value.u64()? as f64,
                2 => (self.count, self.is_float) = (value.f64()?, true),
                3 => self.sum = value.f64()?,
                4 => self.schema = value.sint32()?,
                5 => self.zero_threshold = value.f64()?,
                6 => self.zero_count = value.u64()? as f64,
                7 => self.zero_count = value.f64()?,
                8 => span(&mut self.negative, value, &mut self.too_many)?,
                9 => deltas(&mut self.negative, value, &mut self.too_many)?,
                10 => doubles(&mut self.negative.counts, value, &mut self.too_many)?,
                11 => span(&mut self.positive, value, &mut self.too_many)?,
                12 => deltas(&mut self.positive, value, &mut self.too_many)?,
                13 => doubles(&mut self.positive.counts, value, &mut self.too_many)?,
                14 => self.reset_hint = value.u64()?,
                15 => self.timestamp = value.i64()?,
                16 => doubles(&mut self.bounds, value, &mut self.too_many)?,
                17 => self.start = value.i64()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.positive.clear();
        self.negative.clear();
        self.bounds.clear();
        self.bucket_text.clear();
        self.bound_text.clear();
        (self.is_float, self.too_many) = (false, false);
        (self.count, self.sum, self.schema) = (0.0, 0.0, 0);
        (self.zero_threshold, self.zero_count) = (0.0, 0.0);
        (self.reset_hint, self.timestamp, self.start) = (0, 0, 0);
    }

    /// Time and values of its row; `created` is since when the series counts, in milliseconds or 0.
    pub fn values(&mut self, created: i64) -> Result<(i64, Vec<(Column, Cell<'_>)>), MetricReason> {
        if self.too_many {
            return Err(MetricReason::TooMany("buckets in a histogram", MAX_BUCKETS));
        }
        self.positive.place(self.is_float)?;
        self.negative.place(self.is_float)?;
        let [positive, negative] = [&self.positive, &self.negative].map(|s| s.buckets.iter());
        push_buckets(positive.copied(), negative.copied(), &mut self.bucket_text);
        let mut values = vec![
            (Column::HistogramCount, Cell::F64(self.count)),
            (Column::HistogramSum, Cell::F64(self.sum)),
            (Column::HistogramSchema, Cell::I64(self.schema.into())),
            (
                Column::HistogramZeroThreshold,
                Cell::F64(self.zero_threshold),
            ),
            (Column::HistogramZeroCount, Cell::F64(self.zero_count)),
            (Column::HistogramBuckets, Cell::Text(&self.bucket_text)),
        ];
        if !self.bounds.is_empty() {
            push_list(
                self.bounds.iter().copied(),
                &mut self.bound_text,
                push_number,
            );
            values.push((Column::HistogramBounds, Cell::Text(&self.bound_text)));
        }
        let hint = match self.reset_hint {
            1 => "yes",
            2 => "no",
            3 => "gauge",
            _ => "",
        };
        if !hint.is_empty() {
            values.push((Column::HistogramResetHint, Cell::Text(hint)));
        }
        let start = if self.start != 0 { self.start } else { created };
        if start != 0 {
            values.push((Column::StartTime, Cell::I64(nanos(start)?)));
        }
        Ok((nanos(self.timestamp)?, values))
    }

    /// It in a few words, for a dead letter.
    pub fn words(&self) -> Words {
        Words {
            count: self.count,
            sum: self.sum,
            schema: self.schema,
            timestamp: self.timestamp,
        }
    }
}

/// A histogram in a few words.
pub(crate) struct Words {
    count: f64,
    sum: f64,
    schema: i32,
    timestamp: i64,
}

impl Display for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Words {
            count,
            sum,
            schema,
            timestamp,
        } = self;
        write!(
            f,
            "histogram of {} with sum {}, schema {schema}, at {timestamp} ms",
            shown(*count),
            shown(*sum)
        )
    }
}

fn span(side: &mut Side, value: Value<'_>, too_many: &mut bool) -> Result<(), Malformed> {
    let (mut offset, mut length) = (0, 0);
    let mut message = value.message()?;
    while let Some((number, value)) = message.next()? {
        match number {
            1 => offset = value.sint32()?,
            2 => length = value.u32()?,
            _ => {}
        }
    }
    push(&mut side.spans, (offset, length), too_many);
    Ok(())
}

fn deltas(side: &mut Side, value: Value<'_>, too_many: &mut bool) -> Result<(), Malformed> {
    Reader::varints(value, |v| {
        push(&mut side.deltas, zigzag(v), too_many);
        Ok(())
    })
}

fn doubles(list: &mut Vec<f64>, value: Value<'_>, too_many: &mut bool) -> Result<(), Malformed> {
    Reader::fixed64s(value, |v| {
        push(list, f64::from_bits(v), too_many);
        Ok(())
    })
}

fn push<T>(list: &mut Vec<T>, item: T, too_many: &mut bool) {
    *too_many |= list.len() == MAX_BUCKETS;
    if !*too_many {
        list.push(item);
    }
}
