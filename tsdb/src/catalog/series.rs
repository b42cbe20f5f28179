//! Series: distinct combinations of tag values, numbered densely per stream.

use crate::catalog::Pending;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;
use tsdb_types::{ColumnId, SeriesId, StreamId};

/// One tag column of a stream: a code per series and the values behind the codes.
#[derive(Clone, Debug, Default)]
pub struct TagColumn {
    /// Per series the code of its value; series past the end have code 0.
    pub codes: Vec<u32>,
    /// Values by code minus one; code 0 means that the series lacks the tag.
    pub values: Vec<Arc<str>>,
}

impl TagColumn {
    /// The code of a series' value, 0 when it has none.
    #[inline]
    #[must_use]
    pub fn code(&self, series: u32) -> u32 {
        self.codes.get(series as usize).copied().unwrap_or(0)
    }

    /// The value behind a code; `None` for code 0.
    #[must_use]
    pub fn value(&self, code: u32) -> Option<&Arc<str>> {
        self.values.get((code as usize).checked_sub(1)?)
    }
}

/// A set of series ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesSet {
    words: Vec<u64>,
    min: u32,
    max: u32,
    len: usize,
}

impl SeriesSet {
    /// The set of those ids.
    pub fn of(ids: impl IntoIterator<Item = u32>) -> SeriesSet {
        let mut set = SeriesSet {
            words: Vec::new(),
            min: u32::MAX,
            max: 0,
            len: 0,
        };
        for id in ids {
            let word = id as usize / 64;
            if word >= set.words.len() {
                set.words.resize(word + 1, 0);
            }
            let bit = 1 << (id % 64);
            set.len += usize::from(set.words[word] & bit == 0);
            set.words[word] |= bit;
            set.min = set.min.min(id);
            set.max = set.max.max(id);
        }
        set
    }

    /// Whether the id is in the set.
    #[inline]
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        self.words
            .get(id as usize / 64)
            .is_some_and(|w| w >> (id % 64) & 1 == 1)
    }

    /// Whether `[min, max]` meets the span of the set; cheap, and true more often than [`SeriesSet::intersects`].
    #[must_use]
    pub fn may_intersect(&self, min: u32, max: u32) -> bool {
        self.len > 0 && min <= self.max && max >= self.min
    }

    /// Whether any id of `[min, max]` is in the set.
    #[must_use]
    pub fn intersects(&self, min: u32, max: u32) -> bool {
        let (lo, hi) = (min.max(self.min), max.min(self.max));
        self.len > 0 && lo <= hi && (lo..=hi).any(|id| self.contains(id))
    }

    /// The ids in both sets.
    #[must_use]
    pub fn intersect(&self, other: &SeriesSet) -> SeriesSet {
        SeriesSet::of(self.iter().filter(|id| other.contains(*id)))
    }

    /// The ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(i, w)| {
            (0..64)
                .filter(move |b| w >> b & 1 == 1)
                .map(move |b| i as u32 * 64 + b)
        })
    }

    /// How many ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The codes of a tag's values.
type CodeOf = HashMap<Arc<str>, u32, ahash::RandomState>;

#[derive(Default)]
struct Inner {
    by_key: HashMap<Box<[u8]>, u32, ahash::RandomState>,
    tags: Vec<(ColumnId, Arc<TagColumn>, CodeOf)>,
    len: u32,
}

/// The series of one stream. Reads are concurrent; a new series takes the write lock and is queued for the log before
/// anyone can see its id, so that no record can hold rows of a series that no earlier or same record defines.
pub struct SeriesTable {
    stream: StreamId,
    inner: RwLock<Inner>,
    pending: Arc<Pending>,
}

/// The canonical key: per tag its column id, the value's length, the value.
fn key_of(tags: &[(ColumnId, &str)]) -> Vec<u8> {
    let mut key = Vec::with_capacity(tags.iter().map(|(_, v)| v.len() + 6).sum());
    for (id, value) in tags {
        key.extend_from_slice(&id.0.to_le_bytes());
        key.extend_from_slice(&(value.len() as u32).to_le_bytes());
        key.extend_from_slice(value.as_bytes());
    }
    key
}

/// The inverse of [`key_of`]; `None` when the bytes are no such key.
fn tags_of(mut key: &[u8]) -> Option<Vec<(ColumnId, &str)>> {
    let mut tags = Vec::new();
    while !key.is_empty() {
        let (head, rest) = key.split_at_checked(6)?;
        let len = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let (value, rest) = rest.split_at_checked(len)?;
        tags.push((
            ColumnId(u16::from_le_bytes([head[0], head[1]])),
            std::str::from_utf8(value).ok()?,
        ));
        key = rest;
    }
    Some(tags)
}

impl SeriesTable {
    pub(crate) fn new(stream: StreamId, pending: Arc<Pending>) -> SeriesTable {
        SeriesTable {
            stream,
            inner: RwLock::default(),
            pending,
        }
    }

    /// The id of a combination of tag values, new if need be. `tags` are sorted by column id, without duplicates.
    pub fn resolve(&self, tags: &[(ColumnId, &str)]) -> SeriesId {
        let key = key_of(tags);
        if let Some(id) = self.inner.read().by_key.get(key.as_slice()) {
            return SeriesId(*id);
        }
        let mut inner = self.inner.write();
        if let Some(id) = inner.by_key.get(key.as_slice()) {
            return SeriesId(*id);
        }
        let id = inner.len;
        self.pending.series(self.stream, id, &key);
        insert(&mut inner, key, tags);
        SeriesId(id)
    }

