//! One type in the words of the language, of storage and of Arrow.

use arrow::datatypes::{DataType as Arrow, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use query_lang::ast::DataType as Sql;
use std::sync::Arc;
use tsdb::types::{DataType as Stored, Role, Schema};

/// The Arrow type of times: nanoseconds, no zone said, UTC meant.
pub const TIMESTAMP: Arrow = Arrow::Timestamp(TimeUnit::Nanosecond, None);

/// The Arrow type of tag columns.
#[must_use]
pub fn tag_type() -> Arrow {
    Arrow::Dictionary(Box::new(Arrow::Int32), Box::new(Arrow::Utf8))
}

/// The Arrow type of a stored field or time column.
#[must_use]
pub fn arrow_type(t: Stored) -> Arrow {
    match t {
        Stored::Bool => Arrow::Boolean,
        Stored::Int64 => Arrow::Int64,
        Stored::UInt64 => Arrow::UInt64,
        Stored::Float64 => Arrow::Float64,
        // Invariant: storage bounds precision by 38, which fits `i8` for the scale too.
        Stored::Decimal { precision, scale } => Arrow::Decimal128(precision, scale as i8),
        Stored::Utf8 => Arrow::Utf8,
        Stored::Timestamp => TIMESTAMP,
    }
}

/// A stream's columns in Arrow's terms, in order of their ids.
#[must_use]
pub fn arrow_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .columns
        .iter()
        .map(|c| match c.role {
            Role::Time => Field::new(&c.name, TIMESTAMP, false),
            Role::Tag => Field::new(&c.name, tag_type(), true),
            Role::Field => Field::new(&c.name, arrow_type(c.data_type), true),
        })
        .collect();
    Arc::new(ArrowSchema::new(fields))
}

/// The stored type of a declared column; `Err` names what cannot be stored.
pub fn stored_type(t: &Sql) -> Result<Stored, &'static str> {
    Ok(match t {
        Sql::Boolean => Stored::Bool,
        Sql::TinyInt | Sql::SmallInt | Sql::Int | Sql::BigInt => Stored::Int64,
        Sql::UTinyInt | Sql::USmallInt | Sql::UInt | Sql::UBigInt => Stored::UInt64,
        Sql::Real | Sql::Double => Stored::Float64,
        Sql::Decimal(None) => Stored::Decimal {
            precision: 38,
            scale: 9,
        },
        Sql::Decimal(Some((precision, scale))) => match u8::try_from(*scale) {
            Ok(scale) if (1..=38).contains(precision) && scale <= *precision => Stored::Decimal {
                precision: *precision,
                scale,
            },
            _ => {
                return Err(
                    "DECIMAL needs a precision of 1 to 38 and a scale of 0 to the precision",
                );
            }
        },
        Sql::String { .. } => Stored::Utf8,
        Sql::Timestamp { .. } => Stored::Timestamp,
        Sql::Date => return Err("DATE columns are not available yet: declare TIMESTAMP"),
        Sql::Time | Sql::Interval => return Err("a column cannot have this type"),
        Sql::Bytes => return Err("BYTES columns are not available yet"),
        Sql::Array(_) => return Err("ARRAY columns are not available yet"),
    })
}

/// The stored type that values of an Arrow type become; `None` for what cannot be stored.
#[must_use]
pub fn stored_of(t: &Arrow) -> Option<Stored> {
    Some(match t {
        Arrow::Boolean => Stored::Bool,
        Arrow::Int8 | Arrow::Int16 | Arrow::Int32 | Arrow::Int64 => Stored::Int64,
        Arrow::UInt8 | Arrow::UInt16 | Arrow::UInt32 | Arrow::UInt64 => Stored::UInt64,
        Arrow::Float16 | Arrow::Float32 | Arrow::Float64 => Stored::Float64,
        Arrow::Decimal128(precision, scale) => Stored::Decimal {
            precision: *precision,
            scale: u8::try_from(*scale).ok()?,
        },
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => Stored::Utf8,
        Arrow::Timestamp(..) => Stored::Timestamp,
        Arrow::Dictionary(_, of) => return stored_of(of),
        _ => return None,
    })
}

/// The Arrow type that `CAST` converts to.
#[must_use]
pub fn cast_type(t: &Sql) -> Arrow {
    match t {
        Sql::Boolean => Arrow::Boolean,
        Sql::TinyInt => Arrow::Int8,
        Sql::SmallInt => Arrow::Int16,
        Sql::Int => Arrow::Int32,
        Sql::BigInt => Arrow::Int64,
        Sql::UTinyInt => Arrow::UInt8,
        Sql::USmallInt => Arrow::UInt16,
        Sql::UInt => Arrow::UInt32,
        Sql::UBigInt => Arrow::UInt64,
        Sql::Real => Arrow::Float32,
        Sql::Double => Arrow::Float64,
        Sql::Decimal(None) => Arrow::Decimal128(38, 9),
        Sql::Decimal(Some((p, s))) => Arrow::Decimal128((*p).clamp(1, 38), *s),
        Sql::String { .. } => Arrow::Utf8,
        Sql::Bytes => Arrow::Binary,
        Sql::Timestamp { .. } => TIMESTAMP,
        Sql::Date => Arrow::Date32,
        Sql::Time => Arrow::Time64(TimeUnit::Nanosecond),
        Sql::Interval => Arrow::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
        Sql::Array(of) => Arrow::List(Arc::new(Field::new_list_field(cast_type(of), true))),
    }
}

/// A type's name in the language, as replies show it.
#[must_use]
pub fn type_name(t: &Arrow) -> String {
    match t {
        Arrow::Null => "NULL".to_owned(),
        Arrow::Boolean => "BOOLEAN".to_owned(),
        Arrow::Int8 => "TINYINT".to_owned(),
        Arrow::Int16 => "SMALLINT".to_owned(),
        Arrow::Int32 => "INT".to_owned(),
        Arrow::Int64 => "BIGINT".to_owned(),
        Arrow::UInt8 => "UTINYINT".to_owned(),
        Arrow::UInt16 => "USMALLINT".to_owned(),
        Arrow::UInt32 => "UINT".to_owned(),
        Arrow::UInt64 => "UBIGINT".to_owned(),
        Arrow::Float16 | Arrow::Float32 => "REAL".to_owned(),
        Arrow::Float64 => "DOUBLE".to_owned(),
        Arrow::Decimal32(p, s)
        | Arrow::Decimal64(p, s)
        | Arrow::Decimal128(p, s)
        | Arrow::Decimal256(p, s) => {
            format!("DECIMAL({p},{s})")
        }
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => "STRING".to_owned(),
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => {
            "BYTES".to_owned()
        }
        Arrow::Timestamp(..) => "TIMESTAMP".to_owned(),
        Arrow::Date32 | Arrow::Date64 => "DATE".to_owned(),
        Arrow::Time32(_) | Arrow::Time64(_) => "TIME".to_owned(),
        Arrow::Interval(_) | Arrow::Duration(_) => "INTERVAL".to_owned(),
        Arrow::Dictionary(_, of) => type_name(of),
        Arrow::List(f)
        | Arrow::LargeList(f)
        | Arrow::ListView(f)
        | Arrow::LargeListView(f)
        | Arrow::FixedSizeList(f, _) => {
            format!("ARRAY<{}>", type_name(f.data_type()))
        }
        other => other.to_string(),
    }
}

/// The type without a dictionary around it.
#[must_use]
pub fn plain_type(t: &Arrow) -> &Arrow {
    match t {
        Arrow::Dictionary(_, of) => of,
        other => other,
    }
}
