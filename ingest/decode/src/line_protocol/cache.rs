//! What earlier lines taught: which stream and series a line's raw `measurement,tags` bytes mean, and which column a
//! field's raw name means. With it a line is decoded without any of its tags or names being taken apart.
//!
//! Nothing here can go wrong silently: series and column ids are never reused and columns never change their type, so
//! an entry stays true as long as its stream lives, which is asked once per request and stream.

use crate::admission::Rejection;
use crate::bound::{Bound, SEAL_ROWS};
use ahash::RandomState;
use hashbrown::{HashMap, HashTable};
use std::sync::Arc;
use tsdb::types::{BatchBuilder, ColumnId, DataType, Schema, SeriesId};
use tsdb::{Rows, Stream};

/// Most bytes that one database's cache keeps between requests; past it the cache starts anew.
const MAX_BYTES: usize = 128 << 20;
/// Most streams, dropped ones counted, for the same.
const MAX_TARGETS: usize = 20_000;
/// Most databases with a cache.
const MAX_DATABASES: usize = 64;

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// A series as lines spell it.
pub(crate) struct Entry {
    at: usize,
    len: u32,
    /// Index of the stream.
    pub stream: u32,
    /// Its id in that stream.
    pub series: SeriesId,
    /// The entry whose line followed this one's last time.
    pub next: u32,
    /// Tags that the stream declares as STRING fields, if there are any: each row carries them.
    pub extra: Option<Box<[(ColumnId, String)]>>,
}

/// A field's name with its `=`, laid out for comparison in four words.
pub(crate) struct Name {
    words: [u64; 4],
    masks: [u64; 4],
    len: usize,
    long: Option<Box<[u8]>>,
}

impl Name {
    fn new(raw: &[u8]) -> Name {
        let mut padded = [0u8; 32];
        let mut mask = [0u8; 32];
        let len = raw.len() + 1;
        let long = (len > 32).then(|| [raw, b"="].concat().into_boxed_slice());
        if long.is_none() {
            padded[..raw.len()].copy_from_slice(raw);
            padded[raw.len()] = b'=';
            mask[..len].fill(0xff);
        }
        let words = |b: &[u8; 32]| {
            let mut w = [0; 4];
            for (w, b) in w.iter_mut().zip(b.chunks_exact(8)) {
                *w = b.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
            }
            w
        };
        Name {
            words: words(&padded),
            masks: words(&mask),
            len,
            long,
        }
    }

    /// The place behind `name=` when it stands at `at`.
    #[inline(always)]
    fn strip(&self, body: &[u8], at: usize) -> Option<usize> {
        let end = at + self.len;
        let equal = match (&self.long, body.get(at..at + 32)) {
            (None, Some(b)) => {
                let mut differ = 0;
                for i in 0..4 {
                    let w = u64::from_le_bytes([
                        b[i * 8],
                        b[i * 8 + 1],
                        b[i * 8 + 2],
                        b[i * 8 + 3],
                        b[i * 8 + 4],
                        b[i * 8 + 5],
                        b[i * 8 + 6],
                        b[i * 8 + 7],
                    ]);
                    differ |= (w ^ self.words[i]) & self.masks[i];
                }
                differ == 0
            }
            (None, None) => {
                let mut own = [0u8; 32];
                for (o, w) in own.chunks_exact_mut(8).zip(self.words) {
                    o.copy_from_slice(&w.to_le_bytes());
                }
                body.get(at..end) == Some(&own[..self.len])
            }
            (Some(long), _) => body.get(at..end) == Some(long),
        };
        equal.then_some(end)
    }
}

/// A field of a stream as lines spell it.
pub(crate) struct Field {
    name: Name,
    /// Its column.
    pub column: ColumnId,
    /// Its type.
    pub data_type: DataType,
    /// The field that followed it last time.
    next: u32,
}

/// The fields of a stream, by raw name.
#[derive(Default)]
pub(crate) struct Fields {
    pub list: Vec<Field>,
    by_name: HashMap<Box<[u8]>, u32, RandomState>,
    first: u32,
}

