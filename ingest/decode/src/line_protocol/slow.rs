//! A line that the grammar has taken apart, into its stream: first sights of streams, columns and series happen here.

use super::cache::{Cache, Target};
use super::line::{Line, Value};
use super::{LineContext, LineReason};
use crate::number::parse_decimal;
use ahash::RandomState;
use hashbrown::HashMap;
use tsdb::types::{ColumnBuilder, ColumnDef, ColumnId, DataType, Role, Schema};
use tsdb::{Error, Rows, StreamDef, TooOld};

/// Appends the line's row, or nothing; gives the stream's place in the cache. Rows of before go to `out` where the
/// line's new columns would make them too wide.
pub(super) fn line(
    cache: &mut Cache,
    line: &Line<'_>,
    ctx: &LineContext<'_>,
    out: &mut Vec<Rows>,
) -> Result<u32, LineReason> {
    let time = match line.time {
        Some(t) => t
            .checked_mul(ctx.precision.nanos())
            .ok_or(LineReason::TimeRange(t))?,
        None => ctx.now_ns,
    };
    let index = match cache.target(&line.measurement) {
        Some(index) => index,
        None => {
            let stream = match ctx.catalog.stream(ctx.db, &line.measurement) {
                Some(stream) => stream,
                None => {
                    // A line that is refused makes no stream.
                    let def = tsdb::catalog::line_protocol_stream();
                    missing(&schema_of(&def), true, line)?;
                    ctx.catalog
                        .ensure_stream(ctx.db, &line.measurement, || def)
                        .map_err(catalog)?
                }
            };
            cache.add_target(&line.measurement, stream)
        }
    };
    let target = &cache.targets[index as usize];
    if time < target.oldest {
        let why = target.stream.too_old(time, ctx.now_ns);
        return Err(LineReason::TooOld(why.unwrap_or(TooOld::Late)));
    }
    let (stream, mut schema) = (target.stream.clone(), target.schema.clone());
    let merge = stream.options.merge;
    let mut wanted = missing(&schema, merge, line)?;
    if !wanted.is_empty() {
        // Others may have added some meanwhile, of another type.
        schema = stream.schema();
        wanted = missing(&schema, merge, line)?;
        if !wanted.is_empty() {
            schema = stream.ensure_columns(&wanted).map_err(catalog)?;
            missing(&schema, merge, line)?;
        }
        cache.widen(index, schema, out);
    }
    row(&mut cache.targets[index as usize], line, time)?;
    learn(cache, index, line);
    Ok(index)
}

fn catalog(error: Error) -> LineReason {
    LineReason::Catalog(error.to_string())
}

fn schema_of(def: &StreamDef) -> Schema {
    let column = |(i, (name, data_type, role)): (usize, &(String, DataType, Role))| ColumnDef {
        id: ColumnId(i as u16),
        name: name.clone(),
        data_type: *data_type,
        role: *role,
    };
    Schema {
        columns: def.columns.iter().enumerate().map(column).collect(),
    }
}

/// Columns that lines alone may grow a stream to.
const MAX_COLUMNS: usize = 4_096;
/// From so many comparisons on a table of names pays.
const MANY: usize = 4_096;

/// Columns by name.
struct Names<'s> {
    schema: &'s Schema,
    table: Option<HashMap<&'s str, &'s ColumnDef, RandomState>>,
}

impl<'s> Names<'s> {
    fn new(schema: &'s Schema, line: &Line<'_>) -> Names<'s> {
        let many = schema.columns.len() * (line.fields.len() + line.tags.len()) > MANY;
        let table = many.then(|| {
            schema
                .columns
                .iter()
                .map(|c| (c.name.as_str(), c))
                .collect()
        });
        Names { schema, table }
    }

    fn column(&self, name: &str) -> Option<&'s ColumnDef> {
        match &self.table {
            Some(table) => table.get(name).copied(),
            None => self.schema.column(name),
        }
    }
}

/// Checks the line against the schema and gives the columns that it adds. In a declared stream a tag may go to a STRING
/// field; where lines made the columns (`merge`) that would change what a series is.
fn missing<'a>(
    schema: &Schema,
    merge: bool,
    line: &'a Line<'_>,
) -> Result<Vec<(&'a str, DataType, Role)>, LineReason> {
    let taken = |what, name: &str, taken| LineReason::NameTaken {
        what,
        name: name.into(),
        taken,
    };
    let names = Names::new(schema, line);
    let mut wanted = Vec::new();
    for (name, _) in &line.tags {
        match names.column(name) {
            None => wanted.push((name.as_ref(), DataType::Utf8, Role::Tag)),
            Some(c) if c.role == Role::Time => return Err(taken("tag", name, "the event time")),
            Some(c) if c.data_type != DataType::Utf8 || (merge && c.role == Role::Field) => {
                return Err(taken("tag", name, "a field"));
            }
            Some(_) => {}
        }
    }
    for (_, name, value) in &line.fields {
        match names.column(name) {
            _ if line.tags.binary_search_by(|t| t.0.cmp(name)).is_ok() => {
                return Err(taken("field", name, "a tag"));
            }
            None => wanted.push((name.as_ref(), natural(value), Role::Field)),
            Some(c) if c.role == Role::Time => return Err(taken("field", name, "the event time")),
            Some(c) if c.role == Role::Tag => return Err(taken("field", name, "a tag")),
            Some(c) if !fits(c.data_type, value) => {
                let (have, got) = (c.data_type.to_string(), spelled(value));
                return Err(LineReason::TypeConflict {
                    field: name.to_string(),
                    have,
                    got,
                });
            }
            Some(_) => {}
        }
    }
    if !wanted.is_empty() && schema.columns.len() + wanted.len() > MAX_COLUMNS {
        return Err(LineReason::TooMany("columns", MAX_COLUMNS));
    }
    Ok(wanted)
}

