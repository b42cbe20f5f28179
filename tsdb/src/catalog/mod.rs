//! What there is: databases, streams with their columns and series, and objects that others define (views).
//!
//! Things come to be *in memory first*, under their lock, so that a decoder gets ids at once; each is queued in
//! [`Pending`] before anyone else can see it, and the next log record carries the queue ahead of its rows. So no
//! record holds rows of a column, series or stream that the log up to that record does not define.

mod entry;
mod payload;
mod series;
mod stream;

pub(crate) use entry::Entry;
pub use payload::{PayloadReader, PayloadWriter};
pub use series::{SeriesSet, SeriesTable, TagColumn};
pub use stream::{Late, Stream, StreamDef, StreamOptions, TABLE_DELETED, TABLE_KEY, TooOld};

use crate::Error;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tsdb_types::{ColumnDef, DataType, Role, StreamId};

/// The database that is meant when none is named.
pub const DEFAULT_DATABASE: &str = "default";

/// Entries that the log does not have yet, encoded, in the order in which they took effect.
#[derive(Default)]
pub(crate) struct Pending {
    bytes: Mutex<Vec<u8>>,
    any: AtomicBool,
}

impl Pending {
    fn push(&self, entry: &Entry) {
        let mut bytes = self.bytes.lock();
        entry.encode(&mut bytes);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn series(&self, stream: StreamId, id: u32, key: &[u8]) {
        let mut bytes = self.bytes.lock();
        entry::put_series(&mut bytes, stream, id, key);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn columns(&self, stream: StreamId, added: &[ColumnDef]) {
        self.push(&Entry::Columns {
            stream,
            added: added.to_vec(),
        });
    }

    /// Takes what is queued; only the commit thread calls it, while it builds a record.
    pub(crate) fn take(&self) -> Vec<u8> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut bytes = self.bytes.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut bytes)
    }
}

/// Something with a name that the engine keeps for another layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is: `view`.
    pub kind: String,
    /// Its database.
    pub db: String,
    /// Its name.
    pub name: String,
    /// Its definition, in its owner's form.
    pub payload: Vec<u8>,
}

type ObjectKey = (String, String, String);

#[derive(Default)]
struct Names {
    databases: Vec<String>,
    streams: HashMap<(String, String), Arc<Stream>>,
    by_id: BTreeMap<StreamId, Arc<Stream>>,
    objects: BTreeMap<ObjectKey, Object>,
    next_stream: u32,
}

/// The catalog. Reads are concurrent and cheap.
pub struct Catalog {
    names: RwLock<Names>,
    pending: Arc<Pending>,
    version: AtomicU64,
}

impl Default for Catalog {
    fn default() -> Self {
        let names = Names {
            databases: vec![DEFAULT_DATABASE.into()],
            next_stream: 1,
            ..Names::default()
        };
        Catalog {
            names: RwLock::new(names),
            pending: Arc::default(),
            version: AtomicU64::new(1),
        }
    }
}

impl Catalog {
    pub(crate) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Grows whenever a database, stream or object comes or goes; caches of looked-up names compare it.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Names of the databases.
    pub fn databases(&self) -> Vec<String> {
        self.names.read().databases.clone()
    }

    /// Whether there is a database of that name.
    pub fn has_database(&self, name: &str) -> bool {
        self.names.read().databases.iter().any(|d| d == name)
    }

    /// Makes the database if it is not there; true if it was made.
    pub fn ensure_database(&self, name: &str) -> bool {
        if self.has_database(name) {
            return false;
        }
        let mut names = self.names.write();
        self.add_database(&mut names, name)
    }

    fn add_database(&self, names: &mut Names, name: &str) -> bool {
        if names.databases.iter().any(|d| d == name) {
            return false;
        }
        self.pending.push(&Entry::Database { name: name.into() });
        names.databases.push(name.into());
        self.changed();
        true
    }

