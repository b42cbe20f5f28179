//! Tables: one row per key, kept in memory beside the log that holds every change of them.
//!
//! A table is a stream underneath. Its columns are fields, its rows are of one series and one time, so that a scan hands
//! them out in log order; a row that says so takes its key's out. What is here is a map from keys to their last rows: it
//! follows the log commit by commit, under the lock that makes commits visible, so that a read or a lookup that starts after
//! an acknowledged change sees it, and it is made from the stream when the server starts.

mod state;

pub(crate) use state::State;

use crate::stream::{RowBlock, StreamError, read_columns};
use crate::types::arrow_type;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Field, Schema as ArrowSchema};
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb::types::{Batch, BatchBuilder, ColumnDef, ColumnId, DataType, Role, StreamId};
use tsdb::{Commit, CommitObserver, Error, Rows, ScanSpec, Snapshot, Stream, TABLE_DELETED, pick};

/// The event time of a table's stream. All rows have the same.
pub(crate) const TIME: &str = "_time";

/// A table.
pub struct Table {
    /// The stream that holds its changes.
    pub stream: Arc<Stream>,
    /// Its key's columns, in the key's order.
    pub key: Vec<ColumnId>,
    deleted: ColumnId,
    state: RwLock<State>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.stream.name)
            .finish_non_exhaustive()
    }
}

/// Whether a stream is a table's.
#[must_use]
pub fn is_table(stream: &Stream) -> bool {
    stream.table_key().is_some()
}

/// The columns of a table's stream that its rows show.
pub(crate) fn shown(stream: &Stream) -> Vec<ColumnDef> {
    let schema = stream.schema();
    let columns = schema.columns.iter();
    columns
        .filter(|c| c.role == Role::Field && c.name != TABLE_DELETED)
        .cloned()
        .collect()
}

impl Table {
    /// The table of a stream, without rows.
    ///
    /// # Errors
    /// When the stream is no table's.
    pub(crate) fn new(stream: Arc<Stream>) -> Result<Table, StreamError> {
        let damaged = || StreamError::State("the definition of a table");
        let columns = shown(&stream);
        let known = |id: &ColumnId| columns.iter().any(|c| c.id == *id);
        let key = stream.table_key().filter(|key| key.iter().all(known));
        let key = key.ok_or_else(damaged)?;
        let schema = stream.schema();
        let deleted = schema.column(TABLE_DELETED).ok_or_else(damaged)?.id;
        let state = RwLock::new(State::new(columns, &key)?);
        Ok(Table {
            stream,
            key,
            deleted,
            state,
        })
    }

    /// The rows as of now.
    pub(crate) fn state(&self) -> State {
        self.state.read().clone()
    }

