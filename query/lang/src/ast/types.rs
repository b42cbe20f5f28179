//! Column types.

/// A type as the language knows it, whatever synonym was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    /// `BOOLEAN`, `BOOL`
    Boolean,
    /// `TINYINT`: 8 bits
    TinyInt,
    /// `SMALLINT`, `INT2`
    SmallInt,
    /// `INT`, `INTEGER`, `INT4`
    Int,
    /// `BIGINT`, `LONG`, `INT8`
    BigInt,
    /// `UTINYINT`
    UTinyInt,
    /// `USMALLINT`
    USmallInt,
    /// `UINT`, `UINTEGER`
    UInt,
    /// `UBIGINT`
    UBigInt,
    /// `FLOAT`, `REAL`: 32 bits
    Real,
    /// `DOUBLE`, `DOUBLE PRECISION`: 64 bits
    Double,
    /// `DECIMAL(p, s)`, `NUMERIC(p, s)`; a missing scale is 0, both missing is left to the binder.
    Decimal(Option<(u8, i8)>),
    /// `STRING`, `TEXT`, `VARCHAR`, `CHAR`; a length in parentheses is accepted.
    String {
        /// The length in parentheses, if written.
        length: Option<u32>,
    },
    /// `BYTES`, `BYTEA`, `VARBINARY`, `BLOB`
    Bytes,
    /// `TIMESTAMP`, with an optional precision of 0 to 9 fractional digits
    Timestamp {
        /// Digits behind the second; none means nanoseconds.
        precision: Option<u8>,
        /// Whether `WITH TIME ZONE` was said (or `TIMESTAMPTZ`). Stored times are UTC either way.
        with_zone: bool,
    },
    /// `DATE`
    Date,
    /// `TIME`
    Time,
    /// `INTERVAL`
    Interval,
    /// `ARRAY<T>`, `T[]`
    Array(Box<DataType>),
}
