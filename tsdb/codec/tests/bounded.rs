//! Decoding a hostile payload takes no more memory than the rows and bytes that the caller allows.

use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use tsdb_codec::*;

/// The system's allocator, counting. This binary has one test, so all counts are its own.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; the pointer came from `System.alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 500;
/// Two copies of the output of 16-byte integers and one of the halves they are made of.
const PER_ROW: usize = 48;
/// What decoders take whatever the rows: the tables of the Huffman code. (zstd takes its own from
/// the system, and is only ever given a buffer of the size that was allowed.)
const FIXED: usize = 64 << 10;
/// The same for payloads that may hold pcodec data: up to 2^15 bins in each of three streams.
const FIXED_PCO: usize = 4 << 20;

/// What decoding may take at its peak.
fn limit(bytes: &[u8], rows: usize, max_bytes: usize) -> usize {
    let tags = [Encoding::Pco.tag(), Encoding::FloatPco.tag()];
    let fixed = match bytes.iter().any(|b| tags.contains(b)) {
        true => FIXED_PCO,
        false => FIXED,
    };
    fixed + rows * PER_ROW + 2 * max_bytes
}

fn peak_of(work: impl FnOnce()) -> usize {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    work();
    PEAK.load(Ordering::Relaxed) - before
}

/// Payloads of every codec that can hold one of a few columns.
fn payloads() -> Vec<Vec<u8>> {
    let gauge: Vec<i64> = (0..ROWS as i64).map(|i| 50 + i * i % 7).collect();
    let steps: Vec<i64> = (0..ROWS as i64).map(|i| i / 90 * 1_000_003).collect();
    let mut list = Vec::new();
    for column in [&gauge, &steps, &vec![7; ROWS]] {
        let floats: Vec<f64> = column.iter().map(|&v| v as f64 / 8.0).collect();
        let wide: Vec<i128> = column.iter().map(|&v| i128::from(v) << 70).collect();
        let bools: Vec<bool> = column.iter().map(|&v| v % 2 == 0).collect();
        let text: Vec<String> = column.iter().map(|v| format!("host-{v}")).collect();
        let mut offsets = vec![0];
        offsets.extend(text.iter().scan(0, |end, s| {
            *end += s.len() as u32;
            Some(*end)
        }));
        let mut add = |encode: &dyn Fn(&mut Vec<u8>) -> bool| {
            let mut bytes = Vec::new();
            if encode(&mut bytes) {
                list.push(bytes);
            }
        };
        for encoding in Encoding::ALL {
            add(&|out| encode_i64_with(encoding, column, out).is_ok());
            add(&|out| encode_f64_with(encoding, &floats, out).is_ok());
        }
        add(&|out| encode_i128(&wide, out) != Encoding::Raw);
        add(&|out| encode_bool(&bools, out) != Encoding::Raw);
        add(&|out| encode_bytes(&offsets, text.concat().as_bytes(), out) != Encoding::Raw);
    }
    list
}

fn decode_every_way(bytes: &[u8], rows: usize, max_bytes: usize) {
    let _ = decode_i64(bytes, rows, &mut Vec::new());
    let _ = decode_f64(bytes, rows, &mut Vec::new());
    let _ = decode_bool(bytes, rows, &mut Vec::new());
    let _ = decode_i128(bytes, rows, &mut Vec::new());
    let _ = decode_bytes(bytes, rows, max_bytes, &mut Vec::new(), &mut Vec::new());
    let _ = decode_dictionary(bytes, rows, max_bytes);
}

#[test]
fn memory_is_bounded_by_rows_and_bytes() {
    let payloads = payloads();
    let tags: std::collections::BTreeSet<u8> = payloads.iter().map(|p| p[0]).collect();
    assert!(tags.len() >= 20, "codecs are missing: {tags:?}");
    let max_bytes = 10_000;
    let strategy = (
        0..payloads.len(),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        prop::sample::select(vec![0, 1, ROWS, 20 * ROWS]),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300_000));
    let result = runner.run(&strategy, |(which, damage, rows)| {
        let mut bytes = payloads[which].clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let peak = peak_of(|| decode_every_way(&bytes, rows, max_bytes));
        let limit = limit(&bytes, rows, max_bytes);
        prop_assert!(peak <= limit, "{} bytes for {} rows", peak, rows);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
