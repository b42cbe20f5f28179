use super::*;
use proptest::prelude::*;

fn round_trip(values: &[i64]) -> [usize; 2] {
    [Order::Value, Order::Delta].map(|order| {
        let mut bytes = Vec::new();
        encode(values, order, &mut bytes).unwrap();
        let mut out = vec![5];
        let mut reader = Reader::new(&bytes);
        decode(&mut reader, values.len(), order, &mut out).unwrap();
        reader.finish().unwrap();
        assert_eq!(out[0], 5, "decoding appends");
        assert_eq!(&out[1..], values);
        bytes.len()
    })
}

#[test]
fn short_and_plain_columns() {
    for rows in 0..70 {
        round_trip(&vec![i64::MIN; rows]);
        round_trip(&(0..rows as i64).map(|i| i64::MAX - i).collect::<Vec<_>>());
        round_trip(&(0..rows as i64).map(|i| i % 2).collect::<Vec<_>>());
    }
}

#[test]
fn all_256_bytes_equally_often() {
    let values: Vec<i64> = (0..25_600).map(|i| i * 167 % 256 - 128).collect();
    let [size, _] = round_trip(&values);
    assert!(size > 25_600 && size < 25_600 + 200, "{size}");
}

/// Steps whose frequencies fall by half each want words longer than the limit allows.
#[test]
fn steep_frequencies_keep_the_limit() {
    let values: Vec<i64> = (1..1u32 << 18)
        .map(|i| i64::from(i.trailing_zeros()))
        .collect();
    let [size, _] = round_trip(&values);
    let entropy = values.len() * 2 / 8;
    assert!(size < entropy + entropy / 100 + 40, "{size} over {entropy}");
}

#[test]
fn values_too_far_apart_are_refused() {
    for wide in [[0, 256], [i64::MIN, i64::MAX]] {
        assert!(encode(&wide, Order::Value, &mut Vec::new()).is_err());
        assert!(encode(&wide, Order::Delta, &mut Vec::new()).is_err());
    }
}

#[test]
fn the_estimate_is_near_the_size() {
    let values: Vec<i64> = (0..8192i64)
        .map(|i| 40 + (i * i / 7) % 3 * (i % 11))
        .collect();
    let estimate = estimate(&values, 40, 60, values.len()).unwrap();
    let sizes = round_trip(&values);
    for (guess, size) in [estimate.by_value, estimate.by_delta]
        .into_iter()
        .zip(sizes)
    {
        let ratio = guess / size as f64;
        assert!((0.93..1.07).contains(&ratio), "{guess} for {size}");
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2000), shift in 0u32..8, base: i64) {
        let values: Vec<i64> = bytes.iter().map(|b| base.wrapping_add(i64::from(b >> shift))).collect();
        if values.iter().all(|&v| v >= base) {
            round_trip(&values);
        }
    }

    /// Whatever the bytes say, a code that was read is complete and its table's entries are
    /// within their bounds.
    #[test]
    fn any_code(bytes in prop::collection::vec(any::<u8>(), 0..200), bits in 1u8..=11) {
        let mut bytes = bytes;
        bytes.insert(0, bits);
        if let Ok(code) = Code::read(&mut Reader::new(&bytes)) {
            let table = Table::new(&code, |s| s);
            for i in 0..1u64 << code.bits() {
                let entry = table.look_up(i);
                prop_assert!((1..=6).contains(&entry.count()));
                prop_assert!(entry.bits() <= code.bits());
            }
        }
    }
}
