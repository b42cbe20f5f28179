//! Any column through every codec that takes it, and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb_codec::*;

fuzz_target!(|data: &[u8]| {
    let [shift, data @ ..] = data else {
        return;
    };
    let words: Vec<u64> = data
        .chunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .fold(0, |word, &byte| word << 8 | u64::from(byte))
        })
        .collect();
    let ints: Vec<i64> = words.iter().map(|&w| w as i64 >> (shift % 64)).collect();
    let floats: Vec<f64> = words.iter().map(|&w| f64::from_bits(w)).collect();
    let rows = words.len();

    let check_ints = |bytes: &[u8]| {
        let mut out = Vec::new();
        decode_i64(bytes, rows, &mut out).expect("what was encoded decodes");
        assert_eq!(out, ints);
    };
    let check_floats = |bytes: &[u8]| {
        let mut out = Vec::new();
        decode_f64(bytes, rows, &mut out).expect("what was encoded decodes");
        assert!(out.iter().map(|v| v.to_bits()).eq(words.iter().copied()));
    };
    let mut bytes = Vec::new();
    for encoding in Encoding::ALL {
        bytes.clear();
        if encode_i64_with(encoding, &ints, &mut bytes).is_ok() {
            check_ints(&bytes);
        }
        bytes.clear();
        if encode_f64_with(encoding, &floats, &mut bytes).is_ok() {
            check_floats(&bytes);
        }
    }
    bytes.clear();
    encode_i64(&ints, &mut bytes);
    check_ints(&bytes);
    let step = usize::from(*shift).max(1);
    let starts: Vec<u32> = (0..rows as u32).step_by(step).collect();
    bytes.clear();
    encode_i64_runs(&ints, &starts, &mut bytes);
    check_ints(&bytes);
    bytes.clear();
    encode_f64_runs(&floats, &starts, &mut bytes);
    check_floats(&bytes);

    let wide: Vec<i128> = words
        .windows(2)
        .map(|pair| i128::from(pair[0]) << (shift % 64) ^ i128::from(pair[1] as i64))
        .collect();
    bytes.clear();
    encode_i128(&wide, &mut bytes);
    let mut out = Vec::new();
    decode_i128(&bytes, wide.len(), &mut out).expect("what was encoded decodes");
    assert_eq!(out, wide);
});