/// The type of a column made for this value.
fn natural(value: &Value<'_>) -> DataType {
    match value {
        Value::I64(_) => DataType::Int64,
        Value::U64(_) => DataType::UInt64,
        Value::F64(..) => DataType::Float64,
        Value::Bool(_) => DataType::Bool,
        Value::Time(_) => DataType::Timestamp,
        Value::Str(_) => DataType::Utf8,
    }
}

fn spelled(value: &Value<'_>) -> &'static str {
    match value {
        Value::I64(_) => "an integer",
        Value::U64(_) => "an unsigned integer",
        Value::F64(..) => "a float",
        Value::Bool(_) => "a boolean",
        Value::Time(_) => "a timestamp",
        Value::Str(_) => "a string",
    }
}

/// Whether a value may go into a column. Declared DECIMAL columns, for which line protocol has no spelling, take
/// numbers.
fn fits(have: DataType, value: &Value<'_>) -> bool {
    match (have, value) {
        (DataType::Decimal { precision, scale }, Value::F64(_, text)) => {
            parse_decimal(text, precision, scale, false).is_ok()
        }
        (DataType::Decimal { precision, scale }, Value::I64(v)) => {
            parse_decimal(v.to_string().as_bytes(), precision, scale, false).is_ok()
        }
        _ => have == natural(value),
    }
}

/// Appends a value that [`fits`]; false when the column is full.
fn push(column: &mut ColumnBuilder, data_type: DataType, value: &Value<'_>) -> bool {
    match (data_type, value) {
        (DataType::Decimal { precision, scale }, Value::F64(_, text)) => {
            parse_decimal(text, precision, scale, false).is_ok_and(|v| column.push_i128(v))
        }
        (DataType::Decimal { precision, scale }, Value::I64(v)) => {
            parse_decimal(v.to_string().as_bytes(), precision, scale, false)
                .is_ok_and(|v| column.push_i128(v))
        }
        (_, Value::I64(v) | Value::Time(v)) => {
            column.push_i64(*v);
            true
        }
        (_, Value::U64(v)) => {
            column.push_i64(*v as i64);
            true
        }
        (_, Value::Bool(v)) => {
            column.push_i64(i64::from(*v));
            true
        }
        (_, Value::F64(v, _)) => {
            column.push_f64(*v);
            true
        }
        (_, Value::Str(v)) => column.push_str(v),
    }
}

/// Appends the row of a line that was checked against the target's schema.
fn row(target: &mut Target, line: &Line<'_>, time: i64) -> Result<(), LineReason> {
    let Target {
        schema,
        rows,
        stream,
        ..
    } = target;
    // Invariant: `missing` gave nothing for this schema, so every name is in it.
    let names = Names::new(schema, line);
    let column = |name: &str| {
        names
            .column(name)
            .ok_or(LineReason::Expected("a known column"))
    };
    let mut tags: Vec<(ColumnId, &str)> = Vec::with_capacity(line.tags.len());
    let mut extra = Vec::new();
    for (name, value) in &line.tags {
        let column = column(name)?;
        match column.role {
            Role::Tag => tags.push((column.id, value.as_ref())),
            _ => extra.push((column.id, value)),
        }
    }
    tags.sort_unstable_by_key(|t| t.0);
    rows.begin_row(time, stream.series().resolve(&tags));
    let mut whole = true;
    for (id, value) in extra {
        whole &= rows
            .column(id, DataType::Utf8)
            .is_some_and(|c| c.push_str(value));
    }
    for (_, name, value) in &line.fields {
        let def = column(name)?;
        whole &= rows
            .column(def.id, def.data_type)
            .is_some_and(|c| push(c, def.data_type, value));
    }
    if !whole {
        rows.abort_row();
        return Err(LineReason::Expected("less text in one request"));
    }
    Ok(())
}

/// Remembers what the key and the names mean, for the fast path.
fn learn(cache: &mut Cache, index: u32, line: &Line<'_>) {
    let target = &mut cache.targets[index as usize];
    let Some(series) = target.rows.series.last().copied() else {
        return;
    };
    let schema = target.schema.clone();
    let names = Names::new(&schema, line);
    for (raw, name, _) in &line.fields {
        if let Some(def) = names.column(name) {
            target.fields.learn(raw, def.id, def.data_type);
        }
    }
    let extra: Box<[(ColumnId, String)]> = line
        .tags
        .iter()
        .filter_map(|(name, value)| {
            let def = names.column(name).filter(|c| c.role == Role::Field)?;
            Some((def.id, value.to_string()))
        })
        .collect();
    let extra = (!extra.is_empty()).then_some(extra);
    let entry = cache.add_entry(line.key, index, tsdb::types::SeriesId(series), extra);
    cache.last = entry;
}
