//! Arrow rows become rows of a stream.

use crate::bind::integer_time;
use crate::error::QueryError;
use crate::types::{TIMESTAMP, arrow_type, plain_type, type_name};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType as Arrow, Decimal128Type, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use tsdb::Stream;
use tsdb::types::{BatchBuilder, ColumnDef, ColumnId, DataType, Role};

/// A column of values as the stored type has it; a value that does not fit is an error.
fn fitted(column: &ArrayRef, def: &ColumnDef) -> Result<ArrayRef, QueryError> {
    let wanted = arrow_type(def.data_type);
    let plain = plain_type(column.data_type());
    if wanted == TIMESTAMP && plain.is_integer() {
        let wide = cast(column, &Arrow::Int64).map_err(|e| QueryError::Exec(e.to_string()))?;
        let times: Int64Array = wide.as_primitive::<Int64Type>().unary(integer_time);
        return cast(&times, &TIMESTAMP).map_err(|e| QueryError::Exec(e.to_string()));
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(column, &wanted, &strict).map_err(|e| {
        let from = type_name(column.data_type());
        QueryError::Exec(format!(
            "column \"{}\" is {} and cannot take this {from}: {e}",
            def.name, def.data_type
        ))
    })
}

/// Appends rows whose columns are values for `targets`; `now` is the event time of rows that have none.
///
/// # Errors
/// When a value does not fit its column, or a row is too old for its stream.
pub(crate) fn append(
    builder: &mut BatchBuilder,
    stream: &Stream,
    targets: &[ColumnDef],
    batch: &RecordBatch,
    now: i64,
) -> Result<(), QueryError> {
    let columns = batch
        .columns()
        .iter()
        .zip(targets)
        .map(|(c, def)| fitted(c, def))
        .collect::<Result<Vec<_>, _>>()?;
    let of_role = |role: Role| {
        targets
            .iter()
            .enumerate()
            .filter(move |(_, d)| d.role == role)
    };
    let time = of_role(Role::Time)
        .next()
        .map(|(i, _)| columns[i].as_primitive::<TimestampNanosecondType>());
    let mut tags: Vec<(ColumnId, usize)> = of_role(Role::Tag).map(|(i, d)| (d.id, i)).collect();
    tags.sort_unstable();
    for row in 0..batch.num_rows() {
        let at = match time {
            Some(t) if t.is_null(row) => {
                return Err(QueryError::Exec(
                    "the event time of a row cannot be NULL".to_owned(),
                ));
            }
            Some(t) => t.value(row),
            None => now,
        };
        if let Some(why) = stream.too_old(at, now) {
            return Err(QueryError::Exec(format!(
                "nothing is inserted: {why} (event time {at} ns)"
            )));
        }
        let key: Vec<(ColumnId, &str)> = tags
            .iter()
            .filter(|(_, i)| columns[*i].is_valid(row))
            .map(|(id, i)| (*id, columns[*i].as_string::<i32>().value(row)))
            .collect();
        builder.begin_row(at, stream.series().resolve(&key));
        for (i, def) in of_role(Role::Field) {
            if columns[i].is_valid(row) {
                push(builder, def, &columns[i], row)?;
            }
        }
    }
    Ok(())
}

fn push(
    builder: &mut BatchBuilder,
    def: &ColumnDef,
    column: &ArrayRef,
    row: usize,
) -> Result<(), QueryError> {
    // A row has each column once, so there is room for the value.
    let Some(to) = builder.column(def.id, def.data_type) else {
        return Ok(());
    };
    let fits = match def.data_type {
        DataType::Bool => {
            to.push_i64(i64::from(column.as_boolean().value(row)));
            true
        }
        DataType::Int64 => {
            to.push_i64(column.as_primitive::<Int64Type>().value(row));
            true
        }
        DataType::UInt64 => {
            to.push_i64(column.as_primitive::<UInt64Type>().value(row) as i64);
            true
        }
        DataType::Float64 => {
            to.push_f64(column.as_primitive::<Float64Type>().value(row));
            true
        }
        DataType::Timestamp => {
            to.push_i64(column.as_primitive::<TimestampNanosecondType>().value(row));
            true
        }
        DataType::Decimal { .. } => {
            to.push_i128(column.as_primitive::<Decimal128Type>().value(row))
        }
        DataType::Utf8 => to.push_str(column.as_string::<i32>().value(row)),
    };
    if fits {
        Ok(())
    } else {
        Err(QueryError::TooLarge(format!(
            "the values of \"{}\" take more than 4 GiB",
            def.name
        )))
    }
}
