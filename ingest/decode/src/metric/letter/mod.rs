//! What a dead letter keeps of a point, so that it can be read again: a JSON object.
//!
//! ```json
//! {"labels":{"job":"x"},"time":1767323045000000000,"values":{"value":1.5}}
//! {"labels":{"job":"x"},"time":1767323045000000000,"exemplar":{"labels":{"trace_id":"ab"},"value":0.5}}
//! {"time":1767323045000000000,"metadata":{"type":"counter","help":"Requests."}}
//! {"labels":{"job":"x"},"shown":"value 1.5 at 9223372036854775807 ms"}
//! ```
//!
//! `labels` are the tags, in their order, a name twice where the sender gave it twice, and not the metric's name: that is the
//! letter's stream (`metric` has it when it is longer than what stands there). They are missing when they could not be read.
//! `time` is in nanoseconds. `values` are by the names of their columns; a double is written so that its bits are read back:
//! what JSON has no number for is `"+Inf"`, `"-Inf"`, `"NaN"`, and `"NaN:7ff0000000000002"` for a NaN of other bits than the usual.
//! What could not be a row is `shown` in words, what is too long is `cut`; neither can be read again.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use write::{Kept, labels, payload, short, shown};

use super::{Fault, MetricContext, MetricDecoder};
use tsdb::Rows;

impl MetricDecoder {
    /// The rows that a letter becomes. `metric` is its stream, `payload` what it keeps of a point; all that was checked when
    /// the point came is checked anew. A metric that is no stream is made one, as its sample would have then.
    ///
    /// # Errors
    /// Why there are none.
    pub fn letter(
        &self,
        metric: &str,
        payload: &str,
        ctx: &MetricContext<'_>,
    ) -> Result<Vec<Rows>, String> {
        let point = read::point(payload)?;
        let mut refused = None;
        let decoded = self.run(ctx, |pen, _| match point.write(metric, pen) {
            Err(Fault::Request(rejection)) => Err(rejection),
            Err(Fault::Point(reason)) => {
                refused = Some(reason);
                Ok(())
            }
            Ok(()) => Ok(()),
        });
        let decoded = decoded.map_err(|rejection| rejection.message)?;
        match refused {
            Some(reason) => Err(reason.to_string()),
            None => Ok(decoded.rows),
        }
    }
}
