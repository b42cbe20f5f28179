//! A stream: its columns, options and series.

use crate::Error;
use crate::catalog::{Pending, SeriesTable};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tsdb_types::{ColumnDef, ColumnId, DataType, Role, Schema, StreamId};

/// What happens to a row later than the allowed lateness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Late {
    /// It is stored, its windows are marked and repaired.
    #[default]
    Repair,
    /// It is rejected to the dead letters.
    DeadLetter,
}

/// The options of a stream, all times in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// How far out of order rows are expected: the watermark stays this far behind the newest row.
    pub disorder_ns: i64,
    /// How late a row still corrects views in its own commit.
    pub lateness_ns: i64,
    /// What happens to later ones.
    pub late: Late,
    /// How long rows are kept, by event time.
    pub retention_ns: Option<i64>,
    /// The slice of time that one partition holds.
    pub partition_ns: i64,
    /// Whether rows of one series and time merge their fields, as line protocol has it.
    pub merge: bool,
    /// Declared options that the engine keeps for others (`kafka_topic`, `value_format`, ..).
    pub extra: Vec<(String, String)>,
}

/// The option of a stream that makes it a table's: the places of its key's columns, with commas between.
pub const TABLE_KEY: &str = "table_key";
/// The column of a table's stream whose truth takes the row's key out.
pub const TABLE_DELETED: &str = "_deleted";

/// One second.
const SECOND: i64 = 1_000_000_000;

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions {
            disorder_ns: 5 * SECOND,
            lateness_ns: 3600 * SECOND,
            late: Late::Repair,
            retention_ns: None,
            partition_ns: 86_400 * SECOND,
            merge: false,
            extra: Vec::new(),
        }
    }
}

impl StreamOptions {
    /// An option that is kept for others; of one given twice, the last.
    #[must_use]
    pub fn kept(&self, name: &str) -> Option<&str> {
        let mut all = self.extra.iter().rev();
        all.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What a new stream is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamDef {
    /// Columns in their order; exactly one has [`Role::Time`] and type TIMESTAMP, tags are strings.
    pub columns: Vec<(String, DataType, Role)>,
    /// Options.
    pub options: StreamOptions,
}

/// A stream of rows.
pub struct Stream {
    /// Its id, never reused.
    pub id: StreamId,
    /// Its database.
    pub db: String,
    /// Its name, case kept.
    pub name: String,
    /// Its options.
    pub options: StreamOptions,
    schema: RwLock<Arc<Schema>>,
    series: SeriesTable,
    pending: Arc<Pending>,
    dropped: AtomicBool,
    /// The newest event time that moves the watermark; `i64::MIN` before the first row.
    newest: AtomicI64,
}

/// Why a row comes too late to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooOld {
    /// It would have expired already.
    #[error("the row is older than the stream's retention")]
    Expired,
    /// The stream refuses rows beyond its lateness.
    #[error("the row is later than the stream's lateness allows")]
    Late,
}

/// A row so far ahead of its commit does not move the watermark.
const AHEAD_NS: i64 = 3600 * SECOND;

/// Checks one column against the rules that every stream keeps.
fn check(name: &str, data_type: DataType, role: Role) -> Result<(), Error> {
    let bad = |why: &str| Err(Error::InvalidDefinition(format!("column \"{name}\" {why}")));
    match (role, data_type) {
        _ if name.is_empty() || name.len() > 65_535 => bad("needs a name of 1 to 65535 bytes"),
        (Role::Time, t) if t != DataType::Timestamp => {
            bad("is the event time and must be a TIMESTAMP")
        }
        (Role::Tag, t) if t != DataType::Utf8 => bad("is a tag and must be a STRING"),
        _ => Ok(()),
    }
}

impl Stream {
    pub(crate) fn new(
        id: StreamId,
        db: &str,
        name: &str,
        def: &StreamDef,
        pending: Arc<Pending>,
    ) -> Result<Stream, Error> {
        let mut columns: Vec<ColumnDef> = Vec::with_capacity(def.columns.len());
        for (i, (column, data_type, role)) in def.columns.iter().enumerate() {
            check(column, *data_type, *role)?;
            if columns.iter().any(|c| c.name == *column) {
                return Err(Error::InvalidDefinition(format!(
                    "column \"{column}\" is declared twice"
                )));
            }
            let id = column_id(i)?;
            columns.push(ColumnDef {
                id,
                name: column.clone(),
                data_type: *data_type,
                role: *role,
            });
        }
        if columns.iter().filter(|c| c.role == Role::Time).count() != 1 {
            return Err(Error::InvalidDefinition(format!(
                "stream \"{name}\" needs exactly one event-time column"
            )));
        }
        Ok(Stream {
            id,
            db: db.into(),
            name: name.into(),
            options: def.options.clone(),
            schema: RwLock::new(Arc::new(Schema { columns })),
            series: SeriesTable::new(id, pending.clone()),
            pending,
            dropped: AtomicBool::new(false),
            newest: AtomicI64::new(i64::MIN),
        })
    }

    /// The columns as of now.
    pub fn schema(&self) -> Arc<Schema> {
        self.schema.read().clone()
    }

    /// The series.
    pub fn series(&self) -> &SeriesTable {
        &self.series
    }

    /// The columns of its key, in their order, when it holds the changes of a table.
    pub fn table_key(&self) -> Option<Vec<ColumnId>> {
        let places = self.options.kept(TABLE_KEY)?.split(',');
        places.map(|p| p.parse().map(ColumnId).ok()).collect()
    }

