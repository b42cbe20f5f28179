//! Bytes of saved state: little-endian, every length checked on the way in.

use super::StreamError;
use super::agg::Value;

/// Appends to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn u8(&mut self, v: u8) {
        self.bytes.push(v);
    }
    pub fn u32(&mut self, v: u32) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }
    pub fn u64(&mut self, v: u64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }
    pub fn i64(&mut self, v: i64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }
    pub fn i128(&mut self, v: i128) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }
    pub fn f64(&mut self, v: f64) {
        self.u64(v.to_bits());
    }
    /// A count of things that follow.
    pub fn len(&mut self, v: usize) {
        self.u64(v as u64);
    }
    pub fn slice(&mut self, v: &[u8]) {
        self.len(v.len());
        self.bytes.extend_from_slice(v);
    }
    pub fn value(&mut self, v: &Value) {
        match v {
            Value::Int(v) => {
                self.u8(1);
                self.i64(*v);
            }
            Value::Wide(v) => {
                self.u8(2);
                self.i128(*v);
            }
            Value::Float(v) => {
                self.u8(3);
                self.u64(*v);
            }
            Value::Str(v) => {
                self.u8(4);
                self.slice(v);
            }
        }
    }
    pub fn option(&mut self, v: Option<&Value>) {
        match v {
            None => self.u8(0),
            Some(v) => self.value(v),
        }
    }
}

/// Reads what [`Writer`] wrote.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], StreamError> {
        let (head, tail) = self
            .bytes
            .split_at_checked(n)
            .ok_or(StreamError::State("it is cut short"))?;
        self.bytes = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }
    pub fn u8(&mut self) -> Result<u8, StreamError> {
        Ok(self.array::<1>()?[0])
    }
    pub fn u32(&mut self) -> Result<u32, StreamError> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    pub fn u64(&mut self) -> Result<u64, StreamError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    pub fn i64(&mut self) -> Result<i64, StreamError> {
        Ok(i64::from_le_bytes(self.array()?))
    }
    pub fn i128(&mut self) -> Result<i128, StreamError> {
        Ok(i128::from_le_bytes(self.array()?))
    }
    pub fn f64(&mut self) -> Result<f64, StreamError> {
        Ok(f64::from_bits(self.u64()?))
    }
    /// A count of things of at least `least` bytes each: refused when the rest could not hold them.
    pub fn len(&mut self, least: usize) -> Result<usize, StreamError> {
        let n = self.u64()?;
        if n > (self.bytes.len() / least.max(1)) as u64 {
            return Err(StreamError::State("a count exceeds its bytes"));
        }
        Ok(n as usize)
    }
    pub fn slice(&mut self) -> Result<&'a [u8], StreamError> {
        let n = self.len(1)?;
        self.take(n)
    }
    pub fn option(&mut self) -> Result<Option<Value>, StreamError> {
        Ok(Some(match self.u8()? {
            0 => return Ok(None),
            1 => Value::Int(self.i64()?),
            2 => Value::Wide(self.i128()?),
            3 => Value::Float(self.u64()?),
            4 => {
                let text = self.slice()?;
                std::str::from_utf8(text).map_err(|_| StreamError::State("text is not UTF-8"))?;
                Value::Str(text.into())
            }
            _ => return Err(StreamError::State("an unknown kind of value")),
        }))
    }
    /// The bytes of what [`Reader::option`] would read.
    pub fn skip_option(&mut self) -> Result<&'a [u8], StreamError> {
        let before = self.bytes;
        match self.u8()? {
            0 => {}
            1 | 3 => {
                self.take(8)?;
            }
            2 => {
                self.take(16)?;
            }
            4 => {
                self.slice()?;
            }
            _ => return Err(StreamError::State("an unknown kind of value")),
        }
        Ok(&before[..before.len() - self.bytes.len()])
    }
    pub fn value(&mut self) -> Result<Value, StreamError> {
        self.option()?
            .ok_or(StreamError::State("a value is absent"))
    }
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
