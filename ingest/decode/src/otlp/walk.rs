//! From the request down to its points.

use super::attributes::{last_wins, pair};
use super::base64;
use super::point::{Exemplar, Kind, Point};
use crate::admission::Rejection;
use crate::metric::letter::{self, Kept};
use crate::metric::text::object;
use crate::metric::{Fault, Pen, Scratch, Tag};
use crate::wire::Reader;
use std::borrow::Cow;

/// The first byte of the keys of series: those of other formats begin with others.
const KEY: u8 = 3;

/// Reads a request.
pub(super) fn request(
    body: &[u8],
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    let mut request = Reader::new(body);
    let mut number_of = 0;
    while let Some((number, value)) = request.next()? {
        if number == 1 {
            resource(value.message()?, &mut number_of, pen, scratch)?;
        }
    }
    Ok(())
}

fn resource(
    message: Reader<'_>,
    number_of: &mut usize,
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    // A message's parts may come in any order.
    let mut attributes = Vec::new();
    let mut fields = message;
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            attributes.push(value.bytes()?);
        }
    }
    let mut fields = message;
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            scope(value.message()?, &attributes, number_of, pen, scratch)?;
        }
    }
    Ok(())
}

/// What all points of a scope have in common.
struct Group<'a> {
    /// Messages with attributes in field 1.
    resource: &'a [&'a [u8]],
    /// Messages with attributes in field 3.
    scope: Vec<&'a [u8]>,
    name: &'a str,
    version: &'a str,
    /// Stands for all of that in keys.
    id: u32,
}

fn scope<'a>(
    message: Reader<'a>,
    resource: &'a [&'a [u8]],
    number_of: &mut usize,
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    let mut group = Group {
        resource,
        scope: Vec::new(),
        name: "",
        version: "",
        id: 0,
    };
    let mut fields = message;
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            group.scope.push(value.bytes()?);
            let mut scope = value.message()?;
            while let Some((number, value)) = scope.next()? {
                match number {
                    1 => group.name = value.text()?,
                    2 => group.version = value.text()?,
                    _ => {}
                }
            }
        }
    }
    group.id = scratch
        .groups
        .id(resource.iter().chain(&group.scope), resource.len());
    let mut fields = message;
    while let Some((number, value)) = fields.next()? {
        if number == 2 {
            metric(value.message()?, &group, number_of, pen, scratch)?;
        }
    }
    Ok(())
}

/// A metric's head.
struct Metric<'a> {
    name: &'a str,
    kind: Kind,
    temporality: &'static str,
    monotonic: &'static str,
}

fn metric(
    mut message: Reader<'_>,
    group: &Group<'_>,
    number_of: &mut usize,
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    let (mut name, mut help, mut unit, mut data) = ("", "", "", None);
    while let Some((number, value)) = message.next()? {
        match number {
            1 => name = value.text()?,
            2 => help = value.text()?,
            3 => unit = value.text()?,
            _ => {
                if let Some(kind) = Kind::of(number) {
                    data = Some((kind, value.message()?));
                }
            }
        }
    }
    let Some((kind, data)) = data else {
        return Ok(());
    };
    let mut metric = Metric {
        name,
        kind,
        temporality: "",
        monotonic: "",
    };
    if kind == Kind::Sum {
        metric.monotonic = "false";
    }
    let mut fields = data;
    while let Some((number, value)) = fields.next()? {
        match (kind, number) {
            (Kind::Sum | Kind::Histogram | Kind::Exponential, 2) => {
                metric.temporality = match value.u64()? {
                    1 => "delta",
                    2 => "cumulative",
                    _ => "",
                };
            }
            (Kind::Sum, 3) => {
                metric.monotonic = if value.u64()? != 0 { "true" } else { "false" };
            }
            _ => {}
        }
    }
    pen.metadata(name, [kind.name(), help, unit])?;
    let mut key = std::mem::take(&mut scratch.key);
    let mut fields = data;
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            *number_of += 1;
            let at = At {
                group,
                metric: &metric,
                number: *number_of,
            };
            at.point(value.bytes()?, &mut key, pen)?;
        }
    }
    scratch.key = key;
    Ok(())
}

