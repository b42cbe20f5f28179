//! Percentiles for the general plan, computed as the operator computes them: DataFusion's own cut the weight between
//! neighbours to six digits, and its sketch depends on the order of rows.

use crate::stream::agg::{Sketch, percentile};
use crate::stream::{Reader, Writer};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::types::{NativeType, logical_float64};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Coercion, ColumnarValue, Signature,
    TypeSignatureClass, Volatility,
};
use std::sync::Arc;

/// `percentile_cont` and `approx_percentile_cont`, to stand in for DataFusion's.
#[must_use]
pub fn percentiles() -> [Arc<AggregateUDF>; 2] {
    [true, false].map(|exact| Arc::new(AggregateUDF::new_from_impl(Percentile::new(exact))))
}

/// `f(value, share)`: the value with that share of the others below it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    exact: bool,
    signature: Signature,
}

impl Percentile {
    fn new(exact: bool) -> Self {
        let float = || {
            Coercion::new_implicit(
                TypeSignatureClass::Native(logical_float64()),
                vec![TypeSignatureClass::Numeric],
                NativeType::Float64,
            )
        };
        Self {
            exact,
            signature: Signature::coercible(vec![float(), float()], Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        if self.exact {
            "percentile_cont"
        } else {
            "approx_percentile_cont"
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let state = if self.exact {
            DataType::new_list(DataType::Float64, true)
        } else {
            DataType::Binary
        };
        let name = format_state_name(args.name, self.name());
        Ok(vec![Arc::new(Field::new(name, state, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let share = match args.exprs.get(1).map(|e| e.evaluate(&nothing)) {
            Some(Ok(ColumnarValue::Scalar(ScalarValue::Float64(Some(share))))) => share,
            _ => {
                let message = "the share of a percentile must be a constant number".to_owned();
                return Err(DataFusionError::Plan(message));
            }
        };
        Ok(if self.exact {
            let distinct = args.is_distinct;
            let values = Vec::new();
            Box::new(All {
                share,
                distinct,
                values,
            })
        } else {
            let sketch = Sketch::default();
            Box::new(Sketched { share, sketch })
        })
    }
}

/// Keeps all values.
#[derive(Debug)]
struct All {
    share: f64,
    distinct: bool,
    values: Vec<f64>,
}

fn floats(array: &ArrayRef) -> Result<&Float64Array> {
    array
        .as_primitive_opt::<Float64Type>()
        .ok_or_else(|| DataFusionError::Internal(format!("a percentile of {}", array.data_type())))
}

impl Accumulator for All {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(floats(&values[0])?.iter().flatten());
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for v in floats(&values[0])?.iter().flatten() {
            let at = self.values.iter().position(|x| x.total_cmp(&v).is_eq());
            if let Some(at) = at {
                self.values.swap_remove(at);
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.values.extend(floats(&list)?.iter().flatten());
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Arc::new(Float64Array::from(std::mem::take(&mut self.values)));
        let list = SingleRowListArrayBuilder::new(values);
        Ok(vec![list.build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.distinct {
            self.values.sort_unstable_by(f64::total_cmp);
            self.values.dedup_by(|a, b| a.total_cmp(b).is_eq());
        }
        Ok(ScalarValue::Float64(percentile(&self.values, self.share)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * 8
    }
}

/// Keeps a sketch.
#[derive(Debug)]
struct Sketched {
    share: f64,
    sketch: Sketch,
}

impl Accumulator for Sketched {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for v in floats(&values[0])?.iter().flatten() {
            self.sketch.add(v);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states: &BinaryArray = states[0].as_binary();
        for bytes in states.iter().flatten() {
            let other = Sketch::decode(&mut Reader::new(bytes))
                .map_err(|e| DataFusionError::Internal(e.to_string()))?;
            self.sketch.merge(&other);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut out = Writer::default();
        self.sketch.encode(&mut out);
        Ok(vec![ScalarValue::Binary(Some(out.bytes))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.sketch.percentile(self.share)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sketch.buckets() * 24
    }
}
