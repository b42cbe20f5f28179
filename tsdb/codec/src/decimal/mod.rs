//! Columns of 128-bit integers (decimals): as 64-bit columns wherever they fit.

use crate::Encoding;
use crate::error::{CodecError, Result};
use crate::int::{self, Nest};
use crate::wire::Reader;

/// Appends a column to `out` and tells how: as it is if all values fit in 64 bits, else as the
/// distances from the smallest if those fit, else as upper and lower halves.
pub fn encode_i128(values: &[i128], out: &mut Vec<u8>) -> Encoding {
    let narrow: Option<Vec<i64>> = values.iter().map(|&v| i64::try_from(v).ok()).collect();
    if let Some(narrow) = narrow {
        out.push(Encoding::Narrow.tag());
        int::encode_nested(&narrow, Nest::Whole, out);
        return Encoding::Narrow;
    }
    let min = values.iter().copied().min().unwrap_or(0);
    let distances: Option<Vec<i64>> = values
        .iter()
        .map(|&v| {
            u64::try_from(v.wrapping_sub(min) as u128)
                .ok()
                .map(|d| d as i64)
        })
        .collect();
    if let Some(distances) = distances {
        out.push(Encoding::Offset.tag());
        out.extend_from_slice(&min.to_le_bytes());
        int::encode_nested(&distances, Nest::Whole, out);
        return Encoding::Offset;
    }
    out.push(Encoding::Halves.tag());
    let upper: Vec<i64> = values.iter().map(|&v| (v >> 64) as i64).collect();
    let lower: Vec<i64> = values.iter().map(|&v| v as i64).collect();
    int::encode_nested(&upper, Nest::Whole, out);
    int::encode_nested(&lower, Nest::Whole, out);
    Encoding::Halves
}

/// Appends `rows` integers to `out`.
///
/// # Errors
/// If the payload is not exactly one column of `rows` integers; `out` is as before then.
pub fn decode_i128(bytes: &[u8], rows: usize, out: &mut Vec<i128>) -> Result<()> {
    let mut reader = Reader::new(bytes);
    let tag = reader.u8("codec tag")?;
    let mut column = Vec::new();
    match Encoding::from_tag(tag) {
        Some(Encoding::Narrow) => {
            int::decode_nested(&mut reader, rows, Nest::Whole, &mut column)?;
            reader.finish()?;
            out.extend(column.iter().map(|&v| i128::from(v)));
        }
        Some(Encoding::Offset) => {
            let min = i128::from_le_bytes(reader.array("smallest value")?);
            int::decode_nested(&mut reader, rows, Nest::Whole, &mut column)?;
            reader.finish()?;
            out.extend(
                column
                    .iter()
                    .map(|&d| min.wrapping_add(i128::from(d as u64))),
            );
        }
        Some(Encoding::Halves) => {
            int::decode_nested(&mut reader, rows, Nest::Whole, &mut column)?;
            let mut lower = Vec::new();
            int::decode_nested(&mut reader, rows, Nest::Whole, &mut lower)?;
            reader.finish()?;
            let halves = column.iter().zip(&lower);
            out.extend(halves.map(|(&u, &l)| i128::from(u) << 64 | i128::from(l as u64)));
        }
        _ => {
            return Err(CodecError::Tag {
                tag,
                place: "128-bit integers",
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;
    use proptest::prelude::*;

    fn check(values: &[i128]) -> Encoding {
        let mut bytes = Vec::new();
        let encoding = encode_i128(values, &mut bytes);
        conformance::check(values, &bytes, decode_i128);
        encoding
    }

    #[test]
    fn each_form() {
        let far = 1i128 << 100;
        assert_eq!(check(&[]), Encoding::Narrow);
        assert_eq!(check(&[1999, -5, i128::from(i64::MIN)]), Encoding::Narrow);
        assert_eq!(check(&[far, far + i128::from(u64::MAX)]), Encoding::Offset);
        assert_eq!(check(&[i128::MIN, i128::MIN + 1]), Encoding::Offset);
        assert_eq!(check(&[i128::MIN, i128::MAX, 0, -1]), Encoding::Halves);
    }

    proptest! {
        #[test]
        fn any_column(values in prop::collection::vec(any::<i128>(), 0..100), shift in 0u32..128, base: i128) {
            let values: Vec<i128> = values.iter().map(|v| (v >> shift).wrapping_add(base)).collect();
            check(&values);
        }
    }
}
