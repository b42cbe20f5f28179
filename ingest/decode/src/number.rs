//! Numbers from text: eight digits at a time where they are long, exact always.

/// Reads eight bytes little-endian; `None` near the end of `bytes`.
#[inline(always)]
pub(crate) fn load8(bytes: &[u8], at: usize) -> Option<u64> {
    let b: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_le_bytes(b))
}

/// How many of the eight bytes, from the first on, are ASCII digits.
#[inline(always)]
fn digits_in(word: u64) -> u32 {
    // A digit xor '0' is at most 9 and stays below 0x80 when 0x76 is added; anything else reaches 0x80 or has it
    // already. Carries only reach bytes behind the first one that is no digit.
    let x = word ^ 0x3030_3030_3030_3030;
    let other = (x.wrapping_add(0x7676_7676_7676_7676) | x) & 0x8080_8080_8080_8080;
    other.trailing_zeros() / 8
}

/// The value of eight digits, each byte its value 0 to 9, the first byte the highest digit.
#[inline(always)]
fn eight(x: u64) -> u64 {
    const MASK: u64 = 0x0000_00ff_0000_00ff;
    let pairs = x.wrapping_mul(10).wrapping_add(x >> 8);
    let high = (pairs & MASK).wrapping_mul(0x000f_4240_0000_0064);
    let low = ((pairs >> 16) & MASK).wrapping_mul(0x0000_2710_0000_0001);
    high.wrapping_add(low) >> 32
}

pub(crate) const POW10: [u64; 20] = {
    let mut t = [1u64; 20];
    let mut i = 1;
    while i < 20 {
        t[i] = t[i - 1] * 10;
        i += 1;
    }
    t
};

/// The digits at `at` as a number, and where they end. With more than 19 digits (leading zeros counted) the number
/// means nothing and the caller must take the general way: the end says so.
#[inline(always)]
pub(crate) fn digits(bytes: &[u8], at: usize) -> (u64, usize) {
    let (mut pos, mut value) = (at, 0u64);
    while let Some(word) = load8(bytes, pos) {
        let n = digits_in(word);
        if n == 8 {
            value = value
                .wrapping_mul(100_000_000)
                .wrapping_add(eight(word ^ 0x3030_3030_3030_3030));
            pos += 8;
            continue;
        }
        if n > 0 {
            // The digits move to the high bytes; zeros, which are leading zeros, fill the low ones.
            let x = (word ^ 0x3030_3030_3030_3030) << (64 - 8 * n);
            value = value.wrapping_mul(POW10[n as usize]).wrapping_add(eight(x));
        }
        return (value, pos + n as usize);
    }
    while let Some(d) = bytes.get(pos).filter(|d| d.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(d - b'0'));
        pos += 1;
    }
    (value, pos)
}

/// Digits that always fit 64 bits unsigned.
pub(crate) const SAFE_DIGITS: usize = 19;

/// A signed integer: an optional `-`, then digits alone.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let magnitude = parse_u64(digits)?;
    if negative {
        // -2^63 has no positive twin.
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// An unsigned integer: digits alone.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let (value, end) = digits(text, 0);
    if end != text.len() {
        return None;
    }
    if text.len() <= SAFE_DIGITS {
        return Some(value);
    }
    text.iter().try_fold(0u64, |v, d| {
        v.checked_mul(10)?.checked_add(u64::from(d - b'0'))
    })
}

/// Powers of ten that a double holds exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A plain decimal number (`-12.5`, `.5`, `1.`, no exponent, up to 15 digits) at `at` and where it ends; `None` for
/// any other form, which then goes the general way. The division of two exact doubles rounds once, so the result is
/// the nearest double (Clinger 1990, the fast path).
#[inline(always)]
pub(crate) fn short_float(bytes: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = *bytes.get(at)? == b'-';
    let start = at + usize::from(negative);
    let (mut mantissa, mut end) = digits(bytes, start);
    let mut count = end - start;
    let mut scale = 0;
    if bytes.get(end) == Some(&b'.') {
        let (fraction, stop) = digits(bytes, end + 1);
        scale = stop - end - 1;
        count += scale;
        end = stop;
        if count > 15 {
            return None;
        }
        mantissa = mantissa * POW10[scale] + fraction;
    }
    if count == 0 || count > 15 || matches!(bytes.get(end), Some(b'e' | b'E')) {
        return None;
    }
    let value = mantissa as f64 / EXACT[scale];
    Some((if negative { -value } else { value }, end))
}

