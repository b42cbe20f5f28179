//! Rows of named cells (JSON, CSV) into a stream: types are checked against its columns, unknown names become columns.

use super::Precision;
use super::bound::{Bound, SEAL_ROWS};
use super::number::{DecimalError, parse_decimal, parse_f64, parse_i64};
use super::time_text::parse_time;
use crate::admission::Rejection;
use ahash::RandomState;
use hashbrown::{HashMap, HashSet};
use std::borrow::Cow;
use std::sync::Arc;
use tsdb::types::{BatchBuilder, ColumnDef, ColumnId, DataType, Role, Schema, SeriesId};
use tsdb::{Error, Rows, Stream, TooOld};

/// Columns that rows alone may grow a stream to.
const MAX_COLUMNS: usize = 4_096;
/// Series that one request remembers.
const MAX_SERIES: usize = 100_000;

/// What rows are decoded against.
#[derive(Clone)]
pub struct RowContext {
    /// The stream.
    pub stream: Arc<Stream>,
    /// The commit's time, in nanoseconds.
    pub now_ns: i64,
    /// The unit of integer times; by their size when it is not declared.
    pub unit: Option<Precision>,
    /// Whether a row without event time gets `now_ns`; it is refused otherwise.
    pub fill_time: bool,
}

impl RowContext {
    /// Integer times by size; a stream whose event time is the undeclared `time` fills it in.
    #[must_use]
    pub fn new(stream: Arc<Stream>, now_ns: i64) -> RowContext {
        let fill_time = stream.schema().time().name == "time";
        RowContext {
            stream,
            now_ns,
            unit: None,
            fill_time,
        }
    }
}

/// Why a row was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowReason {
    /// The text is not of its format.
    #[error("{0}")]
    Syntax(String),
    /// Bytes that are no UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A JSON value that is no object.
    #[error("a row must be an object")]
    NotAnObject,
    /// No value at all.
    #[error("a row without values")]
    Empty,
    /// Objects within objects beyond the limit.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// A name that no column can have.
    #[error("a column needs a name of 1 to 65535 bytes without NUL")]
    BadName,
    /// The stream would have too many columns.
    #[error("more than {0} columns")]
    TooManyColumns(usize),
    /// A CSV row that does not fit its header.
    #[error("{got} values where the header names {expected}")]
    Width {
        /// Columns of the header.
        expected: usize,
        /// Values of the row.
        got: usize,
    },
    /// A value that is not of its column's type.
    #[error("column \"{column}\" is {have}; {got}")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        have: String,
        /// What is wrong with the value.
        got: String,
    },
    /// A row that does not say when.
    #[error("no event time: \"{0}\" is missing")]
    NoTime(String),
    /// More text than a batch can hold.
    #[error("too much text in one request")]
    Full,
    /// The stream takes no rows from so long ago.
    #[error("{0}")]
    TooOld(TooOld),
    /// The catalog refused a column.
    #[error("{0}")]
    Catalog(String),
}

/// A row that was refused; the others of its body are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow<'a> {
    /// Its place among the rows of the body, from 1 on; a CSV header is not counted.
    pub row: usize,
    /// Why.
    pub reason: RowReason,
    /// Its text.
    pub payload: &'a [u8],
}

/// Told of each refused row as it is met: a body may hold more of them than there is room to keep.
pub(super) type OnRefused<'f> = dyn FnMut(RefusedRow<'_>) + 'f;

/// What a body held.
#[derive(Default)]
pub struct DecodedRows {
    /// The rows, in order.
    pub rows: Vec<Rows>,
    /// How many.
    pub accepted: usize,
    /// How many were refused.
    pub rejected: usize,
}

