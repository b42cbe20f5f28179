//! Positions and keys as bytes: what the log's sections and the ledger files hold. All integers are little-endian.

use super::{Advance, KeyedReply, MAX_REPLY};
use bytes::Bytes;
use std::sync::Arc;
use tsdb_types::StreamId;

/// Appends `{stream u32, from u64, next u64, partition, origin}` for each, texts with their length as u16 ahead. Texts
/// beyond 65,535 bytes are cut: no source has such names.
pub(crate) fn encode_positions(advances: &[Advance], out: &mut Vec<u8>) {
    for a in advances {
        out.extend_from_slice(&a.stream.0.to_le_bytes());
        out.extend_from_slice(&a.from.to_le_bytes());
        out.extend_from_slice(&a.next.to_le_bytes());
        for text in [&a.partition, &a.origin] {
            let bytes = &text.as_bytes()[..text.floor_char_boundary(usize::from(u16::MAX))];
            out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// Reads what [`encode_positions`] has written; the offset of the first entry that can't be read otherwise.
pub(crate) fn decode_positions(bytes: &[u8]) -> Result<Vec<Advance>, usize> {
    let mut reader = Reader(bytes);
    let mut all = Vec::new();
    while !reader.0.is_empty() {
        let at = bytes.len() - reader.0.len();
        all.push(reader.advance().ok_or(at)?);
    }
    Ok(all)
}

/// Appends `{key u128, request u128, length u32, reply}` for each.
pub(crate) fn encode_keys<'a>(keys: impl Iterator<Item = &'a KeyedReply>, out: &mut Vec<u8>) {
    for keyed in keys {
        out.extend_from_slice(&keyed.key.to_le_bytes());
        out.extend_from_slice(&keyed.request.to_le_bytes());
        out.extend_from_slice(&(keyed.reply.len() as u32).to_le_bytes());
        out.extend_from_slice(&keyed.reply);
    }
}

/// Reads what [`encode_keys`] has written; the offset of the first entry that can't be read otherwise.
pub(crate) fn decode_keys(bytes: &[u8]) -> Result<Vec<KeyedReply>, usize> {
    let mut reader = Reader(bytes);
    let mut all = Vec::new();
    while !reader.0.is_empty() {
        let at = bytes.len() - reader.0.len();
        all.push(reader.keyed().ok_or(at)?);
    }
    Ok(all)
}

/// Reads parts off the front; `None` where the bytes end.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let len = u16::from_le_bytes(self.array()?);
        std::str::from_utf8(self.take(usize::from(len))?)
            .ok()
            .map(Arc::from)
    }

    fn advance(&mut self) -> Option<Advance> {
        Some(Advance {
            stream: StreamId(u32::from_le_bytes(self.array()?)),
            from: self.u64()?,
            next: self.u64()?,
            partition: self.text()?,
            origin: self.text()?,
            after: None,
        })
    }

    fn keyed(&mut self) -> Option<KeyedReply> {
        let (key, request) = (self.array()?, self.array()?);
        let len = u32::from_le_bytes(self.array()?) as usize;
        if len > MAX_REPLY {
            return None;
        }
        Some(KeyedReply {
            key: u128::from_le_bytes(key),
            request: u128::from_le_bytes(request),
            reply: Bytes::copy_from_slice(self.take(len)?),
        })
    }
}
