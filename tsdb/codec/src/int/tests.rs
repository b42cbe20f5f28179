use super::*;
use crate::conformance;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const INTEGER_CODECS: [Encoding; 11] = [
    Encoding::Raw,
    Encoding::Constant,
    Encoding::ForBitPack,
    Encoding::RunLength,
    Encoding::Huffman,
    Encoding::HuffmanDelta,
    Encoding::Pco,
    Encoding::Delta,
    Encoding::DeltaOfDelta,
    Encoding::RunDelta,
    Encoding::RunDeltaOfDelta,
];

/// Each integer codec through the kit, if it can hold the column; and the chosen one.
fn check_all(values: &[i64]) {
    for encoding in INTEGER_CODECS {
        let mut bytes = vec![1, 2];
        match encode_i64_with(encoding, values, &mut bytes) {
            Ok(()) => {
                assert_eq!(bytes[2], encoding.tag());
                conformance::check(values, &bytes[2..], decode_i64);
            }
            Err(error) => {
                let refused = matches!(error, CodecError::NotApplicable { .. });
                assert!(refused && bytes == [1, 2], "{encoding:?}: {error}");
            }
        }
    }
    for encode in [encode_i64, |v: &[i64], out: &mut Vec<u8>| {
        encode_i64_small(v, &[], out)
    }] {
        let mut bytes = Vec::new();
        let encoding = encode(values, &mut bytes);
        assert_eq!(bytes[0], encoding.tag());
        conformance::check(values, &bytes, decode_i64);
    }
}

#[test]
fn edges() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut columns: Vec<Vec<i64>> = vec![
        vec![],
        vec![0],
        vec![i64::MIN],
        vec![i64::MIN, i64::MAX],
        vec![i64::MAX, i64::MIN, i64::MAX, 0, -1],
        vec![-7; 300],
        (0..300).collect(),
        (0..300).map(|i| i64::MIN + i * i).collect(),
        (0..200)
            .map(|i| if i % 2 == 0 { i64::MIN } else { i64::MAX })
            .collect(),
    ];
    for rows in [1, 63, 64, 65, 1023, 1024, 1025, 3000] {
        columns.push((0..rows).map(|_| rng.random()).collect());
        columns.push((0..rows).map(|_| rng.random_range(0..5)).collect());
        columns.push((0..rows).map(|_| rng.random_range(-128..128)).collect());
    }
    for column in columns {
        check_all(&column);
    }
}

/// What each kind of column is stored with, and how small it becomes.
#[test]
fn the_choice_fits_the_data() {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut noise = |n: i64| -> Vec<i64> { (0..8192).map(|_| rng.random_range(0..n)).collect() };
    let words = {
        let mut rng = SmallRng::seed_from_u64(8);
        (0..8192).map(|_| rng.random()).collect()
    };
    let skewed: Vec<i64> = noise(100).iter().map(|v| 500 + (v / 80) * 37).collect();
    let counter: Vec<i64> = noise(300)
        .iter()
        .scan(0, |sum, v| {
            *sum += v;
            Some(*sum)
        })
        .collect();
    let cases: [(&str, Vec<i64>, Encoding, f64); 8] = [
        ("constant", vec![4; 8192], Encoding::Constant, 0.001),
        ("uniform", noise(1 << 20), Encoding::ForBitPack, 2.52),
        ("random words", words, Encoding::Raw, 8.01),
        (
            "stairs",
            (0..8192).map(|i| i / 900 * 7919).collect(),
            Encoding::RunLength,
            0.01,
        ),
        ("skewed", skewed, Encoding::Huffman, 0.15),
        (
            "steps",
            (0..8192).map(|i| i * 1000).collect(),
            Encoding::Delta,
            0.002,
        ),
        ("counter", counter, Encoding::Delta, 1.15),
        (
            "square",
            (0..8192).map(|i| i * i * 9).collect(),
            Encoding::DeltaOfDelta,
            0.002,
        ),
    ];
    for (name, values, expected, limit) in cases {
        let mut bytes = Vec::new();
        let encoding = encode_i64(&values, &mut bytes);
        let size = bytes.len() as f64 / values.len() as f64;
        assert_eq!(encoding, expected, "{name}, {size} bytes a value");
        assert!(size <= limit, "{name}: {size} bytes a value");
        let mut out = Vec::new();
        decode_i64(&bytes, values.len(), &mut out).unwrap();
        assert_eq!(out, values, "{name}");
    }
}

/// The load that decides the disk's size: ten gauges of 0..=100 that move by about one.
#[test]
fn gauges_come_near_their_entropy() {
    let mut rng = SmallRng::seed_from_u64(3);
    for rows_per_series in [100, 1000] {
        let mut values = Vec::new();
        while values.len() < 16_000 {
            let mut level: f64 = rng.random_range(0.0..100.0);
            for _ in 0..rows_per_series {
                // The sum of 12 uniform numbers is near enough a normal one.
                let step = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
                level = (level + step).clamp(0.0, 100.0);
                values.push(level as i64);
            }
        }
        let mut bytes = Vec::new();
        let encoding = encode_i64(&values, &mut bytes);
        let size = bytes.len() as f64 / values.len() as f64;
        assert_eq!(encoding, Encoding::HuffmanDelta);
        assert!(
            size <= 0.33,
            "{size} bytes a value, {rows_per_series} rows a series"
        );
    }
}

