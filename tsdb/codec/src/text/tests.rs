use super::*;
use crate::{conformance, decode_dictionary};
use proptest::prelude::*;

fn column(strings: &[Vec<u8>]) -> (Vec<u32>, Vec<u8>) {
    let mut offsets = vec![0];
    let mut data = Vec::new();
    for string in strings {
        data.extend_from_slice(string);
        offsets.push(data.len() as u32);
    }
    (offsets, data)
}

fn decode(bytes: &[u8], rows: usize, limit: usize) -> Result<Vec<Vec<u8>>> {
    let mut offsets = Vec::new();
    let mut data = Vec::new();
    let result = decode_bytes(bytes, rows, limit, &mut offsets, &mut data);
    assert!(data.len() <= limit);
    if let Err(error) = result {
        assert!(offsets.is_empty() && data.is_empty(), "{error}");
        return Err(error);
    }
    let strings = offsets.windows(2);
    Ok(strings
        .map(|w| data[w[0] as usize..w[1] as usize].to_vec())
        .collect())
}

fn check(strings: &[Vec<u8>]) -> (Encoding, usize) {
    let (offsets, data) = column(strings);
    let mut bytes = Vec::new();
    let encoding = encode_bytes(&offsets, &data, &mut bytes);
    conformance::check(strings, &bytes, |bytes, rows, out| {
        out.extend(decode(bytes, rows, data.len())?);
        Ok(())
    });
    if !data.is_empty() {
        let error = decode(&bytes, strings.len(), data.len() - 1);
        assert!(
            matches!(error, Err(CodecError::TooLarge { .. })),
            "{error:?}"
        );
    }
    match decode_dictionary(&bytes, strings.len(), data.len()).unwrap() {
        None => assert_ne!(encoding, Encoding::Dictionary),
        Some(parts) => {
            let string = |i: u32| {
                let ends = &parts.offsets[i as usize..][..2];
                parts.data[ends[0] as usize..ends[1] as usize].to_vec()
            };
            let spread: Vec<Vec<u8>> = parts.indexes.iter().map(|&i| string(i)).collect();
            assert_eq!(spread, strings);
        }
    }
    (encoding, bytes.len())
}

#[test]
fn each_form() {
    assert_eq!(check(&[]), (Encoding::Plain, 2));
    assert_eq!(check(&[b"one".to_vec()]).0, Encoding::Plain);
    let tags: Vec<Vec<u8>> = (0..4000)
        .map(|i| format!("eu-west-{}", i / 500).into_bytes())
        .collect();
    let (encoding, size) = check(&tags);
    assert!(
        encoding == Encoding::Dictionary && size < 160,
        "{encoding:?} {size}"
    );
    let urls: Vec<Vec<u8>> = (0..500)
        .map(|i| format!("/shop/item/{i}").into_bytes())
        .collect();
    let (encoding, size) = check(&urls);
    assert!(
        encoding == Encoding::Zstd && size < 2500,
        "{encoding:?} {size}"
    );
    assert_eq!(check(&vec![vec![]; 3000]).0, Encoding::Dictionary);
}

#[test]
fn decoding_appends_and_offsets_go_on() {
    let (offsets, data) = column(&[b"ab".to_vec(), b"c".to_vec()]);
    let mut bytes = Vec::new();
    // A slice of a longer column: its offsets do not begin with 0.
    encode_bytes(&offsets[1..], &data, &mut bytes);
    let (mut ends, mut text) = (vec![0, 1], b"x".to_vec());
    decode_bytes(&bytes, 1, 10, &mut ends, &mut text).unwrap();
    assert_eq!((ends, text), (vec![0, 1, 2], b"xc".to_vec()));
}

/// A dictionary of one long string asks for far more than it takes.
#[test]
fn a_bomb_is_refused_before_it_is_written() {
    let strings = vec![vec![b'a'; 10_000]; 10_000];
    let (offsets, data) = column(&strings);
    let mut bytes = Vec::new();
    encode_bytes(&offsets, &data, &mut bytes);
    assert!(bytes.len() < 100, "{}", bytes.len());
    let error = decode(&bytes, strings.len(), 1 << 20).unwrap_err();
    assert_eq!(
        error,
        CodecError::TooLarge {
            got: 100_000_000,
            limit: 1 << 20
        }
    );
}

proptest! {
    #[test]
    fn any_column(strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..80)) {
        check(&strings);
        let twice: Vec<Vec<u8>> = strings.iter().chain(&strings).cloned().collect();
        check(&twice);
    }
}
