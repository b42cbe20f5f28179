//! Avro's binary encoding, read with every length checked.

use crate::text::bad;
use ingest_decode::RowReason;

/// Values that take no bytes, beyond which a message is refused: a list may claim any number of them.
const FREE_STEPS: usize = 1 << 20;

/// What is left of a message.
pub(super) struct Input<'a> {
    rest: &'a [u8],
    steps: usize,
}

fn short() -> RowReason {
    bad("the message ends within a value")
}

impl<'a> Input<'a> {
    pub fn new(message: &'a [u8]) -> Input<'a> {
        Input {
            rest: message,
            steps: FREE_STEPS.saturating_add(message.len().saturating_mul(4)),
        }
    }

    /// Bytes that have not been read.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Counts a value.
    pub fn step(&mut self) -> Result<(), RowReason> {
        self.steps = self
            .steps
            .checked_sub(1)
            .ok_or_else(|| bad("more values than so few bytes can mean"))?;
        Ok(())
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8], RowReason> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or_else(short)?;
        self.rest = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RowReason> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(short)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A long: zigzag, seven bits a byte, the lowest first.
    pub fn long(&mut self) -> Result<i64, RowReason> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(bad("an integer of more than 64 bits"))
    }

    pub fn int(&mut self) -> Result<i32, RowReason> {
        let v = self.long()?;
        i32::try_from(v).map_err(|_| bad(format!("{v} is no 32-bit integer")))
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], RowReason> {
        let n = self.long()?;
        let n = usize::try_from(n).map_err(|_| bad("a negative length"))?;
        self.take(n)
    }

    pub fn text(&mut self) -> Result<&'a str, RowReason> {
        std::str::from_utf8(self.bytes()?).map_err(|_| RowReason::NotUtf8)
    }

    /// An index below a bound.
    pub fn index(&mut self, bound: usize, what: &str) -> Result<usize, RowReason> {
        let v = self.long()?;
        let index = usize::try_from(v).ok().filter(|i| *i < bound);
        index.ok_or_else(|| bad(format!("{what} {v} of {bound}")))
    }

    /// The items of the next block of a list or map; 0 at its end.
    pub fn block(&mut self) -> Result<u64, RowReason> {
        let n = self.long()?;
        if n < 0 {
            // The size in bytes follows; nothing is passed over, so it is not needed.
            self.long()?;
        }
        Ok(n.unsigned_abs())
    }
}
