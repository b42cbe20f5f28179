//! Data points of the five kinds: fields, checks, and the row's values.

use crate::metric::letter::shown;
use crate::metric::text::{push_list, push_number};
use crate::metric::{Cell, Column, Fault, MetricReason};
use crate::remote_write::push_buckets;
use crate::wire::{Malformed, Reader, Value};

/// Buckets, bounds or quantiles of a point at most.
const MAX_BUCKETS: usize = 65_536;
/// The flag of a point that says that there was no value.
const NO_VALUE: u32 = 1;
/// Prometheus' mark of a series that ended, which is what such a point says.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// What kind of metric a point is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

impl Kind {
    /// By the number of its field in a `Metric`.
    pub fn of(number: u32) -> Option<Kind> {
        Some(match number {
            5 => Kind::Gauge,
            7 => Kind::Sum,
            9 => Kind::Histogram,
            10 => Kind::Exponential,
            11 => Kind::Summary,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Sum => "sum",
            Kind::Histogram => "histogram",
            Kind::Exponential => "exponential_histogram",
            Kind::Summary => "summary",
        }
    }

    /// The number of a point's attributes.
    fn attributes(self) -> u32 {
        match self {
            Kind::Gauge | Kind::Sum | Kind::Summary => 7,
            Kind::Histogram => 9,
            Kind::Exponential => 1,
        }
    }

    fn exemplars(self) -> Option<u32> {
        match self {
            Kind::Gauge | Kind::Sum => Some(5),
            Kind::Histogram => Some(8),
            Kind::Exponential => Some(11),
            Kind::Summary => None,
        }
    }
}

/// Buckets of one sign of an exponential histogram.
#[derive(Default)]
struct Side {
    offset: i32,
    counts: Vec<u64>,
}

/// A point of any kind; what its kind does not have stays empty.
#[derive(Default)]
pub(super) struct Point<'a> {
    start: u64,
    time: u64,
    value: Option<f64>,
    count: u64,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    flags: u32,
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    counts: Vec<u64>,
    bounds: Vec<f64>,
    positive: Side,
    negative: Side,
    quantiles: Vec<(f64, f64)>,
    too_many: bool,
    /// Its exemplars.
    pub exemplars: Vec<Reader<'a>>,
    buckets: String,
    limits: String,
}

