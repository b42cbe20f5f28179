//! The choice among codecs, apart from the estimates it rests on and from the encoding.

use crate::Encoding;

/// A codec and the bytes it is expected to take for a whole column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The codec.
    pub encoding: Encoding,
    /// What it is expected to store its differences with, if it takes differences.
    pub inner: Option<Encoding>,
    /// Its expected size in bytes.
    pub bytes: f64,
}

/// How much smaller than a plain codec one must be to be worth its slower decoding.
fn handicap(encoding: Encoding) -> f64 {
    match encoding {
        Encoding::Constant | Encoding::Raw => 1.0,
        Encoding::ForBitPack => 1.01,
        Encoding::RunLength => 1.02,
        Encoding::Delta | Encoding::RunDelta => 1.05,
        Encoding::DeltaOfDelta | Encoding::RunDeltaOfDelta => 1.08,
        _ => 1.15,
    }
}

/// The smallest candidate, each counted with a handicap for slow decoding; the first of equals.
/// Of none, [`Encoding::Raw`], which holds everything.
pub fn choose(candidates: &[Candidate]) -> Encoding {
    let weigh = |c: &Candidate| c.bytes * handicap(c.encoding) * c.inner.map_or(1.0, handicap);
    candidates
        .iter()
        .min_by(|a, b| weigh(a).total_cmp(&weigh(b)))
        .map_or(Encoding::Raw, |c| c.encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(candidates: &[(Encoding, f64)]) -> Encoding {
        let list: Vec<Candidate> = candidates
            .iter()
            .map(|&(encoding, bytes)| Candidate {
                encoding,
                inner: None,
                bytes,
            })
            .collect();
        choose(&list)
    }

    #[test]
    fn smallest_wins() {
        use Encoding::*;
        assert_eq!(pick(&[]), Raw);
        assert_eq!(
            pick(&[(Raw, 80.0), (ForBitPack, 40.0), (Delta, 20.0)]),
            Delta
        );
        assert_eq!(pick(&[(Delta, 40.0), (ForBitPack, 20.0)]), ForBitPack);
    }

    /// Differences under a slow codec are as slow as that, and their own step comes on top.
    #[test]
    fn an_inner_codec_counts() {
        let direct = Candidate {
            encoding: Encoding::HuffmanDelta,
            inner: None,
            bytes: 100.0,
        };
        let nested = Candidate {
            encoding: Encoding::Delta,
            inner: Some(Encoding::Huffman),
            bytes: 100.0,
        };
        assert_eq!(choose(&[nested, direct]), Encoding::HuffmanDelta);
        let smaller = Candidate {
            bytes: 80.0,
            ..nested
        };
        assert_eq!(choose(&[direct, smaller]), Encoding::Delta);
    }

    #[test]
    fn a_slow_codec_must_be_worth_it() {
        use Encoding::*;
        assert_eq!(pick(&[(ForBitPack, 100.0), (Huffman, 95.0)]), ForBitPack);
        assert_eq!(pick(&[(ForBitPack, 100.0), (Huffman, 80.0)]), Huffman);
        assert_eq!(pick(&[(Raw, 100.0), (ForBitPack, 100.0)]), Raw);
    }
}
