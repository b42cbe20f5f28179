//! Rows on their way into the log: what may be made of them first.

use super::request::{Request, Rows};
use crate::Error;
use crate::clock::Clock;
use parking_lot::RwLock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb_types::{Batch, BatchBuilder, DataType, Schema, StreamId};

/// Changes the rows of requests before they are committed: drops some, derives rows of other streams from them. What it
/// yields is what is logged, so a replay of the log does not ask it again. Runs on the thread that submits, for many
/// requests at a time.
pub trait RowTransform: Send + Sync {
    /// Whether anything is to be done with rows of this stream. Asked for each part of each request: it must be quick.
    fn concerns(&self, stream: StreamId) -> bool;

    /// The rows to be committed in place of `rows`, which came at `wall_ns` (nanoseconds since the epoch). Rows of a stream
    /// keep their order.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is something wrong with a row; then nothing of the request is committed.
    /// [`Error::Unready`] when no row can be taken now.
    fn apply(&self, rows: Vec<Rows>, wall_ns: i64) -> Result<Vec<Rows>, Error>;

    /// Whether [`RowTransform::apply`] would take these rows: it changes nothing that could be seen, counters included.
    ///
    /// # Errors
    /// Those of [`RowTransform::apply`].
    fn check(&self, rows: Vec<Rows>, wall_ns: i64) -> Result<(), Error>;
}

/// The transform of an engine, if it has one.
#[derive(Default)]
pub(crate) struct Transforms {
    any: AtomicBool,
    current: RwLock<Option<Arc<dyn RowTransform>>>,
}

impl Transforms {
    pub(crate) fn set(&self, transform: Option<Arc<dyn RowTransform>>) {
        let mut current = self.current.write();
        self.any.store(transform.is_some(), Ordering::Release);
        *current = transform;
    }

    /// The transform, if it concerns any of the rows.
    fn of(&self, rows: &[Rows]) -> Option<Arc<dyn RowTransform>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let transform = self.current.read().clone()?;
        let concerned = rows.iter().any(|r| transform.concerns(r.stream()));
        concerned.then_some(transform)
    }

    /// Applies the transform to a request that it concerns. A panic in it is that request's error alone.
    pub(crate) fn apply(&self, request: &mut Request, clock: &dyn Clock) -> Result<(), Error> {
        if let Some(transform) = self.of(&request.rows) {
            let rows = std::mem::take(&mut request.rows);
            request.rows = guarded(|| transform.apply(rows, clock.wall_ns()))?;
        }
        Ok(())
    }

    /// Whether the transform has anything to do with these rows.
    pub(crate) fn concern(&self, rows: &[Rows]) -> bool {
        self.of(rows).is_some()
    }

    /// Whether the transform would take these rows.
    pub(crate) fn check(&self, rows: Vec<Rows>, clock: &dyn Clock) -> Result<(), Error> {
        match self.of(&rows) {
            Some(transform) => guarded(|| transform.check(rows, clock.wall_ns())),
            None => Ok(()),
        }
    }
}

/// Rows that a transform takes, and how many others there were.
#[derive(Debug, Default)]
pub struct Sifted {
    /// What is to be committed.
    pub rows: Vec<Rows>,
    /// Rows that were left out.
    pub refused: usize,
    /// Why the first of them was.
    pub why: Option<String>,
}

/// Told of each row that is left out: a batch that holds it alone, its number among the rows of its stream, from 1 on, and
/// why.
pub type OnSifted<'a> = &'a mut dyn FnMut(&Batch, usize, &str);

/// So often a search asks the transform about a part that it refuses. What has more such rows is refused as a whole: it is not
/// a slip here and there, and the search would take minutes.
const MAX_ASKED: usize = 20_000;

/// The search for rows that a transform refuses.
pub(crate) struct Sieve<'a> {
    check: &'a dyn Fn(Rows) -> Result<(), Error>,
    on_refused: OnSifted<'a>,
    pub(crate) sifted: Sifted,
    asked: usize,
}

