use super::*;
use proptest::prelude::*;

fn round_trip(values: &[i64]) -> usize {
    let mut bytes = Vec::new();
    encode(values, &mut bytes);
    let expected: usize = values.chunks(BLOCK).map(block_size).sum();
    assert_eq!(bytes.len(), expected, "the estimate is exact");
    let mut out = vec![7];
    let mut reader = Reader::new(&bytes);
    decode(&mut reader, values.len(), &mut out).unwrap();
    reader.finish().unwrap();
    assert_eq!(out[0], 7, "decoding appends");
    assert_eq!(&out[1..], values);
    bytes.len()
}

/// Every width, in a full block and in a tail, with the extreme distances at both ends.
#[test]
fn every_width() {
    for width in 0..=64u32 {
        let top = if width == 0 {
            0
        } else {
            u64::MAX >> (64 - width)
        };
        for base in [0, -5, i64::MIN, i64::MAX] {
            for rows in [1, 2, 15, 63, 1023, 1024, 1025, 2500] {
                let values: Vec<i64> = (0..rows as u64)
                    .map(|i| {
                        let distance = match i % 3 {
                            0 => top,
                            1 => 0,
                            _ => i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & top,
                        };
                        base.wrapping_add(distance as i64)
                    })
                    .collect();
                round_trip(&values);
            }
        }
    }
}

#[test]
fn a_block_costs_its_width() {
    let values: Vec<i64> = (0..1024).map(|i| 1000 + i % 128).collect();
    assert_eq!(round_trip(&values), 1 + 2 + 7 * 128);
}

#[test]
fn a_width_above_64_is_refused() {
    let mut bytes = vec![65, 0];
    bytes.extend([0; 65 * 128]);
    let mut out = Vec::new();
    let error = decode(&mut Reader::new(&bytes), 1024, &mut out).unwrap_err();
    assert_eq!(
        error,
        CodecError::Field {
            what: "bit width",
            got: 65,
            allowed: 64
        }
    );
    assert!(out.is_empty(), "a refused payload leaves nothing behind");
}

proptest! {
    #[test]
    fn any_values(values in prop::collection::vec(any::<i64>(), 0..3000), bits in 0u32..64) {
        round_trip(&values);
        let narrow: Vec<i64> = values.iter().map(|v| v >> bits).collect();
        round_trip(&narrow);
    }
}
