use super::*;
use crate::CodecError;
use crate::wire::varint_len;
use proptest::prelude::*;
use tsz::stream::{BufferedReader, BufferedWriter};
use tsz::{DataPoint, Decode, Encode, StdDecoder, StdEncoder};

fn ours(bits: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(bits, &mut bytes);
    let mut out = Vec::new();
    let mut reader = Reader::new(&bytes);
    decode(&mut reader, bits.len(), &mut out).unwrap();
    reader.finish().unwrap();
    assert_eq!(out, bits);
    bytes
}

/// The same floats by an independent implementation, at times one apart: 64 bits of header, 14 and
/// 1 bits of time, 36 or so at the end, which are not counted.
fn oracle(bits: &[u64]) -> usize {
    let mut encoder = StdEncoder::new(0, BufferedWriter::new());
    for (i, &b) in bits.iter().enumerate() {
        encoder.encode(DataPoint::new(i as u64 + 1, f64::from_bits(b)));
    }
    let bytes = encoder.close();
    let size = bytes.len();
    let mut decoder = StdDecoder::new(BufferedReader::new(bytes));
    let decoded: Vec<u64> = std::iter::from_fn(|| decoder.next().ok())
        .map(|point| point.get_value().to_bits())
        .collect();
    assert_eq!(decoded, bits);
    (size * 8).saturating_sub(64 + 14 + bits.len() + 36) / 8
}

#[test]
fn as_small_as_the_oracle() {
    let sine: Vec<u64> = (0..4000)
        .map(|i| (f64::from(i) / 100.0).sin().to_bits())
        .collect();
    let steps: Vec<u64> = (0..4000).map(|i| f64::from(i / 9 % 50).to_bits()).collect();
    let tenths: Vec<u64> = (0..4000)
        .map(|i| (f64::from(i * 37 % 500) / 10.0).to_bits())
        .collect();
    for (name, bits) in [("sine", sine), ("steps", steps), ("tenths", tenths)] {
        let (size, other) = (ours(&bits).len(), oracle(&bits));
        let ratio = size as f64 / other as f64;
        assert!(
            (0.95..1.05).contains(&ratio),
            "{name}: {size} bytes, the oracle {other}"
        );
        assert_eq!(
            estimate(&bits) + varint_len(estimate(&bits) as u64),
            size,
            "{name}: the estimate is exact"
        );
    }
}

/// The paper's own shape: equal values cost one bit.
#[test]
fn equal_values_cost_a_bit() {
    assert_eq!(ours(&[15.5f64.to_bits(); 801]).len(), 1 + 8 + 100);
}

#[test]
fn a_window_that_was_never_opened_is_refused() {
    // The first value, then `10`: bits within the window, of which there is none.
    let bytes = [vec![9], vec![0; 8], vec![0b1000_0000]].concat();
    let error = decode(&mut Reader::new(&bytes), 2, &mut Vec::new()).unwrap_err();
    assert!(
        matches!(
            error,
            CodecError::Field {
                what: "bits within no window",
                ..
            }
        ),
        "{error}"
    );
    // `11`, 31 leading zeros, 40 meaningful bits: more than 64.
    let bytes = [
        vec![16],
        vec![0; 8],
        vec![0b1111_1111, 0b0100_0000],
        vec![0; 6],
    ]
    .concat();
    let error = decode(&mut Reader::new(&bytes), 2, &mut Vec::new()).unwrap_err();
    assert!(
        matches!(
            error,
            CodecError::Field {
                what: "meaningful bits",
                ..
            }
        ),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_bits(bits in prop::collection::vec(any::<u64>(), 0..200), low in 0u32..64, high in 0u32..64) {
        let bits: Vec<u64> = bits.iter().map(|b| b >> low << low << high >> high).collect();
        ours(&bits);
        if !bits.is_empty() {
            prop_assert!(estimate(&bits) <= ours(&bits).len());
        }
    }

    #[test]
    fn near_floats_agree_with_the_oracle(steps in prop::collection::vec(-100i32..100, 1..200)) {
        let mut level = 0;
        let bits: Vec<u64> = steps.iter().map(|s| { level += s; (f64::from(level) / 8.0).to_bits() }).collect();
        ours(&bits);
        oracle(&bits);
    }
}
