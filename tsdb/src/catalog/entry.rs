//! Catalog entries as bytes: what the log's catalog sections and the catalog files hold. See `docs/formats/catalog.md`.

use super::stream::{Late, StreamDef, StreamOptions};
use tsdb_types::{ColumnDef, ColumnId, DataType, Role, StreamId};

/// A change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Database {
        name: String,
    },
    Stream {
        id: StreamId,
        db: String,
        name: String,
        def: StreamDef,
    },
    Columns {
        stream: StreamId,
        added: Vec<ColumnDef>,
    },
    Series {
        stream: StreamId,
        id: u32,
        key: Vec<u8>,
    },
    DropStream {
        id: StreamId,
    },
    Object {
        kind: String,
        db: String,
        name: String,
        payload: Vec<u8>,
    },
    DropObject {
        kind: String,
        db: String,
        name: String,
    },
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn role_tag(role: Role) -> u8 {
    match role {
        Role::Time => 1,
        Role::Tag => 2,
        Role::Field => 3,
    }
}

fn put_column(out: &mut Vec<u8>, name: &str, data_type: DataType, role: Role) {
    out.push(role_tag(role));
    out.extend_from_slice(&data_type.to_tag());
    put(out, name.as_bytes());
}

fn put_options(out: &mut Vec<u8>, o: &StreamOptions) {
    out.push(
        u8::from(o.late == Late::DeadLetter)
            | u8::from(o.merge) << 1
            | u8::from(o.retention_ns.is_some()) << 2,
    );
    for v in [
        o.disorder_ns,
        o.lateness_ns,
        o.retention_ns.unwrap_or(0),
        o.partition_ns,
    ] {
        out.extend_from_slice(&v.to_le_bytes());
    }
    out.extend_from_slice(&(o.extra.len() as u32).to_le_bytes());
    for (k, v) in &o.extra {
        put(out, k.as_bytes());
        put(out, v.as_bytes());
    }
}

/// Appends a series entry without building an [`Entry`].
pub(crate) fn put_series(out: &mut Vec<u8>, stream: StreamId, id: u32, key: &[u8]) {
    out.push(4);
    out.extend_from_slice(&(key.len() as u32 + 12).to_le_bytes());
    out.extend_from_slice(&stream.0.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    put(out, key);
}

impl Entry {
    /// Appends tag, length and payload.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        let tag = match self {
            Entry::Database { name } => {
                put(&mut body, name.as_bytes());
                1
            }
            Entry::Stream { id, db, name, def } => {
                body.extend_from_slice(&id.0.to_le_bytes());
                put(&mut body, db.as_bytes());
                put(&mut body, name.as_bytes());
                put_options(&mut body, &def.options);
                body.extend_from_slice(&(def.columns.len() as u32).to_le_bytes());
                for (name, data_type, role) in &def.columns {
                    put_column(&mut body, name, *data_type, *role);
                }
                2
            }
            Entry::Columns { stream, added } => {
                body.extend_from_slice(&stream.0.to_le_bytes());
                body.extend_from_slice(&(added.len() as u32).to_le_bytes());
                for c in added {
                    body.extend_from_slice(&c.id.0.to_le_bytes());
                    put_column(&mut body, &c.name, c.data_type, c.role);
                }
                3
            }
            Entry::Series { stream, id, key } => return put_series(out, *stream, *id, key),
            Entry::DropStream { id } => {
                body.extend_from_slice(&id.0.to_le_bytes());
                5
            }
            Entry::Object {
                kind,
                db,
                name,
                payload,
            } => {
                for part in [kind.as_bytes(), db.as_bytes(), name.as_bytes(), payload] {
                    put(&mut body, part);
                }
                6
            }
            Entry::DropObject { kind, db, name } => {
                for part in [kind, db, name] {
                    put(&mut body, part.as_bytes());
                }
                7
            }
        };
        out.push(tag);
        put(out, &body);
    }

    /// Reads one entry and gives what follows it; `None` when the bytes are no entry.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Entry, &[u8])> {
        let (tag, rest) = bytes.split_first()?;
        let mut whole = Reader(rest);
        let body = whole.bytes()?;
        let mut r = Reader(body);
        let entry = match tag {
            1 => Entry::Database { name: r.string()? },
            2 => Entry::Stream {
                id: StreamId(r.u32()?),
                db: r.string()?,
                name: r.string()?,
                def: {
                    let options = r.options()?;
                    let count = r.u32()?;
                    let mut columns = Vec::new();
                    for _ in 0..count {
                        columns.push(r.column()?);
                    }
                    StreamDef { columns, options }
                },
            },
            3 => Entry::Columns {
                stream: StreamId(r.u32()?),
                added: {
                    let count = r.u32()?;
                    let mut added = Vec::new();
                    for _ in 0..count {
                        let id = ColumnId(r.u16()?);
                        let (name, data_type, role) = r.column()?;
                        added.push(ColumnDef {
                            id,
                            name,
                            data_type,
                            role,
                        });
                    }
                    added
                },
            },
            4 => Entry::Series {
                stream: StreamId(r.u32()?),
                id: r.u32()?,
                key: r.bytes()?.to_vec(),
            },
            5 => Entry::DropStream {
                id: StreamId(r.u32()?),
            },
            6 => Entry::Object {
                kind: r.string()?,
                db: r.string()?,
                name: r.string()?,
                payload: r.bytes()?.to_vec(),
            },
            7 => Entry::DropObject {
                kind: r.string()?,
                db: r.string()?,
                name: r.string()?,
            },
            _ => return None,
        };
        r.0.is_empty().then_some((entry, whole.0))
    }
}