/// One value, as its format has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// A JSON number's text.
    Number(&'a str),
    /// Text.
    Str(Cow<'a, str>),
    /// The text of a JSON array.
    Array(&'a str),
    /// CSV: text whose type only the column tells.
    Untyped(&'a str),
}

enum Value<'a> {
    Int(i64),
    Decimal(i128),
    Float(f64),
    Str(Cow<'a, str>),
}

/// Appends rows to a stream's batches.
pub(super) struct Writer<'c, 'f> {
    ctx: &'c RowContext,
    on_refused: &'c mut OnRefused<'f>,
    schema: Arc<Schema>,
    names: Names,
    /// The row that last had a value for each column.
    seen: Vec<usize>,
    row: usize,
    /// Rows before this event time are refused.
    oldest: i64,
    batch: BatchBuilder,
    series: HashMap<Vec<u8>, SeriesId, RandomState>,
    bound: Bound,
    out: DecodedRows,
}

impl<'c, 'f> Writer<'c, 'f> {
    pub fn new(ctx: &'c RowContext, on_refused: &'c mut OnRefused<'f>) -> Writer<'c, 'f> {
        let schema = ctx.stream.schema();
        Writer {
            ctx,
            on_refused,
            seen: vec![0; schema.columns.len()],
            schema,
            names: Names::default(),
            row: 0,
            oldest: ctx.stream.oldest_taken(ctx.now_ns),
            batch: BatchBuilder::new(ctx.stream.id),
            series: HashMap::default(),
            bound: Bound::default(),
            out: DecodedRows::default(),
        }
    }

    /// Takes the next row, or what stands in its place. False when the rows take too much and no more is wanted.
    pub fn take(
        &mut self,
        cells: Result<&[(Cow<'_, str>, Cell<'_>)], RowReason>,
        text: &[u8],
    ) -> bool {
        self.row += 1;
        match cells.and_then(|cells| self.append(cells)) {
            Ok(()) => {
                self.out.accepted += 1;
                let full = self.bound.add(self.schema.columns.len());
                if full || self.batch.rows() >= SEAL_ROWS {
                    self.seal();
                    return self.bound.check().is_ok();
                }
            }
            Err(reason) => {
                self.out.rejected += 1;
                (self.on_refused)(RefusedRow {
                    row: self.row,
                    reason,
                    payload: text,
                });
            }
        }
        true
    }

    fn seal(&mut self) {
        let rows = std::mem::replace(&mut self.batch, BatchBuilder::new(self.ctx.stream.id));
        self.bound
            .seal(rows, self.schema.columns.len(), &mut self.out.rows);
        self.bound.none_wait();
    }

    /// What all rows came to.
    ///
    /// # Errors
    /// 413 when they take too much.
    pub fn finish(mut self) -> Result<DecodedRows, Rejection> {
        self.seal();
        self.bound.check()?;
        Ok(self.out)
    }

    fn append(&mut self, cells: &[(Cow<'_, str>, Cell<'_>)]) -> Result<(), RowReason> {
        let mut known: Vec<(usize, Value<'_>)> = Vec::with_capacity(cells.len());
        let mut unknown: Vec<(&str, &Cell<'_>)> = Vec::new();
        let mut met: HashSet<&str, RandomState> = HashSet::default();
        // Backwards, so that of a name given twice the last value is met first and wins.
        for (name, cell) in cells.iter().rev() {
            match self.names.column(&self.schema, name) {
                Some(i) if std::mem::replace(&mut self.seen[i], self.row) == self.row => {}
                Some(i) => {
                    known.extend(convert(&self.schema.columns[i], cell, self.ctx)?.map(|v| (i, v)))
                }
                None if !met.insert(name.as_ref()) => {}
                None if unknown.len() == MAX_COLUMNS => {
                    return Err(RowReason::TooManyColumns(MAX_COLUMNS));
                }
                None => unknown.push((name.as_ref(), cell)),
            }
        }
        unknown.retain(|(_, cell)| !matches!(cell, Cell::Null | Cell::Untyped("")));
        if known.is_empty() && unknown.is_empty() {
            return Err(RowReason::Empty);
        }
        let time = self.time(&known)?;
        if time < self.oldest {
            let why = self.ctx.stream.too_old(time, self.ctx.now_ns);
            return Err(RowReason::TooOld(why.unwrap_or(TooOld::Late)));
        }
        if !unknown.is_empty() {
            self.add_columns(&unknown)?;
            for (name, cell) in unknown.iter().rev() {
                let Some(i) = self.names.column(&self.schema, name) else {
                    continue;
                };
                known.extend(convert(&self.schema.columns[i], cell, self.ctx)?.map(|v| (i, v)));
            }
        }
        let series = self.series_of(&known);
        self.batch.begin_row(time, series);
        for (i, value) in &known {
            let def = &self.schema.columns[*i];
            if def.role != Role::Field {
                continue;
            }
            let pushed =
                self.batch
                    .column(def.id, def.data_type)
                    .is_some_and(|column| match value {
                        Value::Int(v) => {
                            column.push_i64(*v);
                            true
                        }
                        Value::Decimal(v) => column.push_i128(*v),
                        Value::Float(v) => {
                            column.push_f64(*v);
                            true
                        }
                        Value::Str(v) => column.push_str(v),
                    });
            if !pushed {
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
        match given {
            Some((_, Value::Int(t))) => Ok(*t),
            _ if self.ctx.fill_time => Ok(self.ctx.now_ns),
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
            convert(&def, cell, self.ctx)?;
            wanted.push((*name, def.data_type, Role::Field));
        }
        let refused = |e: Error| RowReason::Catalog(e.to_string());
        let schema = match self.ctx.stream.ensure_columns(&wanted) {
            Ok(schema) => schema,
            // Another writer was first, with other types: the values are checked against those.
            Err(Error::TypeConflict { .. }) => {
                let schema = self.ctx.stream.schema();
                wanted.retain(|w| schema.column(w.0).is_none());
                self.ctx.stream.ensure_columns(&wanted).map_err(refused)?
            }
            Err(e) => return Err(refused(e)),
        };
        // The rows that wait get a cell in each new column, so they are sealed first if that is much.
        let more = schema.columns.len() - self.schema.columns.len();
        if self.bound.add(self.batch.rows() * more) {
            self.seal();
        }
        self.schema = schema;
        self.seen.resize(self.schema.columns.len(), 0);
        Ok(())
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
        let mut key = Vec::new();
        for (id, value) in &tags {
            key.extend_from_slice(&id.0.to_le_bytes());
            key.extend_from_slice(&(value.len() as u64).to_le_bytes());
            key.extend_from_slice(value.as_bytes());
        }
        if let Some(series) = self.series.get(&key) {
            return *series;
        }
        let series = self.ctx.stream.series().resolve(&tags);
        if self.series.len() < MAX_SERIES {
            self.series.insert(key, series);
        }
        series
    }
}

/// From so many columns on names are looked up in a table that holds them all.
const MANY_COLUMNS: usize = 64;

/// Names as rows spell them to columns.
#[derive(Default)]
struct Names {
    /// Spellings met since the schema last grew.
    met: HashMap<String, usize, RandomState>,
    /// Columns of the schema then.
    known: usize,
    /// The first `folded` columns by name, and by name in small letters: `None` when several differ in case alone.
    exact: HashMap<String, usize, RandomState>,
    lower: HashMap<String, Option<usize>, RandomState>,
    folded: usize,
}

impl Names {
    /// The column that a name means: the exact one, else the only one that differs in case alone.
    fn column(&mut self, schema: &Schema, name: &str) -> Option<usize> {
        let all = &schema.columns;
        if self.known != all.len() {
            // A new column may take a name over, or make it ambiguous.
            self.met.clear();
            self.known = all.len();
        }
        if let Some(i) = self.met.get(name) {
            return Some(*i);
        }
        let found = if all.len() < MANY_COLUMNS {
            let alike = |c: &ColumnDef| c.name.eq_ignore_ascii_case(name);
            all.iter().position(|c| c.name == name).or_else(|| {
                let first = all.iter().position(alike)?;
                (!all[first + 1..].iter().any(alike)).then_some(first)
            })?
        } else {
            self.fold(all);
            match self.exact.get(name) {
                Some(i) => *i,
                None => (*self.lower.get(&name.to_ascii_lowercase())?)?,
            }
        };
        self.met.insert(name.to_owned(), found);
        Some(found)
    }

    /// Takes in the columns that are new: a schema only ever grows.
    fn fold(&mut self, all: &[ColumnDef]) {
        for (i, c) in all.iter().enumerate().skip(self.folded) {
            self.exact.insert(c.name.clone(), i);
            self.lower
                .entry(c.name.to_ascii_lowercase())
                .and_modify(|known| *known = None)
                .or_insert(Some(i));
        }
        self.folded = all.len();
    }
}

/// The type of a column made for this value.
fn natural(cell: &Cell<'_>) -> DataType {
    match cell {
        Cell::Bool(_) | Cell::Untyped("true" | "false") => DataType::Bool,
        Cell::Number(_) => DataType::Float64,
        Cell::Untyped(text) if parse_f64(text.as_bytes()).is_some() => DataType::Float64,
        _ => DataType::Utf8,
    }
}

/// The value for a column; `None` for null.
fn convert<'a>(
    def: &ColumnDef,
    cell: &'a Cell<'_>,
    ctx: &RowContext,
) -> Result<Option<Value<'a>>, RowReason> {
    let wrong = |got: String| RowReason::Type {
        column: def.name.clone(),
        have: def.data_type.to_string(),
        got,
    };
    let number = |text: &str, precision, scale, exact| {
        parse_decimal(text.as_bytes(), precision, scale, exact)
            .map_err(|e: DecimalError| wrong(format!("{} {e}", brief(text))))
    };
    // Numbers may come as strings: many writers do so for 64-bit integers and decimals.
    let (text, is_number, is_text) = match cell {
        Cell::Null | Cell::Untyped("") => return Ok(None),
        Cell::Bool(v) if def.data_type == DataType::Bool => {
            return Ok(Some(Value::Int(i64::from(*v))));
        }
        Cell::Bool(_) => return Err(wrong("the value is a boolean".into())),
        Cell::Array(text) if def.data_type == DataType::Utf8 => {
            return Ok(Some(Value::Str(Cow::Borrowed(text))));
        }
        Cell::Array(_) => return Err(wrong("the value is an array".into())),
        Cell::Number(text) => (*text, true, false),
        Cell::Str(text) => (text.as_ref(), false, true),
        Cell::Untyped(text) => (*text, true, true),
    };
    Ok(Some(match def.data_type {
        DataType::Bool => match text {
            "true" | "TRUE" | "True" | "t" if matches!(cell, Cell::Untyped(_)) => Value::Int(1),
            "false" | "FALSE" | "False" | "f" if matches!(cell, Cell::Untyped(_)) => Value::Int(0),
            _ => return Err(wrong(format!("{} is no boolean", brief(text)))),
        },
        DataType::Int64 => {
            let v = number(text, 38, 0, true)?;
            Value::Int(
                i64::try_from(v).map_err(|_| wrong(format!("{} is out of range", brief(text))))?,
            )
        }
        DataType::UInt64 => {
            let v = number(text, 38, 0, true)?;
            let v =
                u64::try_from(v).map_err(|_| wrong(format!("{} is out of range", brief(text))))?;
            Value::Int(v as i64)
        }
        DataType::Float64 if is_number => Value::Float(
            parse_f64(text.as_bytes())
                .ok_or_else(|| wrong(format!("{} is no finite number", brief(text))))?,
        ),
        DataType::Float64 => return Err(wrong("the value is a string".into())),
        DataType::Decimal { precision, scale } => {
            Value::Decimal(number(text, precision, scale, false)?)
        }
        DataType::Utf8 if is_text => Value::Str(Cow::Borrowed(text)),
        DataType::Utf8 => return Err(wrong("the value is a number".into())),
        DataType::Timestamp => Value::Int(
            instant(text, ctx.unit)
                .ok_or_else(|| wrong(format!("{} is no time in range", brief(text))))?,
        ),
    }))
}

/// A time: an integer or fraction in the unit given or of its size, or text.
fn instant(text: &str, unit: Option<Precision>) -> Option<i64> {
    let bytes = text.as_bytes();
    if let Some(v) = parse_i64(bytes) {
        return v.checked_mul(unit.unwrap_or_else(|| Precision::by_size(v)).nanos());
    }
    if let Some(t) = parse_time(bytes) {
        return Some(t);
    }
    let billionths = parse_decimal(bytes, 38, 9, false).ok()?;
    let whole = i64::try_from(billionths / 1_000_000_000).ok()?;
    let unit = unit.unwrap_or_else(|| Precision::by_size(whole)).nanos();
    i64::try_from(billionths.checked_mul(i128::from(unit))? / 1_000_000_000).ok()
}

/// The beginning of a value, for an error.
fn brief(text: &str) -> String {
    let mut cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("'{cut}'")
}
