//! The durable form of what is done with a stream's rows, in the catalog: an object of kind `transform` with the stream's
//! name.
//!
//! `version u8, statement length u32, statement, database length u32, database, stream u32, count u32`, then per stream or
//! table that is read `id u32, columns u32`. All little-endian, text UTF-8.

use tsdb::types::StreamId;

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
        let mut out = vec![VERSION];
        let text = |out: &mut Vec<u8>, s: &str| {
            out.extend_from_slice(&(s.len() as u32).to_le_bytes());
            out.extend_from_slice(s.as_bytes());
        };
        text(&mut out, &self.sql);
        text(&mut out, &self.db);
        out.extend_from_slice(&self.source.0.to_le_bytes());
        out.extend_from_slice(&(self.widths.len() as u32).to_le_bytes());
        for (id, columns) in &self.widths {
            out.extend_from_slice(&id.0.to_le_bytes());
            out.extend_from_slice(&columns.to_le_bytes());
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
        let (sql, db) = (text(b)?, text(b)?);
        let source = StreamId(number(b)?);
        let count = number(b)?;
        let width = |_| Some((StreamId(number(b)?), number(b)?));
        let widths = (0..count).map(width).collect::<Option<Vec<_>>>()?;
        b.is_empty().then_some(Self {
            sql,
            db,
            source,
            widths,
        })
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
