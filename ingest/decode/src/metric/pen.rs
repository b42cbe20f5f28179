//! Writes samples: finds their series by the raw bytes of its labels, makes streams and columns at first sight, appends
//! rows.

use super::columns::{Cell, Column, Tag, rename_reserved};
use super::known::{Known, Learned};
use super::letter::short;
use super::refused::Refused;
use super::{DecodedMetrics, EXEMPLARS, METADATA, MetricContext, MetricReason};
use crate::admission::Rejection;
use crate::line_protocol::cache::Cache;
use crate::wire::Malformed;
use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;
use tsdb::types::{ColumnId, DataType, Role, Schema, SeriesId, StreamId};
use tsdb::{Error, TooOld};

/// Longest name of a metric or label, and longest value of a label.
const MAX_NAME: usize = 65_535;
/// Most labels of a series; columns that samples alone may grow a stream to.
const MAX_COLUMNS: usize = 4_096;

/// Key spaces of series that are no samples' own; those of the formats begin with other bytes.
const METADATA_KEY: u8 = 1;
const EXEMPLAR_KEY: u8 = 2;
/// The key of the series that was looked up last for what is written anew; it is never asked for.
const ANEW_KEY: [u8; 1] = [4];

/// What ends a point, or the whole request.
#[derive(Debug)]
pub(crate) enum Fault {
    Point(MetricReason),
    Request(Rejection),
}

impl Fault {
    /// Why a point is refused; the request goes on.
    pub fn of_point(self) -> Result<MetricReason, Rejection> {
        match self {
            Fault::Point(reason) => Ok(reason),
            Fault::Request(rejection) => Err(rejection),
        }
    }
}

impl From<Rejection> for Fault {
    fn from(r: Rejection) -> Fault {
        Fault::Request(r)
    }
}

impl From<Malformed> for Fault {
    fn from(m: Malformed) -> Fault {
        Fault::Request(m.into())
    }
}

impl From<MetricReason> for Fault {
    fn from(r: MetricReason) -> Fault {
        Fault::Point(r)
    }
}

/// Where a stream keeps the columns of samples.
pub(super) struct Layout {
    stream: StreamId,
    ids: [Option<ColumnId>; Column::COUNT],
}

/// Writes the rows of one request.
pub(crate) struct Pen<'m, 'c> {
    cache: &'m mut Cache,
    layouts: &'m mut Vec<Layout>,
    known: &'m Known,
    ctx: &'m MetricContext<'c>,
    /// What is kept and counted.
    pub out: DecodedMetrics,
    refused: Refused,
    learned: Learned,
    /// The metric whose metadata was looked at last.
    last_metadata: String,
    key: Vec<u8>,
}

impl<'m, 'c> Pen<'m, 'c> {
    pub(super) fn new(
        cache: &'m mut Cache,
        layouts: &'m mut Vec<Layout>,
        known: &'m Known,
        ctx: &'m MetricContext<'c>,
    ) -> Pen<'m, 'c> {
        Pen {
            cache,
            layouts,
            known,
            ctx,
            out: DecodedMetrics::default(),
            refused: Refused::default(),
            learned: Learned::default(),
            last_metadata: String::new(),
            key: Vec::new(),
        }
    }

    /// What all points came to.
    ///
    /// # Errors
    /// 413 when their rows take too much.
    pub(super) fn finish(mut self) -> Result<DecodedMetrics, Rejection> {
        self.cache.finish(&mut self.out.rows)?;
        self.out.rejected = self.refused.points;
        self.out.errors = self.refused.told();
        self.out.rows.extend(self.refused.letters(self.ctx));
        self.out.learned = self.learned;
        Ok(self.out)
    }

    /// The commit's time.
    pub fn now_ns(&self) -> i64 {
        self.ctx.now_ns
    }

    /// Notes a refusal: how many points it counts as, the metric, the place in the request, and what a letter keeps.
    pub fn refuse(
        &mut self,
        reason: &MetricReason,
        points: usize,
        metric: &str,
        position: &dyn Display,
        payload: impl FnOnce() -> String,
    ) {
        self.refused.add(points, metric, position, reason, payload);
    }