impl Fields {
    /// The field whose name stands at `at`, and where its value starts. `last` is the field before it in the line;
    /// what followed that one last time is tried first.
    #[inline(always)]
    pub fn find(&mut self, body: &[u8], at: usize, last: u32) -> Option<(u32, usize)> {
        let guess = self.list.get(last as usize).map_or(self.first, |f| f.next);
        if let Some(field) = self.list.get(guess as usize)
            && let Some(end) = field.name.strip(body, at)
        {
            return Some((guess, end));
        }
        self.search(body, at, last)
    }

    #[inline(never)]
    fn search(&mut self, body: &[u8], at: usize, last: u32) -> Option<(u32, usize)> {
        let rest = &body[at..];
        let len = memchr::memchr(b'=', rest)?;
        // Names with escapes are never in the table, so a hit is a whole plain name.
        let found = *self.by_name.get(&rest[..len])?;
        match self.list.get_mut(last as usize) {
            Some(field) => field.next = found,
            None => self.first = found,
        }
        Some((found, at + len + 1))
    }

    /// Learns a field by its raw name, unless that needs the grammar.
    pub fn learn(&mut self, raw: &[u8], column: ColumnId, data_type: DataType) {
        // In first place a tab would be taken for a blank, so such a name means different things in different places.
        if raw.contains(&b'\\') || raw.first() == Some(&b'\t') || self.by_name.contains_key(raw) {
            return;
        }
        let index = self.list.len() as u32;
        self.list.push(Field {
            name: Name::new(raw),
            column,
            data_type,
            next: index + 1,
        });
        self.by_name.insert(raw.into(), index);
    }
}

/// A stream that lines go to.
pub(crate) struct Target {
    pub stream: Arc<Stream>,
    pub schema: Arc<Schema>,
    /// Columns of the schema: each row takes a cell in so many at most.
    width: usize,
    pub fields: Fields,
    /// Rows of the request at hand.
    pub rows: BatchBuilder,
    /// Rows before this event time are refused, as of the request at hand.
    pub oldest: i64,
    /// The request that last asked whether the stream lives.
    checked: u64,
    live: bool,
}

/// The cache of one database.
#[derive(Default)]
pub(crate) struct Cache {
    keys: Vec<u8>,
    pub entries: Vec<Entry>,
    by_key: HashTable<u32>,
    hasher: RandomState,
    pub targets: Vec<Target>,
    by_name: HashMap<Box<str>, u32, RandomState>,
    request: u64,
    /// When it came, in nanoseconds.
    now_ns: i64,
    /// Streams that this request has come across.
    touched: Vec<u32>,
    /// The entry of the last line.
    pub last: u32,
    bound: Bound,
}

impl Cache {
    /// Starts a request: no rows are pending, and streams are asked anew whether they live.
    pub fn begin(&mut self, now_ns: i64) {
        let held = self.keys.len() + self.entries.len() * size_of::<Entry>();
        if held > MAX_BYTES || self.targets.len() > MAX_TARGETS {
            *self = Cache {
                request: self.request,
                ..Cache::default()
            };
        }
        self.touched.clear();
        self.bound = Bound::default();
        self.request += 1;
        self.now_ns = now_ns;
    }

    #[inline(always)]
    pub fn key(&self, entry: &Entry) -> &[u8] {
        &self.keys[entry.at..entry.at + entry.len as usize]
    }

    /// The live entry whose key stands at `at` and ends at a blank, and where that blank is.
    #[inline(always)]
    pub fn find(&mut self, body: &[u8], at: usize) -> Option<(u32, usize)> {
        let guess = self
            .entries
            .get(self.last as usize)
            .map_or(NONE, |e| e.next);
        let (found, end) = match self.entries.get(guess as usize) {
            Some(e)
                if body.get(at..at + e.len as usize) == Some(self.key(e))
                    && body.get(at + e.len as usize) == Some(&b' ') =>
            {
                (guess, at + e.len as usize)
            }
            _ => self.search(body, at)?,
        };
        let target = self.entries[found as usize].stream;
        if self.targets[target as usize].checked != self.request {
            self.check(target);
        }
        self.targets[target as usize].live.then_some((found, end))
    }

