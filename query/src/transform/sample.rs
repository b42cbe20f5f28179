//! Samples: which rows are in is told by a hash of their key, so that it is the same on every node and after every restart.

use crate::stream::StreamError;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use query_lang::ast::Literal;
use tsdb::types::Fnv;

/// A part of all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Keys whose hash is below this are in; all when `None`.
    below: Option<u64>,
}

impl Part {
    /// `n` percent; the grammar has seen to it that it is above 0 and at most 100.
    pub fn of_percent(percent: &Literal) -> Part {
        let text = match percent {
            Literal::Decimal(text) => text.clone(),
            other => other.to_string(),
        };
        let share = text.parse::<f64>().unwrap_or(100.0) / 100.0;
        // 2^64 of them are all; a cast of what is more stays at the greatest number.
        let below = share * 18_446_744_073_709_551_616.0;
        Part {
            below: (share < 1.0).then_some(below as u64),
        }
    }

    /// Which rows of these key columns are in.
    pub fn select(self, keys: &[ArrayRef], rows: usize) -> Result<BooleanArray, StreamError> {
        let Some(below) = self.below else {
            return Ok(vec![true; rows].into());
        };
        let texts = keys
            .iter()
            .map(|k| cast(k, &DataType::Utf8))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = (0..rows).map(|row| {
            let mut hash = Hash::default();
            for text in &texts {
                let text = text.as_string::<i32>();
                hash.add(text.is_valid(row).then(|| text.value(row)));
            }
            hash.finish() < below
        });
        Ok(rows.collect::<Vec<bool>>().into())
    }
}

/// FNV-1a over 64 bits, and at the end the mixer of MurmurHash3 (`fmix64`): FNV's high bits alone would be those of
/// the last few bytes.
#[derive(Default)]
struct Hash(Fnv);

impl Hash {
    /// A value; its length keeps it apart from the next one.
    fn add(&mut self, text: Option<&str>) {
        let bytes = text.unwrap_or_default().as_bytes();
        self.0.write(&[u8::from(text.is_some())]);
        self.0.write(&(bytes.len() as u64).to_le_bytes());
        self.0.write(bytes);
    }

    fn finish(self) -> u64 {
        let mut h = self.0.finish();
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn part(text: &str) -> Part {
        Part::of_percent(&Literal::Decimal(text.to_owned()))
    }

    #[test]
    fn a_part_is_about_as_large_as_it_says_and_parts_nest() {
        const KEYS: i64 = 100_000;
        let keys: ArrayRef = Arc::new((0..KEYS).collect::<Int64Array>());
        let kept = |text| {
            let kept = part(text).select(&[Arc::clone(&keys)], KEYS as usize);
            kept.unwrap()
        };
        let mut before = kept("0.1");
        for (text, share) in [("1", 0.01), ("10", 0.1), ("50.0", 0.5), ("99", 0.99)] {
            let now = kept(text);
            let wanted = share * KEYS as f64;
            // Six standard deviations of as many throws of a coin.
            let off = (now.true_count() as f64 - wanted).abs();
            assert!(off < 6.0 * (wanted * (1.0 - share)).sqrt(), "{text}: {off}");
            // Who is in a small part is in a larger one.
            let lost = before.iter().zip(now.iter());
            assert!(lost.into_iter().all(|(a, b)| a <= b), "{text}");
            before = now;
        }
        assert_eq!(kept("100").true_count(), KEYS as usize);
    }

    /// Pinned: nodes of different versions must choose the same keys.
    #[test]
    fn the_hash_stays_what_it_is() {
        let mut hash = Hash::default();
        hash.add(Some("Oslo"));
        hash.add(None);
        assert_eq!(hash.finish(), 3_910_973_683_184_702_837);
    }

    #[test]
    fn values_are_kept_apart() {
        let of = |values: &[Option<&str>]| {
            let mut hash = Hash::default();
            values.iter().for_each(|v| hash.add(*v));
            hash.finish()
        };
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        assert!(part("10").select(&[texts], 2).is_ok());
        assert_ne!(of(&[Some("ab"), Some("c")]), of(&[Some("a"), Some("bc")]));
        assert_ne!(of(&[None]), of(&[Some("")]));
    }
}