    /// The series of a key, if it is known.
    #[inline]
    pub fn find(&mut self, key: &[u8]) -> Option<u32> {
        self.cache.find_key(key)
    }

    /// The series of a metric and its labels, which have no name twice; remembered under `key`.
    pub fn resolve(
        &mut self,
        key: &[u8],
        metric: &str,
        mut tags: Vec<Tag<'_>>,
    ) -> Result<u32, Fault> {
        rename_reserved(&mut tags);
        check(metric, &tags)?;
        let index = self.target(metric)?;
        let target = &self.cache.targets[index as usize];
        let (stream, mut schema) = (target.stream.clone(), target.schema.clone());
        let merge = stream.options.merge;
        let mut wanted = missing(&schema, merge, &tags)?;
        if !wanted.is_empty() {
            // Others may have added some meanwhile.
            schema = stream.schema();
            wanted = missing(&schema, merge, &tags)?;
            if schema.columns.len() + wanted.len() > MAX_COLUMNS {
                return Err(MetricReason::TooMany("columns", MAX_COLUMNS).into());
            }
            if !wanted.is_empty() {
                schema = stream.ensure_columns(&wanted).map_err(catalog)?;
                missing(&schema, merge, &tags)?;
            }
            self.cache.widen(index, schema.clone(), &mut self.out.rows);
        }
        let (mut ids, mut extra) = (Vec::with_capacity(tags.len()), Vec::new());
        for (name, value) in &tags {
            // Invariant: `missing` gave nothing for this schema, so every name is in it.
            let Some(column) = schema.column(name) else {
                continue;
            };
            match column.role {
                Role::Tag => ids.push((column.id, value.as_ref())),
                _ => extra.push((column.id, value.to_string())),
            }
        }
        ids.sort_unstable_by_key(|t| t.0);
        let series = stream.series().resolve(&ids);
        let extra = (!extra.is_empty()).then(|| extra.into_boxed_slice());
        Ok(self.cache.add_entry(key, index, series, extra))
    }

    /// The series of a metric and its labels, which nothing remembers.
    pub fn resolve_anew(&mut self, metric: &str, tags: Vec<Tag<'_>>) -> Result<u32, Fault> {
        self.resolve(&ANEW_KEY, metric, tags)
    }