    /// Takes a series read from the log or a catalog file; ids come in order, known ones are skipped. False when the
    /// key is damaged or ids were left out: those stay without tags, and are never given out again.
    pub(crate) fn restore(&self, id: u32, key: &[u8]) -> bool {
        let dense = self.fill(id);
        let mut inner = self.inner.write();
        if id < inner.len {
            return dense;
        }
        let Some(tags) = tags_of(key) else {
            return false;
        };
        insert(&mut inner, key.to_vec(), &tags);
        dense
    }

    /// Takes all ids below `end`; those whose tags were lost have none. True when none was lost.
    pub(crate) fn fill(&self, end: u32) -> bool {
        let mut inner = self.inner.write();
        let dense = inner.len >= end;
        inner.len = inner.len.max(end);
        dense
    }

    /// How many series there are; ids are below this.
    pub fn len(&self) -> u32 {
        self.inner.read().len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A tag's codes and values as of now; ids that come later are not in it.
    pub fn tag_codes(&self, tag: ColumnId) -> Arc<TagColumn> {
        let inner = self.inner.read();
        inner
            .tags
            .iter()
            .find(|t| t.0 == tag)
            .map_or_else(Arc::default, |t| t.1.clone())
    }

    /// The value of a series' tag.
    pub fn tag_value(&self, series: SeriesId, tag: ColumnId) -> Option<Arc<str>> {
        let column = self.tag_codes(tag);
        column.value(column.code(series.0)).cloned()
    }

    /// The series whose value of `tag` (or its absence) satisfies `accept`; called once per distinct value.
    pub fn matching(&self, tag: ColumnId, accept: &dyn Fn(Option<&str>) -> bool) -> SeriesSet {
        let (column, len) = (self.tag_codes(tag), self.len());
        let mut wanted = vec![accept(None)];
        wanted.extend(column.values.iter().map(|v| accept(Some(v))));
        SeriesSet::of((0..len).filter(|s| wanted[column.code(*s) as usize]))
    }

    /// Calls `f` with every series' id and key, in order of ids.
    #[cfg(test)]
    pub(crate) fn for_each_key(&self, mut f: impl FnMut(u32, &[u8])) {
        let inner = self.inner.read();
        let mut keys: Vec<(&u32, &Box<[u8]>)> =
            inner.by_key.iter().map(|(k, id)| (id, k)).collect();
        keys.sort_unstable();
        keys.into_iter().for_each(|(id, key)| f(*id, key));
    }
}

fn insert(inner: &mut Inner, key: Vec<u8>, tags: &[(ColumnId, &str)]) {
    let id = inner.len;
    inner.by_key.insert(key.into_boxed_slice(), id);
    inner.len += 1;
    for (tag, value) in tags {
        let at = match inner.tags.iter().position(|t| t.0 == *tag) {
            Some(at) => at,
            None => {
                inner.tags.push((*tag, Arc::default(), HashMap::default()));
                inner.tags.len() - 1
            }
        };
        let (_, column, by_value) = &mut inner.tags[at];
        // Copies the column only while a query holds the old one.
        let column = Arc::make_mut(column);
        let code = match by_value.get(*value) {
            Some(code) => *code,
            None => {
                let value: Arc<str> = Arc::from(*value);
                column.values.push(value.clone());
                let code = column.values.len() as u32;
                by_value.insert(value, code);
                code
            }
        };
        column.codes.resize(id as usize, 0);
        column.codes.push(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_the_log_restores_the_same_table() {
        let pending = Arc::new(Pending::default());
        let table = SeriesTable::new(StreamId(1), pending.clone());
        let (host, rack) = (ColumnId(1), ColumnId(2));
        assert_eq!(table.resolve(&[(host, "a"), (rack, "1")]), SeriesId(0));
        assert_eq!(table.resolve(&[(host, "b")]), SeriesId(1));
        assert_eq!(table.resolve(&[(host, "a"), (rack, "1")]), SeriesId(0));
        assert_eq!(table.resolve(&[]), SeriesId(2));
        assert_eq!(table.resolve(&[(rack, "1")]), SeriesId(3));
        let copy = SeriesTable::new(StreamId(1), Arc::new(Pending::default()));
        table.for_each_key(|id, key| assert!(copy.restore(id, key)));
        for t in [&table, &copy] {
            assert_eq!(t.len(), 4);
            assert_eq!(t.tag_value(SeriesId(0), host).as_deref(), Some("a"));
            assert_eq!(t.tag_value(SeriesId(1), rack), None);
            let set = t.matching(rack, &|v| v == Some("1"));
            assert_eq!(set.iter().collect::<Vec<_>>(), [0, 3]);
            assert!(set.intersects(1, 3) && !set.intersects(1, 2));
            assert_eq!(t.matching(host, &|v| v.is_none()).len(), 2);
        }
        assert!(!copy.restore(4, &[1, 0, 9]), "a cut key is damage");
        let lost = key_of(&[(host, "z")]);
        assert!(!copy.restore(9, &lost), "a gap in ids is damage");
        assert_eq!(
            copy.resolve(&[(host, "new")]),
            SeriesId(10),
            "lost ids are not given out"
        );
        assert_eq!(copy.tag_value(SeriesId(7), host), None);
        assert_eq!(copy.tag_value(SeriesId(9), host).as_deref(), Some("z"));
    }
}
