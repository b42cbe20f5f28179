use super::*;
use crate::conformance;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const FLOAT_CODECS: [Encoding; 5] = [
    Encoding::FloatRaw,
    Encoding::FloatBits,
    Encoding::Gorilla,
    Encoding::Alp,
    Encoding::FloatPco,
];

/// Floats are compared by their bits, so that a NaN equals itself and -0 differs from 0.
fn decode_as_bits(bytes: &[u8], rows: usize, out: &mut Vec<u64>) -> Result<()> {
    let mut floats: Vec<f64> = out.iter().map(|&b| f64::from_bits(b)).collect();
    let result = decode_f64(bytes, rows, &mut floats);
    out.clear();
    out.extend(floats.iter().map(|v| v.to_bits()));
    result
}

fn check_all(values: &[f64]) {
    let bits = to_bits(values);
    for encoding in FLOAT_CODECS {
        let mut bytes = Vec::new();
        match encode_f64_with(encoding, values, &mut bytes) {
            Ok(()) => conformance::check(&bits, &bytes, decode_as_bits),
            Err(error) => {
                let refused = matches!(error, CodecError::NotApplicable { .. });
                assert!(refused && bytes.is_empty(), "{encoding:?}: {error}");
            }
        }
    }
    for encode in [encode_f64, |v: &[f64], out: &mut Vec<u8>| {
        encode_f64_small(v, &[], out)
    }] {
        let mut bytes = Vec::new();
        let encoding = encode(values, &mut bytes);
        assert_eq!(bytes[0], encoding.tag());
        conformance::check(&bits, &bytes, decode_as_bits);
    }
}

#[test]
fn edges() {
    let nan = |payload: u64| f64::from_bits(f64::NAN.to_bits() | payload);
    let mut rng = SmallRng::seed_from_u64(5);
    for column in [
        vec![],
        vec![0.0],
        vec![-0.0, 0.0, -0.0],
        vec![f64::NAN, nan(1), -nan(77), f64::INFINITY, f64::NEG_INFINITY],
        vec![
            f64::MIN,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            -5e-324,
            f64::EPSILON,
        ],
        vec![1.5; 400],
        vec![f64::NAN; 400],
        (0..3000).map(|i| f64::from(i) / 10.0).collect(),
        (0..3000)
            .map(|i| {
                if i % 50 == 0 {
                    nan(9)
                } else {
                    f64::from(i % 77) / 100.0
                }
            })
            .collect(),
        (0..1500).map(|_| f64::from_bits(rng.random())).collect(),
        (0..1500).map(|_| rng.random()).collect(),
        vec![9_007_199_254_740_993.0, 1e17, -1e18, 1e300, 0.1],
    ] {
        check_all(&column);
    }
}

#[test]
fn the_choice_fits_the_data() {
    let mut rng = SmallRng::seed_from_u64(6);
    let mut cents = || -> Vec<f64> {
        (0..8192)
            .map(|_| f64::from(rng.random_range(0..50_000)) / 100.0)
            .collect()
    };
    let with_gaps: Vec<f64> = cents()
        .iter()
        .enumerate()
        .map(|(i, &v)| if i % 100 == 7 { f64::NAN } else { v })
        .collect();
    let mut level = 20.0f64;
    let smooth: Vec<f64> = (0..8192)
        .map(|i| {
            level += f64::from(i % 7) / 256.0 - 3.0 / 256.0;
            level
        })
        .collect();
    let random: Vec<f64> = {
        let mut r = SmallRng::seed_from_u64(7);
        (0..8192).map(|_| f64::from_bits(r.random())).collect()
    };
    let mostly_same: Vec<f64> = random
        .iter()
        .enumerate()
        .map(|(i, _)| random[i / 40])
        .collect();
    for (name, values, expected, limit) in [
        (
            "one value",
            vec![(2.0f64).sqrt(); 8192],
            Encoding::FloatBits,
            0.01,
        ),
        ("cents", cents(), Encoding::Alp, 2.05),
        ("cents with gaps", with_gaps, Encoding::Alp, 2.2),
        ("dyadic steps", smooth, Encoding::Alp, 1.1),
        ("random bits", random, Encoding::FloatRaw, 8.01),
        (
            "stairs of random bits",
            mostly_same,
            Encoding::FloatBits,
            0.3,
        ),
    ] {
        let mut bytes = Vec::new();
        let encoding = encode_f64(&values, &mut bytes);
        let size = bytes.len() as f64 / values.len() as f64;
        assert!(
            size <= limit && encoding == expected,
            "{name}: {encoding:?}, {size} bytes a value"
        );
        let mut out = Vec::new();
        decode_f64(&bytes, values.len(), &mut out).unwrap();
        assert_eq!(to_bits(&out), to_bits(&values), "{name}");
    }
}

#[test]
fn tags_of_other_types_are_refused() {
    for encoding in Encoding::ALL {
        let mut out = Vec::new();
        let accepted = encode_f64_with(encoding, &[1.0, 2.0], &mut out).is_ok();
        assert_eq!(accepted, FLOAT_CODECS.contains(&encoding), "{encoding:?}");
        assert_eq!(accepted, !out.is_empty());
    }
}

proptest! {
    #[test]
    fn any_bits(bits in prop::collection::vec(any::<u64>(), 0..150), keep in 0u32..64) {
        let values: Vec<f64> = bits.iter().map(|b| f64::from_bits(b >> keep << keep)).collect();
        check_all(&values);
    }

    #[test]
    fn any_decimals(
        ints in prop::collection::vec(-1_000_000i64..1_000_000, 1..150),
        digits in 0i32..12,
        odd in any::<f64>(),
    ) {
        let mut values: Vec<f64> = ints.iter().map(|&i| i as f64 / 10f64.powi(digits)).collect();
        let middle = values.len() / 2;
        values[middle] = odd;
        check_all(&values);
    }

    #[test]
    fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 1..300), tag in 32u8..37, rows in 0usize..3000) {
        bytes[0] = tag;
        let mut out = Vec::new();
        match decode_f64(&bytes, rows, &mut out) {
            Ok(()) => prop_assert_eq!(out.len(), rows),
            Err(_) => prop_assert!(out.is_empty()),
        }
    }
}
