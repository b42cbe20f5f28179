//! One series of a request: its place, and its samples into rows. Both versions come here.

use super::labels::{self, Label};
use super::nanos;
use crate::admission::Rejection;
use crate::metric::text::{object, push_number};
use crate::metric::{Cell, Column, Fault, MetricReason, Pen, Scratch};
use crate::wire::{Malformed, Reader};
use std::borrow::Cow;

/// A series of a request.
pub(super) struct Series<'k, F> {
    /// Its place in the request, from 1 on.
    pub number: usize,
    /// What its labels are remembered under.
    pub key: &'k [u8],
    /// Takes the labels apart.
    pub labels: F,
    /// Since when it counts, in milliseconds, or 0.
    pub created: i64,
}

/// A sample, times in milliseconds; `start` is 0 when there is none.
#[derive(Default)]
struct Sample {
    value: f64,
    time: i64,
    start: i64,
}

fn sample(mut message: Reader<'_>) -> Result<Sample, Malformed> {
    let mut sample = Sample::default();
    while let Some((number, value)) = message.next()? {
        match number {
            1 => sample.value = value.f64()?,
            2 => sample.time = value.i64()?,
            3 => sample.start = value.i64()?,
            _ => {}
        }
    }
    Ok(sample)
}

impl<'a, F: Fn() -> Result<Vec<Label<'a>>, Fault>> Series<'_, F> {
    /// The entry of its labels, or `None` when they are refused, and with them its `points` points.
    pub fn open(&self, pen: &mut Pen<'_, '_>, points: usize) -> Result<Option<u32>, Rejection> {
        if let Some(entry) = pen.find(self.key) {
            return Ok(Some(entry));
        }
        let resolved = (self.labels)().and_then(|labels| {
            let (metric, tags) = labels::split(&labels)?;
            pen.resolve(self.key, metric, tags)
        });
        match resolved {
            Ok(entry) => Ok(Some(entry)),
            Err(fault) => self.refuse(pen, fault, points, String::new).map(|()| None),
        }
    }

    /// Notes a refusal; `what` tells what is refused, behind the labels.
    pub fn refuse(
        &self,
        pen: &mut Pen<'_, '_>,
        fault: Fault,
        points: usize,
        what: impl FnOnce() -> String,
    ) -> Result<(), Rejection> {
        let labels = (self.labels)().unwrap_or_default();
        let position = format_args!("series {}", self.number);
        let payload = || format!("{} {}", labels::shown(&labels), what());
        pen.refuse(fault, points, labels::metric(&labels), &position, payload)
    }

    /// Appends a sample.
    pub fn sample(
        &self,
        pen: &mut Pen<'_, '_>,
        entry: u32,
        message: Reader<'_>,
    ) -> Result<(), Rejection> {
        let sample = sample(message)?;
        match self.sample_row(pen, entry, &sample) {
            Ok(()) => {
                pen.out.samples += 1;
                Ok(())
            }
            Err(fault) => self.refuse(pen, fault, 1, || {
                let mut text = String::new();
                push_number(sample.value, &mut text);
                format!("{text} {}", sample.time)
            }),
        }
    }

    fn sample_row(&self, pen: &mut Pen<'_, '_>, entry: u32, s: &Sample) -> Result<(), Fault> {
        let value = (Column::Value, Cell::F64(s.value));
        let time = nanos(s.time)?;
        let start = if s.start != 0 { s.start } else { self.created };
        if start == 0 {
            return pen.row(entry, time, &[value]);
        }
        let start = (Column::StartTime, Cell::I64(nanos(start)?));
        pen.row(entry, time, &[value, start])
    }

    /// Appends a native histogram.
    pub fn histogram(
        &self,
        pen: &mut Pen<'_, '_>,
        entry: u32,
        message: Reader<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Rejection> {
        let histogram = &mut scratch.histogram;
        histogram.read(message)?;
        let written = match histogram.values(self.created) {
            Ok((time, values)) => pen.row(entry, time, &values),
            Err(reason) => Err(Fault::Point(reason)),
        };
        match written {
            Ok(()) => {
                pen.out.histograms += 1;
                Ok(())
            }
            Err(fault) => self.refuse(pen, fault, 1, || histogram.shown()),
        }
    }

    /// Keeps an exemplar.
    pub fn exemplar(
        &self,
        pen: &mut Pen<'_, '_>,
        labels_of: Result<Vec<Label<'_>>, MetricReason>,
        value: f64,
        ms: i64,
    ) -> Result<(), Rejection> {
        let kept = labels_of.map_err(Fault::from).and_then(|labels| {
            let time = match ms {
                0 => pen.now_ns(),
                ms => nanos(ms)?,
            };
            let own = (self.labels)()?;
            let series = || {
                let metric = labels::metric(&own).to_owned();
                (Cow::Owned(metric), labels::json(&own))
            };
            let text = object(labels.iter().copied());
            pen.exemplar(self.key, series, time, value, &text)
        });
        match kept {
            Ok(()) => Ok(()),
            Err(fault) => self.refuse(pen, fault, 1, || format!("exemplar {value} {ms}")),
        }
    }
}
