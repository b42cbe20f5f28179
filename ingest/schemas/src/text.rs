//! Values as text: what goes into lists and maps, and what has no column type of its own.

use ingest_decode::RowReason;
use ingest_decode::typed::with_point;
use std::fmt::Write;

/// Bytes of JSON text that one message may come to: a few bytes can stand for many.
pub(super) const MAX_TEXT: usize = 16 << 20;
/// Bytes of an integer that is shown in decimal, as its digits take time that grows with their square.
const MAX_INTEGER: usize = 256;

pub(super) fn bad(what: impl Into<String>) -> RowReason {
    RowReason::Syntax(what.into())
}

/// Checks how much text there is.
pub(super) fn check(out: &str) -> Result<(), RowReason> {
    if out.len() > MAX_TEXT {
        return Err(bad(format!(
            "its lists and maps take more than {} MiB of JSON",
            MAX_TEXT >> 20
        )));
    }
    Ok(())
}

/// Base64 with padding (RFC 4648, section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(DIGITS[(bits >> (18 - 6 * i)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// The bytes of base64 text, padded or not; `None` when it is not that.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0u32);
    for b in text.bytes() {
        let digit = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    // A lone digit stands for no byte.
    (count < 6).then_some(out)
}

/// Appends a JSON string.
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (i, b) in text.bytes().enumerate() {
        let escape = match b {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[from..i]);
        if escape.is_empty() {
            // Writing to a String can't fail.
            let _ = write!(out, "\\u{b:04x}");
        } else {
            out.push_str(escape);
        }
        from = i + 1;
    }
    out.push_str(&text[from..]);
    out.push('"');
}

/// Appends a double: the shortest digits that mean it; what is not finite as a string, as in Protobuf's JSON.
pub(super) fn push_double(out: &mut String, v: f64) {
    match serde_json::Number::from_f64(v) {
        Some(n) => {
            let _ = write!(out, "{n}");
        }
        None if v.is_nan() => out.push_str("\"NaN\""),
        None if v > 0.0 => out.push_str("\"Infinity\""),
        None => out.push_str("\"-Infinity\""),
    }
}

/// A float (binary32) as the double whose shortest digits are the float's own: 0.1 stays 0.1.
pub(super) fn widen(v: f32) -> f64 {
    if v.is_finite() {
        v.to_string().parse().unwrap_or(f64::from(v))
    } else {
        f64::from(v)
    }
}

/// An instant as RFC 3339 UTC with the digits that it has.
pub(super) fn time(ns: i64) -> String {
    let (seconds, nanos) = (
        ns.div_euclid(1_000_000_000),
        ns.rem_euclid(1_000_000_000) as u32,
    );
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The inverse of days_from_civil: eras of 400 years that begin in March.
    let z = days + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{}", clock(of_day, nanos));
    out.push('Z');
    out
}

/// `hh:mm:ss` and what there is behind the point.
pub(super) fn clock(seconds: i64, nanos: u32) -> String {
    let mut out = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    out
}

/// A big-endian integer in two's complement, if it fits 128 bits.
pub(super) fn integer(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|b| *b >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let mut wide = [fill; 16];
    let extra = bytes.len().saturating_sub(16);
    if bytes[..extra].iter().any(|b| *b != fill) {
        return None;
    }
    let kept = &bytes[extra..];
    wide[16 - kept.len()..].copy_from_slice(kept);
    let v = i128::from_be_bytes(wide);
    // Cutting sign bytes must leave the sign.
    ((v < 0) == negative).then_some(v)
}

/// A decimal of any size: a big-endian integer in two's complement, with a point.
pub(super) fn big_decimal(bytes: &[u8], scale: usize) -> Result<String, RowReason> {
    if let Some(v) = integer(bytes) {
        return Ok(with_point(v < 0, &v.unsigned_abs().to_string(), scale));
    }
    if bytes.len() > MAX_INTEGER {
        return Err(bad(format!(
            "a decimal of {} bytes; at most {MAX_INTEGER} are taken",
            bytes.len()
        )));
    }
    let negative = bytes.first().is_some_and(|b| *b >= 0x80);
    let mut magnitude = bytes.to_vec();
    if negative {
        let mut carry = true;
        for b in magnitude.iter_mut().rev() {
            let (v, c) = (!*b).overflowing_add(u8::from(carry));
            (*b, carry) = (v, c);
        }
        if carry {
            magnitude.insert(0, 1);
        }
    }
    let mut groups: Vec<u32> = Vec::new();
    while magnitude.iter().any(|b| *b != 0) {
        let mut rest = 0u64;
        for b in &mut magnitude {
            let v = rest << 8 | u64::from(*b);
            *b = (v / 1_000_000_000) as u8;
            rest = v % 1_000_000_000;
        }
        groups.push(rest as u32);
    }
    let mut digits = groups.last().map_or("0".into(), u32::to_string);
    for group in groups.iter().rev().skip(1) {
        let _ = write!(digits, "{group:09}");
    }
    Ok(with_point(negative, &digits, scale))
}

/// A UUID's 16 bytes as text.
pub(crate) fn uuid(bytes: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{b:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingest_decode::parse_time;
    use proptest::prelude::*;

    #[test]
    fn known_texts() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(from_base64("Z"), None);
        assert_eq!(from_base64("Zg?="), None);
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(-500_000_000), "1969-12-31T23:59:59.5Z");
        assert_eq!(big_decimal(&[], 0).unwrap(), "0");
        assert_eq!(big_decimal(&[0xff], 3).unwrap(), "-0.001");
        let mut wide = vec![1];
        wide.extend([0; 16]);
        let two_to_128 = "340282366920938463463374607431768211456";
        assert_eq!(big_decimal(&wide, 0).unwrap(), two_to_128);
        let mut negative = vec![0xff];
        negative.extend([0; 16]);
        assert_eq!(big_decimal(&negative, 0).unwrap(), format!("-{two_to_128}"));
        assert!(big_decimal(&[1; MAX_INTEGER + 1], 0).is_err());
        assert_eq!(widen(0.1), 0.1);
        assert_eq!(uuid(&[0x12; 16]), "12121212-1212-1212-1212-121212121212");
    }

    proptest! {
        #[test]
        fn base64_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(from_base64(&base64(&bytes)), Some(bytes));
        }

        #[test]
        fn strings_are_json(text in any::<String>()) {
            let mut out = String::new();
            push_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn times_are_read_back(ns in any::<i64>()) {
            prop_assert_eq!(parse_time(time(ns).as_bytes()), Some(ns));
        }

        #[test]
        fn integers_of_any_length(v in any::<i128>(), shift in 0u32..127, pad in 0usize..5) {
            let v = v >> shift;
            let mut bytes = vec![if v < 0 { 0xff } else { 0 }; pad];
            bytes.extend(v.to_be_bytes());
            prop_assert_eq!(integer(&bytes), Some(v));
            prop_assert_eq!(big_decimal(&bytes, 0).unwrap(), v.to_string());
        }

        #[test]
        fn no_text_is_taken_for_base64_wrongly(text in ".{0,20}") {
            let _ = from_base64(&text);
        }
    }
}
