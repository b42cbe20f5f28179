//! The rows of a table in memory: encoded keys to encoded rows, in shards that a snapshot shares until one changes.

use crate::stream::StreamError;
use crate::types::arrow_type;
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use std::sync::Arc;
use tsdb::types::{ColumnDef, ColumnId};

/// Encoded values, as [`RowConverter`] encodes them.
type Bytes = Arc<[u8]>;
type Shard = HashMap<Bytes, Bytes, ahash::RandomState>;

/// A change after a snapshot copies one shard of so many.
const SHARDS: usize = 1024;

/// The rows at one moment. A clone shares them.
#[derive(Clone)]
pub(crate) struct State {
    /// The columns that rows have, the key's among them, in order of their ids.
    pub columns: Arc<Vec<ColumnDef>>,
    pub arrow: SchemaRef,
    keys: Arc<RowConverter>,
    values: Arc<RowConverter>,
    /// A row that is NULL throughout.
    missing: Bytes,
    shards: Vec<Arc<Shard>>,
    hasher: ahash::RandomState,
    len: usize,
}

impl State {
    /// No rows of these columns.
    pub fn new(columns: Vec<ColumnDef>, key: &[ColumnId]) -> Result<State, StreamError> {
        let type_of = |id: &ColumnId| {
            let column = columns.iter().find(|c| c.id == *id);
            column.map(|c| SortField::new(arrow_type(c.data_type)))
        };
        let keys = key.iter().filter_map(type_of).collect();
        let (values, missing) = values(&columns)?;
        let empty: Arc<Shard> = Arc::default();
        Ok(State {
            arrow: arrow_of(&columns),
            columns: Arc::new(columns),
            keys: Arc::new(RowConverter::new(keys)?),
            values,
            missing,
            shards: vec![empty; SHARDS],
            hasher: ahash::RandomState::with_seeds(1, 2, 3, 4),
            len: 0,
        })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives rows the columns that they lack, NULL in those that are there.
    pub fn widen(&mut self, columns: Vec<ColumnDef>) -> Result<(), StreamError> {
        let (values, missing) = values(&columns)?;
        let arrow = arrow_of(&columns);
        for shard in &mut self.shards {
            if shard.is_empty() {
                continue;
            }
            let old: Vec<(&Bytes, &Bytes)> = shard.iter().collect();
            let mut arrays = decode(&self.values, old.iter().map(|(_, row)| row.as_ref()))?;
            for column in &columns[arrays.len()..] {
                arrays.push(new_null_array(&arrow_type(column.data_type), old.len()));
            }
            let wide = values.convert_columns(&arrays)?;
            let entries = old.iter().zip(wide.iter());
            let widened = entries.map(|((key, _), row)| (Arc::clone(key), row.as_ref().into()));
            let mut map = Shard::with_hasher(self.hasher.clone());
            map.extend(widened);
            *shard = Arc::new(map);
        }
        (self.values, self.missing, self.arrow) = (values, missing, arrow);
        self.columns = Arc::new(columns);
        Ok(())
    }

    /// Puts rows in place of those with their keys, and takes out those that `deleted` is true for, in order. A row
    /// without a whole key is left out: none is let into the log.
    pub fn apply(
        &mut self,
        rows: &RecordBatch,
        key: &[usize],
        deleted: impl Fn(usize) -> bool,
    ) -> Result<(), StreamError> {
        let keys = self.encoded_keys(&select(rows, key))?;
        let values = self.values.convert_columns(rows.columns())?;
        for (i, key) in keys.into_iter().enumerate() {
            let Some(key) = key else { continue };
            let at = self.shard(&key);
            let shard = Arc::make_mut(&mut self.shards[at]);
            if deleted(i) {
                self.len -= usize::from(shard.remove(&key).is_some());
            } else {
                let row = values.row(i).as_ref().into();
                self.len += usize::from(shard.insert(key, row).is_none());
            }
        }
        Ok(())
    }

    /// The columns at `places` of the rows with these keys, NULL where there is none; and whether there is one.
    pub fn lookup(
        &self,
        keys: &[ArrayRef],
        places: &[usize],
    ) -> Result<(Vec<ArrayRef>, Vec<bool>), StreamError> {
        let keys = self.encoded_keys(keys)?;
        let found: Vec<Option<&Bytes>> = keys
            .iter()
            .map(|key| {
                let key = key.as_ref()?;
                self.shards[self.shard(key)].get(key)
            })
            .collect();
        let rows = found
            .iter()
            .map(|row| row.unwrap_or(&self.missing).as_ref());
        let all = match places {
            [] => Vec::new(),
            _ => decode(&self.values, rows)?,
        };
        let columns = places.iter().map(|p| Arc::clone(&all[*p])).collect();
        Ok((columns, found.iter().map(Option::is_some).collect()))
    }

    /// Hands out all rows, some thousand at a time, until `emit` has enough.
    pub fn batches(&self, emit: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), StreamError> {
        const ROWS: usize = 8192;
        let mut rows: Vec<&[u8]> = Vec::with_capacity(ROWS);
        let last = self.shards.len() - 1;
        for (at, shard) in self.shards.iter().enumerate() {
            rows.extend(shard.values().map(AsRef::as_ref));
            if rows.is_empty() || (rows.len() < ROWS && at < last) {
                continue;
            }
            let count = rows.len();
            let columns = decode(&self.values, rows.drain(..))?;
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            let batch =
                RecordBatch::try_new_with_options(Arc::clone(&self.arrow), columns, &options)?;
            if !emit(batch) {
                break;
            }
        }
        Ok(())
    }

    /// The bytes of each key; `None` for one that is NULL in a part, which equals no other.
    fn encoded_keys(&self, keys: &[ArrayRef]) -> Result<Vec<Option<Bytes>>, StreamError> {
        let rows = self.keys.convert_columns(keys)?;
        let whole = |i: usize| keys.iter().all(|k| k.is_valid(i));
        let encoded = rows.iter().enumerate();
        Ok(encoded
            .map(|(i, row)| whole(i).then(|| row.as_ref().into()))
            .collect())
    }

    fn shard(&self, key: &Bytes) -> usize {
        // The high bits: the map inside uses the low ones.
        (self.hasher.hash_one(key) >> 40) as usize % SHARDS
    }
}

/// Columns of a batch by their places.
fn select(rows: &RecordBatch, places: &[usize]) -> Vec<ArrayRef> {
    places.iter().map(|p| Arc::clone(rows.column(*p))).collect()
}

fn arrow_of(columns: &[ColumnDef]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|c| Field::new(&c.name, arrow_type(c.data_type), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The encoding of rows, and a row that is NULL throughout.
fn values(columns: &[ColumnDef]) -> Result<(Arc<RowConverter>, Bytes), StreamError> {
    let types: Vec<_> = columns.iter().map(|c| arrow_type(c.data_type)).collect();
    let fields = types.iter().cloned().map(SortField::new).collect();
    let converter = RowConverter::new(fields)?;
    let nulls: Vec<ArrayRef> = types.iter().map(|t| new_null_array(t, 1)).collect();
    let missing = converter.convert_columns(&nulls)?.row(0).as_ref().into();
    Ok((Arc::new(converter), missing))
}

fn decode<'a>(
    converter: &RowConverter,
    rows: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<ArrayRef>, StreamError> {
    let parser = converter.parser();
    let rows: Vec<_> = rows.map(|row| parser.parse(row)).collect();
    Ok(converter.convert_rows(rows)?)
}
