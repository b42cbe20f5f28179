//! One series of a request: its place, and its samples into rows. Both versions come here.

use super::labels::{self, Label};
use super::nanos;
use crate::admission::Rejection;
use crate::metric::letter::{self, Kept, shown};
use crate::metric::text::object;
use crate::metric::{Cell, Column, Fault, MetricReason, Pen, Scratch};
use crate::wire::{Malformed, Reader};
use std::borrow::Cow;
use std::cell::OnceCell;

/// A series of a request.
pub(super) struct Series<'k, F> {
    /// Its place in the request, from 1 on.
    number: usize,
    /// What its labels are remembered under.
    key: &'k [u8],
    /// Takes the labels apart.
    pub labels: F,
    /// Since when it counts, in milliseconds, or 0.
    created: i64,
    /// Made by the first refusal.
    head: OnceCell<Head>,
}

/// A sample, times in milliseconds; `start` is 0 when there is none.
#[derive(Default)]
struct Sample {
    value: f64,
    time: i64,
    start: i64,
}

impl Sample {
    /// Since when it counts, if it says so or its series does.
    fn start(&self, created: i64) -> Result<Option<Cell<'static>>, MetricReason> {
        let start = if self.start != 0 { self.start } else { created };
        match start {
            0 => Ok(None),
            start => Ok(Some(Cell::I64(nanos(start)?))),
        }
    }

    /// Its row's time and values, given to `write`.
    #[inline(always)]
    fn row<R>(
        &self,
        created: i64,
        write: impl FnOnce(i64, &[(Column, Cell<'_>)]) -> R,
    ) -> Result<R, MetricReason> {
        let value = (Column::Value, Cell::F64(self.value));
        let time = nanos(self.time)?;
        Ok(match self.start(created)? {
            None => write(time, &[value]),
            Some(start) => write(time, &[value, (Column::StartTime, start)]),
        })
    }

    fn shown(&self) -> String {
        let mut text = format!("value {} at {} ms", shown(self.value), self.time);
        if self.start != 0 {
            text.push_str(&format!(" since {} ms", self.start));
        }
        text
    }
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

/// A series' entry, or why the labels are refused, and with them all its points.
pub(super) type Opened = Result<u32, MetricReason>;

/// What the letters of a series have in common.
struct Head {
    metric: String,
    /// As a letter has them; `None` when they can't be read.
    labels: Option<String>,
}

impl Head {
    fn payload(&self, kept: &Kept<'_>) -> String {
        letter::payload(&self.metric, self.labels.as_deref(), kept)
    }
}

impl<'k, F> Series<'k, F> {
    pub fn new(number: usize, key: &'k [u8], created: i64, labels: F) -> Series<'k, F> {
        Series {
            number,
            key,
            labels,
            created,
            head: OnceCell::new(),
        }
    }
}

impl<'a, F: Fn() -> Result<Vec<Label<'a>>, Fault>> Series<'_, F> {
    /// The entry of its labels.
    pub fn open(&self, pen: &mut Pen<'_, '_>) -> Result<Opened, Rejection> {
        if let Some(entry) = pen.find(self.key) {
            return Ok(Ok(entry));
        }
        let resolved = (self.labels)().and_then(|labels| {
            let (metric, tags) = labels::split(&labels)?;
            pen.resolve(self.key, metric, tags)
        });
        match resolved {
            Ok(entry) => Ok(Ok(entry)),
            Err(fault) => fault.of_point().map(Err),
        }
    }

    /// Notes that a series without any point is refused.
    pub fn refuse(&self, pen: &mut Pen<'_, '_>, reason: &MetricReason) {
        let kept = Kept::Shown("no points".into());
        self.refuse_point(pen, reason, |head| head.payload(&kept));
    }

    /// Notes the refusal of a point.
    fn refuse_point(
        &self,
        pen: &mut Pen<'_, '_>,
        reason: &MetricReason,
        payload: impl FnOnce(&Head) -> String,
    ) {
        let head = self.head.get_or_init(|| match (self.labels)() {
            Ok(labels) => Head {
                metric: labels::metric(&labels).to_owned(),
                labels: Some(labels::kept(&labels)),
            },
            Err(_) => Head {
                metric: String::new(),
                labels: None,
            },
        });
        let position = format_args!("series {}", self.number);
        pen.refuse(reason, 1, &head.metric, &position, || payload(head));
    }

    /// Appends a sample.
    pub fn sample(
        &self,
        pen: &mut Pen<'_, '_>,
        opened: &Opened,
        message: Reader<'_>,
    ) -> Result<(), Rejection> {
        let sample = sample(message)?;
        let reason = match opened {
            Ok(entry) => {
                let row = sample.row(self.created, |time, values| pen.row(*entry, time, values));
                match row.map_err(Fault::from).flatten() {
                    Ok(()) => {
                        pen.out.samples += 1;
                        return Ok(());
                    }
                    Err(fault) => Cow::Owned(fault.of_point()?),
                }
            }
            Err(reason) => Cow::Borrowed(reason),
        };
        self.refuse_point(pen, &reason, |head| {
            let row = sample.row(self.created, |t, values| {
                head.payload(&Kept::Row(t, values))
            });
            row.unwrap_or_else(|_| head.payload(&Kept::Shown(sample.shown().into())))
        });
        Ok(())
    }

    /// Appends a native histogram.
    pub fn histogram(
        &self,
        pen: &mut Pen<'_, '_>,
        opened: &Opened,
        message: Reader<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Rejection> {
        let histogram = &mut scratch.histogram;
        histogram.read(message)?;
        let words = histogram.words();
        let row = histogram.values(self.created);
        let reason = match (opened, &row) {
            (Ok(entry), Ok((time, values))) => match pen.row(*entry, *time, values) {
                Ok(()) => {
                    pen.out.histograms += 1;
                    return Ok(());
                }
                Err(fault) => Cow::Owned(fault.of_point()?),
            },
            (Err(reason), _) | (_, Err(reason)) => Cow::Borrowed(reason),
        };
        self.refuse_point(pen, &reason, |head| {
            head.payload(&match &row {
                Ok((time, values)) => Kept::Row(*time, values),
                Err(_) => Kept::Shown(words.to_string().into()),
            })
        });
        Ok(())
    }

    /// Keeps an exemplar.
    pub fn exemplar(
        &self,
        pen: &mut Pen<'_, '_>,
        opened: &Opened,
        labels_of: Result<Vec<Label<'_>>, MetricReason>,
        value: f64,
        ms: i64,
    ) -> Result<(), Rejection> {
        let time = match ms {
            0 => Ok(pen.now_ns()),
            ms => nanos(ms),
        };
        let text = labels_of.map(|labels| object(labels.iter().copied()));
        let reason = match (opened, &text, &time) {
            (Ok(_), Ok(text), Ok(time)) => {
                let written = (self.labels)().and_then(|own| {
                    let series = || {
                        let metric = labels::metric(&own).to_owned();
                        (Cow::Owned(metric), labels::json(&own))
                    };
                    pen.exemplar(self.key, series, *time, value, text)
                });
                match written {
                    Ok(()) => return Ok(()),
                    Err(fault) => Cow::Owned(fault.of_point()?),
                }
            }
            (Err(reason), _, _) | (_, Err(reason), _) | (_, _, Err(reason)) => {
                Cow::Borrowed(reason)
            }
        };
        self.refuse_point(pen, &reason, |head| {
            head.payload(&match (&text, &time) {
                (Ok(text), Ok(time)) => Kept::Exemplar(text, *time, value),
                _ => Kept::Shown(format!("exemplar {} at {ms} ms", shown(value)).into()),
            })
        });
        Ok(())
    }
}