    /// Whether the stream has been dropped; its rows are gone, and new ones are refused.
    pub fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    pub(crate) fn mark_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Adds the columns that are missing and gives the schema that has them all.
    ///
    /// # Errors
    /// [`Error::TypeConflict`] when one is there with another type or role; then none is added.
    pub fn ensure_columns(&self, wanted: &[(&str, DataType, Role)]) -> Result<Arc<Schema>, Error> {
        let complete = |schema: &Schema| -> Result<bool, Error> {
            let mut all = true;
            for (name, data_type, role) in wanted {
                match schema.column(name) {
                    None => all = false,
                    Some(c) if c.role != *role => {
                        let role = |r: Role| format!("{r:?}").to_lowercase();
                        return Err(Error::TypeConflict {
                            column: (*name).into(),
                            have: format!("a {} column", role(c.role)),
                            got: format!(
                                "a {} column",
                                role(wanted.iter().find(|w| w.0 == *name).map_or(c.role, |w| w.2))
                            ),
                        });
                    }
                    Some(c) if c.data_type != *data_type => {
                        return Err(Error::type_conflict(name, c.data_type, *data_type));
                    }
                    Some(_) => {}
                }
            }
            Ok(all)
        };
        let current = self.schema();
        if complete(&current)? {
            return Ok(current);
        }
        let mut schema = self.schema.write();
        complete(&schema)?;
        let mut columns = schema.columns.clone();
        let before = columns.len();
        for (name, data_type, role) in wanted {
            if columns.iter().all(|c| c.name != *name) {
                check(name, *data_type, *role)?;
                if *role == Role::Time {
                    return Err(Error::InvalidDefinition(
                        "a stream has one event-time column".into(),
                    ));
                }
                let id = column_id(columns.len())?;
                columns.push(ColumnDef {
                    id,
                    name: (*name).into(),
                    data_type: *data_type,
                    role: *role,
                });
            }
        }
        // Queued for the log before the schema is visible: see `Pending`.
        self.pending.columns(self.id, &columns[before..]);
        *schema = Arc::new(Schema { columns });
        Ok(schema.clone())
    }

    /// Lets rows of a commit at `wall_ns` move the watermark, given their greatest event time and a way to ask for the
    /// greatest one up to a bound.
    pub(crate) fn note_rows(&self, max: i64, wall_ns: i64, up_to: impl FnOnce(i64) -> Option<i64>) {
        if self.options.late != Late::DeadLetter {
            return;
        }
        let bound = wall_ns.saturating_add(AHEAD_NS);
        let newest = if max <= bound {
            Some(max)
        } else {
            up_to(bound)
        };
        if let Some(newest) = newest {
            self.newest.fetch_max(newest, Ordering::AcqRel);
        }
    }

    /// Event times before this one are expired at `wall_ns`; `i64::MIN` without retention.
    #[must_use]
    pub fn expired_before(&self, wall_ns: i64) -> i64 {
        self.options
            .retention_ns
            .map_or(i64::MIN, |kept| wall_ns.saturating_sub(kept))
    }

    /// Event times before this one are not taken at `wall_ns`: see [`Stream::too_old`].
    #[must_use]
    pub fn oldest_taken(&self, wall_ns: i64) -> i64 {
        self.expired_before(wall_ns).max(self.late_before())
    }

    fn late_before(&self) -> i64 {
        match self.options.late {
            Late::Repair => i64::MIN,
            Late::DeadLetter => self
                .newest
                .load(Ordering::Acquire)
                .saturating_sub(self.options.disorder_ns)
                .saturating_sub(self.options.lateness_ns),
        }
    }

    /// Why a row of this event time is not taken, if so: it is older than the retention, or beyond the lateness of a
    /// stream that was declared with `late = 'dead_letter'`.
    #[must_use]
    pub fn too_old(&self, time: i64, wall_ns: i64) -> Option<TooOld> {
        if time < self.expired_before(wall_ns) {
            return Some(TooOld::Expired);
        }
        (time < self.late_before()).then_some(TooOld::Late)
    }

    /// Takes columns read from the log or a catalog file; known ones are skipped. False when some were left out: they get
    /// names of their own, so that no later column is taken for one of them.
    pub(crate) fn restore_columns(&self, added: Vec<ColumnDef>) -> bool {
        let mut dense = true;
        for column in added {
            dense &= self.fill_columns(column.id, DataType::Int64);
            let mut schema = self.schema.write();
            if usize::from(column.id.0) == schema.columns.len() {
                let mut columns = schema.columns.clone();
                columns.push(column);
                *schema = Arc::new(Schema { columns });
            }
        }
        dense
    }

    /// Makes fields of `data_type` in place of definitions that were lost, so that all ids below `end` are taken. True
    /// when none is missing.
    pub(crate) fn fill_columns(&self, end: ColumnId, data_type: DataType) -> bool {
        let mut schema = self.schema.write();
        let have = schema.columns.len();
        if have >= usize::from(end.0) {
            return true;
        }
        let mut columns = schema.columns.clone();
        columns.extend((have as u16..end.0).map(|i| ColumnDef {
            id: ColumnId(i),
            name: format!("lost_{i}"),
            data_type,
            role: Role::Field,
        }));
        *schema = Arc::new(Schema { columns });
        false
    }
}

fn column_id(i: usize) -> Result<ColumnId, Error> {
    u16::try_from(i)
        .map(ColumnId)
        .map_err(|_| Error::InvalidDefinition("a stream can have at most 65536 columns".into()))
}
