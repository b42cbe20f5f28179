//! The durable form of what is done with a stream's rows, in the catalog: an object of kind `transform` with the stream's
//! name.
//!
//! `version u8, statement length u32, statement, database length u32, database, stream u32, count u32`, then per stream or
//! table that is read `id u32, columns u32`. All little-endian, text UTF-8.

use tsdb::types::StreamId;
use tsdb::{PayloadReader, PayloadWriter};

const VERSION: u8 = 1;

/// What is kept: the statement that made the stream, the stream that it meant, and how many columns all that is read had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    /// `CREATE STREAM ..`
    pub sql: String,
    /// The database that names without one meant.
    pub db: String,
    /// The stream whose rows are read.
    pub source: StreamId,
    /// The columns that streams and tables had, so that `SELECT *` means the same for good: later ones come behind them.
    pub widths: Vec<(StreamId, u32)>,
}

impl Definition {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = PayloadWriter::new(VERSION);
        out.text(&self.sql);
        out.text(&self.db);
        out.u32(self.source.0);
        out.u32(self.widths.len() as u32);
        for (id, columns) in &self.widths {
            out.u32(id.0);
            out.u32(*columns);
        }
        out.finish()
    }

    /// `None` when the bytes are no definition of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut b = PayloadReader::new(bytes, VERSION)?;
        let definition = Self {
            sql: b.text()?,
            db: b.text()?,
            source: StreamId(b.u32()?),
            widths: b.many(|b| Some((StreamId(b.u32()?), b.u32()?)))?,
        };
        b.end().map(|()| definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_survives_and_a_cut_one_is_none() {
        let definition = Definition {
            sql: "CREATE STREAM a AS SELECT * FROM b".to_owned(),
            db: "größe".to_owned(),
            source: StreamId(7),
            widths: vec![(StreamId(7), 3), (StreamId(9), 1)],
        };
        let bytes = definition.encode();
        assert_eq!(Definition::decode(&bytes), Some(definition));
        for end in 0..bytes.len() {
            assert_eq!(Definition::decode(&bytes[..end]), None, "{end}");
        }
    }
}