    /// Rows now.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.state.read().len()
    }

    /// The columns at `places` of the rows with these keys, NULL where there is none; and whether there is one.
    pub(crate) fn lookup(
        &self,
        keys: &[ArrayRef],
        places: &[usize],
    ) -> Result<(Vec<ArrayRef>, Vec<bool>), StreamError> {
        self.state.read().lookup(keys, places)
    }

    /// The columns at `places` of no rows.
    pub(crate) fn nothing(&self, places: &[usize]) -> Vec<ArrayRef> {
        let state = self.state.read();
        let column = |p: &usize| arrow::array::new_empty_array(state.arrow.field(*p).data_type());
        places.iter().map(column).collect()
    }

    /// Makes the rows from all changes so far.
    fn rebuild(&self, snapshot: &Snapshot) -> Result<(), StreamError> {
        let schema = self.stream.schema();
        let fields = schema.columns.iter().filter(|c| c.role == Role::Field);
        let columns: Vec<ColumnId> = fields.map(|c| c.id).collect();
        let spec = ScanSpec {
            columns: columns.clone(),
            ..ScanSpec::default()
        };
        let failed = |e: Error| StreamError::Expression(e.to_string());
        let mut outcome = Ok(());
        let scan = snapshot.scan(&self.stream, spec).map_err(failed)?;
        scan.read_all(&mut |mut batch| {
            outcome = self.apply(&RowBlock::from_scan(&mut batch, &columns));
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
        .map_err(failed)?;
        outcome
    }

    /// Takes changes in, in their order.
    fn apply(&self, block: &RowBlock<'_>) -> Result<(), StreamError> {
        let schema = self.stream.schema();
        let mut state = self.state.write();
        if schema.columns.len() > state.columns.len() + 2 {
            let columns = shown(&self.stream);
            if columns.len() > state.columns.len() {
                state.widen(columns)?;
            }
        }
        let mut places: Vec<usize> = state.columns.iter().map(|c| usize::from(c.id.0)).collect();
        let shown = places.len();
        places.push(usize::from(self.deleted.0));
        let fields = places.iter().map(|p| {
            let column = &schema.columns[*p];
            Field::new(&column.name, arrow_type(column.data_type), true)
        });
        let arrow = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        let rows = read_columns(&schema, &places, &arrow, block, self.stream.as_ref())?;
        let deleted = rows.column(shown).as_boolean().clone();
        let all: Vec<usize> = (0..shown).collect();
        let key: Vec<usize> = self.key_places(&state.columns);
        let is_deleted = |i: usize| deleted.is_valid(i) && deleted.value(i);
        state.apply(&rows.project(&all)?, &key, is_deleted)
    }

    /// Where the key's columns stand among `columns`.
    pub(crate) fn key_places(&self, columns: &[ColumnDef]) -> Vec<usize> {
        let place = |id: &ColumnId| columns.iter().position(|c| c.id == *id);
        self.key.iter().filter_map(place).collect()
    }

    /// Changes as they are to be committed: all of one time and one series, each with a whole key.
    ///
    /// # Errors
    /// [`Error::Refused`] for a row that has no whole key, or tags.
    pub(crate) fn checked(&self, rows: Rows) -> Result<Option<Rows>, Error> {
        let small = matches!(rows, Rows::Small(_));
        let batch = match rows {
            Rows::Sealed(batch) => batch,
            Rows::Small(builder) => match builder.finish() {
                Some(batch) => batch,
                None => return Ok(None),
            },
        };
        let schema = self.stream.schema();
        let refused = |why: String| {
            let name = &self.stream.name;
            Err(Error::Refused(format!("table \"{name}\": {why}")))
        };
        for id in &self.key {
            let whole = batch
                .column(*id)
                .is_some_and(|c| (0..batch.rows).all(|i| c.is_valid(i)));
            if !whole {
                let name = &schema.columns[usize::from(id.0)].name;
                return refused(format!("\"{name}\" is part of the key and cannot be NULL"));
            }
        }
        let plain = self.stream.series().resolve(&[]);
        if (0..batch.rows).any(|i| batch.series.i64_at(i) != i64::from(plain.0)) {
            return refused("it has no tags".to_owned());
        }
        if (batch.min_time, batch.max_time) == (0, 0) && !small {
            return Ok(Some(Rows::Sealed(batch)));
        }
        let all: Vec<u32> = (0..batch.rows as u32).collect();
        let mut builder: BatchBuilder = pick(&batch, &schema, &all);
        builder.times.fill(0);
        Ok(Rows::from_builder(builder))
    }
}

/// The tables of an engine. Follows its log.
#[derive(Default)]
pub struct Tables {
    any: AtomicBool,
    by_stream: RwLock<HashMap<StreamId, Arc<Table>, ahash::RandomState>>,
}

impl Tables {
    /// The table of a stream.
    #[must_use]
    pub fn of(&self, stream: StreamId) -> Option<Arc<Table>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.by_stream.read().get(&stream).cloned()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Table>> {
        self.by_stream.read().values().cloned().collect()
    }

    pub(crate) fn add(&self, table: Arc<Table>) {
        let mut tables = self.by_stream.write();
        self.any.store(true, Ordering::Release);
        tables.insert(table.stream.id, table);
    }

    pub(crate) fn remove(&self, stream: StreamId) {
        let mut tables = self.by_stream.write();
        tables.remove(&stream);
        self.any.store(!tables.is_empty(), Ordering::Release);
    }

    /// Makes the tables that a snapshot has.
    pub(crate) fn restore(&self, snapshot: &Snapshot) {
        for stream in snapshot.catalog().streams() {
            if !is_table(&stream) {
                continue;
            }
            let table = Table::new(Arc::clone(&stream)).and_then(|table| {
                table.rebuild(snapshot)?;
                Ok(Arc::new(table))
            });
            match table {
                Ok(table) => self.add(table),
                Err(error) => {
                    tracing::error!(table = %stream.name, %error, "a table can't be restored");
                }
            }
        }
    }

    fn follow(&self, batch: &Batch) {
        let Some(table) = self.of(batch.stream) else {
            return;
        };
        if let Err(error) = table.apply(&RowBlock::from_batch(batch)) {
            tracing::error!(table = %table.stream.name, %error, "a change could not be taken in");
        }
    }
}

impl CommitObserver for Tables {
    /// The changes are taken in here and now: whoever is told of the commit must see them.
    fn on_commit(&self, commit: &Arc<Commit>) {
        if self.any.load(Ordering::Acquire) {
            commit.batches.iter().for_each(|b| self.follow(b));
        }
    }
}

/// Whether a column of this type can be part of a key: equal values must be equal bytes.
pub(crate) fn can_be_key(t: DataType) -> bool {
    t != DataType::Float64
}