    /// Appends a row of such a series.
    pub fn anew(
        &mut self,
        stream: &str,
        tags: Vec<Tag<'_>>,
        time: i64,
        values: &[(Column, Cell<'_>)],
    ) -> Result<(), Fault> {
        let entry = self.resolve_anew(stream, tags)?;
        self.row(entry, time, values)
    }

    fn target(&mut self, metric: &str) -> Result<u32, Fault> {
        if let Some(index) = self.cache.target(metric) {
            return Ok(index);
        }
        let make = tsdb::catalog::line_protocol_stream;
        let found = self.ctx.catalog.ensure_stream(self.ctx.db, metric, make);
        Ok(self.cache.add_target(metric, found.map_err(catalog)?))
    }

    /// Appends a row to a series.
    pub fn row(
        &mut self,
        entry: u32,
        time: i64,
        values: &[(Column, Cell<'_>)],
    ) -> Result<(), Fault> {
        self.cache.last = entry;
        let e = &self.cache.entries[entry as usize];
        let (index, series) = (e.stream, e.series);
        let target = &self.cache.targets[index as usize];
        if time < target.oldest {
            let why = target.stream.too_old(time, self.ctx.now_ns);
            return Err(MetricReason::TooOld(why.unwrap_or(TooOld::Late)).into());
        }
        let ids = self.columns(index, values)?;
        let text = self.append(entry, index, series, time, values, &ids)?;
        self.cache.count_row(index, &mut self.out.rows)?;
        if text > 0 {
            self.cache.count_text(text, &mut self.out.rows)?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        entry: u32,
        index: u32,
        series: SeriesId,
        time: i64,
        values: &[(Column, Cell<'_>)],
        ids: &[Option<ColumnId>; Column::COUNT],
    ) -> Result<usize, Fault> {
        let e = &self.cache.entries[entry as usize];
        let rows = &mut self.cache.targets[index as usize].rows;
        rows.begin_row(time, series);
        let (mut text, mut whole) = (0, true);
        for (id, value) in e.extra.iter().flatten() {
            let column = rows.column(*id, DataType::Utf8);
            whole &= column.is_some_and(|c| c.push_str(value));
        }
        for (column, value) in values {
            // Invariant: `columns` has found or made each of them.
            let Some(id) = ids[*column as usize] else {
                continue;
            };
            let Some(builder) = rows.column(id, column.data_type()) else {
                continue;
            };
            match value {
                Cell::F64(v) => builder.push_f64(*v),
                Cell::I64(v) => builder.push_i64(*v),
                Cell::Text(v) => {
                    text += v.len();
                    whole &= builder.push_str(v);
                }
            }
        }
        if !whole {
            rows.abort_row();
            return Err(MetricReason::Invalid("too much text in one request").into());
        }
        Ok(text)
    }

    /// Where the stream keeps the columns of these values; those that it lacks are made.
    fn columns(
        &mut self,
        index: u32,
        values: &[(Column, Cell<'_>)],
    ) -> Result<[Option<ColumnId>; Column::COUNT], Fault> {
        let id = self.cache.targets[index as usize].stream.id;
        let at = index as usize;
        while self.layouts.len() <= at {
            let stream = StreamId(u32::MAX);
            let ids = [None; Column::COUNT];
            self.layouts.push(Layout { stream, ids });
        }
        // The cache starts anew now and then, and gives its places to other streams.
        if self.layouts[at].stream != id {
            self.layouts[at] = Layout {
                stream: id,
                ids: [None; Column::COUNT],
            };
        }
        let known = &self.layouts[at].ids;
        if values.iter().all(|(c, _)| known[*c as usize].is_some()) {
            return Ok(*known);
        }
        let wanted: Vec<(&str, DataType, Role)> = values
            .iter()
            .map(|(c, _)| (c.name(), c.data_type(), Role::Field))
            .collect();
        let stream = self.cache.targets[at].stream.clone();
        let schema = stream.ensure_columns(&wanted).map_err(catalog)?;
        for (column, _) in values {
            self.layouts[at].ids[*column as usize] = schema.column(column.name()).map(|c| c.id);
        }
        if schema.columns.len() > self.cache.targets[at].schema.columns.len() {
            self.cache.widen(index, schema, &mut self.out.rows);
        }
        Ok(self.layouts[at].ids)
    }

    /// Notes what a metric is, if that is news.
    pub fn metadata(&mut self, metric: &str, about: [&str; 3]) -> Result<(), Rejection> {
        if metric.is_empty() || metric == self.last_metadata || about.iter().all(|a| a.is_empty()) {
            return Ok(());
        }
        metric.clone_into(&mut self.last_metadata);
        let db = self.ctx.db;
        if !self.known.is_news(db, metric, about, &mut self.learned) {
            return Ok(());
        }
        let key = self.key_of(METADATA_KEY, metric.as_bytes());
        let (columns, mut values) = ([Column::Type, Column::Help, Column::Unit], Vec::new());
        for (column, text) in columns.into_iter().zip(about) {
            if !text.is_empty() {
                values.push((column, Cell::Text(text)));
            }
        }
        let tags = || vec![("metric".into(), Cow::Borrowed(metric))];
        let now = self.ctx.now_ns;
        let written = self.aside(&key, METADATA, tags, now, &values);
        self.key = key;
        match written {
            Err(Fault::Request(rejection)) => Err(rejection),
            // A stream of that name that takes no metadata does not stand in the samples' way.
            Ok(()) | Err(Fault::Point(_)) => Ok(()),
        }
    }

    /// The same for the metric of a series.
    pub fn metadata_of(&mut self, entry: u32, about: [&str; 3]) -> Result<(), Rejection> {
        let index = self.cache.entries[entry as usize].stream;
        let stream = self.cache.targets[index as usize].stream.clone();
        self.metadata(&stream.name, about)
    }

    /// Keeps an exemplar of a series. `series` gives its metric and its labels as JSON.
    pub fn exemplar<'s>(
        &mut self,
        series_key: &[u8],
        series: impl FnOnce() -> (Cow<'s, str>, String),
        time: i64,
        value: f64,
        labels: &str,
    ) -> Result<(), Fault> {
        let key = self.key_of(EXEMPLAR_KEY, series_key);
        let tags = || {
            let (metric, labels) = series();
            vec![("metric".into(), metric), ("series".into(), labels.into())]
        };
        let values = [
            (Column::Value, Cell::F64(value)),
            (Column::Labels, Cell::Text(labels)),
        ];
        let written = self.aside(&key, EXEMPLARS, tags, time, &values);
        self.key = key;
        written?;
        self.out.exemplars += 1;
        Ok(())
    }

    /// Writes a row to a stream that no sample is of.
    fn aside<'t>(
        &mut self,
        key: &[u8],
        stream: &str,
        tags: impl FnOnce() -> Vec<Tag<'t>>,
        time: i64,
        values: &[(Column, Cell<'_>)],
    ) -> Result<(), Fault> {
        // The next series follows the last one of its own kind.
        let last = self.cache.last;
        let entry = match self.find(key) {
            Some(entry) => entry,
            None => self.resolve(key, stream, tags())?,
        };
        let written = self.row(entry, time, values);
        self.cache.last = last;
        written
    }

    fn key_of(&mut self, space: u8, rest: &[u8]) -> Vec<u8> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.push(space);
        key.extend_from_slice(rest);
        key
    }
}

fn catalog(error: Error) -> Fault {
    Fault::Point(MetricReason::Catalog(error.to_string()))
}

fn check(metric: &str, tags: &[Tag<'_>]) -> Result<(), MetricReason> {
    if metric.is_empty() {
        return Err(MetricReason::Invalid("the metric has no name"));
    }
    if metric.len() > MAX_NAME {
        return Err(MetricReason::TooLong("a metric's name", MAX_NAME));
    }
    // Room for the columns of values.
    if tags.len() + 1 + Column::COUNT > MAX_COLUMNS {
        return Err(MetricReason::TooMany("labels", MAX_COLUMNS));
    }
    if metric.contains('\0') || tags.iter().any(|t| t.0.contains('\0')) {
        return Err(MetricReason::Invalid("a name contains a NUL byte"));
    }
    if tags.iter().any(|t| t.0.is_empty()) {
        return Err(MetricReason::Invalid("a label has no name"));
    }
    if tags
        .iter()
        .any(|t| t.0.len() > MAX_NAME || t.1.len() > MAX_NAME)
    {
        return Err(MetricReason::TooLong("a label", MAX_NAME));
    }
    Ok(())
}

/// Checks labels against the schema and gives the columns that they add. In a declared stream a label may go to a STRING
/// field; where samples made the columns (`merge`) that would change what a series is.
fn missing<'a>(
    schema: &Arc<Schema>,
    merge: bool,
    tags: &'a [Tag<'_>],
) -> Result<Vec<(&'a str, DataType, Role)>, MetricReason> {
    let mut wanted = Vec::new();
    for (name, _) in tags {
        let taken = |taken| MetricReason::NameTaken {
            name: short(name).to_owned(),
            taken,
        };
        match schema.column(name) {
            None => wanted.push((name.as_ref(), DataType::Utf8, Role::Tag)),
            Some(c) if c.role == Role::Time => return Err(taken("the event time")),
            Some(c) if c.data_type != DataType::Utf8 || (merge && c.role == Role::Field) => {
                return Err(taken("a field"));
            }
            Some(_) => {}
        }
    }
    Ok(wanted)
}
