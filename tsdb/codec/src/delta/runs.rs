//! Differences that start afresh with every run of rows.
//!
//! Rows of a segment are sorted by series, then time: within a series the times step evenly, from
//! one series to the next they jump back. Run lengths, first values and first differences are
//! columns of their own, so that a regular interval costs nothing per row and little per series.

use crate::error::{CodecError, Result};
use crate::int::{self, Nest};
use crate::wire::{Reader, put_varint};

/// The lengths of the runs that start at `starts`, if they are ascending, begin with row 0 and
/// lie within `rows`.
pub(crate) fn lengths(starts: &[u32], rows: usize) -> Option<Vec<i64>> {
    if starts.first() != Some(&0) {
        return None;
    }
    let end = u32::try_from(rows).ok()?;
    let ends = starts[1..].iter().chain(std::iter::once(&end));
    starts
        .iter()
        .zip(ends)
        .map(|(&start, &end)| (start < end).then(|| i64::from(end - start)))
        .collect()
}

/// Which differences are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// From the value before.
    Once,
    /// From the difference before.
    Twice,
}

/// Appends the runs of `values`; `lengths` must add up to them, each 1 at least.
pub(crate) fn encode(values: &[i64], lengths: &[i64], order: Order, out: &mut Vec<u8>) {
    let mut firsts = Vec::with_capacity(lengths.len());
    let mut steps = Vec::new();
    let mut rest = Vec::with_capacity(values.len());
    let mut left = values;
    for &length in lengths {
        let (run, after) = left.split_at(length as usize);
        left = after;
        firsts.push(run[0]);
        let from = rest.len();
        let differences = run.windows(2).map(|w| w[1].wrapping_sub(w[0]));
        match order {
            Order::Once => rest.extend(differences),
            Order::Twice if run.len() > 1 => {
                let mut before = run[1].wrapping_sub(run[0]);
                steps.push(before);
                rest.extend(differences.skip(1).map(|step| {
                    let change = step.wrapping_sub(before);
                    before = step;
                    change
                }));
            }
            Order::Twice => {}
        }
        debug_assert!(rest.len() - from < run.len());
    }
    put_varint(out, lengths.len() as u64);
    int::encode_nested(lengths, Nest::Flat, out);
    int::encode_nested(&firsts, Nest::Leaf, out);
    if order == Order::Twice {
        int::encode_nested(&steps, Nest::Leaf, out);
    }
    int::encode_nested(&rest, Nest::Leaf, out);
}

/// Appends `rows` values to `out`.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    rows: usize,
    order: Order,
    out: &mut Vec<i64>,
) -> Result<()> {
    let runs = reader.count(rows, "count of runs")?;
    let mut lengths = Vec::new();
    int::decode_nested(reader, runs, Nest::Flat, &mut lengths)?;
    let longer = check_lengths(&lengths, rows)?;
    let mut firsts = Vec::new();
    int::decode_nested(reader, runs, Nest::Leaf, &mut firsts)?;
    let mut steps = Vec::new();
    let mut stored = runs;
    if order == Order::Twice {
        int::decode_nested(reader, longer, Nest::Leaf, &mut steps)?;
        stored += longer;
    }

    // The differences go to the end of the output and are added up from its front. The reading
    // place is ahead of the writing place by the firsts and steps still to be put in, so nothing
    // is overwritten before it was read.
    let start = out.len();
    out.resize(start + stored, 0);
    int::decode_nested(reader, rows - stored, Nest::Leaf, out)?;
    let column = &mut out[start..];
    let (mut write, mut read) = (0, stored);
    let mut steps = steps.into_iter();
    for (&first, &length) in firsts.iter().zip(&lengths) {
        let end = write + length as usize;
        let mut value = first;
        column[write] = value;
        write += 1;
        let mut step = 0;
        if order == Order::Twice && write < end {
            // One step for every run longer than 1 was decoded above.
            step = steps.next().unwrap_or(0);
            value = value.wrapping_add(step);
            column[write] = value;
            write += 1;
        }
        let count = end - write;
        match order {
            Order::Once => {
                for i in 0..count {
                    value = value.wrapping_add(column[read + i]);
                    column[write + i] = value;
                }
            }
            Order::Twice => {
                for i in 0..count {
                    step = step.wrapping_add(column[read + i]);
                    value = value.wrapping_add(step);
                    column[write + i] = value;
                }
            }
        }
        read += count;
        write = end;
    }
    Ok(())
}

/// Each length is 1 at least and all add up to `rows`; tells how many are longer than 1.
fn check_lengths(lengths: &[i64], rows: usize) -> Result<usize> {
    let mut left = rows as u64;
    let mut longer = 0;
    for &length in lengths {
        let got = length as u64;
        if got == 0 || got > left {
            return Err(CodecError::Field {
                what: "length of a run",
                got,
                allowed: left,
            });
        }
        left -= got;
        longer += usize::from(got > 1);
    }
    match left {
        0 => Ok(longer),
        got => Err(CodecError::Field {
            what: "rows without a run",
            got,
            allowed: 0,
        }),
    }
}
