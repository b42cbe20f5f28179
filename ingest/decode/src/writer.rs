//! Rows of named cells into a stream: types are checked against its columns, unknown names become columns.

use super::Precision;
use super::bound::{Bound, SEAL_ROWS};
use super::convert::{Value, convert, natural};
use super::json::Fields;
use super::names::Names;
use super::row::{Cell, RowReason};
use ahash::RandomState;
use hashbrown::{HashMap, HashSet};
use std::borrow::Cow;
use std::sync::Arc;
use tsdb::types::{BatchBuilder, ColumnDef, ColumnId, Role, Schema, SeriesId};
use tsdb::{Error, Rows, Stream, TooOld};

/// Columns that rows alone may grow a stream to.
pub const MAX_COLUMNS: usize = 4_096;
/// Bytes of tags whose series are remembered.
const MAX_SERIES_BYTES: usize = 64 << 20;

/// Named cells.
pub type Cells<'c, 'a> = &'c [(Cow<'a, str>, Cell<'a>)];

/// Appends rows to a stream's batches. It may outlive a request: what it learnt of names and tags stays true.
pub struct Writer {
    pub(super) stream: Arc<Stream>,
    pub(super) schema: Arc<Schema>,
    /// The unit of integer times.
    pub(super) unit: Option<Precision>,
    /// The event time of rows that have none; they are refused otherwise.
    pub(super) fill: Option<i64>,
    now_ns: i64,
    /// Rows before this event time are refused.
    pub(super) oldest: i64,
    pub(super) names: Names,
    /// What members of JSON objects mean.
    pub(super) fields: Fields,
    /// The row that last had a value for each column.
    pub(super) seen: Vec<usize>,
    pub(super) row: usize,
    pub(super) batch: BatchBuilder,
    series: HashMap<Box<[u8]>, SeriesId, RandomState>,
    series_bytes: usize,
    bound: Bound,
    out: Vec<Rows>,
    /// Rows that are sealed.
    sealed: usize,
    /// Empty between rows: memory for the values of one.
    values: Vec<(usize, Value<'static>)>,
    /// Likewise, for its tags.
    pub(super) key: Vec<u8>,
}

/// An empty vector in the memory of another whose elements only differ in what they borrow.
fn recycle<'a>(mut values: Vec<(usize, Value<'_>)>) -> Vec<(usize, Value<'a>)> {
    values.clear();
    // Collected in place: see the standard library's notes on `Vec`'s `FromIterator`.
    values.into_iter().map_while(|_| None).collect()
}

