//! The durable form of a view's definition, in the catalog.
//!
//! `version u8, epoch u64, query length u32, query, database length u32, database, stream u32, column count u32`, then
//! per column `name length u32, name, type length u32, type`, then `name count u32` and per name `length u32, name`. All
//! little-endian, text UTF-8.

use crate::bind::windowed::ContinuousQuery;
use tsdb::types::StreamId;

const VERSION: u8 = 3;

/// What is kept of a view: its text, the stream that this meant, and the columns it had, so that a name and `SELECT *`
/// mean the same for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// Tells this view from an earlier one of the same name.
    pub epoch: u64,
    pub sql: String,
    /// The database of the stream it reads, which a name without one meant.
    pub db: String,
    /// The stream it reads.
    pub stream: StreamId,
    /// Names and types of the query's output.
    pub columns: Vec<(String, String)>,
    /// What the view calls the first of them.
    pub names: Vec<String>,
}

impl Definition {
    pub fn new(epoch: u64, sql: &str, query: &ContinuousQuery) -> Self {
        let columns = query
            .output()
            .fields()
            .iter()
            .map(|f| (f.name().clone(), f.data_type().to_string()))
            .collect();
        Self {
            epoch,
            sql: sql.to_string(),
            db: query.source().db.clone(),
            stream: query.source().id,
            columns,
            names: Vec::new(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.epoch.to_le_bytes());
        let text = |out: &mut Vec<u8>, s: &str| {
            out.extend_from_slice(&(s.len() as u32).to_le_bytes());
            out.extend_from_slice(s.as_bytes());
        };
        text(&mut out, &self.sql);
        text(&mut out, &self.db);
        out.extend_from_slice(&self.stream.0.to_le_bytes());
        out.extend_from_slice(&(self.columns.len() as u32).to_le_bytes());
        for (name, data_type) in &self.columns {
            text(&mut out, name);
            text(&mut out, data_type);
        }
        out.extend_from_slice(&(self.names.len() as u32).to_le_bytes());
        for name in &self.names {
            text(&mut out, name);
        }
        out
    }

    /// `None` when the bytes are no definition of this version.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
            let (head, tail) = bytes.split_at_checked(n)?;
            *bytes = tail;
            Some(head)
        }
        fn number(bytes: &mut &[u8]) -> Option<u32> {
            Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
        }
        fn text(bytes: &mut &[u8]) -> Option<String> {
            let n = number(bytes)? as usize;
            String::from_utf8(take(bytes, n)?.to_vec()).ok()
        }
        let b = &mut bytes;
        if take(b, 1)? != [VERSION] {
            return None;
        }
        let epoch = u64::from_le_bytes(take(b, 8)?.try_into().ok()?);
        let (sql, db) = (text(b)?, text(b)?);
        let stream = StreamId(number(b)?);
        let n = number(b)?;
        let columns = (0..n)
            .map(|_| Some((text(b)?, text(b)?)))
            .collect::<Option<Vec<_>>>()?;
        let n = number(b)?;
        let names = (0..n).map(|_| text(b)).collect::<Option<Vec<_>>>()?;
        b.is_empty().then_some(Self {
            epoch,
            sql,
            db,
            stream,
            columns,
            names,
        })
    }

    /// Leaves out columns that `SELECT *` would have now and had not when the view was made, and names the others as the
    /// view does. `None` when the query no longer yields the columns it did.
    pub fn freeze(&self, mut query: ContinuousQuery) -> Option<ContinuousQuery> {
        if let ContinuousQuery::Rows(rows) = &mut query {
            let keep: Vec<usize> = (0..rows.projection.len())
                .filter(|i| {
                    let field = rows.output.field(*i);
                    let is = |c: &(String, String)| {
                        c.0 == *field.name() && c.1 == field.data_type().to_string()
                    };
                    self.columns.iter().any(is)
                })
                .collect();
            rows.projection = keep.iter().map(|i| rows.projection[*i].clone()).collect();
            rows.output = rows.output.project(&keep).ok()?.into();
        }
        let now = Definition::new(self.epoch, &self.sql, &query);
        (now.columns == self.columns).then(|| query.renamed(&self.names))
    }

    /// Says whether saved state belongs to this definition (FNV-1a, 64 bits).
    pub fn hash(&self) -> u64 {
        fnv(&self.encode())
    }
}

/// FNV-1a, 64 bits: the same in every build, as names of files must be.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
