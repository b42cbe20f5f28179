//! Lines that come in many small messages: their rows wait together until they are taken.

use super::cache::Cache;
use super::{LineContext, LineReason, each_line};
use tsdb::Rows;

/// The rows of messages in line protocol, of one database.
#[derive(Default)]
pub struct LineRows {
    cache: Cache,
    out: Vec<Rows>,
    begun: bool,
}

/// What a message came to.
pub struct LinesTaken {
    /// Rows.
    pub accepted: usize,
    /// Whether lines were left out because the rows before take too much.
    pub full: bool,
}

impl LineRows {
    /// Appends the rows of a message that is met at `now_ns`, and tells of lines that are none, by their text.
    pub fn push(
        &mut self,
        body: &[u8],
        ctx: &LineContext<'_>,
        now_ns: i64,
        on_bad: &mut dyn FnMut(LineReason, &[u8]),
    ) -> LinesTaken {
        if !std::mem::replace(&mut self.begun, true) {
            self.cache.begin(now_ns);
        }
        self.cache.grant();
        let mut refused = |range: std::ops::Range<usize>, reason| {
            on_bad(reason, body[range].trim_ascii_end());
        };
        let (accepted, all) = each_line(&mut self.cache, body, ctx, &mut self.out, &mut refused);
        LinesTaken {
            accepted,
            full: all.is_err(),
        }
    }

    /// Bytes that the rows hold.
    pub fn bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Takes all rows.
    pub fn take(&mut self) -> Vec<Rows> {
        if std::mem::take(&mut self.begun) {
            // What each message may take was checked as it came, and no more is to come.
            let _ = self.cache.finish(&mut self.out);
        }
        std::mem::take(&mut self.out)
    }
}