impl<'a> Sieve<'a> {
    pub(crate) fn new(
        check: &'a dyn Fn(Rows) -> Result<(), Error>,
        on_refused: OnSifted<'a>,
    ) -> Sieve<'a> {
        Sieve {
            check,
            on_refused,
            sifted: Sifted::default(),
            asked: 0,
        }
    }

    /// Takes rows that the transform lets pass, those of a batch that it does not by halves. They keep their order, and stay
    /// sealed or not: that is what a commit goes by. `before` rows of the stream came before these.
    ///
    /// # Errors
    /// [`Error::Refused`] when too many are refused.
    pub(crate) fn add(&mut self, rows: Rows, before: usize, schema: &Schema) -> Result<(), Error> {
        let why = match (self.check)(rows.clone()) {
            Err(Error::Refused(why)) => why,
            // What else there may be, the commit tells.
            _ => {
                self.sifted.rows.push(rows);
                return Ok(());
            }
        };
        let (batch, sealed) = match rows {
            Rows::Sealed(batch) => (Some(batch), true),
            Rows::Small(builder) => (builder.finish(), false),
        };
        let Some(batch) = batch else { return Ok(()) };
        let (all, mut good) = ((0..batch.rows as u32).collect::<Vec<_>>(), Vec::new());
        self.search(&batch, &all, why, before, schema, &mut good)?;
        let kept = pick(&batch, schema, &good);
        let kept = match (good.is_empty(), sealed) {
            (true, _) => None,
            (false, true) => kept.finish().map(Rows::Sealed),
            (false, false) => Some(Rows::Small(kept)),
        };
        self.sifted.rows.extend(kept);
        Ok(())
    }

    /// Finds the good ones of rows that are refused together.
    fn search(
        &mut self,
        batch: &Batch,
        rows: &[u32],
        why: String,
        before: usize,
        schema: &Schema,
        good: &mut Vec<u32>,
    ) -> Result<(), Error> {
        self.asked += 1;
        if self.asked > MAX_ASKED {
            let why = format!("{why}; so many rows can't be taken that none of the request is");
            return Err(Error::Refused(why));
        }
        if let [row] = rows {
            if let Some(alone) = pick(batch, schema, rows).finish() {
                (self.on_refused)(&alone, before + *row as usize + 1, &why);
            }
            self.sifted.refused += 1;
            self.sifted.why.get_or_insert(why);
            return Ok(());
        }
        for half in rows.chunks(rows.len().div_ceil(2).max(1)) {
            let Some(part) = Rows::from_builder(pick(batch, schema, half)) else {
                continue;
            };
            match (self.check)(part) {
                Err(Error::Refused(why)) => {
                    self.search(batch, half, why, before, schema, good)?;
                }
                _ => good.extend_from_slice(half),
            }
        }
        Ok(())
    }
}

fn guarded<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::Refused(
            "the rows could not be transformed: a transform of the stream has panicked".into(),
        ))
    })
}