    #[inline(never)]
    fn search(&mut self, body: &[u8], at: usize) -> Option<(u32, usize)> {
        let rest = &body[at..];
        let mut len = 0;
        loop {
            len += memchr::memchr(b' ', &rest[len..])?;
            // A blank behind a backslash is part of the key.
            if len == 0 || rest[len - 1] != b'\\' {
                break;
            }
            len += 1;
        }
        let found = self.lookup(&rest[..len])?;
        if let Some(last) = self.entries.get_mut(self.last as usize) {
            last.next = found;
        }
        Some((found, at + len))
    }

    /// The live entry of a key whose bounds the format knows. The one that followed the last entry before is tried
    /// first: senders keep the order of their series.
    #[inline]
    pub fn find_key(&mut self, key: &[u8]) -> Option<u32> {
        let last = self.entries.get(self.last as usize);
        let guess = last.map_or(NONE, |e| e.next);
        let found = match self.entries.get(guess as usize) {
            Some(e) if self.key(e) == key => guess,
            _ => {
                let found = self.lookup(key)?;
                if let Some(last) = self.entries.get_mut(self.last as usize) {
                    last.next = found;
                }
                found
            }
        };
        let target = self.entries[found as usize].stream;
        if self.targets[target as usize].checked != self.request {
            self.check(target);
        }
        self.targets[target as usize].live.then_some(found)
    }

    fn lookup(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.by_key
            .find(hash, |i| self.key(&self.entries[*i as usize]) == key)
            .copied()
    }

    #[inline(never)]
    fn check(&mut self, target: u32) {
        let t = &mut self.targets[target as usize];
        if t.checked != self.request {
            self.touched.push(target);
        }
        t.checked = self.request;
        t.live = !t.stream.is_dropped();
        t.oldest = t.stream.oldest_taken(self.now_ns);
    }

    /// The live target of a measurement, if it is known.
    pub fn target(&mut self, measurement: &str) -> Option<u32> {
        let target = *self.by_name.get(measurement)?;
        self.check(target);
        self.targets[target as usize].live.then_some(target)
    }

    /// Learns a stream under the name that lines use; one of that name that was dropped gives its place up.
    pub fn add_target(&mut self, measurement: &str, stream: Arc<Stream>) -> u32 {
        let index = self.targets.len() as u32;
        let (schema, rows) = (stream.schema(), BatchBuilder::new(stream.id));
        self.targets.push(Target {
            width: schema.columns.len(),
            oldest: stream.oldest_taken(self.now_ns),
            stream,
            schema,
            fields: Fields::default(),
            rows,
            checked: self.request,
            live: true,
        });
        self.by_name.insert(measurement.into(), index);
        self.touched.push(index);
        index
    }

    /// Learns what a key means, or that it now means something else.
    pub fn add_entry(
        &mut self,
        key: &[u8],
        stream: u32,
        series: SeriesId,
        extra: Option<Box<[(ColumnId, String)]>>,
    ) -> u32 {
        let index = match self.lookup(key) {
            Some(known) => {
                let e = &mut self.entries[known as usize];
                (e.stream, e.series, e.extra) = (stream, series, extra);
                known
            }
            None => {
                let (index, at) = (self.entries.len() as u32, self.keys.len());
                self.keys.extend_from_slice(key);
                self.entries.push(Entry {
                    at,
                    len: key.len() as u32,
                    stream,
                    series,
                    next: index + 1,
                    extra,
                });
                let Cache {
                    by_key,
                    entries,
                    keys,
                    hasher,
                    ..
                } = self;
                let hash_of = |i: &u32| {
                    let e = &entries[*i as usize];
                    hasher.hash_one(&keys[e.at..e.at + e.len as usize])
                };
                by_key.insert_unique(hasher.hash_one(key), index, hash_of);
                index
            }
        };
        if let Some(last) = self.entries.get_mut(self.last as usize) {
            last.next = index;
        }
        index
    }