/// A finite double in the usual spellings: digits with an optional point (`.5` and `1.` too) and exponent, no leading
/// `+`, no words.
pub(crate) fn parse_f64(text: &[u8]) -> Option<f64> {
    if let Some((value, end)) = short_float(text, 0)
        && end == text.len()
    {
        return Some(value);
    }
    let first = *text.first()?;
    let plain = text
        .iter()
        .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    if first == b'+' || !plain {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Why text is no decimal of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// It is no number.
    #[error("is not a number")]
    NotANumber,
    /// Its digits are more than the column's.
    #[error("has too many digits")]
    TooLarge,
    /// Digits past the scale are not zero, and none may be lost.
    #[error("has digits that the column would lose")]
    Inexact,
}

/// The unscaled value of a decimal with `scale` digits behind the point, from the text and never by way of a double.
/// Digits past the scale are rounded half away from zero, or refused when `exact`.
///
/// # Errors
/// Why it is none.
pub fn parse_decimal(
    text: &[u8],
    precision: u8,
    scale: u8,
    exact: bool,
) -> Result<i128, DecimalError> {
    use DecimalError::{Inexact, NotANumber, TooLarge};
    let (negative, rest) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (number, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(i) => {
            let e = &rest[i + 1..];
            let e = parse_i64(e.strip_prefix(b"+").unwrap_or(e)).ok_or(NotANumber)?;
            (&rest[..i], e)
        }
        None => (rest, 0),
    };
    let (whole, fraction) = match number.iter().position(|b| *b == b'.') {
        Some(i) => (&number[..i], &number[i + 1..]),
        None => (number, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty()
        || !whole.iter().chain(fraction).all(u8::is_ascii_digit)
    {
        return Err(NotANumber);
    }
    // The value is the digits times 10^shift in units of the column.
    let shift = exponent
        .checked_sub(fraction.len() as i64)
        .and_then(|s| s.checked_add(i64::from(scale)))
        .ok_or(TooLarge)?;
    let mut digits = whole
        .iter()
        .chain(fraction)
        .skip_while(|d| **d == b'0')
        .peekable();
    if digits.peek().is_none() {
        return Ok(0);
    }
    let count = digits.clone().count() as i64;
    let keep = count.saturating_add(shift.min(0));
    let mut value = 0i128;
    let mut round_up = false;
    for (i, d) in (0i64..).zip(digits) {
        if i < keep {
            value = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(i128::from(d - b'0')))
                .ok_or(TooLarge)?;
        } else if exact && *d != b'0' {
            return Err(Inexact);
        } else if i == keep {
            round_up = *d >= b'5';
        }
    }
    let limit = 10i128.pow(u32::from(precision.min(38)));
    for _ in 0..shift.max(0) {
        value = value
            .checked_mul(10)
            .filter(|v| *v < limit)
            .ok_or(TooLarge)?;
    }
    // Compared before it grows, too: the digits alone may come to the greatest 128-bit integer.
    if value < limit {
        value += i128::from(round_up);
    }
    if value >= limit {
        return Err(TooLarge);
    }
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_agree_with_the_standard_library(v in any::<i64>(), shift in 0u32..64, pad in 0usize..4, tail in "[a-z ,]{0,9}") {
            let v = v >> shift;
            let text = format!("{}{}{}", if v < 0 { "-" } else { "" }, "0".repeat(pad), v.unsigned_abs());
            prop_assert_eq!(parse_i64(text.as_bytes()), Some(v));
            prop_assert_eq!(parse_u64(v.unsigned_abs().to_string().as_bytes()), Some(v.unsigned_abs()));
            let n = v.unsigned_abs().to_string();
            let joined = format!("{n}{tail}");
            prop_assert_eq!(digits(joined.as_bytes(), 0), (v.unsigned_abs(), n.len()));
        }

        #[test]
        fn anything_else_is_no_integer(text in "[-+0-9a.:/]{0,24}") {
            let std: Option<i64> = text.parse().ok().filter(|_| !text.starts_with('+'));
            prop_assert_eq!(parse_i64(text.as_bytes()), std);
            let std: Option<u64> = text.parse().ok().filter(|_| !text.starts_with('+'));
            prop_assert_eq!(parse_u64(text.as_bytes()), std);
        }

        #[test]
        fn floats_are_the_nearest_double(text in "-?[0-9]{0,12}[.]?[0-9]{0,12}(e-?[0-9]{1,3})?") {
            let std: Option<f64> = text.parse().ok().filter(|v: &f64| v.is_finite());
            prop_assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), std.map(f64::to_bits), "{}", text);
        }

        #[test]
        fn decimals_keep_every_digit(units in any::<i64>(), scale in 0u8..19) {
            let digits = format!("{:020}", units.unsigned_abs());
            let (whole, fraction) = digits.split_at(20 - usize::from(scale));
            let text = format!("{}{whole}.{fraction}", if units < 0 { "-" } else { "" });
            prop_assert_eq!(parse_decimal(text.as_bytes(), 38, scale, true), Ok(i128::from(units)));
            let scientific = format!("{}e-{scale}", units);
            prop_assert_eq!(parse_decimal(scientific.as_bytes(), 38, scale, true), Ok(i128::from(units)));
        }
    }

    #[test]
    fn corners() {
        for bad in [
            "", "-", "+1", ".", "-.", "e5", "1e", "nan", "NaN", "inf", "-inf", "infinity", "1e999",
            "1_0", "0x1",
        ] {
            assert_eq!(parse_f64(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_f64(b".5"), Some(0.5));
        assert_eq!(parse_f64(b"1."), Some(1.0));
        assert_eq!(
            parse_f64(b"-0").map(f64::to_bits),
            Some((-0.0f64).to_bits())
        );
        assert_eq!(parse_f64(b"1E+5"), Some(1e5));
        assert_eq!(parse_i64(b"9223372036854775808"), None);
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        let money = |t: &str| parse_decimal(t.as_bytes(), 10, 2, false);
        assert_eq!(money("12.345"), Ok(1235));
        assert_eq!(money("-12.345"), Ok(-1235));
        assert_eq!(money("12.3449999"), Ok(1234));
        assert_eq!(money("0.004"), Ok(0));
        assert_eq!(money("1e7"), Ok(1_000_000_000));
        assert_eq!(money("99999999.99"), Ok(9_999_999_999));
        assert_eq!(money("99999999.995"), Err(DecimalError::TooLarge));
        assert_eq!(money("1e999999999999"), Err(DecimalError::TooLarge));
        assert_eq!(money("1e-999999999999"), Ok(0));
        assert_eq!(
            money("1e99999999999999999999"),
            Err(DecimalError::NotANumber)
        );
        assert_eq!(money("--1"), Err(DecimalError::NotANumber));
        assert_eq!(
            parse_decimal(b"1.5", 38, 0, true),
            Err(DecimalError::Inexact)
        );
        assert_eq!(
            parse_decimal(&[b'9'; 10_000], 38, 0, true),
            Err(DecimalError::TooLarge)
        );
    }
}
