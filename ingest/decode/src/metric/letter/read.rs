//! Reads what a letter keeps, and writes it as rows.

use super::write::{USUAL_NAN, short};
use crate::metric::pen::Pen;
use crate::metric::text::object;
use crate::metric::{Cell, Column, EXEMPLARS, Fault, METADATA, MetricReason, Tag};
use ahash::RandomState;
use hashbrown::HashSet;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;
use tsdb::types::DataType;

/// An object's members in their order, also those of one name.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pairs<T>, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Members(PhantomData))
    }
}

/// A payload as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Form {
    metric: Option<String>,
    labels: Option<Pairs<String>>,
    time: Option<i64>,
    values: Option<Pairs<Box<RawValue>>>,
    exemplar: Option<Exemplar>,
    metadata: Option<Pairs<Box<RawValue>>>,
    shown: Option<String>,
    cut: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Exemplar {
    labels: Pairs<String>,
    // Not a number: its bits count.
    value: Box<RawValue>,
}

/// A value of a row.
enum Value {
    F64(f64),
    I64(i64),
    Text(String),
}

/// What there is to be written.
enum Of {
    Row,
    /// Its labels as text, as they are stored.
    Exemplar(String),
    Metadata,
}

/// A point that was refused.
pub(super) struct Point {
    metric: Option<String>,
    labels: Vec<(String, String)>,
    time: i64,
    values: Vec<(Column, Value)>,
    of: Of,
}

/// Reads a payload.
///
/// # Errors
/// Why it can't be a point again.
pub(super) fn point(payload: &str) -> Result<Point, String> {
    let form: Form = serde_json::from_str(payload).map_err(|e| match e.classify() {
        Category::Eof => "what was kept of it is cut".to_owned(),
        Category::Syntax => {
            "it was kept in words, as letters of metrics were before they could be read again"
                .to_owned()
        }
        Category::Data | Category::Io => format!("what was kept is no point of a metric: {e}"),
    })?;
    if form.cut.is_some() {
        return Err("it was too long to be kept as a whole".to_owned());
    }
    if let Some(words) = form.shown {
        return Err(format!("it could not be read when it came: {words}"));
    }
    let (values, of) = match (form.values, form.exemplar, form.metadata) {
        (Some(all), None, None) => (values(all, Column::is_of_samples)?, Of::Row),
        (None, Some(exemplar), None) => {
            let value = (Column::Value, Value::F64(double(exemplar.value.get())?));
            let pairs = &exemplar.labels.0;
            let text = object(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            (vec![value], Of::Exemplar(text))
        }
        (None, None, Some(all)) => (values(all, Column::is_of_metadata)?, Of::Metadata),
        _ => return Err("what was kept tells of no point".to_owned()),
    };
    let labels = match (form.labels, &of) {
        (Some(pairs), _) => pairs.0,
        (None, Of::Metadata) => Vec::new(),
        (None, _) => return Err("its labels could not be read when it came".to_owned()),
    };
    if let Some(name) = twice(&labels) {
        return Err(MetricReason::DuplicateLabel(short(name).to_owned()).to_string());
    }
    Ok(Point {
        metric: form.metric,
        time: form.time.ok_or("its time was not kept")?,
        labels,
        values,
        of,
    })
}

/// A name that is given twice.
fn twice(labels: &[(String, String)]) -> Option<&str> {
    let mut names: HashSet<&str, RandomState> = HashSet::default();
    let mut all = labels.iter().map(|(name, _)| name.as_str());
    all.find(|name| !names.insert(name))
}

fn values(
    pairs: Pairs<Box<RawValue>>,
    is_meant: fn(Column) -> bool,
) -> Result<Vec<(Column, Value)>, String> {
    let mut values: Vec<(Column, Value)> = Vec::with_capacity(pairs.0.len());
    for (name, raw) in pairs.0 {
        let column = Column::of(&name).filter(|c| is_meant(*c));
        let column = column.ok_or_else(|| format!("\"{name}\" is no value of a metric"))?;
        if values.iter().any(|(c, _)| *c == column) {
            return Err(format!("\"{name}\" is given twice"));
        }
        let raw = raw.get();
        let wrong = || format!("\"{name}\" can't be {raw}");
        let value = match column.data_type() {
            DataType::Float64 => Value::F64(double(raw)?),
            DataType::Utf8 => Value::Text(serde_json::from_str(raw).map_err(|_| wrong())?),
            _ => Value::I64(raw.parse().map_err(|_| wrong())?),
        };
        values.push((column, value));
    }
    if values.is_empty() {
        return Err("it has no value".to_owned());
    }
    Ok(values)
}

/// A double as it is written: JSON's readers need not be exact to the last bit.
fn double(raw: &str) -> Result<f64, String> {
    let wrong = || format!("{raw} is no double");
    if !raw.starts_with('"') {
        let v: f64 = raw.parse().map_err(|_| wrong())?;
        return if v.is_finite() { Ok(v) } else { Err(wrong()) };
    }
    let word: String = serde_json::from_str(raw).map_err(|_| wrong())?;
    match word.as_str() {
        "NaN" => Ok(f64::from_bits(USUAL_NAN)),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        word => {
            let bits = word
                .strip_prefix("NaN:")
                .and_then(|hex| u64::from_str_radix(hex, 16).ok());
            let v = bits.map(f64::from_bits).filter(|v| v.is_nan());
            v.ok_or_else(wrong)
        }
    }
}

impl Point {
    /// Appends its row.
    pub(super) fn write(&self, stream: &str, pen: &mut Pen<'_, '_>) -> Result<(), Fault> {
        let metric = self.metric.as_deref().unwrap_or(stream);
        let values: Vec<(Column, Cell<'_>)> = self
            .values
            .iter()
            .map(|(column, value)| match value {
                Value::F64(v) => (*column, Cell::F64(*v)),
                Value::I64(v) => (*column, Cell::I64(*v)),
                Value::Text(v) => (*column, Cell::Text(v)),
            })
            .collect();
        if matches!(self.of, Of::Metadata) {
            let tags = vec![("metric".into(), metric.into())];
            return pen.anew(METADATA, tags, self.time, &values);
        }
        // A label without value is as good as none.
        let labels = self.labels.iter().filter(|(_, value)| !value.is_empty());
        let tags: Vec<Tag<'_>> = labels
            .map(|(n, v)| (n.as_str().into(), v.as_str().into()))
            .collect();
        let Of::Exemplar(labels) = &self.of else {
            return pen.anew(metric, tags, self.time, &values);
        };
        // Its series is looked at as if samples of it came.
        pen.resolve_anew(metric, tags)?;
        let pairs = self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let tags = vec![
            ("metric".into(), metric.into()),
            ("series".into(), object(pairs).into()),
        ];
        let labels = (Column::Labels, Cell::Text(labels));
        pen.anew(
            EXEMPLARS,
            tags,
            self.time,
            &[values.as_slice(), &[labels]].concat(),
        )
    }
}