/// Where a point stands.
struct At<'a> {
    group: &'a Group<'a>,
    metric: &'a Metric<'a>,
    number: usize,
}

impl At<'_> {
    fn point(
        &self,
        bytes: &[u8],
        key: &mut Vec<u8>,
        pen: &mut Pen<'_, '_>,
    ) -> Result<(), Rejection> {
        let Metric {
            name,
            kind,
            temporality,
            monotonic,
        } = self.metric;
        key.clear();
        key.push(KEY);
        key.extend_from_slice(&self.group.id.to_le_bytes());
        key.extend_from_slice(&(name.len() as u32).to_le_bytes());
        key.extend_from_slice(name.as_bytes());
        let initial = |word: &str| word.as_bytes().first().copied().unwrap_or(0);
        key.extend_from_slice(&[initial(temporality), initial(monotonic)]);
        let head = key.len();
        let mut point = Point::read(*kind, bytes, key)?;
        let raw = &key[head..];
        let written = self.row(key, raw, &mut point, pen);
        let refused = match written {
            Ok(()) => None,
            Err(fault) => Some(fault.of_point()?),
        };
        match (&refused, kind) {
            (Some(reason), _) => {
                let position = format_args!("point {}", self.number);
                let payload = || self.payload(raw, &mut point);
                pen.refuse(reason, 1, name, &position, payload);
            }
            (None, Kind::Histogram | Kind::Exponential) => pen.out.histograms += 1,
            (None, _) => pen.out.samples += 1,
        }
        let time = point.time().ok();
        for message in &point.exemplars {
            let exemplar = Exemplar::read(*message)?;
            let time = exemplar.time().or(time);
            let labels = match exemplar_labels(&exemplar) {
                Ok(labels) => Ok(labels),
                Err(fault) => Err(fault.of_point()?),
            };
            let reason = match (&refused, &labels) {
                (Some(reason), _) | (None, Err(reason)) => Cow::Borrowed(reason),
                (None, Ok(labels)) => {
                    // Invariant: a point without a time had no row.
                    let time = time.unwrap_or_default();
                    match self.exemplar(exemplar.value, labels, key, raw, time, pen) {
                        Ok(()) => continue,
                        Err(fault) => Cow::Owned(fault.of_point()?),
                    }
                }
            };
            let position = format_args!("exemplar of point {}", self.number);
            pen.refuse(&reason, 0, name, &position, || {
                let kept = match (&labels, time) {
                    (Ok(labels), Some(time)) => Kept::Exemplar(labels, time, exemplar.value),
                    _ => Kept::Shown(exemplar.shown().into()),
                };
                letter::payload(name, self.labels(raw).as_deref(), &kept)
            });
        }
        Ok(())
    }

    /// What a letter keeps of a point.
    fn payload(&self, raw: &[u8], point: &mut Point<'_>) -> String {
        let Metric { name, kind, .. } = self.metric;
        let (words, time) = (point.shown(*kind), point.time());
        let values = point.values(*kind);
        let kept = match (time, &values) {
            (Ok(time), Ok(values)) => Kept::Row(time, values),
            _ => Kept::Shown(words.into()),
        };
        letter::payload(name, self.labels(raw).as_deref(), &kept)
    }

    /// The tags of a point as a letter has them, `None` when they can't be read.
    fn labels(&self, raw: &[u8]) -> Option<String> {
        let tags = self.tags(raw).ok()?;
        // In order: the series of an exemplar is stored as this text.
        Some(letter::labels(tags.iter().rev().map(|t| (&t.0, &t.1))))
    }

    fn row(
        &self,
        key: &[u8],
        raw: &[u8],
        point: &mut Point<'_>,
        pen: &mut Pen<'_, '_>,
    ) -> Result<(), Fault> {
        let time = point.time()?;
        let values = point.values(self.metric.kind)?;
        let entry = match pen.find(key) {
            Some(entry) => entry,
            None => pen.resolve(key, self.metric.name, self.tags(raw)?)?,
        };
        pen.row(entry, time, &values)
    }

    /// The tags of a point with these attributes.
    fn tags<'t>(&'t self, raw: &'t [u8]) -> Result<Vec<Tag<'t>>, Fault> {
        let mut tags = Vec::new();
        for message in self.group.resource {
            numbered(message, 1, &mut tags)?;
        }
        for message in &self.group.scope {
            numbered(message, 3, &mut tags)?;
        }
        tags.extend(own(raw)?);
        let named = [
            ("otel.scope.name", self.group.name),
            ("otel.scope.version", self.group.version),
            ("otel.temporality", self.metric.temporality),
            ("otel.monotonic", self.metric.monotonic),
        ];
        let named = named.iter().filter(|(_, value)| !value.is_empty());
        tags.extend(named.map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v))));
        Ok(last_wins(tags))
    }

    fn exemplar(
        &self,
        value: f64,
        labels: &str,
        key: &[u8],
        raw: &[u8],
        time: i64,
        pen: &mut Pen<'_, '_>,
    ) -> Result<(), Fault> {
        let tags = self.tags(raw)?;
        let series = || {
            let pairs = tags.iter().rev().map(|t| (t.0.as_ref(), t.1.as_ref()));
            (Cow::Borrowed(self.metric.name), object(pairs))
        };
        pen.exemplar(key, series, time, value, labels)
    }
}

