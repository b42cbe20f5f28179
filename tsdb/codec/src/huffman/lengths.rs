//! The lengths of code words: the best prefix code with no word above a limit, by package-merge
//! (Larmore and Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", 1990).

/// Code lengths for `counts`, which must be ascending, two at least, and no more than
/// `2^limit`. The code is complete: no string of bits is without a meaning.
pub(super) fn limited(counts: &[u32], limit: u32) -> Vec<u8> {
    debug_assert!(counts.len() >= 2 && counts.len() <= 1 << limit);
    debug_assert!(counts.is_sorted());
    // Each level merges the single symbols with pairs of the level before; of a level, only
    // which of its items are single symbols has to be remembered.
    let mut single = Vec::with_capacity(limit as usize);
    let mut weights: Vec<u64> = Vec::new();
    for _ in 0..limit {
        let packages: Vec<u64> = weights.chunks_exact(2).map(|p| p[0] + p[1]).collect();
        let mut merged = Vec::with_capacity(counts.len() + packages.len());
        let mut flags = Vec::with_capacity(merged.capacity());
        let (mut s, mut p) = (0, 0);
        while s < counts.len() || p < packages.len() {
            let symbol = s < counts.len()
                && packages
                    .get(p)
                    .is_none_or(|&package| u64::from(counts[s]) <= package);
            if symbol {
                merged.push(u64::from(counts[s]));
                s += 1;
            } else {
                merged.push(packages[p]);
                p += 1;
            }
            flags.push(symbol);
        }
        weights = merged;
        single.push(flags);
    }

    let mut lengths = vec![0u8; counts.len()];
    let mut taken = 2 * counts.len() - 2;
    for flags in single.iter().rev() {
        let symbols = flags[..taken].iter().filter(|&&symbol| symbol).count();
        for length in &mut lengths[..symbols] {
            *length += 1;
        }
        taken = 2 * (taken - symbols);
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Unlimited Huffman lengths, by joining the two lightest trees again and again.
    fn huffman(counts: &[u32]) -> Vec<u8> {
        let mut trees: Vec<(u64, Vec<usize>)> = counts
            .iter()
            .enumerate()
            .map(|(i, &c)| (u64::from(c), vec![i]))
            .collect();
        let mut lengths = vec![0u8; counts.len()];
        while trees.len() > 1 {
            trees.sort_by_key(|tree| std::cmp::Reverse(tree.0));
            let (a, b) = (trees.pop().unwrap(), trees.pop().unwrap());
            let members = [a.1, b.1].concat();
            for &i in &members {
                lengths[i] += 1;
            }
            trees.push((a.0 + b.0, members));
        }
        lengths
    }

    fn cost(counts: &[u32], lengths: &[u8]) -> u64 {
        counts
            .iter()
            .zip(lengths)
            .map(|(&c, &l)| u64::from(c) * u64::from(l))
            .sum()
    }

    proptest! {
        /// As good as Huffman's code whenever that keeps the limit, and always complete.
        #[test]
        fn best_and_complete(
            mut counts in prop::collection::vec(1u32..10_000, 2..200),
            skew in 0u32..12,
        ) {
            for (i, count) in counts.iter_mut().enumerate() {
                *count = (*count >> (i as u32 % (skew + 1))).max(1);
            }
            counts.sort_unstable();
            let free = huffman(&counts);
            for limit in 8..=15u32 {
                let lengths = limited(&counts, limit);
                let kraft: u64 = lengths.iter().map(|&l| 1u64 << (limit - u32::from(l))).sum();
                prop_assert_eq!(kraft, 1u64 << limit);
                prop_assert!(cost(&counts, &lengths) >= cost(&counts, &free));
                if free.iter().all(|&l| u32::from(l) <= limit) {
                    prop_assert_eq!(cost(&counts, &lengths), cost(&counts, &free));
                }
            }
        }
    }
}
