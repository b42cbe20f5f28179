use super::runs::{self, Order};
use super::*;
use proptest::prelude::*;

fn run_round_trip(values: &[i64], lengths: &[i64], order: Order) -> usize {
    let mut bytes = Vec::new();
    runs::encode(values, lengths, order, &mut bytes);
    let mut out = vec![3];
    let mut reader = Reader::new(&bytes);
    runs::decode(&mut reader, values.len(), order, &mut out).unwrap();
    reader.finish().unwrap();
    assert_eq!(out[0], 3, "decoding appends");
    assert_eq!(&out[1..], values);
    bytes.len()
}

proptest! {
    #[test]
    fn plain(values in prop::collection::vec(any::<i64>(), 2..300), bits in 0u32..64) {
        let values: Vec<i64> = values.iter().map(|v| v >> bits).collect();
        for twice in [false, true] {
            let mut bytes = Vec::new();
            let mut out = vec![3];
            if twice {
                encode_twice(&values, &mut bytes);
                decode_twice(&mut Reader::new(&bytes), values.len(), &mut out).unwrap();
            } else {
                encode(&values, &mut bytes);
                decode(&mut Reader::new(&bytes), values.len(), &mut out).unwrap();
            }
            prop_assert_eq!(&out[1..], &values);
        }
    }

    #[test]
    fn in_runs(runs in prop::collection::vec(prop::collection::vec(any::<i64>(), 1..40), 0..20)) {
        let lengths: Vec<i64> = runs.iter().map(|r| r.len() as i64).collect();
        let values = runs.concat();
        run_round_trip(&values, &lengths, Order::Once);
        run_round_trip(&values, &lengths, Order::Twice);
    }
}

/// 10 s intervals over 40 series: nothing per row, and no jump between series is paid for.
#[test]
fn regular_times_cost_nothing_per_row() {
    let series = 40;
    for rows in [100i64, 2000] {
        let lengths = vec![rows; series];
        let one: Vec<i64> = (0..rows)
            .map(|i| 1_451_606_400_000_000_000 + i * 10_000_000_000)
            .collect();
        let size = run_round_trip(&one.repeat(series), &lengths, Order::Twice);
        assert!(size < 40, "{size} bytes for {series} series of {rows} rows");
    }
}

#[test]
fn run_starts_become_lengths() {
    assert_eq!(runs::lengths(&[0, 3, 4], 9), Some(vec![3, 1, 5]));
    assert_eq!(runs::lengths(&[0], 1), Some(vec![1]));
    for wrong in [&[][..], &[1], &[0, 0], &[0, 5, 4], &[0, 9], &[0, 10]] {
        assert_eq!(runs::lengths(wrong, 9), None, "{wrong:?}");
    }
    assert_eq!(runs::lengths(&[0], 0), None);
}

#[test]
fn run_lengths_must_add_up() {
    let mut bytes = Vec::new();
    runs::encode(&[1, 2, 3, 9, 8], &[3, 2], Order::Twice, &mut bytes);
    for rows in [0, 1, 2, 4, 6, 100] {
        let result = runs::decode(
            &mut Reader::new(&bytes),
            rows,
            Order::Twice,
            &mut Vec::new(),
        );
        assert!(result.is_err(), "{rows} rows");
    }
}
