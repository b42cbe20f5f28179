//! The durable form of a sink's definition, in the catalog.
//!
//! `version u8, epoch u64, start u64, kind u8`, then `length u32, text` for database and name of a stream (kind 0) or view
//! (1), or database and text of a query (2), the stream's id u32 (0 for others), then `option count u32` and per option
//! `length u32, name, length u32, value`. All little-endian, text UTF-8.

use tsdb::types::{Lsn, StreamId};
use tsdb::{PayloadReader, PayloadWriter};

const VERSION: u8 = 1;

/// What a sink sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Stream {
        db: String,
        name: String,
        id: StreamId,
    },
    View {
        db: String,
        name: String,
    },
    Query {
        db: String,
        sql: String,
    },
}

/// What is kept of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// Tells this sink from an earlier one of the same name.
    pub epoch: u64,
    /// The sink sends what was committed after this.
    pub start: Lsn,
    pub origin: Origin,
    pub options: Vec<(String, String)>,
}

impl Definition {
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut all = self.options.iter().rev();
        all.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether an option is set, or what it is without.
    pub fn flag(&self, name: &str, otherwise: bool) -> bool {
        self.option(name).map_or(otherwise, |v| v == "true")
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = PayloadWriter::new(VERSION);
        out.u64(self.epoch);
        out.u64(self.start.0);
        let (kind, db, what, id) = match &self.origin {
            Origin::Stream { db, name, id } => (0, db, name, id.0),
            Origin::View { db, name } => (1, db, name, 0),
            Origin::Query { db, sql } => (2, db, sql, 0),
        };
        out.u8(kind);
        out.text(db);
        out.text(what);
        out.u32(id);
        out.u32(self.options.len() as u32);
        for (name, value) in &self.options {
            out.text(name);
            out.text(value);
        }
        out.finish()
    }

    /// `None` when the bytes are no definition of this version.
    pub fn decode(bytes: &[u8]) -> Option<Definition> {
        let mut b = PayloadReader::new(bytes, VERSION)?;
        let (epoch, start, kind) = (b.u64()?, Lsn(b.u64()?), b.u8()?);
        let (db, what, id) = (b.text()?, b.text()?, StreamId(b.u32()?));
        let origin = match kind {
            0 => Origin::Stream { db, name: what, id },
            1 => Origin::View { db, name: what },
            2 => Origin::Query { db, sql: what },
            _ => return None,
        };
        let options = b.many(|b| Some((b.text()?, b.text()?)))?;
        b.end().map(|()| Definition {
            epoch,
            start,
            origin,
            options,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_a_cut_is_seen() {
        let (db, name) = ("d".to_owned(), "näme".to_owned());
        let origins = [
            Origin::Stream {
                db: db.clone(),
                name: name.clone(),
                id: StreamId(7),
            },
            Origin::View {
                db: db.clone(),
                name,
            },
            Origin::Query {
                db,
                sql: "SELECT 1".into(),
            },
        ];
        for origin in origins {
            let definition = Definition {
                epoch: 3,
                start: Lsn(9),
                origin,
                options: vec![
                    ("key".into(), "a,b".into()),
                    ("snapshot".into(), "true".into()),
                ],
            };
            let bytes = definition.encode();
            assert_eq!(Definition::decode(&bytes), Some(definition));
            for n in 0..bytes.len() {
                assert_eq!(Definition::decode(&bytes[..n]), None);
            }
        }
    }
}
