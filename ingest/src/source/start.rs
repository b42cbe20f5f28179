//! Where a source begins: the options `kafka_start`, `nats_start`.

use crate::decode::{Precision, parse_time};

/// Where a source begins that was never read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first message that is there.
    Earliest,
    /// What comes from now on.
    Latest,
    /// The first message of that time or later, in nanoseconds since the epoch.
    Time(i64),
}

impl Start {
    /// Reads `earliest`, `latest` or a time. `option` names the option, for the error.
    ///
    /// # Errors
    /// When it is none of them.
    pub(super) fn parse(option: &str, text: &str) -> Result<Start, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "earliest" | "beginning" => return Ok(Start::Earliest),
            "latest" | "end" => return Ok(Start::Latest),
            _ => {}
        }
        let time = parse_time(text.trim().as_bytes());
        let number = || {
            let v: i64 = text.trim().parse().ok()?;
            v.checked_mul(Precision::by_size(v).nanos())
        };
        let ns = time.or_else(number).ok_or_else(|| {
            format!("{option} is 'earliest', 'latest' or a time such as '2026-01-31T08:00:00Z', not '{text}'")
        })?;
        Ok(Start::Time(ns))
    }
}
