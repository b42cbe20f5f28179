//! The parts of JSON text, a word at a time where that pays: white space, strings without escapes, numbers.

use crate::number::{SAFE_DIGITS, digits, load8};

/// Behind white space.
#[inline(always)]
pub(super) fn skip(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// Behind a word that stands at `at`.
#[inline(always)]
pub(super) fn word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let end = at + word.len();
    (text.get(at..end) == Some(word)).then_some(end)
}

const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Where the quote is that ends a string whose text starts at `at`; `None` with an escape, or what JSON has no place
/// for in a string.
#[inline(always)]
pub(super) fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    while let Some(word) = load8(text, at) {
        // The high bit of each byte that is zero (after Mycroft); bytes behind the first one may be wrong.
        let zero = |x: u64| x.wrapping_sub(each(1)) & !x;
        let quote = zero(word ^ each(b'"'));
        let slash = zero(word ^ each(b'\\'));
        let control = word.wrapping_sub(each(0x20)) & !word;
        let found = (quote | slash | control) & each(0x80);
        if found == 0 {
            at += 8;
            continue;
        }
        let end = at + found.trailing_zeros() as usize / 8;
        return (text[end] == b'"').then_some(end);
    }
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' | 0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// The text of a string without escapes that stands at `at`, and where it ends.
#[inline(always)]
pub(super) fn string(text: &str, at: usize) -> Option<(&str, usize)> {
    if text.as_bytes().get(at) != Some(&b'"') {
        return None;
    }
    let end = string_end(text.as_bytes(), at + 1)?;
    Some((text.get(at + 1..end)?, end + 1))
}

/// Digits as JSON has them, without leading zeros, that fit 64 bits, and where they end. What follows is the caller's
/// to look at.
#[inline(always)]
pub(super) fn whole(text: &[u8], at: usize) -> Option<(u64, usize)> {
    let (v, end) = digits(text, at);
    let led = end - at > 1 && text.get(at) == Some(&b'0');
    (end > at && end - at <= SAFE_DIGITS && !led).then_some((v, end))
}

/// An integer and where it ends.
#[inline(always)]
pub(super) fn integer(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let (magnitude, end) = whole(text, at + usize::from(negative))?;
    let v = i64::try_from(magnitude).ok()?;
    Some((if negative { -v } else { v }, end))
}

/// Whether a number goes on.
#[inline(always)]
pub(super) fn goes_on(text: &[u8], at: usize) -> bool {
    matches!(text.get(at), Some(b'.' | b'e' | b'E' | b'0'..=b'9'))
}

/// A number of any form that JSON has, and where it ends.
pub(super) fn number(text: &str, at: usize) -> Option<(&str, usize)> {
    let bytes = text.as_bytes();
    let run = |mut i: usize| {
        while let Some(b'0'..=b'9') = bytes.get(i) {
            i += 1;
        }
        i
    };
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut end = run(start);
    if end == start || (end - start > 1 && bytes[start] == b'0') {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = run(fraction);
        if end == fraction {
            return None;
        }
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = end + 1 + sign;
        end = run(exponent);
        if end == exponent {
            return None;
        }
    }
    Some((text.get(at..end)?, end))
}
