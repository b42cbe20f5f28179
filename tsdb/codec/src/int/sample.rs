//! What the choice of a codec rests on: exact bounds of the column, and estimates from blocks of
//! it.

use super::{Candidate, Nest, choose};
use crate::Encoding;
use crate::for_bitpack::kernel::BLOCK;
use crate::for_bitpack::{block_size, min_max, width};
use crate::huffman;

/// Bytes that any codec's headers take, so that short columns prefer simple codecs.
const HEADER: f64 = 2.0;

/// A look at a column.
pub(super) struct Sample {
    nest: Nest,
    rows: usize,
    /// Runs of rows that start differences afresh; 0 if there are none.
    series: usize,
    min: i64,
    max: i64,
    /// Runs of equal values.
    equal_runs: usize,
    /// Up to 16 whole blocks, or all rows.
    values: Vec<i64>,
    /// Their differences, those across series left out.
    once: Vec<i64>,
    /// Differences of differences, likewise.
    twice: Vec<i64>,
}

impl Sample {
    /// Looks at `values`; `lengths` are the runs that start differences afresh, or none.
    pub(super) fn take(values: &[i64], lengths: &[i64], nest: Nest) -> Sample {
        let (min, max) = min_max(values);
        let changes = values.windows(2).filter(|w| w[0] != w[1]).count();
        let mut sample = Sample {
            nest,
            rows: values.len(),
            series: lengths.len(),
            min,
            max,
            equal_runs: changes + 1,
            values: Vec::new(),
            once: Vec::new(),
            twice: Vec::new(),
        };
        if nest > Nest::Flat && min != max {
            sample.look_at_blocks(values, lengths);
        }
        sample
    }

    fn look_at_blocks(&mut self, values: &[i64], lengths: &[i64]) {
        let blocks = values.len().div_ceil(BLOCK);
        let looked_at = blocks.min((blocks / 4).clamp(4, 16));
        let mut starts = Starts::new(lengths);
        for i in 0..looked_at {
            let from = i * blocks / looked_at * BLOCK;
            let block = &values[from..(from + BLOCK).min(values.len())];
            self.values.extend_from_slice(block);
            if self.nest == Nest::Whole {
                self.look_at_differences(block, starts.within(from, block.len()));
            }
        }
    }

    /// `starts` are the rows of the block at which a series starts.
    fn look_at_differences(&mut self, block: &[i64], starts: &[usize]) {
        let mut from = 0;
        let ends = starts.iter().copied().chain(std::iter::once(block.len()));
        for end in ends {
            let run = &block[from..end];
            let once = run.windows(2).map(|w| w[1].wrapping_sub(w[0]));
            self.once.extend(once);
            let twice = run.windows(3).map(|w| {
                w[2].wrapping_sub(w[1])
                    .wrapping_sub(w[1].wrapping_sub(w[0]))
            });
            self.twice.extend(twice);
            from = end;
        }
    }

    /// All codecs that can hold the column at its level, with their expected sizes.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let mut list = Vec::new();
        let mut add = |encoding, bytes| {
            list.push(Candidate {
                encoding,
                inner: None,
                bytes,
            });
        };
        let rows = self.rows as f64;
        add(Encoding::Raw, 8.0 * rows);
        if self.rows == 0 {
            return list;
        }
        if self.min == self.max {
            add(Encoding::Constant, 0.0);
            return list;
        }
        let width = width(self.min, self.max);
        let bits = f64::from(width);
        if self.nest == Nest::Flat {
            add(Encoding::ForBitPack, HEADER + rows * bits / 8.0);
            return list;
        }
        add(Encoding::ForBitPack, packed(&self.values, rows));
        add(
            Encoding::RunLength,
            in_runs(self.equal_runs as f64, rows, width),
        );
        if let Some(bytes) = huffman::estimate(&self.values, self.min, self.max, self.rows) {
            add(Encoding::Huffman, bytes.by_value);
            add(Encoding::HuffmanDelta, bytes.by_delta);
        }
        if self.nest == Nest::Whole && self.rows > 2 {
            let (once, twice) = match self.series {
                0 => (Encoding::Delta, Encoding::DeltaOfDelta),
                _ => (Encoding::RunDelta, Encoding::RunDeltaOfDelta),
            };
            // Each series costs its length and its first value.
            let series = self.series as f64 * (bits / 8.0 + 1.5);
            for (encoding, differences) in [(once, &self.once), (twice, &self.twice)] {
                let (inner, bytes) = self.leaf(differences);
                list.push(Candidate {
                    encoding,
                    inner: Some(inner),
                    bytes: series + bytes,
                });
            }
        }
        list
    }

    /// What a column of differences like these is best stored with, and its size.
    fn leaf(&self, differences: &[i64]) -> (Encoding, f64) {
        let rows = self.rows as f64;
        let (min, max) = min_max(differences);
        if min == max {
            return (Encoding::Constant, 3.0 * HEADER);
        }
        let mut list = vec![Candidate {
            encoding: Encoding::ForBitPack,
            inner: None,
            bytes: packed(differences, rows) + 2.0 * HEADER,
        }];
        let runs = differences.windows(2).filter(|w| w[0] != w[1]).count() + 1;
        let all_runs = runs as f64 * rows / differences.len() as f64;
        list.push(Candidate {
            encoding: Encoding::RunLength,
            inner: None,
            bytes: in_runs(all_runs, rows, width(min, max)) + 2.0 * HEADER,
        });
        if let Some(bytes) = huffman::estimate(differences, min, max, self.rows) {
            list.push(Candidate {
                encoding: Encoding::Huffman,
                inner: None,
                bytes: bytes.by_value + 2.0 * HEADER,
            });
        }
        let best = choose(&list);
        let bytes = list.iter().find(|c| c.encoding == best).map(|c| c.bytes);
        (best, bytes.unwrap_or(8.0 * rows))
    }
}

/// The size of `rows` values in `runs` runs, each value in so many bits.
fn in_runs(runs: f64, rows: f64, width: u32) -> f64 {
    // Lengths are packed by the longest; four times the mean is a fair guess at it.
    let length_bits = (rows / runs * 4.0).log2();
    4.0 * HEADER + runs * (f64::from(width) + length_bits) / 8.0
}

/// The size of `rows` values like these when bit packed.
fn packed(sample: &[i64], rows: f64) -> f64 {
    let bytes: usize = sample.chunks(BLOCK).map(block_size).sum();
    bytes as f64 * rows / sample.len().max(1) as f64
}

/// Walks the rows at which series start, block by block.
struct Starts<'a> {
    lengths: std::slice::Iter<'a, i64>,
    next: usize,
    found: Vec<usize>,
}

impl<'a> Starts<'a> {
    fn new(lengths: &'a [i64]) -> Self {
        Starts {
            lengths: lengths.iter(),
            next: 0,
            found: Vec::new(),
        }
    }

    /// The starts in `from..from + len`, counted from `from`; `from` must not go back.
    fn within(&mut self, from: usize, len: usize) -> &[usize] {
        self.found.clear();
        while self.next < from + len {
            if self.next >= from {
                self.found.push(self.next - from);
            }
            match self.lengths.next() {
                Some(&length) => self.next += length as usize,
                None => self.next = usize::MAX,
            }
        }
        &self.found
    }
}
