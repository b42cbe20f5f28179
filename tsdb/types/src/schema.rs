//! What a stream's rows look like.

use crate::ids::ColumnId;
use std::fmt;

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// `BOOLEAN`.
    Bool,
    /// `BIGINT`: 64-bit signed.
    Int64,
    /// `UBIGINT`: 64-bit unsigned, kept as the same 64 bits.
    UInt64,
    /// `DOUBLE`: IEEE 754 binary64, bit exact.
    Float64,
    /// `DECIMAL(precision, scale)`: an integer count of 10^-scale units, up to 38 digits.
    Decimal {
        /// Decimal digits in all, 1 to 38.
        precision: u8,
        /// Digits behind the point, at most `precision`.
        scale: u8,
    },
    /// `STRING`: UTF-8.
    Utf8,
    /// `TIMESTAMP`: nanoseconds since the epoch, UTC.
    Timestamp,
}

impl DataType {
    /// The permanent tag of this type in files, with two parameters (precision and scale, else 0).
    #[must_use]
    pub fn to_tag(self) -> [u8; 3] {
        match self {
            DataType::Bool => [1, 0, 0],
            DataType::Int64 => [2, 0, 0],
            DataType::UInt64 => [3, 0, 0],
            DataType::Float64 => [4, 0, 0],
            DataType::Decimal { precision, scale } => [5, precision, scale],
            DataType::Utf8 => [6, 0, 0],
            DataType::Timestamp => [7, 0, 0],
        }
    }

    /// The inverse of [`DataType::to_tag`]; `None` for a tag of no known type.
    #[must_use]
    pub fn from_tag(tag: [u8; 3]) -> Option<DataType> {
        Some(match tag {
            [1, 0, 0] => DataType::Bool,
            [2, 0, 0] => DataType::Int64,
            [3, 0, 0] => DataType::UInt64,
            [4, 0, 0] => DataType::Float64,
            [5, precision @ 1..=38, scale] if scale <= precision => {
                DataType::Decimal { precision, scale }
            }
            [6, 0, 0] => DataType::Utf8,
            [7, 0, 0] => DataType::Timestamp,
            _ => return None,
        })
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Bool => f.write_str("BOOLEAN"),
            DataType::Int64 => f.write_str("BIGINT"),
            DataType::UInt64 => f.write_str("UBIGINT"),
            DataType::Float64 => f.write_str("DOUBLE"),
            DataType::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            DataType::Utf8 => f.write_str("STRING"),
            DataType::Timestamp => f.write_str("TIMESTAMP"),
        }
    }
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The event time; each stream has exactly one.
    Time,
    /// Part of the series key; always a string.
    Tag,
    /// A value.
    Field,
}

/// One column of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDef {
    /// Its place in the order of addition, equal to its index in [`Schema::columns`].
    pub id: ColumnId,
    /// Its name, case kept.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// What it is for.
    pub role: Role,
}

/// The columns of a stream at one version; later versions only append columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Columns, in order of their ids.
    pub columns: Vec<ColumnDef>,
}

impl Schema {
    /// The event-time column.
    ///
    /// # Panics
    /// Never for a schema of a stream: creation refuses a schema without exactly one.
    #[must_use]
    pub fn time(&self) -> &ColumnDef {
        self.columns
            .iter()
            .find(|c| c.role == Role::Time)
            // Invariant: stream creation and catalog decoding refuse a schema without a time column.
            .expect("a stream's schema has an event-time column")
    }

    /// The column of that exact name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Tag columns in order of their ids.
    pub fn tags(&self) -> impl Iterator<Item = &ColumnDef> {
        self.columns.iter().filter(|c| c.role == Role::Tag)
    }
}
