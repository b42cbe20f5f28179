//! Decimals that were stored as floats, after Afroozeh, Kuffó and Boncz, "ALP: Adaptive Lossless
//! floating-Point Compression" (SIGMOD 2023).
//!
//! A float that was once a decimal of few digits becomes an integer when it is multiplied by
//! `10^e` and then by `10^-f` (two steps: the first keeps the digits, the second drops the zeros
//! behind them). Where the way back does not give the same bits, the float is an exception and is
//! stored as it is. The integers are a column like any other.

#[cfg(test)]
mod tests;

use crate::error::{CodecError, Result};
use crate::int::{self, Nest};
use crate::wire::{Reader, put_varint};

/// `10^i`, all exact.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// `10^-i`, as near as floats come.
const FRACTIONS: [f64; 23] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14,
    1e-15, 1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-21, 1e-22,
];
/// The largest `e`; no float has more decimals that matter.
const MAX_EXPONENT: u8 = 18;
/// Scaled floats beyond 2^51 stay exceptions: [`ROUNDER`] does not hold for them.
const LARGEST: f64 = 2_251_799_813_685_248.0;
/// 1.5 * 2^52: a float of that size has no place for fractions, so adding it rounds to the nearest
/// integer, which then stands in the lowest bits. Vectors can do that, unlike rounding and casting.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// The two powers of ten by which a column is scaled; `f` is not above `e`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    e: u8,
    f: u8,
}

impl Scale {
    /// The integer for a float, and whether the way back gives the same bits.
    #[inline(always)]
    fn to_int(self, value: f64) -> (i64, bool) {
        let scaled = value * POWERS[usize::from(self.e)] * FRACTIONS[usize::from(self.f)];
        // Of what is too large or no number this makes any integer; both are found out below.
        let int = ((scaled + ROUNDER).to_bits() as i64).wrapping_sub(ROUNDER.to_bits() as i64);
        let same = self.to_float(int).to_bits() == value.to_bits() && scaled.abs() <= LARGEST;
        (int, same)
    }

    #[inline(always)]
    fn to_float(self, int: i64) -> f64 {
        int as f64 * POWERS[usize::from(self.f)] * FRACTIONS[usize::from(self.e)]
    }
}

/// The scale that leaves the fewest exceptions in a sample, the smallest integers among those;
/// `None` if most floats would be exceptions.
pub(crate) fn find_scale(sample: &[f64]) -> Option<Scale> {
    let few: Vec<f64> = sample
        .iter()
        .step_by(sample.len() / 64 + 1)
        .copied()
        .collect();
    let mut best: Option<(usize, i64, Scale)> = None;
    // Of equals the largest `e` is kept: the more digits, the nearer the way back.
    for e in (0..=MAX_EXPONENT).rev() {
        for f in 0..=e {
            let scale = Scale { e, f };
            let (mut exceptions, mut largest) = (0, 0);
            for &value in &few {
                match scale.to_int(value) {
                    (int, true) => largest = int.abs().max(largest),
                    _ => exceptions += 1,
                }
                if best.is_some_and(|(fewest, ..)| exceptions > fewest) {
                    break;
                }
            }
            if best.is_none_or(|(x, l, _)| (exceptions, largest) < (x, l)) {
                best = Some((exceptions, largest, scale));
            }
        }
    }
    best.filter(|&(exceptions, ..)| exceptions * 4 <= few.len())
        .map(|(.., scale)| scale)
}

/// A column as integers and the floats that are none.
pub(crate) struct Split {
    scale: Scale,
    /// One for each row; an exception repeats the integer before it.
    pub(crate) ints: Vec<i64>,
    rows: Vec<i64>,
    floats: Vec<f64>,
}

/// Scales a column.
pub(crate) fn split(values: &[f64], scale: Scale) -> Split {
    let mut split = Split {
        scale,
        ints: Vec::with_capacity(values.len()),
        rows: Vec::new(),
        floats: Vec::new(),
    };
    let mut before = 0;
    for (row, &value) in values.iter().enumerate() {
        let (int, same) = scale.to_int(value);
        if same {
            before = int;
        } else {
            split.rows.push(row as i64);
            split.floats.push(value);
        }
        split.ints.push(before);
    }
    split
}

impl Split {
    /// Bytes that the exceptions take.
    pub(crate) fn exception_bytes(&self) -> usize {
        self.floats.len() * 10
    }

    /// Appends the scale, the exceptions and the integers.
    pub(crate) fn encode(&self, run_starts: &[u32], out: &mut Vec<u8>) {
        out.extend([self.scale.e, self.scale.f]);
        put_varint(out, self.floats.len() as u64);
        if !self.floats.is_empty() {
            int::encode_nested(&self.rows, Nest::Whole, out);
            out.extend(self.floats.iter().flat_map(|v| v.to_le_bytes()));
        }
        int::encode_i64_runs(&self.ints, run_starts, out);
    }
}

/// Appends `rows` floats to `out`.
pub(crate) fn decode(reader: &mut Reader<'_>, rows: usize, out: &mut Vec<f64>) -> Result<()> {
    let field = |what, got: u64, allowed: u64| CodecError::Field { what, got, allowed };
    let [e, f] = reader.array::<2>("decimal scale")?;
    if e > MAX_EXPONENT || f > e {
        return Err(field(
            "decimal scale",
            u64::from(e.max(f)),
            u64::from(MAX_EXPONENT),
        ));
    }
    let scale = Scale { e, f };
    let exceptions = reader.count(rows, "count of exceptions")?;
    let mut at = Vec::new();
    let mut floats = &[][..];
    if exceptions > 0 {
        int::decode_nested(reader, exceptions, Nest::Whole, &mut at)?;
        floats = reader
            .bytes(exceptions * 8, "exceptions")?
            .as_chunks::<8>()
            .0;
    }
    let mut ints = Vec::new();
    int::decode_nested(reader, rows, Nest::Whole, &mut ints)?;
    let start = out.len();
    out.extend(ints.iter().map(|&int| scale.to_float(int)));
    let column = &mut out[start..];
    for (&row, float) in at.iter().zip(floats) {
        // As unsigned, a negative row is beyond any count.
        match usize::try_from(row)
            .ok()
            .and_then(|row| column.get_mut(row))
        {
            Some(slot) => *slot = f64::from_le_bytes(*float),
            None => return Err(field("row of an exception", row as u64, rows as u64)),
        }
    }
    Ok(())
}
