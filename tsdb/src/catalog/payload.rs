//! The bytes of an object's payload: little-endian numbers, texts with their length as u32 ahead.

/// Appends to a payload.
#[derive(Debug, Default)]
pub struct PayloadWriter(Vec<u8>);

impl PayloadWriter {
    /// Begins with a version.
    #[must_use]
    pub fn new(version: u8) -> PayloadWriter {
        PayloadWriter(vec![version])
    }

    /// A byte.
    pub fn u8(&mut self, v: u8) {
        self.0.push(v);
    }

    /// A number; also a count of what follows.
    pub fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    /// A number.
    pub fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    /// A text of less than 4 GiB.
    pub fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what [`PayloadWriter`] has written; `None` where the bytes end, or are none of it.
#[derive(Clone, Copy, Debug)]
pub struct PayloadReader<'a>(&'a [u8]);

impl<'a> PayloadReader<'a> {
    /// Begins to read a payload of this version.
    #[must_use]
    pub fn new(bytes: &'a [u8], version: u8) -> Option<PayloadReader<'a>> {
        let mut reader = PayloadReader(bytes);
        (reader.u8()? == version).then_some(reader)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail): (&'a [u8; N], _) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }

    /// A byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[v]| v)
    }

    /// A number.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text.
    pub fn text(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        String::from_utf8(head.to_vec()).ok()
    }

    /// As many things as are counted, each read by `one`.
    pub fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()?;
        (0..count).map(|_| one(self)).collect()
    }

    /// Nothing is left.
    #[must_use]
    pub fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