impl<'a> Point<'a> {
    /// Reads a point and appends its attributes, raw, to `key`.
    pub fn read(kind: Kind, bytes: &'a [u8], key: &mut Vec<u8>) -> Result<Point<'a>, Malformed> {
        let mut point = Point::default();
        let mut message = Reader::new(bytes);
        loop {
            let before = message.rest();
            let Some((number, value)) = message.next()? else {
                return Ok(point);
            };
            if number == kind.attributes() {
                key.extend_from_slice(&before[..before.len() - message.rest().len()]);
            } else if Some(number) == kind.exemplars() {
                point.exemplars.push(value.message()?);
            } else {
                point.field(kind, number, value)?;
            }
        }
    }

    fn field(&mut self, kind: Kind, number: u32, value: Value<'a>) -> Result<(), Malformed> {
        match (kind, number) {
            (_, 2) => self.start = value.fixed64()?,
            (_, 3) => self.time = value.fixed64()?,
            (Kind::Gauge | Kind::Sum, 4) => self.value = Some(value.f64()?),
            (Kind::Gauge | Kind::Sum, 6) => self.value = Some(value.fixed64()? as i64 as f64),
            (Kind::Gauge | Kind::Sum | Kind::Summary, 8) => self.flags = value.u32()?,
            (Kind::Histogram | Kind::Exponential, 10) => self.flags = value.u32()?,
            (_, 4) => self.count = value.fixed64()?,
            (_, 5) => self.sum = Some(value.f64()?),
            (Kind::Histogram, 6) => {
                let (list, too_many) = (&mut self.counts, &mut self.too_many);
                Reader::fixed64s(value, |v| {
                    push(list, v, too_many);
                    Ok(())
                })?;
            }
            (Kind::Histogram, 7) => {
                let (list, too_many) = (&mut self.bounds, &mut self.too_many);
                Reader::fixed64s(value, |v| {
                    push(list, f64::from_bits(v), too_many);
                    Ok(())
                })?;
            }
            (Kind::Histogram, 11) | (Kind::Exponential, 12) => self.min = Some(value.f64()?),
            (Kind::Histogram, 12) | (Kind::Exponential, 13) => self.max = Some(value.f64()?),
            (Kind::Exponential, 6) => self.scale = value.sint32()?,
            (Kind::Exponential, 7) => self.zero_count = value.fixed64()?,
            (Kind::Exponential, 8) => self.positive.read(value, &mut self.too_many)?,
            (Kind::Exponential, 9) => self.negative.read(value, &mut self.too_many)?,
            (Kind::Exponential, 14) => self.zero_threshold = value.f64()?,
            (Kind::Summary, 6) => {
                let (mut quantile, mut of) = (0.0, 0.0);
                let mut message = value.message()?;
                while let Some((number, value)) = message.next()? {
                    match number {
                        1 => quantile = value.f64()?,
                        2 => of = value.f64()?,
                        _ => {}
                    }
                }
                push(&mut self.quantiles, (quantile, of), &mut self.too_many);
            }
            _ => {}
        }
        Ok(())
    }

    /// Its time, in nanoseconds.
    pub fn time(&self) -> Result<i64, MetricReason> {
        if self.time == 0 {
            return Err(MetricReason::Invalid("the point has no time"));
        }
        i64::try_from(self.time)
            .map_err(|_| MetricReason::Invalid("the point's time is out of range"))
    }

    /// The values of its row.
    pub fn values(&mut self, kind: Kind) -> Result<Vec<(Column, Cell<'_>)>, Fault> {
        if self.too_many {
            return Err(MetricReason::TooMany("buckets in a point", MAX_BUCKETS).into());
        }
        // They may be asked for twice: a letter has them, too.
        self.buckets.clear();
        self.limits.clear();
        let none = self.flags & NO_VALUE != 0;
        let mut values = Vec::with_capacity(10);
        match i64::try_from(self.start) {
            Ok(0) => {}
            Ok(start) => values.push((Column::StartTime, Cell::I64(start))),
            Err(_) => {
                return Err(MetricReason::Invalid("the point's start is out of range").into());
            }
        }
        match kind {
            Kind::Gauge | Kind::Sum => {
                let value = self.value.or(none.then_some(STALE));
                let value = value.ok_or(MetricReason::Invalid("the point has no value"))?;
                values.push((Column::Value, Cell::F64(value)));
            }
            Kind::Summary => {
                let sum = if none { STALE } else { self.sum.unwrap_or(0.0) };
                let pair = |(quantile, value), out: &mut String| {
                    push_list([quantile, value], out, push_number);
                };
                push_list(self.quantiles.iter().copied(), &mut self.buckets, pair);
                values.push((Column::SummaryCount, Cell::F64(self.count as f64)));
                values.push((Column::SummarySum, Cell::F64(sum)));
                values.push((Column::SummaryQuantiles, Cell::Text(&self.buckets)));
            }
            Kind::Histogram => {
                self.check_bounds()?;
                values.push((Column::HistogramCount, Cell::F64(self.count as f64)));
                let counts = self.counts.iter().map(|c| *c as f64);
                if !self.counts.is_empty() {
                    push_list(counts, &mut self.buckets, push_number);
                    push_list(self.bounds.iter().copied(), &mut self.limits, push_number);
                    values.push((Column::HistogramBuckets, Cell::Text(&self.buckets)));
                    values.push((Column::HistogramBounds, Cell::Text(&self.limits)));
                }
            }
            Kind::Exponential => {
                self.positive.check()?;
                self.negative.check()?;
                let [positive, negative] = [&self.positive, &self.negative].map(Side::buckets);
                push_buckets(positive, negative, &mut self.buckets);
                values.push((Column::HistogramCount, Cell::F64(self.count as f64)));
                values.push((Column::HistogramSchema, Cell::I64(self.scale.into())));
                values.push((
                    Column::HistogramZeroCount,
                    Cell::F64(self.zero_count as f64),
                ));
                let threshold = Cell::F64(self.zero_threshold);
                values.push((Column::HistogramZeroThreshold, threshold));
                values.push((Column::HistogramBuckets, Cell::Text(&self.buckets)));
            }
        }
        if matches!(kind, Kind::Histogram | Kind::Exponential) {
            let sum = if none { Some(STALE) } else { self.sum };
            let all = [
                (Column::HistogramSum, sum),
                (Column::HistogramMin, self.min),
                (Column::HistogramMax, self.max),
            ];
            values.extend(all.iter().filter_map(|(c, v)| Some((*c, Cell::F64((*v)?)))));
        }
        Ok(values)
    }

    fn check_bounds(&self) -> Result<(), MetricReason> {
        let fits = self.counts.is_empty() && self.bounds.is_empty();
        if !fits && self.counts.len() != self.bounds.len() + 1 {
            return Err(MetricReason::Invalid(
                "a histogram has one bucket more than bounds",
            ));
        }
        if !self.bounds.windows(2).all(|w| w[0] < w[1]) || self.bounds.iter().any(|b| b.is_nan()) {
            return Err(MetricReason::Invalid("a histogram's bounds must rise"));
        }
        Ok(())
    }

    /// It in a few words, for a dead letter.
    pub fn shown(&self, kind: Kind) -> String {
        let (name, time) = (kind.name(), self.time);
        let number = |v: Option<f64>| v.map_or_else(|| "none".to_owned(), shown);
        let since = match self.start {
            0 => String::new(),
            start => format!(" since {start} ns"),
        };
        match kind {
            Kind::Gauge | Kind::Sum => {
                let value = number(self.value);
                format!("{name} of value {value} at {time} ns{since}")
            }
            _ => {
                let (count, sum) = (self.count, number(self.sum));
                format!("{name} of {count} with sum {sum} at {time} ns{since}")
            }
        }
    }
}

impl Side {
    fn read(&mut self, value: Value<'_>, too_many: &mut bool) -> Result<(), Malformed> {
        let mut message = value.message()?;
        while let Some((number, value)) = message.next()? {
            match number {
                1 => self.offset = value.sint32()?,
                2 => Reader::varints(value, |v| {
                    push(&mut self.counts, v, too_many);
                    Ok(())
                })?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), MetricReason> {
        // One more, because an index names a bucket's upper bound.
        let last = i64::from(self.offset) + self.counts.len() as i64 + 1;
        if i32::try_from(last).is_err() {
            return Err(MetricReason::Invalid(
                "a histogram's bucket is out of range",
            ));
        }
        Ok(())
    }

    /// Prometheus numbers a bucket by its upper bound, OTLP by its lower.
    fn buckets(&self) -> impl Iterator<Item = (i32, f64)> {
        let first = self.offset.wrapping_add(1);
        let at = move |i: usize| first.wrapping_add(i as i32);
        self.counts
            .iter()
            .enumerate()
            .map(move |(i, c)| (at(i), *c as f64))
    }
}

fn push<T>(list: &mut Vec<T>, item: T, too_many: &mut bool) {
    *too_many |= list.len() == MAX_BUCKETS;
    if !*too_many {
        list.push(item);
    }
}

/// An exemplar's value and time, with its labels raw.
pub(super) struct Exemplar<'a> {
    time: u64,
    pub value: f64,
    pub trace: &'a [u8],
    pub span: &'a [u8],
    pub attributes: Vec<Reader<'a>>,
}

impl<'a> Exemplar<'a> {
    /// Its own time, if it has one.
    pub fn time(&self) -> Option<i64> {
        i64::try_from(self.time).ok().filter(|t| *t > 0)
    }

    /// It in a few words, for a dead letter.
    pub fn shown(&self) -> String {
        format!("exemplar {} at {} ns", shown(self.value), self.time)
    }

    pub fn read(mut message: Reader<'a>) -> Result<Exemplar<'a>, Malformed> {
        let mut exemplar = Exemplar {
            time: 0,
            value: 0.0,
            trace: &[],
            span: &[],
            attributes: Vec::new(),
        };
        while let Some((number, value)) = message.next()? {
            match number {
                2 => exemplar.time = value.fixed64()?,
                3 => exemplar.value = value.f64()?,
                4 => exemplar.span = value.bytes()?,
                5 => exemplar.trace = value.bytes()?,
                6 => exemplar.value = value.fixed64()? as i64 as f64,
                7 => exemplar.attributes.push(value.message()?),
                _ => {}
            }
        }
        Ok(exemplar)
    }
}
