//! The permanent numeric tags: the first byte of every payload.

/// How a column was encoded. The discriminants are on disk: they are never changed or used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Encoding {
    /// Integers as 8 bytes each.
    Raw = 1,
    /// One integer for all rows.
    Constant = 2,
    /// Frame of reference and bit packing, 1,024 values a block.
    ForBitPack = 3,
    /// Values and the lengths of their runs.
    RunLength = 4,
    /// Byte-wide values under a Huffman code.
    Huffman = 5,
    /// Byte-wide values, the wrapping differences of which are under a Huffman code.
    HuffmanDelta = 6,
    /// Integers by pcodec.
    Pco = 7,
    /// First value and differences.
    Delta = 8,
    /// First value, first difference, and differences of differences.
    DeltaOfDelta = 9,
    /// [`Encoding::Delta`] that starts afresh with every run of rows.
    RunDelta = 10,
    /// [`Encoding::DeltaOfDelta`] that starts afresh with every run of rows.
    RunDeltaOfDelta = 11,
    /// Floats as 8 bytes each.
    FloatRaw = 32,
    /// The bits of floats as an integer column.
    FloatBits = 33,
    /// XOR with the value before.
    Gorilla = 34,
    /// Decimals scaled to integers, with exceptions.
    Alp = 35,
    /// Floats by pcodec.
    FloatPco = 36,
    /// One bit a row.
    Bitmap = 64,
    /// The lengths of alternating runs of bits.
    BitRuns = 65,
    /// 128-bit integers that all fit in 64 bits.
    Narrow = 80,
    /// 128-bit integers whose distance from the smallest fits in 64 bits.
    Offset = 81,
    /// The upper and lower halves of 128-bit integers as two columns.
    Halves = 82,
    /// Lengths and bytes as they are.
    Plain = 96,
    /// Lengths, and bytes under zstd.
    Zstd = 97,
    /// Distinct strings and an index for each row.
    Dictionary = 98,
}

impl Encoding {
    /// Every codec, in the order of their tags.
    pub const ALL: [Encoding; 24] = [
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
        Encoding::FloatRaw,
        Encoding::FloatBits,
        Encoding::Gorilla,
        Encoding::Alp,
        Encoding::FloatPco,
        Encoding::Bitmap,
        Encoding::BitRuns,
        Encoding::Narrow,
        Encoding::Offset,
        Encoding::Halves,
        Encoding::Plain,
        Encoding::Zstd,
        Encoding::Dictionary,
    ];

    /// The byte that stands for this codec on disk.
    pub fn tag(self) -> u8 {
        self as u8
    }

    /// The codec that a byte stands for.
    pub fn from_tag(tag: u8) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|e| e.tag() == tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags are on disk. A change here means that old files become unreadable.
    #[test]
    fn tags_are_permanent() {
        let tags: Vec<u8> = Encoding::ALL.iter().map(|e| e.tag()).collect();
        assert_eq!(
            tags,
            [
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 32, 33, 34, 35, 36, 64, 65, 80, 81, 82, 96, 97,
                98
            ]
        );
        for tag in 0..=u8::MAX {
            let known = Encoding::from_tag(tag);
            assert_eq!(known.map(Encoding::tag), tags.contains(&tag).then_some(tag));
        }
    }
}
