//! Scanned rows as Arrow columns. Integers and floats change owner, no value is copied.

use crate::types::{arrow_type, tag_type};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use std::sync::Arc;
use tsdb::types::DataType;
use tsdb::{TagColumn, Vector, VectorValues};

/// Event times.
pub(super) fn times(time: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(time))
}

/// A field column; `None` stands for nulls.
pub(super) fn field(
    column: Option<Vector>,
    data_type: DataType,
    rows: usize,
) -> Result<ArrayRef, ArrowError> {
    let Some(Vector { values, validity }) = column else {
        return Ok(new_null_array(&arrow_type(data_type), rows));
    };
    let nulls =
        validity.map(|bits| NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows)));
    Ok(match (values, data_type) {
        (VectorValues::Int(v), DataType::Bool) => Arc::new(BooleanArray::new(
            v.iter().map(|b| *b != 0).collect::<BooleanBuffer>(),
            nulls,
        )),
        (VectorValues::Int(v), DataType::UInt64) => {
            let v: Vec<u64> = v.into_iter().map(|v| v as u64).collect();
            Arc::new(UInt64Array::new(ScalarBuffer::from(v), nulls))
        }
        (VectorValues::Int(v), DataType::Timestamp) => {
            Arc::new(TimestampNanosecondArray::new(ScalarBuffer::from(v), nulls))
        }
        (VectorValues::Int(v), _) => Arc::new(Int64Array::new(ScalarBuffer::from(v), nulls)),
        (VectorValues::Float(v), _) => Arc::new(Float64Array::new(ScalarBuffer::from(v), nulls)),
        (VectorValues::Int128(v), DataType::Decimal { precision, scale }) => Arc::new(
            Decimal128Array::new(ScalarBuffer::from(v), nulls)
                .with_precision_and_scale(precision, scale as i8)?,
        ),
        (VectorValues::Int128(v), _) => {
            Arc::new(Decimal128Array::new(ScalarBuffer::from(v), nulls))
        }
        (VectorValues::Str { offsets, data }, _) => {
            // Invariant: scans hand out ascending offsets from 0 that end within the data.
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            Arc::new(StringArray::try_new(
                offsets,
                Buffer::from_vec(data),
                nulls,
            )?)
        }
    })
}

/// A tag of a stream: the dictionary once, then keys per batch.
#[derive(Debug)]
pub(super) struct TagReader {
    column: Arc<TagColumn>,
    values: ArrayRef,
}

impl TagReader {
    pub fn new(column: Arc<TagColumn>) -> Self {
        let values = Arc::new(StringArray::from_iter_values(column.values.iter()));
        Self { column, values }
    }

    /// The tag of each row's series. Series newer than the reader have no value in it, nor a row in its snapshot.
    pub fn read(&self, series: &[u32]) -> Result<ArrayRef, ArrowError> {
        let codes: Vec<i32> = series
            .iter()
            .map(|s| self.column.code(*s) as i32 - 1)
            .collect();
        let nulls = codes
            .contains(&-1)
            .then(|| NullBuffer::new(codes.iter().map(|c| *c >= 0).collect::<BooleanBuffer>()));
        let keys = if nulls.is_some() {
            codes.into_iter().map(|c| c.max(0)).collect()
        } else {
            codes
        };
        if self.values.is_empty() {
            return Ok(new_null_array(&tag_type(), keys.len()));
        }
        let keys = Int32Array::new(ScalarBuffer::from(keys), nulls);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
            keys,
            Arc::clone(&self.values),
        )?))
    }

    /// Every distinct value in order of its code, then null.
    pub fn distinct(&self) -> Result<ArrayRef, ArrowError> {
        let n = self.values.len();
        let keys: Int32Array = (0..n as i32).map(Some).chain([None]).collect();
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
            keys,
            Arc::clone(&self.values),
        )?))
    }
}
