//! Prometheus' remote write, versions 1.0 and 2.0, read in place from its protobuf messages.
//!
//! A series whose raw labels were seen before costs one comparison or lookup. What is wrong with a series (labels that
//! are unsorted or double, no `__name__`, a bad histogram) refuses that series, or sample, alone; what is wrong with the
//! message refuses the request.
//!
//! Sources: <https://prometheus.io/docs/specs/prw/remote_write_spec/>,
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>.

mod histogram;
mod labels;
#[cfg(test)]
pub(super) mod messages;
mod series;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

pub(super) use histogram::{Histogram, push_buckets};

use super::metric::{MetricReason, Pen, Scratch};
use crate::admission::Rejection;

/// Which message a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

pub(super) fn decode(
    body: &[u8],
    version: Version,
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    match version {
        Version::V1 => v1::decode(body, pen, scratch),
        Version::V2 => v2::decode(body, pen, scratch),
    }
}

/// Milliseconds as nanoseconds.
fn nanos(ms: i64) -> Result<i64, MetricReason> {
    ms.checked_mul(1_000_000).ok_or(MetricReason::TimeRange(ms))
}

/// A metric's type by its number, which both versions share; empty when it is not known.
fn type_name(number: u64) -> &'static str {
    match number {
        1 => "counter",
        2 => "gauge",
        3 => "histogram",
        4 => "gaugehistogram",
        5 => "summary",
        6 => "info",
        7 => "stateset",
        _ => "",
    }
}
