//! The durable form of a view's definition, in the catalog.
//!
//! `version u8, epoch u64, query length u32, query, database length u32, database, stream u32, column count u32`, then
//! per column `name length u32, name, type length u32, type`, then `name count u32` and per name `length u32, name`. All
//! little-endian, text UTF-8.

use crate::bind::windowed::ContinuousQuery;
use tsdb::types::{Fnv, StreamId};
use tsdb::{PayloadReader, PayloadWriter};

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
        let mut out = PayloadWriter::new(VERSION);
        out.u64(self.epoch);
        out.text(&self.sql);
        out.text(&self.db);
        out.u32(self.stream.0);
        out.u32(self.columns.len() as u32);
        for (name, data_type) in &self.columns {
            out.text(name);
            out.text(data_type);
        }
        out.u32(self.names.len() as u32);
        self.names.iter().for_each(|name| out.text(name));
        out.finish()
    }

    /// `None` when the bytes are no definition of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut b = PayloadReader::new(bytes, VERSION)?;
        let definition = Self {
            epoch: b.u64()?,
            sql: b.text()?,
            db: b.text()?,
            stream: StreamId(b.u32()?),
            columns: b.many(|b| Some((b.text()?, b.text()?)))?,
            names: b.many(PayloadReader::text)?,
        };
        b.end().map(|()| definition)
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

    /// Says whether saved state belongs to this definition.
    pub fn hash(&self) -> u64 {
        Fnv::of(&self.encode())
    }
}