    /// The stream of exactly that name.
    pub fn stream(&self, db: &str, name: &str) -> Option<Arc<Stream>> {
        self.names
            .read()
            .streams
            .get(&(db.to_owned(), name.to_owned()))
            .cloned()
    }

    /// The stream of that name, as an unquoted SQL name means it: the exact one, else the only one that differs in
    /// case alone.
    ///
    /// # Errors
    /// [`Error::AmbiguousName`] when several differ in case alone and none is exact.
    pub fn lookup(&self, db: &str, name: &str) -> Result<Option<Arc<Stream>>, Error> {
        if let Some(exact) = self.stream(db, name) {
            return Ok(Some(exact));
        }
        let names = self.names.read();
        let mut found: Vec<&Arc<Stream>> = names
            .by_id
            .values()
            .filter(|s| s.db == db && s.name.eq_ignore_ascii_case(name))
            .collect();
        match found.len() {
            0 | 1 => Ok(found.pop().cloned()),
            _ => Err(Error::AmbiguousName {
                name: name.into(),
                candidates: found.iter().map(|s| s.name.clone()).collect(),
            }),
        }
    }

    /// The stream of that id.
    pub fn stream_by_id(&self, id: StreamId) -> Option<Arc<Stream>> {
        self.names.read().by_id.get(&id).cloned()
    }