/// An exemplar's labels as JSON.
fn exemplar_labels(exemplar: &Exemplar<'_>) -> Result<String, Fault> {
    let mut labels: Vec<Tag<'_>> = Vec::new();
    for message in &exemplar.attributes {
        labels.push(pair(*message)?);
    }
    labels.push(("span_id".into(), base64::to_hex(exemplar.span).into()));
    labels.push(("trace_id".into(), base64::to_hex(exemplar.trace).into()));
    let labels = last_wins(labels);
    let pairs = labels.iter().rev();
    Ok(object(pairs.map(|t| (t.0.as_ref(), t.1.as_ref()))))
}

/// The attributes that stand under `number` in a message.
fn numbered<'a>(bytes: &'a [u8], number: u32, tags: &mut Vec<Tag<'a>>) -> Result<(), Fault> {
    let mut fields = Reader::new(bytes);
    while let Some((n, value)) = fields.next()? {
        if n == number {
            tags.push(pair(value.message()?)?);
        }
    }
    Ok(())
}

/// A point's own attributes, gathered raw, whatever their number.
fn own(raw: &[u8]) -> Result<Vec<Tag<'_>>, Fault> {
    let (mut fields, mut tags) = (Reader::new(raw), Vec::new());
    while let Some((_, value)) = fields.next()? {
        tags.push(pair(value.message()?)?);
    }
    Ok(tags)
}

/// Numbers for resources with their scopes, so that a series' key need not repeat them.
#[derive(Default)]
pub(crate) struct Groups {
    ids: hashbrown::HashMap<Box<[u8]>, u32, ahash::RandomState>,
    bytes: usize,
    next: u32,
}

/// Bytes of resources and scopes that are remembered.
const MAX_BYTES: usize = 16 << 20;

impl Groups {
    /// The number of these messages, of which the first so many are the resource's. One that was forgotten gets another:
    /// numbers are not used twice while the keys of series may hold them.
    fn id<'a>(&mut self, messages: impl Iterator<Item = &'a &'a [u8]>, resources: usize) -> u32 {
        let mut key = (resources as u32).to_le_bytes().to_vec();
        for message in messages {
            key.extend_from_slice(&(message.len() as u64).to_le_bytes());
            key.extend_from_slice(message);
        }
        if let Some(id) = self.ids.get(key.as_slice()) {
            return *id;
        }
        if self.bytes + key.len() > MAX_BYTES {
            self.ids.clear();
            self.bytes = 0;
        }
        self.bytes += key.len();
        self.next += 1;
        self.ids.insert(key.into(), self.next);
        self.next
    }
}
