//! One column's cells as text.

use super::json_string;
use super::time::{DAY, Epoch, clock, date, rfc3339};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, GenericListArray, OffsetSizeTrait,
    PrimitiveArray, types::*,
};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// A column, looked at once per batch, so that a cell costs no look at its type.
pub(crate) struct Cells<'a> {
    array: &'a dyn Array,
    /// Whether any cell is null.
    nulls: bool,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Null,
    Bool(&'a BooleanArray),
    /// Signed integers, widened.
    Int(Box<dyn Fn(usize) -> i64 + 'a>),
    Uint(Box<dyn Fn(usize) -> u64 + 'a>),
    Float(&'a PrimitiveArray<Float64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    Text(Box<dyn Fn(usize) -> &'a str + 'a>),
    /// Nanoseconds since the epoch.
    Time(Box<dyn Fn(usize) -> Option<i64> + 'a>, Option<Epoch>),
    /// Days since the epoch.
    Date(Box<dyn Fn(usize) -> i64 + 'a>),
    /// Nanoseconds of a day.
    Clock(Box<dyn Fn(usize) -> i64 + 'a>),
    List(
        Box<dyn Fn(usize) -> std::ops::Range<usize> + 'a>,
        Box<Cells<'a>>,
    ),
    Dictionary(Box<dyn Fn(usize) -> usize + 'a>, Box<Cells<'a>>),
    /// Bytes, as hexadecimal digits.
    Bytes(Box<dyn Fn(usize) -> &'a [u8] + 'a>),
    /// What is rare: text in Arrow's own form.
    Other(Option<ArrayFormatter<'a>>),
}

fn int<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef) -> Kind<'a>
where
    T::Native: Into<i64>,
{
    let a = array.as_primitive::<T>();
    Kind::Int(Box::new(move |i| a.value(i).into()))
}

fn uint<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef) -> Kind<'a>
where
    T::Native: Into<u64>,
{
    let a = array.as_primitive::<T>();
    Kind::Uint(Box::new(move |i| a.value(i).into()))
}

fn time<'a, T: ArrowPrimitiveType<Native = i64>>(
    array: &'a ArrayRef,
    unit: i64,
    epoch: Option<Epoch>,
) -> Kind<'a> {
    let a = array.as_primitive::<T>();
    Kind::Time(Box::new(move |i| a.value(i).checked_mul(unit)), epoch)
}

fn list<'a, O: OffsetSizeTrait>(a: &'a GenericListArray<O>, epoch: Option<Epoch>) -> Kind<'a> {
    let range = move |i: usize| {
        let offsets = a.value_offsets();
        offsets[i].as_usize()..offsets[i + 1].as_usize()
    };
    Kind::List(Box::new(range), Box::new(Cells::of(a.values(), epoch)))
}

fn dictionary<'a, K: ArrowDictionaryKeyType>(
    a: &'a DictionaryArray<K>,
    epoch: Option<Epoch>,
) -> Kind<'a> {
    use arrow::datatypes::ArrowNativeType;
    let keys = a.keys();
    Kind::Dictionary(
        Box::new(move |i| keys.value(i).as_usize()),
        Box::new(Cells::of(a.values(), epoch)),
    )
}

impl<'a> Cells<'a> {
    pub(crate) fn of(array: &'a ArrayRef, epoch: Option<Epoch>) -> Cells<'a> {
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Bool(array.as_boolean()),
            DataType::Int8 => int::<Int8Type>(array),
            DataType::Int16 => int::<Int16Type>(array),
            DataType::Int32 => int::<Int32Type>(array),
            DataType::Int64 => int::<Int64Type>(array),
            DataType::UInt8 => uint::<UInt8Type>(array),
            DataType::UInt16 => uint::<UInt16Type>(array),
            DataType::UInt32 => uint::<UInt32Type>(array),
            DataType::UInt64 => uint::<UInt64Type>(array),
            DataType::Float32 => Kind::Float32(array.as_primitive()),
            DataType::Float64 => Kind::Float(array.as_primitive()),
            DataType::Decimal128(_, scale) => Kind::Decimal(array.as_primitive(), *scale),
            DataType::Utf8 => {
                let a = array.as_string::<i32>();
                Kind::Text(Box::new(move |i| a.value(i)))
            }
            DataType::LargeUtf8 => {
                let a = array.as_string::<i64>();
                Kind::Text(Box::new(move |i| a.value(i)))
            }
            DataType::Utf8View => {
                let a = array.as_string_view();
                Kind::Text(Box::new(move |i| a.value(i)))
            }
            DataType::Binary => {
                let a = array.as_binary::<i32>();
                Kind::Bytes(Box::new(move |i| a.value(i)))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                time::<TimestampNanosecondType>(array, 1, epoch)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                time::<TimestampMicrosecondType>(array, 1_000, epoch)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                time::<TimestampMillisecondType>(array, 1_000_000, epoch)
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                time::<TimestampSecondType>(array, 1_000_000_000, epoch)
            }
            DataType::Date32 => {
                let a = array.as_primitive::<Date32Type>();
                Kind::Date(Box::new(move |i| i64::from(a.value(i))))
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                let a = array.as_primitive::<Time64NanosecondType>();
                Kind::Clock(Box::new(move |i| a.value(i).rem_euclid(DAY)))
            }
            DataType::List(_) => list(array.as_list::<i32>(), epoch),
            DataType::LargeList(_) => list(array.as_list::<i64>(), epoch),
            DataType::Dictionary(key, _) => match **key {
                DataType::Int32 => dictionary(array.as_dictionary::<Int32Type>(), epoch),
                DataType::UInt32 => dictionary(array.as_dictionary::<UInt32Type>(), epoch),
                _ => other(array),
            },
            _ => other(array),
        };
        Cells {
            array,
            nulls: array.null_count() > 0,
            kind,
        }
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || (self.nulls && self.array.is_null(row))
    }