/// Some rows of a batch, by their places, as a builder of the same stream, whose columns `schema` tells.
#[must_use]
pub fn pick(batch: &Batch, schema: &Schema, rows: &[u32]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(batch.stream);
    for row in rows.iter().map(|r| *r as usize) {
        let series = tsdb_types::SeriesId(batch.series.i64_at(row) as u32);
        builder.begin_row(batch.time.i64_at(row), series);
        for (id, column) in &batch.columns {
            let Some(def) = schema.columns.get(usize::from(id.0)) else {
                continue;
            };
            if !column.is_valid(row) {
                continue;
            }
            // A row has each column once, so there is room for the value.
            let Some(to) = builder.column(*id, def.data_type) else {
                continue;
            };
            match def.data_type {
                DataType::Float64 => to.push_f64(column.f64_at(row)),
                DataType::Decimal { .. } => {
                    to.push_i128(column.i128_at(row));
                }
                DataType::Utf8 => {
                    // Invariant: text columns hold whole UTF-8 texts, and these fitted into one column before.
                    let text = std::str::from_utf8(column.str_at(row)).unwrap_or_default();
                    to.push_str(text);
                }
                DataType::Bool | DataType::Int64 | DataType::UInt64 | DataType::Timestamp => {
                    to.push_i64(column.i64_at(row));
                }
            }
        }
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::super::tests::{def, rows, values};
    use super::*;
    use crate::{ColumnId, Engine, EngineConfig};

    /// Keeps even values, and copies them to another stream; fails on 13, panics on 77.
    struct Even {
        of: StreamId,
        to: StreamId,
        schema: Arc<Schema>,
    }

    impl RowTransform for Even {
        fn concerns(&self, stream: StreamId) -> bool {
            stream == self.of
        }

        fn apply(&self, rows: Vec<Rows>, _: i64) -> Result<Vec<Rows>, Error> {
            let mut out = Vec::new();
            for rows in rows {
                let batch = match rows {
                    Rows::Sealed(batch) => batch,
                    Rows::Small(builder) => builder.finish().unwrap(),
                };
                let values = batch.column(ColumnId(2)).unwrap();
                let all = 0..batch.rows as u32;
                assert!(all.clone().all(|i| values.i64_at(i as usize) != 77));
                if all.clone().any(|i| values.i64_at(i as usize) == 13) {
                    return Err(Error::Refused("13".into()));
                }
                let even: Vec<u32> = all
                    .filter(|i| values.i64_at(*i as usize) % 2 == 0)
                    .collect();
                let kept = pick(&batch, &self.schema, &even);
                let mut copy = kept.clone();
                copy.stream = self.to;
                out.extend([kept, copy].into_iter().filter_map(Rows::from_builder));
            }
            Ok(out)
        }

        fn check(&self, rows: Vec<Rows>, wall_ns: i64) -> Result<(), Error> {
            self.apply(rows, wall_ns).map(drop)
        }
    }

    #[test]
    fn what_a_transform_yields_is_what_is_committed() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(&EngineConfig::new(dir.path())).unwrap();
        let make = |name| {
            engine
                .catalog()
                .create_stream("default", name, &def())
                .unwrap()
        };
        let (from, to, other) = (make("from"), make("to"), make("other"));
        // So that series have the same ids in both.
        rows(&to, 0..7, true);
        engine.set_transform(Some(Arc::new(Even {
            of: from.id,
            to: to.id,
            schema: from.schema(),
        })));
        engine.check(rows(&from, 0..10, true).rows).unwrap();
        let before = engine.commit(rows(&from, 0..10, true)).unwrap();
        let after = engine.commit(rows(&from, 20..30, false)).unwrap();
        assert_eq!(after, before.next());
        for (refused, why) in [(12..14, "13"), (70..80, "panicked")] {
            let checked = engine.check(rows(&from, refused.clone(), true).rows);
            let error = engine.commit(rows(&from, refused, true)).unwrap_err();
            assert_eq!(checked.unwrap_err().to_string(), error.to_string());
            assert!(
                matches!(&error, Error::Refused(m) if m.contains(why)),
                "{error}"
            );
        }
        // Each by itself, in whatever form they come.
        let of = |rows| {
            let batch = match rows {
                Rows::Sealed(batch) => batch,
                Rows::Small(builder) => builder.finish().unwrap(),
            };
            let values = batch.column(ColumnId(2)).unwrap();
            let all: Vec<i64> = (0..batch.rows).map(|i| values.i64_at(i)).collect();
            all
        };
        for small in [true, false] {
            // Of the stream's rows, the first ones come in a batch of their own.
            let mut parts = rows(&from, 0..4, small).rows;
            parts.extend(rows(&from, 12..80, small).rows);
            let mut told = Vec::new();
            let sifted = engine.sift(parts, &mut |row, number, why| {
                assert_eq!(row.rows, 1);
                let value = row.column(ColumnId(2)).unwrap().i64_at(0);
                told.push((value, number, why.contains("13")));
            });
            let sifted = sifted.unwrap();
            let left: usize = sifted.rows.iter().map(Rows::count).sum();
            assert_eq!((left, sifted.refused), (70, 2));
            // The order stays, and so does what a commit goes by.
            let forms: Vec<bool> = (sifted.rows.iter())
                .map(|r| matches!(r, Rows::Small(_)))
                .collect();
            assert_eq!(forms, [small; 2]);
            let kept: Vec<i64> = sifted.rows.into_iter().flat_map(of).collect();
            let wanted = (0..4).chain(12..80).filter(|v| ![13, 77].contains(v));
            assert_eq!(kept, wanted.collect::<Vec<_>>());
            assert_eq!(sifted.why.as_deref(), Some("13"));
            assert_eq!(told, [(13, 6, true), (77, 70, false)]);
        }
        // Nothing of the refused ones is there, and the log goes on.
        engine.commit(rows(&other, 0..10, true)).unwrap();
        let even: Vec<i64> = (0..10).chain(20..30).filter(|v| v % 2 == 0).collect();
        let check = |engine: &Engine| {
            let snapshot = engine.snapshot();
            let of = |name| {
                let stream = engine.catalog().stream("default", name).unwrap();
                values(&snapshot, &stream)
            };
            assert_eq!(of("from"), even);
            assert_eq!(of("to"), even);
            assert_eq!(of("other"), (0..10).collect::<Vec<_>>());
        };
        check(&engine);
        engine.set_transform(None);
        engine.close();
        drop(engine);
        // A replay of the log does not ask again.
        check(&Engine::open(&EngineConfig::new(dir.path())).unwrap());
    }
}