    /// Takes a grown schema. Rows that wait get a cell in each new column, so they are sealed first if that is much.
    pub fn widen(&mut self, target: u32, schema: Arc<Schema>, out: &mut Vec<Rows>) {
        let t = &mut self.targets[target as usize];
        let more = schema.columns.len().saturating_sub(t.width);
        if self.bound.add(t.rows.rows() * more) {
            self.seal_all(out);
        }
        let t = &mut self.targets[target as usize];
        (t.width, t.schema) = (schema.columns.len(), schema);
    }

    /// Counts the row that was appended to a target, and moves rows to `out` once there are many.
    ///
    /// # Errors
    /// 413 when the request's rows take too much.
    #[inline(always)]
    pub fn count_row(&mut self, target: u32, out: &mut Vec<Rows>) -> Result<(), Rejection> {
        let t = &self.targets[target as usize];
        let many = t.rows.rows() >= SEAL_ROWS;
        if self.bound.add(t.width) || many {
            return self.seal_some(target, out);
        }
        Ok(())
    }

    /// Counts text that was put together for a row, which may be longer than what it was made of.
    ///
    /// # Errors
    /// 413 when the request's rows take too much.
    pub fn count_text(&mut self, bytes: usize, out: &mut Vec<Rows>) -> Result<(), Rejection> {
        if self.bound.add(bytes / 8) {
            self.seal_all(out);
            return self.bound.check();
        }
        Ok(())
    }

    #[inline(never)]
    fn seal_some(&mut self, target: u32, out: &mut Vec<Rows>) -> Result<(), Rejection> {
        if self.targets[target as usize].rows.rows() >= SEAL_ROWS {
            self.seal(target, out);
        } else {
            self.seal_all(out);
        }
        self.bound.check()
    }

    fn seal(&mut self, target: u32, out: &mut Vec<Rows>) {
        let t = &mut self.targets[target as usize];
        if t.rows.rows() == 0 {
            return;
        }
        let rows = std::mem::replace(&mut t.rows, BatchBuilder::new(t.stream.id));
        self.bound.seal(rows, t.width, out);
    }

    fn seal_all(&mut self, out: &mut Vec<Rows>) {
        for i in 0..self.touched.len() {
            self.seal(self.touched[i], out);
        }
        self.bound.none_wait();
    }

    /// Moves all rows to `out`.
    ///
    /// # Errors
    /// 413 when the request's rows take too much.
    pub fn finish(&mut self, out: &mut Vec<Rows>) -> Result<(), Rejection> {
        self.seal_all(out);
        self.bound.check()
    }

    /// Allows as much again for the next message as a request may take.
    pub fn grant(&mut self) {
        self.bound.grant();
    }

    /// Bytes of all rows that wait.
    pub fn bytes(&self) -> usize {
        let waiting = self.touched.iter().map(|i| &self.targets[*i as usize].rows);
        self.bound.bytes() + waiting.map(BatchBuilder::byte_len).sum::<usize>()
    }

    /// Lets go of the rows of a request that is refused.
    pub fn abandon(&mut self) {
        for i in &self.touched {
            let t = &mut self.targets[*i as usize];
            t.rows = BatchBuilder::new(t.stream.id);
        }
    }
}

/// The caches of all databases, for one decoding thread at a time.
#[derive(Default)]
pub(super) struct Caches {
    by_database: HashMap<String, Cache, RandomState>,
}

impl Caches {
    pub fn database(&mut self, name: &str) -> &mut Cache {
        if self.by_database.len() >= MAX_DATABASES && !self.by_database.contains_key(name) {
            self.by_database.clear();
        }
        self.by_database.entry_ref(name).or_default()
    }
}