    /// All streams, in order of creation.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.names.read().by_id.values().cloned().collect()
    }

    /// Makes a stream, and its database if need be. It is durable once a commit made after this is acknowledged.
    ///
    /// # Errors
    /// [`Error::StreamExists`], also for a view of that name; [`Error::InvalidDefinition`].
    pub fn create_stream(
        &self,
        db: &str,
        name: &str,
        def: &StreamDef,
    ) -> Result<Arc<Stream>, Error> {
        let mut names = self.names.write();
        let taken = names.objects.values().any(|o| o.db == db && o.name == name);
        if taken
            || names
                .streams
                .contains_key(&(db.to_owned(), name.to_owned()))
        {
            return Err(Error::StreamExists(name.into()));
        }
        let id = StreamId(names.next_stream);
        let stream = Arc::new(Stream::new(id, db, name, def, self.pending.clone())?);
        self.add_database(&mut names, db);
        self.pending.push(&Entry::Stream {
            id,
            db: db.into(),
            name: name.into(),
            def: def.clone(),
        });
        add_stream(&mut names, &stream);
        self.changed();
        Ok(stream)
    }

    /// The stream of exactly that name, made if it is not there.
    ///
    /// # Errors
    /// As [`Catalog::create_stream`].
    pub fn ensure_stream(
        &self,
        db: &str,
        name: &str,
        make: impl FnOnce() -> StreamDef,
    ) -> Result<Arc<Stream>, Error> {
        if let Some(stream) = self.stream(db, name) {
            return Ok(stream);
        }
        match self.create_stream(db, name, &make()) {
            Err(Error::StreamExists(_)) => self
                .stream(db, name)
                .ok_or_else(|| Error::StreamExists(format!("{name}\", a view, \"{db}"))),
            other => other,
        }
    }

    /// Drops a stream; its rows are gone at once for new readers, durably once a later commit is acknowledged.
    ///
    /// # Errors
    /// [`Error::StreamNotFound`].
    pub fn drop_stream(&self, db: &str, name: &str) -> Result<(), Error> {
        let mut names = self.names.write();
        let Some(stream) = names.streams.remove(&(db.to_owned(), name.to_owned())) else {
            return Err(Error::StreamNotFound(name.into()));
        };
        names.by_id.remove(&stream.id);
        stream.mark_dropped();
        self.pending.push(&Entry::DropStream { id: stream.id });
        self.changed();
        Ok(())
    }

    /// The objects of a kind, by database and name.
    pub fn objects(&self, kind: &str) -> Vec<Object> {
        self.names
            .read()
            .objects
            .values()
            .filter(|o| o.kind == kind)
            .cloned()
            .collect()
    }

    /// Keeps an object, in place of one of the same kind, database and name.
    pub fn put_object(&self, object: Object) {
        let mut names = self.names.write();
        self.pending.push(&Entry::Object {
            kind: object.kind.clone(),
            db: object.db.clone(),
            name: object.name.clone(),
            payload: object.payload.clone(),
        });
        names.objects.insert(
            (object.kind.clone(), object.db.clone(), object.name.clone()),
            object,
        );
        self.changed();
    }

    /// Forgets an object; false when there was none.
    pub fn drop_object(&self, kind: &str, db: &str, name: &str) -> bool {
        let mut names = self.names.write();
        if names
            .objects
            .remove(&(kind.into(), db.into(), name.into()))
            .is_none()
        {
            return false;
        }
        self.pending.push(&Entry::DropObject {
            kind: kind.into(),
            db: db.into(),
            name: name.into(),
        });
        self.changed();
        true
    }

    /// Never gives out the id of a stream that has rows somewhere, also where its definition was lost: they would become
    /// another's.
    pub(crate) fn keep_stream_id(&self, id: StreamId) {
        let mut names = self.names.write();
        names.next_stream = names.next_stream.max(id.0.saturating_add(1));
    }

    /// Applies entries read from the log or a catalog file; what is known already is skipped. As much as can be is
    /// applied, whatever is wrong with the rest.
    ///
    /// # Errors
    /// The offset of the first entry that can't be read or does not fit.
    pub(crate) fn restore(&self, bytes: &[u8]) -> Result<(), usize> {
        let mut rest = bytes;
        let mut outcome = Ok(());
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            let (entry, next) = Entry::decode(rest).ok_or(at)?;
            if !self.restore_entry(entry) && outcome.is_ok() {
                outcome = Err(at);
            }
            rest = next;
        }
        outcome
    }

    fn restore_entry(&self, entry: Entry) -> bool {
        let mut names = self.names.write();
        self.changed();
        match entry {
            Entry::Database { name } => {
                if !names.databases.contains(&name) {
                    names.databases.push(name);
                }
                true
            }
            Entry::Stream { id, db, name, def } => {
                if id.0 < names.next_stream {
                    return true;
                }
                let Ok(stream) = Stream::new(id, &db, &name, &def, self.pending.clone()) else {
                    return false;
                };
                add_stream(&mut names, &Arc::new(stream));
                true
            }
            Entry::Columns { stream, added } => names
                .by_id
                .get(&stream)
                .is_none_or(|s| s.restore_columns(added)),
            Entry::Series { stream, id, key } => names
                .by_id
                .get(&stream)
                .is_none_or(|s| s.series().restore(id, &key)),
            Entry::DropStream { id } => {
                if let Some(stream) = names.by_id.remove(&id) {
                    names
                        .streams
                        .remove(&(stream.db.clone(), stream.name.clone()));
                    stream.mark_dropped();
                }
                true
            }
            Entry::Object {
                kind,
                db,
                name,
                payload,
            } => {
                let key = (kind.clone(), db.clone(), name.clone());
                names.objects.insert(
                    key,
                    Object {
                        kind,
                        db,
                        name,
                        payload,
                    },
                );
                true
            }
            Entry::DropObject { kind, db, name } => {
                names.objects.remove(&(kind, db, name));
                true
            }
        }
    }
}

fn add_stream(names: &mut Names, stream: &Arc<Stream>) {
    names.next_stream = stream.id.0 + 1;
    names
        .streams
        .insert((stream.db.clone(), stream.name.clone()), stream.clone());
    names.by_id.insert(stream.id, stream.clone());
}

/// What a line-protocol measurement becomes: event time `time`, tags and fields as they come, fields merged.
#[must_use]
pub fn line_protocol_stream() -> StreamDef {
    StreamDef {
        columns: vec![("time".into(), DataType::Timestamp, Role::Time)],
        options: StreamOptions {
            merge: true,
            ..StreamOptions::default()
        },
    }
}
