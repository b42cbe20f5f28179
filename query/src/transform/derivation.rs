//! How the rows of one stream are made from those of another.

use super::Counts;
use super::program::{Program, Tally};
use crate::error::QueryError;
use crate::rows::append;
use crate::stream::{RowBlock, StreamError};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampNanosecondArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tsdb::types::{Batch, BatchBuilder, ColumnDef, Role};
use tsdb::{Error, Rows, Stream};

/// A derived stream and how its rows are made.
pub(crate) struct Derivation {
    pub stream: Arc<Stream>,
    pub program: Program,
    /// Its columns, in the order of the program's output.
    pub columns: Vec<ColumnDef>,
    pub counts: Arc<Counts>,
}

impl Derivation {
    /// The rows that `batch`, of `source`, gives rise to.
    pub(super) fn derive(
        &self,
        batch: &Batch,
        source: &Stream,
        wall_ns: i64,
    ) -> Result<(Option<Rows>, Tally), Error> {
        let refused = |why: String| {
            let name = &self.stream.name;
            Error::Refused(format!(
                "stream \"{name}\" is derived from these rows: {why}"
            ))
        };
        let block = RowBlock::from_batch(batch);
        // Only rows of a source are shed.
        let kept = self
            .program
            .keep(&block, source, 0)
            .map_err(|e| refused(e.to_string()))?;
        let mut tally = kept.tally;
        if kept.rows.is_empty() {
            return Ok((None, tally));
        }
        let output = self.program.output(&kept);
        let output = output.and_then(|o| self.timed(o, &block, &kept.rows));
        let output = output.map_err(|e| refused(e.to_string()))?;
        let rows = self
            .young(&output, wall_ns)
            .map_err(|e| refused(e.to_string()))?;
        tally.late = output.num_rows() - rows.num_rows();
        tally.derived = rows.num_rows();
        let mut builder = BatchBuilder::new(self.stream.id);
        append(&mut builder, &self.stream, &self.columns, &rows, wall_ns)
            .map_err(|e: QueryError| refused(e.to_string()))?;
        Ok((Rows::from_builder(builder), tally))
    }

    fn time_place(&self) -> Option<usize> {
        self.columns.iter().position(|c| c.role == Role::Time)
    }

    /// A row without an event time of its own has that of the row it was made from.
    fn timed(
        &self,
        output: RecordBatch,
        block: &RowBlock<'_>,
        rows: &[u32],
    ) -> Result<RecordBatch, StreamError> {
        let Some(at) = self
            .time_place()
            .filter(|at| output.column(*at).null_count() > 0)
        else {
            return Ok(output);
        };
        let mut columns = output.columns().to_vec();
        let times = rows.iter().map(|r| block.time()[*r as usize]);
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(times));
        let times = arrow::compute::cast(&times, columns[at].data_type())?;
        columns[at] = zip(&is_not_null(&columns[at])?, &columns[at], &times)?;
        Ok(RecordBatch::try_new(output.schema(), columns)?)
    }

    /// The rows that are not too old for the stream.
    fn young(&self, output: &RecordBatch, wall_ns: i64) -> Result<RecordBatch, StreamError> {
        let oldest = self.stream.oldest_taken(wall_ns);
        let times = self.time_place().map(|at| output.column(at));
        let Some(times) = times.and_then(|t| t.as_primitive_opt::<TimestampNanosecondType>())
        else {
            return Ok(output.clone());
        };
        if oldest == i64::MIN {
            return Ok(output.clone());
        }
        let young: BooleanArray = times.values().iter().map(|t| Some(*t >= oldest)).collect();
        Ok(filter_record_batch(output, &young)?)
    }
}