/// 16 series of 1,000 rows, 10 s apart, with and without jitter.
#[test]
fn times_of_series() {
    let mut rng = SmallRng::seed_from_u64(4);
    let starts: Vec<u32> = (0..16).map(|i| i * 1000).collect();
    let mut column = |jitter: i64| -> Vec<i64> {
        let at = |i: i64| 1_451_606_400_000_000_000 + i % 1000 * 10_000_000_000;
        (0..16_000)
            .map(|i| at(i) + rng.random_range(0..=jitter))
            .collect()
    };
    for (jitter, limit, expected) in [
        (0, 0.003, Encoding::RunDelta),
        (1_000_000, 2.7, Encoding::RunDelta),
    ] {
        let values = column(jitter);
        let mut bytes = Vec::new();
        let encoding = encode_i64_runs(&values, &starts, &mut bytes);
        let size = bytes.len() as f64 / values.len() as f64;
        assert!(
            size <= limit,
            "{encoding:?} {size} bytes a value, jitter {jitter}"
        );
        assert_eq!(encoding, expected, "jitter {jitter}");
        conformance::check(&values, &bytes, decode_i64);
    }
}

/// Each series has an interval of its own: only the second difference is always 0.
#[test]
fn times_of_series_at_different_intervals() {
    let starts: Vec<u32> = (0..16).map(|i| i * 1000).collect();
    let at = |i: i64| 1_451_606_400_000_000_000 + i % 1000 * (1 + i / 1000 % 7) * 1_000_000_000;
    let values: Vec<i64> = (0..16_000).map(at).collect();
    let mut bytes = Vec::new();
    let encoding = encode_i64_runs(&values, &starts, &mut bytes);
    assert_eq!(encoding, Encoding::RunDeltaOfDelta);
    assert!(bytes.len() < 120, "{} bytes", bytes.len());
    conformance::check(&values, &bytes, decode_i64);
}

#[test]
fn wrong_run_starts_are_only_a_hint() {
    let values: Vec<i64> = (0..500).map(|i| i % 100 * 60).collect();
    for starts in [
        &[][..],
        &[3],
        &[0, 9, 9],
        &[0, 600],
        &[0, 100, 200, 300, 400],
    ] {
        let mut bytes = Vec::new();
        encode_i64_runs(&values, starts, &mut bytes);
        conformance::check(&values, &bytes, decode_i64);
    }
}

#[test]
fn a_payload_cannot_nest_without_end() {
    // Differences of differences of differences..: each level is a tag and a first value.
    let bytes: Vec<u8> = [Encoding::Delta.tag(), 0].repeat(100_000);
    let error = decode_i64(&bytes, 1 << 20, &mut Vec::new()).unwrap_err();
    assert_eq!(
        error,
        CodecError::Tag {
            tag: 8,
            place: "integers"
        }
    );
    let runs: Vec<u8> = [Encoding::RunLength.tag(), 9].repeat(100_000);
    assert!(decode_i64(&runs, 1 << 20, &mut Vec::new()).is_err());
}

#[test]
fn tags_of_other_types_are_refused() {
    for encoding in Encoding::ALL {
        let mut out = Vec::new();
        let accepted = encode_i64_with(encoding, &[1, 1], &mut out).is_ok();
        assert_eq!(accepted, INTEGER_CODECS.contains(&encoding), "{encoding:?}");
        if !accepted {
            let error = decode_i64(&[encoding.tag(), 0, 0], 1, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, CodecError::Tag { .. }),
                "{encoding:?}: {error}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_column(
        values in prop::collection::vec(any::<i64>(), 0..200),
        shift in 0u32..64,
        sums in 0usize..3,
    ) {
        let mut values: Vec<i64> = values.iter().map(|v| v >> shift).collect();
        for _ in 0..sums {
            let mut sum = 0i64;
            for value in &mut values {
                sum = sum.wrapping_add(*value);
                *value = sum;
            }
        }
        check_all(&values);
    }

    #[test]
    fn any_runs(runs in prop::collection::vec((any::<i64>(), -3i64..3, 1usize..60), 1..12)) {
        let mut starts = Vec::new();
        let mut values = Vec::new();
        for (first, step, rows) in runs {
            starts.push(values.len() as u32);
            values.extend((0..rows as i64).map(|i| (first >> 8).wrapping_add(i * step)));
        }
        let mut bytes = Vec::new();
        encode_i64_runs(&values, &starts, &mut bytes);
        conformance::check(&values, &bytes, decode_i64);
    }

    /// Bytes from nowhere: an error or rows, never a panic.
    #[test]
    fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 1..300), tag in 0u8..12, rows in 0usize..3000) {
        bytes[0] = tag;
        let mut out = Vec::new();
        match decode_i64(&bytes, rows, &mut out) {
            Ok(()) => prop_assert_eq!(out.len(), rows),
            Err(_) => prop_assert!(out.is_empty()),
        }
    }
}