/// Reads little-endian parts off the front; `None` where the bytes end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.u32()? as usize;
        self.take(n)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn column(&mut self) -> Option<(String, DataType, Role)> {
        let [role, tag @ ..] = self.array::<4>()?;
        let role = match role {
            1 => Role::Time,
            2 => Role::Tag,
            3 => Role::Field,
            _ => return None,
        };
        let data_type = DataType::from_tag(tag)?;
        Some((self.string()?, data_type, role))
    }

    fn options(&mut self) -> Option<StreamOptions> {
        let [flags] = self.array::<1>()?;
        let (disorder_ns, lateness_ns, retention, partition_ns) =
            (self.i64()?, self.i64()?, self.i64()?, self.i64()?);
        let count = self.u32()?;
        let mut extra = Vec::new();
        for _ in 0..count {
            extra.push((self.string()?, self.string()?));
        }
        Some(StreamOptions {
            disorder_ns,
            lateness_ns,
            late: if flags & 1 == 1 {
                Late::DeadLetter
            } else {
                Late::Repair
            },
            retention_ns: (flags & 4 != 0).then_some(retention),
            partition_ns: if partition_ns > 0 {
                partition_ns
            } else {
                return None;
            },
            merge: flags & 2 != 0,
            extra,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Entry> {
        let options = StreamOptions {
            late: Late::DeadLetter,
            retention_ns: Some(9),
            merge: true,
            extra: vec![("kafka_topic".into(), "purchases".into())],
            ..StreamOptions::default()
        };
        let columns = vec![
            ("t".into(), DataType::Timestamp, Role::Time),
            (
                "d".into(),
                DataType::Decimal {
                    precision: 10,
                    scale: 2,
                },
                Role::Field,
            ),
        ];
        let column = ColumnDef {
            id: ColumnId(2),
            name: "h".into(),
            data_type: DataType::Utf8,
            role: Role::Tag,
        };
        vec![
            Entry::Database { name: "db".into() },
            Entry::Stream {
                id: StreamId(4),
                db: "db".into(),
                name: "s".into(),
                def: StreamDef { columns, options },
            },
            Entry::Columns {
                stream: StreamId(4),
                added: vec![column],
            },
            Entry::Series {
                stream: StreamId(4),
                id: 0,
                key: vec![1, 2, 3],
            },
            Entry::Object {
                kind: "view".into(),
                db: "db".into(),
                name: "v".into(),
                payload: vec![0, 255],
            },
            Entry::DropObject {
                kind: "view".into(),
                db: "db".into(),
                name: "v".into(),
            },
            Entry::DropStream { id: StreamId(4) },
        ]
    }

    #[test]
    fn entries_survive_and_damage_is_seen() {
        let mut bytes = Vec::new();
        samples().iter().for_each(|e| e.encode(&mut bytes));
        let (mut rest, mut read) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (entry, next) = Entry::decode(rest).unwrap();
            read.push(entry);
            rest = next;
        }
        assert_eq!(read, samples());
        for e in samples() {
            let mut one = Vec::new();
            e.encode(&mut one);
            for end in 0..one.len() {
                assert!(Entry::decode(&one[..end]).is_none(), "cut at {end}: {e:?}");
            }
            for bit in 0..one.len() * 8 {
                let mut bad = one.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let _ = Entry::decode(&bad);
            }
        }
    }
}