impl Writer {
    /// A writer for a stream.
    pub fn new(stream: Arc<Stream>, unit: Option<Precision>) -> Writer {
        let schema = stream.schema();
        Writer {
            seen: vec![0; schema.columns.len()],
            batch: BatchBuilder::new(stream.id),
            stream,
            schema,
            unit,
            fill: None,
            now_ns: 0,
            oldest: i64::MIN,
            names: Names::default(),
            fields: Fields::default(),
            row: 0,
            series: HashMap::default(),
            series_bytes: 0,
            bound: Bound::default(),
            out: Vec::new(),
            sealed: 0,
            values: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Begins a body or a message that comes at `now_ns`. `fill` is the event time of its rows that have none; without
    /// it they are refused.
    pub fn begin(&mut self, now_ns: i64, fill: Option<i64>) {
        (self.now_ns, self.fill) = (now_ns, fill);
        self.oldest = self.stream.oldest_taken(now_ns);
    }

    /// Allows as much again as a request may take, for the next message.
    pub fn grant(&mut self) {
        self.bound.grant();
    }

    /// The columns as of now.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.sealed + self.batch.rows()
    }

    /// Bytes that they hold.
    pub fn bytes(&self) -> usize {
        self.bound.bytes() + self.batch.byte_len()
    }

    /// Takes all rows that wait.
    pub fn take(&mut self) -> Vec<Rows> {
        self.seal();
        self.bound = Bound::default();
        self.sealed = 0;
        let schema = self.stream.schema();
        if schema.columns.len() != self.schema.columns.len() {
            // Others added columns, which may now be what a spelling means.
            self.widen(schema);
        }
        std::mem::take(&mut self.out)
    }

    /// Counts the row that was appended, and seals rows when they are many. False when those since
    /// [`Writer::begin`] take too much and no more is wanted.
    #[inline(always)]
    pub fn count(&mut self) -> bool {
        let full = self.bound.add(self.schema.columns.len());
        if full || self.batch.rows() >= SEAL_ROWS {
            self.seal();
            return self.bound.check().is_ok();
        }
        true
    }

    /// Whether the rows since [`Writer::begin`] are within the bound, once all are sealed.
    pub fn seal(&mut self) -> bool {
        let rows = std::mem::replace(&mut self.batch, BatchBuilder::new(self.stream.id));
        self.sealed += rows.rows();
        self.bound
            .seal(rows, self.schema.columns.len(), &mut self.out);
        self.bound.none_wait();
        self.bound.check().is_ok()
    }

    /// Appends a row of cells and `more` of them, which win over cells of the same column.
    ///
    /// # Errors
    /// Why it is refused; then nothing of it stays.
    pub fn append(&mut self, cells: Cells<'_, '_>, more: Cells<'_, '_>) -> Result<(), RowReason> {
        self.row += 1;
        let mut known = recycle(std::mem::take(&mut self.values));
        let result = self.append_with(cells, more, &mut known);
        self.values = recycle(known);
        result
    }

    fn append_with<'c>(
        &mut self,
        cells: &'c [(Cow<'_, str>, Cell<'_>)],
        more: &'c [(Cow<'_, str>, Cell<'_>)],
        known: &mut Vec<(usize, Value<'c>)>,
    ) -> Result<(), RowReason> {
        let mut unknown: Vec<(&str, &Cell<'_>)> = Vec::new();
        let mut met: HashSet<&str, RandomState> = HashSet::default();
        // Backwards, so that of a name given twice the last value is met first and wins.
        for (name, cell) in cells.iter().chain(more).rev() {
            match self.names.column(&self.schema, name) {
                Some(i) if std::mem::replace(&mut self.seen[i], self.row) == self.row => {}
                Some(i) => {
                    let value = convert(&self.schema.columns[i], cell, self.unit)?;
                    known.extend(value.map(|v| (i, v)));
                }
                None if !met.insert(name.as_ref()) => {}
                None if unknown.len() == MAX_COLUMNS => {
                    return Err(RowReason::TooManyColumns(MAX_COLUMNS));
                }
                None => unknown.push((name.as_ref(), cell)),
            }
        }
        unknown.retain(|(_, cell)| !matches!(cell, Cell::Null | Cell::Untyped("")));
        let any = |(_, cell): &(&str, &Cell<'_>)| !matches!(cell, Cell::NullOf(_));
        if known.is_empty() && !unknown.iter().any(any) {
            return Err(RowReason::Empty);
        }
        let time = self.time(known)?;
        if time < self.oldest {
            let why = self.stream.too_old(time, self.now_ns);
            return Err(RowReason::TooOld(why.unwrap_or(TooOld::Late)));
        }
        if !unknown.is_empty() {
            self.add_columns(&unknown)?;
            for (name, cell) in unknown.iter().rev() {
                let Some(i) = self.names.column(&self.schema, name) else {
                    continue;
                };
                let value = convert(&self.schema.columns[i], cell, self.unit)?;
                known.extend(value.map(|v| (i, v)));
            }
        }
        let series = self.series_of(known);
        self.batch.begin_row(time, series);
        for (i, value) in known.iter() {
            let def = &self.schema.columns[*i];
            if def.role != Role::Field {
                continue;
            }
            let column = self.batch.column(def.id, def.data_type);
            if !column.is_some_and(|c| value.push(c)) {
                self.batch.abort_row();
                return Err(RowReason::Full);
            }
        }
        Ok(())
    }

    fn time(&self, known: &[(usize, Value<'_>)]) -> Result<i64, RowReason> {
        let time = self.schema.time();
        let given = known
            .iter()
            .find(|(i, _)| self.schema.columns[*i].id == time.id);
        match (given, self.fill) {
            (Some((_, Value::Int(t))), _) => Ok(*t),
            (_, Some(t)) => Ok(t),
            _ => Err(RowReason::NoTime(time.name.clone())),
        }
    }

    fn add_columns(&mut self, unknown: &[(&str, &Cell<'_>)]) -> Result<(), RowReason> {
        if unknown
            .iter()
            .any(|(n, _)| n.is_empty() || n.len() > 65_535 || n.contains('\0'))
        {
            return Err(RowReason::BadName);
        }
        if self.schema.columns.len() + unknown.len() > MAX_COLUMNS {
            return Err(RowReason::TooManyColumns(MAX_COLUMNS));
        }
        // Checked before any column is made: a refused row leaves none behind.
        let mut wanted = Vec::with_capacity(unknown.len());
        for (name, cell) in unknown.iter().rev() {
            let def = ColumnDef {
                id: ColumnId(0),
                name: (*name).into(),
                data_type: natural(cell),
                role: Role::Field,
            };
            convert(&def, cell, self.unit)?;
            wanted.push((*name, def.data_type, Role::Field));
        }
        let refused = |e: Error| RowReason::Catalog(e.to_string());
        let schema = match self.stream.ensure_columns(&wanted) {
            Ok(schema) => schema,
            // Another writer was first, with other types: the values are checked against those.
            Err(Error::TypeConflict { .. }) => {
                let schema = self.stream.schema();
                wanted.retain(|w| schema.column(w.0).is_none());
                self.stream.ensure_columns(&wanted).map_err(refused)?
            }
            Err(e) => return Err(refused(e)),
        };
        self.widen(schema);
        Ok(())
    }

    /// Takes a grown schema. Rows that wait get a cell in each new column, so they are sealed first if that is much.
    fn widen(&mut self, schema: Arc<Schema>) {
        let more = schema.columns.len() - self.schema.columns.len();
        if self.bound.add(self.batch.rows() * more) {
            self.seal();
        }
        self.schema = schema;
        self.seen.resize(self.schema.columns.len(), 0);
        self.fields.clear();
    }

    fn series_of(&mut self, known: &[(usize, Value<'_>)]) -> SeriesId {
        let mut tags: Vec<(ColumnId, &str)> = Vec::new();
        for (i, value) in known {
            if let (def, Value::Str(v)) = (&self.schema.columns[*i], value)
                && def.role == Role::Tag
            {
                tags.push((def.id, v.as_ref()));
            }
        }
        tags.sort_unstable_by_key(|t| t.0);
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for (id, value) in &tags {
            put_tag(&mut key, *id, value);
        }
        let series = match self.series.get(key.as_slice()) {
            Some(series) => *series,
            None => {
                let series = self.stream.series().resolve(&tags);
                self.learn_series(&key, series);
                series
            }
        };
        self.key = key;
        series
    }

    /// Learns what the names of a row mean that was appended. Names with escapes are owned and left alone, and so are
    /// those of inner objects.
    pub fn learn(&mut self, cells: Cells<'_, '_>) {
        for (name, cell) in cells {
            let Cow::Borrowed(name) = name else { continue };
            let column = self.names.column(&self.schema, name);
            if column.is_some() || matches!(cell, Cell::Null) {
                let def = column.map(|i| &self.schema.columns[i]);
                self.fields.learn(name, def);
            }
        }
    }

    /// The series of the tags in `key`, in whatever order they are there.
    #[inline(always)]
    pub fn series_of_key(&mut self) -> Option<SeriesId> {
        match self.series.get(self.key.as_slice()) {
            Some(series) => Some(*series),
            None => self.resolve_key(),
        }
    }

    #[inline(never)]
    fn resolve_key(&mut self) -> Option<SeriesId> {
        let key = std::mem::take(&mut self.key);
        let mut tags = tags_of(&key)?;
        tags.sort_unstable_by_key(|t| t.0);
        let series = self.stream.series().resolve(&tags);
        self.learn_series(&key, series);
        self.key = key;
        Some(series)
    }

    fn learn_series(&mut self, key: &[u8], series: SeriesId) {
        self.series_bytes += key.len() + 48;
        if self.series_bytes > MAX_SERIES_BYTES {
            self.series = HashMap::default();
            self.series_bytes = key.len() + 48;
        }
        self.series.insert(key.into(), series);
    }
}

/// Appends a tag to the bytes that stand for a row's tags.
#[inline(always)]
pub(super) fn put_tag(key: &mut Vec<u8>, id: ColumnId, value: &str) {
    key.extend_from_slice(&id.0.to_le_bytes());
    key.extend_from_slice(&(value.len() as u64).to_le_bytes());
    key.extend_from_slice(value.as_bytes());
}

/// What [`put_tag`] wrote; always whole.
fn tags_of(mut key: &[u8]) -> Option<Vec<(ColumnId, &str)>> {
    let mut tags = Vec::new();
    while let Some((id, rest)) = key.split_first_chunk::<2>() {
        let (len, rest) = rest.split_first_chunk::<8>()?;
        let (value, rest) = rest.split_at_checked(u64::from_le_bytes(*len) as usize)?;
        tags.push((
            ColumnId(u16::from_le_bytes(*id)),
            std::str::from_utf8(value).ok()?,
        ));
        key = rest;
    }
    Some(tags)
}