    /// Appends a cell as JSON. NaN and infinities are null, a decimal keeps its scale.
    pub(crate) fn json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match &self.kind {
            Kind::Text(f) => json_string(f(row), out),
            Kind::Float(a) if !a.value(row).is_finite() => out.extend_from_slice(b"null"),
            Kind::Float32(a) if !a.value(row).is_finite() => out.extend_from_slice(b"null"),
            Kind::Time(f, None) => match f(row) {
                Some(_) => quoted(self, row, out),
                None => out.extend_from_slice(b"null"),
            },
            Kind::Time(f, Some(_)) if f(row).is_none() => out.extend_from_slice(b"null"),
            Kind::Date(_) | Kind::Clock(_) | Kind::Bytes(_) => quoted(self, row, out),
            Kind::Other(_) => {
                let mut text = Vec::new();
                self.plain(row, &mut text);
                json_string(&String::from_utf8_lossy(&text), out);
            }
            Kind::List(range, values) => {
                out.push(b'[');
                for (n, i) in range(row).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    values.json(i, out);
                }
                out.push(b']');
            }
            Kind::Dictionary(key, values) => values.json(key(row), out),
            _ => self.plain(row, out),
        }
    }

    /// Appends a cell as a CSV field.
    pub(crate) fn csv(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return;
        }
        match &self.kind {
            Kind::Text(f) => csv_text(f(row), out),
            Kind::Dictionary(key, values) => values.csv(key(row), out),
            Kind::List(..) | Kind::Other(_) => {
                let mut text = Vec::new();
                if matches!(self.kind, Kind::List(..)) {
                    self.json(row, &mut text)
                } else {
                    self.plain(row, &mut text)
                }
                csv_text(&String::from_utf8_lossy(&text), out);
            }
            _ => self.plain(row, out),
        }
    }

    /// Appends what is no text without quotes.
    fn plain(&self, row: usize, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Bool(a) => out.extend_from_slice(if a.value(row) { b"true" } else { b"false" }),
            Kind::Int(f) => out.extend_from_slice(itoa::Buffer::new().format(f(row)).as_bytes()),
            Kind::Uint(f) => out.extend_from_slice(itoa::Buffer::new().format(f(row)).as_bytes()),
            Kind::Float(a) => {
                out.extend_from_slice(ryu::Buffer::new().format(a.value(row)).as_bytes())
            }
            Kind::Float32(a) => {
                out.extend_from_slice(ryu::Buffer::new().format(a.value(row)).as_bytes())
            }
            Kind::Decimal(a, scale) => decimal(a.value(row), *scale, out),
            Kind::Time(f, epoch) => match (f(row), epoch) {
                (None, _) => {}
                (Some(ns), None) => rfc3339(ns, out),
                (Some(ns), Some(unit)) => {
                    out.extend_from_slice(itoa::Buffer::new().format(unit.count_of(ns)).as_bytes())
                }
            },
            Kind::Date(f) => date(f(row), out),
            Kind::Clock(f) => clock(f(row), out),
            Kind::Bytes(f) => {
                out.extend(f(row).iter().flat_map(|b| format!("{b:02x}").into_bytes()))
            }
            Kind::Other(Some(f)) => out.extend_from_slice(f.value(row).to_string().as_bytes()),
            Kind::Null
            | Kind::Text(_)
            | Kind::List(..)
            | Kind::Dictionary(..)
            | Kind::Other(None) => {}
        }
    }
}

fn other(array: &ArrayRef) -> Kind<'_> {
    const OPTIONS: FormatOptions<'static> = FormatOptions::new();
    Kind::Other(ArrayFormatter::try_new(array.as_ref(), &OPTIONS).ok())
}

/// What needs quotes in JSON and nothing escaped.
fn quoted(cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
    out.push(b'"');
    cells.plain(row, out);
    out.push(b'"');
}

/// Appends a decimal with all digits of its scale.
fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let Ok(scale @ 1..) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        // A negative scale stands for zeros that are not stored.
        if value != 0 {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    };
    let whole = digits.len().saturating_sub(scale);
    if whole == 0 {
        out.push(b'0');
    }
    out.extend_from_slice(&digits[..whole]);
    out.push(b'.');
    out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(&digits[whole..]);
}

/// Appends a text as RFC 4180 has it: in quotes when it holds a comma, a quote or a line break, or is empty.
pub(super) fn csv_text(text: &str, out: &mut Vec<u8>) {
    let plain = !text.is_empty()
        && !text
            .bytes()
            .any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r'));
    if plain {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    for part in text.split_inclusive('"') {
        out.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            out.push(b'"');
        }
    }
    out.push(b'"');
}
