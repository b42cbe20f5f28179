//! OTLP metrics: `ExportMetricsServiceRequest` in protobuf or JSON. JSON is written anew as protobuf, so that there is one
//! reader; it reads in place.
//!
//! A metric is a stream, each data point a row. Tags are, the later ones winning: attributes of the resource, of the
//! scope, of the point, then `otel.scope.name`, `otel.scope.version`, `otel.temporality` (`delta` or `cumulative`) and
//! `otel.monotonic` (`true` or `false`, of sums). Names keep their dots. A value that is no text is written as JSON has it,
//! bytes as base64; an empty one is as good as none. Integers are stored as the nearest DOUBLE.
//!
//! Sources: <https://opentelemetry.io/docs/specs/otlp/>, <https://opentelemetry.io/docs/specs/otel/metrics/data-model/>.

mod attributes;
mod base64;
mod json;
#[cfg(test)]
mod messages;
mod point;
pub mod reply;
mod schema;
#[cfg(test)]
mod tests;
mod walk;

pub(super) use walk::Groups;

use super::metric::{Pen, Scratch};
use crate::admission::Rejection;
use reply::Form;

pub(super) fn decode(
    body: &[u8],
    form: Form,
    pen: &mut Pen<'_, '_>,
    scratch: &mut Scratch,
) -> Result<(), Rejection> {
    match form {
        Form::Protobuf => walk::request(body, pen, scratch),
        Form::Json => walk::request(&json::to_protobuf(body)?, pen, scratch),
    }
}
