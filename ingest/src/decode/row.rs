//! Rows of named cells (JSON, CSV) into a stream: types are checked against its columns, unknown names become columns.

use super::Precision;
use super::number::{DecimalError, parse_decimal, parse_f64, parse_i64};
use super::time_text::parse_time;
use ahash::RandomState;
use hashbrown::HashMap;
use std::borrow::Cow;
use std::sync::Arc;
use tsdb::types::{BatchBuilder, ColumnDef, ColumnId, DataType, Role, Schema, SeriesId};
use tsdb::{Error, Rows, Stream};

/// Bytes of a refused row that are kept.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// Columns that rows alone may grow a stream to.
const MAX_COLUMNS: usize = 4_096;
/// Rows in a batch at most.
const SEAL_ROWS: usize = 65_536;
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
    /// The catalog refused a column.
    #[error("{0}")]
    Catalog(String),
}

/// A row that was refused; the others of its body are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Its place among the rows of the body, from 1 on; a CSV header is not counted.
    pub row: usize,
    /// Why.
    pub reason: RowReason,
    /// Its text, cut at [`MAX_PAYLOAD`], for the dead letters.
    pub payload: String,
}

/// What a body held.
#[derive(Default)]
pub struct DecodedRows {
    /// The rows, in order.
    pub rows: Vec<Rows>,
    /// How many.
    pub accepted: usize,
    /// The refused ones, all of them.
    pub errors: Vec<RowError>,
}

/// One value, as its format has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    /// A JSON number's text.
    Number(&'a str),
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
pub(super) struct Writer<'c> {
    ctx: &'c RowContext,
    schema: Arc<Schema>,
    /// Names as rows spell them to columns.
    columns: HashMap<String, usize, RandomState>,
    /// The row that last had a value for each column.
    seen: Vec<usize>,
    row: usize,
    batch: BatchBuilder,
    series: HashMap<Vec<u8>, SeriesId, RandomState>,
    out: DecodedRows,
}

impl<'c> Writer<'c> {
    pub fn new(ctx: &'c RowContext) -> Writer<'c> {
        let schema = ctx.stream.schema();
        Writer {
            ctx,
            seen: vec![0; schema.columns.len()],
            schema,
            columns: HashMap::default(),
            row: 0,
            batch: BatchBuilder::new(ctx.stream.id),
            series: HashMap::default(),
            out: DecodedRows::default(),
        }
    }

    /// Takes the next row, or what stands in its place.
    pub fn take(&mut self, cells: Result<&[(Cow<'_, str>, Cell<'_>)], RowReason>, text: &[u8]) {
        self.row += 1;
        match cells.and_then(|cells| self.append(cells)) {
            Ok(()) => self.out.accepted += 1,
            Err(reason) => {
                let payload =
                    String::from_utf8_lossy(&text[..text.len().min(MAX_PAYLOAD)]).into_owned();
                self.out.errors.push(RowError {
                    row: self.row,
                    reason,
                    payload,
                });
            }
        }
        if self.batch.rows() >= SEAL_ROWS {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let rows = std::mem::replace(&mut self.batch, BatchBuilder::new(self.ctx.stream.id));
        self.out.rows.extend(Rows::from_builder(rows));
    }

    /// What all rows came to.
    pub fn finish(mut self) -> DecodedRows {
        self.seal();
        self.out
    }

    /// The column that a name means: the exact one, else the only one that differs in case alone.
    fn column(&mut self, name: &str) -> Option<usize> {
        if let Some(i) = self.columns.get(name) {
            return Some(*i);
        }
        let all = &self.schema.columns;
        let found = all.iter().position(|c| c.name == name).or_else(|| {
            let mut like = all
                .iter()
                .enumerate()
                .filter(|(_, c)| c.name.eq_ignore_ascii_case(name));
            let first = like.next()?.0;
            like.next().is_none().then_some(first)
        })?;
        self.columns.insert(name.to_owned(), found);
        Some(found)
    }

    fn append(&mut self, cells: &[(Cow<'_, str>, Cell<'_>)]) -> Result<(), RowReason> {
        let mut known: Vec<(usize, Value<'_>)> = Vec::with_capacity(cells.len());
        let mut unknown: Vec<(&str, &Cell<'_>)> = Vec::new();
        // Backwards, so that of a name given twice the last value is met first and wins.
        for (name, cell) in cells.iter().rev() {
            match self.column(name) {
                Some(i) if std::mem::replace(&mut self.seen[i], self.row) == self.row => {}
                Some(i) => {
                    known.extend(convert(&self.schema.columns[i], cell, self.ctx)?.map(|v| (i, v)))
                }
                None if unknown.iter().any(|(n, _)| *n == name.as_ref()) => {}
                None => unknown.push((name.as_ref(), cell)),
            }
        }
        unknown.retain(|(_, cell)| !matches!(cell, Cell::Null | Cell::Untyped("")));
        if known.is_empty() && unknown.is_empty() {
            return Err(RowReason::Empty);
        }
        let time = self.time(&known)?;
        if !unknown.is_empty() {
            self.add_columns(&unknown)?;
            for (name, cell) in unknown.iter().rev() {
                let Some(i) = self.column(name) else { continue };
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
        match self.ctx.stream.ensure_columns(&wanted) {
            Ok(schema) => self.schema = schema,
            // Another writer was first, with other types: the values are checked against those.
            Err(Error::TypeConflict { .. }) => {
                self.schema = self.ctx.stream.schema();
                let missing = wanted
                    .into_iter()
                    .filter(|w| self.schema.column(w.0).is_none())
                    .collect::<Vec<_>>();
                self.schema = self
                    .ctx
                    .stream
                    .ensure_columns(&missing)
                    .map_err(|e| RowReason::Catalog(e.to_string()))?;
            }
            Err(e) => return Err(RowReason::Catalog(e.to_string())),
        }
        self.columns.clear();
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
